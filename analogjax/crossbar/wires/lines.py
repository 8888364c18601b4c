"""Parallel lines as ladders: the potentials along each line by two passes, exact at zero ohm.

A line is a chain of nodes. Node ``k`` hangs on its predecessor by a segment of ``r_k`` ohm (the
first on a terminal, node -1, which stands at 0 V) and feeds a cell of conductance ``g_k`` to a
potential outside. With the current ``h_k`` into node ``k`` and the source ``e_k`` in segment ``k``,

    r_k i_k = u_{k-1} - u_k + e_k,        i_k - i_{k+1} = g_k u_k - h_k.

All beyond a node is one conductance and one current (Norton), ``i_k = Y_k u_k - J_k``, found from
the far end:

    Y_k = g_k + Y_{k+1} f_{k+1},     J_k = h_k + f_{k+1} (J_{k+1} - Y_{k+1} e_{k+1}),
    f_k = 1 / (1 + r_k Y_k),         u_k = f_k (u_{k-1} + e_k + r_k J_k).

This is Gauss's elimination of a tridiagonal matrix, written in resistances: nothing is divided by
one of them, and for currents of one sign nothing is subtracted. A terminal that is open (a floating
line) has ``f_0 = 0`` and ``u_0 = J_0 / Y_0``. A second terminal, behind the far node, is a rank-one
correction of the line without it.

The nodes run along the first axis and the lines along the last, so that a pass works on contiguous
vectors; vectors solved together lie between them.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, Bool, Float

# Coefficients have an axis of length one in place of the vectors solved together.
Coefficient = Float[Array, "nodes 1 lines"]
Nodes = Float[Array, "nodes vectors lines"]
Ends = Float[Array, "vectors lines"]


class FarEnd(eqx.Module):
    """A second terminal behind the far node of each line.

    Attributes:
        response: Potentials per unit current into the far node [ohm].
        conductance: Of the loop from the far terminal through its segment and the line [S].
    """

    response: Coefficient
    conductance: Float[Array, "1 lines"]


class Lines(eqx.Module):
    """The elimination of a family of lines: what depends on conductances and resistances alone.

    Attributes:
        f: Share of a potential step that reaches the node.
        z: Resistance of the node to ground, as its cell sees it from the near side [ohm].
        y: Conductance of the node and all beyond it [S].
        far: The second terminal, None if every far end is open.
        backwards: Whether the first node (next to the terminal) is stored last.
    """

    f: Coefficient
    z: Coefficient
    y: Coefficient
    far: FarEnd | None
    backwards: bool = eqx.field(static=True)

    def potentials(self, h: Nodes) -> Nodes:
        """Return the potentials [V] from currents into the nodes [A], all sources zero."""
        u = self._passes(h)[0]
        if self.far is None:
            return u
        return u - self.far.response * (self.far.conductance * self._last(u))[None]

    def solve(self, h: Nodes, e: Nodes, e_far: Ends | None) -> tuple[Nodes, Nodes, Ends | None]:
        """Return the potentials [V], the currents of the segments and of the far terminals [A].

        Args:
            h: Currents into the nodes [A].
            e: Sources in the segments, in the direction away from the terminal [V].
            e_far: Sources in the segments of the far terminals, towards the line [V].
        """
        i_far = None
        if self.far is not None:
            assert e_far is not None
            i_far = self.far.conductance * (e_far - self._last(self._passes(h, e)[0]))
            h = self._add_last(h, i_far)
        u, j = self._passes(h, e)
        i = self.f * (self.y * (self.before(u) + e) - j)
        first = -1 if self.backwards else 0
        # Of a floating line f_0 is 0, and no current flows; the same formula.
        return u, i.at[first].set(jnp.where(self.f[first] > 0, i[first], 0.0)), i_far

    def before(self, x: Nodes) -> Nodes:
        """Return for every node the value of the node before it, 0 for the first."""
        if self.backwards:
            return jnp.concatenate([x[1:], jnp.zeros_like(x[:1])])
        return jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])

    def after(self, x: Nodes) -> Nodes:
        """Return for every node the value of the node after it, 0 for the last."""
        if self.backwards:
            return jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])
        return jnp.concatenate([x[1:], jnp.zeros_like(x[:1])])

    def _last(self, x: Nodes) -> Ends:
        return x[0 if self.backwards else -1]

    def _add_last(self, x: Nodes, value: Ends) -> Nodes:
        return x.at[0 if self.backwards else -1].add(value)

    def _passes(self, h: Nodes, e: Nodes | None = None) -> tuple[Nodes, Nodes]:
        if e is not None:
            h = h - self.after(self.f * self.y * e)
        j = norton_currents(self.f, h, reverse=not self.backwards)
        drive = self.z * j
        if e is not None:
            drive = drive + self.f * e
        return recurrence(self.f, drive, reverse=self.backwards), j


def eliminate(
    g: Float[Array, "nodes lines"],
    r: Float[Array, "nodes lines"],
    closed: Bool[Array, " lines"],
    r_far: Float[Array, " lines"] | None = None,
    *,
    backwards: bool = False,
) -> Lines:
    """Eliminate the nodes of each line.

    Args:
        g: Conductance of the cell at each node [S].
        r: Resistance of the segment before each node [ohm].
        closed: Whether the terminal is connected; if not, its segment's resistance is not used.
        r_far: Resistance between the far node and a second terminal [ohm], closed as the first is.
        backwards: Whether the first node is stored last.
    """

    def step(beyond, cell):
        g, r = cell
        y = g + beyond
        f = 1 / (1 + r * y)
        return y * f, (y, f)

    _, (y, f) = lax.scan(step, jnp.zeros_like(g[0]), (g, r), reverse=not backwards)
    first = -1 if backwards else 0
    y_first = y[first]
    # A floating line without a single conducting cell has no potential; it is given 0 V.
    alone = 1 / jnp.where(y_first > 0, y_first, jnp.inf)
    f = f.at[first].set(jnp.where(closed, f[first], 0.0))
    z = (r * f).at[first].set(jnp.where(closed, r[first] * f[first], alone))
    lines = Lines(f[:, None], z[:, None], y[:, None], None, backwards)
    if r_far is None:
        return lines
    unit = lines._add_last(jnp.zeros_like(lines.f), jnp.ones_like(lines.f[0]))
    response = lines.potentials(unit)
    loop = jnp.where(closed, r_far, jnp.inf) + lines._last(response)[0]
    # Zero from terminal to terminal: the line is the source, whatever current runs in the loop.
    conductance = jnp.where(loop > 0, 1 / jnp.where(loop > 0, loop, 1.0), 0.0)
    return Lines(lines.f, lines.z, lines.y, FarEnd(response, conductance[None]), backwards)


def norton_currents(f: Coefficient, h: Nodes, *, reverse: bool) -> Nodes:
    """Return ``J_k = h_k + f_{k+1} J_{k+1}`` (from the last stored node with `reverse`)."""

    def scan(f, h):
        def step(carried, row):
            f, h = row
            j = h + carried
            return f * j, j

        return lax.scan(step, jnp.zeros_like(h[0]), (f, h), reverse=reverse)[1]

    def parallel(f, h):
        end = jnp.zeros_like(f[:1])
        shifted = [f[1:], end] if reverse else [end, f[:-1]]
        return _associative(jnp.concatenate(shifted), h, reverse)

    return lax.platform_dependent(f, h, cpu=scan, default=parallel)


def recurrence(f: Coefficient, h: Nodes, *, reverse: bool) -> Nodes:
    """Return ``x_k = f_k x_{k-1} + h_k`` (``f_k x_{k+1} + h_k`` with `reverse`)."""

    def scan(f, h):
        def step(before, row):
            f, h = row
            x = f * before + h
            return x, x

        return lax.scan(step, jnp.zeros_like(h[0]), (f, h), reverse=reverse)[1]

    return lax.platform_dependent(f, h, cpu=scan, default=lambda f, h: _associative(f, h, reverse))


def _associative(f: Coefficient, h: Nodes, reverse: bool) -> Nodes:
    # Few launches in place of a pass of as many steps as nodes: for accelerators.
    def compose(first: tuple[jax.Array, jax.Array], then: tuple[jax.Array, jax.Array]):
        return first[0] * then[0], then[0] * first[1] + then[1]

    return lax.associative_scan(compose, (f, h), reverse=reverse)[1]
