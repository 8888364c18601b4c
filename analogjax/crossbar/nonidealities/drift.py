"""Conductances that move with the time since programming, and what read-out does about it."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..._checks import check_finite, check_not_negative, check_positive
from ..._types import Array, Float, Scalar, ScalarLike
from ._base import AbstractCellEffect, Window, ends, magnitude, normal


class PowerLawDrift(AbstractCellEffect):
    """Drift by a power of time: ``G(t) = G (1 + t / t_0)^(-(nu + s z))``.

    z is standard normal, one number per cell for ever; t counts from `t_0` after programming, as in
    aihwkit, so that at t = 0 nothing has drifted. Cells whose exponent comes out negative rise. The
    exponent of PCM depends on the conductance: `ProgrammedCells` of `analogjax.devices.PCM`.

    Source: the law of IBM aihwkit, `inference/noise/pcm.py` (t_0 = 20 s; nu = 0.049 at g_max).
    """

    lifetime: ClassVar[str] = "slow"

    nu: Scalar
    """Mean exponent."""
    nu_std: Scalar
    """s, standard deviation of the exponent from cell to cell."""
    t_0: Scalar
    """[s]."""

    def __init__(self, nu: ScalarLike, nu_std: ScalarLike = 0.0, t_0: ScalarLike = 20.0):
        """Make a drift.

        Args:
            nu: Mean exponent; positive falls.
            nu_std: Its standard deviation from cell to cell.
            t_0: Time [s] from which drift counts.

        Raises:
            ValueError: A number that is not finite, a negative spread, a time not above zero.
        """
        check_finite("nu", nu)
        check_not_negative("nu_std", nu_std)
        check_positive("t_0", t_0, "s")
        self.nu, self.nu_std, self.t_0 = magnitude(nu), magnitude(nu_std), magnitude(t_0)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return a standard normal number per cell."""
        return normal(key, shape)

    def apply(
        self, g: Float[Array, "*shape"], drawn: Array, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S] at time t; see the class and `AbstractCellEffect`."""
        self = self.cast(g.dtype)
        nu = self.nu + self.nu_std * drawn.astype(g.dtype)
        return g * jnp.exp(-nu * jnp.log1p(jnp.asarray(t, g.dtype) / self.t_0))


class LogRelaxation(AbstractCellEffect):
    """Relaxation by the logarithm of time: ``G(t) = max(0, G + W (m + s z) ln(1 + t / t_0))``.

    W is the width of the window and z standard normal, one number per cell for ever. A cell that
    is below zero already stays there.

    Source: the form is that of the relaxation of CMO/HfOx in aihwkit, `reram.py`, with the onset
    `t_0` so that it is known from t = 0 on (that preset itself, in siemens and with its scatter at
    1 s, is `ProgrammedCells(StatisticalDevice("cmo_hfox_fine"))`); sizes and `t_0` are the user's.
    """

    lifetime: ClassVar[str] = "slow"

    mean: Scalar
    """m, shift per e-fold of time, as a fraction of the window."""
    std: Scalar
    """s, its standard deviation from cell to cell, likewise."""
    t_0: Scalar
    """Onset [s]."""

    def __init__(self, mean: ScalarLike, std: ScalarLike = 0.0, t_0: ScalarLike = 1.0):
        """Make a relaxation.

        Args:
            mean: Shift per e-fold of time, as a fraction of the window.
            std: Its standard deviation from cell to cell, likewise.
            t_0: Onset [s]; 1 s is assumed.

        Raises:
            ValueError: A number that is not finite, a negative spread, a time not above zero.
        """
        check_finite("mean", mean)
        check_not_negative("std", std)
        check_positive("t_0", t_0, "s")
        self.mean, self.std, self.t_0 = magnitude(mean), magnitude(std), magnitude(t_0)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return a standard normal number per cell."""
        return normal(key, shape)

    def apply(
        self, g: Float[Array, "*shape"], drawn: Array, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S] at time t; see the class and `AbstractCellEffect`."""
        self, (low, high) = self.cast(g.dtype), ends(window, g)
        rate = self.mean + self.std * drawn.astype(g.dtype)
        moved = g + (high - low) * rate * jnp.log1p(jnp.asarray(t, g.dtype) / self.t_0)
        return jnp.maximum(moved, jnp.minimum(g, 0.0))


def drift_compensation(y_0: Float[Array, "..."], y_t: Float[Array, "..."]) -> Float[Array, ""]:
    """Return the one factor on all outputs that undoes the mean of a drift.

    ``sum |y_0| / sum |y_t|`` over the outputs of calibration inputs right after programming and
    now; 1 if there is no output now. What differs between cells stays.

    Args:
        y_0: Outputs of the calibration inputs at time 0, of any shape and unit.
        y_t: Outputs of the same inputs at time t.

    Source: global drift compensation of Joshi et al., Nat. Commun. 11, 2473 (2020), as in aihwkit.
    """
    now = jnp.sum(jnp.abs(y_t))
    some = now > 0
    one = jnp.ones_like(now)
    return jnp.where(some, jnp.sum(jnp.abs(y_0)) / jnp.where(some, now, one), one)
