"""Quantisation of normalised signals, with gradients that pass straight through it."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from ..._checks import check_whole
from ..._types import Array, Float

MAX_BITS = 24
"""Most bits of a quantiser: float32 holds no finer whole numbers."""

INSIDE = "inside full scale"
"""Name (`jax.ad_checkpoint`) of what the gradient of a quantiser keeps: what is not clipped."""


@jax.custom_jvp
def straight_through(x: Float[Array, "*shape"], q: Float[Array, "*shape"]) -> Array:
    """Return `q`, exactly, with the gradient of `x`.

    Args:
        x: What is differentiated.
        q: The value, of the shape and type of `x`.
    """
    return q


@straight_through.defjvp
def _(primals: Any, tangents: Any) -> tuple[Array, Array]:
    return straight_through(*primals), tangents[0]


def steps_per_unit(bits: int, *, bipolar: bool = True) -> int:
    """Return how many steps (LSB) lie between zero and full scale.

    ``2^(b - 1) - 1`` if bipolar: the ``2^b - 1`` codes of a symmetric mid-tread quantiser (zero is
    a code; 8 bits are 254 steps from -1 to 1). ``2^b - 1`` if unipolar: ``2^b`` codes.

    Raises:
        ValueError: Fewer than 2 bits (bipolar) or 1 bit, or more than `MAX_BITS`.
    """
    check_whole("bits", bits, 2 if bipolar else 1, MAX_BITS)
    return 2 ** (bits - 1) - 1 if bipolar else 2**bits - 1


def quantise(
    x: Float[Array, "*shape"],
    bits: int | None,
    *,
    bipolar: bool = True,
    scale: Any = None,
    keep: bool = True,
) -> Float[Array, "*shape"]:
    r"""Return the signal as a uniform quantiser holds it, clipped at full scale.

    With ``n`` steps between zero and full scale (`steps_per_unit`) and ``u = x / scale``,

    .. math:: q = scale\, \mathrm{round}(n\, \mathrm{clip}(u, -1, 1)) / n

    (from 0 if unipolar). The gradient by `x` passes straight through, and is zero beyond full
    scale. That by `scale` is then ``q / scale - u`` within, and plus or minus 1 beyond (0 at the
    end at 0): the gradient of a learned step ``scale / n`` (LSQ: Esser et al., ICLR 2020,
    arXiv:1902.08153; their factor ``1 / sqrt(N n)`` on it is left to the optimiser).

    Args:
        x: The signal, in units of full scale if there is no `scale`.
        bits: Number of bits; None for no quantisation, only the clip.
        bipolar: Whether full scale is from -1 to 1, else from 0 to 1.
        scale: Full scale, above 0, which broadcasts to the shape of `x`; None for 1.
        keep: Whether what is not clipped has the name `INSIDE`, for a gradient that keeps it rather
            than finds `x` again.

    Returns:
        The quantised signal, of the type of `x`.

    Raises:
        ValueError: A number of bits that is none.
    """
    steps = None if bits is None else steps_per_unit(bits, bipolar=bipolar)
    low = -1.0 if bipolar else 0.0
    if scale is None:
        return _uniform(x, steps, low, keep)
    scale = jnp.broadcast_to(jnp.asarray(scale, x.dtype), x.shape)
    return scale * _uniform(x / scale, steps, low, keep)


# Not `x + stop_gradient(q - x)`, which in float32 is a last digit away from the code.
@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _uniform(x: Array, steps: int | None, low: float, keep: bool) -> Array:
    clipped = lax.clamp(jnp.asarray(low, x.dtype), x, jnp.asarray(1.0, x.dtype))
    if steps is None:
        return clipped
    return lax.round(clipped * steps, lax.RoundingMethod.TO_NEAREST_EVEN) * (1.0 / steps)


@_uniform.defjvp
def _(
    steps: int | None, low: float, keep: bool, primals: Any, tangents: Any
) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    # Full scale itself is inside: a range from the largest sample keeps that sample's gradient.
    inside = (x >= low) & (x <= 1.0)
    if keep:
        inside = checkpoint_name(inside, INSIDE)
    return _uniform(x, steps, low, keep), jnp.where(inside, dx, jnp.zeros_like(dx))
