"""Arrays of ohmic cells: conjugate gradients on the bit lines, implicit derivatives.

With the word lines' potentials eliminated, ``u = W G b + u_0``, and the bit lines' potentials
written as those of currents fed into them, ``b = B s + b_0``, the currents of the cells are those
of word lines at ``u``:

    s = G u = G W G B s + c,        c = G (W G b_0 + u_0).

``W`` and ``B`` are the passes of `lines`. In the inner product ``<x, B y>`` (what the currents
dissipate) the operator ``1 - G W G B`` is symmetric with eigenvalues from 0 to 1, most of them at
1: that of conjugate gradients preconditioned by the bit lines alone, written in currents, so that
``1 / r`` never appears.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, Bool, Float, Int
from .circuit import BitNodes, Field, Wires, equations, flip
from .lines import Lines, eliminate


class Elimination(eqx.Module):
    """What every solve of a programmed array shares.

    Attributes:
        g: Conductances of the cells [S].
        wires: Resistances.
        word: Word lines, eliminated.
        bit: Bit lines, eliminated.
    """

    g: Float[Array, "rows cols"]
    wires: Wires
    word: Lines
    bit: Lines


class Status(eqx.Module):
    """How the iteration ended.

    Attributes:
        ok: Whether the tolerance was met, and the circuit's equations are.
        iterations: Iterations until it was, of each vector.
    """

    ok: Bool[Array, " vectors"]
    iterations: Int[Array, " vectors"]


def prepare(g: Float[Array, "rows cols"], wires: Wires) -> Elimination:
    """Eliminate word lines and bit lines, once for all vectors and both directions."""
    # `field` is differentiated implicitly: no derivative passes through the elimination.
    still_g, still = lax.stop_gradient((g, wires))
    word = eliminate(still_g.T, still.word, still.word_closed, still.word_far)
    bit = eliminate(still_g, still.bit, still.bit_closed, backwards=True)
    return Elimination(g, wires, word, bit)


def field(
    array: Elimination, source: Field, *, rtol: float, max_steps: int
) -> tuple[Field, Status]:
    """Return potentials and currents for a right-hand side, differentiable in both modes.

    Args:
        array: The eliminated array.
        source: Right-hand side; see `Field`.
        rtol: Stop when the error's power has fallen to the square of this share of the sources'.
        max_steps: Most iterations.
    """
    still_g = lax.stop_gradient(array.g)

    def solve(_, rhs: Field) -> tuple[Field, Status]:
        return _solve(still_g, array.word, array.bit, rhs, rtol, max_steps)

    # The transpose rule wants every part of a right-hand side to depend on what is derived by: of
    # this one, of the gradient's (the solution's cotangent), and of the matrix times the solution.
    tie = _tie((array.g, array.wires))

    def matrix(x: Field) -> Field:
        image = equations(array.g, array.wires, x)
        return jax.tree.map(lambda y, x: y + tie * x, image, x)

    x, status = lax.custom_linear_solve(
        matrix, _add(source, _tie(source)), solve, symmetric=True, has_aux=True
    )
    return _add(x, _tie(x)), status


def _tie(tree):
    """Return 0, as a sum of one entry of every array."""
    floats = (x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact))
    return sum(0 * x[(0,) * x.ndim] for x in floats)


def _add(tree, value):
    return jax.tree.map(lambda x: x + value, tree)


def _solve(g, word: Lines, bit: Lines, rhs: Field, rtol: float, max_steps: int):
    g = g[:, None]
    g_word = flip(g)

    # Sources on the bit lines alone, then on the word lines too.
    b_0, *_ = bit.solve(-rhs.b, rhs.i_bit, None)
    u_0, *_ = word.solve(g_word * flip(b_0) - rhs.u, rhs.i_word, rhs.i_far)
    correction, iterations, converged = _conjugate_gradients(
        lambda b: g * flip(word.potentials(g_word * flip(b))),
        bit.potentials,
        g * flip(u_0),
        rtol,
        max_steps,
    )
    # The last two passes satisfy the equations of all lines, and contract the error once more.
    b_1 = b_0 + correction
    u, i_word, i_far = word.solve(g_word * flip(b_1) - rhs.u, rhs.i_word, rhs.i_far)
    b, i_bit, _ = bit.solve(g * flip(u) - rhs.b, rhs.i_bit, None)
    # The change of those passes is the residual that is really left; the iteration only carried it
    # along. A hundred times more than asked for would be a breakdown.
    left = _per_vector(g * (b - b_1) ** 2)
    scale = _per_vector(g * (flip(u) ** 2 + b**2))
    ok = converged & jnp.isfinite(left) & (left <= (100 * rtol) ** 2 * scale)
    return Field(u, i_word, i_far, b, i_bit), Status(ok, iterations)


def _conjugate_gradients(
    transfer, potentials, c: BitNodes, rtol: float, max_steps: int
) -> tuple[BitNodes, Int[Array, " vectors"], Bool[Array, " vectors"]]:
    """Return the potentials ``b`` of ``s = transfer(b) + c``, ``b = potentials(s)``."""
    z = potentials(c)
    power = _per_vector(c * z)
    target = rtol**2 * power

    def unfinished(carry):
        *_, power, steps = carry
        return jnp.any(power > target) & (jnp.max(steps) < max_steps)

    def step(carry):
        b, r, p, s, power, steps = carry
        q = s - transfer(p)
        curvature = _per_vector(p * q)
        # Vectors that have converged stay as they are: the result of one is not its neighbours'.
        go = (power > target) & (curvature > 0)
        alpha = jnp.where(go, power / jnp.where(go, curvature, 1.0), 0.0)[None, :, None]
        b = b + alpha * p
        r = r - alpha * q
        z = potentials(r)
        # Round-off may leave the smallest powers below zero.
        after = jnp.abs(_per_vector(r * z))
        beta = jnp.where(go, after / jnp.where(go, power, 1.0), 0.0)[None, :, None]
        return b, r, z + beta * p, r + beta * s, after, steps + (power > target)

    steps = jnp.zeros(c.shape[1], jnp.int32)
    b, *_, power, steps = lax.while_loop(
        unfinished, step, (jnp.zeros_like(c), c, z, c, power, steps)
    )
    return b, steps, power <= target


def _per_vector(x: jax.Array) -> Float[Array, " vectors"]:
    return jnp.sum(x, axis=(0, 2))
