"""The four-terminal TiO2-x device: read-out, Kirchhoff, equilibria, heat, bounds, arguments."""

from __future__ import annotations

import itertools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.constants import BOLTZMANN_EV
from analogjax.devices import FilmFields, FourTerminalTiO2
from analogjax.physics.cosine import laplacian_eigenvalues

NAN = float("nan")
N = 12


@pytest.fixture(scope="module")
def device():
    return FourTerminalTiO2(cells=N)


@pytest.fixture(scope="module")
def state(device):
    """A state without any symmetry: the formed one, with 30 % of noise."""
    noise = np.random.default_rng(0).uniform(0.7, 1.3, size=(N, N))
    return device.init_state() * jnp.asarray(noise)


currents = FourTerminalTiO2.terminal_currents
matrix = FourTerminalTiO2.conductance_matrix
read = FourTerminalTiO2.read
fields = FourTerminalTiO2.fields


@eqx.filter_jit
def rate(device, v, state):
    work = device.prepare()
    return device.rate(v, state, device.initial_fields(state), work, "write")[0]


# State.


def test_formed_state_is_a_domain_at_t1(device):
    c = np.asarray(device.init_state())
    x = (np.arange(N) + 0.5) / N
    s = (x[:, None] + x[None, :] - 1) / np.sqrt(2)
    expected = 0.05 + 2.95 / 2 * (1 - np.tanh((s + 0.27) / 0.10))
    np.testing.assert_allclose(c, expected, rtol=1e-13)
    np.testing.assert_allclose(c, c.T, rtol=1e-15)
    assert c[0, 0] == c.max() > 2.9
    assert c[-1, -1] == c.min() < 0.051


def test_vacancies_are_the_state(device, state):
    assert device.vacancies(state) is state


def test_valid_states(device):
    c = device.init_state()
    assert device.valid(c)
    assert not device.valid(c.at[0, 0].set(10.5))
    assert not device.valid(c.at[0, 0].set(-0.5))
    assert not device.valid(c.at[0, 0].set(jnp.nan))


# Terminals.


@pytest.mark.parametrize(
    "voltages",
    [
        [5.0, NAN, 0.0, NAN],
        [NAN, 0.1, NAN, 0.0],
        [1.0, 2.0, 3.0, 4.0],
        [-7.0, 7.0, NAN, NAN],
        [0.3, NAN, -0.3, 0.1],
    ],
)
def test_terminal_currents_sum_to_zero(device, state, voltages):
    found = np.asarray(currents(device, voltages, state))
    assert abs(found.sum()) < 1e-12 * abs(found).max()
    np.testing.assert_array_equal(found[np.isnan(voltages)], 0.0)


def test_no_current_without_a_voltage_difference(device, state):
    common = currents(device, jnp.full(4, 3.0), state)
    scale = 3.0 * matrix(device, state)[0, 0]
    assert abs(common).max() < 1e-12 * scale


def test_conductance_matrix_is_reciprocal_and_passive(device, state):
    g = np.asarray(matrix(device, state))
    scale = abs(g).max()
    np.testing.assert_allclose(g, g.T, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(g.sum(1), 0.0, atol=1e-12 * scale)
    assert (g[~np.eye(4, dtype=bool)] < 0).all()


def reduce_kirchhoff(g, driven, floating):
    """Eliminate floating electrodes: V_f = -G_ff^-1 G_fd V_d."""
    a = g[np.ix_(driven, driven)]
    b = g[np.ix_(driven, floating)]
    return a - b @ np.linalg.solve(g[np.ix_(floating, floating)], b.T)


def test_read_is_the_kirchhoff_reduction_of_the_matrix(device, state):
    reduced = reduce_kirchhoff(np.asarray(matrix(device, state)), [1, 3], [0, 2])
    np.testing.assert_allclose(read(device, state), 1 / reduced[0, 0], rtol=1e-12)


def test_write_current_is_the_kirchhoff_reduction_of_the_matrix(device, state):
    reduced = reduce_kirchhoff(np.asarray(matrix(device, state)), [0, 2], [1, 3])
    found = currents(device, [5.0, NAN, 0.0, NAN], state)
    np.testing.assert_allclose(found[0], 5 * reduced[0, 0], rtol=1e-12)


def test_current_and_conductance_are_what_they_say(device, state):
    found = device.current(5.0, state), device.conductance(state)
    expected = currents(device, [5.0, NAN, 0.0, NAN], state)[0], 1 / read(device, state)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_resistance_scales_as_ohm_has_it(device, state):
    base = read(device, state)
    # Twice as thick, twice as conducting; the side cancels in two dimensions.
    np.testing.assert_allclose(read(device.replace(thickness=200e-9), state), base / 2, rtol=1e-12)
    np.testing.assert_allclose(read(device.replace(side=3e-6), state), base, rtol=1e-12)
    twice = device.replace(sigma_background=80.0, sigma_1=84.0)
    np.testing.assert_allclose(read(twice, state), base / 2, rtol=1e-12)
    np.testing.assert_allclose(read(device.replace(read_voltage=0.2), state), base, rtol=1e-12)


def test_contact_resistance_of_uniform_contacts_only_adds(device, state):
    base = read(device, state)
    small, large = (read(device.replace(contact_resistivity=r), state) for r in (1e-10, 1e-9))
    assert base < small < large
    # Each contact has an area of 2 * 0.25 L * h = 5e-13 m^2. In series with the undisturbed
    # contact it would add 2 rho / area = 4000 ohm: at least, for a current that crowds at the tips.
    assert large - base > 2 * 1e-9 / 5e-13


def test_a_mirrored_film_reads_the_same_through_mirrored_electrodes(device, state):
    # x <-> y swaps T2 and T4; a turn by 180 degrees swaps T1 with T3 and T2 with T4.
    np.testing.assert_allclose(read(device, state.T), read(device, state), rtol=1e-12)
    np.testing.assert_allclose(read(device, state[::-1, ::-1]), read(device, state), rtol=1e-12)


def test_anisotropy_and_transposed_film_exchange_axes(device, state):
    stretched = device.replace(sigma_anisotropy=4.0)
    # sigma_y = 4 sigma_x on c equals sigma_x = 4 sigma_y on c.T.
    other = device.replace(sigma_anisotropy=0.25, sigma_background=4 * 40.0, sigma_1=4 * 42.0)
    np.testing.assert_allclose(read(other, state.T), read(stretched, state), rtol=1e-12)


# Transport in the device.


def test_rate_conserves_vacancies(device, state):
    found = np.asarray(rate(device, jnp.asarray(7.0), state))
    assert abs(found.sum()) < 1e-12 * abs(found).sum()


def test_mirrored_state_under_opposite_drive_gives_the_mirrored_rate(device, state):
    # V7. A turn by 180 degrees swaps T1 and T3; V on T1 becomes V on T3, which is -V on T1.
    forth = np.asarray(rate(device, jnp.asarray(5.0), state))
    back = np.asarray(rate(device, jnp.asarray(-5.0), state[::-1, ::-1]))[::-1, ::-1]
    np.testing.assert_allclose(back, forth, atol=1e-13 * abs(forth).max())
    transposed = np.asarray(rate(device, jnp.asarray(5.0), state.T)).T
    np.testing.assert_allclose(transposed, forth, atol=1e-13 * abs(forth).max())


def test_without_field_the_rate_is_diffusion(device, state):
    found = np.asarray(rate(device, jnp.asarray(0.0), state))
    d = float(device.diffusivity(jnp.asarray(300.0)))
    padded = np.pad(np.asarray(state), 1, mode="edge")
    laplacian = (
        padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2] - 4 * state
    )
    dx = 10e-6 / N
    np.testing.assert_allclose(found, d / dx**2 * laplacian, atol=1e-12 * abs(found).max())


def test_ambipolar_diffusion_is_faster_and_drift_the_same(device, state):
    chi = device.replace(ambipolar_factor=0.5)
    at_zero = rate(chi, jnp.asarray(0.0), state) / rate(device, jnp.asarray(0.0), state)
    # 1 + chi z.
    np.testing.assert_allclose(at_zero, 2.0, rtol=1e-9)
    drift = [
        rate(d, jnp.asarray(5.0), state) - rate(d, jnp.asarray(0.0), state) for d in (chi, device)
    ]
    # cosh(xi) of the field, xi = 0.01, acts on the larger diffusion too.
    np.testing.assert_allclose(drift[0], drift[1], atol=1e-3 * abs(drift[1]).max())


def test_hot_film_moves_by_arrhenius(device, state):
    warm = device.replace(ambient_temperature=310.0)
    ratio = rate(warm, jnp.asarray(0.0), state).max() / rate(device, jnp.asarray(0.0), state).max()
    expected = np.exp(0.5 / BOLTZMANN_EV * (1 / 300 - 1 / 310))
    np.testing.assert_allclose(ratio, expected, rtol=1e-10)


# V5: Scharfetter-Gummel with backward Euler at 7 V.


@eqx.filter_jit
def newton(device, c, before, v, dt):
    """One damped step of Newton's method on backward Euler, with a dense Jacobian."""

    def residual(flat):
        return (flat - before.reshape(-1)) - dt * rate(device, v, flat.reshape(c.shape)).reshape(-1)

    flat = c.reshape(-1)
    step = jnp.linalg.solve(jax.jacfwd(residual)(flat), -residual(flat))
    # At most nine tenths of the way to an empty or a full cell.
    room = jnp.where(step > 0, device.c_max - flat, flat)
    damping = jnp.minimum(1.0, 0.9 / jnp.max(jnp.abs(step) / room))
    return (flat + damping * step).reshape(c.shape), jnp.max(jnp.abs(step))


def test_implicit_scharfetter_gummel_conserves_and_stays_in_bounds():
    device = FourTerminalTiO2(cells=8, scheme="sg")
    start = c = device.init_state()
    for _ in range(5):
        before, size, iterations = c, np.inf, 0
        while size > 1e-12:
            c, size = newton(device, c, before, jnp.asarray(7.0), 1.0)
            iterations += 1
            assert iterations < 30
        np.testing.assert_allclose(c.sum(), start.sum(), rtol=1e-13)
        assert 0 < c.min()
        assert c.max() < 10
        i = np.asarray(currents(device, [7.0, NAN, 0.0, NAN], c))
        assert abs(i.sum()) < 1e-12 * abs(i).max()
    # 1 s at 7 V moves far more than round-off: this is no test of standing still.
    assert abs(c - start).max() > 0.5


@pytest.mark.slow
def test_backward_euler_has_order_one_in_time():
    # V6, and with it that the rate is what both an explicit and an implicit method integrate.
    device = FourTerminalTiO2(cells=8, scheme="sg")

    def march(steps, duration=2.0):
        c = device.init_state()
        for _ in range(steps):
            before, size = c, np.inf
            while size > 1e-10:
                c, size = newton(device, c, before, jnp.asarray(5.0), duration / steps)
        return np.asarray(c)

    # Differences of successive results, so that the order needs no reference.
    changes = [abs(b - a).max() for a, b in itertools.pairwise(map(march, (2, 4, 8)))]
    np.testing.assert_allclose(np.log2(changes[0] / changes[1]), 1.0, atol=0.1)


# Rest.


def test_rest_decays_at_the_discrete_rate_of_its_slowest_mode(device):
    x = (np.arange(N) + 0.5) / N
    wave = jnp.asarray(np.cos(np.pi * x)[:, None] * np.ones(N))
    d = float(device.diffusivity(jnp.asarray(300.0)))
    duration = 500.0
    expected = np.exp(-d * duration * laplacian_eigenvalues(N)[1] / (10e-6 / N) ** 2)
    found = device.rest(2.0 + wave, jnp.asarray(duration))
    np.testing.assert_allclose(found - 2.0, expected * wave, atol=1e-13)


def test_rest_composes_and_ends_in_the_mean(device, state):
    once = device.rest(state, jnp.asarray(3000.0))
    twice = device.rest(device.rest(state, jnp.asarray(1000.0)), jnp.asarray(2000.0))
    np.testing.assert_allclose(twice, once, atol=1e-13)
    for_ever = device.rest(state, jnp.asarray(1e12))
    np.testing.assert_allclose(for_ever, state.mean(), rtol=1e-12)
    np.testing.assert_array_equal(jax.grad(lambda t: device.rest(state, t).sum())(1e12), 0.0)


def test_rest_diffuses_along_y_by_its_own_anisotropy(device, state):
    slow_y = device.replace(diffusion_anisotropy=1e-9)
    after = slow_y.rest(state, jnp.asarray(1e6))
    # x has mixed completely, y not at all (D_y t / L^2 = 4e-8).
    np.testing.assert_allclose(after, np.ones((N, 1)) * state.mean(0)[None], rtol=1e-4)


# Heat.


@pytest.fixture(scope="module")
def hot():
    """The default set at N = 48 with self-heating on: 0.8 K mean, 6.7 K at an electrode tip."""
    device = FourTerminalTiO2(cells=48, self_heating=True)
    state = device.init_state()
    return device, state, fields(device, 5.0, state)


def test_self_heating_of_the_default_set_is_small(hot):
    _, _, found = hot
    rise = np.asarray(found.temperature) - 300.0
    # The specification gives one digit of the mean and two of the maximum.
    np.testing.assert_allclose(rise.mean(), 0.8, atol=0.1)
    np.testing.assert_allclose(rise.max(), 6.7, rtol=0.1)


def test_sink_takes_the_electric_power(hot):
    device, state, found = hot
    into_sink = 1e6 * (10e-6 / 48) ** 2 * (found.temperature - 300.0).sum()
    i = currents(device, [5.0, NAN, 0.0, NAN], state)[0]
    # The conductivity's temperature coefficient is 0.4 %/K: twelve iterations end in round-off.
    np.testing.assert_allclose(into_sink, 5.0 * i, rtol=1e-12)


def test_potential_and_temperature_are_a_fixed_point(hot):
    device, state, found = hot
    again = eqx.filter_jit(lambda d, s, f: d.settle(jnp.asarray(5.0), s, f, d.prepare(), "write"))(
        device, state, found
    )
    np.testing.assert_allclose(again.temperature, found.temperature, rtol=1e-13)
    np.testing.assert_allclose(again.potential, found.potential, atol=1e-12)


def test_settling_of_the_hot_preset_leaves_a_millionth_of_the_jump():
    device = FourTerminalTiO2(cells=N, preset="nonvolatile")
    state = device.init_state()
    once = fields(device, 5.0, state)
    rise = np.asarray(once.temperature) - 300.0
    assert 150 < rise.mean() < rise.max() < 350
    twice = eqx.filter_jit(lambda d, s, f: d.settle(jnp.asarray(5.0), s, f, d.prepare(), "write"))(
        device, state, once
    )
    assert abs(twice.temperature - once.temperature).max() < 2e-6 * rise.max()


def test_warm_film_conducts_better_until_it_has_cooled(state):
    device = FourTerminalTiO2(cells=N, self_heating=True)
    warm = FilmFields(0 * state, jnp.full((N, N), 310.0), jnp.asarray(0.0))
    reader = eqx.filter_jit(lambda d, s, f, t: d.read_warm(s, f, t, d.prepare()))
    for elapsed in (0.0, 1e-4, 3e-4, 1e-2):
        # A uniform rise scales every conductivity alike: by sigma's own barrier of 0.03 eV.
        t = 300 + 10 * np.exp(-elapsed / 1e-4)
        factor = np.exp(-0.03 / BOLTZMANN_EV * (1 / t - 1 / 300))
        resistance = reader(device, state, warm, jnp.asarray(elapsed))
        np.testing.assert_allclose(resistance, read(device, state) / factor, rtol=1e-12)


# Options.


def test_power_law_with_exponent_one_is_nearly_affine(state):
    power = FourTerminalTiO2(cells=N, conduction="power", sigma_exponent=1.0)
    # The law's shift of c by 1e-3 raises sigma by 0.042 S/m of at least 40.
    base = read(FourTerminalTiO2(cells=N), state)
    np.testing.assert_allclose(read(power, state), base, rtol=1.1e-3)
    assert read(power, state) < base


def test_every_parameter_has_unit_meaning_and_source():
    assert FourTerminalTiO2.PARAMETERS
    for parameter in FourTerminalTiO2.PARAMETERS.values():
        assert parameter.unit
        assert parameter.meaning
        assert parameter.source


def test_parameters_are_differentiable_leaves_in_double_precision(device):
    leaves = device.parameters()
    assert list(leaves) == list(FourTerminalTiO2.PARAMETERS)
    assert all(leaf.dtype == jnp.float64 and leaf.shape == () for leaf in leaves.values())
    assert len(jax.tree.leaves(device)) == len(leaves)


def test_replace_changes_one_parameter(device):
    other = device.replace(sigma_1=50.0)
    assert float(other.sigma_1) == 50.0
    assert float(device.sigma_1) == 42.0
    assert device.replace() is device


def test_preset_sets_values_and_self_heating():
    device = FourTerminalTiO2(cells=N, preset="nonvolatile", heat_sink=3e6)
    assert device.self_heating
    assert float(device.activation_energy) == 1.1
    assert float(device.heat_sink) == 3e6
    assert device.default_solver == "adaptive"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"activation_enery": 0.5},
            "Argument `activation_enery` must be a parameter of FourTerminalTiO2, but it has none "
            "of that name, did you mean `activation_energy`?",
        ),
        (
            {"zzz": 0.5},
            "Argument `zzz` must be a parameter of FourTerminalTiO2, but it has none of that name.",
        ),
        (
            {"electrode_arm": 0.5},
            "Argument `electrode_arm` must be between 0.01 and 0.49 L, but is 0.5.",
        ),
        (
            {"sigma_background": 0.0},
            "Argument `sigma_background` must be finite and above 0 S/m, but is 0.0.",
        ),
        (
            {"contact_resistivity": -1.0},
            "Argument `contact_resistivity` must be finite and at least 0 ohm m^2, but is -1.0.",
        ),
        (
            {"side": NAN},
            "Argument `side` must be finite and above 0 m, but is nan.",
        ),
        (
            {"cells": 4},
            "Argument `cells` must be at least 8, so that an electrode arm of 0.25 L covers two "
            "faces, but is 4.",
        ),
        (
            {"cells": 48, "electrode_arm": 0.03},
            "Argument `cells` must be at least 67, so that an electrode arm of 0.03 L covers two "
            "faces, but is 48.",
        ),
        ({"cells": 3}, "Argument `cells` must be at least 4, but is 3."),
        (
            {"preset": "volatile"},
            "Argument `preset` must be one of 'isothermal', 'nonvolatile', but is 'volatile' "
            "(did you mean 'nonvolatile'?).",
        ),
        (
            {"scheme": "upwind"},
            "Argument `scheme` must be one of 'muscl', 'sg', but is 'upwind'.",
        ),
        (
            {"conduction": "afine"},
            "Argument `conduction` must be one of 'affine', 'power', but is 'afine' "
            "(did you mean 'affine'?).",
        ),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_bad_argument_gets_one_sentence(options, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        FourTerminalTiO2(**options)


def test_replace_speaks_the_same_sentences(device):
    with pytest.raises(ValueError, match="did you mean `sigma_1`"):
        device.replace(sigma1=1.0)
    with pytest.raises(ValueError, match="Argument `side` must be finite and above 0 m"):
        device.replace(side=-1.0)


def test_wrong_number_of_voltages_gets_one_sentence(device, state):
    message = "Argument `voltages` must have shape (4,), but has shape (3,)."
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        device.terminal_currents(jnp.zeros(3), state)
