"""What must be the same on any number of devices: `python sharded.py OUT NAMES`.

Writes an `.npz` of what all devices of JAX give together: virtual ones (XLA_FLAGS), or those of the
processes of a job, if the environment names one.
"""

from __future__ import annotations

import os
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from analogjax import networks, runs, sharding, training
from analogjax.crossbar import (
    CurrentDomain,
    DeviceStatistics,
    GaussianError,
    Hardware,
    Tile,
    WeightMapping,
)
from analogjax.crossbar.converters import Adc
from analogjax.data import Dataset, Split
from analogjax.networks.build import _MODELS as MODELS

CHIPS = 5
"""Chips that no number of devices here divides."""


class Normed(nnx.Module):
    """A network whose normalisation looks at the whole batch."""

    def __init__(self, *, input_shape=(24,), classes=3, rngs):
        f32 = {"dtype": jnp.float32, "param_dtype": jnp.float32}
        self.input_shape = input_shape
        # No bias: before a normalisation its gradient is nothing but rounding.
        self.hidden = nnx.Linear(input_shape[0], 9, use_bias=False, rngs=rngs, **f32)
        self.norm = nnx.BatchNorm(9, rngs=rngs, **f32)
        self.head = nnx.Linear(9, classes, rngs=rngs, **f32)

    def __call__(self, x):
        return self.head(nnx.tanh(self.norm(self.hidden(x))))


def dataset():
    rng = np.random.default_rng(0)
    rule = rng.normal(size=(24, 3))

    def split(n):
        x = rng.normal(size=(n, 24)).astype(np.float32)
        return Split(x, (x @ rule).argmax(1).astype(np.int32))

    return Dataset("rule", tuple("abc"), split(72), split(30), split(50))


DATA = dataset()


def analog():
    """Return a network on tiles (five and two) with all that is random about chips and reads."""
    tile = Tile(CurrentDomain(adc=Adc(6, offset_std=0.02), output_noise=0.2), rows=5, columns=18)
    device = DeviceStatistics(1e3, 4e4, GaussianError(0.1, space="G"))
    mapping = WeightMapping("differential", "layer", "max", space="G")
    hardware = Hardware(device, mapping, bits=4, tile=tile)
    return networks.convert_to_analog(Normed(rngs=nnx.Rngs(1)), hardware), hardware


def leaves(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)])


def digital(mesh):
    MODELS["normed"] = (Normed, {})
    recipe = training.TrainingConfig(epochs=2, batch=24, learning_rate=1e-2)
    trained = training.train(networks.NetworkConfig("normed"), DATA, recipe, mesh=mesh)
    answers = training.logits(trained.model, DATA.test.x, batch=20, mesh=mesh)
    return leaves((nnx.state(trained.model), answers)), np.concatenate(trained.history)


def tuned(mesh):
    model, _ = analog()
    tuning = training.AnalogTraining(
        model,
        DATA.train,
        steps=4,
        batch=24,
        learning_rate=1e-3,
        family=training.NoiseInjection(),
        mesh=mesh,
    )
    state = tuning.start()
    for _ in range(4):
        state = tuning.advance(state)
    found = nnx.state(tuning.model(state), (nnx.Param, nnx.BatchStat))
    return leaves(found), np.asarray(state.loss)


def held_out(mesh):
    model, _ = analog()
    options = {"chips": training.held_out_keys(1, CHIPS), "times": (0.0,), "batch": 20}
    found = training.evaluate_on_chips(
        model, training.NoiseInjection(), (), DATA.test, mesh=mesh, **options
    )
    return found.accuracy, found.failed


def chips(mesh):
    _, hardware = analog()
    options = {"bits": [2, 4], "chips": CHIPS, "key": jax.random.key(3), "batch": 20}
    model = Normed(rngs=nnx.Rngs(1))
    return (networks.accuracy_over_chips(model, hardware, DATA.test, mesh=mesh, **options),)


def tiles(mesh):
    """Answers of one chip whose arrays are split, and what is random about these arrays."""
    model = networks.split_tiles(analog()[0], mesh)
    chip = networks.program_analog_weights(model, key=jax.random.key(5))
    chip.eval()
    answers = jax.jit(lambda x: sharding.whole(chip(x), mesh))(DATA.test.x)
    drawn = networks.chips(chip)["hidden"].arrays
    return np.asarray(answers), leaves(sharding.local(drawn, mesh))


CHECKS = {check.__name__: check for check in (digital, tuned, held_out, chips, tiles)}


def numbers(names, mesh=None, split=None):
    """Return what some checks give; `split` is the mesh over which arrays are split."""
    return {
        f"{name}_{k}": value
        for name in names
        for k, value in enumerate(CHECKS[name](split if name == "tiles" else mesh))
    }


if __name__ == "__main__":
    out, names = sys.argv[1:]
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        runs.set_up(accelerators="cluster")
    count = jax.device_count()
    found = numbers(names.split(","), sharding.make_mesh(), sharding.make_mesh(tiles=count))
    if runs.is_first():
        np.savez(out, allow_pickle=False, **found)
