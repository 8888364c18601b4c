"""Emission over a Schottky barrier: closed forms, monotony, derivatives, limits."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.physics.contacts import SchottkyJunction, safe_expm1

# CODATA, written out: the reference shares nothing with the code.
Q, K, EPS0 = 1.602176634e-19, 1.380649e-23, 8.8541878128e-12


def junction(barrier=0.7, donors=1e25, temperature=300.0, ideality=1.0, image_force=True, **other):
    values = dict(
        barrier=barrier,
        ideality=ideality,
        richardson=6.01e5,
        fermi_depth=0.1,
        static_permittivity=17.0,
        optical_permittivity=5.5,
        temperature=temperature,
        donors=donors,
    )
    values = {name: jnp.asarray(value, float) for name, value in (values | other).items()}
    return SchottkyJunction(**values, image_force=image_force)


@jax.jit
def law(junction, drop):
    return junction.current_and_slope(drop)


@pytest.mark.parametrize("temperature", [250.0, 300.0, 400.0])
def test_bare_law_is_the_closed_form(temperature):
    drop = np.array([-5.0, -0.3, -1e-9, 0.0, 1e-9, 0.2, 0.6])
    kt = K * temperature / Q
    expected = 6.01e5 * temperature**2 * np.exp(-0.7 / kt) * np.expm1(drop / (1.3 * kt))
    bare = junction(temperature=temperature, ideality=1.3, image_force=False)
    np.testing.assert_allclose(law(bare, drop)[0], expected, rtol=1e-12)


def test_reverse_contact_of_700_meV_blocks_without_image_force_and_leaks_with_it():
    area = 5e-13  # of an electrode of the default film
    blocked = -area * law(junction(image_force=False), jnp.asarray(-5.0))[0]
    # The specification gives one digit: 5e-14 A.
    np.testing.assert_allclose(blocked, 5e-14, rtol=0.1)
    leaks = -area * law(junction(), jnp.asarray(-5.0))[0]
    assert 1e4 < leaks / blocked < 1e6


def test_lowering_in_reverse_is_the_published_fourth_root():
    # JART's form, one permittivity for both: [q^3 N (Phi - phi_n - V) / (8 pi^2 eps^3)]^(1/4).
    same = junction(static_permittivity=5.5, donors=2e24)
    drop = jnp.array([-1.0, -3.0, -6.0])
    root = Q**3 * 2e24 * (0.6 - drop) / (8 * np.pi**2 * (5.5 * EPS0) ** 3)
    expected = 0.7 - root**0.25
    # Band bending and barrier are rounded over kT: e^-23 and less where both are far from zero.
    np.testing.assert_allclose(same.effective_barrier(drop), expected, rtol=1e-9)


def test_more_donors_lower_the_barrier_until_it_has_vanished():
    donors = jnp.geomspace(1e23, 1e28, 6)
    left = junction(donors=donors).effective_barrier(jnp.full(6, -1.0))
    assert (jnp.diff(left) < 0).all()
    # Nothing emits more than a metal without barrier: A* T^2 = 5.4e10 A/m^2.
    np.testing.assert_allclose(junction(donors=1e30).saturation(jnp.asarray(-1.0)), 5.409e10)


def test_a_higher_permittivity_switches_the_image_force_off():
    drop = jnp.array([-5.0, 0.3])
    found = law(junction(optical_permittivity=1e14), drop)[0]
    # The lowering falls as the root of the permittivity: from 0.3 eV to 3e-6 of kT.
    np.testing.assert_allclose(found, law(junction(image_force=False), drop)[0], rtol=5e-6)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    st.floats(-7, 1.0),
    st.floats(0.15, 0.9),
    st.floats(23, 27.3),
    st.floats(250, 400),
    st.floats(1, 3),
)
def test_current_increases_and_slope_is_its_derivative(
    drop, barrier, decades, temperature, ideality
):
    j = junction(barrier, 10**decades, temperature, ideality)
    kt = K * temperature / Q
    step = 1e-4 * kt
    drops = drop + step * jnp.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    current, slope = law(j, drops)
    assert (slope > 0).all()
    assert jnp.sign(current[2]) == jnp.sign(drop)
    difference = (current[0] - 8 * current[1] + 8 * current[3] - current[4]) / (12 * step)
    # Differences of a current at the scale of saturation: round-off of it over 1e-4 kT.
    noise = 1e-11 * (abs(current[2]) / kt)
    np.testing.assert_allclose(difference, slope[2], rtol=1e-8, atol=float(noise))


def test_nothing_overflows():
    for image_force in (True, False):
        for found in law(junction(image_force=image_force), jnp.array([-1e5, 1e5])):
            assert jnp.isfinite(found).all()
    x = jnp.array([-800.0, -30.0, -1e-12, 300.0])
    np.testing.assert_allclose(safe_expm1(x), np.expm1(x), rtol=1e-15)
    # Where expm1 is -1 to the last digit its slope is still e^x.
    np.testing.assert_allclose(jax.grad(safe_expm1)(-50.0), np.exp(-50.0), rtol=1e-14)
