"""The residuals of a fit: every measurement, every prior, weighted, and their derivatives."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import check_choice, check_finite, check_positive
from .._types import Array, Float, Scalar
from ..devices import AbstractDevice
from .bijections import FreeParameters, Values
from .objectives import AbstractObjective

LOSSES = ("squares", "huber", "soft_l1")
"""Losses by name; each of a residual in standard deviations."""

Residuals = Float[Array, " residuals"]


class Prior(eqx.Module):
    """What is known of a parameter beforehand: a normal (or log-normal) distribution."""

    mean: Scalar
    std: Scalar
    log: bool = eqx.field(static=True)

    def __init__(self, mean: float, std: float, *, log: bool = False):
        """Say what is known.

        Args:
            mean: Mean (median with `log`), in the unit of the parameter.
            std: Standard deviation, in the unit of the parameter; with `log` that of ``ln p``.
            log: Whether ``ln p`` is normal.

        Raises:
            ValueError: A standard deviation not above zero, or with `log` a mean of zero.
        """
        check_finite("mean", mean)
        check_positive("std", std)
        if log and mean == 0:
            raise ValueError("Argument `mean` must not be 0 with `log`, but is 0.")
        self.mean, self.std = jnp.asarray(mean, float), jnp.asarray(std, float)
        self.log = log

    def residual(self, value: Scalar) -> Scalar:
        """Return how many standard deviations a value is from the mean."""
        if self.log:
            return jnp.log(value / self.mean) / self.std
        return (value - self.mean) / self.std


class Problem(eqx.Module):
    """A device, its free parameters, and everything it is compared with."""

    device: AbstractDevice
    free: FreeParameters
    objectives: tuple[AbstractObjective, ...]
    priors: dict[str, Prior]
    loss: str = eqx.field(static=True)

    def __init__(
        self,
        device: AbstractDevice,
        free: FreeParameters,
        objectives: tuple[AbstractObjective, ...],
        priors: dict[str, Prior] | None = None,
        loss: str = "squares",
    ):
        """Put a fit together; see `fit` for the arguments."""
        self.device, self.free, self.objectives = device, free, objectives
        self.priors, self.loss = dict(priors or {}), check_choice("loss", loss, LOSSES)
        for name, prior in self.priors.items():
            if name not in free.names:
                raise ValueError(f"Argument `priors` must name free parameters, but has `{name}`.")
            if not isinstance(prior, Prior):
                raise ValueError(
                    f"Argument `priors` must hold `fitting.Prior`s, but has {prior!r} of `{name}`."
                )

    @property
    def runs(self) -> int:
        """Runs of the device that one evaluation takes."""
        return sum(objective.rows for objective in self.objectives)

    def residuals(self, z: Values) -> tuple[Residuals, tuple[Array, tuple[Array, ...]]]:
        """Return the residuals, how many runs could not be computed, and every prediction.

        Measurements come first, in order, then priors.
        """
        values = self.free.forward(z)
        device = self.free.put(self.device, values)
        parts, shown, failed = [], [], jnp.zeros((), int)
        for objective in self.objectives:
            residual, (predicted, ok) = objective.residuals(device)
            shown.append(predicted)
            parts.append(weighted(residual.ravel(), self.loss))
            failed = failed + jnp.sum(~ok)
        named = dict(zip(self.free.names, values, strict=True))
        parts += [prior.residual(named[name])[None] for name, prior in self.priors.items()]
        return jnp.concatenate(parts), (failed, tuple(shown))


def weighted(residual: Residuals, loss: str) -> Residuals:
    """Return s whose square is the loss of a residual r, with the sign of r.

    ``squares``: r. ``huber``: r up to 1 in size, beyond it ``sqrt(2 r - 1)``. ``soft_l1``:
    ``sqrt(2 (sqrt(1 + r^2) - 1))``. So that least squares of s minimises the loss.
    """
    if loss == "squares":
        return residual
    size = jnp.abs(residual)
    if loss == "huber":
        far = size > 1
        return jnp.where(
            far, jnp.sign(residual) * jnp.sqrt(2 * jnp.where(far, size, 1.0) - 1), residual
        )
    return residual * jnp.sqrt(2 / (1 + jnp.sqrt(1 + residual**2)))


class Linearised(eqx.Module):
    """Residuals at a point, their derivatives, and what could not be computed."""

    residuals: Residuals
    jacobian: Float[Array, "residuals free"]
    failed: Array
    predicted: tuple[Array, ...]
    """Of each measurement, (rows, points)."""


@eqx.filter_jit
def linearise(problem: Problem, z: Values, held: Values) -> Linearised:
    """Return residuals and their derivatives by z, in one forward pass.

    All parameters together: the motion is solved once, and its derivatives beside it.

    Args:
        problem: The fit.
        z: Where.
        held: 1 for a parameter that does not move (its derivative is zero), 0 for the others.
    """

    def push(direction):
        return jax.jvp(problem.residuals, (z,), (direction,), has_aux=True)

    directions = jnp.diag(1 - held)
    value, jacobian, (failed, shown) = jax.vmap(push, out_axes=(None, 1, None))(directions)
    # An overflow in a derivative: no step is taken from it, the residual itself is kept.
    finite = jnp.isfinite(jacobian)
    return Linearised(value, jnp.where(finite, jacobian, 0.0), failed + jnp.sum(~finite), shown)


@eqx.filter_custom_jvp
def fused(z: Values, *, problem: Problem, held: Values) -> tuple[Residuals, Any]:
    """Return residuals, failures and predictions; its derivative costs no second evaluation.

    An optimiser that linearises this function gets both from `linearise`, which compiles the
    simulation once.
    """
    at = linearise(problem, z, held)
    return at.residuals, (at.failed.astype(z.dtype), at.predicted)


@fused.def_jvp
def _fused_jvp(primals: Any, tangents: Any, *, problem: Problem, held: Values):
    (z,), (dz,) = primals, tangents
    at = linearise(problem, z, held)
    extra = (at.failed.astype(z.dtype), at.predicted)
    slope = jnp.zeros_like(at.residuals) if dz is None else at.jacobian @ dz
    return (at.residuals, extra), (slope, jax.tree.map(jnp.zeros_like, extra))
