"""Many fits side by side are the fits one by one, and are as sure as they say."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from analogjax.devices import AbstractCompactDevice, parameter
from analogjax.fitting import (
    AbstractObjective,
    Adam,
    Calibration,
    LevenbergMarquardt,
    Noise,
    calibration,
    fit,
    fit_many,
)

X = np.linspace(-1.0, 2.0, 7)
FREE = ("offset", "slope")


class Straight(AbstractCompactDevice):
    """A device that is only there for its two parameters, which have no bounds."""

    offset: jax.Array = parameter(2.0, "S", "offset", "test", low=-np.inf, high=np.inf)
    slope: jax.Array = parameter(-1.0, "S", "slope", "test", low=-np.inf, high=np.inf)
    read_voltage: jax.Array = parameter(0.1, "V", "read", "test")

    def init_state(self):
        return jnp.zeros(())

    def current(self, v, state):
        return v * self.offset

    def velocity(self, v, state):
        return jnp.zeros(())

    def bounds(self):
        return 0.0, 1.0


class Line(AbstractObjective):
    """``offset + slope x``: least squares have a closed form, and so have their errors."""

    x: jax.Array
    observed: jax.Array
    noise: Noise
    conditions: dict[str, jax.Array]
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)

    def __init__(self, x, observed, noise, name):
        self.x, self.observed, self.noise, self.name = x, observed, noise, name
        self.conditions, self.unit = {}, "S"

    def inputs(self) -> Any:
        return self.x

    def row(self, device, inputs):
        return device.offset + device.slope * inputs, jnp.ones((), bool)

    def reversed(self):
        return self


def line(y, noise=None, x=X, name="line"):
    x, y = (jnp.asarray(a, float)[None] for a in (x, y))
    return Line(x, y, Noise(0.0, 0.1) if noise is None else noise, name)


def lines(sets, sigma=0.1, seed=0):
    scatter = np.random.default_rng(seed).standard_normal((sets, X.size))
    return [line(0.5 + 1.5 * X + sigma * s) for s in scatter]


def closed_form(measured, true):
    """Estimates and Student's t of straight lines."""
    y = np.stack([np.asarray(m.observed[0]) for m in measured], axis=1)
    a = np.stack([np.ones_like(X), X], axis=1)
    inverse = np.linalg.inv(a.T @ a)
    found = inverse @ a.T @ y
    variance = np.sum((y - a @ found) ** 2, axis=0) / (X.size - 2)
    error = np.sqrt(variance[None, :] * np.diag(inverse)[:, None])
    return found.T, ((found - np.array(true)[:, None]) / error).T


@pytest.fixture(scope="module")
def straight():
    """Two hundred fits of straight lines, and their data."""
    measured = lines(200)
    return measured, fit_many(Straight(), measured, FREE, batch=75)


def test_a_linear_model_has_the_scores_of_its_closed_form(straight):
    measured, results = straight
    assert len(results) == 200
    assert all(r.ok for r in results)
    found = calibration(results, dict(offset=np.full(200, 0.5), slope=np.full(200, 1.5)))
    estimates, t = closed_form(measured, (0.5, 1.5))
    # A fit ends within a hundredth of a standard error of the minimum.
    np.testing.assert_allclose(found.scores, t, atol=0.02)
    np.testing.assert_allclose(found.deviations, t, atol=0.02)
    np.testing.assert_allclose(found.found, estimates, atol=2e-3)
    np.testing.assert_allclose(found.ranks, stats.t.cdf(-t, X.size - 2), atol=0.01)
    # Chance: 0.9 +- 0.021 (one standard deviation of 200), ranks uniform.
    for k, name in enumerate(FREE):
        s = found.statistics(name)
        assert abs(s["inside"] - 0.9) < 4 * s["inside_std"] == pytest.approx(4 * 0.0212, rel=1e-2)
        inside = [r.interval()[name][0] < found.true[0, k] < r.interval()[name][1] for r in results]
        assert s["inside"] == np.mean(inside)
        assert s["uniform"] > 1e-3
        # Student's t of five degrees of freedom has a variance of 5 / 3.
        assert s["std"] == pytest.approx(np.sqrt(5 / 3), rel=0.2)
    assert np.mean(found.noise_factors**2) == pytest.approx(1, abs=4 * np.sqrt(2 / 5 / 200))


def test_each_is_what_fit_finds_alone(straight):
    measured, results = straight
    for k in (0, 74, 75, 199):
        alone = fit(Straight(), measured[k], FREE)
        assert alone.stats["evaluations"] == results[k].stats["evaluations"]
        for name in FREE:
            # The same steps, of sums in another order.
            assert results[k].parameters[name] == pytest.approx(alone.parameters[name], rel=1e-9)
        np.testing.assert_allclose(results[k].covariance, alone.covariance, rtol=1e-6)
        np.testing.assert_allclose(results[k].residuals["line"], alone.residuals["line"], atol=1e-9)
        assert str(results[k]) == str(alone)


def test_points_that_are_far_off_are_put_off_and_count_in_the_end():
    # One value of seven is 10^4 standard deviations off: sqrt(1/7) of that over a median of less
    # than one, so that residuals are compressed first; the optimum is that of their squares.
    measured = lines(3)
    measured = [
        eqx.tree_at(lambda m: m.observed, m, m.observed.at[0, 2].add(1e3)) for m in measured
    ]
    start = Straight(offset=0.5, slope=1.5)
    for one, result in zip(measured, fit_many(start, measured, FREE), strict=True):
        estimate, _ = closed_form([one], (0.5, 1.5))
        assert result.stats["evaluations"] > 3
        errors = [result.standard_errors[name] for name in FREE]
        found = [result.parameters[name] for name in FREE]
        # Ends within a hundredth of a standard error.
        assert np.max(np.abs(found - estimate[0]) / errors) < 0.02


@pytest.mark.slow
def test_several_starts_and_several_measurements():
    measured = [(m, line(2.0 + 0 * X, name="flat")) for m in lines(2)]
    method = LevenbergMarquardt(6, keep=2, scout=2)
    results = fit_many(Straight(), measured, FREE, method=method, batch=3)
    for one, result in zip(measured, results, strict=True):
        alone = fit(Straight(), one, FREE, method=method)
        assert result.stats == alone.stats
        assert result.parameters == pytest.approx(alone.parameters, rel=1e-9)


def test_one_that_cannot_be_fitted_says_so_and_the_others_are():
    flat = line(np.full(X.size, 2.0))
    good, bad, other = fit_many(Straight(), [lines(1)[0], flat, lines(1)[0]], FREE)
    assert good.ok
    assert other.ok
    assert bad.message == ("The measurements must show a signal, but every value of `line` is 2 S.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(measurements=[]), "at least one set, but is empty"),
        (dict(measurements=[line(X), line(X[1:], x=X[1:])]), r"set 1 has \[\(1, 6\)\]: fill up"),
        (dict(measurements=[line(X), line(X, name="other")]), r"\(line\), but set 1 differs"),
        (dict(method=Adam()), "a LevenbergMarquardt or None, but is Adam"),
        (dict(batch=0), "`batch` must be"),
    ],
)
def test_wrong_arguments_get_one_sentence(arguments, says):
    given = dict(device=Straight(), measurements=[line(X)], free=FREE) | arguments
    with pytest.raises(ValueError, match=says):
        fit_many(given.pop("device"), given.pop("measurements"), given.pop("free"), **given)


def test_noise_that_grows_with_the_value_biases_no_level():
    sets, points = 150, 40
    scatter = np.random.default_rng(3).standard_normal((sets, points))
    x = np.zeros(points)
    measured = [line(1.0 + 0.1 * s, Noise(0.1), x) for s in scatter]
    results = fit_many(Straight(offset=1.3), measured, ("offset",))
    found = calibration(results, dict(offset=np.ones(sets)))
    # With weights by the measured value alone, sum(1 / y) / sum(1 / y^2) is too small by
    # 2 sigma^2, which is 2 sigma sqrt(points) = 1.26 standard errors; here 1 / sqrt(150) = 0.08 is
    # chance, and what is left of higher order is about sigma^2 of that.
    assert abs(found.statistics("offset")["mean"]) < 0.3
    y = np.stack([np.asarray(m.observed[0]) for m in measured])
    assert np.mean((np.sum(1 / y, 1) / np.sum(1 / y**2, 1) - 1) / found.errors[:, 0]) < -1


@pytest.mark.parametrize("noise", [Noise(0.2), Noise(0.1, 0.3), Noise(log=0.2)])
def test_draws_scatter_as_the_noise_says(noise):
    values = jnp.full((1, 4000), 2.0)
    drawn = np.asarray(noise.draw(values, key=jax.random.key(0)))
    sigma = np.asarray(noise.scale(values))
    off = np.log(drawn / 2.0) / 0.2 if noise.logarithmic else (drawn - 2.0) / sigma
    assert stats.kstest(off.ravel(), "norm").pvalue > 1e-3


def test_statistics_of_even_ranks():
    sets = 1000
    ranks = (np.arange(sets) + 0.5) / sets
    scores = -stats.norm.ppf(ranks)
    column = lambda v: np.asarray(v, float)[:, None]  # noqa: E731
    found = Calibration(
        names=("p",), true=column(np.ones(sets)), found=column(1 + 0.1 * scores),
        errors=column(np.full(sets, 0.1)), scores=column(scores), ranks=column(ranks),
        trusted=np.arange(sets) < 500, noise_factors=np.ones(sets), evaluations=np.ones(sets),
    )  # fmt: skip
    s = found.statistics("p")
    assert s["inside"] == pytest.approx(0.9)
    assert found.statistics("p", 0.5)["inside"] == pytest.approx(0.5)
    assert s["mean"] == pytest.approx(0, abs=1e-12)
    assert s["std"] == pytest.approx(1, rel=0.01)  # a thousand quantiles lack the tails
    # Two of a thousand evenly spread normal numbers lie beyond 3 (2.7 expected).
    assert s["within_3"] == pytest.approx(0.998)
    assert s["largest"] == pytest.approx(stats.norm.ppf(1 - 0.5 / sets))
    assert s["uniform"] > 0.999
    # The upper half of the true values: their scores are below zero's mirror image.
    half = found.only(found.trusted)
    assert half.true.shape == (500, 1)
    assert half.statistics("p")["uniform"] < 1e-6


def test_true_values_must_fit():
    result = fit(Straight(), lines(1)[0], FREE)
    with pytest.raises(ValueError, match=r"lacks \['slope'\]"):
        calibration([result], dict(offset=[1.0]))
    with pytest.raises(ValueError, match=r"must have shape \(1,\)"):
        calibration([result], dict(offset=[1.0, 2.0], slope=[1.0]))
    with pytest.raises(ValueError, match="at least one fit"):
        calibration([], {})
