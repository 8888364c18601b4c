"""`fit` finds the parameters that made the data, and says when it cannot."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax.fitting import (
    Adam,
    FitError,
    LevenbergMarquardt,
    Prior,
    PulseTrain,
    Sweep,
    SwitchingTimes,
    fit,
)
from analogjax.fitting.bijections import free_parameters
from analogjax.fitting.levenberg import scattered, solve_lanes
from analogjax.fitting.residuals import Problem, linearise

DRIFT = aj.devices.LinearIonDrift()


def made_by(device, measurement, noise=0.0, seed=0):
    """The measurement as the device would show it, with relative noise."""
    values = np.asarray(measurement.predict(device))
    scatter = 1 + noise * np.random.default_rng(seed).standard_normal(values.shape)
    return eqx.tree_at(lambda m: m.observed, measurement, jnp.asarray(values * scatter))


def train(pulses=12, v=1.0):
    return PulseTrain(np.full(pulses, v), 0.01, None, np.ones(pulses), name="ramp")


def relative_errors(result, true):
    return {n: abs(p / float(getattr(true, n)) - 1) for n, p in result.parameters.items()}


def test_yakopcic_from_pulses_of_both_polarities():
    true = aj.devices.Yakopcic("miao")
    amplitudes = np.concatenate([np.linspace(0.3, 0.9, 15), -np.linspace(0.8, 1.5, 15)])
    measured = made_by(true, PulseTrain(amplitudes, 0.05, 1e-3, np.ones(30)))
    start = true.replace(a_p=12.0, a_n=1.5, v_n=0.6, x_0=0.15)
    result = fit(start, measured, ("a_p", "a_n", "v_n", "x_0"))
    # Without noise it ends within a thousandth of the standard error of data with 2 %.
    assert max(relative_errors(result, true).values()) < 1e-4
    assert result.r_squared > 1 - 1e-6
    assert result.stats["evaluations"] <= 15
    assert result.stats["simulations"] == result.stats["evaluations"]
    assert result.covariance.shape == (4, 4)
    text = result.describe()
    assert all(name in text for name in result.free)
    assert "NOT TO BE TRUSTED" not in text


@pytest.mark.slow
def test_vteam_from_pulses_of_both_polarities():
    true = aj.devices.VTEAM()
    amplitudes = np.concatenate([-np.linspace(0.25, 0.35, 10), np.linspace(0.03, 0.06, 10)])
    width = np.concatenate([np.full(10, 1e-10), np.full(10, 2e-7)])
    measured = made_by(true, PulseTrain(amplitudes, width, None, np.ones(20)))
    start = true.replace(k_on=-6.0, alpha_on=2.5, k_off=8e-4, v_off=0.015)
    result = fit(start, measured, ("k_on", "alpha_on", "k_off", "v_off"))
    assert max(relative_errors(result, true).values()) < 1e-4


def test_jart_from_switching_times_at_two_temperatures():
    true = aj.devices.JartVCM()
    v = np.array([-0.6, -0.7, -0.8, -0.9] * 2)
    first, last = np.log(0.008), np.log(5.0)
    temperature = [293.0] * 4 + [350.0] * 4
    blank = SwitchingTimes(v, np.ones(8), first, last, ambient_temperature=temperature, cells=24)
    measured = made_by(true, blank)
    start = true.replace(activation_energy=1.3, thermal_resistance=12e6, attempt_frequency=5e13)
    free = ("activation_energy", "thermal_resistance", "attempt_frequency")
    result = fit(start, measured, free)
    assert max(relative_errors(result, true).values()) < 1e-3


@pytest.mark.slow
def test_jart_from_a_sweep():
    true = aj.devices.JartVCM()
    t = np.linspace(0, 4.0, 41)
    v = -np.interp(t, [0, 1, 3, 4], [0, 0.9, -1.2, 0])
    measured = made_by(true, Sweep(t, v, np.full(41, 1e-5)))
    start = true.replace(activation_energy=1.3, oxide_resistance=800.0)
    result = fit(start, measured, ("activation_energy", "oxide_resistance"))
    assert max(relative_errors(result, true).values()) < 1e-3


@pytest.mark.slow
def test_the_covariance_is_the_scatter_of_fits_and_intervals_hold_the_truth():
    free, z = free_parameters(DRIFT, ("mobility", "x_0"))
    blank = train()
    clean = np.asarray(blank.predict(DRIFT))
    noise, sets = 0.01, 200
    draws = np.random.default_rng(1).standard_normal((sets, *clean.shape))
    problems = eqx.filter_vmap(
        lambda y: eqx.tree_at(lambda p: p.objectives[0].observed, Problem(DRIFT, free, (blank,)), y)
    )(jnp.asarray(clean * (1 + noise * draws)))
    lanes = jnp.broadcast_to(z + 0.2, (sets, 1, 2))

    @eqx.filter_jit
    def refit(problems, lanes):
        # The device is the same in all of them, the measured values are not.
        return eqx.filter_vmap(lambda p, z: solve_lanes(p, z, jnp.zeros_like(z), 1e-2, 50))(
            problems, lanes
        )

    ends = refit(problems, lanes)
    assert np.asarray(ends.failed).max() == 0
    assert np.asarray(ends.remaining).max() < 0.01
    found = np.asarray(jax.vmap(lambda z: free.forward(z))(ends.z[:, 0]))

    one = made_by(DRIFT, blank)
    at_truth = fit(DRIFT.replace(x_0=0.12), one, ("mobility", "x_0"), known_noise=True)
    # The noise assumed is 2 %, the noise made 1 %.
    expected = at_truth.covariance / 4
    scatter = np.cov(found.T)
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    # 200 draws: a variance is known to sqrt(2 / 199) = 10 % (one standard deviation).
    np.testing.assert_allclose(scatter / size, expected / size, atol=0.25)

    # Intervals from each data set alone, by the noise estimated there (10 degrees of freedom).
    truth = [float(DRIFT.mobility), float(DRIFT.x_0)]
    hits = []
    for k in range(sets):
        optimum = jax.tree.map(lambda x, k=k: np.asarray(x)[k, 0], ends)
        single = eqx.tree_at(
            lambda r: (r.optimum, r.noise_factor),
            at_truth,
            (optimum, float(np.sqrt(optimum.cost / 10))),
        )
        single = eqx.tree_at(lambda r: r.known_noise, single, False)
        ends_of = single.interval(0.9)
        hits.append(
            [low < p < high for p, (low, high) in zip(truth, ends_of.values(), strict=True)]
        )
    # 400 (correlated) trials: 0.9 +- 0.015 to 0.02.
    assert 0.84 < np.mean(hits) < 0.95


@pytest.mark.slow
def test_starts_side_by_side_end_where_each_ends_alone():
    measured = made_by(DRIFT, train(), 0.01)
    free, z = free_parameters(DRIFT, ("mobility", "x_0"))
    problem = Problem(DRIFT, free, (measured,))
    lanes = scattered(z, 4, 1.0, key=jax.random.key(1))
    np.testing.assert_array_equal(lanes[0], z)
    held = jnp.zeros_like(lanes)
    together = solve_lanes(problem, lanes, held, 1e-2, 50)
    for k in range(4):
        alone = solve_lanes(problem, lanes[k : k + 1], held[:1], 1e-2, 50)
        assert int(alone.evaluations[0]) == int(together.evaluations[k])
        # The same steps, of sums in another order.
        np.testing.assert_allclose(together.z[k], alone.z[0], rtol=1e-7)


def test_a_profile_of_a_nearly_linear_fit_is_a_parabola_and_counts_noise():
    measured = made_by(DRIFT, train(), 0.005)
    result = fit(DRIFT, measured, ("mobility", "x_0"), method=LevenbergMarquardt(7))
    assert result.stats["ended"] == 7
    assert result.stats["simulations"] == result.stats["evaluations"]
    profile = result.profile("x_0", points=7)
    steps = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(profile.rise, steps**2, rtol=0.2, atol=0.05)
    # As the covariance says, but for the curvature of the model.
    np.testing.assert_allclose(profile.interval(0.9), result.interval(0.9)["x_0"], rtol=0.02)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(LevenbergMarquardt(10, keep=2, scout=3), id="scouts", marks=pytest.mark.slow),
        pytest.param(Adam(20, polish=LevenbergMarquardt(4, keep=2)), id="adam"),
    ],
)
def test_other_searches_come_to_the_same_optimum(method):
    measured = made_by(DRIFT, train(v=4.0), 0.005)
    near = fit(DRIFT, measured, ("mobility", "x_0"))
    start = DRIFT.replace(mobility=3e-14, x_0=0.3)
    found = fit(start, measured, ("mobility", "x_0"), method=method, key=jax.random.key(3))
    assert found.stats["ended"] == 2
    for name, error in near.standard_errors.items():
        # Each ends within a hundredth of a standard error of the minimum.
        assert abs(found.parameters[name] - near.parameters[name]) < 0.03 * error


def test_a_prior_decides_what_the_data_leave_open():
    measured = made_by(DRIFT, train(v=4.0), 0.01)
    priors = {"thickness": Prior(10e-9, 0.05, log=True)}
    start = DRIFT.replace(mobility=2e-14)
    result = fit(start, measured, ("mobility", "thickness"), priors=priors, known_noise=True)
    assert result.parameters["thickness"] == pytest.approx(10e-9, rel=1e-3)
    assert result.standard_errors["thickness"] == pytest.approx(0.05 * 10e-9, rel=1e-2)
    # mobility / thickness^2 is known far better than either.
    assert result.correlation[0, 1] > 0.99


def test_parameters_that_cannot_be_told_apart_are_named():
    measured = made_by(DRIFT, train(), 0.01)
    start = DRIFT.replace(mobility=2e-14)
    with pytest.raises(FitError, match=r"mobility\^1 x thickness\^-2 and leave") as caught:
        fit(start, measured, ("mobility", "thickness"))
    assert "mobility^2 x thickness^1 free" in str(caught.value)
    kept = fit(start, measured, ("mobility", "thickness"), throw=False)
    assert not kept.ok
    assert kept.message == str(caught.value)
    np.testing.assert_allclose(
        kept.parameters["mobility"] / kept.parameters["thickness"] ** 2, 1e-14 / 1e-16, rtol=0.05
    )


def test_a_fit_that_cannot_work_says_why():
    measured = made_by(DRIFT, train(), 0.01)
    with pytest.raises(FitError, match="only with the other sign"):
        fit(DRIFT, measured.reversed(), ("mobility", "x_0"))
    with pytest.raises(FitError, match="`window_width` must have an influence"):
        fit(DRIFT, measured, ("mobility", "window_width"))
    constant = eqx.tree_at(lambda m: m.observed, measured, jnp.full((1, 12), 1e-4))
    with pytest.raises(FitError, match=r"every value of `ramp` is 0\.0001 S"):
        fit(DRIFT, constant, ("mobility",))
    with pytest.raises(FitError, match="after 2 evaluations"):
        fit(
            DRIFT.replace(mobility=4e-14, x_0=0.3),
            measured,
            ("mobility", "x_0"),
            method=LevenbergMarquardt(max_steps=2),
        )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(measurements=()), "at least one measurement"),
        (dict(measurements=[1.0]), "has a float"),
        (dict(free=("mobilty",)), "did you mean `mobility`"),
        (dict(method="levenberg_marquart"), "did you mean 'levenberg_marquardt'"),
        (dict(loss="square"), "did you mean 'squares'"),
        (dict(priors={"r_on": Prior(1.0, 1.0)}), "has `r_on`"),
    ],
)
def test_wrong_arguments_get_one_sentence(arguments, says):
    given = dict(device=DRIFT, measurements=train(), free=("mobility",)) | arguments
    with pytest.raises(ValueError, match=says):
        fit(given.pop("device"), given.pop("measurements"), given.pop("free"), **given)


def test_jit_is_eager():
    measured = made_by(DRIFT, train(3))
    free, z = free_parameters(DRIFT, ("mobility",))
    problem = Problem(DRIFT, free, (measured,))
    residuals, _ = problem.residuals(z)
    np.testing.assert_allclose(
        linearise(problem, z, jnp.zeros_like(z)).residuals, residuals, atol=1e-10
    )


def test_single_precision_is_refused():
    measured = train(3)
    with jax.enable_x64(False), pytest.raises(ValueError, match=r"`fit` must run in float64.*x64"):
        fit(DRIFT, measured, ("mobility",))


def test_samples_scatter_as_the_covariance_says():
    result = fit(DRIFT, made_by(DRIFT, train(v=4.0), 0.01), ("mobility", "x_0"))
    devices = result.sample(2000, key=jax.random.key(5))
    drawn = np.stack([np.asarray(devices.mobility), np.asarray(devices.x_0)])
    size = np.sqrt(np.diag(result.covariance))
    # 2,000 draws: a variance is known to 3 % (one standard deviation).
    np.testing.assert_allclose(np.cov(drawn) / np.outer(size, size), result.correlation, atol=0.12)
    np.testing.assert_allclose(result.predict("ramp"), result.predict()["ramp"])
