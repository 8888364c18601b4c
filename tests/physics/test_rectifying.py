"""Films behind junctions: scalar roots, the ohmic limit, Kirchhoff, Tellegen, derivatives."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq

from analogjax.physics.conduction import Bias, ConductanceNetwork
from analogjax.physics.contacts import SchottkyJunction
from analogjax.physics.elliptic import CosinePreconditioner
from analogjax.physics.grid import corner_electrodes, edge_values, side_electrodes
from analogjax.physics.rectifying import RectifyingNetwork, residual, solve

NAN = float("nan")
Q, K, EPS0 = 1.602176634e-19, 1.380649e-23, 8.8541878128e-12
N = 8
AREA = 1e-13  # of a face [m^2]
SIDES = side_electrodes(N)
CORNERS = corner_electrodes(N, jnp.asarray(0.3))


def network(coverage, sheet, donors, barrier, ideality=1.0, richardson=6.01e5, image_force=True):
    junction = SchottkyJunction(
        barrier=barrier,
        ideality=jnp.asarray(ideality, float),
        richardson=jnp.asarray(richardson, float),
        fermi_depth=jnp.asarray(0.1),
        static_permittivity=jnp.asarray(17.0),
        optical_permittivity=jnp.asarray(5.5),
        temperature=jnp.asarray(300.0),
        donors=edge_values(donors)[None],
        image_force=image_force,
    )
    film = ConductanceNetwork(sheet, coverage)
    return RectifyingNetwork(film, coverage, junction, jnp.asarray(AREA))


# One dimension: junction, resistor, junction.


@jax.jit
def through(sheet, donors, barrier, ideality, voltage):
    found = []
    for image_force in (True, False):
        net = network(SIDES, sheet, donors, barrier, ideality, image_force=image_force)
        bias = Bias(jnp.stack([voltage, jnp.zeros_like(voltage)]))
        found.append(net.conduct(bias, CosinePreconditioner(SIDES)).currents)
    return jnp.stack(found)


def density(u, barrier, donors, ideality, image_force):
    """J [A/m^2] as the model's text has it, in NumPy."""
    kt = K * 300.0 / Q
    if image_force:
        bending = kt * np.logaddexp(0, (barrier - 0.1) / kt) + kt * np.logaddexp(0, -u / kt)
        field = np.sqrt(2 * Q * donors * bending / (17.0 * EPS0))
        left = barrier - np.sqrt(Q * field / (4 * np.pi * 5.5 * EPS0))
        barrier = kt / 4 * np.logaddexp(0, 4 * left / kt)
    # Cut off where brentq only looks for a sign.
    return 6.01e5 * 300.0**2 * np.exp(-barrier / kt) * np.expm1(min(u / (ideality * kt), 300))


@pytest.mark.parametrize("voltage", [5.0, -5.0, 0.1, 1e-3])
@pytest.mark.parametrize("barrier", [0.2, 0.5, 0.7])
def test_film_between_two_contacts_is_a_scalar_root(barrier, voltage):
    profile = 1e-5 * (1 + 0.5 * np.sin(np.arange(N)))
    donors = np.geomspace(6e26, 1e25, N)
    sheet, n = (jnp.asarray(x[:, None] * np.ones((1, N))) for x in (profile, donors))
    found = through(sheet, n, jnp.asarray(barrier), jnp.asarray(1.2), jnp.asarray(voltage))
    resistance = (1 / profile).mean()
    for (into, out), image_force in zip(np.asarray(found), (True, False), strict=True):

        def current(u, end, image_force=image_force):
            return N * AREA * density(u, barrier, donors[end], 1.2, image_force)

        def mismatch(u, current=current):
            return current(u, 0) + current(u + current(u, 0) * resistance - voltage, -1)

        drop = brentq(mismatch, *sorted([0.0, voltage]), xtol=1e-300, rtol=1e-15)
        expected = current(drop, 0)
        # The contact that limits has the larger drop and is exact to round-off; the other sees the
        # round-off of the film's potential, 1e-15 V, over a drop of as little as 1e-6 V.
        limits = abs(voltage - drop - expected * resistance) > abs(drop)
        tight, loose = (-out, into) if limits else (into, -out)
        np.testing.assert_allclose(tight, expected, rtol=1e-11)
        np.testing.assert_allclose(loose, expected, rtol=1e-8)


def test_high_emission_is_an_ohmic_contact():
    rng = np.random.default_rng(0)
    sheet = jnp.asarray(1e-5 * rng.uniform(0.3, 3, (N, N)))

    @jax.jit
    def both(sheet):
        bias = Bias(jnp.array([1.0, NAN, 0.0, NAN]))
        preconditioner = CosinePreconditioner(CORNERS)
        net = network(CORNERS, sheet, 1e25 + 0 * sheet, jnp.asarray(0.0), richardson=1e18)
        return net.conduct(bias, preconditioner), net.film.conduct(bias, preconditioner)

    found, expected = both(sheet)
    # A face's current of 1e-6 A in kT over that emission: 1e-6 * 0.026 / (1e-13 * 9e22 / 2) V.
    for name in ("potential", "currents", "voltages"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-18
        )
    np.testing.assert_allclose(found.heat, expected.heat, rtol=1e-10)


# Any film, any barrier, any voltages.


@jax.jit
def film(sheet, donors, barrier, voltages):
    net = network(CORNERS, sheet, donors, barrier)
    bias = Bias(voltages)
    preconditioner = CosinePreconditioner(CORNERS)
    at = solve(net, bias, preconditioner=preconditioner, guess=jnp.zeros_like(sheet))
    raw = (net.coverage * net.current(at.faces)).sum((1, 2))
    return net.conduct(bias, preconditioner), raw, residual(net, bias, at)


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    arrays(np.float64, (N, N), elements=st.floats(-2, 2)),
    st.floats(0.0, 0.7),
    arrays(np.float64, 4, elements=st.floats(-7, 7, width=32)),
    st.sets(st.integers(0, 3), max_size=2),
)
def test_any_film_obeys_kirchhoff_and_tellegen(decades, barrier, voltages, floating):
    voltages[list(floating)] = NAN
    driven = voltages[~np.isnan(voltages)]
    # Below that nothing flows, and there is no largest current to compare with.
    hypothesis.assume(np.ptp(driven) > 1e-3)
    sheet, donors = 1e-5 * np.exp(decades), 1e26 * np.exp(decades)
    found, raw, left = film(*map(jnp.asarray, (sheet, donors, barrier, voltages)))
    largest = np.abs(found.currents).max()
    assert np.isfinite(largest)
    assert abs(found.currents.sum()) <= 1e-10 * largest
    assert np.abs(np.asarray(raw)[np.isnan(voltages)]).max(initial=0.0) <= 1e-10 * largest
    assert np.abs(left.cells).max() <= 1e-10 * largest
    power = np.nansum(voltages * np.asarray(found.currents))
    # Common levels cancel in the power, the error of Kirchhoff times the level does not.
    scale = largest * np.abs(driven).max()
    np.testing.assert_allclose(found.heat.sum(), power, rtol=0, atol=1e-10 * scale)
    assert (found.heat >= 0).all()
    slack = 1e-12 * np.abs(driven).max()
    assert driven.min() - slack <= found.potential.min()
    assert found.potential.max() <= driven.max() + slack


def test_derivatives_by_cells_and_voltages_in_both_modes():
    rng = np.random.default_rng(1)
    decades = jnp.asarray(rng.uniform(-1, 1, (N, N)))
    direction = jnp.asarray(rng.uniform(-1, 1, (N, N)))
    weights = jnp.array([0.3, 0.0, -1.0, 0.5])

    along = jnp.array([0.4, -0.7, 0.2, 1.0])

    def observable(x):
        moved = decades + x[0] * direction
        voltages = (jnp.array([3.0, 0.0, 0.0, 1.0]) + x[1]) * (1 + x[3])
        voltages = jnp.where(jnp.array([False, True, False, False]), jnp.nan, voltages)
        net = network(CORNERS, 1e-5 * jnp.exp(moved), 1e26 * jnp.exp(moved), 0.4 + x[2])
        found = net.conduct(Bias(voltages), CosinePreconditioner(CORNERS))
        return 1e5 * (weights @ found.currents) + found.potential[3, 4] + found.voltages[1]

    @jax.jit
    def both(x):
        value, reverse = jax.value_and_grad(observable)(x)
        return value, reverse, jax.jvp(observable, (x,), (along,))[1]

    zero = jnp.zeros(4)
    _, reverse, forward = both(zero)
    np.testing.assert_allclose(reverse @ along, forward, rtol=1e-9)
    step = 1e-4
    for k, slope in enumerate(reverse):
        at = [both(zero.at[k].set(m * step))[0] for m in (-2, -1, 1, 2)]
        # Of fourth order: (h / kT)^4 is 2e-10.
        difference = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)
        np.testing.assert_allclose(difference, slope, rtol=1e-7)


@pytest.mark.slow
def test_second_derivative_and_eager():
    coverage = side_electrodes(4)
    sheet = jnp.full((4, 4), 1e-5)

    def current(barrier):
        net = network(coverage, sheet, 1e31 * sheet, barrier)
        bias = Bias(jnp.array([1.0, 0.0]))
        return 1e5 * net.conduct(bias, CosinePreconditioner(coverage)).currents[0]

    @jax.jit
    def derivatives(barrier):
        slope, second = jax.jvp(jax.grad(current), (barrier,), (jnp.ones_like(barrier),))
        return slope, second

    at, step = jnp.asarray(0.35), 1e-4
    difference = (derivatives(at + step)[0] - derivatives(at - step)[0]) / (2 * step)
    # Of second order: (h / kT)^2 = 1.5e-5.
    np.testing.assert_allclose(derivatives(at)[1], difference, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(current)(at), current(at), rtol=1e-12)
