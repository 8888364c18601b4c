"""The cells: which are fitted to and which are predicted."""

from __future__ import annotations

import dataclasses

import numpy as np

from analogjax.fitting import Reads


@dataclasses.dataclass(frozen=True)
class Cells:
    """Cells in random order, those that are fitted to first."""

    time: np.ndarray
    """[s], (cells, reads)."""
    conductance: np.ndarray
    """[S], (cells, reads)."""
    level: np.ndarray
    nominal: np.ndarray
    """Times that were aimed at [s], (reads,)."""
    fitted: int
    """How many are fitted to."""
    left_out: int
    """Cells beyond the last level."""

    def at(self, time: float) -> int:
        """Return the read of a nominal time."""
        return int(np.argmin(np.abs(self.nominal - time)))

    def reads(self, times, part: slice) -> Reads:
        """Return the reads of some cells at nominal times."""
        which = [self.at(t) for t in times]
        g, t = self.conductance[part], self.time[part]
        start = np.repeat(g[:, :1], len(which), axis=1)
        return Reads(start, t[:, which], g[:, which])

    @property
    def seen(self) -> slice:
        """Cells that are fitted to."""
        return slice(0, self.fitted)

    @property
    def unseen(self) -> slice:
        """Cells that are predicted."""
        return slice(self.fitted, None)

    def known(self, time: float, part: slice) -> np.ndarray:
        """Return which of some cells were read at a nominal time."""
        read = self.at(time)
        return np.isfinite(self.conductance[part][:, read]) & np.isfinite(self.time[part][:, read])


def read(config, dataset) -> Cells:
    """Return the cells of all levels, in an order drawn from the seed."""
    time, g = dataset["time"].values, dataset["conductance"].values
    level = dataset["level"].values
    order = np.random.default_rng(config.seed).permutation(len(level))
    inside = order[level[order] < config.levels]
    # The halves are those of all cells, whatever their level.
    fitted = int(np.sum(level[order[: int(config.fitted_share * len(order))]] < config.levels))
    return Cells(
        time=time[inside],
        conductance=g[inside],
        level=level[inside],
        nominal=dataset["nominal_time"].values,
        fitted=fitted,
        left_out=len(order) - len(inside),
    )
