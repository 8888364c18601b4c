"""Nonlinearity of converters from mechanism: against closed forms of its statistics."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.crossbar import FlashInl, PolynomialInl, RampInl, SarInl
from analogjax.crossbar.converters import dnl, inl, missing_codes

KEY = jax.random.key(0)


@eqx.filter_jit
def levels_of(mechanism, drawn, bits, lines=1):
    return mechanism.curve(drawn, lines, bits) + jnp.arange(2.0**bits)[None]


def spread(mechanism, numbers, bits, of):
    """Return the standard deviation of what `of` makes of the levels, to first order in sigma."""
    sigma = float(mechanism.sigma)

    @jax.jit
    @jax.jacobian
    def jacobian(z):
        return of(levels_of(mechanism, z[None], bits))[0]

    return np.sqrt((np.asarray(jacobian(jnp.zeros(numbers))) ** 2).sum(axis=1)) / sigma


@pytest.mark.parametrize("bits", [4, 8])
def test_capacitors_spread_the_mid_code_as_they_should(bits):
    sar, middle = SarInl(0.01), 2 ** (bits - 1)
    # With the reference of the source, the ideal LSB, the step is exact; the line through the ends
    # takes out 1 / (2^B - 1) of its variance.
    step = spread(sar, bits, bits, dnl)[middle - 1]
    np.testing.assert_allclose(step**2, 2**bits - 1 - 1 / (2**bits - 1), rtol=1e-12)
    np.testing.assert_allclose(step, np.sqrt(2**bits - 1), rtol=0.005)
    place = spread(sar, bits, bits, inl)[middle]
    # 2^(2B-2) / (2^B - 1) is taken out of 2^(B-1); to first order half of it.
    np.testing.assert_allclose(place**2, 2 ** (bits - 1) * (1 - middle / (2**bits - 1)), rtol=1e-12)
    np.testing.assert_allclose(place, 0.5 * np.sqrt(2**bits), rtol=0.04)


def test_drawn_capacitors_have_these_spreads():
    bits, lines, sigma = 8, 4000, 0.02
    sar = SarInl(sigma)
    levels = levels_of(sar, sar.draw(KEY, lines, bits).astype(float), bits, lines)
    # 4,000 converters: standard errors of 1.1 %.
    steps = jnp.std(dnl(levels)[:, 127])
    np.testing.assert_allclose(steps, sigma * np.sqrt(255), rtol=0.04)
    np.testing.assert_allclose(jnp.std(inl(levels)[:, 128]), 0.5 * sigma * 16, rtol=0.04)


def test_the_levels_are_the_sums_of_the_capacitors():
    bits, sigma = 5, 0.3
    sar = SarInl(sigma)
    z = np.asarray(sar.draw(KEY, 1, bits), float)[0]
    capacitors = [2**b * (1 + float(sar.sigma) / np.sqrt(2**b) * z[b]) for b in range(bits)]
    sums = [sum(c for b, c in enumerate(capacitors) if k >> b & 1) for k in range(32)]
    want = np.asarray(sums) * 31 / sums[-1] - np.arange(32)
    np.testing.assert_allclose(sar.curve(jnp.asarray(z)[None], 1, bits)[0], want, atol=1e-12)


@pytest.mark.parametrize("mechanism", [FlashInl(0.01), RampInl(0.01)])
def test_sums_of_steps_are_a_bridge(mechanism):
    bits = 6
    n, k = 63, np.arange(64)
    got = spread(mechanism, n, bits, inl)
    np.testing.assert_allclose(got, np.sqrt(k * (n - k) / n), atol=1e-12)
    # The source's largest, s sqrt(2^B) / 2, counts 2^B steps.
    np.testing.assert_allclose(got.max(), np.sqrt(2**bits) / 2, rtol=0.01)


def test_ladders_never_step_back_and_capacitors_may():
    bits, lines = 6, 50
    for mechanism in (FlashInl(0.6), RampInl(0.6)):
        drawn = mechanism.draw(KEY, lines, bits).astype(float)
        levels = levels_of(mechanism, drawn, bits, lines)
        assert (np.diff(levels) > -1e-12).all()
    sar = SarInl(0.3)
    levels = levels_of(sar, sar.draw(KEY, lines, bits).astype(float), bits, lines)
    assert (np.diff(levels) < 0).any()
    np.testing.assert_array_equal(missing_codes(levels), np.diff(levels) <= 0)


def test_lines_share_a_ramp_and_nothing_else():
    ramp, flash = RampInl(0.1), FlashInl(0.1)
    curve = eqx.filter_jit(lambda mechanism: mechanism.curve(mechanism.draw(KEY, 5, 6), 5, 6))
    shared = curve(ramp)
    assert shared.shape == (5, 64)
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:1], (5, 64)))
    own = np.asarray(curve(flash))
    assert (own[0, 1:-1] != own[1, 1:-1]).all()


def test_a_bow_is_what_its_polynomial_leaves_after_the_fit_through_its_ends():
    bow = PolynomialInl(0.8, -0.5)
    assert bow.draw(KEY, 3, 7) is None
    curve = bow.curve(None, 3, 7)
    u = np.linspace(-1, 1, 128)
    bent = u + (0.8 * u**2 - 0.5 * u**3) / 63.5  # in half ranges of 63.5 LSB
    # The line through the ends also rescales the LSB, by 0.8 %: an effect of second order.
    fitted = np.asarray(inl(jnp.asarray(bent)))
    np.testing.assert_allclose(curve[1], fitted, atol=0.01 * np.abs(fitted).max())
    np.testing.assert_allclose(curve[:, [0, -1]], 0.0, atol=1e-7)


def test_nonlinearities_of_levels_written_out():
    levels = jnp.asarray([[0.0, 1.0, 3.0, 2.5, 4.0], [10.0, 8.0, 6.0, 4.0, 2.0]])
    np.testing.assert_allclose(inl(levels), [[0, 0, 1, -0.5, 0], [0, 0, 0, 0, 0]])
    np.testing.assert_allclose(dnl(levels), [[0, 1, -1.5, 0.5], [0, 0, 0, 0]])
    np.testing.assert_array_equal(missing_codes(levels)[0], [False, False, True, False])
    assert not missing_codes(levels)[1].any()  # descending levels are no error


@pytest.mark.parametrize(
    "mechanism", [SarInl(0.1), FlashInl(0.1), RampInl(0.1), PolynomialInl(1, 2)]
)
def test_curves_end_at_zero_and_keep_the_type(mechanism):
    drawn = mechanism.draw(KEY, 3, 8)
    curve = jax.jit(lambda d: mechanism.curve(d, 3, 8))(drawn)
    assert curve.shape == (3, 256)
    assert curve.dtype == jnp.float32
    # float32: sums of 255 numbers of size 1.
    np.testing.assert_allclose(curve[:, [0, -1]], 0, atol=2e-5)
    assert (mechanism.cause, mechanism.lifetime) == ("circuit", "frozen")
    if drawn is not None:
        np.testing.assert_array_equal(mechanism.curve(None, 3, 8), 0.0)
