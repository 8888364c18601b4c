"""The matrix product of one layer on its arrays: what is prepared once, what each read does."""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Float, ScalarLike
from .chip import Chip, hold
from .hardware import DeviceStatistics
from .mapping import WeightMapping, fractions_to_weights
from .tiles import Tile, normalise


class Arrays(eqx.Module):
    """What all reads of one layer's devices share at one time.

    Attributes:
        weights: The weights that the layer multiplies with, where it has no tile; else None.
        prepared: What its arrays need, where it has a tile (see `analogjax.crossbar.Tile`).
        scale: Full scale of the weights.
        shape: Of the layer's weights.
    """

    weights: Float[Array, "..."] | None
    prepared: PyTree
    scale: Float[Array, "..."]
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
        merged = fractions_to_weights(held.fractions, held.scale, mapping=mapping)
        return Arrays(merged, None, held.scale, shape)
    g_min, g_max = device.window
    prepared = tile.prepare(
        g_min + (g_max - g_min) * held.fractions,
        reference=(g_min + g_max) / 2 if mapping.scheme == "offset" else None,
        read_variance=held.read_variance,
    )
    return Arrays(None, prepared, held.scale, shape)


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
        key: Random key of this read; None for one without fresh noise.
    """
    layout = tile.layout(x.shape[1], arrays.shape[-1], mapping.devices)
    driven, full = normalise(x, input_range)
    g_min, g_max = device.window
    unit = g_max - g_min
    y = tile.multiply(
        driven,
        arrays.prepared,
        None if chip is None else chip.arrays,
        layout,
        unit=unit,
        output_range=output_range,
        key=key,
    )
    per_weight = 2 if mapping.scheme == "offset" else 1
    return y * (arrays.scale.reshape(1, -1) * (per_weight / unit)) * full
