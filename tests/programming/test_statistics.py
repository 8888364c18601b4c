"""Statistics of level tables, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analogjax.programming import (
    LevelTable,
    absolute_error,
    cumulative,
    describe,
    monotone_fraction,
    overlap,
    overlap_fraction,
    repeat_difference,
    resolvable_levels,
)


def table(errors, space="R"):
    """A table with these errors (fractions of the window), R from 2e5 down to 1e5 ohm."""
    errors = np.asarray(errors, float)
    repeats, n = errors.shape
    u = np.linspace(0, 1, n)
    to_r = (lambda u: 2e5 - 1e5 * u) if space == "R" else (lambda u: 1 / (1 / 2e5 + u * (1 / 2e5)))
    zero = np.zeros((repeats, n))
    achieved = to_r(u + errors)
    return LevelTable(
        target=to_r(u), achieved=achieved, reading=achieved, met=zero == 0,
        pulses=zero.astype(int) + 2, time=zero + 0.5, energy=zero + 1e-6,
        delays=np.array([1.0]), reread=achieved[None], r_high=2e5, r_low=1e5, space=space,
        status=np.zeros(repeats, int), device="toy", controller="none", noise="none",
    )  # fmt: skip


@pytest.mark.parametrize("space", ["R", "G"])
def test_bow_and_random_error_come_apart(space):
    # 40 repeats x 64 levels: s known to 1.4 %.
    rng = np.random.default_rng(0)
    bow = 0.01 * np.sin(np.pi * np.linspace(0, 1, 64))
    made = table(bow + 0.002 * rng.standard_normal((40, 64)), space)
    value, low, high = absolute_error(made)
    assert low < value < high
    assert value == pytest.approx(0.002, rel=0.06)
    # The mean of 40 repeats is known to 0.002 / sqrt(40); the largest of 64 deviations below four.
    np.testing.assert_allclose(made.bow, bow, atol=4 * 0.002 / np.sqrt(40))


def test_confidence_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = [
        low <= 1e-3 <= high
        for _ in range(300)
        for _, low, high in [absolute_error(table(1e-3 * rng.standard_normal((5, 6))))]
    ]
    # Binomial: 95 % of 300 with a standard deviation of 1.3 %.
    assert np.mean(hits) == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize(
    ("s", "probability"), [(0.1, 5.7e-7), (0.2, 1.24e-2), (0.5, 0.317), (0.194, 0.01)]
)
def test_overlap_of_neighbours(s, probability):
    # Printed with two or three digits in the specification (5.3); the last is its 1 % rule.
    assert overlap(s) == pytest.approx(probability, rel=0.02)


def test_overlap_of_nothing():
    assert overlap(0) == 0.0


def test_resolvable_levels_are_the_last_that_do_not_overlap():
    for s in (1e-2, 3e-3, 3.7e-4):
        n = resolvable_levels(s)
        assert overlap(s * (n - 1)) <= 0.01 < overlap(s * n)
    with pytest.raises(ValueError, match="`s_abs` must be finite and above 0"):
        resolvable_levels(0.0)


def test_counted_overlap_and_order():
    # Pitch 0.25: an error of 0.2 is beyond half a pitch but keeps the order, 0.3 does not.
    made = table([[0, 0.2, 0, 0, 0], [0, 0.3, 0, 0, 0]])
    assert overlap_fraction(made) == pytest.approx(2 / 10)
    assert monotone_fraction(made) == pytest.approx(7 / 8)


def test_cumulative_probability_of_normal_numbers():
    values, probability = cumulative(np.append(np.random.default_rng(2).normal(size=2000), np.nan))
    assert values.size == 2000
    assert probability[0] == 0.5 / 2000
    # Kolmogorov: 95 % of samples of 2000 stay within 1.36 / sqrt(2000).
    assert np.abs(stats.norm.cdf(values) - probability).max() < 1.36 / np.sqrt(2000)


def test_nonlinearity_and_difference_of_repeats():
    made = table([[0.0, 0.03, -0.04], [0.0, 0.0, 0.0]])
    assert made.nonlinearity["max"] == pytest.approx(0.04)
    assert made.nonlinearity["mean"] == pytest.approx(0.07 / 6)
    assert made.nonlinearity["rms"] == pytest.approx(np.sqrt(0.0025 / 6))
    assert repeat_difference(made)["mean"] == pytest.approx(np.sqrt(0.0025 / 3))
    assert describe(made)["pulses_mean"] == 2.0


def test_one_repeat_has_no_random_error():
    with pytest.raises(ValueError, match="`table` must have a level that 2 repeats reached"):
        absolute_error(table([[0.0, 0.0]]))


def test_levels_that_were_not_reached_do_not_count():
    made = table([[0.0, 0.01, np.nan], [0.0, -0.01, 0.02], [0.0, 0.0, -0.02]])
    assert made.failed == 1
    assert made.missed == 0
    assert np.isfinite(absolute_error(made)).all()


def test_shapes_must_fit():
    good = table([[0.0, 0.0]]).to_arrays()
    with pytest.raises(ValueError, match=r"`achieved` must have shape \(repeats, n_levels\)"):
        LevelTable.from_arrays(good | {"achieved": np.zeros(3)})
