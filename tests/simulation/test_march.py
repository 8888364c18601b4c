"""`march` against closed forms, against `simulate`, and its derivatives against differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax._types import Scalar
from analogjax.devices import AbstractCompactDevice, JartVCM, SchottkyInterface, parameter
from analogjax.simulation import Rosenbrock, march
from analogjax.stimuli import piecewise, pulse_train

TIGHT = Rosenbrock(1e-9, 1e-9)


class TwoWells(AbstractCompactDevice):
    """``dx/dt = a (x - x^3) + v``: two stable points and one that is not, no bounds."""

    speed: Scalar = parameter(2.0, "1/s", "speed", "test")
    read_voltage: Scalar = parameter(0.1, "V", "read", "test")

    def init_state(self):
        return jnp.asarray(0.2)

    def current(self, v, state):
        return v * (2 + state) * 1e-5

    def velocity(self, v, state):
        return self.speed * (state - state**3) + v


class Stopped(AbstractCompactDevice):
    """``dx/dt = a (1 - x)``: a bound at 1 that is neared ever more slowly."""

    speed: Scalar = parameter(1e4, "1/s", "speed", "test")
    read_voltage: Scalar = parameter(0.1, "V", "read", "test")

    def init_state(self):
        return jnp.asarray(0.2)

    def current(self, v, state):
        return v * (2 + state) * 1e-5

    def velocity(self, v, state):
        return self.speed * (1 - state)

    def bounds(self):
        return 0.0, 1.0


def ends(device, drive, state=None, solver=None):
    """States before and after the gaps, compiled."""
    state = device.init_state() if state is None else state
    found = jax.jit(lambda x: march(device, drive, x, solver=solver))(state)
    assert bool(found.ok)
    return np.asarray(found.plateau), np.asarray(found.state)


def test_an_interface_relaxes_and_decays_as_its_closed_form_says():
    device = SchottkyInterface()
    rng = np.random.default_rng(0)
    v = rng.uniform(-2.0, 2.0, 20)
    width = 10 ** rng.uniform(-6, -2, 20)
    plateau, state = ends(device, pulse_train(v, width=width, gap=1e7), solver=TIGHT)
    x = float(device.x_0)
    for k in range(20):
        target, tau = float(device.target(v[k])), float(device.time_constant(jnp.asarray(v[k])))
        x = target + (x - target) * np.exp(-width[k] / tau)
        # The tolerance of the steps, some hundreds of them.
        assert plateau[k] == pytest.approx(x, abs=1e-7)
        x = float(device.rest(jnp.asarray(x), 1e7))
        assert state[k] == pytest.approx(x, abs=1e-7)


def test_a_wall_is_hit_and_left():
    device = aj.devices.VTEAM(k_on=-1.0, k_off=1.0)
    # To w_on and beyond, back a little, below the threshold, and to w_off.
    v, width = np.array([-0.4, 0.04, 0.01, 0.06]), np.array([2.0, 0.5, 1.0, 3.0]) * 3e-9
    _, state = ends(device, pulse_train(v, width=width))
    # One length of the device a second at an overdrive of 1.
    np.testing.assert_allclose(state, [0.0, 0.5, 0.5, 1.0], atol=1e-6)


def test_every_well_is_found_from_its_side():
    device = TwoWells()
    drive = pulse_train([0.0, -0.01, 0.0], width=[20.0, 1e-3, 20.0])
    for start, end in ((0.2, 1.0), (-0.2, -1.0), (3.0, 1.0), (0.0, -1.0)):
        _, state = ends(device, drive, jnp.asarray(start))
        assert state[-1] == pytest.approx(end, abs=1e-5)


@pytest.mark.parametrize(
    ("device", "v", "width"),
    [
        (aj.devices.Yakopcic("miao"), [0.5, 0.9, -0.9, -1.4, 0.6, 0.0], 0.05),
        (aj.devices.StanfordPKU(), [1.2, 1.6, -1.4, -1.5, 1.5, 0.0], 1e-6),
        pytest.param(JartVCM(), [-0.6, -0.75, -0.9, 0.9, 1.2, -0.6], 1e-5, marks=pytest.mark.slow),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, AbstractCompactDevice) else "",
)
def test_pulses_and_ramps_as_simulated(device, v, width):
    v = np.asarray(v)
    ramps = np.concatenate([[0.0], v])
    for drive in (
        pulse_train(v, width=width, gap=width),
        piecewise(ramps[:-1], ramps[1:], width=np.full(len(v), width)),
    ):
        wanted = aj.simulate(device, drive, solver=Rosenbrock())
        _, found = ends(device, drive)
        # Within the tolerances of both (1e-6 relative and absolute); steps differ from ramp to
        # ramp, where they are carried on.
        np.testing.assert_allclose(found, wanted.state[1:], rtol=2e-6, atol=2e-6)


def slopes(device, drive, names, solver):
    """Derivatives of the last states by logarithms of parameters: exact, and by differences."""
    values = jnp.stack([getattr(device, n) for n in names])

    @jax.jit
    def last(z):
        moved = device.replace(**dict(zip(names, values * jnp.exp(z), strict=True)))
        return march(moved, drive, moved.init_state(), solver=solver).state

    zero, h = jnp.zeros(len(names)), 1e-4
    exact = jax.jit(jax.jacfwd(last))(zero)
    steps = h * np.eye(len(names))
    return exact, np.stack([(last(zero + e) - last(zero - e)) / (2 * h) for e in steps], -1)


@pytest.mark.parametrize(
    ("device", "v", "width", "names"),
    [
        (
            aj.devices.Yakopcic("miao"), [0.5, 0.9, -0.9, -1.4, 0.6], 0.05,
            ("a_p", "a_n", "v_p", "v_n", "x_0"),
        ),
        (TwoWells(), [0.5, -0.9, 1.3], 0.3, ("speed",)),
        pytest.param(
            JartVCM(), [-0.6, -0.7, -0.75, 0.9, 1.2], 1e-5,
            ("activation_energy", "oxide_resistance", "radius", "n_init", "n_max"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, AbstractCompactDevice) else "",
)  # fmt: skip
def test_derivatives_are_those_of_central_differences(device, v, width, names):
    exact, differences = slopes(
        device, pulse_train(v, width=width), names, Rosenbrock(1e-11, 1e-11)
    )
    # h^2 of the differences, and the tolerance of the steps over h.
    scale = np.abs(differences).max()
    np.testing.assert_allclose(exact / scale, differences / scale, atol=1e-5)


def test_lanes_side_by_side_are_each_alone():
    device = TwoWells()
    v = jnp.asarray(np.random.default_rng(1).uniform(-3, 3, (5, 4)))
    run = lambda v: march(device, pulse_train(v, width=0.5), device.init_state()).state  # noqa: E731
    # A difference of velocities, a millionth apart, magnifies round-off.
    together = jax.jit(jax.vmap(run))(v)
    np.testing.assert_allclose(together, np.stack([run(x) for x in v]), rtol=1e-9)


def test_what_cannot_be_solved_is_said():
    device = TwoWells()
    drive = pulse_train([0.1, 5.0, 0.1], width=10.0)
    found = march(device, drive, device.init_state(), solver=Rosenbrock(max_steps=20))
    assert not bool(found.ok)
    assert np.isnan(found.state[-1])
    with pytest.raises(ValueError, match="must have one state number and a velocity"):
        march(aj.devices.PCM(), drive, device.init_state())
    with jax.enable_x64(False), pytest.raises(ValueError, match="`march` must run in float64"):
        march(device, drive, device.init_state())


def test_derivatives_at_rest_at_a_bound_die_away():
    device, drive = Stopped(), pulse_train(np.ones(10), width=1.0)
    last = jax.jit(lambda x: march(device, drive, x).state)
    states, slopes = jax.jvp(last, (jnp.ones(()),), (jnp.ones(()),))
    np.testing.assert_array_equal(states, 1.0)
    # exp(-1e4) a pulse; a step that is stable, but finite, leaves some 1e-4. A step without the
    # Jacobian would multiply it by more than 1e10.
    assert np.abs(slopes[0]) < 1e-2
    assert np.abs(slopes[-1]) < 1e-10
