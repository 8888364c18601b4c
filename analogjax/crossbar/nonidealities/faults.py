"""Cells that no longer do what they are told: stuck ones, and windows that close with use."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..._checks import (
    check_between,
    check_choice,
    check_not_negative,
    check_positive,
    is_traced,
)
from ..._types import Array, Float, Scalar, ScalarLike
from ..write_error import _uniform as uniform
from ._base import AbstractCellEffect, Window, clip, ends, magnitude, normal


class StuckCells(AbstractCellEffect):
    """Cells stuck at the ends of the window: at `g_max` with one probability, `g_min` with another.

    A uniform number U of each cell decides: stuck on where ``U < p_on``, stuck off where
    ``1 - U <= p_off``; a chip of a larger probability has the faults of the smaller one, and more.

    A threshold has no slope: the gradient in both probabilities is *zero* although the expected
    loss depends on them. With a `width` w > 0 a cell is stuck by the share
    ``clip((p_on - U) / w, 0, 1)`` (and likewise off) instead: for w below p its mean is p - w / 2,
    and the mean over chips of a loss' gradient is the change of the mean loss when one more cell
    sticks, curvature included, if w is so small that few cells are half stuck.

    Source: the model is usual; aihwkit lists 13.48 % (OM) and 9.77 % (HfO2) corrupt devices of its
    array presets as measured, and uses 0.
    """

    lifetime: ClassVar[str] = "frozen"

    p_on: Scalar
    """Probability to be stuck at `g_max`."""
    p_off: Scalar
    """Probability to be stuck at `g_min`."""
    width: float = eqx.field(static=True)
    """Width of the threshold, as a probability; 0 is the model itself."""

    def __init__(self, p_on: ScalarLike, p_off: ScalarLike, *, width: float = 0.0):
        """Make stuck cells.

        Args:
            p_on: Probability to be stuck at `g_max`.
            p_off: Probability to be stuck at `g_min`.
            width: Width of the threshold as a probability, for gradients; 0 for none.

        Raises:
            ValueError: Probabilities that are none or add up to more than one, a negative width.
        """
        check_between("p_on", p_on, 0.0, 1.0)
        check_between("p_off", p_off, 0.0, 1.0)
        check_not_negative("width", width)
        if not (is_traced(p_on) or is_traced(p_off)):
            both = float(np.asarray(p_on)) + float(np.asarray(p_off))
            check_between("p_on + p_off", both, 0.0, 1.0 + 1e-9)
        self.p_on, self.p_off, self.width = magnitude(p_on), magnitude(p_off), float(width)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return a number per cell, uniform in 0 to 1."""
        return uniform(key, shape)

    def apply(
        self, g: Float[Array, "*shape"], drawn: Array, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S]; see the class and `AbstractCellEffect`."""
        self, (low, high) = self.cast(g.dtype), ends(window, g)
        number = drawn.astype(g.dtype)
        if self.width == 0:
            off = jnp.where(1 - number <= self.p_off, low, g)
            return jnp.where(number < self.p_on, high, off)
        on = clip((self.p_on - number) / self.width, 0.0, 1.0)
        off = clip((self.p_off - (1 - number)) / self.width, 0.0, 1.0)
        return g + on * (high - g) + off * (low - g)


class EnduranceLoss(AbstractCellEffect):
    """A window that closes from above with the number of write cycles.

    ``g_max(n) = g_min + (g_max - g_min) f``, ``f = (1 + n / (n_0 exp(s z)))^-b``, z standard
    normal, one number per cell. With ``kind="limit"`` (write and verify) cells reach their target
    up to there and no further, ``min(G, g_max(n))``; with ``"scale"`` (written blindly) everything
    above `g_min` is multiplied by f.

    Source: the form is recalled from the literature, as is n_0 of 1e6 to 1e9 cycles; b is
    illustrative.
    """

    lifetime: ClassVar[str] = "frozen"

    cycles: Scalar
    """n, cycles before the chip was written."""
    n_0: Scalar
    """Cycles at which the window has closed to ``2^-b``."""
    b: Scalar
    """Exponent."""
    spread: Scalar
    """s, standard deviation of ln n_0 from cell to cell."""
    kind: str = eqx.field(static=True)

    def __init__(
        self,
        cycles: ScalarLike,
        n_0: ScalarLike,
        b: ScalarLike,
        *,
        spread: ScalarLike = 0.0,
        kind: str = "limit",
    ):
        """Make a loss.

        Args:
            cycles: Write cycles before the chip was written.
            n_0: Cycles at which the window has closed to ``2^-b``.
            b: Exponent.
            spread: Standard deviation of ln n_0 from cell to cell.
            kind: ``"limit"`` or ``"scale"``.

        Raises:
            ValueError: A negative number, n_0 not above zero, or another word.
        """
        check_not_negative("cycles", cycles)
        check_positive("n_0", n_0)
        check_not_negative("b", b)
        check_not_negative("spread", spread)
        self.cycles, self.n_0 = magnitude(cycles), magnitude(n_0)
        self.b, self.spread = magnitude(b), magnitude(spread)
        self.kind = check_choice("kind", kind, ("limit", "scale"))

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return a standard normal number per cell."""
        return normal(key, shape)

    def apply(
        self, g: Float[Array, "*shape"], drawn: Array, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S]; see the class and `AbstractCellEffect`."""
        self, (low, high) = self.cast(g.dtype), ends(window, g)
        used = self.cycles / self.n_0 * jnp.exp(-self.spread * drawn.astype(g.dtype))
        lost = jnp.expm1(-self.b * jnp.log1p(used))
        if self.kind == "scale":
            return g + (g - low) * lost
        # A cell that lies above the window stays as far above it as it was, or zero cycles would
        # not be the identity.
        top = jnp.maximum(g, high)
        return jnp.minimum(g, top + (top - low) * lost)
