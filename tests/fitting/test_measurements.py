"""Predictions and residuals of the measurements, against closed forms and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax.fitting import Noise, Prior, PulseTrain, Retention, Sweep, SwitchingTimes
from analogjax.fitting.bijections import free_parameters
from analogjax.fitting.noise import FAILED
from analogjax.fitting.residuals import Problem, linearise, weighted
from analogjax.fitting.states import state_at

DRIFT = aj.devices.LinearIonDrift()


def drift_conductance(flux, x_0=0.1):
    """Closed form: ``dR/dt = -(R_off - R_on) k v / R``, so that R^2 is linear in the flux."""
    k = 1e-14 * 100.0 / 10e-9**2
    r_0 = 16e3 - x_0 * (16e3 - 100.0)
    return 1 / np.sqrt(r_0**2 - 2 * (16e3 - 100.0) * k * flux)


def test_trains_of_pulses():
    amplitudes = np.array([[1.0, 0.5, 2.0], [1.5, np.nan, 1.0]])
    width = np.array([[0.01, 0.02, 0.01], [0.01, 0.01, 0.03]])
    train = PulseTrain(amplitudes, width, 0.1, np.ones((2, 3)), state=np.array([0.1, 0.3]))
    flux = np.cumsum(np.nan_to_num(amplitudes) * width, axis=1)
    expected = np.stack([drift_conductance(flux[0]), drift_conductance(flux[1], 0.3)])
    # The solver's tolerance is 1e-6 a step.
    np.testing.assert_allclose(train.predict(DRIFT), expected, rtol=1e-5)
    assert np.isnan(np.asarray(train.observed)).tolist() == [[False] * 3, [False, True, False]]


def test_a_sweep():
    t = np.linspace(0, 0.1, 41)
    v = np.sin(2 * np.pi * t / 0.1)
    sweep = Sweep(t, v, np.ones(41))
    flux = np.concatenate([[0], np.cumsum(0.5 * (v[1:] + v[:-1]) * np.diff(t))])
    expected = (v * drift_conductance(flux))[1:]
    np.testing.assert_allclose(sweep.predict(DRIFT)[0], expected, rtol=1e-5, atol=1e-12)


def test_switching_times_and_retention():
    # From R_1 to R_2 a voltage takes (R_1^2 - R_2^2) / (2 (R_off - R_on) k v).
    v = np.array([0.5, 1.0, 2.0])
    times = SwitchingTimes(v, np.ones(3), 0.1, 0.5)
    r = 16e3 - np.array([0.1, 0.5]) * 15900.0
    expected = (r[0] ** 2 - r[1] ** 2) / (2 * 15900.0 * 1e4 * v)
    np.testing.assert_allclose(times.predict(DRIFT)[:, 0], expected, rtol=1e-9)
    backwards = times.reversed()
    assert np.isnan(np.asarray(backwards.predict(DRIFT))).all()

    kept = Retention([0.0, 1.0, 10.0], np.ones(3), initial_conductance=1e-4)
    np.testing.assert_allclose(kept.predict(DRIFT), 1e-4, rtol=1e-9)


def test_the_ambient_temperature_is_that_of_the_row():
    device = aj.devices.JartVCM()
    state = float(jnp.log(0.008))
    end = float(jnp.log(1.0))
    times = SwitchingTimes(
        [-0.8] * 2, np.ones(2), state, end, ambient_temperature=[293.0, 350.0]
    ).predict(device)
    for row, temperature in enumerate((293.0, 350.0)):
        there = device.replace(ambient_temperature=temperature)
        one = aj.simulation.switching_time(there, -0.8, state, end, cells=64)
        np.testing.assert_allclose(times[row, 0], one, rtol=1e-12)
    assert times[1, 0] < times[0, 0]


def test_the_state_of_a_conductance():
    wanted = jnp.asarray(2e-4)
    state = state_at(DRIFT, wanted)
    np.testing.assert_allclose(DRIFT.conductance(state), wanted, rtol=1e-12)
    # Implicit function: R = R_on x + R_off (1 - x) fixed, so dx/dR_off = (1 - x) / (R_off - R_on).
    slope = jax.jacfwd(lambda r: state_at(DRIFT.replace(r_off=r), wanted))(DRIFT.r_off)
    np.testing.assert_allclose(slope, (1 - state) / 15900.0, rtol=1e-9)
    np.testing.assert_allclose(state_at(DRIFT, jnp.asarray(1.0)), 1.0, atol=1e-12)


def several():
    train = PulseTrain(np.linspace(0.5, 1.5, 5), 0.01, None, np.full(5, 1e-4), noise=Noise(0.05))
    times = SwitchingTimes([0.5, 1.0], [1.0, 0.5], 0.1, 0.5)
    sweep = Sweep(np.linspace(0, 0.1, 6), [0, 1, 0.5, 0, -1, 0], np.full(6, 5e-5))
    return train, times, sweep


@pytest.mark.parametrize("loss", ["squares", "soft_l1"])
def test_derivatives_of_residuals_against_differences(loss):
    free, z = free_parameters(DRIFT, ("mobility", "r_off", "x_0"))
    priors = {"r_off": Prior(1e4, 0.5, log=True), "x_0": Prior(0.2, 0.1)}
    problem = Problem(DRIFT, free, several(), priors, loss)
    none = jnp.zeros_like(z)
    at = linearise(problem, z, none)
    assert int(at.failed) == 0
    assert at.residuals.shape == (5 + 2 + 5 + 2,)
    h = 1e-4
    for k in range(3):
        step = none.at[k].set(h)
        up, down = (linearise(problem, z + s * step, none).residuals for s in (1, -1))
        # Step sizes differ with the parameters: the solver's tolerance of 1e-6 over h.
        np.testing.assert_allclose(at.jacobian[:, k], (up - down) / (2 * h), rtol=1e-4, atol=2e-3)
    held = linearise(problem, z, none.at[1].set(1.0)).jacobian
    np.testing.assert_allclose(held[:, 1], 0.0)
    np.testing.assert_allclose(held[:, [0, 2]], at.jacobian[:, [0, 2]], rtol=1e-12)


def test_a_run_that_fails_is_large_and_finite_and_counted(toy_device):
    # Beyond x = 0.3 this device counts as out of range: the second train fails, not the first.
    device = toy_device(fails_beyond=0.3)
    train = PulseTrain(np.array([[0.1] * 4, [1.0] * 4]), 1.0, None, np.full((2, 4), 1e-5))
    free, z = free_parameters(device, ("seconds", "r_high"))
    at = linearise(Problem(device, free, (train,)), z, jnp.zeros_like(z))
    assert int(at.failed) == 1
    np.testing.assert_array_equal(at.residuals[4:], FAILED)
    np.testing.assert_array_equal(at.jacobian[4:], 0.0)
    assert np.abs(at.residuals[:4]).max() < 1e3
    assert np.isfinite(np.asarray(at.jacobian)).all()
    assert np.abs(at.jacobian[:4, 0]).min() > 0
    assert np.isnan(np.asarray(at.predicted[0])).tolist() == [[False] * 4, [True] * 4]


def test_losses():
    r = jnp.linspace(-5, 5, 101)
    np.testing.assert_allclose(
        weighted(r, "soft_l1") ** 2, 2 * (jnp.sqrt(1 + r**2) - 1), rtol=1e-10, atol=1e-12
    )
    far = jnp.abs(r) > 1
    np.testing.assert_allclose(
        weighted(r, "huber") ** 2, jnp.where(far, 2 * jnp.abs(r) - 1, r**2), rtol=1e-12
    )


def test_noise():
    y = jnp.asarray([[1.0, -2.0, jnp.nan]])
    known = jnp.isfinite(y)
    # Variances of the measured values, and of the predicted ones, 1.5 and -1.5.
    measured, predicted = np.array([0.05, 0.08]), np.array([0.0625, 0.0625])
    sigma = np.sqrt(measured) ** (1 / 3) * np.sqrt(predicted) ** (2 / 3)
    np.testing.assert_allclose(
        Noise(0.1, 0.2).residual(y + 0.5, y, known)[0], [*(0.5 / sigma), 0.0]
    )
    # Far off, or of the other sign, sigma stays within a factor of ten of the measured one.
    far = jnp.asarray([[1e9, 2.0, 1.0]])
    sigma = np.array([0.1, 0.2]) * 10 ** np.array([2 / 3, -2 / 3])
    np.testing.assert_allclose(
        Noise(0.1).residual(far, y, known)[0, :2], np.array([1e9 - 1, 4.0]) / sigma
    )
    np.testing.assert_allclose(
        Noise(log=0.1).residual(2 * y, y, known)[0], [np.log(2) / 0.1] * 2 + [0.0]
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Noise(), "`relative` must be above 0"),
        (lambda: Noise(-1.0), "`relative` must be finite and at least 0"),
        (lambda: PulseTrain([1.0], 1.0, None, [np.nan]), "all of them are nan"),
        (
            lambda: PulseTrain([1.0, 1.0], -1.0, None, [1.0, 1.0]),
            "`width` must be finite and above",
        ),
        (
            lambda: PulseTrain([1.0, 1.0], 1.0, None, [1.0, 1.0, 1.0]),
            "`amplitudes` must have shape",
        ),
        (lambda: Sweep([0.0, 0.0], [0.0, 1.0], [0.0, 1.0]), "`t` must increase"),
        (lambda: SwitchingTimes([1.0], [-1.0], 0.1, 0.5), "`t` must be finite and above 0"),
        (lambda: Retention([-1.0], [1.0]), "`t` must be finite and at least 0"),
        (lambda: Prior(0.0, 1.0, log=True), "`mean` must not be 0"),
    ],
)
def test_wrong_measurements_get_one_sentence(make, says):
    with pytest.raises(ValueError, match=says):
        make()
