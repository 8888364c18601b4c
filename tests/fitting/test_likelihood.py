"""Maximum likelihood against closed forms, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from analogjax.devices import parameter
from analogjax.fitting import AbstractStatisticalModel, FitError, maximum_likelihood
from analogjax.fitting.statistics.newton import invert

INFINITE = float("inf")


class Normal(AbstractStatisticalModel):
    """A normal distribution; `twin` takes part only as a product with `sigma`."""

    mean: Float[Array, ""] = parameter(0.0, "V", "mean", "assumed", low=-INFINITE)
    sigma: Float[Array, ""] = parameter(1.0, "V", "spread", "assumed")
    twin: Float[Array, ""] = parameter(1.0, "-", "factor of the spread", "assumed")

    def __init__(self, **values):
        for name, declared in self.PARAMETERS.items():
            value = values.get(name, declared.default)
            setattr(self, name, jnp.asarray(value, jnp.result_type(float)))

    def log_likelihood(self, data):
        return jax.scipy.stats.norm.logpdf(data, self.mean, self.sigma * self.twin)


DATA = jnp.asarray(np.random.default_rng(0).normal(3.0, 0.2, 400))


@pytest.fixture(scope="module")
def estimate():
    return maximum_likelihood(Normal(), DATA, ("mean", "sigma"))


def test_a_normal_distribution_has_closed_forms(estimate):
    values, count = np.asarray(DATA), len(DATA)
    # The search ends within a hundredth of a standard error.
    assert estimate.parameters["mean"] == pytest.approx(values.mean(), abs=1e-4)
    assert estimate.parameters["sigma"] == pytest.approx(values.std(), rel=1e-3)
    sigma = values.std()
    assert estimate.standard_errors["mean"] == pytest.approx(sigma / np.sqrt(count), rel=1e-3)
    assert estimate.standard_errors["sigma"] == pytest.approx(sigma / np.sqrt(2 * count), rel=5e-3)
    log = np.sum(-0.5 * ((values - values.mean()) / sigma) ** 2 - np.log(sigma))
    log -= 0.5 * count * np.log(2 * np.pi)
    assert estimate.log_likelihood == pytest.approx(log, abs=1e-3)
    assert estimate.aic == pytest.approx(4 - 2 * log, abs=2e-3)
    assert estimate.bic == pytest.approx(2 * np.log(count) - 2 * log, abs=2e-3)
    # Mean and spread of a normal distribution are told apart completely.
    assert abs(estimate.correlation[0, 1]) < 1e-3
    # The sandwich: the scatter of the scores, which for the mean is the same to first order.
    assert estimate.robust_errors["mean"] == pytest.approx(sigma / np.sqrt(count), rel=1e-3)


def test_intervals_profiles_and_samples_agree(estimate):
    low, high = estimate.interval(0.9)["mean"]
    half = 1.6448536 * estimate.standard_errors["mean"]
    assert (low, high) == pytest.approx(
        (estimate.parameters["mean"] - half, estimate.parameters["mean"] + half), rel=1e-6
    )
    profile = estimate.profile("mean", points=7)
    # Nearly a parabola: ln(1 + x^2 / n) against x^2 / n.
    assert profile.interval(0.9) == pytest.approx((low, high), abs=0.02 * half)
    draws = estimate.draws(4000, key=jax.random.key(0))
    # 4000 draws know a standard deviation to 1.1 %, here four times that.
    assert np.std(draws[:, 0]) == pytest.approx(estimate.standard_errors["mean"], rel=0.045)
    assert "mean" in estimate.describe()
    assert "NOT TO BE TRUSTED" not in str(estimate)


def test_bootstrap_scatters_as_the_standard_errors(estimate):
    fitted = estimate.bootstrap(30, seed=1)
    ratio = np.std(fitted, axis=0, ddof=1) / list(estimate.standard_errors.values())
    # 30 resamplings know a standard deviation to 13 %, here three times that.
    assert ratio == pytest.approx(np.ones(2), rel=0.4)


def test_weights_count_observations(estimate):
    half = DATA[:200]
    weights = np.r_[np.ones(200), np.zeros(200)]
    weighted = maximum_likelihood(Normal(), DATA, ("mean", "sigma"), weights=weights)
    assert weighted.observations == 200
    assert weighted.parameters["mean"] == pytest.approx(float(np.mean(half)), abs=1e-4)
    assert weighted.log_likelihood_of(half).sum() == pytest.approx(weighted.log_likelihood)
    with pytest.raises(ValueError, match=r"`weights` must have shape \(400,\)"):
        maximum_likelihood(Normal(), DATA, ("mean",), weights=np.ones(3))


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(FitError, match=r"must tell the free parameters apart.*sigma\^1 x twin\^1"):
        maximum_likelihood(Normal(), DATA, ("sigma", "twin"))
    found = maximum_likelihood(Normal(), DATA, ("sigma", "twin"), throw=False)
    assert not found.ok
    assert np.isinf(found.standard_errors["twin"])
    assert "NOT TO BE TRUSTED" in str(found)
    # All alike: the spread runs to its bound, and the likelihood to infinity.
    with pytest.raises(FitError):
        maximum_likelihood(Normal(), jnp.ones(400), ("mean", "sigma"))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="must name parameters of Normal, but names `sigm`"):
        maximum_likelihood(Normal(), DATA, ("sigm",))
    with pytest.raises(ValueError, match="must be a tuple of parameter names"):
        maximum_likelihood(Normal(), DATA, ())
    with pytest.raises(ValueError, match="must start strictly between 2 and 3 V"):
        maximum_likelihood(Normal(), DATA, ("sigma",), bounds={"sigma": (2.0, 3.0)})
    with pytest.raises(ValueError, match="log-likelihood of observation 1 is nan"):
        maximum_likelihood(Normal(), jnp.array([1.0, np.nan]), ("mean",))
    with pytest.raises(ValueError, match="`sigma`"):
        Normal().replace(sigma=-1.0)


def test_inverse_of_an_information_matrix():
    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(invert(matrix), np.linalg.inv(matrix), rtol=1e-12)
    assert np.isinf(invert(np.array([[1.0, 1.0], [1.0, 1.0]]))).all()
