"""Losses as functions of magnitudes: the same chips, other sizes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax.crossbar import (
    Adc,
    CurrentDomain,
    DeviceStatistics,
    GaussianError,
    Hardware,
    Tile,
    WeightMapping,
    Wires,
)
from analogjax.crossbar.nonidealities import LogNormalVariation
from analogjax.data import Split
from analogjax.networks import (
    MLP,
    ChipLoss,
    chip_keys,
    convert_to_analog,
    program_analog_weights,
    with_hardware,
)

AT = {"write": 0.05, "variation": 0.1, "wire": 3.0, "adc": 0.02}
MAPPING = WeightMapping("differential", "layer", "max", space="G")
KEY = jax.random.key(3)


def hardware(s, *, bits: int | None = None) -> Hardware:
    """Errors of cells, wires and offsets of converters, each of a size."""
    device = DeviceStatistics(
        1e4,
        1e5,
        GaussianError(s["write"], space="G"),
        effects=(LogNormalVariation(s["variation"]),),
    )
    domain = CurrentDomain(
        wires=Wires(s["wire"], s["wire"]), adc=Adc(None, offset_std=s["adc"]), output_range=4.0
    )
    return Hardware(device, MAPPING, bits=bits, tile=Tile(domain, rows=8, columns=8))


def arrays(s) -> dict:
    return {name: jnp.asarray(value, jnp.float32) for name, value in s.items()}


# Compiled once for all chips.
forward = nnx.jit(lambda chip, x: chip(x))


def answers(chip, split) -> np.ndarray:
    return np.asarray(forward(chip, jnp.asarray(split.x)), np.float64)


@pytest.fixture(scope="module")
def model():
    return MLP(input_shape=(6,), classes=3, hidden=(), rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(0)
    return Split(rng.normal(size=(20, 6)).astype(np.float32), rng.integers(0, 3, 20))


@pytest.fixture(scope="module")
def loss(model, split):
    return ChipLoss(model, hardware, AT, split, chips=2, key=KEY)


def test_the_same_chip_on_other_magnitudes(model, split):
    # Draws do not depend on magnitudes: it is the chip programmed there from the same key.
    other = {name: 2 * value for name, value in AT.items()}
    here, there = (convert_to_analog(model, hardware(arrays(s))) for s in (AT, other))
    moved = with_hardware(program_analog_weights(here, key=KEY), hardware(arrays(other)))
    wanted = program_analog_weights(there, key=KEY)
    found = [
        answers(chip, split) for chip in (moved, wanted, program_analog_weights(here, key=KEY))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])


def test_other_parts_are_refused(model):
    analog = convert_to_analog(model, hardware(arrays(AT)))
    with pytest.raises(ValueError, match="parts, mapping and bits"):
        with_hardware(analog, hardware(arrays(AT), bits=3))
    with pytest.raises(ValueError, match="parts, mapping and bits"):
        with_hardware(analog, hardware(arrays(AT)).ideal())


def test_losses_are_those_of_the_chips_one_by_one(model, split, loss):
    found = loss(AT)
    analog = convert_to_analog(model, hardware(arrays(AT)))
    for k, key in enumerate(chip_keys(KEY, 2)):
        logits = answers(program_analog_weights(analog, key=key), split)
        each = np.log(np.exp(logits).sum(1)) - logits[np.arange(20), split.y]
        # float32 sums in another order.
        assert found.cross_entropy[k] == pytest.approx(each.mean(), rel=1e-5)
        assert found.accuracy[k] == pytest.approx(np.mean(logits.argmax(1) == split.y))


@pytest.mark.parametrize("name", sorted(AT))
def test_gradient_is_that_of_central_differences(loss, name):
    h = 0.05 * AT[name]
    up, down = (loss({**AT, name: AT[name] + s * h}).cross_entropy for s in (1, -1))
    slope, check = loss.gradient(AT)[name], (up - down) / (2 * h)
    assert slope.shape == (2,)
    # Of second order in 5 %, and float32 losses of about 1 carry 1e-7 each.
    np.testing.assert_allclose(slope, check, rtol=0.02, atol=3e-7 / h)


@pytest.mark.slow
def test_gradient_through_the_scale_of_a_layers_inputs(split):
    # Offsets are shares of full scale: behind a scaling to the largest input they follow the wires
    # of the layer before.
    model = MLP(input_shape=(6,), classes=3, hidden=5, rngs=nnx.Rngs(0))
    at = {**AT, "wire": 100.0, "adc": 0.1}
    loss = ChipLoss(model, hardware, at, split, chips=2, key=KEY)
    slope = loss.gradient(at)["wire"]
    up, down = (loss({**at, "wire": 100.0 + h}).cross_entropy for h in (5.0, -5.0))
    # Of second order in 5 %.
    np.testing.assert_allclose(slope, (up - down) / 10, rtol=0.01)


def test_no_chips(model, split):
    with pytest.raises(ValueError, match="chips"):
        ChipLoss(model, hardware, AT, split, chips=0, key=KEY)
