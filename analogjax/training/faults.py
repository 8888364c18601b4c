"""Fault-aware training: around the faults of one chip that are known, or around any."""

from __future__ import annotations

import equinox as eqx
import jax
from flax import nnx
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, ScalarLike
from ..crossbar import layer_key
from ..crossbar.nonidealities import StuckCells
from ..networks import analog_layers, chips, drift_analog_weights, program_analog_weights
from .families import AbstractFamily, OnChip, on_chip


class KnownFaults(AbstractFamily):
    """Training for one chip whose stuck cells have been found: the map stays, all else is drawn.

    Devices need `StuckCells` among their effects; its faults are those of the chip of one
    key (``program_analog_weights(analog, key=faults)``), whatever the step. A stuck cell has no
    gradient, so that the others learn to make up for it. For faults of *any* chip
    (`NoiseInjection` on the same devices) they are drawn anew at every step.

    Attributes:
        faults: Key of the chip whose faults are known.
    """

    faults: Array

    def __init__(self, faults: PRNGKeyArray):
        """Make a family.

        Args:
            faults: Key of the chip whose faults are known.
        """
        # As numbers, so that the family is a tree of plain arrays.
        self.faults = jax.random.key_data(faults)

    def start(self, analog: nnx.Module) -> PyTree:
        """Return nothing that is trained, after a look at the devices.

        Raises:
            ValueError: A layer whose devices have no `StuckCells`.
        """
        for name, layer in analog_layers(analog).items():
            effects = layer.device.get_value().effects
            if not any(isinstance(effect, StuckCells) for effect in effects):
                raise ValueError(
                    "Argument `analog` must have devices with `StuckCells` among their effects, "
                    f"but those of its layer {name!r} have none."
                )
        return ()

    def chip(
        self,
        analog: nnx.Module,
        trained: PyTree,
        *,
        key: PRNGKeyArray,
        progress: ScalarLike = 1.0,
        t: ScalarLike = 0.0,
    ) -> OnChip:
        """Return the network with the known faults, in another write of the same chip."""
        model = program_analog_weights(analog, key=key, trainable=True)
        held, root = chips(model), jax.random.wrap_key_data(self.faults)
        for name, layer in analog_layers(model).items():
            chip, effects = held[name], list(held[name].effects)
            own = layer_key(root, name)
            for k, effect in enumerate(layer.device.get_value().effects):
                if isinstance(effect, StuckCells):
                    # As `analogjax.crossbar.write` draws them.
                    effects[k] = effect.draw(jax.random.fold_in(own, 1 + k), chip.drawn.shape)
            layer.chip.set_value(eqx.tree_at(lambda c: c.effects, chip, tuple(effects)))
        return on_chip(drift_analog_weights(model, t=t))
