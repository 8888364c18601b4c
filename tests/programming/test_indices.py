"""Figures of merit against traces whose figures are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.programming import (
    closure,
    nonlinearity,
    pearson,
    rms_difference,
    window,
    window_ratio,
)


def test_a_straight_line_is_linear():
    assert all(float(v) < 1e-15 for v in nonlinearity(jnp.linspace(3.0, 1.0, 11)).values())


def test_nonlinearity_of_a_parabola():
    x = np.linspace(0, 1, 2001)
    measured = nonlinearity(x**2)
    # |x^2 - x|: 1/4 at most, 1/6 in the mean, 1/sqrt(30) rms; the sums are exact to 1/n.
    assert float(measured["max"]) == pytest.approx(0.25, rel=1e-3)
    assert float(measured["mean"]) == pytest.approx(1 / 6, rel=1e-3)
    assert float(measured["rms"]) == pytest.approx(30**-0.5, rel=1e-3)


def test_pearson_is_blind_to_what_rms_difference_sees():
    first = jnp.linspace(1.0, 2.0, 50)
    assert float(pearson(first, 3 * first + 1)) == pytest.approx(1.0, abs=1e-12)
    assert float(rms_difference(first, first + 0.1)) == pytest.approx(0.1, rel=1e-12)


def test_window_and_closure():
    trace = jnp.array([2.0, 1.0, 1.5, 2.5, 2.2])
    assert float(window(trace)) == 1.5
    assert float(window_ratio(trace)) == 2.5
    assert float(closure(trace)) == pytest.approx(0.2 / 1.5, rel=1e-12)


def test_indices_are_differentiable():
    slope = jax.grad(lambda t: nonlinearity(t)["rms"])(jnp.array([0.0, 0.4, 0.5, 1.0]))
    assert np.all(np.isfinite(slope))
    assert np.any(slope != 0)
