"""Bits that a network needs."""

from __future__ import annotations

import pytest

from analogjax.networks import fewest_bits


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ((0.5, 0.95, 0.96), 2),
        # In any case from there on: a lucky depth below a bad one does not count.
        ((0.96, 0.8, 0.96), 3),
        ((0.96, 0.96, 0.96), 1),
        ((0.96, 0.96, 0.90), 0),
    ],
)
def test_fewest_bits(accuracy, expected):
    assert fewest_bits([1, 2, 3], accuracy, 0.955) == expected
    # The order in which depths are given does not matter.
    assert fewest_bits([3, 1, 2], [accuracy[k] for k in (2, 0, 1)], 0.955) == expected


def test_margin():
    assert fewest_bits([1, 2], [0.90, 0.97], 0.98, margin=0.1) == 1
    with pytest.raises(ValueError, match="`margin` must be finite and at least 0, but is -1"):
        fewest_bits([1], [0.9], 0.9, margin=-1.0)
