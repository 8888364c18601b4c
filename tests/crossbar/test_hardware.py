"""Hardware and chips: refusals, a table from the programming, costs by hand."""

from __future__ import annotations

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.crossbar import (
    DeviceStatistics,
    EmpiricalError,
    GaussianError,
    Hardware,
    LevelCost,
    LevelErrors,
    NoError,
    StudentTError,
    WeightMapping,
    age,
    chip_conductance,
    chip_weights,
    conductance_to_weights,
    layer_cost,
    program,
    programming_cost,
    quantise,
)


def errors(n_levels=32, *, device="film", space="R"):
    draws = 1e-3 * np.random.default_rng(0).standard_normal((2, 5, n_levels))
    return LevelErrors(
        draws, r_low=1.0e5, r_high=1.19e5, space=space, times=(0.0, 10.0), device=device
    )


def test_hardware_of_tables():
    hardware = Hardware.from_tables([errors(32), errors(512)], bits=9)
    assert hardware.n_levels == 512
    assert isinstance(hardware.device.write_error, EmpiricalError)
    assert hardware.device.name == "film"
    assert float(hardware.device.ratio) == pytest.approx(1.19)
    assert isinstance(hardware.ideal().device.write_error, NoError)
    for name, kind in {"gaussian": GaussianError, "student_t": StudentTError}.items():
        made = Hardware.from_tables(errors(), bits=3, error=name).device.write_error
        assert isinstance(made, kind)
        assert made.device == "film"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Hardware.from_tables(errors(), bits=3, device="other"),
            "must be level tables of the device 'other', but holds one of 'film'",
        ),
        (
            lambda: DeviceStatistics(1.0, 2.0, EmpiricalError(errors()), name="other"),
            "Argument `write_error` must be of the device 'other', but is of 'film'",
        ),
        (
            lambda: Hardware.from_tables(errors(), bits=6),
            "Argument `bits` must be at most 5, because the largest level table has 32 levels",
        ),
        (
            lambda: Hardware.from_tables(errors(), mapping=WeightMapping(space="G"), bits=3),
            "in the space of the tables, 'R', but has them in 'G'",
        ),
        (
            lambda: Hardware.from_tables(errors(), bits=3, error="normal"),
            "Argument `error` must be one of",
        ),
        (lambda: Hardware(DeviceStatistics(1.0, 2.0), bits=0), "Argument `bits` must be a whole"),
        (lambda: DeviceStatistics(2.0, 1.0), "Argument `r_high` must be above `r_low`"),
        (lambda: DeviceStatistics(0.0, 1.0), "Argument `r_low` must be finite and above 0 ohm"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("scheme", ["differential", "offset"])
def test_a_chip(scheme):
    mapping = WeightMapping(scheme=scheme)
    weights = jax.random.normal(jax.random.key(0), (30, 20), jnp.float32)
    device = DeviceStatistics(1.0e5, 1.19e5, EmpiricalError(errors()))
    key = jax.random.key(1)
    chip = program(weights, device, n_levels=32, mapping=mapping, key=key)
    assert chip.levels.shape == (mapping.devices, 30, 20)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(chip)} == {"uint16", "float32"}
    held = chip_weights(chip, device, mapping=mapping)
    # Conductances [S] carry the same weights; in float32 and at a ratio of 1.19 the difference to
    # g_min costs a factor of 6 in digits.
    conductance = chip_conductance(chip, device, mapping=mapping)
    assert float(conductance.min()) > 0.9 / 1.19e5
    again = conductance_to_weights(
        conductance, chip.scale, r_low=device.r_low, r_high=device.r_high, mapping=mapping
    )
    np.testing.assert_allclose(again, held, atol=3e-5)
    # Without error it is the quantised weights; float32, fused differently.
    ideal = DeviceStatistics(1.0e5, 1.19e5)
    kept = program(weights, ideal, n_levels=32, mapping=mapping, key=key)
    wanted = quantise(weights, chip.scale, n_levels=32, ratio=ideal.ratio, mapping=mapping)
    np.testing.assert_allclose(
        chip_weights(kept, ideal, mapping=mapping), wanted, rtol=0, atol=2e-6
    )
    # The errors themselves are small and there.
    error = np.asarray(held - wanted)
    assert 0 < np.abs(error).max() < 0.05
    later = chip_weights(age(chip, 10.0), device, mapping=mapping)
    assert np.any(np.asarray(later) != np.asarray(held))


def test_jit_and_vmap_give_the_same_chips():
    mapping = WeightMapping(per="channel", clip="least_squares")
    weights = jax.random.normal(jax.random.key(0), (30, 20), jnp.float32)
    device = DeviceStatistics(1.0e5, 1.19e5, EmpiricalError(errors()))

    def held(key, n_levels):
        chip = program(weights, device, n_levels=n_levels, mapping=mapping, key=key)
        return chip_weights(chip, device, mapping=mapping)

    keys = jax.random.split(jax.random.key(1), 3)
    loop = np.stack([[held(key, n) for n in (2, 32)] for key in keys])
    batched = jax.jit(jax.vmap(jax.vmap(held, (None, 0)), (0, None)))(keys, jnp.asarray([2, 32]))
    # float32, fused differently.
    np.testing.assert_allclose(batched, loop, rtol=0, atol=2e-6)
    assert np.any(loop[0] != loop[1])


def test_costs_by_hand():
    # Steps of 1, 2, 3, 4 s and 1, 1, 1, 1 J; the third repeat did not finish.
    time = np.asarray([[1.0, 2.0, 3.0, 4.0]] * 2 + [[1.0, np.nan, np.nan, np.nan]])
    table = types.SimpleNamespace(time=time, energy=np.ones_like(time))
    cost = LevelCost.from_table(table)
    np.testing.assert_allclose(cost.time, [1, 3, 6, 10])
    np.testing.assert_allclose(cost.energy, [1, 2, 3, 4])
    # Two rows of two pairs.
    levels = jnp.asarray([[[0, 1], [2, 0]], [[3, 0], [0, 0]]], jnp.uint16)
    got = layer_cost(levels, 4, cost)
    assert got.devices == 8
    assert got.time_serial == pytest.approx((1 + 3 + 6 + 1) + (10 + 1 + 1 + 1))
    assert got.time_parallel == pytest.approx(max(1, 3, 10, 1) + max(6, 1, 1, 1))
    assert got.energy == pytest.approx((1 + 2 + 3 + 1) + (4 + 1 + 1 + 1))
    # Devices of two levels use the ends of a table of four.
    assert layer_cost(levels[:, :, :1] * 0 + 1, 2, cost).time_serial == pytest.approx(4 * 10)


def test_the_cost_of_a_network_adds_up():
    device = DeviceStatistics(1.0e5, 1.19e5)
    cost = LevelCost(np.arange(1.0, 9.0), np.ones(8))
    mapping = WeightMapping()
    chips = {
        name: program(
            jax.random.normal(jax.random.key(k), shape, jnp.float32),
            device,
            n_levels=8,
            mapping=mapping,
            key=jax.random.key(0),
        )
        for k, (name, shape) in enumerate({"a": (3, 3, 2, 4), "b": (6, 5)}.items())
    }
    total = programming_cost(chips, cost)
    layers = [layer_cost(chip.levels, 8, cost) for chip in chips.values()]
    assert total.devices == 2 * (3 * 3 * 2 * 4 + 6 * 5)
    assert total.energy == pytest.approx(total.devices)
    assert total.time_parallel == pytest.approx(sum(x.time_parallel for x in layers))
    # A row of the convolution is one place of the kernel and one input channel.
    assert layers[0].time_parallel <= 3 * 3 * 2 * 8
    assert total.time_parallel < total.time_serial


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LevelCost([1.0, -1.0], [1.0, 1.0]), "Argument `time` must be finite and at least"),
        (lambda: LevelCost([1.0, 1.0], [1.0]), r"Argument `energy` must have shape \(2,\)"),
        (lambda: LevelCost([1.0], [1.0]), "Argument `time` must be of 2 levels or more"),
    ],
)
def test_wrong_costs(make, message):
    with pytest.raises(ValueError, match=message):
        make()
