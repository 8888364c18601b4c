"""An array as a network with ports: blocks of cells, joined two by two (nested dissection).

A block of cells is known from outside by what its wires carry at its edge. At the ends of its lines
that face the terminals, the *near* ones, the potentials ``v`` are given, and the currents ``i``
into the block follow; at the *far* ends the currents ``j`` into the block are given, and the
potentials ``u`` follow. Of ohmic cells

    [ i ]   [  G  -N^T ] [v]
    [-u ] = [ -N  -R   ] [j],

with a conductance ``G``, a resistance ``R`` and the shares ``N`` of potentials that reach far ends;
the matrix ``M`` is symmetric. Two blocks are joined where far ends of the one, a, are near ends of
the other, b. With ``R`` of a and ``G`` of b there, and ``A`` and ``B`` the rows of ``M`` from all
other ports to these, the ports left have

    M = [ M_a + A^T G F A    -(B^T F A)^T   ]
        [     -B^T F A     M_b - B^T F R B ],      F = (1 + R G)^-1,

which is `lines`' ``f = 1 / (1 + r Y)`` for many lines at once: nothing is divided by a resistance,
and zero ohm is a number like any other.
"""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._types import Array, Bool, Float

# Lines across the smallest blocks: at least so many, less than twice as many. Fewer waste more on
# filling an array up to whole blocks; more are joined with less in parallel.
SMALLEST = 8

# Directions in which blocks are joined, and the kinds of ports.
WORD, BIT = 0, 1
NEAR, FAR = 0, 2


class Ports(eqx.Module):
    """Blocks of cells, seen from their ports.

    Attributes:
        m: The matrix that gives currents into near ends [A] and minus potentials at far ends [V].
        kinds: What each port is, ``NEAR`` or ``FAR`` plus ``WORD`` or ``BIT``; those of one kind
            are in the order of their lines.
    """

    m: Float[Array, "*blocks ports ports"]
    kinds: tuple[int, ...] = eqx.field(static=True)

    def of_kind(self, kind: int) -> np.ndarray:
        """Return where the ports of a kind are."""
        return np.flatnonzero(np.asarray(self.kinds) == kind)


def reduce(
    g: Float[Array, "rows cols"],
    word: Float[Array, "rows cols"],
    bit: Float[Array, "rows cols"],
    *,
    open_end: bool,
) -> Ports:
    """Return a whole array, seen from its ends.

    Lines that pass everything on follow behind the last.

    Args:
        g: Conductances of the cells [S], the first next to the terminals along both directions.
        word: Resistances of the segments before each cell of a word line [ohm].
        bit: Resistances of the segments below each cell of a bit line [ohm].
        open_end: Whether the far ends of the word lines are open; if not, they remain ports.
    """
    rows, cols = g.shape
    (height, levels_r), (width, levels_c) = _smallest(rows), _smallest(cols)
    # Filled up with cells of 0 S and wires of 0 ohm.
    filling = ((0, (height << levels_r) - rows), (0, (width << levels_c) - cols))
    m = _cells(*(jnp.pad(x, filling) for x in (g, word, bit)))
    m = m.reshape(1 << levels_r, height, 1 << levels_c, width, 4, 4)
    kinds = (NEAR + WORD, NEAR + BIT, FAR + WORD, FAR + BIT)
    lines = _in_line(Ports(jnp.moveaxis(m, 3, 0), kinds), WORD)
    blocks = _in_line(Ports(jnp.moveaxis(lines.m, 1, 0), lines.kinds), BIT)
    while blocks.m.shape[:2] != (1, 1):
        down, across = blocks.m.shape[:2]
        # Squares have the fewest ports.
        if down == 1 or (across > 1 and width <= height):
            pair = (Ports(blocks.m[:, k::2], blocks.kinds) for k in (0, 1))
            blocks, width = _join(*pair, WORD, across == 2 and open_end), 2 * width
        else:
            pair = (Ports(blocks.m[k::2], blocks.kinds) for k in (0, 1))
            blocks, height = _join(*pair, BIT, down == 2), 2 * height
    return Ports(blocks.m[0, 0], blocks.kinds)


def transfer(
    array: Ports,
    word_far: Float[Array, " rows"] | None,
    word_closed: Bool[Array, " rows"],
    bit_closed: Bool[Array, " cols"],
    *,
    closed: bool,
) -> Float[Array, "rows cols"]:
    """Return the currents [A] out of each bit line's near end from one volt at each word line's.

    Args:
        array: The array, from `reduce`.
        word_far: Resistance between the far ends of the word lines and their drivers [ohm].
        word_closed: Whether the word line's drivers are connected.
        bit_closed: Whether the bit line's sense amplifier is connected.
        closed: Whether it is known that all are.
    """
    rows, cols = len(word_closed), len(bit_closed)
    word, bit = array.of_kind(NEAR + WORD)[:rows], array.of_kind(NEAR + BIT)[:cols]
    direct = -array.m[np.ix_(word, bit)]
    if word_far is None and closed:
        return direct

    far = array.of_kind(FAR + WORD)[:rows] if word_far is not None else np.zeros(0, int)
    ends = np.concatenate([word, bit, far])
    m = array.m[np.ix_(ends, ends)]

    def solved(_):
        # Of near ends the potential is given, or no current flows; of far ends the potential
        # before the resistance, or no current is given.
        near = jnp.concatenate([word_closed, bit_closed])
        given = jnp.concatenate([near, ~word_closed]) if word_far is not None else near
        matrix = jnp.where(jnp.arange(len(ends))[:, None] < rows + cols, m, -m)
        driven = jnp.diag(word_closed.astype(m.dtype))
        rhs = [driven, jnp.zeros((cols, rows), m.dtype)]
        if word_far is not None:
            rhs.append(driven)
            extra = jnp.concatenate([jnp.zeros(rows + cols, m.dtype), word_far])
            matrix = matrix + jnp.diag(extra)
        own = jnp.diag(matrix)
        # An open line without a conducting cell is given 0 V, a loop of 0 ohm 0 A.
        scale = jnp.where(own > 0, 1 / jnp.where(own > 0, own, 1.0), 1.0)
        matrix = scale[:, None] * matrix + jnp.diag(jnp.where(own > 0, 0.0, 1.0))
        eye = jnp.eye(len(ends), dtype=m.dtype)
        rhs = jnp.concatenate(rhs) * jnp.where(given, 1.0, scale)[:, None]
        x = jnp.linalg.solve(jnp.where(given[:, None], eye, matrix), rhs)
        return -(m[rows : rows + cols] @ x).T * bit_closed.astype(m.dtype)[None]

    if word_far is not None:
        return solved(None)
    every = jnp.all(word_closed) & jnp.all(bit_closed)
    return lax.cond(every, lambda _: direct, solved, None)


def _smallest(lines: int) -> tuple[int, int]:
    """Return the lines across the smallest blocks, and how often the blocks are doubled."""
    levels = 0
    while -(-lines >> (levels + 1)) >= SMALLEST:
        levels += 1
    return -(-lines >> levels), levels


def _cells(g, word, bit) -> Float[Array, "rows cols 4 4"]:
    f = 1 / (1 + (word + bit) * g)
    y = g * f
    # Shares of a potential that its own line passes on, without a subtraction.
    on_word, on_bit = f * (1 + bit * g), f * (1 + word * g)
    rows = [
        [y, -y, -on_word, -bit * y],
        [-y, y, -word * y, -on_bit],
        [-on_word, -word * y, -word * on_word, -word * bit * y],
        [-bit * y, -on_bit, -word * bit * y, -bit * on_bit],
    ]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def _in_line(blocks: Ports, direction: int) -> Ports:
    """Join all blocks along the first axis."""
    # The other axes as one: XLA's matrix products on CPUs refuse more than eight, of which arrays
    # side by side (vmap) take some.
    m = blocks.m
    joined = _chain(Ports(m.reshape(len(m), -1, *m.shape[-2:]), blocks.kinds), direction)
    return Ports(joined.m.reshape(*m.shape[1:-2], *joined.m.shape[-2:]), joined.kinds)


def _chain(blocks: Ports, direction: int) -> Ports:
    m, kinds = blocks.m, blocks.kinds
    if len(m) == 1:
        return Ports(m[0], kinds)
    half, beside = len(m) // 2, m.shape[1]
    halves = jnp.swapaxes(m[: 2 * half].reshape(2, half, *m.shape[1:]), 0, 1)
    both = _chain(Ports(halves.reshape(half, 2 * beside, *m.shape[2:]), kinds), direction)
    parts = (Ports(both.m[:beside], both.kinds), Ports(both.m[beside:], both.kinds))
    joined = _join(*parts, direction)
    return _join(joined, Ports(m[-1], kinds), direction) if len(m) % 2 else joined


def _join(a: Ports, b: Ports, direction: int, last: bool = False) -> Ports:
    """Connect the far ends of a's lines to the near ends of b's; with `last`, drop b's far ends."""
    kinds_a, kinds_b = np.asarray(a.kinds), np.asarray(b.kinds)
    kept_a = np.flatnonzero(kinds_a != FAR + direction)
    kept_b = (kinds_b != NEAR + direction) & ~(last & (kinds_b == FAR + direction))
    kept_b = np.flatnonzero(kept_b)
    m = _eliminate(
        _arrange(a.m, np.concatenate([a.of_kind(FAR + direction), kept_a])),
        _arrange(b.m, np.concatenate([b.of_kind(NEAR + direction), kept_b])),
        len(a.kinds) - len(kept_a),
    )
    kinds = (*kinds_a[kept_a].tolist(), *kinds_b[kept_b].tolist())
    # Without the barrier XLA computes again and again what several later blocks ask for.
    return Ports(lax.optimization_barrier(m), kinds)


def _arrange(m: jax.Array, order: np.ndarray) -> jax.Array:
    # Twice the rows, which lie together in memory: the matrix is symmetric.
    for _ in range(2):
        m = _t(jnp.take(m, order, -2, unique_indices=True, mode="clip"))
    return m


@partial(jax.checkpoint, static_argnums=2)
def _eliminate(a: jax.Array, b: jax.Array, k: int) -> jax.Array:
    """Return the matrix of the ports kept of two blocks that are connected at their first `k`."""
    r, g = -a[..., :k, :k], b[..., :k, :k]
    to_a, to_b = a[..., :k, k:], b[..., :k, k:]
    rg = r @ g
    f = _inverse(rg + jnp.broadcast_to(jnp.eye(k, dtype=r.dtype), rg.shape))
    f_a = f @ to_a
    across = -_t(to_b) @ f_a
    own_a = a[..., k:, k:] + _t(to_a) @ (g @ f_a)
    own_b = b[..., k:, k:] - _t(to_b) @ (f @ (r @ to_b))
    above = jnp.concatenate([own_a, _t(across)], -1)
    return jnp.concatenate([above, jnp.concatenate([across, own_b], -1)], -2)


def _t(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, -1, -2)


@jax.custom_jvp
def _inverse(x: jax.Array) -> jax.Array:
    # With a derivative of its own: two products, whatever the factorisation.
    if x.shape[-1] == 1:
        return 1 / x
    lu, _, permutation = lax.linalg.lu(x)
    permuted = jnp.eye(x.shape[-1], dtype=x.dtype)[permutation]
    lower = {"left_side": True, "lower": True, "unit_diagonal": True}
    half = lax.linalg.triangular_solve(lu, permuted, **lower)
    return lax.linalg.triangular_solve(lu, half, left_side=True)


@_inverse.defjvp
def _(primals, tangents):
    f = _inverse(*primals)
    return f, -f @ tangents[0] @ f
