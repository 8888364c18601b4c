"""The four-terminal film behind Schottky contacts."""

from __future__ import annotations

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.devices import FourTerminalTiO2
from analogjax.simulation import Status, simulate
from analogjax.stimuli import pulse_train

NAN = float("nan")
N = 8
WRITE = (5.0, NAN, 0.0, NAN)

CONTACT = (
    "schottky_barrier",
    "ideality",
    "richardson_constant",
    "fermi_depth",
    "static_permittivity",
    "optical_permittivity",
    "contact_resistivity",
)


@pytest.fixture(scope="module")
def device():
    return FourTerminalTiO2(cells=N, contacts="schottky", contact_resistivity=1e-10)


@pytest.fixture(scope="module")
def state(device):
    """A state without any symmetry: the formed one, with 30 % of noise."""
    noise = np.random.default_rng(0).uniform(0.7, 1.3, size=(N, N))
    return device.init_state() * jnp.asarray(noise)


currents = FourTerminalTiO2.terminal_currents
read = FourTerminalTiO2.read


@pytest.mark.slow
def test_read_and_write_current_follow_every_contact_parameter(device, state):
    def observables(values):
        d = eqx.tree_at(lambda d: [getattr(d, name) for name in CONTACT], device, list(values))
        start = d.initial_fields(state)
        # Both solves in one program.
        i, r, _ = d.observe(jnp.asarray(5.0), state, start, state, 0 * state, d.prepare())
        return jnp.log(jnp.stack([r, i]))

    at = jnp.stack([getattr(device, name) for name in CONTACT])
    along = at * jnp.linspace(-1, 1, len(CONTACT))

    @jax.jit
    def both(x):
        return observables(x), jax.jacrev(observables)(x), jax.jvp(observables, (x,), (along,))[1]

    value, reverse, forward = both(at)
    np.testing.assert_allclose(value[0], jnp.log(read(device, state)), rtol=1e-12)
    np.testing.assert_allclose(reverse @ along, forward, rtol=1e-9)
    for k, name in enumerate(CONTACT):
        step = 1e-4 * at[k]
        up, down = (both(at.at[k].add(sign * step))[0] for sign in (1, -1))
        difference = (up - down) / (2 * step)
        assert abs(reverse[:, k] * at[k]).min() > 1e-5, name
        # Error of the difference: (1e-4 * 0.5 eV / kT)^2 / 6 = 6e-7.
        np.testing.assert_allclose(difference, reverse[:, k], rtol=1e-5, err_msg=name)


def test_terminal_currents_obey_kirchhoff_and_floating_electrodes_carry_nothing(device, state):
    for voltages in (WRITE, (NAN, 0.1, NAN, 0.0), (1.0, 2.0, 3.0, 4.0), (0.3, NAN, -0.3, 0.1)):
        found = np.asarray(currents(device, voltages, state))
        assert abs(found.sum()) < 1e-10 * abs(found).max()
        np.testing.assert_array_equal(found[np.isnan(voltages)], 0.0)


def test_current_is_not_odd_but_mirrors_with_the_film(device, state):
    forth, back = (float(device.current(v, state)) for v in (5.0, -5.0))
    # T1 stands on the rich domain, whose barrier is nearly gone; T3 blocks in reverse.
    assert 0 < forth < 0.5 * -back
    mirrored = device.current(-5.0, state[::-1, ::-1])
    np.testing.assert_allclose(mirrored, -forth, rtol=1e-9)


def test_read_is_taken_at_its_own_voltage(device, state):
    small, usual, large = (read(device.replace(read_voltage=v), state) for v in (1e-6, 0.1, 1.0))
    # A contact in reverse saturates over kT; at 1 V the image force has lowered its barrier.
    assert abs(usual / small - 1) > 0.01
    assert abs(large / usual - 1) > 0.01
    # At small voltages the matrix holds, and with it the reduction of Kirchhoff.
    g = np.asarray(device.conductance_matrix(state))
    np.testing.assert_allclose(g, g.T, atol=1e-12 * abs(g).max())
    np.testing.assert_allclose(g.sum(0), 0.0, atol=1e-12 * abs(g).max())
    driven, floating = [1, 3], [0, 2]
    b = g[np.ix_(driven, floating)]
    reduced = g[np.ix_(driven, driven)] - b @ np.linalg.solve(g[np.ix_(floating, floating)], b.T)
    # The next term is odd or even in the voltage over kT: 4e-5.
    np.testing.assert_allclose(small, 1 / reduced[0, 0], rtol=1e-4)


def test_contact_of_700_meV_blocks_without_image_force(device, state):
    bare = FourTerminalTiO2(cells=N, contacts="schottky", image_force=False, schottky_barrier=0.7)
    # Saturation of an electrode of 5e-13 m^2; the specification gives one digit.
    saturation = 5e-13 * 6.01e5 * 300**2 * np.exp(-0.7 * 1.602176634e-19 / (1.380649e-23 * 300))
    np.testing.assert_allclose(saturation, 5e-14, rtol=0.1)
    for v in (5.0, -5.0):
        np.testing.assert_allclose(bare.current(v, state), np.sign(v) * saturation, rtol=1e-9)
    assert device.replace(schottky_barrier=0.7).current(-5.0, state) < -1e5 * saturation


def test_vanishing_barrier_is_the_ohmic_film(device, state):
    ohmic = FourTerminalTiO2(cells=N, contact_resistivity=1e-10)
    open_ = device.replace(schottky_barrier=1e-3, richardson_constant=1e16)
    np.testing.assert_allclose(read(open_, state), read(ohmic, state), rtol=1e-9)
    np.testing.assert_allclose(open_.current(5.0, state), ohmic.current(5.0, state), rtol=1e-9)


def test_vmap_is_a_loop(device, state):
    amplitudes = jnp.array([-5.0, 0.01, 0.5, 7.0])
    together = jax.vmap(lambda v: device.current(v, state))(amplitudes)
    alone = jnp.stack([device.current(v, state) for v in amplitudes])
    np.testing.assert_allclose(together, alone, rtol=1e-10)


def test_ohmic_film_ignores_the_parameters_of_the_barrier(state):
    ohmic = FourTerminalTiO2(cells=N)
    other = ohmic.replace(schottky_barrier=0.9, ideality=2.0, richardson_constant=1e3)
    assert read(other, state) == read(ohmic, state)


@pytest.fixture(scope="module")
def train():
    return pulse_train([5.0, 5.0, -5.0, -5.0], width=0.25)


@pytest.mark.parametrize("temperature", [250.0, 300.0, 400.0])
def test_pulses_write_at_any_temperature(device, train, temperature):
    # 0.1 s at 400 K would move as much as minutes at 300 K.
    there = device.replace(ambient_temperature=temperature, activation_energy=temperature / 600)
    result = simulate(there, train)
    r = np.asarray(result.read_resistance)
    assert result.ok
    assert np.isfinite(r).all()
    assert r[2] < r[1] < r[0]
    assert r[4] > r[3] > r[2]
    assert (np.asarray(result.i)[1:] * np.asarray(result.v)[1:] > 0).all()
    np.testing.assert_allclose(result.final_state.sum(), there.init_state().sum(), rtol=1e-12)


def test_hot_contacts_emit_more(device, state):
    cold, hot = (read(device.replace(ambient_temperature=t), state) for t in (250.0, 400.0))
    assert cold > 5 * hot


@pytest.mark.slow
def test_heat_includes_the_contacts(state):
    hot = FourTerminalTiO2(cells=N, contacts="schottky", self_heating=True, heat_sink=1e7)

    @eqx.filter_jit
    def settled(d):
        v, work = jnp.asarray(-5.0), d.prepare()
        fields = d.settle(v, state, d.initial_fields(state), work, "write")
        return fields, d.observe(v, state, fields, state, 0 * state, work)[0]

    fields, current = settled(hot)
    into_sink = 1e7 * (10e-6 / N) ** 2 * (fields.temperature - 300.0).sum()
    power = -5.0 * current
    # What the twelve iterations of settling leave of a rise of 1 K.
    np.testing.assert_allclose(into_sink, power, rtol=1e-9)


def test_solve_that_fails_is_reported(device, train):
    # Contacts that emit less than the smallest number: no level of the film is fixed by anything.
    closed = device.replace(schottky_barrier=30.0)
    result = simulate(closed, train, throw=False)
    assert not result.ok
    assert result.status == Status.OUT_OF_RANGE
    assert np.isfinite(result.final_state).all()
    with pytest.raises(RuntimeError, match=re.escape("Pulse 1 of 4 (5 V for 0.25 s)")):
        simulate(closed, train)


def test_unknown_contacts_get_one_sentence():
    message = "Argument `contacts` must be one of 'ohmic', 'schottky', but is 'shottky'"
    with pytest.raises(ValueError, match=re.escape(message)):
        FourTerminalTiO2(contacts="shottky")
    with pytest.raises(ValueError, match="Argument `ideality` must be between 1 and 10"):
        FourTerminalTiO2(contacts="schottky", ideality=0.5)
