"""Evaluation of all families on the same chips, none of which a training has seen.

A training on seed s draws the chip of each step from keys below ``fold_in(key(s), epoch)``;
`held_out_keys` draws below ``fold_in(key(s), 2^32 - 1)``, an epoch that no training reaches, and
tuning and testing take different `role`s there. All families get the same keys, so that what
differs between them is compared chip by chip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import PyTree

from .. import sharding
from .._checks import check_choice, check_whole
from .._types import Array, Float, Int
from ..data import Split, check_images, check_labels, to_float
from ..networks import (
    analog_layers,
    chip_keys,
    compensate_drift,
    keep_arrays,
    read_analog_weights,
    remeasure_statistics,
    split_tiles,
)
from .families import AbstractFamily

ROLES = ("test", "validation")
"""What held-out chips are for: the result, or the choice of what training is tuned by."""


def held_out_keys(seed: int, chips: int, *, role: str = "test") -> Array:
    """Return keys of chips that no training sees, the same for all families.

    Args:
        seed: Of the set of chips.
        chips: Number of chips.
        role: One of `ROLES`: what is tuned on the chips of one is judged on those of the other.

    Raises:
        ValueError: No chips, or another role.
    """
    check_whole("chips", chips)
    check_choice("role", role, ROLES)
    apart = jax.random.fold_in(jax.random.key(seed), jnp.uint32(2**32 - 1))
    return chip_keys(jax.random.fold_in(apart, ROLES.index(role)), chips)


class OnChips(NamedTuple):
    """What a trained network does on held-out chips."""

    accuracy: Float[np.ndarray, "times chips"]
    """Share of inputs classified correctly."""
    failed: Int[np.ndarray, "times chips"]
    """Devices whose equations could not be solved, and that are masked."""


def accuracy_on_chips(
    analog: nnx.Module,
    family: AbstractFamily,
    trained: PyTree,
    split: Split,
    *,
    chips: Array,
    times: Sequence[float] = (0.0,),
    compensate: bool = False,
    measured: Array | np.ndarray | None = None,
    batch: int = 1000,
    advance: Callable[[], Any] | None = None,
    mesh: Mesh | None = None,
) -> Float[np.ndarray, "times chips"]:
    """Return the share of inputs classified correctly, as `evaluate_on_chips` does."""
    return evaluate_on_chips(
        analog,
        family,
        trained,
        split,
        chips=chips,
        times=times,
        compensate=compensate,
        measured=measured,
        batch=batch,
        advance=advance,
        mesh=mesh,
    ).accuracy


def evaluate_on_chips(
    analog: nnx.Module,
    family: AbstractFamily,
    trained: PyTree,
    split: Split,
    *,
    chips: Array,
    times: Sequence[float] = (0.0,),
    compensate: bool = False,
    measured: Array | np.ndarray | None = None,
    batch: int = 1000,
    advance: Callable[[], Any] | None = None,
    mesh: Mesh | None = None,
) -> OnChips:
    """Return what a trained network does on held-out chips, some time after programming.

    Compiled once for all chips and times, and for all networks, hardware and families that differ
    in numbers alone. Each batch of inputs is read with fresh noise of its own.

    Args:
        analog: The trained analog model (`AnalogTraining.model`); evaluated as after
            ``analog.eval()``, and left as it is.
        family: How a network is put on a chip; that of the training, or another one: what was
            trained by `NoiseInjection` may be written by `Physical`.
        trained: What the family has trained (`AnalogTraining.trained`), or its `start(analog)`.
        split: Inputs and labels.
        chips: Keys of the chips, see `held_out_keys`.
        times: Times since programming [s].
        compensate: Whether every layer's outputs are scaled by what random vectors have lost since
            programming (global drift compensation, see `analogjax.networks.compensate_drift`).
        measured: Inputs on which every chip, at every time, measures the statistics of its batch
            normalisations anew (`analogjax.networks.remeasure_statistics`); None for those that the
            network comes with.
        batch: Inputs per forward pass.
        advance: Called after each chip and time, as `Progress.advance`.
        mesh: Devices of which each evaluates chips of its own, and which share the arrays of a
            layer if there are more than one along `tiles` (`analogjax.sharding`); None for the
            surrounding ones.

    Raises:
        ValueError: No inputs, inputs or labels that do not fit, or a time at which write errors or
            effects are not known.
    """
    check_whole("batch", batch)
    x, y = np.asarray(split.x), np.asarray(split.y)
    check_images(x, getattr(analog, "input_shape", x.shape[1:]))
    if len(y) == 0:
        raise ValueError("Argument `split` must hold at least one input, but is empty.")
    for layer in analog_layers(analog).values():
        layer.device.get_value().check_time(np.asarray(times, float))
    mesh = sharding.chosen(mesh)
    model = split_tiles(analog, mesh)
    model.eval()
    batch = min(batch, len(y))
    missing = -len(y) % batch
    # Filled up, so that one compiled program serves all; a label of -1 is never right.
    x = jnp.asarray(np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]))
    labels = jnp.asarray(np.concatenate([y, np.full(missing, -1, y.dtype)]).astype(np.int32))
    inputs = jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)
    classes = jax.eval_shape(lambda inputs: model(to_float(inputs)), inputs).shape[-1]
    check_labels(y, classes)
    graph, state = nnx.split(model)
    parts = [(x[i : i + batch], labels[i : i + batch]) for i in range(0, len(labels), batch)]
    parts, state, family, trained = sharding.place((parts, state, family, trained), mesh)
    if measured is not None:
        measured = sharding.place(jnp.asarray(measured), mesh)
    # As many at a time as there are devices, a chip on each.
    together, keys = sharding.shares(mesh), sharding.filled(chips, mesh)
    groups = [
        sharding.place(keys[i : i + together], mesh, along=sharding.DATA)
        for i in range(0, len(keys), together)
    ]
    right, failed = [], []
    for t in times:
        for i, group in enumerate(groups):
            at = jnp.asarray(t, jnp.float32)
            (on_chip, held), bad = _on_chips(
                graph, state, family, trained, group, at, measured, compensate=compensate, mesh=mesh
            )
            # Queued: an accelerator never waits.
            right.append(
                [
                    # A plain number would be static: one compilation for each batch.
                    _right(on_chip, held, *part, group, jnp.asarray(number, jnp.int32), mesh=mesh)
                    for number, part in enumerate(parts)
                ]
            )
            failed.append(bad)
            if advance is not None:
                for _ in range(min(together, len(chips) - i * together)):
                    advance()

    def by_chip(counts: Any) -> Int[np.ndarray, "times chips"]:
        return np.asarray(counts, np.int64).reshape(len(times), -1)[:, : len(chips)]

    counts = np.asarray(jax.device_get(right), np.int64).sum(axis=1)
    return OnChips(by_chip(counts) / len(y), by_chip(jax.device_get(failed)))


@eqx.filter_jit
def _on_chips(
    graph, state, family, trained, keys, t, measured, *, compensate: bool, mesh: Mesh | None
) -> Any:
    """Return the network on a chip of each device, its arrays solved, and how many devices failed.

    Arrays have the chip as their first axis; what else a network consists of is the same for all.
    """
    others = []

    def program(keys: Array, given: Any) -> PyTree:
        (key,), (state, family, trained, t, measured) = keys, given
        analog = nnx.merge(graph, state)
        chip = family.chip(analog, trained, key=key, t=t)
        model = chip.model
        if compensate:
            new = family.chip(analog, trained, key=key, t=jnp.zeros_like(t)).model
            model = compensate_drift(model, key=jax.random.fold_in(key, 1), before=new)
        model = keep_arrays(model)
        if measured is not None:
            model = remeasure_statistics(model, measured)
        arrays, other = eqx.partition((nnx.split(model), chip.failed), eqx.is_array)
        others.append(other)
        return jax.tree.map(lambda x: x[None], arrays)

    given = state, family, trained, t, measured
    networks, failed = eqx.combine(sharding.by_device(program, mesh)(keys, given), others[-1])
    return networks, sharding.whole(failed, mesh)


@eqx.filter_jit
def _right(graph, state, x, y, keys, number, *, mesh: Mesh | None) -> Int[Array, " chips"]:
    """Return how many inputs of a batch the chip of each device classifies correctly."""
    arrays, others = eqx.partition(state, eqx.is_array)

    def count(own: PyTree, given: Any) -> Int[Array, "1"]:
        (held, key), (x, y, number) = jax.tree.map(lambda x: x[0], own), given
        fresh = jax.random.fold_in(key, number)
        model = read_analog_weights(nnx.merge(graph, eqx.combine(held, others)), key=fresh)
        answers = model(to_float(x))
        return jnp.sum(jnp.argmax(answers, axis=-1) == y, dtype=jnp.int32)[None]

    return sharding.whole(sharding.by_device(count, mesh)((arrays, keys), (x, y, number)), mesh)


def mismatch_matrix(
    models: Sequence[tuple[nnx.Module, PyTree]],
    family: AbstractFamily,
    hardware: Sequence[Callable[[nnx.Module], nnx.Module]],
    split: Split,
    *,
    chips: Array,
    **options: Any,
) -> Float[np.ndarray, "training test chips"]:
    """Return the accuracy of networks trained for one hardware (rows) on another (columns).

    Args:
        models: Analog model and what its family trained, one for each kind of training.
        family: How a network is put on a chip.
        hardware: Puts a model on the hardware of a test, one for each
            (``lambda model: with_hardware(model, hardware)``).
        split: Inputs and labels.
        chips: Keys of the chips, the same everywhere.
        **options: Of `evaluate_on_chips`; at most one time.

    Raises:
        ValueError: As `evaluate_on_chips` does.
    """
    return np.stack(
        [
            np.stack(
                [
                    accuracy_on_chips(put(model), family, trained, split, chips=chips, **options)[0]
                    for put in hardware
                ]
            )
            for model, trained in models
        ]
    )
