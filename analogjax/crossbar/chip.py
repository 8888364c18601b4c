"""One programmed chip: which level each device was set to, and what it holds now."""

from __future__ import annotations

import zlib
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._types import Array, Float, ScalarLike, UInt
from .hardware import DeviceStatistics
from .mapping import (
    WeightMapping,
    conductance_fraction,
    fractions_to_weights,
    quantise,
    weight_scale,
    weights_to_levels,
)


class Chip(eqx.Module):
    """The devices of one layer after programming. A pytree of arrays.

    Attributes:
        levels: Level of each device, 0 at `r_high`; the devices of a weight along the first axis.
        drawn: What is random about each device (lifetime: frozen).
        scale: Full scale of the weights, as `analogjax.crossbar.weight_scale` returns it.
        n_levels: Levels per device.
        t: Time since programming [s].
    """

    levels: UInt[Array, "devices *shape"]
    drawn: Float[Array, "devices *shape"]
    scale: Float[Array, "..."]
    n_levels: Float[Array, ""]
    t: Float[Array, ""]


def layer_key(key: PRNGKeyArray, name: str) -> PRNGKeyArray:
    """Return the key of a layer: it depends on the chip's key and the layer's name alone."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def assign_levels(
    weights: Float[Array, "*shape"],
    device: DeviceStatistics,
    *,
    n_levels: Any,
    mapping: WeightMapping,
) -> tuple[UInt[Array, "devices *shape"], Float[Array, "..."]]:
    """Return the level of each device and the full scale: what all chips share."""
    ratio = device.ratio
    scale = weight_scale(weights, n_levels=n_levels, ratio=ratio, mapping=mapping)
    levels = weights_to_levels(weights, scale, n_levels=n_levels, ratio=ratio, mapping=mapping)
    return levels.astype(jnp.uint16), scale


def write(
    levels: UInt[Array, "devices *shape"],
    scale: Float[Array, "..."],
    device: DeviceStatistics,
    *,
    n_levels: Any,
    key: PRNGKeyArray,
) -> Chip:
    """Write assigned levels into the devices of one chip. Arguments as `program`."""
    return Chip(
        levels=levels,
        drawn=device.write_error.draw(key, levels.shape),
        scale=scale,
        n_levels=jnp.asarray(n_levels, jnp.float32),
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
) -> Chip:
    """Write weights into devices.

    Args:
        weights: Weights of one layer; the last axis is the output channel.
        device: Window and write error of the devices.
        n_levels: Levels per device; may be traced.
        mapping: From weights to levels.
        key: Random key of this layer of this chip.
    """
    levels, scale = assign_levels(weights, device, n_levels=n_levels, mapping=mapping)
    return write(levels, scale, device, n_levels=n_levels, key=key)


def chip_fractions(
    chip: Chip, device: DeviceStatistics, *, mapping: WeightMapping
) -> Float[Array, "devices *shape"]:
    """Return the conductance fraction ``(G - g_min) / (g_max - g_min)`` of each device now."""
    position = chip.levels.astype(chip.scale.dtype) / (chip.n_levels - 1)
    error = device.write_error.error(chip.drawn, position, n_levels=chip.n_levels, t=chip.t)
    return conductance_fraction(position + error, ratio=device.ratio, space=mapping.space)


def chip_conductance(
    chip: Chip, device: DeviceStatistics, *, mapping: WeightMapping
) -> Float[Array, "devices *shape"]:
    """Return the conductance [S] of each device now."""
    g_min, g_max = 1 / device.r_high, 1 / device.r_low
    return g_min + (g_max - g_min) * chip_fractions(chip, device, mapping=mapping)


@partial(jax.jit, static_argnames="mapping")
def chip_weights(
    chip: Chip, device: DeviceStatistics, *, mapping: WeightMapping
) -> Float[Array, "*shape"]:
    """Return the weights that the chip multiplies with now."""
    fractions = chip_fractions(chip, device, mapping=mapping)
    return fractions_to_weights(fractions, chip.scale, mapping=mapping)


@partial(jax.jit, static_argnames="mapping")
def ideal_weights(
    weights: Float[Array, "*shape"],
    device: DeviceStatistics,
    *,
    n_levels: Any,
    mapping: WeightMapping,
) -> Float[Array, "*shape"]:
    """Return the weights as devices without write error hold them. Arguments as `program`."""
    options = {"n_levels": n_levels, "ratio": device.ratio, "mapping": mapping}
    return quantise(weights, weight_scale(weights, **options), **options)


def age(chip: Chip, t: ScalarLike) -> Chip:
    """Return the same devices `t` seconds after programming."""
    return eqx.tree_at(lambda c: c.t, chip, jnp.asarray(t, jnp.float32))
