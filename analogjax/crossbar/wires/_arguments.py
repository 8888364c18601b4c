"""Arguments of an array: one sentence for each thing that is wrong, one description of the rest."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._checks import (
    check_choice,
    check_finite,
    check_not_negative,
    check_positive,
    check_whole,
    is_traced,
)
from ..._types import Array, Float
from ..cells import FunctionCell


class Description(eqx.Module):
    """The arguments of an array, checked and converted.

    Attributes:
        g: Conductances [S], or what the cells' law takes.
        v: Potentials of the drivers [V].
        v_bit: Potentials behind the sense amplifiers [V].
        r_word_line, r_bit_line, r_source, r_sense: Resistances [ohm].
        cell: Law of the cells, None for ohmic ones.
        shape: Rows and columns.
        rtol: Relative tolerance.
    """

    g: Any
    v: Float[Array, "batch rows"]
    v_bit: Float[Array, "batch cols"]
    r_word_line: Float[Array, "..."]
    r_bit_line: Float[Array, "..."]
    r_source: Float[Array, "..."]
    r_sense: Float[Array, "..."]
    cell: Any
    shape: tuple[int, int] = eqx.field(static=True)
    rtol: float = eqx.field(static=True)


def describe(
    g, v, r_word_line, r_bit_line, r_source, r_sense, v_bit_line, drive, cell, rtol, max_steps
) -> Description:
    """Check the arguments of `solve_crossbar` and convert them."""
    check_choice("drive", drive, ("left", "both"))
    check_whole("max_steps", max_steps)
    if cell is not None and not hasattr(cell, "current"):
        cell = FunctionCell(cell)
    if cell is None:
        if jnp.ndim(g) != 2 or 0 in jnp.shape(g):
            raise ValueError(
                f"Argument `g` must have shape (rows, cols), but has shape {jnp.shape(g)}."
            )
        check_not_negative("g", g, "S")
        rows, cols = jnp.shape(g)
    else:
        rows, cols = _shape_of_cells(g)
    if jnp.ndim(v) not in (1, 2) or jnp.shape(v)[-1] != rows or jnp.size(v) == 0:
        raise ValueError(
            f"Argument `v` must have shape ({rows},) or (batch, {rows}) to fit the {rows} word "
            f"lines of `g`, but has shape {jnp.shape(v)}."
        )
    check_finite("v", v)
    batch = jnp.shape(v)[0] if jnp.ndim(v) == 2 else 1
    _check_fits("v_bit_line", v_bit_line, [(cols,), (batch, cols)])
    check_finite("v_bit_line", v_bit_line)
    segments = cols + (drive == "both")
    _check_fits("r_word_line", r_word_line, [(rows, segments)])
    _check_fits("r_bit_line", r_bit_line, [(rows, cols)])
    _check_fits("r_source", r_source, [(rows,)])
    _check_fits("r_sense", r_sense, [(cols,)])
    check_not_negative("r_word_line", r_word_line, "ohm")
    check_not_negative("r_bit_line", r_bit_line, "ohm")
    for name, value in (("r_source", r_source), ("r_sense", r_sense)):
        if not is_traced(value):
            # An open terminal is as good as any finite one.
            check_not_negative(name, _connected(value), "ohm")
    _check_not_floating(g if cell is None else np.ones((rows, cols)), r_source, r_sense)

    dtype = jnp.result_type(v, 1.0)
    if cell is None:
        dtype = jnp.result_type(g, dtype)
        g = jnp.asarray(g, dtype)
    single = dtype == jnp.float32
    if rtol is None:
        rtol = (1e-6 if single else 1e-12) if cell is None else (1e-5 if single else 1e-10)
    check_positive("rtol", rtol)
    v = jnp.asarray(v, dtype).reshape(batch, rows)
    v_bit = jnp.broadcast_to(jnp.asarray(v_bit_line, dtype), (batch, cols))
    return Description(
        g=g,
        v=v,
        v_bit=v_bit,
        r_word_line=jnp.asarray(r_word_line, dtype),
        r_bit_line=jnp.asarray(r_bit_line, dtype),
        r_source=jnp.asarray(r_source, dtype),
        r_sense=jnp.asarray(r_sense, dtype),
        cell=cell,
        shape=(rows, cols),
        rtol=float(rtol),
    )


def _shape_of_cells(params: Any) -> tuple[int, int]:
    shapes = {jnp.shape(leaf)[:2] for leaf in jax.tree.leaves(params)}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2 or 0 in next(iter(shapes)):
        raise ValueError(
            f"Argument `g` must hold arrays whose first axes are the same (rows, cols) for the "
            f"law `cell`, but they are {sorted(shapes)}."
        )
    rows, cols = shapes.pop()
    return rows, cols


def _check_fits(name: str, value: Any, shapes: list[tuple[int, ...]]) -> None:
    if jnp.ndim(value) and jnp.shape(value) not in shapes:
        options = " or ".join(str(shape) for shape in shapes)
        raise ValueError(
            f"Argument `{name}` must be one number or have shape {options}, "
            f"but has shape {jnp.shape(value)}."
        )


def _connected(r: Any) -> np.ndarray:
    r = np.asarray(r)
    return np.where(r == np.inf, 0.0, r)


def _check_not_floating(g: Any, r_source: Any, r_sense: Any) -> None:
    """Raise if some lines have no path to any terminal: their potentials are not determined."""
    if is_traced(g) or is_traced(r_source) or is_traced(r_sense):
        return
    rows, cols = np.shape(g)
    held_word = np.broadcast_to(np.isfinite(np.asarray(r_source)), (rows,))
    held_bit = np.broadcast_to(np.isfinite(np.asarray(r_sense)), (cols,))
    if not held_word.any() and not held_bit.any():
        raise ValueError(
            "Arguments `r_source` and `r_sense` must connect at least one line, but all are inf, "
            "so that the array floats."
        )
    joined = np.asarray(g) > 0
    while not (held_word.all() and held_bit.all()):
        word = held_word | (joined & held_bit).any(axis=1)
        bit = held_bit | (joined & word[:, None]).any(axis=0)
        if (word == held_word).all() and (bit == held_bit).all():
            kind, index = ("word", ~word) if not word.all() else ("bit", ~bit)
            raise ValueError(
                f"Argument `g` must join every floating line to a driven or sensed one, but "
                f"{kind} line {int(np.argmax(index))} has no path to any."
            )
        held_word, held_bit = word, bit
