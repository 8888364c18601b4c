"""Populations: against the restricted likelihood of a linear model written in NumPy, and draws."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from analogjax.fitting import FitError, fit_population
from analogjax.fitting.mixed import Levels, Statistics, solve

T = np.linspace(0, 1, 12)
DESIGN = np.stack([np.ones(12), T], axis=1)
COVARIANCE = np.array([[0.3, 0.2], [0.2, 0.5]])
NAMES = ("b", "a")
SIGMA = 0.1


def lines(effects, seed=0):
    """Measured lines ``2 + d_b + (3 + d_a) t`` with noise, a row for each pair of effects."""
    noise = SIGMA * np.random.default_rng(seed).normal(size=(len(effects), 12))
    return (np.array([2.0, 3.0]) + effects) @ DESIGN.T + noise


@pytest.fixture(scope="module")
def drawn():
    return np.random.default_rng(1).multivariate_normal([0, 0], COVARIANCE, size=25)


@pytest.fixture(scope="module")
def population(drawn, curves):
    # The noise is said to be half of what it is, and is to be found.
    return fit_population(curves.coefficients(), curves.Curve(T, lines(drawn), SIGMA / 2), NAMES)


def restricted(logs, y):
    """Negative restricted log-likelihood of rows ``y = X (beta + d) + e``, and beta."""
    low = np.array([[np.exp(logs[0]), 0], [logs[1], np.exp(logs[2])]])
    v = DESIGN @ low @ low.T @ DESIGN.T + np.exp(2 * logs[3]) * np.eye(12)
    inverse = np.linalg.inv(v)
    information = len(y) * DESIGN.T @ inverse @ DESIGN
    beta = np.linalg.solve(information, DESIGN.T @ inverse @ y.sum(0))
    off = y - DESIGN @ beta
    value = len(y) * np.linalg.slogdet(v)[1] + np.einsum("ij,jk,ik", off, inverse, off)
    value += np.linalg.slogdet(information)[1]
    return 0.5 * value, beta, np.linalg.inv(information), low @ low.T


def test_linear_device_agrees_with_numpy(population, drawn):
    y = lines(drawn)
    best = minimize(lambda x: restricted(x, y)[0], [0.0, 0.0, 0.0, -2.0], tol=1e-10)
    _, beta, covariance, spread = restricted(best.x, y)
    found = population.spread["device"]
    # Two optimisers agree to the root of their tolerance, some 1e-5.
    assert [population.parameters[n] for n in NAMES] == pytest.approx(beta, rel=1e-5)
    np.testing.assert_allclose(population.covariance, covariance, rtol=1e-4)
    np.testing.assert_allclose(found.covariance * _slopes(population), spread, rtol=1e-3)
    assert population.noise_factor * SIGMA / 2 == pytest.approx(np.exp(best.x[3]), rel=1e-4)
    correlation = spread[0, 1] / np.sqrt(spread[0, 0] * spread[1, 1])
    assert population.correlation[0, 1] == pytest.approx(correlation, abs=1e-3)


def _slopes(population):
    """(dp/dz)(dp/dz)^T at the mean."""
    slopes = np.asarray(population.pooled.problem.free.slopes(jnp.asarray(population.z)))
    return np.outer(slopes, slopes)


def test_spread_is_that_of_the_draws_within_its_interval(population, drawn):
    found = population.spread["device"]
    for k, name in enumerate(NAMES):
        low, high = found.intervals[name]
        assert low < drawn[:, k].std(ddof=1) < high
        # A normal sample of 25 knows its standard deviation to 1 / sqrt(48).
        relative = found.standard_errors[name] / found.standard_deviations[name]
        assert relative == pytest.approx(1 / np.sqrt(48), rel=0.1)
    # Twelve points determine every device far better than the spread: hardly any shrinkage.
    off = population.units["a"] - 3.0 - drawn[:, 1]
    assert np.sqrt(np.mean(off**2)) < 2.5 * SIGMA
    assert population.devices.a.shape == (25,)
    assert population.ok, population.message


def test_draws_are_a_batch_of_devices_of_the_population(population):
    batch = population.sample(4000, key=jax.random.key(0))
    values = np.stack([batch.b, batch.a])
    expected = population.spread["device"].covariance * _slopes(population)
    # 4000 draws know a covariance to some 2 to 3 %.
    np.testing.assert_allclose(np.cov(values), expected, rtol=0.1)
    conductance = eqx.filter_vmap(lambda d: d.conductance(d.init_state(0.0)))(batch)
    assert conductance.shape == (4000,)
    none = population.sample(3, key=jax.random.key(0), levels=())
    assert np.asarray(none.a) == pytest.approx(population.parameters["a"])


def test_order_of_rows_does_not_matter(population, drawn, curves):
    turned = fit_population(
        curves.coefficients(), curves.Curve(T, lines(drawn)[::-1], SIGMA / 2), NAMES,
        groups={"curve": {"device": np.arange(25)[::-1]}},
    )  # fmt: skip
    assert turned.parameters == pytest.approx(population.parameters, rel=1e-6)
    first, second = (p.spread["device"].standard_deviations for p in (population, turned))
    assert second == pytest.approx(first, rel=1e-3)
    np.testing.assert_allclose(turned.units["a"], population.units["a"], rtol=1e-5)


def test_no_spread_gives_none(curves):
    found = fit_population(
        curves.coefficients(), curves.Curve(T, lines(np.zeros((25, 2))), SIGMA), NAMES
    )
    spread = found.spread["device"]
    # Less than what a single line leaves open (25 of them tell about a half of that).
    errors = SIGMA * np.sqrt(np.diag(np.linalg.inv(DESIGN.T @ DESIGN)))
    assert spread.standard_deviations["b"] < errors[0]
    assert spread.standard_deviations["a"] < errors[1]
    assert found.noise_factor == pytest.approx(1, abs=0.15)
    assert "device to device" in found.describe()


@pytest.mark.slow
def test_devices_and_cycles_are_told_apart(curves):
    rng = np.random.default_rng(3)
    device, cycle = np.divmod(np.arange(120), 6)
    between, within = rng.normal(0, 0.6, 20), rng.normal(0, 0.3, 120)
    effects = np.stack([between[device] + within, np.zeros(120)], axis=1)
    found = fit_population(
        curves.coefficients(), curves.Curve(T, lines(effects), SIGMA), NAMES, varying=("b",),
        groups={"curve": {"device": device, "cycle": cycle}},
    )  # fmt: skip
    # Balanced analysis of variance, in the means of the rows (the slope is shared).
    means = (lines(effects) - found.parameters["a"] * T).mean(1).reshape(20, 6)
    inner = means.var(axis=1, ddof=1).mean()
    outer = means.mean(1).var(ddof=1) - inner / 6
    inner -= SIGMA**2 / 12
    expected = {"device": np.sqrt(outer), "cycle": np.sqrt(inner)}
    for level, size in expected.items():
        # The noise itself is estimated, which is worth some tenths of a per cent.
        assert found.spread[level].standard_deviations["b"] == pytest.approx(size, rel=0.01)
    assert set(found.labels) == set(zip(device.tolist(), cycle.tolist(), strict=True))


@pytest.mark.slow
def test_nonlinear_device_recovers_mean_and_spread(curves):
    rng = np.random.default_rng(5)
    effects = rng.multivariate_normal([0, 0], 0.1 * COVARIANCE, size=30)
    exact = np.exp((np.array([0.5, 1.0]) + effects) @ DESIGN.T)
    noisy = exact + 0.05 * rng.normal(size=exact.shape)
    found = fit_population(curves.coefficients(), curves.Curve(T, noisy, 0.05, bent=True), NAMES)
    for k, (name, true) in enumerate(zip(NAMES, (0.5, 1.0), strict=True)):
        assert abs(found.parameters[name] - true) < 3 * found.standard_errors[name]
        low, high = found.spread["device"].intervals[name]
        assert low < effects[:, k].std(ddof=1) < high
    assert found.correlation[0, 1] == pytest.approx(np.corrcoef(effects.T)[0, 1], abs=0.15)


def test_likelihood_is_that_of_the_joint_normal_distribution():
    """Elimination of cycles and devices against one dense covariance matrix."""
    rng = np.random.default_rng(4)
    device = np.array([0, 0, 1, 1, 1])
    roots = [np.tril(rng.normal(size=(2, 2))) for _ in range(2)]
    j, y = rng.normal(size=(5, 7, 3)), rng.normal(size=(5, 7))
    pick = np.eye(3)[:, [0, 2]]
    statistics = Statistics(
        *(jnp.asarray(x) for x in (
            np.einsum("upi,upj->uij", j, j), np.einsum("upi,up->ui", j, y), (y**2).sum(1), 35.0,
        ))
    )  # fmt: skip
    levels = Levels(jnp.asarray(pick), jnp.asarray(device), 2, True, True)
    got = solve(statistics, levels, tuple(map(jnp.asarray, roots)), jnp.asarray(0.7))
    between, within = ((pick @ r) @ (pick @ r).T for r in roots)
    v = 0.49 * np.eye(35)
    for a in range(5):
        for b in range(5):
            same = between * (device[a] == device[b]) + within * (a == b)
            v[7 * a : 7 * a + 7, 7 * b : 7 * b + 7] += j[a] @ same @ j[b].T
    x, flat = j.reshape(35, 3), y.ravel()
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    mean = np.linalg.solve(information, x.T @ inverse @ flat)
    off = flat - x @ mean
    value = off @ inverse @ off + np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
    np.testing.assert_allclose(float(got.likelihood), -0.5 * value, rtol=1e-10)
    np.testing.assert_allclose(got.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(got.covariance, np.linalg.inv(information), rtol=1e-9)
    effect = between @ np.einsum("upi,up->i", j[device == 0], (inverse @ off).reshape(5, 7)[:2])
    np.testing.assert_allclose(got.device[0], effect, rtol=1e-8, atol=1e-12)


def test_refuses_what_cannot_work(drawn, curves):
    data = curves.Curve(T, lines(drawn[:3]), SIGMA)
    with pytest.raises(FitError, match="at least two devices or cycles"):
        fit_population(curves.coefficients(), curves.Curve(T, lines(drawn[:1]), SIGMA), NAMES)
    with pytest.raises(FitError, match=r"more devices than parameters that vary \(3\)"):
        fit_population(curves.coefficients(), data, (*NAMES, "a_up"))
    with pytest.raises(ValueError, match="`varying` must name free parameters"):
        fit_population(curves.coefficients(), data, NAMES, varying=("c2c",))
    with pytest.raises(ValueError, match="is empty: use `fit`"):
        fit_population(curves.coefficients(), data, NAMES, varying=())
    with pytest.raises(ValueError, match="`groups` must name measurements"):
        fit_population(curves.coefficients(), data, NAMES, groups={"x": {"cycle": [1, 2, 3]}})
    with pytest.raises(ValueError, match="a label `device` or `cycle` for each of its 3 rows"):
        fit_population(curves.coefficients(), data, NAMES, groups={"curve": {"cycle": [1, 2]}})
