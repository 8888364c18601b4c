"""Spectra and telegraph noise against closed forms, enumeration and known parameters."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from analogjax.fitting import (
    NoiseSpectrum,
    TelegraphNoise,
    allan_deviation,
    maximum_likelihood,
    spectrum,
    telegraph_windows,
)

RATE = 100.0


def switched(low, high, count, seed=0):
    """States of a telegraph process, exactly: dwell times drawn one after another [s]."""
    rng = np.random.default_rng(seed)
    ends, state = [0.0], []
    while ends[-1] < count / RATE:
        state.append(len(state) % 2)
        ends.append(ends[-1] + rng.exponential(high if state[-1] else low))
    return np.array(state)[np.searchsorted(ends, np.arange(count) / RATE, side="right") - 1]


def test_white_noise_is_flat_and_scatters_as_said():
    rng = np.random.default_rng(0)
    found = [spectrum(1e-6 * rng.normal(size=4096), RATE, segment=512, bins=12) for _ in range(150)]
    density = np.array([f.density for f in found])
    # One-sided: 2 sigma^2 / rate.
    np.testing.assert_allclose(density.mean(axis=0), 0.02, rtol=0.1)
    relative = density.std(axis=0) / density.mean(axis=0)
    # The scatter of 150 estimates is known to 6 %.
    np.testing.assert_allclose(relative * np.sqrt(found[0].averages), 1.0, atol=0.25)
    tau, deviation = allan_deviation(1e-6 * rng.normal(size=100000), RATE)
    some = tau < 10
    np.testing.assert_allclose(deviation[some], 1 / np.sqrt(RATE * tau[some]), rtol=0.12)


def test_telegraph_process_has_a_lorentzian():
    low, high = 0.5, 0.25
    found = spectrum(2e-6 * switched(low, high, 400000), RATE, segment=4096, bins=20)
    variance = 4 * low * high / (low + high) ** 2
    corner = (1 / low + 1 / high) / (2 * np.pi)
    made = NoiseSpectrum(flicker=1e-30, white=1e-30, variance_1=variance, corner_1=corner)
    slow = found.frequency < 10
    exact = np.asarray(made.density(jnp.asarray(found.frequency)))
    # Reads at intervals fold what is above half the rate back: little below 10 Hz.
    off = (found.density / exact - 1) * np.sqrt(found.averages)
    assert np.abs(off[slow]).max() < 4
    total = np.trapezoid(np.asarray(made.density(jnp.linspace(1e-3, 1e4, 2000001))), dx=1e4 / 2e6)
    assert total == pytest.approx(variance, rel=2e-3)


def test_drawn_traces_have_the_spectrum_that_is_fitted():
    truth = NoiseSpectrum(flicker=0.02, exponent=1.2, white=1e-3)
    trace = 1e-6 * np.asarray(truth.draw(60000, RATE, key=jax.random.key(0)))
    found = spectrum(trace, RATE, segment=2048, bins=25)
    data = tuple(jnp.asarray(x) for x in (found.frequency, found.density, found.averages))
    free = ("flicker", "exponent", "white")
    estimate = maximum_likelihood(NoiseSpectrum(), data, free)
    for name in free:
        off = estimate.parameters[name] - float(getattr(truth, name))
        assert abs(off) < 3.5 * estimate.standard_errors[name]
    # A gamma variable of mean 1 and variance 1 / K.
    f, s, k = (np.asarray(x) for x in data)
    density = np.asarray(truth.density(jnp.asarray(f)))
    exact = stats.gamma(k, scale=density / k).logpdf(s)
    np.testing.assert_allclose(truth.log_likelihood(data), exact, rtol=1e-9)


def test_the_likelihood_sums_over_all_histories():
    x = np.array([0.1, 1.2, 0.9, -0.3, 0.4])
    model = TelegraphNoise(0.01, low=0.0, step=1.0, noise=0.5, dwell_low=0.03, dwell_high=0.02)
    move, total = np.asarray(model.transition()), 0.0
    for path in itertools.product((0, 1), repeat=5):
        p = (0.6, 0.4)[path[0]] * np.prod(stats.norm.pdf(x, path, 0.5))
        total += p * np.prod([move[a, b] for a, b in itertools.pairwise(path)])
    found = model.log_likelihood(jnp.asarray(x)[None])
    np.testing.assert_allclose(found, np.log(total), rtol=1e-12)
    np.testing.assert_allclose(move.sum(axis=1), 1.0)


def test_telegraph_noise_is_found_and_its_times_recovered():
    rng = np.random.default_rng(1)
    trace = switched(0.2, 0.1, 8000) + 0.2 * rng.normal(size=8000)
    wander = np.zeros(8000)
    for k in range(1, 8000):
        wander[k] = 0.99 * wander[k - 1] + 0.05 * rng.normal()
    wander += 0.2 * rng.normal(size=8000)
    both = telegraph_windows(1e-6 * np.concatenate([trace, wander]), 1000)
    assert (both.evidence[:8] > 10).all()
    assert (both.evidence[8:] < 10).all()
    np.testing.assert_allclose(both.step[:8], 1.0, atol=0.05)
    start = TelegraphNoise(1 / RATE, noise=0.3)
    estimate = maximum_likelihood(start, jnp.asarray(trace).reshape(8, 1000))
    truth = dict(low=0.0, step=1.0, noise=0.2, dwell_low=0.2, dwell_high=0.1)
    for name, value in truth.items():
        assert abs(estimate.parameters[name] - value) < 3.5 * estimate.standard_errors[name]


def test_refusals():
    with pytest.raises(ValueError, match="at least 8192 finite"):
        spectrum(np.zeros(100), RATE)
    with pytest.raises(ValueError, match="must be one of"):
        NoiseSpectrum(pink=1.0)
    with pytest.raises(ValueError, match="`interval` must be"):
        TelegraphNoise(0.0)
