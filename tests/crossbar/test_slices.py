"""Weights of several slices: digits that add up to the level, on lines of their own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.crossbar import (
    CurrentDomain,
    DeviceStatistics,
    GaussianError,
    Hardware,
    Tile,
    WeightMapping,
    array_product,
    chip_weights,
    prepare_arrays,
    program,
    quantise,
    significances,
    weight_scale,
    weights_to_levels,
    weights_to_positions,
)
from analogjax.crossbar.nonidealities import WeightNoise

KEY = jax.random.key(0)
WEIGHTS = jnp.asarray(np.random.default_rng(0).normal(size=(12, 5)), jnp.float32)
SCHEMES = ("differential", "offset")


def mapping(scheme, slices):
    return WeightMapping(scheme, "channel", "max", space="G", slices=slices)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_slices_hold_what_one_device_of_all_levels_holds(scheme):
    # Three slices of 2 bits against one device of 6 bits; sums of float32 in another order.
    sliced = {"n_levels": 4, "ratio": 10.0, "mapping": mapping(scheme, 3)}
    whole = {"n_levels": 64, "ratio": 10.0, "mapping": mapping(scheme, 1)}
    scale = weight_scale(WEIGHTS, **sliced)
    np.testing.assert_array_equal(scale, weight_scale(WEIGHTS, **whole))
    levels = weights_to_levels(WEIGHTS, scale, **sliced)
    lines = mapping(scheme, 1).devices
    assert levels.shape == (3 * lines, 12, 5)
    assert (int(levels.min()), int(levels.max())) == (0, 3)
    digits = levels.reshape(3, lines, 12, 5)
    total = sum(4**s * digits[s] for s in range(3))
    np.testing.assert_array_equal(total, weights_to_levels(WEIGHTS, scale, **whole))
    np.testing.assert_allclose(
        quantise(WEIGHTS, scale, **sliced), quantise(WEIGHTS, scale, **whole), atol=1e-6
    )


def test_significances_add_up_to_one():
    share = significances(4, mapping("offset", 3), jnp.float64)
    np.testing.assert_allclose(share, np.array([1, 4, 16]) * 3 / 63, rtol=1e-15)
    assert float(share.sum()) == pytest.approx(1, rel=1e-15)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_arrays_add_the_slices_up(scheme):
    # 8 x 6 cells: the layer is cut both ways, so that slices of one weight may be on two arrays.
    tile = Tile(CurrentDomain(), rows=8, columns=6)
    device = DeviceStatistics(1e4, 1e5, GaussianError(0.02, space="G"))
    own = mapping(scheme, 3)
    chip = program(WEIGHTS, device, n_levels=4, mapping=own, key=KEY, tile=tile)
    held = chip_weights(chip, device, mapping=own)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(7, 12)), jnp.float32)
    arrays = prepare_arrays(chip, device, tile, mapping=own)
    got = array_product(x, arrays, chip, device, tile, mapping=own)
    # Perfect parts: what is left is float32, at conductances of 20 times the result.
    np.testing.assert_allclose(got, x @ held, rtol=1e-4, atol=1e-4)
    assert float(jnp.max(jnp.abs(held - WEIGHTS))) > 0.02


def test_errors_count_by_significance():
    # Var w = scale^2 sigma^2 2 sum c_s^2 for pairs; window clipping aside (G/g_min > 1/2 here).
    own, sigma, n = WeightMapping("differential", "layer", "max", space="G", slices=2), 0.01, 4
    device = DeviceStatistics(1e4, 1e5, GaussianError(sigma, space="G"))
    weights = jnp.full((200, 50), 0.4, jnp.float32).at[0, 0].set(1.0)
    chip = program(weights, device, n_levels=n, mapping=own, key=KEY)
    share = np.asarray(significances(n, own, jnp.float64))
    expected = sigma * np.sqrt(2 * np.sum(share**2))
    # 10,000 weights: 0.7 % of a standard deviation is one of its own.
    got = float(jnp.std(chip_weights(chip, device, mapping=own)[1:]))
    assert got == pytest.approx(expected, rel=0.03)


def test_gradient_is_that_of_a_whole_weight():
    scale = weight_scale(WEIGHTS, n_levels=4, ratio=10.0, mapping=mapping("differential", 2))

    def total(weights, slices):
        own = mapping("differential", slices)
        at = {"n_levels": 4, "ratio": 10.0, "mapping": own}
        places = weights_to_positions(weights, scale, **at).reshape(slices, 2, 12, 5)
        share = significances(4, own, jnp.float32)
        return jnp.sum(
            jnp.sin(jnp.arange(60.0, dtype=jnp.float32)).reshape(12, 5)
            * jnp.tensordot(share, places[:, 0] - places[:, 1], axes=1)
        )

    # Sums of significances in float32.
    np.testing.assert_allclose(
        jax.grad(total)(WEIGHTS, 2), jax.grad(total)(WEIGHTS, 1), rtol=1e-5, atol=1e-6
    )


def test_refusals():
    with pytest.raises(ValueError, match="`space` must be 'G'"):
        WeightMapping(space="R", slices=2)
    device = DeviceStatistics(1e4, 1e5)
    with pytest.raises(ValueError, match="`bits` must be a number for a weight of several slices"):
        Hardware(device, mapping("offset", 2), bits=None)
    with pytest.raises(ValueError, match="at most 24 bits, but gives 32"):
        Hardware(device, mapping("offset", 4), bits=8)
    noisy = DeviceStatistics(1e4, 1e5, effects=(WeightNoise(0.1),))
    with pytest.raises(ValueError, match="`mapping` must have one slice"):
        Hardware(noisy, mapping("offset", 2), bits=2)
