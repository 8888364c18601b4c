"""How sure a fit is: covariance, standard errors, intervals."""

from __future__ import annotations

import numpy as np
from scipy import stats

from .bijections import FreeParameters
from .levenberg import Optimum


def noise_factor(optimum: Optimum, known_noise: bool) -> float:
    """Return by what factor the data scatter more than assumed (1 if that is known).

    The root of the residual variance ``sum r^2 / (N - n)``. Residuals that are exactly zero
    because nothing was measured there are no data.
    """
    if known_noise:
        return 1.0
    return float(np.sqrt(optimum.cost / max(degrees(optimum), 1)))


def count(optimum: Optimum) -> int:
    """Return the number of residuals that depend on something."""
    there = np.any(np.asarray(optimum.jacobian) != 0, axis=1)
    return int(np.sum(there | (np.asarray(optimum.residuals) != 0)))


def degrees(optimum: Optimum) -> int:
    """Return residuals less parameters."""
    return count(optimum) - np.asarray(optimum.jacobian).shape[1]


def covariance_root(optimum: Optimum, factor: float, cut: float = 0.0) -> np.ndarray:
    """Return R of the covariance ``R R^T``, from the singular values of J; nan where it has none.

    Args:
        optimum: Where a fit ended.
        factor: Standard deviation of a residual.
        cut: Directions with singular values up to this share of the largest are left out.
    """
    jacobian = np.asarray(optimum.jacobian)
    size = np.linalg.norm(jacobian, axis=0)
    scaled = jacobian / np.where(size > 0, size, 1.0)
    _, s, vt = np.linalg.svd(scaled, full_matrices=False)
    half = vt.T / np.where(s > 0, s, np.nan) * (factor / size.clip(1e-150))[:, None]
    return half[:, s > cut * s[0]] if cut else half


def unbounded_covariance(optimum: Optimum, factor: float) -> np.ndarray:
    """Return ``factor^2 (J^T J)^-1`` by the singular values of J; infinite where it has none."""
    root = covariance_root(optimum, factor)
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = root @ root.T
    return np.where(np.isfinite(covariance), covariance, np.inf)


def natural_covariance(
    optimum: Optimum, parameters: FreeParameters, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return covariance and values of the parameters in their own units."""
    slopes = np.asarray(parameters.slopes(optimum.z))
    return (
        unbounded_covariance(optimum, factor) * np.outer(slopes, slopes),
        np.asarray(parameters.forward(optimum.z)),
    )


def quantile(level: float, dof: int, known_noise: bool) -> float:
    """Return how many standard errors a two-sided interval reaches, either way."""
    upper = 0.5 * (1 + level)
    if known_noise:
        return float(stats.norm.ppf(upper))
    return float(stats.t.ppf(upper, max(dof, 1)))
