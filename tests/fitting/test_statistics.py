"""Statistics of levels and reads against closed forms, Monte Carlo and known parameters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import analogjax as aj
from analogjax.data.measurements import measurement
from analogjax.devices import PCM, StatisticalDevice
from analogjax.fitting import (
    LevelStatistics,
    ReadNoise,
    as_objectives,
    cycling_statistics,
    fit,
    level_statistics,
    relaxation_statistics,
)
from analogjax.fitting.sampling import SamplingError, effective_count, moments

TARGET = np.array([3e-6, 10e-6, 20e-6])
RELAXING = StatisticalDevice(
    relaxation_mean=-0.1e-6, relaxation_std=0.4e-6, relaxation_std_growth=0.05e-6
)


@eqx.filter_jit
def draw(device, targets, keys):
    """Devices of several targets, (targets, keys)."""
    return jax.vmap(lambda g: jax.vmap(lambda k: device.program(g, key=k))(keys))(targets)


def drawn(device, targets, count, seed=1):
    return draw(device, jnp.asarray(targets), jax.random.split(jax.random.key(seed), count))


@eqx.filter_jit
def relaxed(device, state, time):
    """Conductances of drawn states some time later."""
    return jax.vmap(jax.vmap(lambda s: device.conductance_of(device.rest(s, time))))(state)


@pytest.mark.parametrize("law", [stats.norm(), stats.expon()], ids=["normal", "exponential"])
def test_standard_errors_of_moments(law):
    samples = law.rvs((2000, 200), random_state=0)
    found = np.array([moments(x) for x in samples])
    # The scatter of 2000 estimates is itself known to 1.6 % (normal); the fourth moment of 200
    # exponential values is badly known, and on average too small.
    tolerance = 0.05 if law.dist.name == "norm" else 0.2
    assert found[:, 2].mean() == pytest.approx(found[:, 0].std(), rel=0.05)
    assert found[:, 3].mean() == pytest.approx(found[:, 1].std(), rel=tolerance)
    assert np.isnan(moments(np.array([1.0, 2.0, np.nan]))).all()


def test_correlated_reads_are_worth_fewer():
    rng = np.random.default_rng(0)
    x, r = np.zeros(40000), 0.8
    for k in range(1, x.size):
        x[k] = r * x[k - 1] + rng.normal()
    # n (1 - r) / (1 + r) of an autoregression; the sum is cut off where it is noise.
    assert effective_count(x) == pytest.approx(x.size / 9, rel=0.15)
    assert effective_count(rng.normal(size=4000)) == pytest.approx(4000, rel=0.1)


@pytest.mark.parametrize("distribution", ["normal", "lognormal_median", "lognormal_mean"])
def test_levels_of_one_number_have_closed_forms(distribution):
    device = StatisticalDevice(distribution=distribution)
    samples = np.asarray(drawn(device, TARGET, 300).conductance)
    mean, std = np.asarray(LevelStatistics(samples, TARGET).predict(device)).T
    factor = np.exp(0.005) if distribution == "lognormal_median" else 1.0
    np.testing.assert_allclose(mean, TARGET * factor, rtol=1e-7)
    exact = [float(device.programming_std(g)) for g in TARGET]
    np.testing.assert_allclose(std, exact, rtol=1e-6)
    by = LevelStatistics(samples, TARGET, by="quantiles")
    if distribution == "normal":
        exact = stats.norm(TARGET[:, None], np.array(exact)[:, None])
        # Linear interpolation in xi of what is linear in xi.
        np.testing.assert_allclose(by.predict(device), exact.cdf(by.places), atol=1e-9)


def test_what_is_cut_off_at_the_floor():
    device = StatisticalDevice(std_0=1.0, std_1=0.0, std_2=0.0)
    target = 0.5e-6
    samples = np.asarray(drawn(device, [target], 200).conductance)
    mean, std = np.asarray(LevelStatistics(samples, [target]).predict(device))[0]
    # Of max(floor, N(m, 1)): censored normal, m from the floor on.
    m = 0.5 - 1e-3
    p, d = stats.norm.cdf(m), stats.norm.pdf(m)
    first, second = m * p + d, (m**2 + 1) * p + m * d
    # A kink leaves the trapezoidal rule an error of h^2 / 12 = 8e-4.
    assert mean == pytest.approx(1e-6 * (first + 1e-3), rel=2e-3)
    assert std == pytest.approx(1e-6 * np.sqrt(second - first**2), rel=2e-3)


@pytest.mark.parametrize("time", [10.0, 1e4])
def test_relaxation_has_closed_forms(time):
    # Far above the floor, which the widest would reach from 3 uS.
    targets = np.array([12e-6, 20e-6])
    state = drawn(RELAXING, targets, 300)
    start = np.asarray(state.conductance)
    later = np.asarray(relaxed(RELAXING, state, time))
    made = LevelStatistics(later, targets, start=start, time=time)
    mean, std = np.asarray(made.predict(RELAXING)).T
    np.testing.assert_allclose(mean, -0.1e-6 * np.log(time), rtol=1e-6)
    np.testing.assert_allclose(std, 0.4e-6 + 0.05e-6 * np.log(time), rtol=1e-6)
    by = LevelStatistics(later, targets, start=start, time=time, by="quantiles")
    exact = stats.norm(mean[0], std[0]).cdf(by.places)
    # Linear interpolation between 801 numbers.
    np.testing.assert_allclose(by.predict(RELAXING), exact, atol=1e-4)


def test_phase_change_against_draws():
    device, count, time = PCM(), 40000, 3600.0
    state = drawn(device, TARGET, count)
    later = np.asarray(relaxed(device, state, time))
    made = LevelStatistics(later, TARGET, time=time)
    # Three standard errors of 40,000 draws.
    off = (np.asarray(made.predict(device)) - made.observed) / made.noise.scale(made.observed)
    assert np.abs(off).max() < 3.5
    by = LevelStatistics(later, TARGET, time=time, by="quantiles")
    assert np.abs(by.predict(device) - by.observed).max() < 3.5 * 0.5 / np.sqrt(count)


def levels_of(device, count=400):
    targets = np.linspace(2e-6, 24e-6, 10)
    g = np.asarray(drawn(device, targets, count).conductance)
    return measurement(
        "level_distribution",
        level=np.repeat(np.arange(10), count),
        conductance=g.ravel(),
        target=np.repeat(targets, count),
    )


def test_level_distributions_are_fitted():
    truth = StatisticalDevice()
    free = ("std_0", "std_1", "std_2")
    start = StatisticalDevice(std_0=0.5, std_1=0.03, std_2=-0.001)
    dataset = levels_of(truth)
    found = fit(start, dataset, free, known_noise=True)
    for name in free:
        off = found.parameters[name] - float(getattr(truth, name))
        assert abs(off) < 3 * found.standard_errors[name]
    by = level_statistics(dataset, by="quantiles")
    # Quantiles scatter about the fitted ones as binomial numbers do.
    off = (np.asarray(by.predict(found.device)) - by.observed) / by.noise.scale(by.observed)
    assert np.sqrt(np.mean(off**2)) < 1.5
    levels = aj.programming.program_levels(found.device, 4, key=jax.random.key(0))
    assert levels.target.shape == (4,)


def test_relaxation_of_many_devices_is_fitted():
    targets, count, times = np.linspace(5e-6, 20e-6, 4), 300, np.array([0.0, 10.0, 1e3])
    state = drawn(RELAXING, targets, count)
    g = np.stack([np.asarray(relaxed(RELAXING, state, t)) for t in times], axis=-1)
    dataset = measurement(
        "retention",
        time=np.broadcast_to(times, (4 * count, 3)),
        conductance=g.reshape(-1, 3),
        level=np.repeat(np.arange(4), count),
        nominal_time=times,
    )
    start = RELAXING.replace(relaxation_std=1e-7, relaxation_std_growth=1e-8)
    free = ("relaxation_mean", "relaxation_std", "relaxation_std_growth")
    found = fit(start, dataset, free, known_noise=True)
    for name in free:
        off = found.parameters[name] - float(getattr(RELAXING, name))
        assert abs(off) < 3 * found.standard_errors[name]
    assert len(found.residuals) == 2
    with pytest.raises(ValueError, match="`times` must be of"):
        relaxation_statistics(dataset, times=[100.0])


def test_reads_are_fitted():
    truth = StatisticalDevice(read_flicker=0.03e-6, read_duration=0.01)
    g, count = np.array([5e-6, 10e-6, 20e-6]), 4000
    std = [float(truth.read_std(truth.rest(truth.program(x), 0.01 * count))) for x in g]
    traces = g[:, None] + np.array(std)[:, None] * np.random.default_rng(0).normal(size=(3, count))
    dataset = measurement("read_noise", time=0.01 * np.arange(count), conductance=traces)
    (made,) = as_objectives(dataset, truth)
    # At the mean of each trace, not at g.
    np.testing.assert_allclose(made.predict(truth)[:, 0], std, rtol=1e-3)
    found = fit(StatisticalDevice(read_flicker=0.01e-6), dataset, ("read_flicker",))
    assert found.parameters["read_flicker"] == pytest.approx(0.03e-6, rel=0.03)


def test_gradients_agree_with_differences():
    made = LevelStatistics(np.asarray(drawn(PCM(), TARGET, 50).conductance), TARGET, time=100.0)

    @jax.jit
    def total(scale):
        return 1e6 * jnp.sum(made.evaluate(PCM().replace(drift_scale=scale))[0])

    slope = float(jax.grad(total)(jnp.asarray(1.0)))
    step = 1e-4
    difference = (total(1 + step) - total(1 - step)) / (2 * step)
    assert slope == pytest.approx(float(difference), rel=1e-6)


def test_cycles_are_summarised():
    rng = np.random.default_rng(0)
    logs = np.log(1e4) + 0.1 * rng.normal(size=(30, 1)) + 0.2 * rng.normal(size=(30, 400))
    high = np.exp(logs + 2)
    dataset = measurement(
        "cycling", cycle=np.arange(400), resistance_low=np.exp(logs), resistance_high=high
    )
    found = cycling_statistics(dataset)
    assert found.low.std.mean() == pytest.approx(0.2, rel=0.02)
    # The deviation of 30 devices is known to 13 %.
    assert found.low.device_std == pytest.approx(0.1, rel=0.35)
    np.testing.assert_allclose(found.together, 1.0)
    assert np.mean(np.abs(found.low.correlation) < 2 * found.low.correlation_error) > 0.85
    with pytest.raises(ValueError, match="cycling_statistics` summarises"):
        fit(StatisticalDevice(), dataset, ("log_std",))


def test_refusals():
    drift = aj.devices.LinearIonDrift()
    with pytest.raises(ValueError, match="how devices differ, which a device of programmed"):
        fit(drift, levels_of(StatisticalDevice(), 5), ("mobility",))
    made = LevelStatistics([np.arange(1.0, 6.0) * 1e-6], [3e-6])
    with pytest.raises(ValueError, match="must be one of programmed states"):
        fit(drift, made, ("mobility",))
    with pytest.raises(ValueError, match="at least 4 known values"):
        LevelStatistics([[1e-6, 2e-6, np.nan]], [1e-6])
    with pytest.raises(ValueError, match="one conductance for each"):
        LevelStatistics([np.ones(5)], [1e-6], start=[np.ones(4)])
    with pytest.raises(ValueError, match="`errors` must be above 0"):
        SamplingError([[0.0]])
    with pytest.raises(ValueError, match="`std` must be"):
        ReadNoise([1e-6], [-1e-7], [1e-8], duration=1.0)
