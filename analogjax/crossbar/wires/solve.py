"""`solve_crossbar` and `effective_conductance`: an array with its wires, exactly."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from ..._checks import is_traced
from ..._types import Array, Bool, Float
from ._arguments import Description, describe
from .circuit import Field, Wires, join, sources
from .linear import field, prepare
from .nonlinear import newton
from .ports import reduce, transfer
from .solution import Solution, show

MAX_STEPS = 1000

# Numbers that the vectors solved together hold side by side at one node of a line. More of them
# leave the cache, fewer pay for the steps of a pass. Assumed, not yet tuned.
WIDTH = 2048

# Lines along an array's shorter side below which its effective conductance is found column by
# column: as fast there, and a smaller program to compile than that of blocks of cells.
COLUMNS = 64


def solve_crossbar(
    g: Any,
    v: ArrayLike,
    *,
    r_word_line: ArrayLike,
    r_bit_line: ArrayLike,
    r_source: ArrayLike = 0.0,
    r_sense: ArrayLike = 0.0,
    v_bit_line: ArrayLike = 0.0,
    drive: str = "left",
    cell: Any = None,
    rtol: float | None = None,
    max_steps: int = MAX_STEPS,
    throw: bool = True,
) -> Solution:
    r"""Solve an array of cells with the resistance of its wires.

    Rows are word lines, driven at the left; columns are bit lines, grounded at the bottom. Between
    two cells, and between the outermost cell and its terminal, lies one segment:

        (u[i,j] - u[i,j-1]) / r_w + (u[i,j] - u[i,j+1]) / r_w + I(u[i,j] - b[i,j]) = 0
        (b[i,j] - b[i-1,j]) / r_b + (b[i,j] - b[i+1,j]) / r_b - I(u[i,j] - b[i,j]) = 0

    with ``u[i,-1] = v[i]`` behind `r_source` and ``b[rows,j] = v_bit_line[j]`` behind `r_sense`.
    Zero resistances are exact, also as traced values (their derivative is the one from above). The
    result is differentiable in `g`, `v`, `v_bit_line` and every resistance, forwards and backwards,
    at the cost of one more solve.

    Args:
        g: Conductance of each cell [S], shape (rows, cols), 0 for an open cell. With `cell`: what
            its `current` takes as second argument, arrays whose first axes are (rows, cols).
        v: Potentials of the drivers [V], shape (rows,) or (batch, rows).
        r_word_line: Resistance of a word line's segment [ohm]: one number, or (rows, cols) for the
            segments left of each cell ((rows, cols + 1) if driven at both ends).
        r_bit_line: Resistance of a bit line's segment [ohm]: one number, or (rows, cols) for the
            segments below each cell.
        r_source: Resistance of the drivers [ohm], one number or (rows,); inf where a word line
            floats.
        r_sense: Resistance of the sense amplifiers [ohm], one number or (cols,); inf where a bit
            line floats.
        v_bit_line: Potential behind the sense amplifiers [V]: one number, (cols,) or (batch, cols).
        drive: "left", or "both" for word lines with the same driver at each end.
        cell: Law of the cells, ``cell.current(v, params)`` of one cell [A], for instance
            `analogjax.crossbar.Sinh`; monotone in the voltage. None for ohmic cells.
        rtol: Relative tolerance. Ohmic cells: of the power of the error, as a root, 1e-12 in
            float64 and 1e-6 in float32 unless given. Other cells: of the largest cell current,
            1e-10 and 1e-5.
        max_steps: Most iterations.
        throw: Raise if the solve did not converge. Under `jax.jit` nothing can be raised: look at
            `solution.ok`.

    Returns:
        A `Solution`; `solution.currents.output` [A] has shape (..., cols).

    Raises:
        ValueError: A resistance or conductance is negative or not finite, shapes do not fit, or
            lines float without a path to any terminal.
        RuntimeError: The solve did not converge (`throw`).

    Source: Kirchhoff's laws; Golden 1 and 2 of the tests are a ladder's closed form and
    ``badcrossbar`` (Joksas and Mehonic, SoftwareX 12, 100617 (2020)).
    """
    described = describe(
        g, v, r_word_line, r_bit_line, r_source, r_sense, v_bit_line, drive, cell, rtol, max_steps
    )
    solution = _solve_batch(described, drive=drive, max_steps=max_steps)
    if throw:
        _raise_unless(solution.ok, max_steps)
    return solution if jnp.ndim(v) == 2 else jax.tree.map(lambda x: x[0], solution)


def effective_conductance(
    g: ArrayLike,
    *,
    r_word_line: ArrayLike,
    r_bit_line: ArrayLike,
    r_source: ArrayLike = 0.0,
    r_sense: ArrayLike = 0.0,
    drive: str = "left",
    throw: bool = True,
) -> Float[Array, "rows cols"]:
    """Return the matrix [S] that an array of ohmic cells multiplies with, its wires included.

    ``solve_crossbar(g, v, ...).currents.output == v @ effective_conductance(g, ...)`` for grounded
    bit lines: compute it once for a programmed array, and every batch is one matrix product. An
    array of 64 lines and more is eliminated directly, block by block (see `ports`): ``O(n^3)``
    operations in ``O(log n)`` batches of matrix products. Differentiable in every argument,
    forwards and backwards, any number of times.

    Arguments and errors as `solve_crossbar`. Under `jax.jit`, where nothing can be raised, the
    matrix of an array that floats, or of columns that did not converge, is not finite.
    """
    rows = np.shape(g)[0] if np.ndim(g) == 2 else 1
    v = jnp.zeros(rows, jnp.result_type(g, 1.0))
    described = describe(
        g, v, r_word_line, r_bit_line, r_source, r_sense, 0.0, drive, None, None, MAX_STEPS
    )
    ends = (r_source, r_sense)
    closed = not any(is_traced(r) or np.isinf(np.asarray(r)).any() for r in ends)
    result = _effective(described, drive=drive, closed=closed)
    if throw and not is_traced(result) and not np.isfinite(np.asarray(result)).all():
        raise RuntimeError(
            "effective_conductance found no finite matrix: lines float, or conductances and "
            "resistances differ too much for the precision. Use float64, or `solve_crossbar`."
        )
    return result


@partial(jax.jit, static_argnames=("drive", "max_steps"))
def _solve_batch(d: Description, *, drive: str, max_steps: int) -> Solution:
    wires = _wires(d, drive)
    if d.cell is not None:

        def one(v_word, v_bit):
            source = sources(v_word[None], v_bit[None], wires)
            solved = newton(d.cell, d.g, wires, source, rtol=d.rtol, max_steps=max_steps)
            return jax.tree.map(lambda x: x[0], show(*solved))

        return jax.vmap(one)(d.v, d.v_bit)
    array = prepare(d.g, wires)

    def chunk(potentials):
        v_word, v_bit = potentials
        source = sources(v_word, v_bit, wires)
        x, status = field(array, source, rtol=d.rtol, max_steps=max_steps)
        device = array.g[:, None] * (jnp.swapaxes(x.u, 0, 2) - x.b)
        return show(x, device, status.ok, status.iterations)

    return _in_chunks(chunk, (d.v, d.v_bit), max(d.g.shape))


@partial(jax.jit, static_argnames=("drive", "closed"))
def _effective(d: Description, *, drive: str, closed: bool) -> Float[Array, "rows cols"]:
    wires = _wires(d, drive)
    if min(d.shape) < COLUMNS:
        return _by_columns(d, wires)
    word_far = None if wires.word_far is None else wires.word_far[::-1]
    return transfer(
        reduce(d.g[::-1], wires.word.T[::-1], wires.bit[::-1], open_end=word_far is None),
        word_far,
        wires.word_closed[::-1],
        wires.bit_closed,
        closed=closed,
    )[::-1]


def _by_columns(d: Description, wires: Wires) -> Float[Array, "rows cols"]:
    array = prepare(d.g, wires)
    rows, cols = d.shape
    # The circuit is reciprocal: what one volt at bit line j drives out of word line i is what one
    # volt at word line i drives out of bit line j.
    from_word = rows <= cols
    unit = jnp.eye(min(rows, cols), dtype=d.g.dtype)
    still = jnp.zeros((len(unit), max(rows, cols)), d.g.dtype)

    # Recomputed backwards: the fields of all vectors together are large.
    @jax.checkpoint
    def chunk(potentials):
        v_word, v_bit = potentials
        source = sources(v_word, v_bit, wires)
        x, status = field(array, source, rtol=d.rtol, max_steps=MAX_STEPS)
        out = -x.i_bit[-1] if from_word else -_at_drivers(x)
        return jnp.where(status.ok[:, None], out, jnp.nan)

    out = _in_chunks(chunk, (unit, still) if from_word else (still, unit), max(rows, cols))
    return out if from_word else out.T


def _at_drivers(x: Field) -> Float[Array, "vectors rows"]:
    return x.i_word[0] if x.i_far is None else x.i_word[0] + x.i_far


def _wires(d: Description, drive: str) -> Wires:
    rows, cols = d.shape
    return join(
        rows,
        cols,
        d.v.dtype,
        r_word_line=d.r_word_line,
        r_bit_line=d.r_bit_line,
        r_source=d.r_source,
        r_sense=d.r_sense,
        drive=drive,
    )


def _in_chunks(function, vectors, length: int):
    """Map over vectors as many at a time as the cache holds."""
    count = len(vectors[0])
    size = min(count, max(1, WIDTH // length))
    chunks = -(-count // size)
    if chunks == 1:
        return function(vectors)
    # Vectors of zeros fill the last chunk: they are solved before the first iteration.
    filled = jax.tree.map(
        lambda x: jnp.pad(x, ((0, chunks * size - count), (0, 0))).reshape(chunks, size, -1),
        vectors,
    )
    results = lax.map(function, filled)
    return jax.tree.map(lambda x: x.reshape(chunks * size, *x.shape[2:])[:count], results)


def _raise_unless(ok: Bool[Array, " vectors"], max_steps: int) -> None:
    if not is_traced(ok) and not np.all(ok):
        raise RuntimeError(
            f"solve_crossbar did not converge for {int(np.sum(~np.asarray(ok)))} of {ok.size} "
            f"vectors within {max_steps} iterations: allow more (`max_steps`), ask for less "
            f"(`rtol`), use float64, or look at `solution.ok` of `throw=False`."
        )
