"""Bits that a network needs."""

from __future__ import annotations

import pytest

from analogjax.networks import fewest_bits, tolerated_width


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


def test_tolerated_width_of_a_triangle_and_of_what_never_falls():
    """0.9 - |x| is a point below its top at |x| = 0.01, half-way between two offsets or not."""
    offsets = [-0.06, -0.004, 0.0, 0.002, 0.03]
    accuracy = [0.9 - abs(x) for x in offsets]
    assert tolerated_width(offsets, accuracy) == pytest.approx(0.02, rel=1e-12)
    assert tolerated_width(offsets, accuracy, margin=0.03) == pytest.approx(0.06, rel=1e-12)
    assert tolerated_width(offsets, [0.9] * 5) == pytest.approx(0.09, rel=1e-12)
    # What rises again beyond a dip does not count.
    assert tolerated_width([0.0, 1.0, 2.0], [0.9, 0.5, 0.9]) == pytest.approx(0.025, rel=1e-12)


@pytest.mark.parametrize("offsets", [[0.1, 0.2], [0.0, 0.0], [1.0, 0.0]])
def test_offsets_must_rise_and_hold_zero(offsets):
    with pytest.raises(ValueError, match="Argument `offsets` must rise and hold 0, but is"):
        tolerated_width(offsets, [0.9, 0.9])
