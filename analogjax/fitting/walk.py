"""Noise that accumulates: a level that walks from pulse to pulse, read with an error."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.optimize import minimize

from .._checks import check_not_negative, check_positive
from .._types import Array, Bool, Scalar
from .noise import Noise, Points

_STEEPEST = 1.25
"""Largest factor by which one step may amplify an error, for predictions that are not smooth."""


class RandomWalk(Noise):
    """Measured levels whose error is a random walk from point to point, read with white noise.

    With the error ``d_k`` of the true level, ``d_{k+1} = a_k d_k + step eta_k`` and the measured
    value is off by ``d_k + read e_k``; eta and e are independent with variance 1. A row starts from
    a measured value: ``d_0 = read e``. ``a_k = 1``, or with `feedback` the factor by which the
    predicted law carries an error on, the ratio of successive predicted steps (as it is for a state
    of one number under equal pulses).

    A residual is the innovation of the Kalman filter of this model over its standard deviation:
    how far a value is from what is expected of it after all values before. Residuals are
    independent if the model holds, so that standard errors count what the data really tell.
    """

    entrywise: ClassVar[bool] = False

    step: Scalar
    growth: Points | None

    def __init__(self, step: float, read: float, *, like: ArrayLike | None = None):
        """Say how values scatter.

        Args:
            step: Standard deviation of one step of the walk, in the unit of the value.
            read: Standard deviation of one reading, likewise.
            like: Rows of predictions whose law carries errors on (from a fit without it); None if
                nothing does. They stay as they are in a fit, so that it cannot explain data away by
                a law that spreads errors.

        Raises:
            ValueError: A step not above zero, a reading below it.
        """
        check_positive("step", step)
        check_not_negative("read", read)
        super().__init__(absolute=max(float(read), 1e-12 * float(step)))
        self.step = jnp.asarray(step, self.absolute.dtype)
        self.growth = None if like is None else carried(jnp.asarray(like))

    def residual(self, predicted: Points, observed: Points, known: Bool[Array, "..."]) -> Points:
        """Return the standardised innovations; 0 where the measured value is not known."""
        return self.innovations(predicted, observed, known)[0]

    def innovations(
        self, predicted: Points, observed: Points, known: Bool[Array, "..."]
    ) -> tuple[Points, Points]:
        """Return the standardised innovations and the standard deviations they were divided by.

        The latter is that of a value as predicted from those before it, in the value's unit.
        """
        off = jnp.where(known, predicted - jnp.where(known, observed, 0.0), 0.0)
        growth = jnp.ones_like(off) if self.growth is None else self.growth
        return filtered(off, known, growth, self.step, self.absolute)

    def scale(self, observed: Points) -> Points:
        """Return the standard deviation of measured values, seen from the start of their row."""
        return self.spread(*observed.shape)

    def spread(self, rows: int, points: int) -> Points:
        """Return the standard deviation of values predicted from the start of a row alone."""
        growth = jnp.ones((rows, points)) if self.growth is None else self.growth
        none = jnp.zeros((rows, points))
        return filtered(none, none > 0, growth, self.step, self.absolute)[1]


def filtered(
    off: Points, known: Bool[Array, "..."], growth: Points, step: Scalar, read: Scalar
) -> tuple[Points, Points]:
    """Return standardised innovations of the Kalman filter, and what they were divided by.

    Args:
        off: By how much each value is off its prediction.
        known: Which values there are.
        growth: Factor by which an error of the level before each point is carried on to it.
        step: Standard deviation of a step of the walk.
        read: Standard deviation of a reading, also of that which a row starts from.
    """

    def advance(carry, at):
        mean, variance = carry
        off, growth, known = at
        mean, variance = growth * mean, growth**2 * variance + step**2
        total = variance + read**2
        gain = jnp.where(known, variance / total, 0.0)
        away = off - mean
        return (mean + gain * away, (1 - gain) * variance), (away / jnp.sqrt(total), total)

    rows = off.shape[0]
    first = jnp.zeros(rows, off.dtype), jnp.broadcast_to(read**2, (rows,)).astype(off.dtype)
    _, (residual, total) = jax.lax.scan(advance, first, (off.T, growth.T, known.T))
    return jnp.where(known, residual.T, 0.0), jnp.sqrt(total.T)


def carried(predicted: Points) -> Points:
    """Return by what factor an error of the level before each point is carried on to it.

    For a state of one number under equal pulses an error grows as the steps do: the ratio of
    successive steps. 1 where the steps turn round or are not known.
    """
    steps = jnp.diff(predicted, axis=1)
    before, after = steps[:, :-1], steps[:, 1:]
    regular = jnp.isfinite(before) & jnp.isfinite(after) & (before * after > 0)
    ratio = jnp.where(regular, after, 1.0) / jnp.where(regular, before, 1.0)
    ratio = jnp.clip(ratio, 1 / _STEEPEST, _STEEPEST)
    # The first two points have no two steps behind them.
    return jnp.concatenate([jnp.ones_like(predicted[:, :2]), ratio], axis=1)


def estimate_walk(
    predicted: ArrayLike, observed: ArrayLike, *, feedback: bool = True
) -> tuple[RandomWalk, float]:
    """Return the random walk under which the differences of two sets of rows are most likely.

    Args:
        predicted: Rows of predictions; nan where there is none.
        observed: Rows of measured values; nan where there is none.
        feedback: Whether the predicted law carries errors on (`like` of `RandomWalk`).

    Returns:
        The noise, and the logarithm of its likelihood (of the values in their unit).

    Raises:
        ValueError: Fewer than three values, or no differences.
    """
    predicted, observed = (np.asarray(x, float) for x in (predicted, observed))
    off = predicted - observed
    known = np.isfinite(off)
    steps = np.diff(off, axis=1)
    size = float(np.sqrt(np.nanmean(steps**2))) if np.isfinite(steps).any() else 0.0
    if known.sum() < 3 or size == 0:
        raise ValueError(
            "Argument `observed` must differ from `predicted` at three points or more, "
            "but does not."
        )
    growth = carried(jnp.asarray(predicted)) if feedback else jnp.ones(off.shape)
    scaled, there = jnp.asarray(np.where(known, off / size, 0.0)), jnp.asarray(known)

    @jax.jit
    @jax.value_and_grad
    def cost(logs):
        step, read = jnp.exp(logs)
        residual, sigma = filtered(scaled, there, growth, step, read)
        return 0.5 * jnp.sum(jnp.where(there, residual**2 + 2 * jnp.log(sigma), 0.0))

    best = minimize(
        lambda x: tuple(np.asarray(a, float) for a in cost(jnp.asarray(x))),
        np.log([0.7, 0.5]),
        jac=True,
        bounds=[(-7.0, 3.0)] * 2,
        method="L-BFGS-B",
    )
    step, read = size * np.exp(best.x)
    likelihood = -float(best.fun) - known.sum() * (np.log(size) + 0.5 * np.log(2 * np.pi))
    noise = RandomWalk(step, read, like=predicted if feedback else None)
    return noise, float(likelihood)
