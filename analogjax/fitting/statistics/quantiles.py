"""Whether predicted distributions are right: probabilities of what was then measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from ..._checks import check_between

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Probabilities at which predictions are compared by default."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Shares of measured values below predicted quantiles, group by group.

    Of values that have the predicted distribution, a share p lies below the quantile of p, give or
    take the binomial ``sqrt(p (1 - p) / n)``.
    """

    probabilities: np.ndarray
    """Of the quantiles, (quantiles,)."""
    groups: np.ndarray
    """What the groups are called, such as levels."""
    counts: np.ndarray
    """Values in each group."""
    shares: np.ndarray
    """Share of the values below each quantile, (groups, quantiles)."""

    @property
    def errors(self) -> np.ndarray:
        """Standard deviations of the shares if the predictions are right, likewise."""
        p = self.probabilities[None]
        return np.sqrt(p * (1 - p) / self.counts[:, None])

    @property
    def total(self) -> np.ndarray:
        """Shares of all values together, (quantiles,)."""
        return self.counts @ self.shares / self.counts.sum()

    @property
    def within(self) -> float:
        """Share of all the quantiles that lie within two standard deviations; 0.954 if right."""
        return float(np.mean(np.abs(self.shares - self.probabilities) <= 2 * self.errors))

    @property
    def excess(self) -> float:
        """Standard deviation of the shares beyond their sampling error, rms; 0 if right.

        ``sqrt(max(0, mean((share - p)^2 - error^2)))``: how far probabilities are off, whatever
        the number of values.
        """
        off = (self.shares - self.probabilities) ** 2 - self.errors**2
        return float(np.sqrt(max(0.0, np.mean(off))))

    @property
    def chi_squared(self) -> tuple[float, int, float]:
        """Pearson's statistic of the values between quantiles, degrees of freedom, p-value."""
        edges = np.concatenate([[0.0], self.probabilities, [1.0]])
        shares = np.hstack([np.zeros((len(self.counts), 1)), self.shares])
        shares = np.hstack([shares, np.ones((len(self.counts), 1))])
        expected = self.counts[:, None] * np.diff(edges)[None]
        seen = self.counts[:, None] * np.diff(shares, axis=1)
        value = float(np.sum((seen - expected) ** 2 / expected))
        freedom = len(self.counts) * len(self.probabilities)
        return value, freedom, float(stats.chi2.sf(value, freedom))


def quantile_calibration(
    probability: Any, groups: Any = None, *, quantiles: Sequence[float] = QUANTILES
) -> Calibration:
    """Compare predicted probabilities of measured values with how often they occurred.

    Args:
        probability: Predicted probability of values up to the measured one, (values,) (the
            probability integral transform).
        groups: Which group each value belongs to; one group if None.
        quantiles: Probabilities of the quantiles to compare at, rising.

    Raises:
        ValueError: Probabilities outside 0 to 1 or not rising, or other shapes.
    """
    probability = np.ravel(np.asarray(probability, float))
    check_between("probability", probability, 0.0, 1.0)
    levels = np.asarray(quantiles, float)
    check_between("quantiles", levels, 0.0, 1.0)
    if levels.ndim != 1 or np.any(np.diff(levels) <= 0) or levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError(
            f"Argument `quantiles` must rise between 0 and 1, but is {tuple(map(float, levels))}."
        )
    groups = np.zeros(probability.shape, int) if groups is None else np.ravel(np.asarray(groups))
    if groups.shape != probability.shape:
        raise ValueError(
            f"Argument `groups` must have shape {probability.shape}, but has {groups.shape}."
        )
    names = np.unique(groups)
    counts = np.array([np.sum(groups == name) for name in names])
    shares = np.array(
        [np.mean(probability[groups == name][:, None] <= levels, axis=0) for name in names]
    )
    return Calibration(levels, names, counts, shares)


def coverage(probability: Any, level: float) -> tuple[float, float]:
    """Return the share of values within the central interval of a probability, and its error.

    Args:
        probability: As in `quantile_calibration`.
        level: Predicted probability of the interval, such as 0.9.
    """
    check_between("level", level, 0.0, 1.0)
    probability = np.asarray(probability, float)
    share = float(np.mean(np.abs(probability - 0.5) <= 0.5 * level))
    return share, float(np.sqrt(level * (1 - level) / probability.size))
