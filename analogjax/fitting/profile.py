"""Profile likelihood: how well the data can be described at each value of one parameter."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_between, check_choice, check_positive, check_whole
from .uncertainty import degrees, quantile, unbounded_covariance

if TYPE_CHECKING:
    from .result import FitResult


@dataclasses.dataclass(frozen=True)
class Profile:
    """The best fit at each value of one parameter."""

    name: str
    values: np.ndarray
    """Of the parameter, in its own unit, rising."""
    rise: np.ndarray
    """By how much the sum of squared residuals is above its minimum, in units of their variance;
    nan where no fit was found."""
    quantiles: tuple[int, bool]

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Return the values between which the rise stays below the square of the quantile.

        Args:
            level: Probability that the interval holds the true value.

        Returns:
            Lower and upper end; infinite where the profile does not rise that high (the data give
            no bound within its reach).
        """
        check_between("level", level, 0.0, 1.0)
        limit = quantile(level, *self.quantiles) ** 2
        good = np.isfinite(self.rise)
        values, rise = self.values[good], self.rise[good]
        lowest = int(np.argmin(rise))
        ends = [-np.inf, np.inf]
        for side, order in ((0, range(lowest, 0, -1)), (1, range(lowest, len(values) - 1))):
            step = -1 if side == 0 else 1
            for k in order:
                if rise[k + step] > limit:
                    # The root of the rise is linear where the model is.
                    a, b = np.sqrt(np.maximum(rise[[k, k + step]], 0.0))
                    share = (np.sqrt(limit) - a) / (b - a)
                    ends[side] = values[k] + share * (values[k + step] - values[k])
                    break
        return float(ends[0]), float(ends[1])


def profile_likelihood(
    fit: FitResult, name: str, *, points: int = 15, reach: float = 3.0
) -> Profile:
    """Fit all other parameters again at values of one of them, all at once.

    Args:
        fit: A fit.
        name: One of its free parameters.
        points: Values.
        reach: How far they reach either way, in standard errors (in unbounded numbers; four e-folds
            at most).

    Raises:
        ValueError: The parameter is not free, a number out of range.
    """
    check_choice("name", name, fit.free)
    check_whole("points", points, 3)
    check_positive("reach", reach)
    optimum, free = fit.optimum, fit.problem.free
    covariance = unbounded_covariance(optimum, fit.noise_factor)
    index = fit.free.index(name)
    error = np.sqrt(covariance[index, index])
    along = covariance[:, index] / covariance[index, index]
    along = np.where(np.isfinite(along), along, 0.0)
    along[index] = 1.0
    span = min(reach * error, 4.0) if np.isfinite(error) else 4.0
    # Where the minimum of the others would be if the model were linear.
    lanes = optimum.z[None] + jnp.asarray(np.linspace(-span, span, points)[:, None] * along[None])
    held = jnp.zeros_like(lanes).at[:, index].set(1.0)
    ends = fit.method.solve(fit.problem, lanes, held)
    values = np.asarray(jax.vmap(lambda z: free.forward(z))(lanes))[:, index]
    rise = (ends.cost - optimum.cost) / fit.noise_factor**2
    rise = np.where(np.asarray(ends.failed) > 0, np.nan, rise)
    order = np.argsort(values)
    return Profile(name, values[order], rise[order], (degrees(optimum), fit.known_noise))
