"""Digital to analog: the drivers of the word lines."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..._types import Array, Float
from ._converter import AbstractConverter, ConverterDraw, at_code
from .quantise import quantise


class Dac(AbstractConverter):
    r"""DACs, one per line (word line).

    .. math:: y = (1 + g)\, x_q + \mathrm{INL}(x_q) + o + n

    with the input clipped at full scale and quantised to ``x_q`` (`quantise`), gain error ``g``,
    offset ``o`` and nonlinearity frozen, noise ``n`` fresh. The gradient by `x` is ``1 + g``
    (straight through), and zero beyond full scale; those by the magnitudes are exact.

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
        """Return what the DACs put out, in full scales.

        Args:
            x: Inputs in full scales, clipped to [-1, 1], or to [0, 1] if not bipolar.
            drawn: What `draw` returned for these lines; None for no drawn error (a
                `PolynomialInl` is not drawn, and stays).
            key: For the noise of this conversion; None for no noise.
            bipolar: Whether full scale is from -1 to 1.
        """
        # A product's gradient needs its inputs anyway.
        q = quantise(x, self.bits, bipolar=bipolar, keep=False)
        gain, offset, curve = self._errors(x, drawn)
        y = q
        if gain is not None:
            y = y + gain * q
        if curve is not None and self.bits is not None:
            middle = 2 ** (self.bits - 1) if bipolar else 0
            lsb = self.lsb(bipolar=bipolar)
            # XLA casts nan to 0, so that its code is one too (and the sum stays nan).
            code = jnp.round(q / lsb).astype(jnp.int32) + jnp.int32(middle)
            y = y + lsb * at_code(curve, code)
        if offset is not None:
            y = y + offset
        return self._noisy(y, key)
