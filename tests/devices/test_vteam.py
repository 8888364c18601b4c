"""TEAM and VTEAM: closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.devices import TEAM, VTEAM
from analogjax.simulation import Rosenbrock, simulate
from analogjax.stimuli import pulse_train, triangle_sweep

TIGHT = Rosenbrock(1e-12, 1e-12)


def test_constant_voltage_moves_the_boundary_linearly_in_time():
    device = VTEAM()
    volts, width = np.array([0.1, -0.3, 0.02, -0.2, 0.5]), np.array([1e-7, 5e-10, 1.0, 1.0, 5e-8])
    result = simulate(
        device, pulse_train(volts, width=width), device.init_state(1e-9), solver=TIGHT
    )
    # Thresholds themselves (0.02 and -0.2 V) move nothing, for as long as one second.
    moves = [5e-4 * 4 * 1e-7, -10 * 0.5**3 * 5e-10, 0.0, 0.0, 5e-4 * 24 * 5e-8]
    np.testing.assert_allclose(
        jax.vmap(device.position)(result.state[1:]), 1e-9 + np.cumsum(moves), rtol=1e-9
    )


@pytest.mark.parametrize("iv", ["linear", "exponential"])
def test_resistance_follows_the_boundary(iv):
    device = VTEAM(iv=iv)
    w = jnp.asarray([0.0, 0.75e-9, 3e-9])
    share = np.asarray(w) / 3e-9
    expected = 50 + 950 * share if iv == "linear" else 50 * 20**share
    np.testing.assert_allclose(
        jax.vmap(lambda w: device.resistance(device.init_state(w)))(w), expected, rtol=1e-14
    )


def test_team_with_a_linear_resistance_solves_its_own_equation():
    # alpha = 1 and a linear R: dw/dt = k (v / (R i_off) - 1) separates for R.
    device = TEAM(alpha_off=1.0)
    v, w_0, seconds = 0.5, 1e-9, 300.0
    state = simulate(
        device, pulse_train([v], width=seconds), device.init_state(w_0), solver=TIGHT
    ).final_state
    r_0, r = 50 + 950 * w_0 / 3e-9, float(device.resistance(state))
    slope, top = 950 / 3e-9 * 8e-13, v / 115e-6
    # Integral of R dR / (top - R) is -R - top ln(top - R).
    elapsed = (-(r - r_0) - top * np.log((top - r) / (top - r_0))) / slope
    np.testing.assert_allclose(elapsed, seconds, rtol=1e-8)


def test_currents_below_both_thresholds_move_nothing():
    device = TEAM()
    state = device.init_state(1e-9)
    r = float(device.resistance(state))
    for i in (-8.8e-6, 114e-6, 0.0):
        assert float(device.velocity(jnp.asarray(i * r), state)) == 0.0
    assert float(device.velocity(jnp.asarray(-9.0e-6 * r), state)) < 0
    assert float(device.velocity(jnp.asarray(116e-6 * r), state)) > 0


def test_a_sweep_switches_fully_both_ways_and_is_pinched():
    device = VTEAM()
    result = simulate(device, triangle_sweep(1.0, 1e6, 1), device.init_state(0.0))
    r = np.asarray(result.read_resistance)
    assert r.max() == pytest.approx(1000.0)
    assert r[-1] == pytest.approx(50.0)
    # A quarter of a cycle has 50 points: these are at 0 V.
    np.testing.assert_allclose(result.i[jnp.asarray([0, 100, 200])], 0.0, atol=1e-12)


def test_kvatinsky_edges_are_in_metres():
    device = VTEAM(window="kvatinsky", a_off=2e-9, w_c=1e-10)
    free = VTEAM()
    state = device.init_state(1.9e-9)
    slow = device.velocity(jnp.asarray(0.1), state) / free.velocity(jnp.asarray(0.1), state)
    np.testing.assert_allclose(slow, np.exp(-np.exp(-1.0)), rtol=1e-12)
