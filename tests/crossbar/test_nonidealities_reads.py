"""Noise of reads: values of formulae, sampled variances, telegraph chains and their spectrum."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, signal, stats

from analogjax.crossbar.nonidealities import (
    FlickerNoise,
    ShotNoise,
    TelegraphNoise,
    ThermalNoise,
    check_noise,
    telegraph_chain,
    telegraph_spectrum,
)
from analogjax.fitting.statistics import telegraph

KEY = jax.random.key(5)
READ = {"bandwidth": 1e7, "temperature": 300.0}


@eqx.filter_jit
def variance_of(noise, v, g):
    return noise.variance(v, g, v @ g, **READ)


def rms(noise, v=0.2, g=10e-6, dtype=jnp.float64):
    v, g = jnp.full((1, 1), v, dtype), jnp.full((1, 1), g, dtype)
    variance = variance_of(noise, v, g)
    assert variance.dtype == dtype
    return float(jnp.sqrt(variance)[0, 0])


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_noise_of_one_cell(dtype):
    # 10 uS, 0.2 V, 10 MHz: as printed, in nA.
    assert rms(ThermalNoise(), dtype=dtype) == pytest.approx(1.287e-9, rel=4e-4)
    assert rms(ShotNoise(1.0), dtype=dtype) == pytest.approx(2.532e-9, rel=2e-4)
    third = rms(ShotNoise(1 / 3), dtype=dtype)
    assert third == pytest.approx(2.5316e-9 / np.sqrt(3), rel=1e-4)
    # Thermal noise does not ask for the voltage, shot noise not for its sign.
    assert rms(ThermalNoise(), v=0.0, dtype=dtype) == rms(ThermalNoise(), dtype=dtype)
    assert rms(ShotNoise(1.0), v=-0.2, dtype=dtype) == rms(ShotNoise(1.0), dtype=dtype)
    one = rms(FlickerNoise(1e-6, f_low=1.0), dtype=dtype)
    assert one == pytest.approx(2e-6 * np.sqrt(1e-6 * np.log(1e7)), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.8, 0.999, 1.0, 1.0001, 1.3])
def test_flicker_noise_is_the_integral_of_its_spectrum(gamma):
    noise = FlickerNoise(3e-6, gamma, f_low=0.1, f_high=1e5)
    # In log f, where the integrand is smooth.
    power, _ = integrate.quad(
        lambda u: np.exp((1 - gamma) * u), np.log(0.1), np.log(1e5), epsabs=0, epsrel=1e-12
    )
    assert rms(noise) ** 2 == pytest.approx(2e-6**2 * 3e-6 * power, rel=1e-11)
    # A read-out slower than all of it sees nothing.
    assert rms(FlickerNoise(3e-6, gamma, f_low=1e8)) == 0.0

    def band(gamma, step=0.0):
        return rms(FlickerNoise(3e-6, gamma + step, f_low=0.1, f_high=1e5)) ** 2 / 1e-16

    def traced(noise):
        return variance_of(noise, jnp.full((1, 1), 0.2), jnp.full((1, 1), 10e-6))[0, 0] / 1e-16

    # Also through gamma = 1; central differences to the square of the step.
    difference = (band(gamma, 1e-5) - band(gamma, -1e-5)) / 2e-5
    assert float(eqx.filter_grad(traced)(noise).gamma) == pytest.approx(difference, rel=1e-7)


def test_variances_add_up_along_a_bit_line():
    rng = np.random.default_rng(0)
    v, g = rng.uniform(-0.2, 0.2, (3, 8)), rng.uniform(0, 25e-6, (8, 4))
    i = v @ g
    expected = [
        (ThermalNoise(2.0), 4 * 4 * 1.380649e-23 * 300 * 1e7 * g.sum(0, keepdims=True)),
        (ShotNoise(0.3), 2 * 1.602176634e-19 * 0.3 * 1e7 * np.einsum("bi,ij->bj", np.abs(v), g)),
        (
            FlickerNoise(1e-6, f_low=1.0),
            1e-6 * np.log(1e7) * np.einsum("bi,ij->bj", v**2, g**2),
        ),
        (TelegraphNoise(0.1, 0.3), 0.01 * 0.21 * np.einsum("bi,ij->bj", v**2, g**2)),
    ]
    for noise, variance in expected:
        got = noise.variance(jnp.asarray(v), jnp.asarray(g), jnp.asarray(i), **READ)
        np.testing.assert_allclose(got, variance, rtol=1e-12)


READS = 20_000


@pytest.mark.parametrize(
    "noise",
    [ThermalNoise(), ShotNoise(0.5), FlickerNoise(1e-5, f_low=1.0), TelegraphNoise(0.2, 0.3)],
    ids=lambda noise: type(noise).__name__,
)
def test_samples_have_the_variance(noise):
    rng = np.random.default_rng(1)
    g = jnp.asarray(rng.uniform(1e-6, 25e-6, (16, 2)))
    # The same input many times: reads of a batch are independent.
    v = jnp.tile(jnp.asarray(rng.uniform(-0.2, 0.2, (1, 16))), (READS, 1))
    added = np.asarray(jax.jit(lambda k: noise.sample(k, v, g, v @ g, **READ))(KEY))
    variance = np.asarray(noise.variance(v[:1], g, v[:1] @ g, **READ))[0]
    # Five standard errors of a variance, and of a mean; a sum of 16 two-state numbers is nearly
    # normal.
    np.testing.assert_allclose(added.var(0), variance, rtol=5 * np.sqrt(2 / READS))
    assert np.all(np.abs(added.mean(0)) < 5 * np.sqrt(variance / READS))


def test_telegraph_noise_has_two_states():
    v, g = jnp.full((READS, 1), 0.2), jnp.full((1, 1), 10e-6)
    noise = TelegraphNoise.from_times(0.2, 3e-3, 1e-3)
    added = np.asarray(noise.sample(KEY, v, g, v @ g, **READ))[:, 0] / 2e-6
    upper = added > 0
    np.testing.assert_allclose(added, np.where(upper, 0.2 * 0.75, -0.2 * 0.25), rtol=1e-12)
    assert stats.binomtest(int(upper.sum()), READS, 0.25).pvalue > 1e-3
    # Shared states: all inputs of a batch see the same conductances.
    shared = TelegraphNoise(0.2, 0.25, shared=True)
    v, g = jnp.asarray([[0.1, 0.2], [0.2, 0.4]]), jnp.full((2, 3), 10e-6)
    both = np.asarray(shared.sample(KEY, v, g, v @ g, **READ))
    np.testing.assert_allclose(both[1], 2 * both[0], rtol=1e-12)


def test_the_gradient_in_the_probability_is_that_of_the_standard_deviation():
    v, g = jnp.asarray([[0.1, 0.2]]), jnp.full((2, 3), 10e-6)

    def of(p):
        return TelegraphNoise(0.2, p).sample(KEY, v, g, v @ g, **READ) / 1e-6

    value, slope = jax.jvp(of, (jnp.asarray(0.3),), (jnp.ones(()),))
    # d ln sqrt(p (1 - p)) / dp.
    np.testing.assert_allclose(slope, value * (1 - 0.6) / (2 * 0.21), rtol=1e-12)


def test_a_chain_has_the_exact_transitions():
    # At uneven times, against the process that the fits of this package use (even ones).
    tau_0, tau_1 = 2e-3, 0.5e-3
    times = np.cumsum([0.0, 1e-4, 1e-3, 1e-4, 1e-2])
    states = np.asarray(telegraph_chain(KEY, tau_0, tau_1, times, (READS, 4)))
    assert states.shape == (5, READS, 4)
    assert states.dtype == np.float32
    assert set(np.unique(states)) == {0.0, 1.0}
    cells = states.reshape(5, -1).astype(bool)
    for k, dt in enumerate(np.diff(times)):
        process = telegraph.TelegraphNoise(dt, dwell_low=tau_0, dwell_high=tau_1)
        exact = np.asarray(process.transition())
        for start in (0, 1):
            came = cells[k + 1][cells[k] == bool(start)]
            assert stats.binomtest(int(came.sum()), came.size, exact[start, 1]).pvalue > 1e-4
    # In equilibrium from the first time on.
    for row in cells:
        assert stats.binomtest(int(row.sum()), row.size, 0.2).pvalue > 1e-4


def test_the_spectrum_of_a_chain():
    tau_0, tau_1, dt, length, traces = 3e-3, 1e-3, 2e-5, 4096, 256
    amplitude = 2.0
    states = telegraph_chain(KEY, tau_0, tau_1, dt * np.arange(length), (traces,))
    f, power = signal.periodogram(
        amplitude * np.asarray(states, float), 1 / dt, axis=0, detrend=False
    )
    power = power.mean(1)
    # Where sampling folds back little: twelve bands of 16 frequencies.
    chosen = slice(16, 16 + 16 * 12)
    found = power[chosen].reshape(12, 16).mean(1)
    exact = np.asarray(telegraph_spectrum(jnp.asarray(f[chosen]), amplitude, tau_0, tau_1))
    exact = exact.reshape(12, 16).mean(1)
    # 256 traces times 16 frequencies: 1 / 64 = 1.6 % each (periodograms scatter by their mean),
    # twelve bands: four of those, and what sampling folds back,
    # sum_k S(k / dt - f) / S(f) at f = 2.5 kHz of 50 kHz: about 0.8 %.
    np.testing.assert_allclose(found, exact, rtol=0.075)
    # The mean over the bands: 0.45 %, four of those, and the same.
    assert np.mean(found / exact) == pytest.approx(1, abs=0.026)


def test_the_spectrum_holds_the_variance():
    # S = 4 dG^2 p (1 - p) tau / (1 + (2 pi f tau)^2), whose integral is dG^2 p (1 - p).
    total, _ = integrate.quad(
        lambda f: float(telegraph_spectrum(jnp.asarray(f), 0.3, 2.0, 0.5)), 0, np.inf
    )
    assert total == pytest.approx(0.09 * 0.2 * 0.8, rel=1e-6)
    at_zero = telegraph_spectrum(jnp.zeros(()), 0.3, 2.0, 0.5)
    assert float(at_zero) == pytest.approx(4 * 0.09 * 0.16 * 0.4, rel=1e-12)


def test_a_fano_factor_has_to_be_chosen():
    check_noise([ThermalNoise(), ShotNoise(1 / 3), FlickerNoise(1e-6, f_low=1.0)])
    check_noise([ShotNoise(1.0)])
    # Thermal noise that is off is none.
    check_noise([ThermalNoise(0.0), ShotNoise(1.0)])
    with pytest.raises(
        ValueError, match=r"Argument `fano` must be below 1 beside thermal noise .*, but is 1\."
    ):
        check_noise([ShotNoise(1.0), ThermalNoise()])
    # A traced factor cannot be looked at and passes.
    jax.grad(lambda f: check_noise([ThermalNoise(), ShotNoise(f)]) or f)(1.0)


def test_times_of_a_chain_are_checked():
    with pytest.raises(ValueError, match="Argument `times` must not descend, but does"):
        telegraph_chain(KEY, 1.0, 1.0, [0.0, 2.0, 1.0])
    with pytest.raises(ValueError, match="Argument `tau_1` must be finite and above 0 s, but is 0"):
        telegraph_chain(KEY, 1.0, 0.0, [0.0])
    with pytest.raises(ValueError, match="Argument `times` must have shape"):
        telegraph_chain(KEY, 1.0, 1.0, 0.0)
