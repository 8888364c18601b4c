"""What would go wrong in silence is refused, in one sentence."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax.devices import (
    PCM,
    TEAM,
    VTEAM,
    CycleConfig,
    CycleToCycle,
    DeviceConfig,
    JartVCM,
    LinearIonDrift,
    NbSrTiO3,
    PulseLaw,
    SchottkyInterface,
    SoftBounds,
    Spread,
    StanfordPKU,
    Yakopcic,
    sample_devices,
)
from analogjax.simulation import FlowMap, Heun, RungeKutta4, switching_time

PULSE = aj.stimuli.pulse_train([-0.3], width=1e-8)


@pytest.mark.parametrize("solver", ["heun", "rk4", Heun(), RungeKutta4()])
def test_a_solver_that_would_take_one_step(solver):
    with pytest.raises(ValueError, match="`solver` must be one that controls its steps"):
        aj.simulate(Yakopcic(), PULSE, solver=solver)


def test_steps_that_are_counted_by_the_user_are_his():
    device = LinearIonDrift()
    drive = aj.stimuli.pulse_train([1.0], width=0.05)
    exact, heun, fourth = (
        float(aj.simulate(device, drive, solver=solver).final_state)
        for solver in (None, Heun(64), RungeKutta4(8))
    )
    # 64 steps of second order and 8 of fourth; the default's tolerance is 1e-6.
    assert heun == pytest.approx(exact, rel=1e-4)
    assert fourth == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize(
    ("device", "state"),
    [
        (JartVCM(), 20.0),  # a density, not its logarithm
        (VTEAM(), VTEAM().init_state(2.0)),  # x, not metres
        (StanfordPKU(), StanfordPKU().init_state(1.0)),  # nanometres, not metres
        (LinearIonDrift(), 3.0),
        (CycleToCycle(VTEAM(), Spread({"k_on": 0.1})), None),
    ],
)
def test_a_state_that_the_device_cannot_be_in(device, state):
    if state is None:
        state = device.init_state()
        state = dataclasses.replace(state, inner=jnp.asarray(4.0))
    with pytest.raises(ValueError, match="`state` must be between"):
        aj.simulate(device, PULSE, state)
    if not isinstance(device, CycleToCycle):
        with pytest.raises(ValueError, match="`state` must be between"):
            switching_time(device, -0.6, state, device.init_state())


def test_no_way_takes_no_time():
    assert float(switching_time(JartVCM(), -0.6, 0.0, 0.0)) == 0.0
    assert float(switching_time(VTEAM(), 0.0, 0.5, 0.4)) == np.inf


def test_chance_needs_a_solver_that_knows_of_it():
    with pytest.raises(ValueError, match="`solver` must be 'sde' for a StanfordPKU with a key"):
        aj.simulate(StanfordPKU(), PULSE, solver="rosenbrock", key=jax.random.key(0))


def test_noise_acts_during_a_timed_read_as_during_a_write():
    device = StanfordPKU()
    state = device.init_state(1e-9)
    read = aj.stimuli.ReadPulse(1e-9, 1e-5)
    drive = aj.stimuli.pulse_train([0.0], width=1e-12, read=read)
    quiet, noisy = (
        float(aj.simulate(device, drive, state, key=key).final_state)
        for key in (None, jax.random.key(1))
    )
    # 10 us at the read voltage move the gap by some per cent, without noise by next to nothing.
    assert abs(quiet - 1) < 1e-3
    assert abs(noisy - 1) > 5e-3


def test_a_flow_is_of_one_kind_of_device():
    ranges = dict(negative=(-0.5, -0.3), positive=(0.3, 0.5), cells=16)
    flow = FlowMap.tabulate(VTEAM(), 0.0, 1.0, **ranges)
    with pytest.raises(ValueError, match="must have been tabulated for this kind of device"):
        aj.simulate(VTEAM(iv="exponential"), PULSE, solver=flow)
    with pytest.raises(ValueError, match="must have been tabulated for this kind of device"):
        aj.simulate(Yakopcic(), PULSE, solver=flow)
    other = aj.simulate(VTEAM(k_on=-10.001), PULSE, solver=flow, throw=False)
    assert not bool(other.ok)
    for device in (StanfordPKU(), SoftBounds(), PCM()):
        with pytest.raises(ValueError, match="`device` must have one state number, a velocity"):
            FlowMap.tabulate(device, 0.0, 1.0)
    with pytest.raises(ValueError, match="`step` must be finite and above 0 V"):
        FlowMap.tabulate(VTEAM(), 0.0, 1.0, step=0.0)


def test_float32_where_it_does_not_do():
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match="must run in float64"):
            switching_time(JartVCM(), -0.6, -4.8, 0.0)
        with pytest.raises(ValueError, match="must run in float64"):
            FlowMap.tabulate(JartVCM(), -4.8, 3.0)


@pytest.mark.parametrize(
    ("kind", "v", "width"),
    [
        (LinearIonDrift, 1.0, 0.05),
        (VTEAM, -0.21, 1e-7),
        (TEAM, -0.3, 5e-3),
        (Yakopcic, 0.3, 1e-3),
        (NbSrTiO3, 1.0, 1.0),
        (SchottkyInterface, 2.0, 3e-6),
    ],
)
def test_float32_where_it_does(kind, v, width):
    def change():
        device = kind()
        state = aj.simulate(device, aj.stimuli.pulse_train([v], width=width)).final_state
        return float(state - device.init_state())

    double = change()
    with jax.enable_x64(False):
        single = change()
    assert abs(double) > 0.02
    # The tolerance of single precision is 1e-5 a step, of which there are some ten.
    assert single == pytest.approx(double, abs=5e-4)


@pytest.mark.parametrize(
    "device", [LinearIonDrift(), pytest.param(NbSrTiO3(), marks=pytest.mark.slow)]
)
def test_derivatives_of_a_cycle_that_begins_at_a_bound(device):
    cycle = CycleToCycle(device, Spread({next(iter(device.PARAMETERS)): 0.01}))
    up = device.potentiation
    drive = aj.stimuli.pulse_train(jnp.asarray([-2.0, 0.8]) * up, width=jnp.asarray([50.0, 0.02]))

    def final(t):
        scaled = dataclasses.replace(drive, width=drive.width * t)
        return aj.simulate(cycle, scaled, key=jax.random.key(0), throw=False).final_state.inner

    slope = float(jax.grad(final)(jnp.asarray(1.0)))
    central = float(final(jnp.asarray(1 + 1e-4)) - final(jnp.asarray(1 - 1e-4))) / 2e-4
    assert slope == pytest.approx(central, rel=1e-2)


def test_what_a_wrapper_of_cycles_takes():
    spread = Spread({"k_on": 0.1})
    for device in (PCM(), SoftBounds()):
        with pytest.raises(ValueError, match="`device` must have one state number"):
            CycleToCycle(device, spread)
    with pytest.raises(ValueError, match="`spread` must be a `Spread` that names a parameter"):
        CycleToCycle(VTEAM(), Spread())
    with pytest.raises(ValueError, match="`cycle` must say in `relative` or `absolute` how much"):
        DeviceConfig(kind="VTEAM", cycle=CycleConfig(follow=["k_on"])).build()


def test_a_spread_that_draws_what_cannot_be():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="must draw values that a device may have"):
        sample_devices(JartVCM(), Spread(absolute={"disc_length": 4e-10}), 50, key=key)
    with pytest.raises(ValueError, match="`bounds` must be above 0 where the logarithm is drawn"):
        Spread({"radius": 0.1}, bounds={"radius": (-1e-9, 1e-7)})


def test_spreads_of_other_sizes_share_one_compilation():
    traces = []

    @jax.jit
    def draw(spread, key):
        traces.append(1)
        return sample_devices(VTEAM(), spread, 3, key=key).k_on

    for size in (0.1, 0.2, 0.3):
        draw(Spread({"k_on": size}), jax.random.key(0))
    assert len(traces) == 1


def test_parameters_that_do_not_fit_together():
    with pytest.raises(ValueError, match="`n_max` must be larger than `n_min`"):
        JartVCM(n_min=30.0)
    with pytest.raises(ValueError, match="`cell_length` must be larger than `disc_length`"):
        JartVCM(disc_length=5e-9)
    with pytest.raises(ValueError, match="`read_voltage` must be finite and not 0 V"):
        LinearIonDrift(read_voltage=0.0)
    for kind in (StanfordPKU, SchottkyInterface, JartVCM):
        with pytest.raises(ValueError, match="`ambient_temperature` must be between 200 and 500 K"):
            kind(ambient_temperature=27.0)
    with pytest.raises(ValueError, match="`resistance - r_0` must be finite and above 0 ohm"):
        PulseLaw().pulse(100.0)
    with pytest.raises(ValueError, match="`n` must be finite and above 0"):
        PulseLaw().resistance(0.0)
