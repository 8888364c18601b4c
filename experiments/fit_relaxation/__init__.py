"""Relaxation of 32 levels, predicted for unseen cells at unseen times, with its distribution.

16,292 cells were programmed to 32 levels and read up to six times within a day (A. Levy). Laws of
relaxation are fitted by maximum likelihood to one half of the cells at some of the times; their
quantiles are compared with the other half at a time between, and at one more than four decades
later. Cells and times were chosen before anything was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analogjax._checks import check_between, check_choice, check_whole
from analogjax.data.measurements import load_measured
from analogjax.fitting import LAWS
from analogjax.runs import RunFolder

from . import cells, laws, report, scores


@dataclass
class Task:
    """Times that a law is fitted to, and one that it predicts."""

    fit: list[float]
    """Nominal times [s]."""
    predict: float


@dataclass
class Config:
    """Which cells, which times, which laws."""

    seed: int = 0
    """Of the halves of the cells."""
    folder: str | None = None
    """Folder of the measured sets; null for that of `load_measured`."""
    laws: list[str] = field(default_factory=lambda: ["normal", "student", "hopping"])
    interpolation: Task = field(default_factory=lambda: Task([0.01, 0.1, 4.0], 1.0))
    extrapolation: Task = field(default_factory=lambda: Task([0.01, 0.1, 1.0, 4.0], 1e5))
    fitted_share: float = 0.5
    """Share of the cells that are fitted to; the others are predicted."""
    levels: int = 32
    warm_cells: int = 320
    """Cells that a search begins with, so that its first steps cost little."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        check_between("fitted_share", self.fitted_share, 0.1, 0.9)
        for name in ("levels", "warm_cells"):
            check_whole(name, getattr(self, name))
        for law in self.laws:
            check_choice("laws", law, LAWS)

    @property
    def tasks(self) -> dict[str, Task]:
        """The predictions by name."""
        return {"interpolation": self.interpolation, "extrapolation": self.extrapolation}


def run(config: Config, run: RunFolder) -> None:
    """Split, fit, predict, score, report."""
    dataset = load_measured("levy_relaxation", parts=["relaxation"], folder=config.folder)
    measured = cells.read(config, dataset["relaxation"])
    fits, found = {}, {}
    for task, times in config.tasks.items():
        for law in config.laws:
            start = fits.get(("interpolation", law))
            name = f"{task}_{law}"
            fits[task, law] = run.stage(
                f"fit_{name}",
                lambda law=law, times=times, start=start: laws.fitted(
                    config, measured, law, times.fit, start
                ),
            )
        found[task] = run.stage(
            f"scores_{task}",
            lambda task=task, times=times: scores.of_all(
                config, measured, {law: fits[task, law] for law in config.laws}, times.predict
            ),
        )
    report.write(run, config, measured, fits, found)
