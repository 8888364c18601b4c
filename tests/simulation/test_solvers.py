"""Time stepping: observed order (V6), agreement of solvers, clocks from ps to s, arguments."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax.simulation import Adaptive, Heun, Save, simulate
from analogjax.stimuli import pulse_train

N = 12
DEVICE = aj.devices.FourTerminalTiO2(cells=N)


# V6: order in time.


def in_steps(device, steps, duration=2.0, most=160):
    """A plateau of 5 V in so many single steps of Heun's method.

    Always a train of `most` pulses, those beyond `steps` lasting 1e-30 s: one compilation.
    """
    width = np.where(np.arange(most) < steps, duration / steps, 1e-30)
    drive = pulse_train(5.0 * np.ones(most), width=width)
    return np.asarray(simulate(device, drive, solver=Heun(1), save=Save(states=False)).final_state)


@pytest.mark.parametrize(("scheme", "order"), [("sg", 2.0), ("muscl", 1.9)])
def test_heun_has_order_two_in_time(scheme, order):
    device = aj.devices.FourTerminalTiO2(cells=N, scheme=scheme)
    # Fourth order by extrapolation: the reference's own error is 1 % of that at 40 steps.
    reference = (4 * in_steps(device, 160) - in_steps(device, 80)) / 3
    errors = [abs(in_steps(device, n) - reference).max() for n in (5, 10, 20, 40)]
    observed = np.log2(np.divide(errors[:-1], errors[1:]))
    # The limiter bends where a slope changes sign, which costs muscl a little.
    assert observed.min() > order - 0.1
    assert errors[-1] < 1e-4


# Counted and adaptive steps.


@pytest.fixture(scope="module")
def drive():
    return pulse_train([5.0, -7.0], width=jnp.array([1.0, 2.0]))


@pytest.fixture(scope="module")
def counted(drive):
    return simulate(DEVICE, drive)


@pytest.fixture(scope="module")
def accurate(drive):
    return simulate(DEVICE, drive, solver=Adaptive(1e-8, 1e-8))


def test_counted_steps_obey_the_courant_number(counted, drive):
    total = 0
    for k in range(2):
        fastest = DEVICE.fields(drive.stop[k], counted.state[k]).fastest
        total += np.ceil(float(fastest * drive.width[k]) / 0.5)
    assert int(counted.stats["steps"]) == total > 2


def test_adaptive_steps_agree_with_equal_ones(accurate, counted, drive):
    # Heun at Courant numbers of one half: its error of 1e-3 of c, here of R.
    np.testing.assert_allclose(counted.read_resistance, accurate.read_resistance, rtol=1e-3)
    fine = simulate(DEVICE, drive, solver=Heun(courant=0.02))
    # 25 times smaller steps: 600 times smaller an error.
    np.testing.assert_allclose(fine.read_resistance, accurate.read_resistance, rtol=3e-6)
    np.testing.assert_allclose(fine.final_state, accurate.final_state, atol=3e-5)


def test_adaptive_steps_conserve_vacancies(accurate):
    mass = np.asarray(accurate.state.sum((1, 2)))
    np.testing.assert_allclose(mass, mass[0], rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["heun", "bosh3"])
def test_every_embedded_pair_converges_to_the_same(method, accurate, drive):
    other = simulate(DEVICE, drive, solver=Adaptive(1e-7, 1e-7, method=method))
    # A step is good to 1e-7; some tens of steps, and c up to 3.
    np.testing.assert_allclose(other.final_state, accurate.final_state, atol=1e-5)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-9, 1e-12])
def test_only_the_ratio_of_clock_and_attempt_frequency_matters(unit):
    # From seconds to picoseconds: the same film, hopping as much faster as the pulse is shorter.
    base = simulate(DEVICE, pulse_train([5.0, 5.0, -3.0, -5.0], width=0.25), solver=Heun(3))
    fast = simulate(
        DEVICE.replace(attempt_frequency=1e13 / unit),
        pulse_train([5.0, 5.0, -3.0, -5.0], width=0.25 * unit),
        solver=Heun(3),
    )
    np.testing.assert_allclose(fast.read_resistance, base.read_resistance, rtol=1e-11)
    np.testing.assert_allclose(fast.t, base.t * unit, rtol=1e-13)


# Arguments.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Heun(0), "Argument `substeps` must be at least 1, but is 0."),
        (lambda: Heun(max_steps=0), "Argument `max_steps` must be at least 1, but is 0."),
        (
            lambda: Heun(courant=-0.5),
            "Argument `courant` must be finite and above 0, but is -0.5.",
        ),
        (lambda: Adaptive(0.0), "Argument `rtol` must be finite and above 0, but is 0.0."),
        (
            lambda: Adaptive(1e-5, -1.0),
            "Argument `atol` must be finite and above 0, but is -1.0.",
        ),
        (
            lambda: Adaptive(method="tsit4"),
            "Argument `method` must be one of 'heun', 'bosh3', 'tsit5', but is 'tsit4' "
            "(did you mean 'tsit5'?).",
        ),
    ],
)
def test_bad_argument_gets_one_sentence(make, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        make()


def test_tolerances_beyond_single_precision_are_refused_there():
    message = "Argument `rtol` must be at least 1e-5 in float32, but is 1e-06."
    with jax.enable_x64(False), pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        Adaptive(1e-6)
    assert Adaptive(1e-6).rtol == 1e-6
