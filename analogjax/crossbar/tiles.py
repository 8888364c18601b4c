"""Tiles: a layer's matrix on arrays of limited size, all read at once, their outputs added up.

A matrix of ``inputs x outputs`` weights is cut into ``ceil(inputs / rows)`` equal shares of the
inputs and, where columns of an array influence each other, ``ceil(outputs / columns)`` of the
outputs. Each share is an array with its own drivers, wires, amplifiers and converters. Cells that a
share does not fill are open (0 S), their inputs 0 V. Outputs of arrays with the same columns are
added digitally, after their converters.
"""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree

from .. import sharding
from .._checks import check_positive, check_whole, is_traced
from .._types import Array, Float, ScalarLike
from .domain import AbstractDomain


class Tile(eqx.Module):
    """The arrays that a layer is cut into.

    Attributes:
        domain: How an array multiplies.
        rows: Most word lines of an array.
        columns: Most bit lines of an array; a pair of devices takes two, a reference one.
        mesh: Devices over which the arrays of a layer are split, along its axis `tiles`; None for
            one (see `analogjax.sharding`).
    """

    domain: AbstractDomain
    rows: int = eqx.field(static=True, default=512)
    columns: int = eqx.field(static=True, default=512)
    mesh: Mesh | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        """Raise unless the sizes are such."""
        check_whole("rows", self.rows)
        check_whole("columns", self.columns, 2)

    def layout(self, inputs: int, outputs: int, devices: int) -> Layout:
        """Return how a layer is cut.

        Args:
            inputs: Rows of the layer's matrix.
            outputs: Its columns.
            devices: Devices of a weight.
        """
        per_array = self.columns // 2 if devices == 2 else self.columns - 1
        if self.domain.outputs_apart:
            per_array = outputs
        return Layout(inputs, outputs, self.rows, per_array)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> PyTree:
        """Return what is random about the circuits of every array of a layer.

        Args:
            key: Random key.
            shape: Of the layer's devices: (devices of a weight, ..., outputs).
        """
        layout = self.layout(_inputs(shape), shape[-1], shape[0])
        keys = jax.random.split(key, layout.grid)
        drawn = jax.vmap(jax.vmap(lambda k: self.domain.draw(k, *layout.array, shape[0])))(keys)
        return self._split(drawn, layout)

    def prepare(
        self,
        g: Float[Array, "devices ..."],
        *,
        reference: ScalarLike | None = None,
        read_variance: Float[Array, "devices ..."] | None = None,
    ) -> PyTree:
        """Return what all reads of a programmed layer share, as the solution of its wires.

        Args:
            g: Conductance [S] of each device of the layer, (devices, ..., outputs).
            reference: Conductance [S] of a reference cell, where a weight is one device.
            read_variance: Variance [S^2] of what single reads of each device give.
        """
        layout = self.layout(_inputs(g.shape), g.shape[-1], g.shape[0])
        line = None
        if reference is not None:
            line = layout.rows_of(jnp.full((1, layout.inputs), reference, g.dtype))[:, 0]
        variance = None if read_variance is None else layout.cut(read_variance)

        def along(tile, row, spread):
            over = jax.vmap(self.domain.prepare, in_axes=(0, None, _axis(spread)))
            return over(tile, row, spread)

        over = jax.vmap(along, in_axes=(0, _axis(line), _axis(variance)))
        return self._split(over(self._split(layout.cut(g), layout), line, variance), layout)

    def multiply(
        self,
        x: Float[Array, "batch inputs"],
        prepared: PyTree,
        drawn: PyTree,
        layout: Layout,
        *,
        unit: ScalarLike,
        output_range: ScalarLike | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "batch outputs"]:
        """Return the layer's outputs [S]. Arguments as `AbstractDomain.multiply`."""
        options = {"unit": unit, "output_range": output_range, "key": key}
        shares = self.shares(x, prepared, drawn, layout, **options)
        # Arrays that are split over devices are not taken apart.
        return layout.join(_added(shares) if self.mesh is None else shares.sum(0))

    def shares(
        self,
        x: Float[Array, "batch inputs"],
        prepared: PyTree,
        drawn: PyTree,
        layout: Layout,
        *,
        unit: ScalarLike,
        output_range: ScalarLike | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "tiles across batch outputs"]:
        """Return the outputs of each array [S]. Arguments as `AbstractDomain.multiply`."""
        keys = None if key is None else jax.random.split(key, layout.grid)

        def one(rows, cells, frozen, fresh):
            return self.domain.multiply(
                rows, cells, frozen, unit=unit, output_range=output_range, key=fresh
            )

        axes = (0, _axis(drawn), _axis(keys))
        across = jax.vmap(one, in_axes=(None, *axes))
        shares = jax.vmap(across, in_axes=(0, *axes))(layout.rows_of(x), prepared, drawn, keys)
        return self._split(shares, layout)

    def _split(self, tree: PyTree, layout: Layout) -> PyTree:
        """Return what every array has, split over devices along the longer side of the grid."""
        if self.mesh is None or max(layout.grid) == 1:
            return tree
        longer = int(layout.grid[1] > layout.grid[0])
        return sharding.split(tree, self.mesh, longer, along=sharding.TILES)


class Layout(eqx.Module):
    """How the matrix of one layer is cut into equal arrays."""

    inputs: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    array: tuple[int, int] = eqx.field(static=True)
    """Inputs and outputs of one array."""
    grid: tuple[int, int] = eqx.field(static=True)
    """Number of arrays along the inputs and along the outputs."""

    def __init__(self, inputs: int, outputs: int, most_inputs: int, most_outputs: int):
        """Cut a matrix into as few arrays as it takes, all of one size."""
        self.inputs, self.outputs = inputs, outputs
        self.grid = (-(-inputs // most_inputs), -(-outputs // most_outputs))
        self.array = (-(-inputs // self.grid[0]), -(-outputs // self.grid[1]))

    def rows_of(self, x: Float[Array, "batch inputs"]) -> Float[Array, "tiles batch rows"]:
        """Return the inputs of each array, zeros where there are none."""
        (rows, _), (tiles, _) = self.array, self.grid
        if tiles == 1:
            return x[None]
        x = jnp.pad(x, ((0, 0), (0, tiles * rows - self.inputs)))
        return jnp.moveaxis(x.reshape(x.shape[0], tiles, rows), 1, 0)

    def cut(
        self, g: Float[Array, "devices ..."]
    ) -> Float[Array, "tiles across rows outputs devices"]:
        """Return the cells of each array, zeros where there are none."""
        (rows, outputs), (tiles, across) = self.array, self.grid
        g = g.reshape(g.shape[0], self.inputs, self.outputs)
        missing = (tiles * rows - self.inputs, across * outputs - self.outputs)
        g = jnp.pad(g, ((0, 0), (0, missing[0]), (0, missing[1])))
        return g.reshape(-1, tiles, rows, across, outputs).transpose(1, 3, 2, 4, 0)

    def join(self, total: Float[Array, "across batch outputs"]) -> Float[Array, "batch all"]:
        """Put the outputs side by side, each the sum of what its arrays give."""
        total = jnp.moveaxis(total, 0, 1)
        return total.reshape(total.shape[0], -1)[:, : self.outputs]


@jax.custom_jvp
def _added(shares: Float[Array, "tiles ..."]) -> Float[Array, "..."]:
    """Return the sum over the first axis, added up one after another.

    A compiler takes the noise of all arrays into a sum over an axis, and then finds no vectors in
    it: 7 times slower on a CPU. The gradient is that of the sum.
    """
    return functools.reduce(jnp.add, shares)


@_added.defjvp
def _(primals: Any, tangents: Any) -> tuple[Array, Array]:
    return _added(*primals), tangents[0].sum(0)


def _inputs(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape[1:-1]:
        count *= n
    return count


def _axis(tree: Any) -> int | None:
    return None if tree is None else 0


def normalise(
    x: Float[Array, "batch inputs"],
    input_range: ScalarLike | None,
    largest: Float[Array, "batch 1"] | None = None,
) -> tuple[Float[Array, "batch inputs"], Float[Array, "#batch 1"]]:
    """Return inputs relative to their full scale, and the full scale.

    Args:
        x: Inputs in the network's own units.
        input_range: What drives a line fully; None for the largest input of each vector, which
            takes a digital scaling of every vector.
        largest: That largest input, where it is known; None to find it.
    """
    if input_range is None:
        # With its gradient: offsets and noise behind it grow with it.
        largest = largest_magnitude(x) if largest is None else largest
        scale = jnp.where(largest > 0, largest, jnp.ones_like(largest))
    else:
        if not is_traced(input_range):
            check_positive("input_range", input_range)
        scale = jnp.asarray(input_range, x.dtype).reshape(1, 1)
    return x / scale, scale


@jax.custom_jvp
def largest_magnitude(x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch 1"]:
    """Return the largest magnitude in each vector.

    The gradient of `jnp.max` compares all numbers with the largest one. A compiler may find them
    once more for that, rounded another way: none is then the largest, and it divides 0 by 0.
    """
    return jnp.max(jnp.abs(x), axis=-1, keepdims=True)


@largest_magnitude.defjvp
def _(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    where = jnp.argmax(jnp.abs(x), axis=-1, keepdims=True)
    own, change = (jnp.take_along_axis(a, where, axis=-1) for a in (x, dx))
    return largest_magnitude(x), jnp.sign(own) * change
