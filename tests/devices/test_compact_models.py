"""What every compact device must do: signs, reads, batches, gradients, arguments, temperatures."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax import devices
from analogjax.simulation import ForwardMode, Rosenbrock, simulate
from analogjax.stimuli import pulse_train

# Device, two amplitudes [V], two widths [s]: both move the state, neither to a bound.
CASES = {
    "ion drift, Biolek": (
        devices.LinearIonDrift(window="biolek", window_exponent=2.0, x_0=0.3),
        [1.0, -0.5],
        [0.05, 0.05],
    ),
    "ion drift, Prodromakis": (
        devices.LinearIonDrift(window="prodromakis", window_exponent=3.0, x_0=0.5),
        [1.0, -0.5],
        [0.05, 0.05],
    ),
    "VTEAM": (
        devices.VTEAM(window="kvatinsky", iv="exponential", k_on=-5e-4, w_c=3e-10, w_on=1e-10),
        [-0.5, 0.3],
        [6e-8, 6e-8],
    ),
    "TEAM": (devices.TEAM(window="joglekar"), [-0.1, 0.5], [0.1, 8.0]),
    "Yakopcic": (devices.Yakopcic(), [0.3, -0.3], [5e-4, 5e-4]),
    "Nb:SrTiO3": (devices.NbSrTiO3(x_0=0.15), [1.0, -1.0], [0.5, 5.0]),
    "Stanford-PKU": (devices.StanfordPKU(gap_init=1e-9), [1.5, -1.4], [3e-9, 2e-8]),
    "Schottky": (devices.SchottkyInterface(), [2.0, -2.0], [5e-6, 5e-6]),
    "constant step": (devices.ConstantStep(w_0=0.1), [1.0, -1.0], [1.0, 1.0]),
    "linear step": (devices.LinearStep("ecram", up_down=-0.2, w_0=0.1), [1.0, -1.0], [1.0, 1.0]),
    "soft bounds": (devices.SoftBounds("reram_array_om", w_0=0.3), [1.0, -1.0], [1.0, 1.0]),
    "exponential step": (devices.ExpStep(w_0=0.2), [1.0, -1.0], [1.0, 1.0]),
}
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def solver_of(device):
    """The default, but so tight that a difference quotient does not see its steps."""
    return None if device.default_solver == "step" else Rosenbrock(1e-11, 1e-11)


def start(device):
    """In the middle of the boundary's range where the fresh device sits on a bound."""
    if isinstance(device, devices.VTEAM | devices.TEAM):
        return device.init_state(0.4 * device.w_on + 0.6 * device.w_off)
    return device.init_state()


@EVERY
def test_gradients_by_every_parameter_against_central_differences(case):
    device, amplitudes, widths = case
    drive = pulse_train(amplitudes, width=jnp.asarray(widths))
    names = tuple(device.PARAMETERS)
    values = jnp.stack([getattr(device, name) for name in names])
    count, step = len(names), 3e-5

    def outcome(scales):
        own = eqx.tree_at(
            lambda d: tuple(getattr(d, n) for n in names), device, tuple(values * scales)
        )
        result = simulate(
            own, drive, start(own), solver=solver_of(own), adjoint=ForwardMode(), throw=False
        )
        out = [result.final_state, result.i[-1], result.read_resistance[-1]]
        return jnp.stack(out), result.ok

    # One compilation: rows with a tangent and no shift, then rows with a shift and no tangent.
    eye, none = jnp.eye(count), jnp.zeros((2 * count, count))
    shifts = jnp.concatenate([jnp.zeros((count, count)), step * eye, -step * eye])
    tangents = jnp.concatenate([eye, none])
    push = jax.jit(jax.vmap(lambda x, t: jax.jvp(outcome, (x,), (t,), has_aux=True)))
    values_at, slopes, ok = push(1 + shifts, tangents)
    assert bool(jnp.all(ok))
    differences = (values_at[count : 2 * count] - values_at[2 * count :]) / (2 * step)
    # Step squared times a third derivative (1e-9 times 20^3 for a barrier over kT): 1e-5 of the
    # value; of a component that does not matter, 1e-7 of the largest.
    for slope, difference in zip(slopes[:count].T, differences.T, strict=True):
        largest = float(jnp.abs(difference).max())
        assert largest > 0
        np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-7 * largest)


@EVERY
def test_potentiation_lowers_the_resistance_and_a_batch_is_a_loop(case):
    device, amplitudes, widths = case
    size, long = np.abs(amplitudes), np.asarray(widths)
    sign = device.potentiation
    # One row potentiates, one depresses.
    rows = jnp.asarray([sign * size, -sign * size])
    run = eqx.filter_jit(
        lambda v: simulate(device, pulse_train(v, width=jnp.asarray(long)), start(device))
    )
    batch = jax.vmap(run)(rows)
    assert bool(jnp.all(batch.ok))
    r = np.asarray(batch.read_resistance)
    assert r[0, -1] < r[0, 0]
    assert r[1, -1] > r[1, 0]
    # Lanes of a batch may take each other's branches, not each other's numbers.
    np.testing.assert_allclose(run(rows[1]).read_resistance, r[1], rtol=1e-9)


@EVERY
def test_every_state_reads_finite_and_saturating_states_stay_within_bounds(case):
    device, _, _ = case
    low, high = device.bounds()
    states = low + (high - low) * jnp.linspace(0, 1, 11)
    r = jax.vmap(device.read)(states)
    assert bool(jnp.all(jnp.isfinite(r) & (r > 0)))
    assert bool(jnp.all(jax.vmap(device.valid)(states)))
    one = device.read(states[3])
    # i / v at the read voltage, by definition.
    np.testing.assert_allclose(
        one, device.read_voltage / device.current(device.read_voltage, states[3])
    )


@pytest.mark.parametrize("kelvin", [250.0, 400.0])
@pytest.mark.parametrize("name", ["Stanford-PKU", "Schottky"])
def test_physical_devices_run_from_250_to_400_kelvin(name, kelvin):
    device, amplitudes, widths = CASES[name]
    other = device.replace(ambient_temperature=kelvin)
    result = simulate(other, pulse_train(amplitudes, width=jnp.asarray(widths)))
    assert bool(jnp.all(jnp.isfinite(result.read_resistance)))
    # Thermally activated: slower in the cold, faster in the heat.
    v, state = jnp.asarray(amplitudes[0]), device.init_state()
    assert (abs(other.velocity(v, state)) > abs(device.velocity(v, state))) == (kelvin > 300)


def test_names_presets_and_numbers_are_checked():
    with pytest.raises(ValueError, match="`preset` must be one of 'oblea', 'miao', 'jo'"):
        devices.Yakopcic("mioa")
    with pytest.raises(ValueError, match="did you mean 'joglekar'"):
        devices.LinearIonDrift(window="jogelkar")
    with pytest.raises(ValueError, match="did you mean `v_off`"):
        devices.VTEAM(voff=0.1)
    with pytest.raises(ValueError, match="`iv` must be one of 'linear', 'exponential'"):
        devices.TEAM(iv="log")
    with pytest.raises(ValueError, match="`i_on` must be between -1000 and -1e-15 A, but is 8"):
        devices.TEAM(i_on=8.9e-6)
    with pytest.raises(ValueError, match=r"`r_off` must be larger than `r_on` \(100 ohm\)"):
        devices.LinearIonDrift().replace(r_off=50.0)
    with pytest.raises(ValueError, match="`eta` must be 1 or -1, but is 0"):
        devices.Yakopcic(eta=0)


def test_a_solver_in_time_and_a_law_per_pulse_do_not_mix():
    drive = pulse_train([1.0], width=1.0)
    with pytest.raises(ValueError, match="`solver` must be 'step'"):
        simulate(devices.SoftBounds(), drive, solver="rosenbrock")
    with pytest.raises(ValueError, match="integrates in time for a VTEAM, but is 'step'"):
        simulate(devices.VTEAM(), drive, solver="step")


def test_devices_that_differ_in_numbers_share_a_compilation():
    drive = pulse_train([0.3], width=1e-4)
    run = eqx.filter_jit(eqx.debug.assert_max_traces(lambda d: simulate(d, drive).i, max_traces=1))
    for preset in ("oblea", "miao", "jo"):
        run(aj.devices.Yakopcic(preset))
