"""The tabulated flow against a closed form, and against time stepping on JART VCM."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analogjax as aj
from analogjax._types import Scalar
from analogjax.devices import AbstractCompactDevice, JartVCM, parameter
from analogjax.simulation import FlowMap, Rosenbrock, Save, Status


class Runaway(AbstractCompactDevice):
    """``dx/dt = a sinh(v) x (1 - x)``: slow, fast, slow; solved by the logistic function."""

    speed: Scalar = parameter(3.0, "1/s", "speed", "test")
    read_voltage: Scalar = parameter(0.1, "V", "read", "test")

    def init_state(self):
        return jnp.asarray(0.5)

    def current(self, v, state):
        return v * (1 + state) * 1e-5

    def velocity(self, v, state):
        return self.speed * jnp.sinh(v) * state * (1 - state)

    def after(self, x, v, width):
        odds = x / (1 - x) * np.exp(float(self.speed) * np.sinh(v) * width)
        return odds / (1 + odds)


@pytest.fixture(scope="module")
def runaway():
    device = Runaway()
    flow = FlowMap.tabulate(
        device, 0.0, 1.0, negative=(-2.0, -0.5), positive=(0.5, 2.0), step=0.02, cells=1024
    )
    return device, flow, jax.jit(jax.vmap(flow.move))


@pytest.fixture(scope="module")
def filament():
    device = JartVCM()
    flow = FlowMap.tabulate(
        device, jnp.log(device.n_min), jnp.log(device.n_max),
        negative=(-0.65, -0.4), positive=(0.7, 0.95),
    )  # fmt: skip
    return device, flow, jax.jit(jax.vmap(flow.move))


def test_flow_is_the_logistic_function(runaway):
    device, _, move = runaway
    rng = np.random.default_rng(0)
    x = rng.uniform(0.01, 0.99, 500)
    v = rng.choice([-1, 1], 500) * rng.uniform(0.5, 2.0, 500)
    width = 10 ** rng.uniform(-6, 1, 500)
    after, good = move(x, v, width)
    assert bool(good.all())
    # Interpolation in voltage over 0.02 V and a linear speed over 1/1024.
    np.testing.assert_allclose(after, device.after(x, v, width), atol=2e-7)
    # A short pulse is as good, relative to what it does: nothing is cancelled.
    moved = np.asarray(after) - x
    short = (width < 1e-3) & (x > 0.1) & (x < 0.9)
    exact = (device.after(x, v, width) - x)[short]
    np.testing.assert_allclose(moved[short], exact, rtol=3e-5, atol=1e-15)


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(0.001, 0.999), v=st.sampled_from([-1.9, -0.7, 0.6, 1.3]),
    width=st.floats(0.0, 3.0), share=st.floats(0.0, 1.0),
)  # fmt: skip
def test_two_pulses_are_one_of_their_length(runaway, x, v, width, share):
    _, _, move = runaway
    one, _ = move(np.array([x]), np.array([v]), np.array([width]))
    half, _ = move(np.array([x]), np.array([v]), np.array([share * width]))
    two, _ = move(half, np.array([v]), np.array([(1 - share) * width]))
    # The same tables are walked, from another cell on: blocks and their parts agree to the
    # interpolation in voltage, which is the same for all but round-off of the logarithms.
    assert float(two[0]) == pytest.approx(float(one[0]), abs=1e-8)


def test_nothing_happens_in_no_time_or_at_no_voltage(runaway):
    _, _, move = runaway
    x = np.array([0.3, 0.7, 0.0, 1.0])
    for v, width in ((1.0, 0.0), (0.0, 1.0)):
        after, good = move(x, np.full(4, v), np.full(4, width))
        assert after.tolist() == x.tolist()
        assert bool(good.all())


def test_flow_has_the_derivatives_of_the_logistic_function(runaway):
    device, flow, _ = runaway
    x, v, width = 0.2, 1.1, 0.4
    by = jax.grad(lambda x, v, w: flow.move(x, v, w)[0], argnums=(0, 1, 2))(x, v, width)
    end, a = device.after(x, v, width), 3.0
    there, here = end * (1 - end), x * (1 - x)
    exact = (there / here, there * a * np.cosh(v) * width, there * a * np.sinh(v))
    # The slope of a cubic through voltages 0.02 V apart, and of a linear speed in a cell.
    np.testing.assert_allclose([float(g) for g in by], exact, rtol=2e-5)


def test_flow_is_differentiable_by_the_device(runaway):
    def after(speed):
        device = Runaway(speed=speed)
        flow = FlowMap.tabulate(
            device, 0.0, 1.0, negative=(-1.2, -1.0), positive=(1.0, 1.2), step=0.02, cells=256
        )
        return flow.move(jnp.asarray(0.2), jnp.asarray(1.1), jnp.asarray(0.4))[0]

    value, slope = jax.value_and_grad(after)(3.0)
    end = runaway[0].after(0.2, 1.1, 0.4)
    assert float(value) == pytest.approx(end, abs=2e-6)  # 256 cells
    assert float(slope) == pytest.approx(end * (1 - end) * np.sinh(1.1) * 0.4, rel=1e-4)


def test_filament_against_time_stepping(filament):
    device, _, move = filament
    rng = np.random.default_rng(1)
    count = 48
    v = np.where(
        rng.random(count) < 0.5, -rng.uniform(0.4, 0.65, count), rng.uniform(0.7, 0.95, count)
    )
    state = rng.uniform(np.log(0.0085), np.log(19.5), count)
    speed = np.abs(jax.jit(jax.vmap(device.velocity))(v, state))
    width = 10 ** rng.uniform(-3, 0.3, count) / speed

    def step(v, state, width):
        drive = aj.stimuli.pulse_train(v[None], width=width)
        options = dict(solver=Rosenbrock(1e-10, 1e-10), throw=False, save=Save(states=False))
        return aj.simulate(device, drive, state, **options).final_state

    wanted = jax.jit(jax.vmap(step))(v, state, width)
    found, good = move(state, v, width)
    assert bool(good.all())
    # The target. A pulse that ends in the runaway magnifies an error of its time by what the speed
    # has grown by; that is taken out.
    growth = np.abs(jax.jit(jax.vmap(device.velocity))(v, wanted)) / speed
    error = np.abs(np.asarray(found - wanted)) / np.maximum(growth, 1.0)
    assert error.max() < 1e-6


def test_solver_takes_the_flow(filament):
    device, flow, _ = filament
    drive = aj.stimuli.pulse_train(
        [-0.5, -0.5, 0.9, -0.45], width=[1e-4, 1e-2, 1e-3, 1e-6], gap=1e-6
    )
    state = device.init_state(0.5)
    tables = aj.simulate(device, drive, state, solver=flow)
    stepped = aj.simulate(device, drive, state, solver=Rosenbrock(1e-9, 1e-9))
    np.testing.assert_allclose(tables.state, stepped.state, atol=1e-6)
    np.testing.assert_allclose(tables.read_resistance, stepped.read_resistance, rtol=1e-6)


def test_what_the_tables_do_not_hold_is_said(filament):
    device, flow, _ = filament
    state = device.init_state(0.5)
    with pytest.raises(RuntimeError, match="tabulated flow holds for rectangular pulses"):
        aj.simulate(device, aj.stimuli.pulse_train([-1.0], width=1e-9), state, solver=flow)
    ramp = aj.stimuli.piecewise([-0.4], [-0.5], width=[1e-6])
    with pytest.raises(RuntimeError, match="tabulated flow holds for rectangular pulses"):
        aj.simulate(device, ramp, state, solver=flow)
    other = device.replace(radius=40e-9)
    with pytest.raises(RuntimeError, match="and for the device it was made of"):
        aj.simulate(other, aj.stimuli.pulse_train([-0.5], width=1e-6), state, solver=flow)
    lanes = eqx.filter_vmap(
        lambda v: aj.simulate(
            device, aj.stimuli.pulse_train(v[None], width=1e-6), state, solver=flow, throw=False
        )
    )(jnp.array([-0.5, -1.0]))
    assert lanes.status.tolist() == [Status.SUCCESS, Status.NO_FLOW]
    assert bool(jnp.isfinite(lanes.final_state).all())


def test_wrong_arguments_get_one_sentence(runaway):
    device, _, _ = runaway
    with pytest.raises(ValueError, match="`cells` must be a power of two, but is 100"):
        FlowMap.tabulate(device, 0.0, 1.0, cells=100)
    with pytest.raises(ValueError, match="`negative` must be an ascending range"):
        FlowMap.tabulate(device, 0.0, 1.0, negative=(-1.0, 0.5))
