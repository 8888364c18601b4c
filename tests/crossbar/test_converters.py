"""DACs and ADCs, quantisation, ranges and slices: against NumPy written here and closed forms."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from analogjax.crossbar import Adc, Dac, FlashInl, PolynomialInl, RampInl, SarInl, calibrate_range
from analogjax.crossbar.converters import (
    combine,
    quantise,
    slice_inputs,
    slice_levels,
    steps_per_unit,
    straight_through,
)

KEY = jax.random.key(0)
INLS = {"sar": SarInl(0.03), "flash": FlashInl(0.2), "ramp": RampInl(0.2)}

# Compiled: an operation at a time would compile each of them.
draw = eqx.filter_jit(lambda converter, key, lines: converter.draw(key, lines))


@eqx.filter_jit
def convert(converter, x, drawn=None, key=None, bipolar=True):
    return converter(x, drawn, key=key, bipolar=bipolar)


@eqx.filter_jit
def curve_of(converter, drawn, lines):
    return converter.inl.curve(drawn.inl.astype(float), lines, converter.bits)


def numpy_quantise(x, bits, bipolar=True):
    n = 2 ** (bits - 1) - 1 if bipolar else 2**bits - 1
    return np.round(np.clip(x, -1.0 if bipolar else 0.0, 1.0) * n) / n


# Quantisation


@pytest.mark.parametrize("bipolar", [True, False])
@pytest.mark.parametrize("bits", [2, 5, 8, 13])
def test_quantised_values_are_the_nearest_codes(bits, bipolar):
    x = jnp.linspace(-1.3, 1.3, 4001)
    q = quantise(x, bits, bipolar=bipolar)
    # A code times 1 / n against a code divided by n: the last digit of a double.
    np.testing.assert_allclose(q, numpy_quantise(np.asarray(x), bits, bipolar), rtol=3e-16)
    assert len(np.unique(q)) <= (2**bits - 1 if bipolar else 2**bits)


def test_all_codes_are_reached_and_full_scale_and_zero_are_codes():
    for bits in range(2, 25):
        ends = quantise(jnp.asarray([-1.0, 0.0, 1.0], jnp.float32), bits)
        np.testing.assert_array_equal(ends, [-1, 0, 1])
    assert steps_per_unit(8) == 127
    assert steps_per_unit(8, bipolar=False) == 255
    assert len(np.unique(quantise(jnp.linspace(-1, 1, 3001), 8))) == 255
    assert len(np.unique(quantise(jnp.linspace(0, 1, 3001), 8, bipolar=False))) == 256


def test_the_gradient_is_one_within_full_scale_and_zero_beyond():
    x = jnp.asarray([-1.2, -1.0, -0.3, 0.0, 0.7, 1.0, 1.01])
    inside = np.asarray([0, 1, 1, 1, 1, 1, 0.0])
    f = partial(quantise, bits=4)
    np.testing.assert_array_equal(jax.grad(lambda x: f(x).sum())(x), inside)
    # Forward mode, and over batches, under jit.
    np.testing.assert_array_equal(jax.jvp(f, (x,), (jnp.full(7, 2.0),))[1], 2 * inside)
    np.testing.assert_array_equal(jax.vmap(jax.grad(f))(x), inside)
    np.testing.assert_array_equal(jax.jit(jax.grad(lambda x: f(x).sum()))(x), inside)
    unipolar = jax.vmap(jax.grad(partial(quantise, bits=None, bipolar=False)))(x)
    np.testing.assert_array_equal(unipolar, [0, 0, 0, 1, 1, 1, 0])


def test_straight_through_keeps_the_value_to_the_last_digit():
    x = jnp.asarray([1e4, -3.0, 0.1], jnp.float32)
    q = jnp.asarray([0.1, 0.2, 0.3], jnp.float32)
    np.testing.assert_array_equal(straight_through(x, q), q)
    np.testing.assert_array_equal(jax.grad(lambda x: straight_through(x, q).sum())(x), 1.0)
    np.testing.assert_array_equal(jax.grad(lambda q: straight_through(x, q).sum())(q), 0.0)


def test_the_gradient_by_the_range_is_that_of_a_learned_step():
    # Equation 3 of arXiv:1902.08153 for the step s, here scale / n.
    x, scale, bits = jnp.linspace(-3, 3, 41), 1.7, 4
    n = steps_per_unit(bits)
    got = jax.jit(jax.jacobian(lambda s: quantise(x, bits, scale=s)))(scale)
    u = np.asarray(x) / (scale / n)
    by_step = np.where(u <= -n, -n, np.where(u >= n, n, np.round(u) - u))
    np.testing.assert_allclose(got, by_step / n, atol=1e-14)
    values = quantise(x, bits, scale=scale)
    np.testing.assert_allclose(values, np.clip(np.round(u), -n, n) * scale / n, rtol=1e-14)


def test_a_range_per_line_broadcasts():
    x = jax.random.normal(KEY, (5, 3))
    scale = jnp.asarray([0.5, 1.0, 2.0])
    together = quantise(x, 6, scale=scale)
    apart = [quantise(x[:, j], 6, scale=scale[j]) for j in range(3)]
    np.testing.assert_array_equal(together, jnp.stack(apart, axis=1))


def test_the_uniform_error_has_a_variance_of_a_twelfth_of_a_squared_step():
    x = jax.random.uniform(KEY, (200_000,), minval=-1.0)
    lsb = Adc(8).lsb()
    variance = jnp.var(Adc(8)(x) - x)
    # 200,000 uniform errors: the variance's standard error is 0.2 %.
    np.testing.assert_allclose(variance, lsb**2 / 12, rtol=0.01)


def test_n10_signal_to_noise_of_a_coherent_sine():
    # 6 bits, 64 codes, a sine of 32 LSB about the middle between two codes: simulated elsewhere as
    # 37.61 dB; the formula 6.02 b + 1.76 gives 37.88.
    bits, samples, cycles = 6, 4096, 127
    sine = np.sin(2 * np.pi * cycles * np.arange(samples) / samples)
    amplitude = 32 / 63
    error = np.asarray(Adc(bits)(jnp.asarray(0.5 + amplitude * sine), bipolar=False))
    error = error - 0.5 - amplitude * sine
    sqnr = 10 * np.log10(np.mean((amplitude * sine) ** 2) / np.mean(error**2))
    np.testing.assert_allclose(sqnr, 37.61, atol=0.005)
    assert abs(sqnr - (6.02 * bits + 1.76)) < 0.3


# Converters


@pytest.mark.parametrize("kind", [Dac, Adc])
def test_without_errors_a_converter_is_its_quantiser(kind):
    x = jnp.linspace(-1.2, 1.2, 50).reshape(10, 5)
    converter = kind(8)
    assert converter.draw(KEY, 5) is None
    assert jax.tree.leaves(converter) == []
    np.testing.assert_array_equal(converter(x, key=KEY), quantise(x, 8))
    np.testing.assert_array_equal(kind(None)(x), jnp.clip(x, -1, 1))
    # The number 0 is no error; an array of 0 is one, of size 0, with a gradient.
    assert kind(8, gain_std=0.0).gain_std is None
    zero = kind(8, gain_std=jnp.zeros(()))
    drawn = zero.draw(KEY, 5)
    np.testing.assert_array_equal(zero(x, drawn), quantise(x, 8))
    slope = eqx.filter_grad(lambda c: c(x, drawn)[0, 0])(zero).gain_std
    assert (slope != 0) == (kind is Dac)  # the ADC's first input is beyond full scale


@pytest.mark.parametrize("bipolar", [True, False])
def test_a_dac_is_the_sum_of_its_parts(bipolar):
    bits, lines = 6, 7
    dac = Dac(bits, gain_std=0.02, offset_std=0.03, inl=SarInl(0.3), noise_std=0.01)
    drawn = draw(dac, KEY, lines)
    x = jax.random.uniform(jax.random.key(1), (20, lines), minval=-1.1, maxval=1.1)
    q = numpy_quantise(np.asarray(x), bits, bipolar)
    n, middle = (31, 32) if bipolar else (63, 0)
    curve = np.asarray(curve_of(dac, drawn, lines))
    code = np.round(q * n).astype(int) + middle
    frozen = curve[np.arange(lines), code] / n + 0.03 * np.asarray(drawn.offset)
    want = q * (1 + 0.02 * np.asarray(drawn.gain)) + frozen
    got = convert(dac, x, drawn, bipolar=bipolar)
    # The magnitudes are float32 numbers.
    np.testing.assert_allclose(got, want, atol=1e-8)
    noise = convert(dac, x, drawn, KEY, bipolar) - got
    np.testing.assert_allclose(noise, 0.01 * jax.random.normal(KEY, x.shape), atol=1e-8)


@pytest.mark.parametrize(("name", "bipolar"), [("sar", True), ("ramp", False)])
def test_the_code_of_an_adc_is_that_of_its_decision_levels(name, bipolar):
    bits, lines = 6, 3
    adc = Adc(bits, gain_std=0.02, offset_std=0.03, inl=INLS[name])
    drawn = draw(adc, KEY, lines)
    x = jnp.broadcast_to(jnp.linspace(-1.1, 1.1, 1501)[:, None], (1501, lines))
    got = np.asarray(convert(adc, x, drawn, bipolar=bipolar))
    v = np.asarray(x) * (1 + 0.02 * np.asarray(drawn.gain)) - 0.03 * np.asarray(drawn.offset)
    n, middle, lowest = (31, 32, 1) if bipolar else (63, 0, 0)
    curve = np.asarray(curve_of(adc, drawn, lines))
    levels = np.arange(2**bits) - 0.5 + curve
    for line in range(lines):
        assert (np.diff(levels[line]) > 0).all()  # in order: the code is how many are passed
        code = np.searchsorted(levels[line, 1:], v[:, line] * n + middle, side="right")
        want = (np.maximum(code, lowest) - middle) / n
        # A handful of inputs may lie within float32 digits of a level.
        assert (np.abs(got[:, line] - want) > 1e-9).mean() < 0.002


def test_an_adc_whose_levels_are_out_of_order_decides_as_a_successive_approximation():
    bits = 5
    adc = Adc(bits, inl=SarInl(0.8))
    drawn = draw(adc, jax.random.key(4), 1)
    levels = np.arange(32) - 0.5 + np.asarray(curve_of(adc, drawn, 1))[0]
    assert (np.diff(levels) < 0).any()
    x = np.linspace(0, 1, 2003)

    def approximate(v):
        code = 0
        for bit in (16, 8, 4, 2, 1):
            code += bit * (v >= levels[code + bit])
        return code

    want = np.asarray([approximate(v * 31) for v in x])
    got = np.asarray(convert(adc, jnp.asarray(x)[:, None], drawn, bipolar=False))[:, 0] * 31
    np.testing.assert_allclose(got, want, atol=1e-9)
    assert len(np.unique(want)) < 32  # missing codes


def test_an_adc_of_zero_nonlinearity_is_the_quantiser():
    x = jax.random.uniform(KEY, (200, 4), minval=-1.2, maxval=1.2)
    flat = Adc(7, inl=PolynomialInl())
    for bipolar in (True, False):
        want = quantise(x, 7, bipolar=bipolar)
        np.testing.assert_allclose(convert(flat, x, bipolar=bipolar), want, atol=1e-15)


@pytest.mark.parametrize(("kind", "name"), [(Dac, "ramp"), (Adc, "flash")])
def test_draws_magnitudes_and_gradients(kind, name):
    converter = kind(5, gain_std=0.02, offset_std=0.01, inl=INLS[name], noise_std=0.01)
    converter = jax.tree.map(lambda leaf: leaf.astype(float), converter)
    drawn = draw(converter, KEY, 4)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(drawn))
    # The draw of a part does not depend on whether the others are there, or how large they are.
    alone = draw(kind(5, offset_std=0.5), KEY, 4)
    assert alone.gain is None
    np.testing.assert_array_equal(alone.offset, drawn.offset)
    x = jax.random.uniform(jax.random.key(1), (6, 4), minval=-0.9, maxval=0.9)
    weight = np.cos(np.arange(24.0).reshape(6, 4))

    @eqx.filter_jit
    def loss(arguments):
        converter, x = arguments
        return jnp.sum(weight * converter(x, drawn, key=KEY))

    slope, by_x = eqx.filter_grad(loss)((converter, x))
    assert all(float(leaf) != 0 for leaf in jax.tree.leaves(slope))
    want = weight * (1 + 0.02 * np.asarray(drawn.gain))
    np.testing.assert_allclose(by_x, want, rtol=1e-6)
    if kind is Adc:
        return  # its codes are steps: see the mean code below
    for where in (lambda c: c.gain_std, lambda c: c.noise_std, lambda c: c.inl.sigma):
        up, down = (eqx.tree_at(where, converter, where(converter) + d) for d in (1e-5, -1e-5))
        quotient = (loss((up, x)) - loss((down, x))) / 2e-5
        np.testing.assert_allclose(where(slope), quotient, rtol=1e-6, atol=1e-9)


def test_the_straight_through_gradient_of_an_adc_follows_the_mean_code():
    # Over inputs spread within each step, the mean code is linear in what displaces it.
    inl = SarInl(jnp.asarray(0.02))
    adc = Adc(6, gain_std=jnp.asarray(0.004), offset_std=jnp.asarray(0.004), inl=inl)
    drawn = draw(adc, KEY, 1)
    x = jnp.linspace(0.05, 0.9, 40_001)[:, None]

    @eqx.filter_jit
    def mean(adc):
        return adc(x, drawn).mean()

    slopes = eqx.filter_grad(mean)(adc)
    for where in (lambda a: a.gain_std, lambda a: a.offset_std, lambda a: a.inl.sigma):
        up, down = (eqx.tree_at(where, adc, where(adc) * (1 + d)) for d in (1, -1))
        quotient = (mean(up) - mean(down)) / (2 * where(adc))
        # The interval is no whole number of steps (27 of them).
        np.testing.assert_allclose(where(slopes), quotient, rtol=0.1)


@pytest.mark.parametrize("kind", [Dac, Adc])
def test_float32_stays_and_jit_and_vmap_agree(kind):
    converter = kind(8, gain_std=0.02, offset_std=0.01, inl=SarInl(0.1), noise_std=0.01)
    x = jax.random.uniform(KEY, (3, 5, 4), jnp.float32, -1, 1)
    keys = jax.random.split(KEY, 3)
    many = jax.jit(jax.vmap(lambda k: converter.draw(k, 4)))(keys)
    drawn = jax.tree.map(lambda leaf: leaf[1], many)
    program = jax.make_jaxpr(lambda x: jax.vjp(lambda x: converter(x, drawn, key=KEY), x)[1](x))(x)
    assert "f64" not in str(program)
    one = convert(converter, x[1], drawn)
    # An input on the edge of a code may fall to either side where operations are fused.
    assert (np.abs(converter(x[1], drawn) - one) > 1e-6).sum() <= 1
    # Tiles: the converters of a chip side by side.
    tiles = jax.jit(jax.vmap(lambda x, drawn: converter(x, drawn)))(x, many)
    assert (np.abs(tiles[1] - one) > 1e-6).sum() <= 1


@pytest.mark.parametrize("kind", [Dac, Adc])
def test_nan_stays_nan(kind):
    converter = kind(8, inl=SarInl(0.1))
    x = jnp.asarray([[jnp.nan, 0.0, jnp.inf, -jnp.inf]])
    out = convert(converter, x, draw(converter, KEY, 4))
    np.testing.assert_array_equal(np.isnan(out), [[True, False, False, False]])


# Ranges


def test_ranges_by_maximum_and_percentile():
    x = jax.random.normal(KEY, (500, 3)) * jnp.asarray([[1.0, 2.0, 0.0]])
    size = np.abs(np.asarray(x))
    np.testing.assert_allclose(calibrate_range(x, "max"), size.max())
    np.testing.assert_allclose(
        calibrate_range(x, "percentile", percentile=99), np.percentile(size, 99)
    )
    lines = calibrate_range(x, "percentile", percentile=90, per_line=True)
    np.testing.assert_allclose(lines[:2], np.percentile(size, 90, axis=0)[:2])
    assert lines[2] == 1.0  # nothing to see there
    np.testing.assert_allclose(
        calibrate_range(-x, "max", bipolar=False), np.maximum(-np.asarray(x), 0).max()
    )
    # A percentile that is zero (sparse inputs) falls back to the maximum.
    sparse = jnp.zeros(1000).at[3].set(2.0)
    assert calibrate_range(sparse, "percentile", percentile=50) == 2.0


@pytest.mark.parametrize("bits", [3, 5])
def test_the_range_of_least_squares_for_normal_samples(bits):
    n = steps_per_unit(bits)

    def density(v):
        return np.exp(-(v**2) / 2) / np.sqrt(2 * np.pi)

    def squared_error(scale):
        step = scale / n
        cells = [(k * step - step / 2, k * step + step / 2, k * step) for k in range(-n + 1, n)]
        cells += [(scale - step / 2, 9, scale), (-9, -scale + step / 2, -scale)]
        return sum(quad(lambda v, c=c: (v - c) ** 2 * density(v), a, b)[0] for a, b, c in cells)

    best = minimize_scalar(squared_error, bounds=(0.5, 6), method="bounded")
    samples = jax.random.normal(KEY, (40_000,))
    got = float(jax.jit(partial(calibrate_range, bits=bits))(samples))
    # Candidates are 4 % apart; the error is what matters and is flat there.
    assert abs(got / best.x - 1) < 0.06
    assert squared_error(got) < 1.01 * best.fun


# Slices

sliced = jax.jit(
    lambda x, bits, slice_bits, bipolar: slice_inputs(x, bits, slice_bits, bipolar=bipolar),
    static_argnums=(1, 2, 3),
)


@settings(max_examples=40, deadline=None)
@given(
    x=st.lists(st.floats(-1.2, 1.2), min_size=3, max_size=3),
    # Few, because each is compiled.
    bits=st.sampled_from([(8, 1, True), (8, 3, True), (6, 4, True), (12, 5, False), (2, 1, True)]),
)
def test_sliced_inputs_sum_to_the_quantised_input(x, bits):
    bits, slice_bits, bipolar = bits
    x = jnp.asarray(x)
    slices, significance = sliced(x, bits, slice_bits, bipolar)
    n, largest = steps_per_unit(bits, bipolar=bipolar), 2**slice_bits - 1
    # In whole numbers, exactly.
    digits = np.asarray(slices) * largest
    whole = np.round(digits).astype(int)
    np.testing.assert_allclose(digits, whole, atol=1e-12)
    assert (np.abs(whole) <= largest).all()
    place = (2**slice_bits) ** np.arange(len(whole))
    codes = np.round(numpy_quantise(np.asarray(x), bits, bipolar) * n).astype(int)
    np.testing.assert_array_equal(place @ whole, codes)
    # As numbers, to their last digits.
    want = numpy_quantise(np.asarray(x), bits, bipolar)
    np.testing.assert_allclose(jax.jit(combine)(slices, significance), want, atol=1e-15)


def test_the_gradient_of_sliced_inputs_is_that_of_the_whole():
    x = jnp.asarray([-1.1, -0.4, 0.3, 1.0])

    @jax.jit
    @jax.jacobian
    def whole(x):
        return combine(*slice_inputs(x, 8, 3))

    np.testing.assert_allclose(whole(x), np.diag([0.0, 1, 1, 1]), atol=1e-15)
    slices, significance = slice_inputs(x.astype(jnp.float32), 8, 1)
    assert slices.dtype == significance.dtype == jnp.float32
    assert slices.shape == (7, 4)
    # A bit at a time through a linear array, shifted and added, is the array of the whole input.
    g = jax.random.normal(KEY, (4, 5))
    bits, weights = slice_inputs(x, 8, 1)
    np.testing.assert_allclose(combine(bits @ g, weights), quantise(x, 8) @ g, atol=1e-14)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), bits=st.sampled_from([(1, 1), (9, 2), (16, 16), (30, 7)]))
def test_sliced_levels_sum_to_the_level(data, bits):
    bits, slice_bits = bits
    level = st.integers(0, 2**bits - 1)
    levels = np.asarray(data.draw(st.lists(level, min_size=4, max_size=4))).reshape(2, 2)
    digits, significance = slice_levels(jnp.asarray(levels), bits, slice_bits)
    assert digits.min() >= 0
    assert digits.max() < 2**slice_bits
    np.testing.assert_array_equal(combine(digits, significance), levels)


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantise(jnp.zeros(2), 1), "whole number from 2 to 24, but is 1"),
        (lambda: Adc(0), "`bits` must be a whole number from 1 to 24, but is 0"),
        (lambda: Adc(None, inl=SarInl(0.1)), "`bits` must be a whole number from 1 to 16"),
        (lambda: Dac(8, gain_std=-0.1), "`gain_std` must be finite and at least 0, but is -0.1"),
        (lambda: SarInl(-1.0), "`sigma` must be finite and at least 0"),
        (lambda: calibrate_range(jnp.ones(3), "mx"), "did you mean 'max'"),
        (
            lambda: slice_inputs(jnp.zeros(2), 8, 8),
            "`slice_bits` must be a whole number from 1 to 7",
        ),
        (lambda: slice_levels(jnp.asarray([4]), 2, 1), "between 0 and 3, but is 4"),
        (lambda: slice_levels(jnp.asarray([0.5]), 2, 1), "must be whole numbers, but is float64"),
        (
            lambda: Dac(8, gain_std=0.1)(jnp.zeros((2, 3)), Dac(8, gain_std=0.1).draw(KEY, 4)),
            "`drawn` must be of 3 lines",
        ),
    ],
    ids=range(10),
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
