"""Laws of relaxation against scipy's distributions; scores against integrals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from analogjax.fitting import (
    HoppingRelaxation,
    Mixture,
    NormalRelaxation,
    Reads,
    StudentRelaxation,
    coverage,
    maximum_likelihood,
    quantile_calibration,
)

G, T = np.array([5.0, 20.0, 35.0]), np.array([0.1, 1.0, 1e4])
X = np.linspace(-4, 4, 9)
POINTS = (np.repeat(G, 9), np.repeat(T, 9), np.tile(X, 3))


@eqx.filter_jit
def evaluated(law, g, t, x):
    mixture = law.change(g, t)
    return mixture.log_density(x), mixture.probability(x), mixture.moments()


def found(law):
    g, t, x = (jnp.asarray(v) for v in POINTS)
    return [np.asarray(v) for v in jax.tree.leaves(evaluated(law, g, t, x))]


def test_hops_are_normal_inverse_gaussian():
    law = HoppingRelaxation(skew=-0.2, skew_low=0.5, read=1e-9, read_high=1e-9)
    log_density, probability, mean, std = found(law)
    g, t, x = POINTS
    tau = np.log1p(t / 0.005)
    delta, place = tau * 0.25 * g / (g + 3), (g - 20) / 40
    gamma, beta = 0.2 * np.exp(0.3 * place + 3 * place**2), -0.2 + 0.5 / g
    alpha = np.hypot(gamma, beta)
    exact = stats.norminvgauss(alpha * delta, beta * delta, loc=-0.01 * tau, scale=delta)
    # 40 nodes: 1e-6 on average, more where a density is narrow.
    np.testing.assert_allclose(log_density, exact.logpdf(x), atol=2e-3)
    np.testing.assert_allclose(probability, exact.cdf(x), atol=1e-4)
    np.testing.assert_allclose(mean, exact.mean(), rtol=1e-4)
    np.testing.assert_allclose(std, exact.std(), rtol=1e-4)


def test_hops_have_independent_increments():
    # Mean and variance of a process of independent increments are linear in log time.
    law, g = HoppingRelaxation(read=1e-9, read_high=1e-9), jnp.full(3, 20.0)
    tau = np.array([2.0, 4.0, 8.0])
    mean, std = law.change(g, jnp.asarray(0.005 * np.expm1(tau))).moments()
    np.testing.assert_allclose(mean / tau, mean[0] / tau[0], rtol=1e-6)
    np.testing.assert_allclose(std**2 / tau, std[0] ** 2 / tau[0], rtol=1e-5)


def test_student_is_a_scale_mixture():
    law = StudentRelaxation(freedom=1.5)
    log_density, probability, *_ = found(law)
    g, t, x = POINTS
    tau, place = np.log1p(t / 0.01), (g - 20) / 40
    scale = (0.1 + 0.15 * tau) * g / (g + 4) * np.exp(-0.1 * place)
    freedom = 1.5 * np.exp(0.5 * place + 0.1 * tau)
    exact = stats.t(freedom, tau * (-0.02 - 0.01 * place), scale)
    np.testing.assert_allclose(log_density, exact.logpdf(x), atol=1e-3)
    np.testing.assert_allclose(probability, exact.cdf(x), atol=1e-4)


def test_scores_and_quantiles_of_a_mixture():
    weight = np.array([0.3, 0.7])
    mixture = Mixture(*(jnp.asarray(v) for v in (np.log(weight), [-1.0, 2.0], [0.5, 1.5])))

    def below(x):
        return float(weight @ stats.norm.cdf((x - np.array([-1.0, 2.0])) / [0.5, 1.5]))

    for x in (-2.0, 0.3, 4.0):
        left = integrate.quad(lambda y: below(y) ** 2, -12, x)[0]
        right = integrate.quad(lambda y: (1 - below(y)) ** 2, x, 14)[0]
        assert float(mixture.crps(jnp.asarray(x))) == pytest.approx(left + right, rel=1e-6)
        assert float(mixture.quantile(jnp.asarray(below(x)))) == pytest.approx(x, rel=1e-9)
    draw = jax.jit(jax.vmap(lambda key: mixture.sample(key=key)))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 20000)))
    mean, std = (float(v) for v in mixture.moments())
    # Four standard errors of 20,000 draws.
    assert drawn.mean() == pytest.approx(mean, abs=4 * std / np.sqrt(20000))
    assert drawn.std() == pytest.approx(std, rel=0.03)
    both = Mixture(*(jnp.stack([v, v]) for v in (mixture.log_weight, mixture.mean, mixture.std)))
    assert float(both.pooled().probability(jnp.asarray(0.3))) == pytest.approx(below(0.3))


def reads_of(law, count, seed=0):
    rng = np.random.default_rng(seed)
    g, t = rng.uniform(1, 39, count), 10 ** rng.uniform(-2, 1, count)
    change = law.change(jnp.asarray(g), jnp.asarray(t)).sample(key=jax.random.key(seed))
    return Reads(1e-6 * g, t, 1e-6 * (g + np.asarray(change)))


def test_parameters_are_recovered_and_predictions_calibrated():
    truth = NormalRelaxation(spread=0.2, growth=0.5, half=3.0)
    reads = reads_of(truth, 3000)
    estimate = maximum_likelihood(NormalRelaxation(), reads, ("drift", "spread", "growth", "half"))
    for name, value in estimate.parameters.items():
        off = value - float(getattr(truth, name))
        assert abs(off) < 3.5 * estimate.standard_errors[name]
    unseen = reads_of(truth, 4000, seed=1)
    law = estimate.model.change(unseen.start, unseen.time)
    probability = np.asarray(law.probability(unseen.change))
    share, error = coverage(probability, 0.9)
    assert abs(share - 0.9) < 3.5 * error
    by_ten = quantile_calibration(probability, np.arange(4000) % 10)
    assert by_ten.chi_squared[2] > 1e-3
    assert by_ten.within > 0.85
    wrong = quantile_calibration(probability**1.5, np.arange(4000) % 10)
    assert wrong.chi_squared[2] < 1e-6
    assert wrong.excess > 0.05


def test_chunks_change_nothing():
    law, reads = HoppingRelaxation(), reads_of(HoppingRelaxation(), 1500)
    whole = law.change(reads.start, reads.time).log_density(reads.change)
    np.testing.assert_allclose(jax.jit(lambda r: law.log_likelihood(r))(reads), whole, rtol=1e-10)


def test_refusals():
    with pytest.raises(ValueError, match="known reads"):
        Reads([1e-6], [np.nan], [1e-6])
    with pytest.raises(ValueError, match="`start` must be"):
        Reads([-1e-6], [1.0], [1e-6])
    with pytest.raises(ValueError, match="must be one of"):
        HoppingRelaxation(activities=1.0)
    with pytest.raises(ValueError, match="`quantiles` must rise"):
        quantile_calibration([0.5, 0.2], quantiles=(0.5, 0.1))
    with pytest.raises(ValueError, match="`groups` must have shape"):
        quantile_calibration([0.5, 0.2], [1])
