"""Step models fitted to measured pulse ramps, ranked on ramps they have not seen.

Thirty SET and thirty RESET ramps of one device (published with Sandia's cross-sim): the conductance
after every pulse. Ramps of even number are fitted, the others predicted from their first read
alone. Amplitude and width of the pulses are not published and are assumed; a law per pulse does not
depend on them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from analogjax._checks import check_positive
from analogjax.fitting import fit
from analogjax.runs import RunFolder

from . import models, ramps


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

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("amplitude", "width", "g_min", "g_max"):
            check_positive(name, getattr(self, name))


def run(config: Config, run: RunFolder) -> None:
    """Fit, predict, report."""
    data = ramps.load(config)
    seen, kept = ramps.split(config, len(data["set"]))
    candidate = models.exponential(config)
    trains = ramps.objectives(config, data, seen, "offset")
    fitted = fit(candidate.device, trains, candidate.free, bounds=candidate.bounds)
    run.section("The fit", f"```\n{fitted.describe()}\n```")
    for train in ramps.objectives(config, data, kept, "offset"):
        error, share = ramps.score(np.asarray(train.observed), fitted.predict(train))
        g = data[train.name][kept]
        run.metric(f"rms_{train.name}_uS", 1e6 * error, "of ramps kept back")
        run.metric(f"r_squared_{train.name}", share)
        run.metric(f"rms_over_spread_{train.name}", error / ramps.spread(g), "aligned")
        run.metric(f"rms_over_raw_spread_{train.name}", error / ramps.spread(g, aligned=False))
