"""How far a measured value may be off: what a residual is divided by."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_positive
from .._types import Array, Bool, Float, Scalar

Points = Float[Array, "rows points"]

FAILED = 1e6
"""Residual of what could not be simulated: worse than any prediction, and finite."""

SPAN = 10.0
"""Largest ratio between the scatter of a measured value and that of its prediction: a prediction
that is far off is off by as much, but not so uncertain."""


class Noise(eqx.Module):
    """Standard deviation of a measured value y: ``sqrt((relative y)^2 + absolute^2)``, or of ln y.

    Where only the scatter is unknown (`fit` without `known_noise`), the ratio of these numbers
    between the measurements is all that matters: the common factor is estimated.
    """

    entrywise: ClassVar[bool] = True
    """Whether a residual depends on the value of its own point alone."""

    relative: Scalar
    absolute: Scalar
    logarithmic: bool = eqx.field(static=True)

    def __init__(
        self, relative: ArrayLike = 0.0, absolute: ArrayLike = 0.0, *, log: ArrayLike | None = None
    ):
        """Say how a measured value scatters.

        Args:
            relative: Standard deviation as a share of the value.
            absolute: Standard deviation in the unit of the value.
            log: Standard deviation of the value's natural logarithm, instead of the other two.

        Raises:
            ValueError: A negative number, all of them zero, or `log` with another.
        """
        check_not_negative("relative", relative)
        check_not_negative("absolute", absolute)
        dtype = jnp.result_type(float)
        self.logarithmic = log is not None
        if log is not None:
            check_positive("log", log)
            relative = log
        elif relative == 0 and absolute == 0:
            raise ValueError("Argument `relative` must be above 0 if `absolute` is not, but is 0.")
        self.relative = jnp.asarray(relative, dtype)
        self.absolute = jnp.asarray(absolute, dtype)

    def scale(self, observed: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the standard deviation of measured values, in their unit (to first order)."""
        return jnp.sqrt((self.relative * observed) ** 2 + self.absolute**2)

    def draw(self, values: Float[Array, "..."], *, key: PRNGKeyArray) -> Float[Array, "..."]:
        """Return measured values that scatter like this around true ones."""
        normal = jax.random.normal(key, values.shape, values.dtype)
        if self.logarithmic:
            return values * jnp.exp(self.relative * normal)
        return values + self.scale(values) * normal

    def residual(self, predicted: Points, observed: Points, known: Bool[Array, "..."]) -> Points:
        """Return ``(predicted - observed) / sigma``; 0 where the measured value is not known.

        sigma is ``sigma(observed)^(1/3) sigma(predicted)^(2/3)``. Where sigma grows with the value,
        that of the measured value alone gives too much weight to values that came out small, and
        that of the prediction to predictions that are large; by this mean the two errors cancel to
        first order, as in X. Ji et al., Nucl. Instrum. Methods A 961, 163677 (2020), for counts.
        """
        if self.logarithmic:
            safe = jnp.where(known, jnp.abs(observed), 1.0)
            size = jnp.maximum(jnp.abs(jnp.where(known, predicted, 1.0)), 1e-300)
            return jnp.where(known, (jnp.log(size) - jnp.log(safe)) / self.relative, 0.0)
        safe = jnp.where(known, observed, 0.0)
        sigma = jnp.where(known, self.scale(safe), 1.0)
        # A measured zero under a purely relative noise would be known exactly.
        sigma = jnp.maximum(sigma, 1e-6 * jnp.max(sigma))
        same = jnp.maximum(jnp.where(known, predicted * jnp.sign(safe), 0.0), 0.0)
        # Between ratios, and with a square that is not 0 (its root has no derivative there).
        ratio = jnp.clip(
            (self.relative * same) ** 2 + self.absolute**2, (sigma / SPAN) ** 2, (sigma * SPAN) ** 2
        )
        sigma = sigma ** (1 / 3) * ratio ** (1 / 3)
        return jnp.where(known, (predicted - safe) / sigma, 0.0)
