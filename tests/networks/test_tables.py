"""Networks whose devices hold what a table says."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax.crossbar import WeightMapping
from analogjax.networks import MLP, table_network

MAPPING = WeightMapping(scheme="differential", per="channel", clip="max", space="G")


@pytest.fixture(scope="module")
def model():
    return MLP(input_shape=(6,), classes=3, hidden=(5,), rngs=nnx.Rngs(0))


def test_an_exact_table_gives_the_digital_network(model):
    network = table_network(model, n_levels=2**15, ratio=5.0, mapping=MAPPING)
    table = jnp.linspace(0.0, 1.0, 2**15)[None]
    x = jax.random.normal(jax.random.key(1), (7, 6), jnp.float32)
    found = network.logits(table, jax.random.key(0), x)
    assert found.dtype == jnp.float32
    # Half a level of 15 bits, over the weights of a row.
    np.testing.assert_allclose(found, model(x), atol=1e-3)


def test_a_line_of_gain_is_a_gain_of_the_weights(model):
    """One kind of device at 0.8 of every level: every kernel times 0.8."""
    network = table_network(model, n_levels=2**15, ratio=5.0, mapping=MAPPING)
    table = 0.8 * jnp.linspace(0.0, 1.0, 2**15)[None]
    x = jax.random.normal(jax.random.key(1), (7, 6), jnp.float32)
    # Biases are zero in a fresh network, ReLU passes a gain on.
    np.testing.assert_allclose(
        network.logits(table, jax.random.key(0), x), 0.64 * model(x), atol=1e-3
    )


def test_loss_and_its_derivative_by_the_table(model):
    network = table_network(model, n_levels=16, ratio=5.0, mapping=MAPPING, dtype=jnp.float64)
    key = jax.random.key(2)
    table = jnp.linspace(0.0, 1.0, 16)[None] + 0.05 * jax.random.normal(key, (4, 16), float)
    x = jax.random.normal(jax.random.key(1), (7, 6), jnp.float32)
    y = jnp.asarray([0, 1, 2, 0, 1, 2, 0], jnp.int32)

    @jax.jit
    def loss(table):
        return network.cross_entropy(table, key, x, y)

    logits = np.asarray(network.logits(table, key, x), np.float64)
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(7), np.asarray(y)])
    assert float(loss(table)) == pytest.approx(expected, rel=1e-12)
    slope = jax.grad(loss)(table)
    along = jax.random.normal(jax.random.key(3), table.shape, float)
    h = 1e-6
    difference = (loss(table + h * along) - loss(table - h * along)) / (2 * h)
    assert float(jnp.vdot(slope, along)) == pytest.approx(float(difference), rel=1e-6)
