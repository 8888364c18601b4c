"""Accuracy over chips and bit depths: the same as one chip at a time, whatever the batching."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax.crossbar import DeviceStatistics, GaussianError, Hardware, LevelErrors, WeightMapping
from analogjax.data import Split, to_float
from analogjax.networks import (
    MLP,
    LeNet5,
    accuracy_over_chips,
    chip_keys,
    convert_to_analog,
    drift_analog_weights,
    program_analog_weights,
)

SHAPE = (12, 12, 1)
BITS = [2, 5]
KEY = jax.random.key(4)


def tables():
    rng = np.random.default_rng(0)
    errors = 0.03 * rng.standard_normal((2, 5, 32)) * np.asarray([1.0, 3.0])[:, None, None]
    return LevelErrors(errors, r_low=1.0e5, r_high=1.19e5, space="R", times=(0.0, 1e4))


@pytest.fixture(scope="module")
def split():
    """Images labelled by the digital model itself, so that its accuracy is 1."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (101, *SHAPE), dtype=np.uint8)
    return Split(x, np.asarray(jnp.argmax(model("mlp")(to_float(x)), -1), np.int32))


def model(name):
    if name == "lenet":
        return LeNet5(input_shape=SHAPE, rngs=nnx.Rngs(0))
    return MLP(input_shape=SHAPE, hidden=20, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("name", "t", "mapping"),
    [
        ("mlp", 0.0, WeightMapping(per="channel", clip="least_squares")),
        ("lenet", 100.0, WeightMapping(scheme="offset")),
    ],
    ids=["mlp", "lenet"],
)
def test_the_same_as_one_chip_at_a_time(split, name, t, mapping):
    digital = model(name)
    hardware = Hardware.from_tables(tables(), bits=1, mapping=mapping)
    got = accuracy_over_chips(digital, hardware, split, bits=BITS, chips=2, key=KEY, t=t, batch=30)
    keys = chip_keys(KEY, 2)
    wanted = np.empty((2, 2))
    for i, bits in enumerate(BITS):
        analog = convert_to_analog(
            digital, Hardware.from_tables(tables(), bits=bits, mapping=mapping)
        )
        for j in range(2):
            chip = drift_analog_weights(program_analog_weights(analog, key=keys[j]), t=t)
            logits = nnx.jit(lambda m, x: m(x))(chip, to_float(split.x))
            wanted[i, j] = np.mean(np.argmax(logits, -1) == split.y)
    # float32 sums in another order may turn one image of 101 whose two best logits are equal.
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1.01 / 101)
    assert got.shape == (2, 2)
    assert len(np.unique(got)) > 1


@pytest.mark.slow
def test_batching_does_not_matter(split):
    hardware = Hardware.from_tables(tables(), bits=1)
    first, *others = (
        accuracy_over_chips(
            model("mlp"),
            hardware,
            split,
            bits=BITS,
            chips=3,
            key=KEY,
            batch=batch,
            parallel=parallel,
        )
        for batch, parallel in ((1000, 1), (30, 2))
    )
    for other in others:
        # As above: ties.
        np.testing.assert_allclose(other, first, rtol=0, atol=1.01 / 101)


def test_quantisation_alone(split):
    hardware = Hardware(DeviceStatistics(1.0e5, 1.19e5, GaussianError(0.5)), bits=1)
    options = {"bits": [1, 12], "key": KEY, "batch": 50}
    ideal = accuracy_over_chips(model("mlp"), hardware.ideal(), split, chips=2, **options)
    # Without write error all chips are one, and 12 bits are as good as digital (labels are its own;
    # two images of a hundred may be ties).
    np.testing.assert_array_equal(ideal[:, 0], ideal[:, 1])
    assert ideal[1, 0] >= 0.98
    ruined = accuracy_over_chips(model("mlp"), hardware, split, chips=2, **options)
    assert ruined[1].max() < 0.8
    kept = accuracy_over_chips(
        model("mlp"), hardware, split, chips=2, exclude=["hidden", "head"][:1], **options
    )
    # The first layer digital: better than both analog.
    assert kept[1].mean() > ruined[1].mean()


def test_running_statistics_are_used_and_the_model_left(split):
    class Normed(nnx.Module):
        def __init__(self, rngs):
            f32 = {"dtype": jnp.float32, "param_dtype": jnp.float32}
            self.norm = nnx.BatchNorm(144, rngs=rngs, **f32)
            self.head = nnx.Linear(144, 10, rngs=rngs, **f32)

        def __call__(self, x):
            return self.head(self.norm(x.reshape(x.shape[0], -1)))

    network = Normed(nnx.Rngs(0))
    network.norm.mean[...] = jnp.full((144,), 0.4, jnp.float32)
    hardware = Hardware(DeviceStatistics(1.0e5, 1.19e5), bits=1)
    got = accuracy_over_chips(network, hardware, split, bits=[12], chips=1, key=KEY, batch=50)
    assert not network.norm.use_running_average
    np.testing.assert_array_equal(np.asarray(network.norm.mean[...]), np.float32(0.4))
    network.eval()
    wanted = np.mean(np.argmax(np.asarray(network(to_float(split.x))), -1) == split.y)
    # 12 bits: at most ties.
    assert got[0, 0] == pytest.approx(wanted, abs=2 / 101)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": [0]}, "Argument `bits` must be a whole number"),
        ({"bits": [3, 6]}, "Argument `bits` must be at most 5"),
        ({"chips": 0}, "Argument `chips` must be at least 1, but is 0"),
        ({"batch": 0}, "Argument `batch` must be at least 1, but is 0"),
        ({"t": 1e5}, "Argument `t` must be at most 10000 s"),
        ({"exclude": ["heat"]}, "did you mean 'head'"),
    ],
)
def test_refusals(split, options, message):
    hardware = Hardware.from_tables(tables(), bits=1)
    usual = {"bits": [1], "chips": 1, "key": KEY}
    with pytest.raises(ValueError, match=message):
        accuracy_over_chips(model("mlp"), hardware, split, **(usual | options))
