"""The matrix product of one layer on its arrays: what is prepared once, what each read does."""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Float, Scalar, ScalarLike
from .chip import Chip, age, hold
from .converters import combine
from .converters.quantise import INSIDE
from .hardware import DeviceStatistics
from .mapping import WeightMapping, fractions_to_weights, significances, sliced_lines
from .nonidealities import drift_compensation
from .tiles import Layout, Tile, normalise

_READ = "what a layer's arrays say"

keep_reads = jax.checkpoint_policies.save_only_these_names(_READ, INSIDE)
"""Policy of `jax.checkpoint` for `array_product`: outputs, and their noise, are not found twice."""


class Arrays(eqx.Module):
    """What all reads of one layer's devices share at one time.

    Attributes:
        weights: The weights that the layer multiplies with, where it has no tile; else None.
        prepared: What its arrays need, where it has a tile (see `analogjax.crossbar.Tile`).
        scale: Full scale of the weights.
        slices: Significance of each slice of a weight, where it has several on a tile; else None.
        shape: Of the layer's weights.
    """

    weights: Float[Array, "..."] | None
    prepared: PyTree
    scale: Float[Array, "..."]
    slices: Float[Array, " slices"] | None
    shape: tuple[int, ...] = eqx.field(static=True)


# Compiled, so that a network in eager mode costs one compilation per layer shape and not fifty.
@partial(jax.jit, static_argnames="mapping")
def prepare_arrays(
    chip: Chip | None,
    device: DeviceStatistics,
    tile: Tile | None,
    *,
    mapping: WeightMapping,
    weights: Float[Array, "..."] | None = None,
    n_levels: Any = None,
) -> Arrays:
    """Return what all reads of a layer share: effective conductances, or weights without a tile.

    Args:
        chip: The programmed chip; None for devices without errors.
        device: Statistics of the devices.
        tile: The arrays; None for exact inputs and outputs.
        mapping: From weights to levels.
        weights: The weights of the layer, which no chip and one that is still trained need.
        n_levels: Levels per device, which no chip needs.
    """
    held = hold(chip, device, mapping=mapping, weights=weights, n_levels=n_levels)
    shape = held.fractions.shape[1:]
    if tile is None:
        merged = fractions_to_weights(
            held.fractions, held.scale, mapping=mapping, n_levels=held.n_levels
        )
        return Arrays(merged, None, held.scale, None, shape)
    g_min, g_max = device.window
    variance = held.read_variance
    prepared = tile.prepare(
        sliced_lines(g_min + (g_max - g_min) * held.fractions, mapping),
        reference=(g_min + g_max) / 2 if mapping.scheme == "offset" else None,
        read_variance=None if variance is None else sliced_lines(variance, mapping),
    )
    slices = None
    if mapping.slices > 1:
        slices = significances(held.n_levels, mapping, held.scale.dtype)
    return Arrays(None, prepared, held.scale, slices, shape)


def array_shares(
    x: Float[Array, "batch inputs"],
    arrays: Arrays,
    chip: Chip | None,
    device: DeviceStatistics,
    tile: Tile,
    *,
    mapping: WeightMapping,
    input_range: ScalarLike | None = None,
    output_range: ScalarLike | None = None,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "tiles across batch outputs"]:
    """Return what each array of a layer says, in units of one cell. Arguments as `array_product`.

    This is what a range of the outputs is compared with.
    """
    layout = _layout(x, arrays, tile, mapping)
    driven, _ = normalise(x, input_range)
    frozen = None if chip is None else chip.arrays
    unit = _unit(device)
    options = {"unit": unit, "output_range": output_range, "key": key}
    return tile.shares(driven, arrays.prepared, frozen, layout, **options) / unit


def _layout(x: Array, arrays: Arrays, tile: Tile, mapping: WeightMapping) -> Layout:
    """Return how a layer is cut: each slice of a weight is an output."""
    return tile.layout(x.shape[1], mapping.slices * arrays.shape[-1], mapping.lines)


def _unit(device: DeviceStatistics) -> Scalar:
    """Return what a cell at full scale adds to one at zero [S]."""
    g_min, g_max = device.window
    return g_max - g_min


def array_product(
    x: Float[Array, "batch inputs"],
    arrays: Arrays,
    chip: Chip | None,
    device: DeviceStatistics,
    tile: Tile,
    *,
    mapping: WeightMapping,
    input_range: ScalarLike | None = None,
    output_range: ScalarLike | None = None,
    largest: Float[Array, "batch 1"] | None = None,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "batch outputs"]:
    """Return what the arrays of a layer make of its inputs, in the units of ``inputs @ weights``.

    Args:
        x: Inputs in the network's units.
        arrays: What `prepare_arrays` returned.
        chip: The programmed chip, whose circuits have their own frozen errors; None for none.
        device: Statistics of the devices.
        tile: The arrays.
        mapping: From weights to levels.
        input_range: What drives a line fully; None for the largest input of each vector.
        output_range: Full scale of the read-out in units of one cell; None for the domain's own.
        largest: The largest input of each vector, where it is known; None to find it.
        key: Random key of this read; None for one without fresh noise.
    """
    layout = _layout(x, arrays, tile, mapping)
    driven, full = normalise(x, input_range, largest)
    unit = _unit(device)
    frozen = None if chip is None else chip.arrays
    options = {"unit": unit, "output_range": output_range, "key": key}
    y = tile.multiply(driven, arrays.prepared, frozen, layout, **options)
    if arrays.slices is not None:
        y = combine(jnp.moveaxis(y.reshape(len(y), mapping.slices, -1), 1, 0), arrays.slices)
    per_weight = 2 if mapping.scheme == "offset" else 1
    y = y * (arrays.scale.reshape(1, -1) * (per_weight / unit))
    return checkpoint_name(y, _READ) * full


def drift_gain(
    chip: Chip,
    device: DeviceStatistics,
    tile: Tile | None,
    *,
    mapping: WeightMapping,
    key: PRNGKeyArray,
    vectors: int = 64,
    before: Chip | None = None,
    weights: Float[Array, "..."] | None = None,
    n_levels: Any = None,
) -> Float[Array, ""]:
    """Return the factor that makes up for what a layer's outputs have lost since programming.

    ``sum |y(0)| / sum |y(t)|`` over random vectors of inputs, uniform in 0 to 1, that are read once
    after programming and again now: global drift compensation (Joshi et al., Nat. Commun. 11, 2473
    (2020)). On a tile both reads have their fresh noise.

    Args:
        chip: The chip now.
        device: Statistics of the devices.
        tile: The arrays; None for exact inputs and outputs.
        mapping: From weights to levels.
        key: Of the vectors and of the noise of the reads.
        vectors: How many vectors.
        before: The chip as it was once programmed; None for this one at time 0.
        weights: The weights of the layer, which a chip that is still trained needs.
        n_levels: Levels per device, likewise.
    """
    for_vectors, first, second = jax.random.split(key, 3)

    def read(at, fresh):
        arrays = prepare_arrays(
            at, device, tile, mapping=mapping, weights=weights, n_levels=n_levels
        )
        inputs = 1
        for n in arrays.shape[:-1]:
            inputs *= n
        low, high = jnp.float32(0), jnp.float32(1)
        x = jax.random.uniform(for_vectors, (vectors, inputs), jnp.float32, low, high)
        if tile is None:
            return x @ arrays.weights.reshape(inputs, -1)
        return array_product(x, arrays, at, device, tile, mapping=mapping, key=fresh)

    before = age(chip, 0.0) if before is None else before
    return drift_compensation(read(before, first), read(chip, second))
