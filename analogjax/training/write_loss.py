"""The loss of networks written open loop into filaments that differ: a function of every quantity.

From pulses, material and structure through the filaments' dynamics, the read-out and the network to
the cross-entropy, in one differentiable function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_whole
from .._types import Array, Float
from ..devices import AbstractCompactDevice
from ..networks import TableNetwork
from ..programming import IdenticalPulses, pulse_trace
from ..programming.identical_pulses import AXES

DRIVE = ("v_set", "v_reset", "width")
"""Quantities that are none of the device."""
_ROWS = 32


def balanced_normals(
    names: Sequence[str], count: int, *, key: PRNGKeyArray
) -> dict[str, Float[Array, " count"]]:
    """Draw a standard normal number for each name and each of a number of devices, balanced.

    Sizes are the quantiles of the half of a normal distribution, shuffled for each name; signs are
    columns of a Hadamard matrix of 32 rows, another set of columns for each block of 32 devices. No
    two names lean the same way by chance, nor does one lean with the square of another.

    Args:
        names: What is drawn, at most 31.
        count: Number of devices, a multiple of 32.
        key: Random key.

    Raises:
        ValueError: Too many names, or a count that is no multiple of 32.
    """
    check_whole("count", count)
    if count % _ROWS:
        raise ValueError(f"Argument `count` must be a multiple of {_ROWS}, but is {count}.")
    if len(names) >= _ROWS:
        raise ValueError(f"Argument `names` must be at most 31 names, but has {len(names)}.")
    signs = np.ones((1, 1))
    while len(signs) < _ROWS:
        signs = np.kron(signs, [[1, 1], [1, -1]])
    blocks = count // _ROWS
    size = jax.scipy.special.ndtri(0.5 + (jnp.arange(blocks, dtype=float) + 0.5) / (2 * blocks))
    size = size / jnp.sqrt(jnp.mean(size**2))
    column_key, size_key = jax.random.split(key)
    # The first column has no second sign.
    columns = jax.vmap(lambda k: jax.random.permutation(k, jnp.arange(1, _ROWS)))(
        jax.random.split(column_key, blocks)
    )
    table = jnp.asarray(signs)
    drawn = {}
    for i, (name, own) in enumerate(
        zip(names, jax.random.split(size_key, len(names)), strict=True)
    ):
        # (blocks, rows): one size a block, the signs of the block's own column.
        drawn[name] = (
            jax.random.permutation(own, size)[:, None] * table[:, columns[:, i]].T
        ).reshape(-1)
    return drawn


def changed_device(device: AbstractCompactDevice, relative: Mapping[str, Any]) -> Any:
    """Return a device whose parameters are larger by relative amounts; those of `DRIVE` aside."""
    return device.replace(
        **{n: (1 + x) * getattr(device, n) for n, x in relative.items() if n not in DRIVE}
    )


def changed_pulses(
    pulses: IdenticalPulses, relative: Mapping[str, Any], offset: Any = 0.0
) -> tuple[Any, Any, Any]:
    """Return start [S], voltage [V] and width [s] of a SET and of a RESET, (2, ...) each."""
    zero = jnp.zeros_like(jax.tree.leaves(dict(relative))[0])
    of = {name: 1 + relative.get(name, zero) for name in DRIVE}
    volts = jnp.stack([pulses.volts(axis, offset) * of[f"v_{axis}"] for axis in AXES])
    start = jnp.stack([pulses.start(axis) + zero for axis in AXES])
    return start, volts, jnp.stack([pulses.width * of["width"]] * 2)


def written_kinds(
    device: AbstractCompactDevice,
    pulses: IdenticalPulses,
    plans: Mapping[str, Any],
    relative: Mapping[str, Float[Array, " kinds"]],
    offset: Any = 0.0,
    *,
    points: int = 401,
) -> Float[Array, "2 kinds levels"]:
    """Return the fraction of the window that every level becomes, in SET and in RESET writes.

    Args:
        device: The nominal device; its SET is negative.
        pulses: The nominal pulses.
        plans: Pulses for every level, by axis.
        relative: Quantities by name (parameters and those of `DRIVE`): how much larger than nominal
            they are in each kind of device, relative.
        offset: Added to the size of the nominal voltages [V].
        points: Points of a trace.
    """

    def one(inputs):
        numbers, relative, start, v, width = inputs
        n, g = pulse_trace(changed_device(device, relative), start, v, width, points=points)
        return pulses.fraction(jnp.interp(numbers, n, g))

    relative = dict(relative)
    count = len(jax.tree.leaves(relative)[0])
    numbers = jnp.stack([jnp.broadcast_to(plans[axis], (count, 2**pulses.bits)) for axis in AXES])
    twice = jax.tree.map(lambda x: jnp.stack([x, x]), relative)
    every = (numbers, twice, *changed_pulses(pulses, relative, offset))
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), every)
    # In blocks: all at once would need more memory, one at a time more time.
    table = jax.lax.map(jax.checkpoint(one), flat, batch_size=64)
    return table.reshape(2, count, -1)


def expected_write_loss(
    device: AbstractCompactDevice,
    pulses: IdenticalPulses,
    plans: Mapping[str, Any],
    network: TableNetwork,
    x: Array,
    y: Array,
    *,
    chips: int,
    points: int = 401,
) -> Callable[..., Array]:
    """Return the mean loss [nat] of chips, half of them SET and half RESET, as a function.

    Its arguments: ``{"centre": ..., "log_spread": ...}``, by quantity a relative change of all
    devices alike and the logarithm of the relative spread from device to device; the draws of
    `balanced_normals`; a random key of the chips.

    Args:
        device: The nominal device.
        pulses: The nominal pulses.
        plans: Pulses for every level, by axis; they stay those of the nominal device.
        network: What is written.
        x: Inputs.
        y: Labels.
        chips: Chips of each axis.
        points: Points of a trace.
    """
    pairs = jnp.stack(jnp.meshgrid(jnp.arange(2), jnp.arange(chips)), -1).reshape(-1, 2)

    def loss(at, z, key):
        relative = {
            name: at["centre"][name] + jnp.exp(at["log_spread"][name]) * z[name] for name in z
        }
        tables = written_kinds(device, pulses, plans, relative, points=points)
        keys = jax.random.split(key, chips)

        def one_chip(pair):
            return network.cross_entropy(tables[pair[0]], keys[pair[1]], x, y)

        # One after another: compiled once for all chips.
        return jnp.mean(jax.lax.map(one_chip, pairs))

    return loss
