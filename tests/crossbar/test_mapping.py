"""Weights to levels and back: closed forms, round trips, the search for a clip."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analogjax.crossbar import (
    WeightMapping,
    conductance_fraction,
    conductance_to_weights,
    level_count,
    levels_to_conductance,
    quantise,
    weight_scale,
    weights_to_levels,
)

WINDOW = {"r_low": 1.0e5, "r_high": 1.19e5}
RATIO = 1.19
MAPPINGS = [
    WeightMapping(scheme=scheme, space=space, assign=assign)
    for scheme, (space, assign) in itertools.product(
        ("differential", "offset"), (("R", "nearest"), ("G", "nearest"), ("G", "index"))
    )
]


def held(levels, scale, n, mapping, window=WINDOW):
    """Weights of devices at these levels, through their conductances."""
    conductance = levels_to_conductance(levels, n_levels=n, space=mapping.space, **window)
    return conductance_to_weights(conductance, scale, mapping=mapping, **window)


@pytest.mark.smoke
@settings(deadline=None, max_examples=40)
@given(
    mapping=st.sampled_from(MAPPINGS),
    bits=st.integers(1, 9),
    ratio=st.sampled_from([1.19, 2.0, 10.0, 100.0]),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**32 - 1),
)
def test_representable_weights_come_back(mapping, bits, ratio, scale, seed):
    n = level_count(bits)
    window = {"r_low": 2.0e4, "r_high": 2.0e4 * ratio}
    k = np.random.default_rng(seed).integers(0, n, 50)
    levels = jnp.asarray(k)[None]
    if mapping.scheme == "differential":
        # One device of a pair rests at level 0.
        plus = np.arange(50) % 2 == 0
        levels = jnp.asarray(np.stack([np.where(plus, k, 0), np.where(plus, 0, k)]))
    scale = jnp.asarray([scale])
    weights = held(levels, scale, n, mapping, window)
    again = weights_to_levels(weights, scale, n_levels=n, ratio=ratio, mapping=mapping)
    np.testing.assert_array_equal(again, levels)
    back = held(again, scale, n, mapping, window)
    # The same operations on the same levels.
    np.testing.assert_array_equal(back, weights)
    # Through conductances or through fractions: g_max - g_min loses 1 / (r - 1) of the digits.
    direct = quantise(weights, scale, n_levels=n, ratio=ratio, mapping=mapping)
    np.testing.assert_allclose(direct, weights, rtol=0, atol=1e-13 * float(scale[0]))


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("bits", [1, 2, 5])
def test_number_of_weights(mapping, bits):
    weights = jnp.linspace(-1, 1, 20001)
    options = {"n_levels": 2**bits, "ratio": RATIO, "mapping": mapping}
    values = np.unique(np.asarray(quantise(weights, jnp.ones(1), **options)).round(12) + 0.0)
    pair = mapping.scheme == "differential"
    assert len(values) == (2 ** (bits + 1) - 1 if pair else 2**bits)
    assert (0.0 in values) == pair
    assert values[0] == pytest.approx(-1)
    assert values[-1] == pytest.approx(1)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_nearest_is_nearest(mapping):
    # Against a search through all representable weights; steep bend, so that it matters.
    n, ratio = 8, 10.0
    k = jnp.arange(n)
    levels = k[None]
    if mapping.scheme == "differential":
        zero = jnp.zeros_like(k)
        levels = jnp.concatenate([jnp.stack([k, zero]), jnp.stack([zero, k])], axis=1)
    values = np.asarray(held(levels, jnp.ones(1), n, mapping, {"r_low": 1.0, "r_high": ratio}))
    weights = np.linspace(-1, 1, 1001)
    wanted = np.abs(weights[:, None] - values).min(axis=1)
    got = quantise(jnp.asarray(weights), jnp.ones(1), n_levels=n, ratio=ratio, mapping=mapping)
    # Rounding in the conductances.
    np.testing.assert_allclose(np.abs(got - weights), wanted, atol=1e-13)


@pytest.mark.parametrize(
    ("ratio", "percent"), [(1.19, 4.346), (2.0, 17.16), (10.0, 51.95), (100.0, 81.8)]
)
def test_bend(ratio, percent):
    position = jnp.linspace(0, 1, 200_001)
    bend = position - conductance_fraction(position, ratio=ratio, space="R")
    closed = (np.sqrt(ratio) - 1) / (np.sqrt(ratio) + 1)
    # A grid of 2e5 misses the flat top of a parabola by less than 1e-8.
    assert float(bend.max()) == pytest.approx(closed, abs=1e-8)
    assert 100 * closed == pytest.approx(percent, abs=0.05 if percent > 80 else 0.006)
    # It is where R is the geometric mean: R = r_high - u (r_high - r_low).
    resistance = ratio - (ratio - 1) * float(position[jnp.argmax(bend)])
    assert resistance == pytest.approx(np.sqrt(ratio), rel=1e-4)


def test_index_suffers_the_bend_and_nearest_does_not():
    weights = jnp.linspace(-1, 1, 4001)
    errors = {
        assign: jnp.abs(
            quantise(
                weights,
                jnp.ones(1),
                n_levels=512,
                ratio=RATIO,
                mapping=WeightMapping(scheme="offset", space="R", assign=assign),
            )
            - weights
        ).max()
        for assign in ("index", "nearest")
    }
    # An offset weight spans twice the conductance fraction; half a pitch of quantisation on top.
    assert float(errors["index"]) == pytest.approx(2 * 0.04346, abs=1.1 / 511)
    # The widest conductance pitch of R-linear levels is r times the mean one, at r_low.
    assert float(errors["nearest"]) <= RATIO / 511


@pytest.mark.parametrize(
    ("levels", "sigma", "predicted"),
    [(8, 0.0, 6.803e-3), (8, 0.2, 1.007e-2), (256, 0.5, 2.050e-5), (512, 1.0, 1.660e-5)],
)
def test_mean_squared_error(levels, sigma, predicted):
    # Uniform weights, offset: L^2 (1/12 + s^2), L = 2 / (n - 1), s in pitches.
    pitch = 2 / (levels - 1)
    formula = pitch**2 * (1 / 12 + sigma**2)
    assert formula == pytest.approx(predicted, rel=5e-4)
    keys = jax.random.split(jax.random.key(levels), 2)
    weights = jax.random.uniform(keys[0], (400_000,), jnp.float64, -1, 1)
    mapping = WeightMapping(scheme="offset", space="G")
    options = {"n_levels": levels, "ratio": RATIO, "mapping": mapping}
    noise = pitch * sigma * jax.random.normal(keys[1], weights.shape, jnp.float64)
    error = quantise(weights, jnp.ones(1), **options) + noise - weights
    # 400,000 draws: relative standard error of a mean square at most sqrt(2 / 4e5) = 0.22 %.
    # Uniform weights fill n - 1 pitches of which the ends are half: no correction.
    assert float(jnp.mean(error**2)) == pytest.approx(formula, rel=0.01)


def test_scales():
    weights = jnp.asarray([[1.0, -0.1, 0.0], [-4.0, 0.2, 0.0]])
    options = {"n_levels": 16, "ratio": RATIO}
    layer = weight_scale(weights, mapping=WeightMapping(), **options)
    np.testing.assert_array_equal(layer, [[4.0]])
    channel = weight_scale(weights, mapping=WeightMapping(per="channel"), **options)
    # A channel of zeros has scale 1, not 0.
    np.testing.assert_array_equal(channel, [[4.0, 0.2, 1.0]])
    clipped = weight_scale(
        weights, mapping=WeightMapping(clip="percentile", percentile=50.0), **options
    )
    np.testing.assert_allclose(clipped, [[0.15]])


@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("bits", [1, 3, 5])
def test_least_squares_is_best(per, bits):
    weights = jax.random.normal(jax.random.key(0), (200, 3), jnp.float64)
    options = {"n_levels": 2**bits, "ratio": RATIO}

    def squared_error(scale):
        kept = quantise(weights, scale, mapping=WeightMapping(per=per), **options)
        return float(jnp.mean((kept - weights) ** 2))

    best = weight_scale(weights, mapping=WeightMapping(per=per, clip="least_squares"), **options)
    largest = weight_scale(weights, mapping=WeightMapping(per=per), **options)
    assert squared_error(best) < squared_error(largest)
    # No other clip is better: within 3 % of the error, because the search is in steps of 4 %.
    others = [squared_error(best * factor) for factor in np.linspace(0.5, 2.0, 31)]
    assert squared_error(best) <= 1.03 * min(others)


def test_offset_of_one_bit_and_the_best_clip():
    # One bit, offset: the weights are +-w_m, and the best w_m is the mean of |w|.
    weights = jax.random.normal(jax.random.key(1), (5000,), jnp.float64)
    mapping = WeightMapping(scheme="offset", clip="least_squares", space="G")
    scale = weight_scale(weights, n_levels=2, ratio=RATIO, mapping=mapping)
    # The search is in steps of 4 %.
    assert float(scale[0]) == pytest.approx(float(jnp.mean(jnp.abs(weights))), rel=0.04)


def test_traced_bits_share_a_compilation_and_match_eager():
    weights = jax.random.normal(jax.random.key(2), (20, 5), jnp.float64)
    mapping = WeightMapping(clip="least_squares", per="channel")
    traces = []

    def both(bits):
        traces.append(bits)
        options = {"n_levels": level_count(bits), "ratio": RATIO, "mapping": mapping}
        return quantise(weights, weight_scale(weights, **options), **options)

    loop = jnp.stack([both(b) for b in range(1, 10)])
    traces.clear()
    compiled = jax.jit(both)
    jitted = jnp.stack([compiled(b) for b in range(1, 10)])
    assert len(traces) == 1
    batched = jax.vmap(both)(jnp.arange(1, 10))
    # The same operations, fused differently.
    np.testing.assert_allclose(jitted, loop, rtol=0, atol=1e-14)
    np.testing.assert_allclose(batched, loop, rtol=0, atol=1e-14)


@pytest.mark.parametrize("bits", [0, -1, 17, 2.5, True, "four", [1, 0]])
def test_wrong_bits(bits):
    with pytest.raises(ValueError, match=r"Argument `bits` must be a whole number between 1 and"):
        level_count(bits)


def test_level_counts():
    assert level_count(3) == 8
    np.testing.assert_array_equal(level_count([1, 9]), [2, 512])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "pair"}, "Argument `scheme` must be one of"),
        ({"per": "chanel"}, "did you mean 'channel'"),
        ({"clip": "mean"}, "Argument `clip` must be one of"),
        ({"percentile": 101.0}, "Argument `percentile` must be between 0 and 100"),
        ({"space": "r"}, "Argument `space` must be one of 'R', 'G'"),
        ({"assign": "floor"}, "Argument `assign` must be one of"),
    ],
)
def test_wrong_mapping(options, message):
    with pytest.raises(ValueError, match=message):
        WeightMapping(**options)


def test_an_error_is_kept_from_making_a_short():
    far = jnp.asarray([-1e3, 1e3])
    for space in ("R", "G"):
        g = np.asarray(conductance_fraction(far, ratio=2.0, space=space))
        # G = g_min + g (g_max - g_min) with g_min = 1/2, g_max = 1: between 1/4 and 2.
        np.testing.assert_allclose(0.5 + 0.5 * g, [0.25, 2.0])
