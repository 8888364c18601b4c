"""Step models fitted to measured pulse ramps, ranked on ramps they have not seen.

Thirty SET and thirty RESET ramps of one device, published with Sandia's cross-sim: the conductance
after every pulse. Ramps of even number are fitted, the others predicted from their first read
alone. Amplitude and width of the pulses are not published; those used here are assumed, and a law
per pulse does not depend on them.
"""

from __future__ import annotations

import dataclasses

from analogjax._checks import check_choice, check_positive, check_whole
from analogjax.fitting import rank_models
from analogjax.runs import RunFolder

from . import chance, cycles, levels, models, ramps


@dataclasses.dataclass
class Config:
    """What is assumed of the pulses, and the window of the models."""

    amplitude: float = 1.0
    """Size of a pulse [V]; not published, assumed."""
    width: float = 1e-6
    """Duration of a pulse [s]; not published, assumed."""
    g_min: float = 1.4e-3
    """Conductance at the lower end of the models' state [S]; below all that was measured."""
    g_max: float = 2.7e-3
    """Conductance at the upper end [S]; above all that was measured."""
    level_noise: float = 7e-6
    """Standard deviation of a level, where levels count alike [S]; only sets a scale."""
    models: list[str] = dataclasses.field(default_factory=lambda: list(models.WHAT))
    """Which models are ranked; the noise and the population are those of the best."""
    draws: int = 200
    """Ramps drawn for a predictive band."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("amplitude", "width", "g_min", "g_max", "level_noise"):
            check_positive(name, getattr(self, name))
        check_whole("draws", self.draws, 20)
        for name in self.models:
            check_choice("models", name, models.WHAT)


def run(config: Config, run: RunFolder) -> None:
    """Rank models, find the noise, fit the spread of cycles, report."""
    data = ramps.load(config)
    seen, kept = ramps.split(len(data["set"]))
    begin = ramps.starts(data)
    run.log("ranking of models")
    everything = models.candidates(config, begin)
    ranking = rank_models(
        {name: everything[name] for name in config.models},
        ramps.trains(config, data, seen),
        held_out=ramps.trains(config, data, kept),
    )
    figures = levels.report(run, config, data, ranking)
    best = ranking.best
    run.log("noise along a ramp")
    careful, walks = chance.report(run, config, data, best)
    run.log("population of cycles")
    found = cycles.report(run, config, data, best, careful, walks)
    run.summary(
        f"{best.name} ({len(best.candidate.free)} parameters, SET and RESET in one device) "
        + "predicts ramps it has not seen from their first read: "
        + "; ".join(
            f"{name.upper()} R^2 {f['r_squared']:.4f}, RMS error {1e6 * f['rms']:.2g} uS, "
            f"{f['ratio']:.2f} times the spread from cycle to cycle "
            f"({f['raw_ratio']:.2f} times without alignment)"
            for name, f in figures.items()
        )
        + f". {found}"
    )
