"""One programmed chip: which level each device was set to, and what it holds now."""

from __future__ import annotations

import dataclasses
import zlib
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Float, ScalarLike, UInt
from .hardware import DeviceStatistics
from .mapping import (
    MAX_BITS,
    WeightMapping,
    conductance_fraction,
    fractions_to_weights,
    sliced_lines,
    weight_scale,
    weights_to_levels,
    weights_to_positions,
)
from .tiles import Tile


class Chip(eqx.Module):
    """The devices of one layer after programming. A pytree of arrays.

    Attributes:
        levels: Level of each device, 0 at `r_high`; the devices of a weight along the first axis.
            Devices without levels have their place in the window, 0 to 1, instead. None for a chip
            whose weights are still trained: its levels follow from them.
        drawn: What is random about the writing of each device (lifetime: frozen).
        effects: What is random about the other effects on its devices, in their order (frozen).
        arrays: What is random about the converters and amplifiers of each array (frozen); None
            without a tile.
        scale: Full scale of the weights, as `analogjax.crossbar.weight_scale` returns it.
        n_levels: Levels per device; None for devices without levels.
        t: Time since programming [s].
        scale_learnt: Whether the scale of a chip without levels is its own, with a gradient,
            instead of one that follows from the weights.
    """

    levels: UInt[Array, "devices *shape"] | Float[Array, "devices *shape"] | None
    drawn: Float[Array, "devices *shape"]
    effects: tuple[PyTree, ...]
    arrays: PyTree
    scale: Float[Array, "..."]
    n_levels: Float[Array, ""] | None
    t: Float[Array, ""]
    scale_learnt: bool = eqx.field(static=True, default=False)


def layer_key(key: PRNGKeyArray, name: str) -> PRNGKeyArray:
    """Return the key of a layer: it depends on the chip's key and the layer's name alone."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def assign_levels(
    weights: Float[Array, "*shape"],
    device: DeviceStatistics,
    *,
    n_levels: Any,
    mapping: WeightMapping,
) -> tuple[UInt[Array, "devices *shape"] | Float[Array, "devices *shape"], Float[Array, "..."]]:
    """Return the level of each device and the full scale: what all chips share."""
    ratio = device.ratio
    options = {"n_levels": n_levels, "ratio": ratio, "mapping": mapping}
    scale = weight_scale(weights, **options)
    if n_levels is None:
        return weights_to_positions(weights, scale, **options), scale
    levels = weights_to_levels(weights, scale, n_levels=n_levels, ratio=ratio, mapping=mapping)
    return levels.astype(jnp.uint16), scale


def write(
    levels: UInt[Array, "devices *shape"] | Float[Array, "devices *shape"],
    scale: Float[Array, "..."],
    device: DeviceStatistics,
    *,
    n_levels: Any,
    mapping: WeightMapping,
    key: PRNGKeyArray,
    tile: Tile | None = None,
) -> Chip:
    """Write assigned levels into the devices of one chip. Arguments as `program`."""
    effects = tuple(
        # The write error has the key itself: what is added to a device does not change it.
        effect.draw(jax.random.fold_in(key, 1 + k), levels.shape)
        for k, effect in enumerate(device.effects)
    )
    arrays = None
    if tile is not None:
        shape = jax.eval_shape(lambda cells: sliced_lines(cells, mapping), levels).shape
        arrays = tile.draw(jax.random.fold_in(key, 0), shape)
    return Chip(
        levels=levels,
        drawn=device.write_error.draw(key, levels.shape),
        effects=effects,
        arrays=arrays,
        scale=scale,
        n_levels=None if n_levels is None else jnp.asarray(n_levels, jnp.float32),
        t=jnp.zeros((), jnp.float32),
    )


# Compiled, so that a network in eager mode costs one compilation per layer shape and not fifty.
@partial(jax.jit, static_argnames="mapping")
def program(
    weights: Float[Array, "*shape"],
    device: DeviceStatistics,
    *,
    n_levels: Any,
    mapping: WeightMapping,
    key: PRNGKeyArray,
    tile: Tile | None = None,
) -> Chip:
    """Write weights into devices.

    Args:
        weights: Weights of one layer; the last axis is the output channel.
        device: Window, write error and other effects of the devices.
        n_levels: Levels per device; may be traced. None for devices without levels.
        mapping: From weights to levels.
        key: Random key of this layer of this chip.
        tile: The arrays that hold the devices, None for none.
    """
    levels, scale = assign_levels(weights, device, n_levels=n_levels, mapping=mapping)
    return write(levels, scale, device, n_levels=n_levels, mapping=mapping, key=key, tile=tile)


def trainable_chip(chip: Chip, *, scale: Float[Array, "..."] | None = None) -> Chip:
    """Return the same draws on devices whose levels follow from the weights at every use.

    Args:
        chip: The chip.
        scale: Full scale of the weights that is trained, too (a learned step: Esser et al., ICLR
            2020, arXiv:1902.08153); None for the mapping's own, without a gradient.
    """
    chip = eqx.tree_at(lambda c: c.levels, chip, None, is_leaf=lambda x: x is None)
    if scale is None:
        return chip
    chip = dataclasses.replace(chip, scale_learnt=True)
    return eqx.tree_at(lambda c: c.scale, chip, jnp.broadcast_to(scale, chip.scale.shape))


class Held(eqx.Module):
    """What the devices of a layer hold at one time.

    Attributes:
        fractions: Conductance fraction ``(G - g_min) / (g_max - g_min)`` of each device.
        read_variance: Variance [S^2] of what single reads of each device give; None for none.
        scale: Full scale of the weights.
        n_levels: Levels per device; None for devices without.
    """

    fractions: Float[Array, "devices *shape"]
    read_variance: Float[Array, "devices *shape"] | None
    scale: Float[Array, "..."]
    n_levels: Any


def hold(
    chip: Chip | None,
    device: DeviceStatistics,
    *,
    mapping: WeightMapping,
    weights: Float[Array, "*shape"] | None = None,
    n_levels: Any = None,
) -> Held:
    """Return what the devices of a layer hold now.

    Args:
        chip: The programmed chip. None for devices without error or other effects, at the levels
            nearest to `weights`: the gradient passes through the rounding as if there were none.
        device: Statistics of the devices.
        mapping: From weights to levels.
        weights: The weights of the layer, which no chip and one that is still trained need.
        n_levels: Levels per device, which no chip needs; None for devices without levels.
    """
    if chip is not None and chip.levels is not None:
        scale = chip.scale
        position = chip.levels
        if chip.n_levels is not None:
            position = position.astype(scale.dtype) / (chip.n_levels - 1)
    else:
        if weights is None:
            raise ValueError(
                "Argument `weights` must be given for a chip without levels, but is None."
            )
        options = {
            "n_levels": n_levels if chip is None else chip.n_levels,
            "ratio": device.ratio,
            "mapping": mapping,
        }
        if chip is not None and chip.scale_learnt:
            scale = chip.scale
        else:
            scale = jax.lax.stop_gradient(weight_scale(weights, **options))
        n_levels = options["n_levels"]
        position = weights_to_positions(weights, scale, **options)
    if chip is None:
        fractions = conductance_fraction(position, ratio=device.ratio, space=mapping.space)
        return Held(fractions, None, scale, n_levels)
    most = 2**MAX_BITS if chip.n_levels is None else chip.n_levels
    error = device.write_error.error(chip.drawn, position, n_levels=most, t=chip.t)
    fractions = conductance_fraction(position + error, ratio=device.ratio, space=mapping.space)
    if not device.effects:
        return Held(fractions, None, scale, chip.n_levels)
    g_min, g_max = device.window
    g, variance = g_min + (g_max - g_min) * fractions, None
    for effect, drawn in zip(device.effects, chip.effects, strict=True):
        options = {"window": (g_min, g_max), "t": chip.t}
        std = effect.read_std(g, drawn, **options)
        if std is not None:
            variance = std**2 if variance is None else variance + std**2
        g = effect.apply(g, drawn, **options)
    return Held((g - g_min) / (g_max - g_min), variance, scale, chip.n_levels)


def chip_fractions(
    chip: Chip, device: DeviceStatistics, *, mapping: WeightMapping
) -> Float[Array, "devices *shape"]:
    """Return the conductance fraction ``(G - g_min) / (g_max - g_min)`` of each device now."""
    return hold(chip, device, mapping=mapping).fractions


def chip_conductance(
    chip: Chip, device: DeviceStatistics, *, mapping: WeightMapping
) -> Float[Array, "devices *shape"]:
    """Return the conductance [S] of each device now."""
    g_min, g_max = device.window
    return g_min + (g_max - g_min) * chip_fractions(chip, device, mapping=mapping)


@partial(jax.jit, static_argnames="mapping")
def chip_weights(
    chip: Chip | None,
    device: DeviceStatistics,
    *,
    mapping: WeightMapping,
    weights: Float[Array, "*shape"] | None = None,
    n_levels: Any = None,
) -> Float[Array, "*shape"]:
    """Return the weights that the chip multiplies with now. Arguments as `hold`."""
    held = hold(chip, device, mapping=mapping, weights=weights, n_levels=n_levels)
    return fractions_to_weights(held.fractions, held.scale, mapping=mapping, n_levels=held.n_levels)


def age(chip: Chip, t: ScalarLike) -> Chip:
    """Return the same devices `t` seconds after programming."""
    return eqx.tree_at(lambda c: c.t, chip, jnp.asarray(t, jnp.float32))
