"""The circuit of an array: segments, terminals and their equations, as one symmetric system.

Unknown are the potential of every node and the current of every segment, so that no equation holds
the reciprocal of a resistance: a wire of zero ohm is a row of the system like any other.

    segment:  r_k i_k + (u_k - u_{k-1}) = e_k
    node:     i_k - i_{k+1} - g (u_k - b) = -h_k

Word lines are stored with their nodes (columns) first and bit lines with theirs (rows) first, each
as `lines` wants them; the currents run away from the terminal, which is the driver of a word line
and the sense amplifier of a bit line.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from ..._types import Array, Bool, Float

WordNodes = Float[Array, "cols vectors rows"]
BitNodes = Float[Array, "rows vectors cols"]


class Wires(eqx.Module):
    """Resistances of an array, ready for its equations.

    Attributes:
        word: Segment before (left of) each node, the driver's resistance in the first [ohm].
        bit: Segment below each node, the sense resistance in the last [ohm].
        word_far: Segment and driver behind the last node [ohm]; None if driven at the left alone.
        word_closed: Whether the word line's drivers are connected.
        bit_closed: Whether the bit line's sense amplifier is connected.
    """

    word: Float[Array, "cols rows"]
    bit: Float[Array, "rows cols"]
    word_far: Float[Array, " rows"] | None
    word_closed: Bool[Array, " rows"]
    bit_closed: Bool[Array, " cols"]


class Field(eqx.Module):
    """Potentials and currents of an array, or the right-hand side that belongs to them.

    Attributes:
        u: Potentials of the word lines [V]; on the right-hand side minus the currents fed in [A].
        i_word: Currents of their segments, to the right [A]; sources in them [V].
        i_far: Currents from the drivers at the right [A], None without; their sources [V].
        b: As `u`, of the bit lines.
        i_bit: Currents of their segments, upwards [A]; sources in them [V].
    """

    u: WordNodes
    i_word: WordNodes
    i_far: Float[Array, "vectors rows"] | None
    b: BitNodes
    i_bit: BitNodes


def flip(x: Float[Array, "nodes vectors lines"]) -> Float[Array, "lines vectors nodes"]:
    """Turn an array stored along word lines into one along bit lines, or back."""
    return jnp.swapaxes(x, 0, 2)


def join(
    rows: int,
    cols: int,
    dtype: jnp.dtype,
    *,
    r_word_line: Float[Array, "..."],
    r_bit_line: Float[Array, "..."],
    r_source: Float[Array, "..."],
    r_sense: Float[Array, "..."],
    drive: str,
) -> Wires:
    """Put segments and terminals in series. Arguments as `solve_crossbar`, shapes checked."""
    segments = cols + (drive == "both")
    word = jnp.broadcast_to(r_word_line, (rows, segments)).astype(dtype).T
    bit = jnp.broadcast_to(r_bit_line, (rows, cols)).astype(dtype)
    source = jnp.broadcast_to(r_source, (rows,)).astype(dtype)
    sense = jnp.broadcast_to(r_sense, (cols,)).astype(dtype)
    word_closed, bit_closed = jnp.isfinite(source), jnp.isfinite(sense)
    # The value in place of an open terminal is that of an equation that says: no current.
    source = jnp.where(word_closed, source, 0.0)
    sense = jnp.where(bit_closed, sense, 0.0)
    first = jnp.where(word_closed, word[0] + source, 1.0)
    last = jnp.where(bit_closed, bit[-1] + sense, 1.0)
    far = jnp.where(word_closed, word[-1] + source, 1.0) if drive == "both" else None
    return Wires(word[:cols].at[0].set(first), bit.at[-1].set(last), far, word_closed, bit_closed)


def sources(
    v_word: Float[Array, "vectors rows"],
    v_bit: Float[Array, "vectors cols"],
    wires: Wires,
) -> Field:
    """Return the right-hand side of terminals held at these potentials [V]."""
    rows, cols = wires.bit.shape
    word = jnp.where(wires.word_closed, v_word, 0.0)
    bit = jnp.where(wires.bit_closed, v_bit, 0.0)
    still_word = jnp.zeros((cols, *v_word.shape), v_word.dtype)
    still_bit = jnp.zeros((rows, *v_bit.shape), v_bit.dtype)
    return Field(
        u=still_word,
        i_word=still_word.at[0].set(word),
        i_far=None if wires.word_far is None else word,
        b=still_bit,
        i_bit=still_bit.at[-1].set(bit),
    )


def equations(g: Float[Array, "rows cols"], wires: Wires, x: Field) -> Field:
    """Apply the matrix of the circuit: symmetric, and finite for every resistance from zero up."""
    word_closed = wires.word_closed.astype(x.u.dtype)[None]
    bit_closed = wires.bit_closed.astype(x.u.dtype)[None]
    i_word = x.i_word.at[0].multiply(word_closed)
    i_bit = x.i_bit.at[-1].multiply(bit_closed)
    step_word = jnp.diff(x.u, axis=0, prepend=jnp.zeros_like(x.u[:1])).at[0].multiply(word_closed)
    step_bit = -jnp.diff(x.b, axis=0, append=jnp.zeros_like(x.b[:1]))
    step_bit = step_bit.at[-1].multiply(bit_closed)
    cells = g[:, None] * (flip(x.u) - x.b)
    node_word = -jnp.diff(i_word, axis=0, append=jnp.zeros_like(i_word[:1])) - flip(cells)
    node_bit = jnp.diff(i_bit, axis=0, prepend=jnp.zeros_like(i_bit[:1])) + cells
    far = None
    if wires.word_far is not None:
        assert x.i_far is not None
        node_word = node_word.at[-1].add(word_closed * x.i_far)
        far = wires.word_far[None] * x.i_far + word_closed * x.u[-1]
    return Field(
        u=node_word,
        i_word=wires.word[:, None] * x.i_word + step_word,
        i_far=far,
        b=node_bit,
        i_bit=wires.bit[:, None] * x.i_bit + step_bit,
    )
