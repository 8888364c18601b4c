"""Single-pulse SET and RESET of a measured 1T1R array: probabilities of unseen cells.

One pulse was put on each of some 46,000 cells that were fresh or had been reset, over width,
bit-line (source-line) voltage and word-line voltage. A part of the cells, chosen by their number
alone, is fitted by maximum likelihood; the others judge. Cells behind a transistor with a normal
switching voltage, and populations of devices of the library, say how probable it is that a cell
switches, and what resistance it then has.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analogjax._checks import check_between, check_choice, check_positive, check_whole
from analogjax.data.measurements import load_measured
from analogjax.fitting.statistics.switching_trials import (
    POLARITIES,
    resistance_threshold,
    split_cells,
    switching_trials,
)
from analogjax.runs import RunFolder

from . import drawn, figures, models, resistance


@dataclass
class Config:
    """What is fitted."""

    folder: str | None = None
    """Folder of the measured sets; null for `$ANALOGJAX_DATA` and the user's cache."""
    seen: float = 1 / 3
    """Share of the cells that are fitted. A third: two thirds leave some 365 unseen cells a point
    of width and voltage, whose chance of 0.015 is small against the 0.05 aimed at."""
    bandwidth: float = 0.05
    """Of the density of resistances [decades]."""
    models: list[str] = field(default_factory=lambda: list(models.LABELS))
    """Which models; "gate_before" must be among them, the others build on it."""
    draws: int = 32
    """Of a device's parameters, a power of two."""
    bins: int = 6
    """Of the resistance before the pulse, for the fit of devices."""
    bootstrap: int = 10
    """Fits to resampled cells."""
    profile: int = 5
    """Points of a profile likelihood; 0 for none."""
    max_steps: int = 80

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        check_between("seen", self.seen, 0.01, 0.99)
        check_positive("bandwidth", self.bandwidth)
        for name in ("draws", "bins", "bootstrap", "max_steps"):
            check_whole(name, getattr(self, name))
        check_whole("profile", self.profile, 0)
        for model in self.models:
            check_choice("models", model, models.LABELS)
        if "gate_before" not in self.models:
            raise ValueError(f"Argument `models` must hold 'gate_before', but is {self.models}.")


def run(config: Config, run: RunFolder) -> None:
    """Read, part, fit, judge, report."""
    measured = load_measured("wei_pulses", parts=POLARITIES, folder=config.folder)
    seen = {k: split_cells(measured[k]["device"], config.seen) for k in POLARITIES}
    columns = ("resistance_before", "resistance_after")
    known = [np.asarray(measured[k][c])[seen[k]] for k in POLARITIES for c in columns]
    threshold = resistance_threshold(np.concatenate(known), bandwidth=config.bandwidth)
    parts = {
        k: {
            "seen": switching_trials(measured[k].isel(trial=np.flatnonzero(seen[k])), threshold),
            "unseen": switching_trials(measured[k].isel(trial=np.flatnonzero(~seen[k])), threshold),
        }
        for k in POLARITIES
    }
    figures.data(run, config, measured, seen, parts, threshold)
    fits = {k: models.fit_all(run, config, k, parts) for k in ("set",)}
    fits["reset"] = models.fit_all(run, config, "reset", parts, set_fits=fits["set"])
    judged = {k: models.judge(run, k, fits[k], parts[k]) for k in POLARITIES}
    for polarity in POLARITIES:
        figures.scores(run, polarity, fits[polarity], judged[polarity])
    figures.probabilities(run, fits, judged, parts)
    for polarity in POLARITIES:
        figures.parameters(run, config, polarity, fits[polarity])
    resistance.report(run, parts)
    drawn.report(run, fits, parts)
    figures.limits(run, fits, judged)
