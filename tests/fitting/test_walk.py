"""Random walk read with noise: against its covariance matrix, and estimated from draws."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.fitting import RandomWalk, estimate_walk, fit
from analogjax.fitting.walk import carried

STEP, READ, POINTS = 0.7, 0.4, 12


def covariance(growth, read=READ):
    """Of levels off their prediction: the walk, the first reading carried on, and readings."""
    total, level = np.zeros((POINTS, POINTS)), np.zeros((POINTS, POINTS + 1))
    row = np.zeros(POINTS + 1)
    row[0] = read
    for k in range(POINTS):
        row = row * growth[k]
        row[k + 1] = STEP
        level[k] = row
    return total + level @ level.T + read**2 * np.eye(POINTS)


@pytest.fixture(scope="module")
def law():
    """Predicted levels whose steps grow."""
    return jnp.asarray(np.cumsum(1.1 ** np.arange(POINTS))[None])


@pytest.mark.parametrize("feedback", [False, True])
def test_residuals_are_whitened_by_the_covariance(law, feedback):
    noise = RandomWalk(STEP, READ, like=law if feedback else None)
    growth = np.asarray(carried(law))[0] if feedback else np.ones(POINTS)
    # Steps grow by 1.1; the first two points have no two steps before them.
    assert growth[2:] == pytest.approx(1.1 if feedback else 1.0)
    off = np.random.default_rng(0).normal(size=(1, POINTS))
    known = np.ones((1, POINTS), bool)
    got = noise.residual(law + off, law, jnp.asarray(known))
    expected = np.linalg.solve(np.linalg.cholesky(covariance(growth)), off[0])
    np.testing.assert_allclose(np.asarray(got)[0], expected, rtol=1e-10)
    spread = np.asarray(noise.spread(1, POINTS))[0]
    np.testing.assert_allclose(spread, np.sqrt(np.diag(covariance(growth))), rtol=1e-12)


def test_missing_values_are_passed_over(law):
    noise = RandomWalk(STEP, READ)
    off = np.random.default_rng(1).normal(size=(1, POINTS))
    known = np.ones((1, POINTS), bool)
    known[0, [0, 4, 5, 11]] = False
    got = np.asarray(noise.residual(law + off, jnp.where(known, law, jnp.nan), jnp.asarray(known)))
    part = covariance(np.ones(POINTS))[np.ix_(known[0], known[0])]
    expected = np.linalg.solve(np.linalg.cholesky(part), off[known])
    np.testing.assert_allclose(got[known], expected, rtol=1e-10)
    assert (got[~known] == 0).all()


def test_estimate_recovers_what_was_drawn():
    rng = np.random.default_rng(2)
    rows, points = 40, 100
    walk = STEP * rng.normal(size=(rows, points)).cumsum(1)
    off = walk + READ * rng.normal(size=(rows, points)) + READ * rng.normal(size=(rows, 1))
    noise, likelihood = estimate_walk(np.zeros((rows, points)), off, feedback=False)
    # 4000 steps: some 2 % for the steps, 3 % for the readings.
    assert float(noise.step) == pytest.approx(STEP, rel=0.06)
    assert float(noise.absolute) == pytest.approx(READ, rel=0.1)
    # Independent values of the same size are far less likely.
    white = -0.5 * off.size * (np.log(2 * np.pi * off.var()) + 1)
    assert likelihood > white + 1000


def test_derivative_is_that_of_differences(law):
    noise = RandomWalk(STEP, READ, like=law)
    known = jnp.ones(law.shape, bool)

    def cost(scale):
        return jnp.sum(noise.residual(scale * law, law, known) ** 2)

    slope = jax.jit(jax.grad(cost))(1.2)
    differences = (cost(1.2001) - cost(1.1999)) / 2e-4  # exact: a parabola
    assert float(slope) == pytest.approx(float(differences), rel=1e-8)


def test_refuses_what_is_no_walk():
    with pytest.raises(ValueError, match="`step` must be finite and above 0"):
        RandomWalk(0.0, 1.0)
    with pytest.raises(ValueError, match="`read` must be"):
        RandomWalk(1.0, -1.0)
    with pytest.raises(ValueError, match="must differ from `predicted`"):
        estimate_walk(np.ones((2, 5)), np.ones((2, 5)))


def test_band_of_a_fit_under_a_walk_is_that_of_predicted_values(curves):
    """A line through a walk: the band grows with the walk; its device's part is `J C J^T`."""
    t, rng = np.linspace(0, 1, POINTS), np.random.default_rng(6)
    off = 0.1 * rng.normal(size=(4, POINTS)).cumsum(axis=1)
    measured = curves.Curve(t, 2 + 3 * t + off, 1.0)
    measured = eqx.tree_at(lambda c: c.noise, measured, RandomWalk(0.1, 0.01))
    found = fit(curves.coefficients(), measured, ("b", "a"), known_noise=True)
    band = found.band("curve", level=0.9)
    design = np.stack([np.ones(POINTS), t], axis=1)
    device = np.sqrt(np.einsum("pi,ij,pj->p", design, found.covariance, design))
    reach = 1.6448536  # normal quantile of 95 %
    np.testing.assert_allclose((band.high - band.low)[0] / 2, reach * device, rtol=1e-3)
    whole = np.hypot(device, np.sqrt(0.01 * np.arange(1, POINTS + 1) + 2e-4))
    np.testing.assert_allclose(
        (band.measured_high - band.measured_low)[0] / 2, reach * whole, rtol=1e-3
    )
