"""Posterior distributions and bands, against distributions that are known exactly."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import analogjax as aj
from analogjax.fitting import FitError, Noise, Posterior, Prior, PulseTrain, fit
from analogjax.fitting.bands import of_fit
from analogjax.fitting.bijections import bijection
from analogjax.fitting.posterior import REJECTED, _energy, _objection
from analogjax.fitting.uncertainty import unbounded_covariance


def straight(device, x):
    """Linear in the logarithms, which are the unbounded numbers of both parameters."""
    return jnp.log(device.r_high) + x * jnp.log(device.seconds)


def diffusion(device, x):
    """Only D / L^2 counts."""
    return x * device.r_high / device.seconds**2


def saturating(device, x):
    return device.r_high * (1 - jnp.exp(-x / device.seconds))


@pytest.fixture(scope="module")
def linear(toy_device, Curve):
    """Twelve values on a line, and the fit."""
    x = np.linspace(0, 1, 12)
    true = toy_device(r_high=3.0, seconds=5.0)
    y = np.asarray(straight(true, x)) + 0.1 * np.random.default_rng(0).standard_normal(12)
    return fit(true, Curve(straight, x, y, Noise(0.0, 0.05)), ("r_high", "seconds"))


@pytest.fixture(scope="module")
def sampled(linear):
    return linear.posterior(4000, 200, 4, key=jax.random.key(1))


def test_a_linear_fit_with_unknown_noise_has_students_distribution(linear, sampled):
    assert sampled.ok, sampled.message
    assert sampled.divergences == 0
    x = np.stack([np.ones(12), np.linspace(0, 1, 12)], axis=1)
    y = np.asarray(linear.problem.objectives[0].observed)[0]
    mean, (rss,), *_ = np.linalg.lstsq(x, y, rcond=None)
    inverse = np.linalg.inv(x.T @ x)
    for k, name in enumerate(linear.free):
        scale = np.sqrt(rss / 10 * inverse[k, k])
        standard = (np.log(sampled.samples[name]) - mean[k]) / scale
        count = sampled.effective_samples[name]
        assert count > 1000
        # The share below a quantile scatters as a binomial one: three standard deviations.
        for p in (0.05, 0.25, 0.5, 0.75, 0.95):
            share = np.mean(standard < stats.t.ppf(p, 10))
            assert abs(share - p) < 3 * np.sqrt(p * (1 - p) / count)
    # rss / s^2 is distributed as chi^2 with 10 degrees of freedom.
    chi = rss / (0.05 * sampled.noise_factor) ** 2
    count = sampled.effective_samples["noise factor"]
    for p in (0.05, 0.5, 0.95):
        share = np.mean(chi < stats.chi2.ppf(p, 10))
        assert abs(share - p) < 3 * np.sqrt(p * (1 - p) / count)


def test_intervals_means_and_devices_are_those_of_the_draws(linear, sampled):
    for name, ends in linear.interval(0.9).items():
        # 1,000 effective draws: the 5 % quantile of Student's distribution is known to 0.05
        # standard errors; three of them.
        reach = 0.15 * linear.standard_errors[name]
        np.testing.assert_allclose(sampled.interval(0.9)[name], ends, atol=reach)
    for k, name in enumerate(linear.free):
        drawn = np.asarray(getattr(sampled.device, name))
        np.testing.assert_allclose(drawn, sampled.array[:, k], rtol=1e-12)
        assert sampled.mean[name] == pytest.approx(drawn.mean())
        assert sampled.standard_deviation[name] == pytest.approx(drawn.std(ddof=1))
    np.testing.assert_allclose(sampled.correlation, np.corrcoef(sampled.array.T))
    text = str(sampled)
    assert all(name in text for name in linear.free)
    assert "4000 draws of 4 chains" in text
    assert "NOT TO BE TRUSTED" not in text


def test_all_bands_of_a_linear_fit_are_the_exact_one(linear, sampled):
    x = np.linspace(0, 1, 12)
    design = np.stack([np.ones(12), x], axis=1)
    left = np.asarray(linear.residuals["curve"])[0]
    s2 = left @ left / 10
    lever = np.einsum("ki,ij,kj->k", design, np.linalg.inv(design.T @ design), design)
    reach = stats.t.ppf(0.95, 10)
    exact, wide = reach * np.sqrt(s2 * lever), reach * np.sqrt(s2 * (1 + lever))
    band = linear.band("curve")
    np.testing.assert_allclose(band.high - band.predicted, exact[None], rtol=1e-6)
    np.testing.assert_allclose(band.predicted - band.measured_low, wide[None], rtol=1e-6)
    assert list(linear.band()) == ["curve"]
    drawn = linear.band("curve", draws=4000, key=jax.random.key(2))
    posterior = sampled.band(draws=2000)["curve"]
    # 2,000 draws: a 95 % quantile is known to 3 % of its distance from the mean; three times.
    for other in (drawn, posterior):
        assert other.failed == 0
        np.testing.assert_allclose((other.high - other.low)[0], 2 * exact, rtol=0.1)
        width = (other.measured_high - other.measured_low)[0]
        np.testing.assert_allclose(width, 2 * wide, rtol=0.1)


@pytest.mark.parametrize(
    ("loss", "noise"),
    [("squares", Noise(log=0.05)), ("huber", Noise(0.05, 0.02)), ("soft_l1", Noise(0.05))],
    ids=["squares", "huber", "soft_l1"],
)
def test_what_the_fit_has_stored_is_what_a_new_evaluation_gives(toy_device, Curve, loss, noise):
    true = toy_device(r_high=3.0, seconds=5.0)
    x = np.linspace(0.5, 9, 10)
    y = np.asarray(saturating(true, x)) * (1 + 0.05 * np.random.default_rng(3).standard_normal(10))
    y[4] *= 1.5
    curve = Curve(saturating, x, y, noise)
    result = fit(true, curve, ("r_high", "seconds"), loss=loss)
    stored = result.band("curve")
    anew = result.band(Curve(saturating, x, y, noise, name="anew"))
    assert anew.name == "anew"
    for end in ("predicted", "low", "high", "measured_low", "measured_high"):
        np.testing.assert_allclose(getattr(stored, end), getattr(anew, end), rtol=1e-6)


@pytest.mark.slow
def test_a_bent_distribution_is_as_the_profile_says_and_not_as_the_covariance(toy_device, Curve):
    """D t / L^2 with a length that is known to 30 %: D is as sure as the square of L."""
    true = toy_device(r_high=2.0, seconds=1.0)
    t = np.linspace(1, 2, 10)
    y = 2 * t * (1 + 0.01 * np.random.default_rng(0).standard_normal(10))
    curve = Curve(diffusion, t, y, Noise(0.01))
    priors = {"seconds": Prior(1.0, 0.3)}
    result = fit(true, curve, ("r_high", "seconds"), priors=priors, known_noise=True)
    posterior = result.posterior(4000, 300, 4, key=jax.random.key(4))
    assert posterior.ok, posterior.message
    # The prior is normal in L, so D is 2 L^2, but for the 0.3 % by which D / L^2 is known.
    ratio = float(np.mean(y / t)) * (1 + stats.norm.ppf([0.05, 0.95]) * 0.3) ** 2
    found = posterior.interval(0.9)["r_high"]
    # An end of the interval of L is known to sqrt(p (1 - p) / n) over the density there; D is twice
    # as uncertain. Within four of those.
    ends = 1 + stats.norm.ppf([0.05, 0.95]) * 0.3
    error = np.sqrt(0.05 * 0.95 / posterior.effective_samples["seconds"])
    error = error / stats.norm.pdf(ends, 1, 0.3) / ends
    assert (np.abs(np.log(found / ratio)) < 8 * error).all()
    profile = result.profile("r_high", points=41, reach=4.0).interval(0.9)
    np.testing.assert_allclose(profile, ratio, rtol=0.03)
    normal = np.array(result.interval(0.9)["r_high"])
    assert (np.abs(normal / ratio - 1) > 0.15).all()
    assert (np.abs(posterior.interval(0.9)["seconds"] / ends - 1) < 4 * error).all()


@pytest.mark.slow
def test_a_banana_is_that_of_a_grid(toy_device, Curve):
    true = toy_device(r_high=3.0, seconds=5.0)
    t = np.linspace(0.1, 3, 15)
    y = np.asarray(saturating(true, t)) + 0.05 * np.random.default_rng(0).standard_normal(15)
    curve = Curve(saturating, t, y, Noise(0.0, 0.05))
    result = fit(true, curve, ("r_high", "seconds"), known_noise=True)
    posterior = result.posterior(8000, 500, 4, key=jax.random.key(5))
    assert posterior.ok, posterior.message
    a, b = np.linspace(-1, 5, 1201), np.linspace(-1, 6, 1401)
    model = np.exp(a)[:, None, None] * (1 - np.exp(-t / np.exp(b)[:, None]))
    cost = np.sum(((model - y) / 0.05) ** 2, axis=2)
    weight = np.exp(-0.5 * (cost - cost.min()))
    for name, axis, values in (("r_high", 1, a), ("seconds", 0, b)):
        share = np.cumsum(weight.sum(axis)) / weight.sum()
        exact = np.interp([0.05, 0.95], share, values)
        found = np.log(posterior.interval(0.9)[name])
        # A long tail: some hundred effective draws are beyond either end.
        np.testing.assert_allclose(found, exact, atol=0.05)


@pytest.mark.slow
def test_a_simulated_device_has_the_interval_of_its_profile():
    device = aj.devices.LinearIonDrift()
    train = PulseTrain(np.full(12, 1.0), 0.01, None, np.ones(12))
    clean = np.asarray(train.predict(device))
    noise = 0.01 * np.random.default_rng(0).standard_normal(clean.shape)
    measured = eqx.tree_at(lambda m: m.observed, train, jnp.asarray(clean * (1 + noise)))
    result = fit(device, measured, ("mobility", "x_0"))
    posterior = result.posterior(2000, 200, 4, key=jax.random.key(6))
    assert posterior.ok, posterior.message
    for name in result.free:
        ends = result.profile(name, points=21).interval(0.9)
        # A 5 % quantile of n draws is known to sqrt(0.05 0.95 / n) / 0.103 = 2.1 / sqrt(n) standard
        # errors; four times.
        reach = 8.5 / np.sqrt(posterior.effective_samples[name]) * result.standard_errors[name]
        np.testing.assert_allclose(posterior.interval(0.9)[name], ends, atol=reach)
    first, second = result.band("pulses"), posterior.band("pulses")
    # 256 draws: a 95 % quantile is known to 8 % of its distance; three times.
    np.testing.assert_allclose(second.high - second.low, first.high - first.low, rtol=0.25)


def by_hand(result, u, loss, flat):
    """Minus the log-density by z and noise factor, written out again."""
    covariance = unbounded_covariance(result.optimum, result.noise_factor)
    z = np.asarray(result.optimum.z) + np.linalg.cholesky(covariance) @ u[:2]
    p = np.exp(z)
    curve = result.problem.objectives[0]
    y, x = np.asarray(curve.observed)[0], np.asarray(curve.x)[0]
    factor = result.noise_factor * np.exp(u[2] / np.sqrt(2 * y.size))
    r = np.abs(p[0] * (1 - np.exp(-x / p[1])) - y) / 0.05 / factor
    cost = dict(
        squares=0.5 * r**2,
        huber=np.where(r < 1, 0.5 * r**2, r - 0.5),
        soft_l1=np.sqrt(1 + r**2) - 1,
    )[loss].sum() + y.size * np.log(factor)
    # Of "seconds": log-normal, flat in its logarithm; r_high flat in z or in p.
    cost += 0.5 * (np.log(p[1] / 5) / 0.4) ** 2
    return cost - (z[0] if flat == "parameters" else 0.0)


@pytest.mark.parametrize(
    ("loss", "flat"),
    [("squares", "parameters"), ("huber", "unbounded"), ("soft_l1", "unbounded")],
)
def test_density_and_gradient_are_those_written_out(toy_device, Curve, loss, flat):
    true = toy_device(r_high=3.0, seconds=5.0)
    x = np.linspace(0.5, 9, 10)
    y = np.asarray(saturating(true, x)) + 0.2 * np.random.default_rng(3).standard_normal(10)
    result = fit(
        true, Curve(saturating, x, y, Noise(0.0, 0.05)), ("r_high", "seconds"), loss=loss,
        priors={"seconds": Prior(5.0, 0.4, log=True)},
    )  # fmt: skip
    covariance = unbounded_covariance(result.optimum, result.noise_factor)
    energy, _, size = _energy(result, covariance, flat)
    assert size == 3
    here, there = np.array([0.3, -0.5, 0.2]), np.array([-1.0, 0.4, 2.0])
    difference = float(energy(jnp.asarray(here)) - energy(jnp.asarray(there)))
    expected = by_hand(result, here, loss, flat) - by_hand(result, there, loss, flat)
    assert difference == pytest.approx(expected, rel=1e-9)
    slope = np.asarray(jax.grad(energy)(jnp.asarray(here)))
    for k, step in enumerate(1e-5 * np.eye(3)):
        ends = [by_hand(result, here + sign * step, loss, flat) for sign in (1, -1)]
        # Central differences of a number of some tens: 1e-15 * 10 / 1e-5.
        assert slope[k] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("low", "high"), [(0.1, 3.0), (-50.0, 3.0), (0.0, np.inf), (-np.inf, np.inf)]
)
def test_volumes_are_slopes(low, high):
    one = bijection(low, high, 1.0)
    z = jnp.asarray(0.7)
    slope = abs(float(jax.grad(one.forward)(z)))
    assert float(one.log_slope(z)) == pytest.approx(np.log(slope))


def test_parameters_that_cannot_be_simulated_are_rejected_with_a_finite_gradient(toy_device, Curve):
    def fails(device, x):
        return jnp.where(device.r_high > 3.2, jnp.nan, straight(device, x))

    x = np.linspace(0, 1, 6)
    true = toy_device(r_high=3.0, seconds=5.0)
    y = np.asarray(straight(true, x)) + 0.05 * np.array([1, -1, 0, 0, -1, 1.0])
    curve = Curve(fails, x, y, Noise(0.0, 0.05))
    result = fit(true, curve, ("r_high", "seconds"), known_noise=True)
    energy, natural, _ = _energy(result, np.eye(2), "unbounded")
    beyond = jnp.array([0.5, 0.0])
    assert float(jnp.exp(natural(beyond)[0][0])) > 3.2
    value, slope = jax.value_and_grad(energy)(beyond)
    assert float(value) == REJECTED
    np.testing.assert_array_equal(slope, 0.0)
    band = of_fit(result, curve, 0.9, 200, jax.random.key(0))
    assert 0 < band.failed < 200
    assert np.isfinite(band.high).all()


def test_draws_that_cannot_be_trusted_say_why():
    good = dict(r_hat={"a": 1.0, "b": 1.01}, effective={"a": 400.0, "b": 300.0})
    assert _objection(*good.values(), 0, 1000) == ""
    assert "r_hat of `a` is 1.3" in _objection({"a": 1.3, "b": 1.0}, good["effective"], 0, 1000)
    assert "r_hat of `a` is nan" in _objection({"a": np.nan}, good["effective"], 0, 1000)
    assert "50 of 1000 draws diverged" in _objection(*good.values(), 50, 1000)
    assert "worth 12 independent" in _objection(good["r_hat"], {"a": 12.0, "b": 99.0}, 0, 1000)


def test_what_has_no_posterior_is_refused(linear, toy_device, Curve, monkeypatch):
    for arguments, says in (
        (dict(draws=3), "`draws` must be a whole number of at least 16"),
        (dict(chains=0), "`chains`"),
        (dict(flat="parameter"), "did you mean 'parameters'"),
    ):
        with pytest.raises(ValueError, match=says):
            linear.posterior(**arguments)
    with pytest.raises(ValueError, match="did you mean 'curve'"):
        linear.band("curv")
    t = np.linspace(1, 2, 10)
    noise = np.random.default_rng(0).normal(1, 0.01, 10)
    curve = Curve(diffusion, t, 2 * t * noise, Noise(0.01))
    start = toy_device(r_high=2.0, seconds=1.0)
    free = fit(start, curve, ("r_high", "seconds"), throw=False)
    with pytest.raises(FitError, match=r"r_high\^1 x seconds\^-2 and leave"):
        free.posterior()
    monkeypatch.setitem(sys.modules, "numpyro.diagnostics", None)
    with pytest.raises(ImportError, match=r"install `analogjax\[bayes\]`"):
        linear.posterior()


def test_a_posterior_that_is_not_ok_says_so(sampled):
    bad = Posterior(**{**vars(sampled), "message": "The chains must agree, but do not."})
    assert not bad.ok
    assert "NOT TO BE TRUSTED: The chains must agree" in bad.describe()
