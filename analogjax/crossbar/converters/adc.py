"""Analog to digital: the read-out of the bit lines."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import PRNGKeyArray

from ..._types import Array, Float
from ._converter import AbstractConverter, ConverterDraw, at_code
from .quantise import quantise, straight_through


class Adc(AbstractConverter):
    r"""ADCs, one per line (bit line).

    .. math:: y = Q\big((1 + g)\, x - o + n\big)

    with gain error ``g`` and offset ``o`` frozen, noise ``n`` (of the comparator, one number per
    conversion) fresh. ``Q`` clips at full scale and quantises. With a nonlinearity its decision
    levels are displaced: code ``k`` starts at ``k - 1/2 + INL_k`` LSB. The code is found as a
    successive approximation finds it: bit by bit from the highest, by comparison with this table.
    Where the levels are in order, any search gives the same code; where they are not, codes are
    missing.

    The gradient passes straight through ``Q`` (with a nonlinearity: through
    ``x - INL`` of the code found), and is zero beyond full scale, for `x` and for the magnitudes.

    Attributes and options: see `AbstractConverter`.
    """

    # Named here for type checkers, which would make one of the fields.
    __init__ = AbstractConverter.__init__

    def __call__(
        self,
        x: Float[Array, "*batch lines"],
        drawn: ConverterDraw | None = None,
        *,
        key: PRNGKeyArray | None = None,
        bipolar: bool = True,
    ) -> Float[Array, "*batch lines"]:
        """Return the codes that the ADCs give, in full scales.

        Args:
            x: Inputs in full scales; beyond them the code stays at its end.
            drawn: What `draw` returned for these lines; None for no drawn error (a
                `PolynomialInl` is not drawn, and stays).
            key: For the noise of this conversion; None for no noise.
            bipolar: Whether full scale is from -1 to 1, else from 0 to 1.
        """
        gain, offset, curve = self._errors(x, drawn)
        v = x
        if gain is not None:
            v = v + gain * x
        if offset is not None:
            v = v - offset
        v = self._noisy(v, key)
        if curve is None or self.bits is None:
            return quantise(v, self.bits, bipolar=bipolar)
        lsb = self.lsb(bipolar=bipolar)
        middle, lowest = (2 ** (self.bits - 1), 1) if bipolar else (0, 0)
        code = _search(lax.stop_gradient(v / lsb + (middle + 0.5)), lax.stop_gradient(curve))
        code = jnp.maximum(code, jnp.int32(lowest))
        found = (code - jnp.int32(middle)).astype(v.dtype) * lsb
        # A search finds a code for nan too: it stays nan instead.
        found = jnp.where(jnp.isnan(v), v, found)
        through = quantise(v, None, bipolar=bipolar) - lsb * at_code(curve, code)
        return straight_through(through, found)


def _search(position: Array, curve: Float[Array, "lines codes"]) -> Array:
    """Return the code of every position [LSB], of which code k starts at ``k + curve[k]``."""
    bits = curve.shape[1].bit_length() - 1
    levels = curve + jnp.arange(2**bits, dtype=curve.dtype)[None]
    code = jnp.zeros(position.shape, jnp.int32)
    for bit in reversed(range(bits)):
        trial = code + jnp.int32(2**bit)
        code = jnp.where(position >= at_code(levels, trial), trial, code)
    return code
