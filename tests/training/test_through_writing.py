"""The loss of a whole network by every pulse and shared quantity, through equations of devices.

Networks compute in float32. A twin in float64, written out here, has its loss on the same drawn
devices; its central differences are what the gradient of the network is held against.
"""

from __future__ import annotations

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from analogjax.crossbar import DeviceStatistics, Hardware, WeightMapping, layer_key
from analogjax.devices import FourTerminalTiO2, Spread
from analogjax.networks import MLP, analog_layers, convert_to_analog
from analogjax.programming import FilamentWriting, ReducedWriting, VacancyWriting
from analogjax.programming.film_writing import PULSE_GAP, PULSE_WIDTH
from analogjax.programming.flow_map import Grid
from analogjax.simulation import Multirate
from analogjax.training import Physical

MAPPING = WeightMapping("differential", "layer", "max", space="G")
DESIGN = {
    PULSE_WIDTH: (-0.4, 0.5),
    f"{PULSE_WIDTH}_1": (-0.4, 0.5),
    PULSE_GAP: (-0.8, 4.0),
    "electrode_arm": (-0.4, 0.3),
    "front_position": (-0.4, 0.4),
    "front_width": (-0.5, 1.0),
}
KEY = jax.random.key(5)
X = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
Y = np.arange(7) % 2


def network(writing):
    """Return 2 - 3 - 2 on devices of this writing: 24 of them."""
    model = MLP(input_shape=(2,), classes=2, hidden=(3,), rngs=nnx.Rngs(3))
    low, high = (float(g) for g in writing.window)
    hardware = Hardware(DeviceStatistics(1 / high, 1 / low), MAPPING, bits=None)
    return convert_to_analog(model, hardware)


def cross_entropy(answers):
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(answers, jnp.asarray(Y)))


def compare(writing, design=(), *, shift=0.05):
    """Hold the gradient by everything that a family trains against central differences.

    The drives are the planned ones and `shift` more, away from where a plan ends.
    """
    model, family = network(writing), Physical(writing, design=design)
    # In the order of the network.
    layers = dict(sorted(analog_layers(model).items(), key=lambda x: x[1].kernel[...].shape[0]))
    start = family.start(model)
    assert len(layers) == 2

    @jax.jit
    def loss(trained):
        chip = family.chip(model, trained, key=KEY)
        return cross_entropy(chip.model(jnp.asarray(X))), chip.failed

    drawn = {
        name: writing.draw(layer_key(KEY, name), (2, *layer.kernel[...].shape))
        for name, layer in layers.items()
    }

    def twin(trained):
        changed = writing.changed(family.changes(trained))
        x = jnp.asarray(X, float)
        for k, (name, layer) in enumerate(layers.items()):
            held = changed.write(trained["drives"][name], drawn[name]).fractions
            weights = jnp.exp(trained["log_scale"][name]) * (held[0] - held[1])
            x = x @ weights + jnp.asarray(layer.bias[...], float)[None]
            x = x if k else jax.nn.relu(x)
        return cross_entropy(x)

    trained = jax.tree.map(lambda x: jnp.asarray(x, float), start)
    trained["drives"] = jax.tree.map(lambda x: x + shift, trained["drives"])
    (value, failed), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(trained)
    assert int(failed) == 0
    # The same network: rounding of float32.
    assert float(value) == pytest.approx(float(twin(trained)), rel=1e-6)
    at, unravel = jax.flatten_util.ravel_pytree(trained)
    found, _ = jax.flatten_util.ravel_pytree(gradient)
    # In float64 curvature and rounding both leave 1e-9.
    step = 1e-5
    points = jnp.concatenate([at[None] + s * step * jnp.eye(at.size) for s in (1, -1)])
    values = jax.jit(lambda points: jax.lax.map(lambda p: twin(unravel(p)), points))(points)
    ahead, behind = np.asarray(values).reshape(2, -1)
    slopes = (ahead - behind) / (2 * step)
    # A gradient of float32: 1e-5 of each number, and rounding of the sums it comes from.
    np.testing.assert_allclose(found, slopes, rtol=1e-5, atol=1e-6 * np.abs(slopes).max())
    return unravel(found), np.abs(slopes)


def test_every_pulse_of_reduced_films(reduced_device):
    grid = Grid((30.0, 6.0), (61, 13))
    writing = ReducedWriting(
        reduced_device, full=12.0, speed_spread=0.1, grid=grid, dtype=jnp.float64
    )
    found, _ = compare(writing, shift=0.1)
    by_drive = jax.tree.leaves(found["drives"])
    assert sum(leaf.size for leaf in by_drive) == 48
    assert all(np.all(leaf != 0) for leaf in by_drive[:2])


@pytest.mark.slow
def test_every_pulse_of_filaments():
    # The derivative is exact at any accuracy of the tables, and coarse ones are made quickly.
    writing = FilamentWriting(trained=("amplitude", "width"), degrees=(3, 1, 1, 1))
    found, _ = compare(writing)
    by_drive = jax.tree.leaves(found["drives"])
    assert sum(leaf.size for leaf in by_drive) == 48
    assert any(np.any(leaf != 0) for leaf in by_drive)


@pytest.mark.slow
def test_every_pulse_and_shared_quantity_of_films():
    writing = VacancyWriting(
        FourTerminalTiO2(8, sigma_background=5.0, electrode_arm=0.3),
        widths=[3.0, 2.0],
        gap=1.0,
        low=-5.0,
        high=5.0,
        limit=6.0,
        spread=Spread(dict.fromkeys(("attempt_frequency", "thickness"), 0.05)),
        solver=Multirate(1, 8),
        batch=8,
        points=8,
    )
    found, slopes = compare(writing, DESIGN)
    assert set(found["design"]) == set(DESIGN)
    # Every shared quantity matters to the loss.
    assert all(abs(float(g)) > 1e-4 * slopes.max() for g in found["design"].values())
