"""Current mirrors at the ends of bit lines, in place of amplifiers that hold them at 0 V."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_positive
from .._types import Array, Float, Scalar, ScalarLike
from ..constants import ROOM_TEMPERATURE
from ._optional import as_leaf, optional_error
from .write_error import FLOAT


class CurrentMirror(eqx.Module):
    r"""A transistor in diode connection takes the current of a bit line, another copies it.

    The bit line is not at 0 V but at the voltage that its own current needs (a transistor in
    saturation, square law), so that it carries less than at 0 V:

    .. math:: V = V_{th} + \sqrt{2 I / \beta}, \qquad I = \sum_i G_i V_i - G V, \qquad
        I_{out} = (1 + \delta) I

    with ``G`` the sum of the line's conductances. The solution of the quadratic equation is used,
    exact and differentiable in every number. A line whose inputs do not reach the threshold carries
    nothing: currents have one sign (``signed_inputs="two_phase"``, ``subtract="digital"``).

    Attributes:
        beta: Transconductance parameter ``beta`` [A/V^2].
        v_threshold: Threshold ``V_th`` [V]; 0 where inputs are counted from it.
        mismatch_std: Standard deviation of ``delta``, one for each line.
    """

    cause: ClassVar[str] = "circuit"
    lifetimes: ClassVar[dict[str, str]] = {"mismatch_std": "frozen"}

    beta: Scalar
    v_threshold: Scalar
    mismatch_std: Scalar | None

    def __init__(self, beta: ScalarLike, *, v_threshold: ScalarLike = 0.0, mismatch_std: Any = 0):
        """Make mirrors; see the class for the arguments.

        Raises:
            ValueError: A `beta` that is not above 0, or another number below 0.
        """
        self.beta = as_leaf(check_positive("beta", beta, "A/V^2"))
        self.v_threshold = as_leaf(check_not_negative("v_threshold", v_threshold, "V"))
        self.mismatch_std = optional_error("mismatch_std", mismatch_std)

    def draw(self, key: PRNGKeyArray, lines: int) -> Float[Array, " lines"] | None:
        """Return a standard normal number per mirror, float32; None without mismatch."""
        return None if self.mismatch_std is None else jax.random.normal(key, (lines,), FLOAT)

    def line_current(
        self, i: Float[Array, "*batch cols"], g_sum: Float[Array, " cols"]
    ) -> Float[Array, "*batch cols"]:
        """Return the currents that the bit lines carry [A].

        Args:
            i: Currents that they would carry at 0 V, ``sum_i G_i V_i`` [A].
            g_sum: Sum of the conductances of each [S].
        """
        g = jnp.broadcast_to(g_sum.astype(i.dtype), i.shape)
        drive = i - g * self.v_threshold.astype(i.dtype)
        # sqrt(I) solves s^2 + 2 b s = drive; no difference of near numbers.
        b = g / jnp.sqrt(2 * self.beta.astype(i.dtype))
        on = drive > 0
        drive = jnp.where(on, drive, jnp.ones_like(drive))
        root = drive / (b + jnp.sqrt(b**2 + drive))
        return jnp.where(on, root**2, jnp.zeros_like(root))

    def read_out(
        self,
        i: Float[Array, "*batch cols"],
        g_sum: Float[Array, " cols"],
        drawn: Float[Array, " cols"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
        temperature: ScalarLike = ROOM_TEMPERATURE,
    ) -> Float[Array, "*batch cols"]:
        """Return the copied currents [A]; arguments as `Transimpedance.read_out`, no noise."""
        out = self.line_current(i, g_sum)
        if self.mismatch_std is None or drawn is None:
            return out
        delta = self.mismatch_std.astype(i.dtype) * drawn.astype(i.dtype)
        return out * (1 + jnp.broadcast_to(delta, out.shape))
