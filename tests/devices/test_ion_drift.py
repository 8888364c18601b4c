"""Linear ion drift and its windows: closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analogjax.devices import LinearIonDrift
from analogjax.devices import _windows as windows
from analogjax.simulation import Rosenbrock, simulate
from analogjax.stimuli import piecewise, pulse_train

TIGHT = Rosenbrock(1e-12, 1e-12)
UP, DOWN = jnp.asarray(True), jnp.asarray(False)


def closed_form(device, x_0, flux):
    """State after a flux [V s]: the charge solves R_off q + (R_on - R_off)(x_0 q + k q^2/2)."""
    r_on, r_off = float(device.r_on), float(device.r_off)
    k = float(device.mobility * device.r_on / device.thickness**2)
    a, b = (r_on - r_off) * k / 2, r_off + (r_on - r_off) * x_0
    flux = np.asarray(flux)
    q = 2 * flux / (b + np.sqrt(b**2 + 4 * a * flux))
    return x_0 + k * q


def test_state_and_charge_obey_the_relation_of_flux():
    device = LinearIonDrift(x_0=0.2)
    volts, width = np.array([1.0, -0.4, 2.0, -1.5]), np.array([0.2, 0.3, 0.05, 0.1])
    result = simulate(device, pulse_train(volts, width=width), solver=TIGHT)
    expected = closed_form(device, 0.2, np.cumsum(volts * width))
    # Both sides in double precision, the solver at 1e-12.
    np.testing.assert_allclose(result.state[1:], expected, rtol=1e-9)


def test_a_ramp_has_the_flux_of_its_mean():
    device = LinearIonDrift("film_85nm", x_0=0.2)
    drive = piecewise(np.array([0.0, 2.0]), np.array([2.0, -1.0]), width=np.array([0.4, 0.8]))
    result = simulate(device, drive, solver=TIGHT)
    np.testing.assert_allclose(result.state[1:], closed_form(device, 0.2, [0.4, 0.8]), rtol=1e-9)


def test_the_bounds_hold_and_let_go():
    device = LinearIonDrift(x_0=0.5)
    result = simulate(device, pulse_train([5.0, 5.0, -1.0], width=[10.0, 1.0, 0.1]), solver=TIGHT)
    assert np.all(np.asarray(result.state[1:3]) == 1.0)
    np.testing.assert_allclose(result.state[3], closed_form(device, 1.0, -0.1), rtol=1e-9)


def test_a_ramp_that_changes_sign_leaves_the_bound_at_zero_volts():
    device = LinearIonDrift(x_0=0.0)
    drive = piecewise(np.array([-1.0]), np.array([1.0]), width=np.array([0.4]))
    result = simulate(device, drive, solver=TIGHT)
    # Nothing happens until 0 V; then half the width at 0.5 V on the average.
    np.testing.assert_allclose(result.state[1], closed_form(device, 0.0, 0.1), rtol=1e-8)


def test_windows_have_their_published_values():
    x = jnp.linspace(0, 1, 5)
    np.testing.assert_allclose(windows.joglekar(x, 1.0), 4 * x * (1 - x), atol=1e-15)
    np.testing.assert_allclose(windows.joglekar(x, 7.0), 1 - (2 * x - 1) ** 14, atol=1e-15)
    np.testing.assert_allclose(windows.biolek(x, UP, 2.0), 1 - x**4, atol=1e-15)
    np.testing.assert_allclose(windows.biolek(x, DOWN, 2.0), 1 - (x - 1) ** 4, atol=1e-15)
    middle = windows.prodromakis(jnp.asarray(0.5), 3.0, 2.0)
    np.testing.assert_allclose(middle, 2 * (1 - 0.75**3), rtol=1e-15)
    ends = windows.prodromakis(jnp.asarray([0.0, 1.0]), 3.0, 2.0)
    np.testing.assert_allclose(ends, 0.0, atol=1e-15)
    edge = windows.kvatinsky(jnp.asarray([0.0, 0.5, 1.0]), UP, 0.0, 1.0, 1e-3)
    np.testing.assert_allclose(edge, [1.0, 1.0, np.exp(-1)], rtol=1e-15)
    edge = windows.kvatinsky(jnp.asarray([-1.0, 0.0, 0.5]), DOWN, 0.0, 1.0, 1e-3)
    np.testing.assert_allclose(edge, [0.0, np.exp(-1), 1.0], rtol=1e-15)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1), st.floats(0.5, 10), st.booleans())
def test_windows_lie_between_zero_and_one_with_finite_slopes(x, p, upwards):
    for window in (
        lambda x, p: windows.joglekar(x, p),
        lambda x, p: windows.biolek(x, jnp.asarray(upwards), p),
        lambda x, p: windows.prodromakis(x, p, 1.0),
        lambda x, p: windows.kvatinsky(x, jnp.asarray(upwards), 0.1, 0.9, 1e-4 * p),
    ):
        value, slopes = jax.value_and_grad(window, argnums=(0, 1))(jnp.asarray(x), jnp.asarray(p))
        assert -1e-12 <= float(value) <= 1
        assert np.all(np.isfinite(slopes))


def test_joglekar_holds_a_state_at_an_end_and_biolek_lets_it_come_back():
    drive = pulse_train([-1.0], width=0.1)
    after = {
        name: float(simulate(LinearIonDrift(window=name, x_0=1.0), drive).final_state)
        for name in ("joglekar", "biolek")
    }
    assert after["joglekar"] == 1.0
    assert after["biolek"] < 0.99


def test_a_preset_brings_its_window():
    assert LinearIonDrift("joglekar_27nm").window == "joglekar"
    assert LinearIonDrift("joglekar_27nm", window="none").window == "none"
    assert float(LinearIonDrift("joglekar_27nm").window_exponent) == 7.0
    with pytest.raises(ValueError, match="`preset` must be one of"):
        LinearIonDrift("hp")
