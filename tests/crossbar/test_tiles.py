"""Tiles of the current domain: closed forms, cutting and joining, noise, statistics, gradients."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.crossbar import (
    CurrentDomain,
    DeviceStatistics,
    GaussianError,
    Hardware,
    Sinh,
    Tile,
    WeightMapping,
    Wires,
    array_product,
    prepare_arrays,
    preset_hardware,
    program,
    programmed_hardware,
    solve_crossbar,
)
from analogjax.crossbar.amplifier import Transimpedance
from analogjax.crossbar.converters import Adc, Dac, SarInl
from analogjax.crossbar.nonidealities import ThermalNoise
from analogjax.devices import StatisticalDevice

UNIT = 25e-6
RNG = np.random.default_rng(0)
G = jnp.asarray(RNG.uniform(1e-6, 25e-6, (2, 13, 5)))
X = jnp.asarray(RNG.uniform(-1, 1, (4, 13)))
EXACT = X @ (G[0] - G[1])
KEY = jax.random.key(3)


def read(domain, g=G, x=X, *, rows=13, columns=512, key=None, frozen=None, reference=None):
    tile = Tile(domain, rows, columns)
    layout = tile.layout(x.shape[1], g.shape[-1], g.shape[0])
    drawn = None if frozen is None else tile.draw(frozen, g.shape)
    prepared = tile.prepare(g, reference=reference)
    return tile.multiply(x, prepared, drawn, layout, unit=jnp.asarray(UNIT), key=key)


# D1 of the specification: a current domain of perfect parts is a matrix product, to 1e-12.
@pytest.mark.parametrize("subtract", ["analog", "digital"])
@pytest.mark.parametrize("rows", [13, 4, 1])
def test_perfect_arrays_multiply(subtract, rows):
    got = read(CurrentDomain(subtract=subtract), rows=rows)
    np.testing.assert_allclose(got, EXACT, rtol=1e-12, atol=1e-12 * float(jnp.abs(EXACT).max()))


def test_one_device_and_a_reference():
    middle = 13e-6
    got = read(CurrentDomain(), G[:1], rows=5, reference=middle)
    np.testing.assert_allclose(got, X @ (G[0] - middle), rtol=0, atol=1e-12 * 3e-4)
    # Cells that no row drives do not count, nor does their reference: wires of 0 ohm.
    wired = read(CurrentDomain(wires=Wires(0.0, 0.0)), G[:1], rows=5, columns=4, reference=middle)
    np.testing.assert_allclose(wired, got, rtol=0, atol=1e-12 * 3e-4)


def test_parts_that_are_perfect_change_nothing():
    plain = read(CurrentDomain(), rows=5)
    several = {
        "wires of 0 ohm": CurrentDomain(wires=Wires(0.0, 0.0)),
        "an amplifier without limits": CurrentDomain(amplifier=Transimpedance(1e3)),
        "two phases": CurrentDomain(signed_inputs="two_phase"),
        "cells with a law that is linear": CurrentDomain(cell=Sinh(1e4)),
    }
    for name, domain in several.items():
        got = read(domain, rows=5, columns=6)
        # The law at 1e4 V deviates by (0.2 / 1e4)^2 / 6; all else is round-off.
        np.testing.assert_allclose(got, plain, rtol=0, atol=2e-10 * 3e-4, err_msg=name)


def test_slices_of_inputs_are_the_inputs():
    whole = read(CurrentDomain(dac=Dac(8)))
    slices = read(CurrentDomain(dac=Dac(3), input_bits=8, slice_bits=2, signed_inputs="two_phase"))
    np.testing.assert_allclose(slices, whole, rtol=0, atol=1e-12 * 3e-4)
    with pytest.raises(ValueError, match="Argument `dac` must have 3 bits"):
        CurrentDomain(dac=Dac(8), input_bits=8, slice_bits=2)


# D3 and D4: a single cell with a sinh law, its error and its third harmonic.
def test_sinh_cell():
    one = jnp.ones((1, 1, 1))
    for ratio, percent in ((0.25, 1.04493), (0.5, 4.21906), (1.0, 17.52012)):
        domain = CurrentDomain(v_read=jnp.asarray(0.2), cell=Sinh(0.2 / ratio))
        g = jnp.concatenate([one, 0 * one]) * 1e-5
        error = float(read(domain, g, jnp.ones((1, 1)))[0, 0] / 1e-5 - 1)
        # The digits that are given.
        assert 100 * error == pytest.approx(percent, abs=6e-6)
    phase = 2 * np.pi * np.arange(64) / 64
    domain = CurrentDomain(v_read=jnp.asarray(0.2), cell=Sinh(0.4))
    wave = read(domain, g, jnp.asarray(np.sin(phase))[:, None])[:, 0]
    harmonics = np.abs(np.fft.rfft(np.asarray(wave)))
    assert harmonics[3] / harmonics[1] == pytest.approx(0.0102566, abs=6e-8)


@pytest.mark.slow
def test_superposition_holds_with_wires_and_not_with_a_law():
    a, b = X[:1] / 2, X[1:2] / 2
    for cell, holds in ((None, True), (Sinh(0.1), False)):
        domain = CurrentDomain(wires=Wires(20.0, 20.0), cell=cell)
        apart = read(domain, x=a) + read(domain, x=b)
        together = read(domain, x=a + b)
        largest = float(jnp.abs(together).max())
        # Solves to 1e-12; the law is a per cent off.
        assert (float(jnp.abs(apart - together).max()) < 1e-9 * largest) == holds


def test_wires_are_those_of_each_array():
    wires = Wires(jnp.asarray(3.0), jnp.asarray(2.0), jnp.asarray(5.0), jnp.asarray(7.0))
    got = read(CurrentDomain(v_read=jnp.asarray(0.2), wires=wires), rows=7, columns=4)
    expected = np.zeros((4, 6))
    padded = np.pad(np.asarray(G), ((0, 0), (0, 1), (0, 1)))
    inputs = np.pad(np.asarray(X), ((0, 0), (0, 1)))
    for row in (0, 7):
        for column in (0, 2, 4):
            cells = padded[:, row : row + 7, column : column + 2]
            lines = np.stack([cells[0], cells[1]], -1).reshape(7, 4)
            out = solve_crossbar(
                lines,
                0.2 * inputs[:, row : row + 7],
                r_word_line=3.0,
                r_bit_line=2.0,
                r_source=5.0,
                r_sense=7.0,
            ).currents.output
            expected[:, column : column + 2] += np.asarray(out[:, 0::2] - out[:, 1::2]) / 0.2
    # Two solves of the same arrays, each to 1e-12.
    np.testing.assert_allclose(got, expected[:, :5], rtol=0, atol=1e-10 * 3e-4)


def test_every_array_converts_by_itself():
    domain = CurrentDomain(dac=Dac(4), adc=Adc(5), output_range=3.0)
    got = read(domain, rows=5)
    x = np.round(np.asarray(X) * 7) / 7
    expected = np.zeros((4, 5))
    full = 3.0 * UNIT
    for row in (0, 5, 10):
        share = x[:, row : row + 5] @ np.asarray(G[0] - G[1])[row : row + 5]
        expected += np.round(np.clip(share / full, -1, 1) * 15) / 15 * full
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * full)


def test_what_is_frozen_and_what_is_fresh():
    domain = CurrentDomain(
        dac=Dac(8, inl=SarInl(0.2), gain_std=0.02),
        amplifier=Transimpedance.typical(1e3, offset_std=1e-3),
        adc=Adc(8, offset_std=0.01),
        noise=(ThermalNoise(),),
        output_noise=0.05,
        output_range=4.0,
    )
    seen = jax.jit(lambda chip, k: read(domain, frozen=chip, key=k))
    chip = jax.random.key(0)
    first, again, other = (np.asarray(seen(chip, jax.random.key(k))) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
    still = jax.jit(lambda chip: read(domain, frozen=chip))
    quiet = [np.asarray(still(jax.random.key(k))) for k in (0, 1)]
    assert np.abs(quiet[0] - quiet[1]).max() > 0
    # The mean of many reads is the one without noise, as far as the steps of the ADC let it be.
    step = 4.0 * UNIT / 127
    reads = np.mean([seen(chip, k) for k in jax.random.split(KEY, 40)], 0)
    # Standard error of 40 reads: 0.05 / sqrt(40) of a cell, four of them, and half a step.
    assert np.abs(reads - quiet[0]).max() < 4 * 0.05 * UNIT / np.sqrt(40) + step


def test_output_noise_is_as_large_as_it_says():
    x = jnp.broadcast_to(X[:1], (4000, 13))
    spread = np.std(np.asarray(read(CurrentDomain(output_noise=0.04), x=x, key=KEY)) / UNIT, axis=0)
    # 4,000 samples: 1.1 % standard error, four of them.
    np.testing.assert_allclose(spread, 0.04, rtol=0.045)
    apart = np.std(
        np.asarray(read(CurrentDomain(output_noise=0.04), x=x, key=KEY, rows=7)) / UNIT, axis=0
    )
    np.testing.assert_allclose(apart, 0.04 * np.sqrt(2), rtol=0.045)


# Statistics of a device survive the trip: written, read by unit vectors, compared with its law.
# The last two are fits to arrays on silicon (sources: `StatisticalDevice`).
@pytest.mark.parametrize(
    ("name", "bits"), [("pcm", None), ("tio2", 9), ("hfox", None), ("rram_wan_crosssim", None)]
)
def test_device_statistics_survive_a_tile(name, bits):
    silicon = name.startswith("rram")
    preset = programmed_hardware(StatisticalDevice(name)) if silicon else preset_hardware(name)
    tile = Tile(CurrentDomain(), rows=16)
    n_levels = None if bits is None else 2**bits
    weights = jnp.full((40, 200), 0.5, jnp.float32).at[0].set(1.0)
    chip = program(
        weights, preset.device, n_levels=n_levels, mapping=preset.mapping, key=KEY, tile=tile
    )
    arrays = prepare_arrays(chip, preset.device, tile, mapping=preset.mapping)
    got = np.asarray(
        array_product(
            jnp.eye(40, dtype=jnp.float32), arrays, chip, preset.device, tile,
            mapping=preset.mapping,
        )
    )[1:]  # fmt: skip
    g_min, g_max = (float(g) for g in preset.device.window)
    if name != "tio2":
        cells = preset.device.effects[0].device
        half = 0.5 * (g_max - g_min) + g_min
        sigma = np.hypot(
            float(cells.programming_std(half)), half_normal(float(cells.programming_std(g_min)))
        ) / (g_max - g_min)
    else:
        # d ln g = d ln R, with the error a fraction of the window of resistances.
        fraction = np.array([0.5, 0.0])
        g = g_min + (g_max - g_min) * fraction
        sigma = np.sqrt(np.sum((4.95e-3 * (1 / g_min - 1 / g_max) * g**2) ** 2)) / (g_max - g_min)
    # 7,800 weights: 0.8 % standard error of a standard deviation; levels add rounding below 1e-3.
    assert np.std(got) == pytest.approx(sigma, rel=0.04)


def half_normal(sigma):
    """Standard deviation of a normal cut off at its mean: values below become the mean."""
    return sigma * np.sqrt(0.5 - 1 / (2 * np.pi))


def test_gradients_are_differences():
    """Of every continuous part of a domain, in float64."""
    f64 = {"r_word_line": 4.0, "r_bit_line": 3.0, "r_source": 10.0, "r_sense": 5.0}
    domain = CurrentDomain(
        v_read=jnp.asarray(0.2),
        wires=Wires(**{k: jnp.asarray(v) for k, v in f64.items()}),
        amplifier=Transimpedance(jnp.asarray(2e3), gain=jnp.asarray(500.0)),
        output_noise=jnp.asarray(0.03),
    )

    @jax.jit
    def loss(domain, g, x):
        return jnp.sum((read(domain, g, x, key=KEY) / UNIT) ** 2)

    moved, static = eqx.partition((domain, G, X), eqx.is_inexact_array)
    direction = jax.tree.map(
        lambda leaf: leaf * jnp.asarray(RNG.standard_normal(leaf.shape)), moved
    )

    backward = jax.jit(jax.grad(lambda m: loss(*eqx.combine(m, static))))(moved)
    inner = sum(
        float(jnp.vdot(a, b))
        for a, b in zip(jax.tree.leaves(backward), jax.tree.leaves(direction), strict=True)
    )

    def along(h):
        shifted = jax.tree.map(lambda p, d: p + h * d, moved, direction)
        return float(loss(*eqx.combine(shifted, static)))

    # Central differences: 1e-10 of truncation, 1e-9 of the solves' tolerance over the step.
    assert (along(1e-5) - along(-1e-5)) / 2e-5 == pytest.approx(inner, rel=1e-6)


def test_presets_and_refusals():
    for name in ("hwa", "pcm", "hfox", "tio2"):
        hardware = preset_hardware(name)
        assert hardware.tile is not None
        assert hardware.tile.rows == 512
    with pytest.raises(ValueError, match="Argument `name` must be one of 'hwa', 'pcm'"):
        preset_hardware("flash")
    with pytest.raises(ValueError, match="Argument `rows` must be a whole number of at least 1"):
        Tile(CurrentDomain(), rows=0)
    with pytest.raises(ValueError, match="Argument `r_word_line` must be finite and at least 0"):
        Wires(-1.0, 1.0)
    # Devices whose reads scatter need currents to scatter on.
    device = preset_hardware("pcm").device
    assert Hardware(device, WeightMapping(space="G"), bits=None).tile is not None
    quiet = DeviceStatistics(1e4, 1e6, GaussianError(0.1))
    assert Hardware(quiet, bits=4).tile is None
