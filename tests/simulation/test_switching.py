"""Switching times: closed forms, quadrature by scipy, the reference values of JART VCM."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from analogjax.devices import PCM, VTEAM, JartVCM, NbSrTiO3, SchottkyInterface, SoftBounds
from analogjax.simulation import switching_time


def test_constant_speed():
    device = VTEAM()
    # Without a window the boundary moves at k (v / v_th - 1)^alpha.
    on = 0.8 * 3e-9 / (10.0 * (0.3 / 0.2 - 1) ** 3)
    off = 0.8 * 3e-9 / (5e-4 * (1.0 / 0.02 - 1))
    assert float(switching_time(device, -0.3, 0.9, 0.1)) == pytest.approx(on, rel=1e-12)
    assert float(switching_time(device, 1.0, 0.1, 0.9)) == pytest.approx(off, rel=1e-12)


def test_relaxation():
    device = SchottkyInterface()
    end, tau = float(device.target(2.0)), float(device.time_constant(2.0))
    exact = tau * np.log((end - 0.1) / (end - 0.5))
    assert float(switching_time(device, 2.0, 0.1, 0.5)) == pytest.approx(exact, rel=1e-10)


def test_against_quadrature_where_the_speed_has_a_knee():
    device = NbSrTiO3()

    def pace(x):
        return 1 / float(device.velocity(jnp.asarray(-1.0), jnp.asarray(x)))

    expected, _ = integrate.quad(pace, 0.9, 0.1, points=[0.242], epsrel=1e-10)
    # The cell with the knee is integrated to second order only.
    assert float(switching_time(device, -1.0, 0.9, 0.1)) == pytest.approx(expected, rel=1e-6)


def test_never():
    device = VTEAM()
    # Below threshold nothing moves; beyond it, not the other way.
    assert float(switching_time(device, -0.1, 0.9, 0.1)) == np.inf
    assert float(switching_time(device, 1.0, 0.9, 0.1)) == np.inf


@pytest.mark.parametrize(
    ("v", "start", "end", "seconds"),
    [
        (-0.4, 0.008, 1.0, 56.6),
        (-0.6, 0.008, 1.0, 17.2e-3),
        (-0.9, 0.008, 1.0, 389e-9),
        (0.8, 20.0, 0.1, 1.33),
        (1.2, 20.0, 0.1, 107e-6),
    ],
)
def test_jart(v, start, end, seconds):
    # An independent solution (Radau, current by bracketing), known to three digits.
    found = switching_time(JartVCM(), v, np.log(start), np.log(end))
    assert float(found) == pytest.approx(seconds, rel=0.01)


def test_gradients_and_batches():
    device = NbSrTiO3()

    def log_time(v, a_p):
        return jnp.log(switching_time(device.replace(a_p=a_p), v, 0.1, 0.9))

    v, a_p = 1.0, 0.1
    by_v, by_a = jax.jit(jax.grad(log_time, (0, 1)))(v, a_p)
    # Speed is proportional to a_p.
    assert float(by_a) == pytest.approx(-1 / a_p, rel=1e-12)
    h = 1e-5
    difference = (log_time(v + h, a_p) - log_time(v - h, a_p)) / (2 * h)
    # Second order in h: 1e-10, and rounding of 1e-16 / h.
    assert float(by_v) == pytest.approx(float(difference), rel=1e-8)
    volts = jnp.asarray([0.6, 0.8, 1.0])
    many = jax.vmap(lambda v: switching_time(device, v, 0.1, 0.9))(volts)
    alone = [float(switching_time(device, v, 0.1, 0.9)) for v in volts]
    np.testing.assert_allclose(many, alone, rtol=1e-13)


@pytest.mark.parametrize("device", [PCM(), SoftBounds()])
def test_devices_without_a_velocity_are_refused(device):
    with pytest.raises(ValueError, match="`device` must have one state number and a velocity"):
        switching_time(device, 1.0, 0.1, 0.9)
    with pytest.raises(ValueError, match="`cells` must be a whole number of at least 1"):
        switching_time(VTEAM(), 1.0, 0.1, 0.9, cells=0)
