"""Arrays of cells with a law of their own: Newton's method on the linear array.

At the cell voltages ``d`` each cell is replaced by its tangent, a conductance ``I'(d)`` beside a
current source, and the linear array gives the next ``d`` together with the currents ``c`` that its
wires deliver to the cells. Along the step both move on straight lines, so that Kirchhoff's laws
hold in every wire and what is missing is ``I(d) - c`` alone. The step is halved until that falls;
it does for short ones, because to first order a step of ``t`` removes the share ``t`` of it.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, Bool, Float, Int
from .circuit import Field, Wires, flip
from .linear import field, prepare

# A step this often halved is of the order of round-off.
HALVINGS = 40

Cells = Float[Array, "rows cols"]


def newton(
    cell: Any, params: Any, wires: Wires, source: Field, *, rtol: float, max_steps: int
) -> tuple[Field, Float[Array, "rows 1 cols"], Bool[Array, " 1"], Int[Array, " 1"]]:
    """Solve an array of nonlinear cells for one vector.

    First derivatives are exact in both modes: the last step is taken from a point held fixed, and
    Newton's step from the solution has the solution's derivative. Second derivatives are not.

    Returns:
        The unknowns, the currents of the cells [A], whether it converged, and the steps it took.
    """
    still_cell, still_params, still_wires, still_source = (
        jax.tree.map(lambda x: lax.stop_gradient(x) if eqx.is_array(x) else x, tree)
        for tree in (cell, params, wires, source)
    )
    # The tangent's solve may not limit Newton's accuracy.
    tight = min(rtol, 1e-6 if source.b.dtype == jnp.float32 else 1e-12)

    def law(d: Cells) -> tuple[Cells, Cells]:
        def current(d: Cells) -> Cells:
            return _currents(still_cell, still_params, d)

        i, slope = jax.jvp(current, (d,), (jnp.ones_like(d),))
        # A falling characteristic is given a flat tangent: the array must stay passive.
        return i, jnp.maximum(slope, 0.0)

    def tangent_solve(d: Cells, i: Cells, slope: Cells) -> tuple[Cells, Cells]:
        x, _ = field(
            prepare(slope, still_wires),
            _with_cells(still_source, i - slope * d),
            rtol=tight,
            max_steps=max_steps,
        )
        d_next = _cell_voltages(x)
        return d_next, i + slope * (d_next - d)

    def unfinished(carry):
        *_, missing, scale, steps = carry
        # True for nan as well, which the limit ends. The first step has no start to compare with.
        return ~(missing <= rtol * scale) & (steps < max_steps)

    def step(carry):
        d, c, i, slope, *_, steps = carry
        d_next, c_next = tangent_solve(d, i, slope)
        # At the start Kirchhoff's laws do not hold in the wires: the first step is taken in full.
        norm = jnp.where(steps == 0, jnp.inf, jnp.sqrt(jnp.sum((i - c) ** 2)))

        def too_long(search):
            t, (_, c_t, i_t, slope_t), halvings = search
            norm_t = jnp.sqrt(jnp.sum((i_t - c_t) ** 2))
            fell = (norm_t <= (1 - 1e-4 * t) * norm) & jnp.all(jnp.isfinite(slope_t))
            small = norm_t <= 0.1 * rtol * jnp.max(jnp.abs(i_t))
            enough = fell | small | (steps == 0) | (halvings >= HALVINGS)
            return (halvings < 0) | ~enough

        def halve(search):
            t, _, halvings = search
            t = t / 2
            d_t = d + t * (d_next - d)
            return t, (d_t, c + t * (c_next - c), *law(d_t)), halvings + 1

        # The first halving is to one.
        start = jnp.full((), 2.0, d.dtype), (d, c, i, slope), -1
        _, (d, c, i, slope), _ = lax.while_loop(too_long, halve, start)
        return d, c, i, slope, jnp.max(jnp.abs(i - c)), jnp.max(jnp.abs(i)), steps + 1

    still = jnp.zeros_like(source.b[:, 0])
    far = jnp.full((), jnp.inf, still.dtype)
    *_, missing, scale, steps = carry = lax.while_loop(
        unfinished, step, (still, still, *law(still), far, jnp.zeros_like(far), 0)
    )
    d, _, _, slope, *_ = lax.stop_gradient(carry)

    fixed = _currents(cell, params, d) - slope * d
    x, status = field(
        prepare(slope, wires), _with_cells(source, fixed), rtol=tight, max_steps=max_steps
    )
    device = fixed + slope * _cell_voltages(x)
    ok = (missing <= rtol * scale) & jnp.all(jnp.isfinite(device)) & status.ok
    return x, device[:, None], ok, jnp.asarray(steps, jnp.int32)[None]


def _currents(cell: Any, params: Any, d: Cells) -> Cells:
    return jax.vmap(jax.vmap(cell.current))(d, params)


def _with_cells(source: Field, fixed: Cells) -> Field:
    """Add the cells' current sources: out of the word line, into the bit line."""
    fixed = fixed[:, None]
    return eqx.tree_at(lambda s: (s.u, s.b), source, (source.u + flip(fixed), source.b - fixed))


def _cell_voltages(x: Field) -> Cells:
    return (flip(x.u) - x.b)[:, 0]
