"""Accuracy of a network over many chips and bit depths, in one compiled program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from .. import sharding
from .._types import Array, Float, Int, ScalarLike
from ..crossbar import (
    Arrays,
    Chip,
    DeviceStatistics,
    Hardware,
    Tile,
    WeightMapping,
    age,
    assign_levels,
    check_bits,
    check_slices,
    drift_gain,
    layer_key,
    prepare_arrays,
    write,
)
from ..data import check_images, check_labels, to_float
from .analog import analog_layers, convert_to_analog, layer_name, read_key, split_tiles
from .variables import ArrayState, ChipState, ReadGain, ReadState


def chip_keys(key: PRNGKeyArray, chips: int) -> Array:
    """Return the key of each chip: ``program_analog_weights(analog, key=chip_keys(key, n)[i])``."""
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(chips))


def accuracy_over_chips(
    model: nnx.Module,
    hardware: Hardware,
    split: Any,
    *,
    bits: Sequence[int],
    chips: int,
    key: PRNGKeyArray,
    t: ScalarLike = 0.0,
    compensate: bool = False,
    exclude: Sequence[str] = (),
    batch: int = 1000,
    parallel: int | None = None,
    mesh: Mesh | None = None,
) -> Float[np.ndarray, "bits chips"]:
    """Return the share of inputs that each chip classifies correctly at each bit depth.

    The same as programming, ageing and evaluating each chip by itself (`program_analog_weights`
    with the keys of `chip_keys`, `drift_analog_weights`), in one compiled program for all of them:
    levels are assigned once per bit depth, and few copies of the weights exist at a time. A chip
    has the same key at every bit depth. For quantisation alone give ``hardware.ideal()`` and one
    chip.

    Args:
        model: The digital model; evaluated as after ``model.eval()``, and left as it is.
        hardware: What it is converted to; `bits` below take the place of its bits.
        split: Inputs `x` (n, ...), uint8 images or floating-point numbers, and labels `y` (n,).
        bits: Bits per device.
        chips: Number of chips.
        key: Random key of all chips.
        t: Time since programming [s].
        compensate: Whether every layer's outputs are scaled for the drift since programming
            (`compensate_drift` with the chip's key).
        exclude: Layers that stay digital, as in `convert_to_analog`.
        batch: Inputs per forward pass.
        parallel: Chips evaluated side by side; None for one on a CPU, all (at most 16) elsewhere.
        mesh: Devices of which each evaluates chips of its own, and which share the arrays of a
            layer if there are more than one along `tiles` (`analogjax.sharding`); None for the
            surrounding ones.

    Raises:
        ValueError: Bits that are no such or more than the level tables speak for, no chips, a time
            at which the write errors are not known, inputs of another shape, labels out of range.
    """
    for name, value in {"chips": chips, "batch": batch}.items():
        if value < 1:
            raise ValueError(f"Argument `{name}` must be at least 1, but is {value}.")
    n_levels = jnp.asarray(np.atleast_1d(check_bits(np.asarray(bits), hardware.device)))
    check_slices(n_levels, hardware.mapping)
    hardware.device.check_time(t)
    if len(split.y) == 0:
        raise ValueError("Argument `split` must hold at least one input, but is empty.")
    check_images(np.asarray(split.x), getattr(model, "input_shape", np.shape(split.x)[1:]))
    mesh = sharding.chosen(mesh)
    analog = split_tiles(convert_to_analog(model, hardware, exclude=exclude), mesh)
    analog.eval()
    x, y, count = _in_batches(split, batch)
    if parallel is None:
        each = -(-chips // sharding.shares(mesh))
        parallel = 1 if jax.default_backend() == "cpu" else min(each, 16)
    one = jax.ShapeDtypeStruct((1, *x.shape[2:]), x.dtype)
    classes = jax.eval_shape(lambda inputs: analog(to_float(inputs)), one).shape[-1]
    check_labels(np.asarray(split.y), classes)
    graph, states, rest = nnx.split(analog, (ChipState, ArrayState, ReadState, ReadGain), ...)
    layers = analog_layers(analog)
    kernels = {name: layer.kernel[...] for name, layer in layers.items()}
    tile = next(iter(layers.values())).tile.get_value()
    keys = sharding.filled(chip_keys(key, chips), mesh)
    at = jnp.asarray(t, jnp.float32)
    given = (states, rest, kernels, hardware.device, tile, x, y, n_levels, at)
    correct = _correct(
        graph,
        sharding.place(given, mesh),
        sharding.place(keys, mesh, along=sharding.DATA),
        mapping=hardware.mapping,
        parallel=parallel,
        compensate=compensate,
        mesh=mesh,
    )
    return np.asarray(correct, np.float64)[:, :chips] / count


def _in_batches(split: Any, batch: int) -> tuple[Array, Int[Array, "batches batch"], int]:
    """Return inputs and labels in equal batches, and the number of inputs."""
    x, y = np.asarray(split.x), np.asarray(split.y)
    count = len(y)
    batch = min(batch, count)
    missing = -count % batch
    # A label of -1 is never right.
    x = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
    y = np.concatenate([y, np.full(missing, -1, y.dtype)]).astype(np.int32)
    return jnp.asarray(x.reshape(-1, batch, *x.shape[1:])), jnp.asarray(y.reshape(-1, batch)), count


@partial(jax.jit, static_argnames=("graph", "mapping", "parallel", "compensate", "mesh"))
def _correct(
    graph: nnx.GraphDef, given: Any, keys: Array, *, mesh: Mesh | None, **options: Any
) -> Int[Array, "bits chips"]:
    """Return how many inputs each chip classifies correctly, each device its own chips."""
    each = sharding.by_device(
        lambda keys, given: _of_chips(graph, *given, keys=keys, **options), mesh, out_axis=1
    )
    return sharding.whole(each(keys, given), mesh)


def _of_chips(
    graph: nnx.GraphDef,
    states: nnx.State,
    rest: nnx.State,
    kernels: dict[str, Array],
    device: DeviceStatistics,
    tile: Tile | None,
    x: Array,
    y: Int[Array, "batches batch"],
    n_levels: Int[Array, " bits"],
    t: Float[Array, ""],
    *,
    keys: Array,
    mapping: WeightMapping,
    parallel: int,
    compensate: bool,
) -> Int[Array, "bits chips"]:
    """Return how many inputs each chip classifies correctly."""

    def count(
        held: dict[str, dict[str, Chip | Arrays | Array | None]], key: Array
    ) -> Int[Array, ""]:
        """Return the number of inputs that these devices classify correctly."""

        def one_batch(batch):
            images, labels, number = batch
            fresh = jax.random.fold_in(key, number)
            values = {
                name: {"read": read_key(fresh, name), **layer} for name, layer in held.items()
            }
            model = nnx.merge(graph, _with_values(states, values), rest)
            logits = model(to_float(images))
            return jnp.sum(jnp.argmax(logits, axis=-1) == labels, dtype=jnp.int32)

        return jnp.sum(jax.lax.map(one_batch, (x, y, jnp.arange(x.shape[0]))), dtype=jnp.int32)

    def one_depth(n):
        assigned = {
            name: assign_levels(kernel.astype(jnp.float32), device, n_levels=n, mapping=mapping)
            for name, kernel in kernels.items()
        }

        def one_chip(key):
            held = {}
            for name, (levels, scale) in assigned.items():
                own = layer_key(key, name)
                chip = age(
                    write(levels, scale, device, n_levels=n, mapping=mapping, key=own, tile=tile), t
                )
                arrays = prepare_arrays(chip, device, tile, mapping=mapping)
                gain = None
                if compensate:
                    gain = drift_gain(chip, device, tile, mapping=mapping, key=own)
                held[name] = {
                    "chip": chip if tile is not None else None,
                    "arrays": arrays,
                    "gain": gain,
                }
            return count(held, key)

        return jax.lax.map(one_chip, keys, batch_size=parallel)

    return jax.lax.map(one_depth, n_levels)


def _with_values(states: nnx.State, values: dict[str, dict[str, Any]]) -> nnx.State:
    """Return states of layers with other values, by the name of the layer and of the state."""
    return nnx.from_flat_state(
        [
            (path, variable.replace(values[layer_name(path[:-1])][str(path[-1])]))
            for path, variable in nnx.to_flat_state(states)
        ]
    )
