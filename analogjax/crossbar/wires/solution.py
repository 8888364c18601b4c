"""What a solved array shows: currents, voltages, and whether the solve converged."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from ..._types import Array, Bool, Float, Int
from .circuit import Field, flip


class Currents(eqx.Module):
    """Currents of an array [A].

    Attributes:
        output: Out of each bit line, into its sense amplifier.
        device: Through each cell, from word line to bit line.
        word_line: Through the segment left of each cell, to the right; driven at both ends, the
            segment behind the last cell too.
        bit_line: Through the segment below each cell, downwards.
    """

    output: Float[Array, "*batch cols"]
    device: Float[Array, "*batch rows cols"]
    word_line: Float[Array, "*batch rows segments"]
    bit_line: Float[Array, "*batch rows cols"]


class Voltages(eqx.Module):
    """Potentials of an array's nodes [V].

    Attributes:
        word_line: Of the word line at each cell.
        bit_line: Of the bit line at each cell.
    """

    word_line: Float[Array, "*batch rows cols"]
    bit_line: Float[Array, "*batch rows cols"]


class Solution(eqx.Module):
    """A solved array.

    Attributes:
        currents: See `Currents`.
        voltages: See `Voltages`.
        ok: Whether the solve converged, for each vector.
        iterations: Iterations it took: of conjugate gradients, or of Newton's method if the cells
            are not ohmic.
    """

    currents: Currents
    voltages: Voltages
    ok: Bool[Array, "*batch"]
    iterations: Int[Array, "*batch"]


def show(x: Field, device: Float[Array, "rows vectors cols"], ok, iterations) -> Solution:
    """Turn the unknowns of a circuit into a `Solution` of a batch of vectors."""
    along_word = jnp.transpose(x.i_word, (1, 2, 0))
    if x.i_far is not None:
        along_word = jnp.concatenate([along_word, -x.i_far[..., None]], axis=-1)
    along_bit = -jnp.swapaxes(x.i_bit, 0, 1)
    return Solution(
        Currents(along_bit[:, -1], jnp.swapaxes(device, 0, 1), along_word, along_bit),
        Voltages(jnp.swapaxes(flip(x.u), 0, 1), jnp.swapaxes(x.b, 0, 1)),
        ok,
        iterations,
    )
