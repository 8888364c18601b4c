"""How well predicted switching probabilities describe cells: grids, excess scatter, calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from ..._checks import check_between, check_choice, check_whole
from .switching_trials import SwitchingTrials

AXES = ("width", "voltage", "gate_voltage")


@dataclasses.dataclass(frozen=True)
class SwitchingGrid:
    """Cells pooled over a grid of pulses: how many switched, and how many should have."""

    axes: tuple[str, ...]
    points: np.ndarray
    """Values along the axes, (points, axes)."""
    count: np.ndarray
    """Cells of each point."""
    measured: np.ndarray
    """Share of them that switched."""
    predicted: np.ndarray
    """Mean of their probabilities."""
    noise: np.ndarray
    """Standard deviation of the share if the probabilities are right:
    ``sqrt(sum p (1 - p)) / n``."""

    @property
    def deviation(self) -> np.ndarray:
        """Measured less predicted."""
        return self.measured - self.predicted

    @property
    def largest(self) -> float:
        """Largest size of a deviation."""
        return float(np.max(np.abs(self.deviation)))

    @property
    def rms(self) -> float:
        """Root mean square of the deviations."""
        return float(np.sqrt(np.mean(self.deviation**2)))

    @property
    def noise_rms(self) -> float:
        """That of what chance alone would give."""
        return float(np.sqrt(np.mean(self.noise**2)))

    @property
    def excess(self) -> float:
        """Root of what the squared deviations have beyond chance; 0 if they have less."""
        return float(np.sqrt(max(self.rms**2 - self.noise_rms**2, 0.0)))

    def expected_largest(self, draws: int = 400, seed: int = 0) -> float:
        """Return the mean of the largest deviation that chance alone would give."""
        normal = np.random.default_rng(seed).standard_normal((draws, len(self.noise)))
        return float(np.abs(normal * self.noise[None]).max(axis=1).mean())

    def coverage(self, level: float = 0.9) -> float:
        """Return the share of points whose count lies in the interval of a level.

        Binomial with the mean probability of each point; the interval holds at least the level, so
        that the share is expected above it where counts are small.

        Args:
            level: Probability that the interval holds the count.
        """
        check_between("level", level, 0.0, 1.0)
        low, high = stats.binom.interval(level, self.count, np.clip(self.predicted, 0.0, 1.0))
        seen = np.rint(self.measured * self.count)
        return float(np.mean((seen >= low) & (seen <= high)))

    def table(self) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """Return the axes' values, and maps (nan where there is no cell)."""
        values = [np.unique(self.points[:, k]) for k in range(len(self.axes))]
        place = tuple(np.searchsorted(v, self.points[:, k]) for k, v in enumerate(values))
        maps = {}
        for name in ("count", "measured", "predicted", "deviation"):
            maps[name] = np.full([len(v) for v in values], np.nan)
            maps[name][place] = getattr(self, name)
        return values, maps


def switching_grid(
    trials: SwitchingTrials, probability: np.ndarray, axes: Sequence[str]
) -> SwitchingGrid:
    """Pool cells by some of width, voltage and gate voltage.

    Args:
        trials: The pulses.
        probability: That each switches.
        axes: Some of `AXES`; cells are pooled over the others.
    """
    for axis in axes:
        check_choice("axes", axis, AXES)
    columns = np.stack([np.asarray(getattr(trials, axis)) for axis in axes], axis=1)
    points, place, count = np.unique(columns, axis=0, return_inverse=True, return_counts=True)
    p = np.asarray(probability)

    def pooled(values: np.ndarray) -> np.ndarray:
        return np.bincount(np.ravel(place), values, len(count))

    return SwitchingGrid(
        axes=tuple(axes),
        points=points,
        count=count,
        measured=pooled(np.asarray(trials.switched)) / count,
        predicted=pooled(p) / count,
        noise=np.sqrt(pooled(p * (1 - p))) / count,
    )


def reliability(
    trials: SwitchingTrials, probability: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a reliability diagram: cells by predicted probability, in bins of equal width.

    Args:
        trials: The pulses.
        probability: That each switches.
        bins: Of the probability; empty ones are left out.

    Returns:
        Mean probability, share that switched, and cells of each bin.
    """
    check_whole("bins", bins)
    p = np.asarray(probability)
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    used = count > 0
    mean = np.bincount(place, p, bins)[used] / count[used]
    share = np.bincount(place, np.asarray(trials.switched), bins)[used] / count[used]
    return mean, share, count[used]


def table_probability(seen: SwitchingTrials, other: SwitchingTrials) -> np.ndarray:
    """Return the share of seen cells that switched under the same pulse, for other cells.

    ``(k + p) / (n + 1)`` with k of n at the same width, voltage and gate voltage, and p the share
    among all gate voltages: what a table does without a model.

    Args:
        seen: Cells of which the table is made.
        other: Cells that it is asked for.
    """
    columns = [np.stack([np.asarray(getattr(t, a)) for a in AXES], axis=1) for t in (seen, other)]
    rows = np.concatenate(columns)
    switched = np.asarray(seen.switched)

    def shares(columns: slice, prior: np.ndarray | float) -> np.ndarray:
        _, place = np.unique(rows[:, columns], axis=0, return_inverse=True)
        place = np.ravel(place)
        cells = np.bincount(place[: len(switched)], minlength=place.max() + 1)
        yes = np.bincount(place[: len(switched)], switched, minlength=place.max() + 1)
        return (yes[place] + prior) / (cells[place] + 1)

    return shares(slice(0, 3), shares(slice(0, 2), float(switched.mean())))[len(switched) :]
