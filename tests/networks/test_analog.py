"""Analog networks: conversion, chips, ageing, gradients to the device, float32, lowering."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax.crossbar import (
    DeviceStatistics,
    GaussianError,
    Hardware,
    LevelCost,
    LevelErrors,
    WeightMapping,
    programming_cost,
    quantise,
    weight_scale,
)
from analogjax.networks import (
    MLP,
    AnalogConv,
    AnalogLinear,
    ChipState,
    DeviceParam,
    analog_layers,
    chips,
    convert_to_analog,
    drift_analog_weights,
    parameter_count,
    program_analog_weights,
)


class Nested(nnx.Module):
    """Every place in which a layer can hide, and layers that must stay digital."""

    def __init__(self, rngs: nnx.Rngs):
        f32 = {"dtype": jnp.float32, "param_dtype": jnp.float32}
        self.conv = nnx.Conv(
            2, 4, (3, 3), (2, 1), padding="CIRCULAR", feature_group_count=2, rngs=rngs, **f32
        )
        self.norm = nnx.BatchNorm(4, rngs=rngs, **f32)
        self.inner = nnx.Dict({"list": nnx.List([nnx.Linear(4, 6, rngs=rngs, **f32), nnx.relu])})
        self.general = nnx.LinearGeneral(6, 5, rngs=rngs, **f32)
        self.head = nnx.Linear(5, 3, use_bias=False, rngs=rngs, **f32)
        self.tied = self.head

    def __call__(self, x):
        x = self.norm(self.conv(x)).mean((1, 2))
        for layer in self.inner["list"]:
            x = layer(x)
        return self.head(self.general(x)) + self.tied(jnp.ones((1, 5), jnp.float32))


def tables():
    rng = np.random.default_rng(0)
    errors = 2e-3 * rng.standard_normal((2, 5, 512)) * np.asarray([1.0, 3.0])[:, None, None]
    return LevelErrors(errors, r_low=1.0e5, r_high=1.19e5, space="R", times=(0.0, 1e4))


def hardware(bits=4, **options):
    return Hardware.from_tables(tables(), bits=bits, **options)


@pytest.fixture(scope="module")
def digital():
    return MLP(hidden=16, input_shape=(6,), classes=3, rngs=nnx.Rngs(0))


X = jax.random.normal(jax.random.key(9), (5, 6), jnp.float32)


def kernels(model):
    return {name: np.asarray(layer.weights()) for name, layer in analog_layers(model).items()}


@pytest.mark.smoke
def test_every_layer_is_found_and_the_original_is_left():
    model = Nested(nnx.Rngs(0))
    model.eval()
    x = jax.random.normal(jax.random.key(0), (4, 5, 5, 2), jnp.float32)
    forward = nnx.jit(lambda m, x: m(x))
    before = np.asarray(forward(model, x))
    analog = convert_to_analog(model, hardware(bits=9).ideal())
    assert sorted(analog_layers(analog)) == ["conv", "head", "inner/list/0"]
    assert isinstance(analog.conv, AnalogConv)
    assert isinstance(analog.inner["list"][0], AnalogLinear)
    assert type(analog.general) is nnx.LinearGeneral
    # A layer that is used twice is one layer: one set of devices.
    assert analog.tied is analog.head
    assert parameter_count(analog) == parameter_count(model)
    assert type(model.conv) is nnx.Conv
    # Strides, circular padding, groups and biases are those of the digital layer: at 9 bits the
    # weights are within 1 / 1022 of full scale.
    np.testing.assert_allclose(forward(analog, x), before, atol=5e-3)
    program_analog_weights(analog, key=jax.random.key(0))
    assert analog.conv.chip.get_value() is None
    np.testing.assert_array_equal(forward(model, x), before)


@pytest.mark.parametrize("scheme", ["differential", "offset"])
def test_no_error_is_quantisation_alone(digital, scheme):
    ideal = hardware(bits=3, mapping=WeightMapping(scheme=scheme, per="channel")).ideal()
    analog = convert_to_analog(digital, ideal)
    chip = program_analog_weights(analog, key=jax.random.key(0))
    kernel = digital.head.kernel[...]
    options = {"n_levels": 8, "ratio": ideal.device.ratio, "mapping": ideal.mapping}
    wanted = quantise(kernel, weight_scale(kernel, **options), **options)
    for model in (analog, chip, drift_analog_weights(chip, t=1e9)):
        # float32, fused differently.
        np.testing.assert_allclose(kernels(model)["head"], wanted, rtol=0, atol=2e-6)
    hidden = nnx.relu(X @ kernels(chip)["hidden/0"] + digital.hidden[0].bias[...][None])
    # The bias is digital. float32, the order of a sum of 16.
    np.testing.assert_allclose(chip(X), hidden @ wanted + digital.head.bias[...][None], atol=2e-6)


@pytest.mark.smoke
def test_a_key_is_a_chip(digital):
    analog = convert_to_analog(digital, hardware())
    one, same, other = (
        kernels(program_analog_weights(analog, key=jax.random.key(k))) for k in (0, 0, 1)
    )
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
        assert np.mean(one[name] != other[name]) > 0.9
    # A layer's devices depend on its own name alone.
    without = convert_to_analog(digital, hardware(), exclude=["hidden"])
    alone = kernels(program_analog_weights(without, key=jax.random.key(0)))
    np.testing.assert_array_equal(alone["head"], one["head"])
    assert list(alone) == ["head"]
    # Programmed again from a programmed model: the same as from a new one.
    again = program_analog_weights(
        program_analog_weights(analog, key=jax.random.key(1)), key=jax.random.key(0)
    )
    np.testing.assert_array_equal(kernels(again)["head"], one["head"])


def test_drift_moves_the_same_devices(digital):
    chip = program_analog_weights(
        convert_to_analog(digital, hardware(error="gaussian")), key=jax.random.key(0)
    )
    start = kernels(chip)["head"]
    np.testing.assert_array_equal(kernels(drift_analog_weights(chip, t=0.0))["head"], start)
    late = drift_analog_weights(chip, t=1e4)
    # From programming, not from the model it is called on.
    np.testing.assert_array_equal(
        kernels(drift_analog_weights(late, t=5.0))["head"],
        kernels(drift_analog_weights(chip, t=5.0))["head"],
    )
    ideal = kernels(convert_to_analog(digital, hardware()))["head"]
    ratio = np.sum((kernels(late)["head"] - ideal) ** 2) / np.sum((start - ideal) ** 2)
    # The table's errors are three times as large then (two draws of 2,560: 2 % each), but for its
    # mean error; 48 pairs of the same devices.
    assert np.sqrt(ratio) == pytest.approx(3.0, rel=0.15)


# A permanent test: device constants must not be left out of a network's gradient.
@pytest.mark.smoke
def test_gradient_reaches_the_device(digital):
    statistics = DeviceStatistics(1.0e5, 1.19e5, GaussianError(0.01))
    analog = convert_to_analog(digital, Hardware(statistics, bits=4))
    chip = program_analog_weights(analog, key=jax.random.key(0))

    def loss(model):
        return jnp.sum(model(X) ** 2)

    gradient = nnx.grad(loss, argnums=nnx.DiffState(0, DeviceParam))(chip)
    (device,) = [v.get_value() for _, v in nnx.to_flat_state(gradient)]
    assert float(device.r_high) != 0
    assert float(device.r_low) != 0
    assert float(device.write_error.std[0]) != 0

    # Against finite differences: the chip's levels and draws stay as they are.
    def with_std(std):
        model = nnx.clone(chip)
        other = DeviceStatistics(1.0e5, 1.19e5, GaussianError(std))
        model.head.device.set_value(other)
        return float(loss(model))

    difference = (with_std(0.012) - with_std(0.008)) / 0.004
    # float32, and a loss that is quartic in the error.
    assert float(device.write_error.std[0]) == pytest.approx(difference, rel=0.02)
    # Weights are not mixed up with device constants, nor the chip with either.
    assert all(type(v) is nnx.Param for _, v in nnx.to_flat_state(nnx.state(chip, nnx.Param)))
    assert len(nnx.to_flat_state(nnx.state(chip, ChipState))) == 2


def test_jit_is_eager(digital):
    chip = program_analog_weights(convert_to_analog(digital, hardware()), key=jax.random.key(0))
    # float32, fused differently.
    np.testing.assert_allclose(nnx.jit(lambda m, x: m(x))(chip, X), chip(X), atol=2e-6)


class Small(nnx.Module):
    """One layer of each kind."""

    def __init__(self, rngs: nnx.Rngs):
        f32 = {"dtype": jnp.float32, "param_dtype": jnp.float32}
        self.conv = nnx.Conv(1, 2, (3, 3), rngs=rngs, **f32)
        self.head = nnx.Linear(2, 3, rngs=rngs, **f32)

    def __call__(self, x):
        return self.head(nnx.relu(self.conv(x)).mean((1, 2)))


HARDWARE = {
    "empirical": hardware(),
    "student t": hardware(error="student_t", mapping=WeightMapping(clip="least_squares")),
    "none": hardware(error="none", mapping=WeightMapping(scheme="offset")),
}


def _functions(kind):
    model = convert_to_analog(Small(nnx.Rngs(0)), HARDWARE[kind])
    unprogrammed, state = nnx.split(model)
    chip = program_analog_weights(model, key=jax.random.key(0))
    graph, devices, rest = nnx.split(chip, DeviceParam, ...)

    def forward(devices, rest, x):
        return jnp.sum(nnx.merge(graph, devices, rest)(x) ** 2)

    def programmed(state, key, x):
        chip = program_analog_weights(nnx.merge(unprogrammed, state), key=key)
        return drift_analog_weights(chip, t=jnp.float32(3.0))(x)

    x = jnp.ones((2, 8, 8, 1), jnp.float32)
    return (
        (jax.jit(forward), (devices, rest, x)),
        (jax.jit(jax.grad(forward)), (devices, rest, x)),
        (jax.jit(programmed), (state, jax.random.key(0), x)),
    )


@pytest.mark.parametrize("kind", HARDWARE)
def test_float32_and_no_host_on_every_platform(kind):
    for function, arguments in _functions(kind):
        traced = function.trace(*arguments)
        jaxpr = str(traced.jaxpr)
        # 64-bit floats are on in these tests.
        assert "f32[" in jaxpr
        assert "f64[" not in jaxpr
        exported = jax.export.export(function, platforms=["cpu", "cuda", "tpu"])(*arguments)
        assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
        targets = set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))
        assert not {target for target in targets if "callback" in target}


def test_what_a_chip_costs(digital):
    chip = program_analog_weights(convert_to_analog(digital, hardware()), key=jax.random.key(0))
    cost = programming_cost(chips(chip), LevelCost(np.arange(16.0) + 1, np.ones(16)))
    assert cost.devices == 2 * (6 * 16 + 16 * 3)
    assert cost.energy == pytest.approx(cost.devices)
    # Of a pair one device rests at the first level, and every row has a device above it.
    assert cost.devices < cost.time_serial < cost.devices * 16
    assert cost.time_parallel <= (6 + 16) * 16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: convert_to_analog(m, hardware(), exclude=["hed"]),
            r"Argument `exclude` must name layers .*, but holds 'hed' \(did you mean 'head'\?\)",
        ),
        (
            lambda m: convert_to_analog(m, hardware(), exclude=["head", "hidden"]),
            "Argument `exclude` must leave a layer to convert",
        ),
        (
            lambda m: convert_to_analog(nnx.BatchNorm(3, rngs=nnx.Rngs(0)), hardware()),
            "Argument `model` must have an `nnx.Linear` or `nnx.Conv`",
        ),
        (
            lambda m: program_analog_weights(m, key=jax.random.key(0)),
            "Argument `analog` must be a model with analog layers",
        ),
        (
            lambda m: drift_analog_weights(convert_to_analog(m, hardware()), t=1.0),
            "Argument `analog` must be programmed .*, but its layer 'head' is not",
        ),
        (
            lambda m: chips(convert_to_analog(m, hardware())),
            "Argument `analog` must be programmed",
        ),
        (
            lambda m: drift_analog_weights(
                program_analog_weights(convert_to_analog(m, hardware()), key=jax.random.key(0)),
                t=2e4,
            ),
            "Argument `t` must be at most 10000 s",
        ),
    ],
)
def test_refusals(digital, call, message):
    with pytest.raises(ValueError, match=message):
        call(digital)
