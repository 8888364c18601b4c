"""Networks on tiles: the same layers, reads with keys, kept arrays, calibration, drift, float32."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax.crossbar import (
    PAIRS_PER_CHANNEL,
    CurrentDomain,
    DeviceStatistics,
    GaussianError,
    Hardware,
    Tile,
    WeightMapping,
    Wires,
    programmed_hardware,
    standard_tile,
)
from analogjax.crossbar.converters import Adc, Dac, SarInl
from analogjax.crossbar.nonidealities import PowerLawDrift
from analogjax.data import Split
from analogjax.devices import PCM
from analogjax.networks import (
    MLP,
    ConverterRange,
    DeviceParam,
    TileParam,
    accuracy_over_chips,
    analog_layers,
    calibrate_converters,
    chip_keys,
    compensate_drift,
    convert_to_analog,
    drift_analog_weights,
    keep_arrays,
    program_analog_weights,
    read_analog_weights,
)
from analogjax.networks._layers import largest_seen, patches
from analogjax.networks.analog import _groups

F32 = {"dtype": jnp.float32, "param_dtype": jnp.float32}
DEVICE = DeviceStatistics(1e4, 1e6, GaussianError(0.02))
X = jax.random.uniform(jax.random.key(9), (6, 20), jnp.float32, np.float32(0), np.float32(1))
KEY = jax.random.key(2)


def hardware(domain, *, rows=7, columns=8, bits=None, device=DEVICE):
    return Hardware(device, PAIRS_PER_CHANNEL, bits=bits, tile=Tile(domain, rows, columns))


@pytest.fixture(scope="module")
def digital():
    return MLP(hidden=16, input_shape=(20,), classes=3, rngs=nnx.Rngs(0))


def relative(a, b):
    return float(jnp.sqrt(jnp.mean((a - b) ** 2) / jnp.mean(b**2)))


# Whatever nnx.Conv does with strides, padding and dilation, perfect arrays do.
@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((3, 3), {"padding": "SAME"}),
        ((3, 3), {"padding": "VALID", "strides": (2, 1)}),
        ((2, 4), {"padding": "SAME", "strides": 2, "use_bias": False}),
        ((3, 2), {"padding": ((1, 0), (2, 1)), "kernel_dilation": (1, 2)}),
        ((1, 1), {"padding": 1, "strides": (3, 3)}),
    ],
)
def test_convolutions_on_arrays(size, options):
    class One(nnx.Module):
        def __init__(self):
            self.conv = nnx.Conv(3, 5, size, rngs=nnx.Rngs(1), **options, **F32)

        def __call__(self, x):
            return self.conv(x)

    model = One()
    x = jax.random.normal(KEY, (2, 9, 8, 3), jnp.float32)
    analog = convert_to_analog(model, hardware(CurrentDomain()))
    # float32, sums of up to 27 products in another order.
    np.testing.assert_allclose(analog(x), model(x), atol=5e-6)


def test_convolutions_that_arrays_cannot_do():
    class One(nnx.Module):
        def __init__(self, **options):
            self.conv = nnx.Conv(4, 4, (3, 3), rngs=nnx.Rngs(1), **options, **F32)

    for options, what in (
        ({"feature_group_count": 2}, "has 2 groups"),
        ({"padding": "CIRCULAR"}, "pads by"),
    ):
        with pytest.raises(ValueError, match=f"without a tile .* the layer 'conv' {what}"):
            convert_to_analog(One(**options), hardware(CurrentDomain()))


@pytest.mark.slow
def test_reads_share_the_chip(digital):
    domain = CurrentDomain(
        dac=Dac(8), adc=Adc(8, inl=SarInl(0.1)), output_noise=0.05, output_range=6.0
    )
    analog = convert_to_analog(digital, hardware(domain))
    read = nnx.jit(lambda m: m(X))
    chip = program_analog_weights(analog, key=KEY)
    assert jnp.array_equal(read(chip), read(program_analog_weights(analog, key=KEY)))
    one, two = (read(read_analog_weights(chip, key=jax.random.key(k))) for k in (0, 1))
    silent = read(read_analog_weights(chip, key=None))
    other = read(
        read_analog_weights(program_analog_weights(analog, key=jax.random.key(7)), key=None)
    )
    assert not jnp.array_equal(one, two)
    # Noise of 0.05 on each of three arrays, against another chip altogether.
    assert relative(one, silent) < relative(other, silent)
    # Without a tile nothing is fresh.
    plain = program_analog_weights(convert_to_analog(digital, Hardware(DEVICE, bits=4)), key=KEY)
    assert jnp.array_equal(plain(X), read_analog_weights(plain, key=jax.random.key(5))(X))


@pytest.mark.slow
def test_kept_arrays_are_the_arrays_and_have_no_gradient():
    # One layer: each takes ten seconds to compile.
    single = MLP(hidden=(), input_shape=(20,), classes=3, rngs=nnx.Rngs(0))
    analog = convert_to_analog(single, hardware(CurrentDomain(wires=Wires(5.0, 5.0))))
    chip = program_analog_weights(analog, key=KEY)
    kept = keep_arrays(chip)
    np.testing.assert_allclose(kept(X), chip(X), atol=1e-5)

    def loss(model):
        return jnp.sum(model(X) ** 2)

    grad = nnx.jit(nnx.grad(loss, argnums=nnx.DiffState(0, (TileParam, DeviceParam))))
    (wires,) = {
        float(v.get_value().domain.wires.r_bit_line)
        for p, v in nnx.to_flat_state(grad(chip))
        if p[-1] == "tile"
    }
    assert wires != 0

    def with_wires(r):
        model = nnx.clone(chip)
        tile = model.head.tile.get_value()
        model.head.tile.set_value(Tile(CurrentDomain(wires=Wires(5.0, r)), tile.rows, tile.columns))
        return float(loss(model))

    difference = (with_wires(5.5) - with_wires(4.5)) / 1.0
    # float32 solves to 1e-6 of losses that differ by a per cent.
    assert wires == pytest.approx(difference, rel=0.01)


def test_training_on_a_chip_reaches_the_weights(digital):
    analog = convert_to_analog(digital, hardware(CurrentDomain(), bits=4))
    frozen = program_analog_weights(analog, key=KEY)
    trained = program_analog_weights(analog, key=KEY, trainable=True)
    np.testing.assert_allclose(trained(X), frozen(X), atol=2e-5)
    grad = nnx.grad(lambda m: jnp.sum(m(X) ** 2))
    ideal = grad(convert_to_analog(digital, hardware(CurrentDomain())))
    through = grad(trained)
    assert float(jnp.abs(grad(frozen).head.kernel[...]).max()) == 0
    # Straight through: that of weights a few per cent elsewhere.
    assert relative(through.head.kernel[...], ideal.head.kernel[...]) < 0.3


@pytest.mark.parametrize("images", [1, 4])
def test_gradient_of_a_convolution_is_that_of_a_dense_layer_that_sees_its_patches(images):
    class One(nnx.Module):
        def __init__(self, layer):
            self.layer = layer

    domain = CurrentDomain(dac=Dac(6), adc=Adc(6), output_noise=0.5, output_range=2.0)
    options = {"use_bias": False, "rngs": nnx.Rngs(1), **F32}
    conv, dense = nnx.Conv(2, 5, (3, 3), padding="VALID", **options), nnx.Linear(18, 5, **options)
    dense.kernel.set_value(conv.kernel[...].reshape(18, 5))
    x = jax.random.normal(KEY, (images, 9, 9, 2), jnp.float32)

    def gradients(layer, key, see):
        analog = convert_to_analog(One(layer), hardware(domain, rows=10)).layer
        analog.read.set_value(key)
        graph, weights, rest = nnx.split(analog, nnx.Param, ...)

        def loss(weights, x):
            return jnp.sum(jnp.abs(nnx.merge(graph, weights, rest)(see(x))) ** 2)

        by_weights, by_inputs = jax.jit(jax.grad(loss, argnums=(0, 1)))(weights, x)
        return by_weights.kernel[...].reshape(18, 5), by_inputs

    # One image is one group, whose noise has a key of its own; four are two groups, in a loop.
    keys = (KEY, jax.random.split(KEY, 1)[0]) if images == 1 else (None, None)
    found = gradients(conv, keys[0], lambda x: x)
    wanted = gradients(dense, keys[1], lambda x: patches(x, (3, 3)))
    for a, b in zip(found, wanted, strict=True):
        assert float(jnp.abs(b).max()) > 1
        # What is found again in the backward pass is rounded as it was, sums are in another order.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(jnp.abs(b).max()))


@pytest.mark.parametrize(
    "places",
    [
        {"padding": "SAME"},
        {"strides": (2, 2), "padding": [(1, 0), (0, 1)]},
        {"padding": "VALID", "dilation": (2, 1)},
    ],
)
def test_the_largest_input_of_a_place_is_that_of_its_patch(places):
    x = jax.random.normal(KEY, (2, 7, 6, 3), jnp.float32)

    def by_patches(x):
        return jnp.max(jnp.abs(patches(x, (3, 3), **places)), axis=-1, keepdims=True)

    weights = jax.random.normal(jax.random.key(5), by_patches(x).shape, jnp.float32)
    found, pull = jax.vjp(lambda x: largest_seen(x, (3, 3), **places), x)
    wanted, pull_wanted = jax.vjp(by_patches, x)
    np.testing.assert_array_equal(found, wanted)
    # No two magnitudes are equal: one gradient. Sums over places are in another order.
    np.testing.assert_allclose(*pull(weights), *pull_wanted(weights), rtol=1e-5, atol=1e-6)


def test_groups_of_images_are_two_or_more_and_see_as_much_as_they_should():
    assert _groups((1, 8, 8, 9), 9) == 1
    assert _groups((7, 8, 8, 9), 9) == 7
    assert _groups((64, 8, 8, 9), 9) == 2
    assert _groups((64, 32, 32, 576), 576 * 64) == 64
    # Many weights for few places: every group would read all of them.
    assert _groups((64, 4, 4, 4608), 4608 * 512) == 2


def test_calibrated_ranges_are_those_of_the_data(digital):
    analog = convert_to_analog(
        digital, hardware(CurrentDomain(dac=Dac(6), adc=Adc(6)), rows=512, columns=512)
    )
    calibrated = calibrate_converters(analog, X, inputs="max", outputs="mse")
    layers = analog_layers(calibrated)
    assert float(layers["hidden/0"].input_range.get_value()) == float(X.max())
    assert relative(calibrated(X), digital(X)) < relative(analog(X), digital(X))
    # Ranges can be learnt: they are variables of a kind of their own.
    grad = nnx.grad(lambda m: jnp.sum(m(X) ** 2), argnums=nnx.DiffState(0, ConverterRange))
    assert float(grad(calibrated).head.output_range.get_value()) != 0
    with pytest.raises(ValueError, match="Argument `analog` must be a model on tiles"):
        calibrate_converters(convert_to_analog(digital, Hardware(DEVICE, bits=4)), X)


@pytest.mark.parametrize("tile", [None, standard_tile()], ids=["devices", "tile"])
def test_drift_and_its_compensation(digital, tile):
    device = programmed_hardware(PCM()).device
    if tile is None:
        device = DeviceStatistics(4e4, 4e7, effects=(PowerLawDrift(0.06, 0.02),))
    analog = convert_to_analog(digital, Hardware(device, PAIRS_PER_CHANNEL, bits=None, tile=tile))
    chip = read_analog_weights(program_analog_weights(analog, key=KEY), key=None)
    later = drift_analog_weights(chip, t=1e6)
    mended = compensate_drift(later, key=jax.random.key(4))
    assert relative(later(X), chip(X)) > 2 * relative(mended(X), chip(X))
    # Compensation at the time of programming does nothing but read twice.
    gains = [
        layer.gain.get_value() for layer in analog_layers(compensate_drift(chip, key=KEY)).values()
    ]
    np.testing.assert_allclose(gains, 1, atol=0.05)


@pytest.mark.slow
def test_accuracy_is_that_of_single_chips(digital):
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 1, (50, 20)).astype(np.float32)
    split = Split(x, np.asarray(jnp.argmax(digital(jnp.asarray(x)), -1), np.int32))
    made = hardware(
        CurrentDomain(dac=Dac(4), adc=Adc(5, offset_std=0.02), output_range=4.0), bits=3
    )
    got = accuracy_over_chips(digital, made, split, bits=[3], chips=2, key=KEY, batch=50)
    analog = convert_to_analog(digital, made)
    for column, key in enumerate(chip_keys(KEY, 2)):
        logits = read_analog_weights(program_analog_weights(analog, key=key), key=None)(
            jnp.asarray(x)
        )
        expected = np.mean(np.asarray(jnp.argmax(logits, -1)) == split.y)
        # One input of fifty may lie on the edge between two codes of a converter.
        assert abs(got[0, column] - expected) <= 0.021


EVERYTHING = CurrentDomain(
    dac=Dac(8, inl=SarInl(0.05), gain_std=0.01), adc=Adc(8, offset_std=0.01), output_noise=0.04,
    output_range=10.0, wires=Wires(1.0, 1.0),
)  # fmt: skip


@pytest.mark.parametrize(
    "mapping",
    [
        pytest.param(PAIRS_PER_CHANNEL, id="pairs"),
        pytest.param(WeightMapping("offset", space="G"), id="offset", marks=pytest.mark.slow),
    ],
)
def test_float32_and_no_host_on_every_platform(mapping):
    model = MLP(hidden=4, input_shape=(6,), classes=3, rngs=nnx.Rngs(0))
    made = Hardware(
        programmed_hardware(PCM()).device, mapping, bits=None, tile=Tile(EVERYTHING, 4, 6)
    )
    chip = program_analog_weights(convert_to_analog(model, made), key=KEY)
    graph, constants, rest = nnx.split(chip, (DeviceParam, TileParam), ...)

    def loss(constants, rest, x):
        return jnp.sum(nnx.merge(graph, constants, rest)(x) ** 2)

    function, arguments = jax.jit(jax.grad(loss)), (constants, rest, jnp.ones((2, 6), jnp.float32))
    jaxpr = str(function.trace(*arguments).jaxpr)
    # 64-bit floats are on in these tests; numbers of Python show as weak scalars, folded away.
    assert "f32[" in jaxpr
    assert re.search(r"f64\[\d", jaxpr) is None
    exported = jax.export.export(function, platforms=["cpu", "cuda", "tpu"])(*arguments)
    targets = set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))
    assert not {target for target in targets if "callback" in target}
