"""How sure statistics of a sample are: standard errors of means, deviations and quantiles."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._types import Scalar
from .noise import Noise, Points

MODEST = 4
"""Values below which a sample says nothing of its scatter."""


class SamplingError(Noise):
    """A standard error of every measured value of its own."""

    relative: Scalar
    absolute: Scalar
    logarithmic: bool = eqx.field(static=True)
    errors: Points

    def __init__(self, errors: Any):
        """Take standard errors in the unit of the values, one for each; nan where there is none.

        Raises:
            ValueError: A standard error that is zero or negative.
        """
        errors = np.asarray(errors, float)
        if not (errors[np.isfinite(errors)] > 0).all():
            raise ValueError("Argument `errors` must be above 0, but has one that is not.")
        Noise.__init__(self, absolute=float(np.nanmedian(errors)))
        self.errors = jnp.asarray(np.where(np.isfinite(errors), errors, 1.0))

    def scale(self, observed: Points) -> Points:
        """Return the standard errors."""
        return self.errors


def moments(values: np.ndarray) -> tuple[float, float, float, float]:
    """Return mean and standard deviation of a sample, and the standard errors of both.

    ``se(mean) = s / sqrt(n)``; ``se(s) = s / 2 sqrt((k - (n - 3) / (n - 1)) / n)`` with the fourth
    standardised moment k of the sample (3 if normal, which gives ``s / sqrt(2 (n - 1))``), so that
    long tails count. Source: Cramer, Mathematical Methods of Statistics (1946), 27.4.

    Args:
        values: The sample; nan is left out.
    """
    x = np.asarray(values, float)
    x = x[np.isfinite(x)]
    n = x.size
    if n < MODEST or np.ptp(x) == 0:
        return np.nan, np.nan, np.nan, np.nan
    mean, std = float(x.mean()), float(x.std(ddof=1))
    fourth = float(np.mean((x - mean) ** 4)) / float(np.mean((x - mean) ** 2)) ** 2
    variance = max(fourth - (n - 3) / (n - 1), 1 / n) / n
    return mean, std, std / np.sqrt(n), 0.5 * std * float(np.sqrt(variance))


def effective_count(values: np.ndarray) -> float:
    """Return how many independent values a correlated sequence is worth, for its mean.

    ``n / (1 + 2 sum rho_k)`` with the autocorrelation rho, summed up in pairs while they are
    positive. Source: Geyer, Stat. Sci. 7, 473 (1992).

    Args:
        values: The sequence, without gaps.
    """
    x = np.asarray(values, float)
    n = x.size
    x = x - x.mean()
    if n < MODEST or not np.any(x):
        return float(n)
    spectrum = np.abs(np.fft.rfft(x, 2 * n)) ** 2
    correlation = np.fft.irfft(spectrum)[:n]
    correlation = correlation / correlation[0]
    pairs = correlation[: n - n % 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    end = negative[0] if negative.size else pairs.size
    return float(n / max(2 * pairs[:end].sum() - 1, 1 / n))
