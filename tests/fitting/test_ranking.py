"""Ranking of models: the true one first, the over-rich one not by BIC, failures as failures."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.fitting import Candidate, rank_models
from analogjax.fitting.ranking import criteria

SIGMA = 0.1
ROWS, POINTS = 6, 20
T = np.linspace(0, 1, POINTS)


@pytest.fixture(scope="module")
def made(curves):
    """Measured lines of slope 3, by seed."""

    def make(seed=0):
        noise = SIGMA * np.random.default_rng(seed).normal(size=(ROWS, POINTS))
        return curves.Curve(T, 2 + 3 * T + noise, SIGMA)

    return make


@pytest.fixture(scope="module")
def line(curves):
    return curves.coefficients(), ("b", "a")


@pytest.fixture(scope="module")
def ranking(curves, made, line):
    return rank_models(
        {
            "constant": (curves.coefficients(a=0.0), ("b",)),
            "parabola": (curves.coefficients(a_up=0.1), ("b", "a", "a_up")),
            "deaf": (curves.coefficients(), ("b", "a", "c2c")),
            "line": line,
        },
        made(),
        folds=2,
    )


def test_truth_ranks_before_a_wrong_model(ranking):
    names = [name for name in ranking.names if name != "parabola"]
    assert names == ["line", "constant", "deaf"]
    # What is left is the noise: 120 values know it to 6 %, half of them know two numbers.
    assert ranking["line"].held_out == pytest.approx(1, abs=0.2)
    assert ranking["constant"].held_out > 5
    assert ranking["line"].errors["curve"] == pytest.approx(SIGMA * ranking["line"].held_out)
    assert ranking["line"].r_squared["curve"] > 0.98


def test_held_out_error_is_that_of_fits_to_the_other_rows(ranking, made):
    y = np.asarray(made().observed)
    design = np.stack([np.ones(POINTS), T], axis=1)
    squares = 0.0
    for fold in range(2):
        seen, kept = y[np.arange(ROWS) % 2 != fold], y[np.arange(ROWS) % 2 == fold]
        line = design @ np.linalg.lstsq(design, seen.mean(0), rcond=None)[0]
        squares += np.sum((kept - line) ** 2)
    expected = np.sqrt(squares / y.size) / SIGMA
    # A fit ends within a hundredth of a standard error, which is sigma sqrt(2 / 60).
    assert ranking["line"].held_out == pytest.approx(expected, rel=1e-3)


def test_over_rich_model_does_not_win_by_bic(ranking):
    assert ranking["line"].bic == 0
    assert 0 < ranking["parabola"].bic < np.log(ROWS * POINTS) + 0.1
    assert ranking["constant"].bic > 100
    assert sum(e.weight for e in ranking.entries if e.ok) == pytest.approx(1)


def test_criteria_are_those_of_the_textbook(ranking):
    fitted = ranking["line"].fit
    n, k = ROWS * POINTS, 3  # two parameters and the noise factor
    deviance = n * np.log(np.sum((fitted.residuals["curve"] / SIGMA) ** 2) / n)
    aicc, bic = criteria(fitted)
    assert aicc == pytest.approx(deviance + 2 * k + 2 * k * (k + 1) / (n - k - 1), rel=1e-9)
    assert bic == pytest.approx(deviance + k * np.log(n), rel=1e-9)
    known = dataclasses.replace(fitted, known_noise=True)
    assert criteria(known)[1] == pytest.approx(fitted.optimum.cost + 2 * np.log(n), rel=1e-9)


def test_failures_come_last_with_their_sentence(ranking):
    assert ranking.names[-1] == "deaf"
    assert "`c2c` must have an influence" in ranking["deaf"].message
    text = ranking.describe()
    assert ranking["deaf"].message in text
    assert all(name in text for name in ranking.names)
    assert ranking.best.ok


def test_measurements_kept_back_are_predicted_by_the_fit_to_the_others(line, made):
    kept = made(seed=1)
    found = rank_models({"line": line}, made(), held_out=kept)
    predicted = np.asarray(kept.predict(found.best.fit.device))
    error = np.sqrt(np.mean((predicted - np.asarray(kept.observed)) ** 2))
    assert found.best.errors["curve"] == pytest.approx(error, rel=1e-9)


def test_points_may_be_kept_back_of_a_single_row(line, curves, made):
    one = curves.Curve(T, made().observed[:1], SIGMA)
    assert rank_models({"line": line}, one, folds=3, by="points").best.held_out < 2
    with pytest.raises(ValueError, match=r"at most the rows of `curve` \(1\), but is 3"):
        rank_models({"line": line}, one, folds=3)


def test_refuses_what_cannot_be_ranked(line, curves, made):
    data = made()
    with pytest.raises(ValueError, match="dictionary of models"):
        rank_models({}, data)
    with pytest.raises(ValueError, match="the same names"):
        rank_models({"line": line}, data, held_out=data.called("other"))
    louder = Candidate(*line, adapt=lambda m: curves.Curve(T, 2 * jnp.abs(m.observed), SIGMA))
    with pytest.raises(ValueError, match="changes `curve`"):
        rank_models({"line": louder}, data)
