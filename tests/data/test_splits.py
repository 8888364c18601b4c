"""Stratified splits keep every class's share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from analogjax.data import standardised_split
from analogjax.data._splits import stratified


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    fraction=st.floats(0, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_shares_are_kept(counts, fraction, seed):
    y = np.random.RandomState(0).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held_out = stratified(y, fraction, seed)
    assert sorted([*kept, *held_out]) == list(range(len(y)))
    held = np.bincount(y[held_out], minlength=len(counts))
    assert (np.abs(held - fraction * np.array(counts)) <= 1).all()
    assert (held < counts).all()
    again = stratified(y, fraction, seed)
    np.testing.assert_array_equal(again[0], kept)
    np.testing.assert_array_equal(again[1], held_out)


def test_as_many_of_each_class_as_scikit_learn_holds_out():
    y = np.repeat(np.arange(3), [101, 57, 33])
    _, ours = stratified(y, 0.2, 0)
    splitter = StratifiedShuffleSplit(1, test_size=0.2, random_state=0)
    _, theirs = next(splitter.split(y[:, None], y))
    difference = np.abs(np.bincount(y[ours]) - np.bincount(y[theirs]))
    # Both round to whole samples, each in its own way.
    assert difference.max() <= 1
    assert abs(len(ours) - len(theirs)) <= 1


def test_standardised_by_what_is_kept():
    x, y = np.random.RandomState(0).normal(3.0, 2.0, (90, 4)), np.repeat(np.arange(3), 30)
    kept, held_out = standardised_split(x, y, 0.3, 5)
    assert (len(kept.y), len(held_out.y)) == (63, 27)
    # Rounding of float32.
    np.testing.assert_allclose(kept.x.mean(0), 0.0, atol=1e-6)
    np.testing.assert_allclose(kept.x.std(0), 1.0, atol=1e-6)
    of_kept, of_held = stratified(y, 0.3, 5)
    scale, middle = x[of_kept].std(0), x[of_kept].mean(0)
    np.testing.assert_allclose(held_out.x, (x[of_held] - middle) / scale, atol=1e-6)


def test_order_is_random():
    kept, held_out = stratified(np.repeat(np.arange(10), 30), 0.2, 0)
    for indices in (kept, held_out):
        assert (np.diff(indices) < 0).any()
        # The first thirty of a sorted set would be of one class.
        assert len(np.unique(indices[:30] // 30)) > 5
