"""The Schottky interface of our own: its implicit current and its relaxation, in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import lambertw

from analogjax.constants import BOLTZMANN_EV
from analogjax.devices import SchottkyInterface
from analogjax.simulation import Rosenbrock, simulate
from analogjax.stimuli import pulse_train

VOLTS = jnp.asarray([-3.0, -0.2, 1e-4, 0.3, 0.7, 1.2, 3.0])


def by_lambert(device, v, x):
    """Closed form of the current of a diode behind a resistor."""
    kt = BOLTZMANN_EV * float(device.ambient_temperature)
    phi = float(device.phi_max - (device.phi_max - device.phi_min) * x)
    saturation = float(device.area * device.richardson) * (kt / BOLTZMANN_EV) ** 2
    saturation *= np.exp(-phi / kt)
    n, r = float(device.ideality) * kt, float(device.series_resistance)
    w = lambertw(r * saturation / n * np.exp((v + r * saturation) / n)).real
    return n / r * w - saturation


@pytest.mark.parametrize("kelvin", [250.0, 300.0, 400.0])
@pytest.mark.parametrize("resistance", [1.0, 1e3, 1e6])
def test_current_is_that_of_lamberts_function(kelvin, resistance):
    device = SchottkyInterface(ambient_temperature=kelvin, series_resistance=resistance)
    current = jax.vmap(lambda v: device.current(v, jnp.asarray(0.7)))(VOLTS)
    expected = by_lambert(device, np.asarray(VOLTS), 0.7)
    # The reference subtracts the saturation current from numbers 1e-16 of which are lost.
    np.testing.assert_allclose(current, expected, rtol=1e-9, atol=1e-17)


def test_without_a_series_resistance_it_is_a_diode():
    device = SchottkyInterface(series_resistance=0.0)
    state = jnp.asarray(0.3)
    kt = BOLTZMANN_EV * 300.0
    for v in (-1.0, 0.2, 0.6):
        expected = device.saturation_current(state) * np.expm1(v / (1.5 * kt))
        np.testing.assert_allclose(device.current(v, state), expected, rtol=1e-12)


def test_voltages_over_junction_and_resistor_add_up():
    device, state = SchottkyInterface(), jnp.asarray(0.9)
    total = jax.vmap(lambda v: device.junction_voltage(v, state) + 1e3 * device.current(v, state))(
        VOLTS
    )
    np.testing.assert_allclose(total, VOLTS, rtol=1e-11)


@pytest.mark.parametrize("v", [-0.5, 0.3, 1.5])
def test_both_modes_differentiate_the_implicit_current(v):
    def current(v, resistance):
        device = SchottkyInterface().replace(series_resistance=resistance)
        return device.current(v, jnp.asarray(0.5))

    at = (jnp.asarray(v), jnp.asarray(1e3))
    forward = jax.jit(jax.jacfwd(current, (0, 1)))(*at)
    reverse = jax.jit(jax.grad(current, (0, 1)))(*at)
    np.testing.assert_allclose(forward, reverse, rtol=1e-12)
    # di/dv of i = f(v - i R): f' / (1 + f' R); di/dR = -i di/dv.
    scale = 1.5 * BOLTZMANN_EV * 300.0
    device, state = SchottkyInterface(), jnp.asarray(0.5)
    i = current(*at)
    slope = (i + device.saturation_current(state)) / scale
    slope = slope / (1 + slope * 1e3)
    np.testing.assert_allclose(forward, [slope, -i * slope], rtol=1e-10)


def test_the_state_relaxes_to_its_target_under_pulses_and_at_rest():
    device = SchottkyInterface()
    drive = pulse_train([2.0, -1.9], width=jnp.asarray([1e-5, 2e-5]), gap=1e8)
    result = simulate(device, drive, solver=Rosenbrock(1e-12, 1e-12))
    x, expected = 0.1, []

    def towards(x, v, seconds):
        end = 1 / (1 + np.exp(-(v - 0.5) / 0.25))
        return end + (x - end) * np.exp(-seconds / (1e9 * np.exp(-abs(v) / 0.062)))

    for v, width in ((2.0, 1e-5), (-1.9, 2e-5)):
        x = towards(towards(x, v, width), 0.0, 1e8)
        expected.append(x)
    np.testing.assert_allclose(result.state[1:], expected, rtol=1e-9)


def test_retention_is_thermally_activated():
    device = SchottkyInterface()
    hot = device.replace(ambient_temperature=400.0)
    factor = np.exp(0.8 / BOLTZMANN_EV * (1 / 300 - 1 / 400))
    ratio = device.time_constant(0.0) / hot.time_constant(0.0)
    np.testing.assert_allclose(ratio, factor, rtol=1e-12)
    kept, lost = (float(d.rest(jnp.asarray(0.9), 1e6)) for d in (device, hot))
    assert kept > 0.899 > lost


def test_it_rectifies_and_scales_with_its_area():
    device, state = SchottkyInterface(series_resistance=0.0), jnp.asarray(0.5)
    assert float(device.current(0.5, state)) > 1e4 * -float(device.current(-0.5, state))
    double = device.replace(area=2e-10)
    np.testing.assert_allclose(
        double.current(0.5, state), 2 * device.current(0.5, state), rtol=1e-12
    )
