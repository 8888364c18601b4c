"""Conductance after n identical pulses: against the solver, closed forms and differences."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import analogjax as aj
from analogjax.programming import IdenticalPulses, pulse_trace
from analogjax.programming.identical_pulses import _integral

PULSES = IdenticalPulses()
WRITES = ("set", "reset")
FILAMENT = aj.devices.JartVCM()


@pytest.fixture(scope="module")
def trace():
    """Compiled once for all tests of the filament."""
    compiled = eqx.filter_jit(pulse_trace)

    def call(axis, device=FILAMENT, width=PULSES.width):
        given = (PULSES.start(axis), PULSES.volts(axis), width)
        return compiled(device, *(jnp.asarray(x, float) for x in given), points=1001)

    return call


def test_a_filament_ends_where_another_solver_says(trace):
    """n pulses of 1 us are one of n us: LSODA solves that one."""
    # Before, within and after the steep part.
    counts = {"set": [1000.0, 3420.0, 3500.0, 6000.0], "reset": [1000.0, 4110.0, 4170.0, 6000.0]}
    conductance, states = _table()
    velocity = jax.jit(lambda v, x: FILAMENT.velocity(v, x))  # a device is no hashable function
    for axis in WRITES:
        # From densities, so that where a trace begins is known without it.
        start = float(np.interp(PULSES.start(axis), conductance, states))
        volts = jnp.asarray(PULSES.volts(axis), float)
        times = np.array(counts[axis]) * PULSES.width
        solved = solve_ivp(
            lambda _, x, v=volts: velocity(v, jnp.asarray(x)[0]),
            (0.0, times[-1]), [start], method="LSODA", t_eval=times, rtol=1e-8, atol=1e-10,
        )  # fmt: skip
        expected = np.interp(solved.y[0], states, conductance)
        found = np.interp(counts[axis], *trace(axis))
        # LSODA is good for 2e-6 of the conductance in the steep part; between the points of the
        # trace its curve is a straight line, off by up to 2e-4 where it flattens.
        np.testing.assert_allclose(found, expected, rtol=3e-4)


def _table():
    """Conductance and state of the filament, finely."""
    states = jnp.linspace(np.log(0.05), np.log(2.1), 4001)
    return np.asarray(jax.jit(jax.vmap(FILAMENT.conductance))(states)), np.asarray(states)


def test_pulses_of_the_published_window(trace):
    """About 9000 SET pulses and 7500 RESET pulses between N = 0.06 and 1.98 (reference solver)."""
    low, high = np.interp(np.log([0.06, 1.98]), *_table()[::-1])
    for axis, count in (("set", 9000), ("reset", 7500)):
        n, g = (np.asarray(part) for part in trace(axis))
        sign = 1 if axis == "set" else -1
        between = np.interp(sign * np.array([low, high]), sign * g, n)
        # "About"; the last thousandth of the window takes a hundred pulses.
        assert abs(between[1] - between[0]) == pytest.approx(count, rel=0.05)


def test_width_and_number_make_one_time(trace):
    n, g = trace("set")
    other, same = trace("set", width=PULSES.width / 10)
    np.testing.assert_allclose(other, 10 * n, rtol=1e-12)
    np.testing.assert_array_equal(same, g)


@pytest.mark.slow
def test_derivatives_are_those_of_differences(trace):
    """Of the conductance after 2000 SET pulses, in all parameters at once."""
    names = ("radius", "activation_energy", "barrier_height", "disc_length", "oxide_resistance")

    def changed(factors):
        return FILAMENT.replace(
            **{n: f * getattr(FILAMENT, n) for n, f in zip(names, factors, strict=True)}
        )

    def log_conductance(factors):
        n, g = pulse_trace(changed(factors), 1e-4, PULSES.v_set, PULSES.width, points=201)
        return jnp.log(jnp.interp(2000.0, n, g))

    # Compiled once, values for the differences included.
    both = jax.jit(jax.value_and_grad(log_conductance))
    slopes = both(jnp.ones(5))[1]
    h = 1e-6
    for i, slope in enumerate(slopes):
        step = h * jnp.eye(5)[i]
        difference = (both(1 + step)[0] - both(1 - step)[0]) / (2 * h)
        # Interpolation has kinks; the loss of digits in a difference of 1e-6 is 1e-9.
        assert float(slope) == pytest.approx(float(difference), rel=1e-5)


def test_linear_motion_in_closed_form():
    """VTEAM without a window moves at a constant speed, its resistance linear in the state."""
    device = aj.devices.VTEAM(r_on=1e3, r_off=2e4, k_on=-1e-3, v_on=-0.2, alpha_on=3.0)
    v, width = -0.4, 1e-8
    n, g = pulse_trace(device, 1 / 1e4, v, width, points=401)
    x0 = (1e4 - 1e3) / 19e3
    speed = 1e-3 * (v / -0.2 - 1) ** 3 / 3e-9
    expected = 1 / (1e3 + 19e3 * (x0 - speed * n * width))
    np.testing.assert_allclose(g, expected, rtol=1e-8)


def test_below_a_threshold_nothing_moves():
    device = aj.devices.VTEAM(r_on=1e3, r_off=2e4)
    n, g = pulse_trace(device, 1e-4, -0.1, 1e-6, points=101)
    assert float(jnp.interp(1e9, n, g)) == pytest.approx(1e-4, rel=1e-9)


def test_steps_are_taken_one_by_one():
    device = aj.devices.SoftBounds(dw_min=0.01, c2c=0.0, w_min=-1.0, w_max=1.0, w_0=-1.0)
    n, g = pulse_trace(device, device.g_min, 1.0, 1e-6, points=50)
    w = 1 - 2 * (1 - 0.01) ** np.arange(50)
    np.testing.assert_allclose(n, np.arange(50))
    np.testing.assert_allclose(g, 1e-6 + 24e-6 * (w + 1) / 2, rtol=1e-12)


def test_integral_is_of_fourth_order():
    errors = []
    for count in (41, 81):
        s = jnp.linspace(0.0, 2.0, count)
        errors.append(
            float(jnp.max(jnp.abs(_integral(jnp.exp(s), 2 / (count - 1)) - jnp.expm1(s))))
        )
    # Half the step, a sixteenth of the error (the first and last cell are of one order less).
    assert errors[1] < errors[0] / 7
    assert errors[1] < 1e-5


def test_plans_meet_levels_to_half_a_pulse(trace):
    for axis in WRITES:
        n, g = trace(axis)
        plan = PULSES.plan(axis, n, g)
        sign = 1 if axis == "set" else -1
        assert np.all(sign * np.diff(plan) >= 0)
        wanted = PULSES.numbers(axis, n, g, np.linspace(0, 1, 256))
        assert np.abs(plan - wanted).max() <= 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(v_set=0.3), "Argument `v_set` must be below 0 V, but is 0.3"),
        (dict(g_max=1e-5), "Argument `g_max` must be larger than `g_min`"),
        (dict(width=0.0), "Argument `width` must be"),
    ],
)
def test_wrong_pulses_are_told_in_one_sentence(values, message):
    with pytest.raises(ValueError, match=message):
        IdenticalPulses(**values)
