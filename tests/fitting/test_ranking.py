"""Ranking of models: the true one first, the over-rich one not by BIC, failures as failures."""

import numpy as np
import pytest

from analogjax.devices import ConstantStep, LinearStep, SoftBounds
from analogjax.fitting import Candidate, Noise, PulseTrain, rank_models
from analogjax.fitting.ranking import criteria

SIGMA = 2e-7
AMPLITUDES = np.repeat([1.0, -1.0, 1.0], 20)


def steps(kind=LinearStep, **parameters):
    window = dict(w_min=-1.0, w_max=1.0, g_min=1e-6, g_max=25e-6)
    return kind(**(window | dict(dw_min=0.05) | parameters))


def trains(device, rows=6, seed=0):
    """Ramps up, down and up again from several states, with noise."""
    start = np.linspace(5e-6, 12e-6, rows)
    amplitudes = np.broadcast_to(AMPLITUDES, (rows, AMPLITUDES.size))
    blank = PulseTrain(
        amplitudes, 1e-6, None, np.ones(amplitudes.shape), initial_conductance=start
    )
    exact = np.asarray(blank.predict(device))
    noisy = exact + SIGMA * np.random.default_rng(seed).normal(size=exact.shape)
    return PulseTrain(
        amplitudes, 1e-6, None, noisy, initial_conductance=start, noise=Noise(absolute=SIGMA)
    )


@pytest.fixture(scope="module")
def truth():
    return steps(gamma_up=0.6, gamma_down=0.3)


@pytest.fixture(scope="module")
def ranking(truth):
    start = truth.replace(dw_min=0.04, gamma_up=0.4, gamma_down=0.4)
    names = ("dw_min", "gamma_up", "gamma_down")
    return rank_models(
        {
            "constant": (steps(ConstantStep), ("dw_min",)),
            "rich": (start, (*names, "g_max")),
            "soft": (steps(SoftBounds), ("dw_min", "w_max")),
            "linear": (start, names),
            "deaf": (start, ("dw_min", "c2c")),
        },
        trains(truth),
        folds=2,
    )


def test_truth_ranks_before_wrong_models(ranking):
    names = [n for n in ranking.names if n != "rich"]
    assert names[0] == "linear"
    # All that is left is the noise; 360 values scatter by 4 %, three parameters add 1 %.
    assert ranking["linear"].held_out == pytest.approx(1, abs=0.15)
    assert ranking["constant"].held_out > 3
    assert ranking["linear"].errors["pulses"] == pytest.approx(
        SIGMA * ranking["linear"].held_out, rel=1e-9
    )


def test_over_rich_model_does_not_win_by_bic(ranking):
    assert ranking["linear"].bic == 0
    assert 0 < ranking["rich"].bic < 10
    assert ranking["constant"].bic > 100
    assert sum(e.weight for e in ranking.entries if e.ok) == pytest.approx(1)


def test_failures_come_last_with_their_sentence(ranking):
    assert ranking.names[-1] == "deaf"
    assert "c2c" in ranking["deaf"].message
    text = ranking.describe()
    assert ranking["deaf"].message in text
    assert all(name in text for name in ranking.names)
    assert ranking.best.ok


def test_criteria_are_those_of_the_textbook(ranking):
    fitted = ranking["linear"].fit
    n, k = 360, 4  # three parameters and the noise factor
    squares = np.sum((fitted.residuals["pulses"] / SIGMA) ** 2)
    deviance = n * np.log(squares / n)
    aicc, bic = criteria(fitted)
    assert aicc == pytest.approx(deviance + 2 * k + 2 * k * (k + 1) / (n - k - 1), rel=1e-9)
    assert bic == pytest.approx(deviance + k * np.log(n), rel=1e-9)


def test_kept_back_measurements_are_predicted_by_the_fit_to_the_others(truth):
    seen, kept = trains(truth), trains(truth, seed=1)
    found = rank_models({"linear": (truth, ("dw_min",))}, seen, held_out=kept)
    predicted = np.asarray(kept.predict(found.best.fit.device))
    error = np.sqrt(np.mean((predicted - np.asarray(kept.observed)) ** 2))
    assert found.best.errors["pulses"] == pytest.approx(error, rel=1e-9)


def test_a_candidate_may_see_the_voltage_the_other_way_round(truth):
    turned = Candidate(truth, ("dw_min",), adapt=lambda m: m.reversed())
    found = rank_models({"as is": (truth, ("dw_min",)), "turned": turned}, trains(truth), folds=2)
    assert found.names == ("as is", "turned")


def test_refuses_what_cannot_be_ranked(truth):
    data = trains(truth)
    with pytest.raises(ValueError, match="dictionary of models"):
        rank_models({}, data)
    with pytest.raises(ValueError, match="at most the rows"):
        rank_models({"a": (truth, ("dw_min",))}, data, folds=7)
    with pytest.raises(ValueError, match="the same names"):
        rank_models({"a": (truth, ("dw_min",))}, data, held_out=data.called("other"))
    louder = Candidate(
        truth, ("dw_min",), adapt=lambda m: PulseTrain(AMPLITUDES, 1e-6, None, 2 * m.observed)
    )
    with pytest.raises(ValueError, match="changes `pulses`"):
        rank_models({"a": louder}, data)
