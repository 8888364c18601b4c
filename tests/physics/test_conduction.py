"""Current continuity: V3 and V4 of the verification plan, Kirchhoff, reciprocity, Joule heat."""

from __future__ import annotations

from functools import partial

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra.numpy import arrays
from scipy.special import betaincinv, ellipkm1

from analogjax.physics.conduction import (
    Bias,
    ConductanceNetwork,
    conductance_matrix,
    electrode_voltages,
    joule_heat,
    solve_potential,
    terminal_currents,
)
from analogjax.physics.elliptic import CosinePreconditioner
from analogjax.physics.grid import corner_electrodes, side_electrodes

NAN = float("nan")


# V3: plain resistors, electrodes on two whole sides.


def resistance(sheet, contact_resistance=0.0, anisotropy=1.0, along="x"):
    """Resistance [ohm] of a film between two opposite sides, as seen by either electrode."""
    coverage = side_electrodes(sheet.shape[0])
    if along == "y":
        coverage = coverage[:, np.array([2, 3, 0, 1])]
    return _resistance(sheet, coverage, contact_resistance, anisotropy)


@jax.jit
def _resistance(sheet, coverage, contact_resistance, anisotropy):
    network = ConductanceNetwork(sheet, coverage, contact_resistance, anisotropy)
    bias = Bias(jnp.array([1.0, 0.0]))
    potential = solve_potential(network, bias, CosinePreconditioner(coverage))
    return 1 / terminal_currents(network, bias, potential)


def profile(cells=24):
    return 2 + np.sin(2 * np.pi * (np.arange(cells) + 0.5) / cells)


def test_uniform_film_is_one_square():
    found = resistance(jnp.full((24, 24), 4e-6))
    np.testing.assert_allclose(found, [2.5e5, -2.5e5], rtol=1e-12)


def test_layers_in_parallel_conduct_by_their_arithmetic_mean():
    sheet = jnp.asarray(np.ones((24, 1)) * profile())
    np.testing.assert_allclose(resistance(sheet)[0], 1 / profile().mean(), rtol=1e-12)


def test_layers_in_series_resist_by_their_arithmetic_mean():
    # Harmonic faces and half cells at the contacts make the discrete sum exact.
    sheet = jnp.asarray(profile()[:, None] * np.ones((1, 24)))
    np.testing.assert_allclose(resistance(sheet)[0], (1 / profile()).mean(), rtol=1e-12)
    # The integral of 1 / (2 + sin) over a period is 1/sqrt(3): the midpoint rule converges
    # exponentially, q^24 with q = 2 - sqrt(3).
    np.testing.assert_allclose(resistance(sheet)[0], 1 / np.sqrt(3), rtol=1e-12)


def test_contact_resistance_adds_in_series():
    # rho_c / (h dx) per face, 24 faces side by side, on both ends.
    found = resistance(jnp.full((24, 24), 4e-6), 7e5)
    np.testing.assert_allclose(found[0], 2.5e5 + 2 * 7e5 / 24, rtol=1e-12)


def test_anisotropy_scales_the_y_axis_only():
    sheet = jnp.full((24, 24), 4e-6)
    np.testing.assert_allclose(resistance(sheet, 0.0, 3.0, "x")[0], 2.5e5, rtol=1e-12)
    np.testing.assert_allclose(resistance(sheet, 0.0, 3.0, "y")[0], 2.5e5 / 3, rtol=1e-12)


# V4: four corner electrodes on a uniform square, against the conformal map.


def ratio_k(m):
    """K(m) / K(1 - m) of complete elliptic integrals."""
    return ellipkm1(1 - m) / ellipkm1(m)


def exact_conductances(arm):
    """Conductance of adjacent and of diagonal electrodes over sigma h, by conformal map.

    The square becomes a disc on which each electrode covers an arc of half angle alpha,
    int_0^alpha (sin 2t)^-1/2 dt = arm * int_0^{pi/2}: an incomplete beta function of sin^2 alpha.
    The modes (1, 0, -1, 0) and (1, -1, 1, -1) live on a half and on a quarter disc.
    """
    alpha = np.arcsin(np.sqrt(betaincinv(0.25, 0.25, arm)))
    opposite = 2 * ratio_k(np.tan(alpha) ** 2)
    quadrupole = 2 * ratio_k(np.sin(2 * alpha) ** 2)
    adjacent = quadrupole / 4
    return alpha, adjacent, opposite / 2 - adjacent


@partial(jax.jit, static_argnames="cells")
def matrix(cells, arm):
    coverage = corner_electrodes(cells, arm)
    network = ConductanceNetwork(jnp.ones((cells, cells)), coverage)
    return conductance_matrix(network, CosinePreconditioner(coverage))


def r24(adjacent, diagonal):
    return 1 / (adjacent + diagonal)


@pytest.mark.parametrize(
    ("arm", "degrees", "adjacent", "diagonal", "resistance"),
    [
        (1 / 8, 3.0763, 0.2171599416, 0.1473695785, 2.7432620536),
        (1 / 4, 12.2349, 0.3535533906, 0.1875633525, 1.8480300465),
    ],
)
def test_conformal_map_gives_the_tabulated_numbers(arm, degrees, adjacent, diagonal, resistance):
    alpha, *found = exact_conductances(arm)
    np.testing.assert_allclose(np.degrees(alpha), degrees, atol=5e-5)
    np.testing.assert_allclose(found, [adjacent, diagonal], atol=6e-11)
    np.testing.assert_allclose(r24(*found), resistance, atol=6e-11)


def test_quarter_arms_have_a_closed_form():
    assert exact_conductances(1 / 4)[1] == pytest.approx(1 / (2 * np.sqrt(2)), rel=1e-13)


@pytest.mark.parametrize("arm", [pytest.param(1 / 8, marks=pytest.mark.slow), 1 / 4])
def test_corner_electrodes_converge_to_the_conformal_map_with_order_one(arm):
    _, *exact = exact_conductances(arm)
    grids = (16, 32, 64, 128)
    found = [matrix(cells, jnp.asarray(arm)) for cells in grids]
    r = np.array([r24(-g[0, 1], -g[0, 2]) for g in found])
    error = r / r24(*exact) - 1
    # The field diverges as r^(-1/2) at the tips of the electrodes: order one, not two.
    orders = np.log2(error[:-1] / error[1:])
    np.testing.assert_allclose(orders[1:], 1.0, atol=0.06)
    richardson = 2 * r[-1] - r[-2]
    np.testing.assert_allclose(richardson, r24(*exact), rtol=2e-4)
    if arm == 1 / 4:
        np.testing.assert_allclose(r, [1.9699, 1.9079, 1.8777, 1.8628], atol=6e-5)


def van_der_pauw(adjacent, diagonal):
    """(V4 - V3) / I for a current from T1 to T2, in units of 1 / (h sigma)."""
    return 1 / (2 * (adjacent + diagonal)) - 1 / (4 * adjacent)


def test_shrinking_contacts_approach_van_der_pauw():
    # 1/lambda_A - 1/lambda_B -> [ln(4/alpha) - ln(4/(2 alpha))] / pi = ln 2 / pi.
    _, *exact = exact_conductances(1e-6)
    np.testing.assert_allclose(van_der_pauw(*exact), np.log(2) / np.pi, rtol=1e-9)


def test_small_contacts_measure_the_sheet_resistance():
    # Two faces on each side of a corner; what the tip costs is the same in both modes and cancels.
    g = matrix(64, jnp.asarray(2 / 64))
    # A common voltage drives nothing: that singular value is rounding, whichever way it falls.
    inverse = np.linalg.pinv(g, rcond=1e-10)
    v = inverse @ np.array([1.0, -1.0, 0.0, 0.0])
    np.testing.assert_allclose(v[3] - v[2], np.log(2) / np.pi, rtol=1e-3)


# Kirchhoff, reciprocity and the maximum principle for any film and any voltages.

N = 8
COVERAGE = corner_electrodes(N, jnp.asarray(0.3))


@jax.jit
def film(sheet, voltages):
    network = ConductanceNetwork(sheet, COVERAGE)
    bias = Bias(voltages)
    preconditioner = CosinePreconditioner(COVERAGE)
    potential = solve_potential(network, bias, preconditioner)
    return dict(
        potential=potential,
        currents=terminal_currents(network, bias, potential),
        voltages=electrode_voltages(network, bias, potential),
        matrix=conductance_matrix(network, preconditioner),
        heat=joule_heat(network, bias, potential),
    )


# Three decades of conductivity from cell to cell: far rougher than any film here.
SHEETS = arrays(np.float64, (N, N), elements=st.floats(-3.5, 3.5)).map(lambda x: 1e-6 * np.exp(x))
VOLTAGES = arrays(np.float64, 4, elements=st.floats(-7, 7, width=32))
FLOATING = st.sets(st.integers(0, 3), max_size=2)
PROPERTY = hypothesis.settings(max_examples=30, deadline=None, derandomize=True, database=None)


@PROPERTY
@hypothesis.given(SHEETS, VOLTAGES, FLOATING)
def test_any_film_obeys_kirchhoff_and_the_maximum_principle(sheet, voltages, floating):
    voltages[list(floating)] = NAN
    found = film(jnp.asarray(sheet), jnp.asarray(voltages))
    driven = voltages[~np.isnan(voltages)]
    spread = np.ptp(driven)
    low, high = driven.min(), driven.max()
    scale = np.abs(driven).max()
    # No cell and no floating electrode lies outside what is applied (to the solver's 1e-14).
    assert found["potential"].min() >= low - 1e-12 * scale
    assert found["potential"].max() <= high + 1e-12 * scale
    assert found["voltages"].min() >= low - 1e-12 * scale
    assert found["voltages"].max() <= high + 1e-12 * scale
    # What goes in comes out (see the next test for the tolerance).
    tolerance = 1e-13 * 2 * sheet.max() * scale
    assert abs(found["currents"].sum()) <= tolerance
    # And no current flows without a voltage difference.
    g = np.abs(np.diag(found["matrix"])).max()
    assert np.abs(found["currents"]).max() <= g * spread + tolerance


@PROPERTY
@hypothesis.given(SHEETS)
def test_any_film_is_reciprocal_and_passive(sheet):
    g = np.asarray(film(jnp.asarray(sheet), jnp.zeros(4))["matrix"])
    # A current is the drop at the contact times the conductance of the contact, which may be far
    # above that of the film: the solver's 1e-14 of the potential counts in these units.
    tolerance = 1e-13 * 2 * sheet.max()
    np.testing.assert_allclose(g, g.T, rtol=0, atol=tolerance)
    np.testing.assert_allclose(g.sum(0), 0.0, atol=tolerance)
    np.testing.assert_allclose(g.sum(1), 0.0, atol=tolerance)
    off = g[~np.eye(4, dtype=bool)]
    assert off.max() <= tolerance
    # Positive semidefinite with the one null vector (1, 1, 1, 1).
    assert np.linalg.eigvalsh((g + g.T) / 2)[0] >= -tolerance


@PROPERTY
@hypothesis.given(SHEETS, VOLTAGES, FLOATING)
def test_any_film_currents_follow_from_the_matrix(sheet, voltages, floating):
    voltages[list(floating)] = NAN
    found = film(jnp.asarray(sheet), jnp.asarray(voltages))
    g = np.asarray(found["matrix"])
    v = np.asarray(found["voltages"])
    tolerance = 1e-13 * 2 * sheet.max() * np.abs(v).max()
    np.testing.assert_allclose(found["currents"], g @ v, rtol=0, atol=10 * tolerance)


@PROPERTY
@hypothesis.given(SHEETS, VOLTAGES, FLOATING)
def test_any_film_turns_the_electric_power_into_heat(sheet, voltages, floating):
    voltages[list(floating)] = NAN
    found = film(jnp.asarray(sheet), jnp.asarray(voltages))
    power = np.nansum(voltages * found["currents"])
    assert (found["heat"] >= 0).all()
    tolerance = 1e-13 * 2 * sheet.max() * np.nanmax(np.abs(voltages)) ** 2
    np.testing.assert_allclose(found["heat"].sum(), power, rtol=0, atol=tolerance)


def test_raising_every_conductivity_raises_every_current():
    rng = np.random.default_rng(0)
    sheet = jnp.asarray(rng.uniform(1, 9, size=(N, N)))
    voltages = jnp.asarray([5.0, NAN, 0.0, NAN])
    base = film(sheet, voltages)["currents"][0]
    # Rayleigh: no conductance in a network can lower its input conductance.
    for cell in ((0, 0), (3, 4), (7, 7), (0, 7)):
        more = film(sheet.at[cell].mul(2.0), voltages)["currents"][0]
        assert more >= base * (1 - 1e-13)
    np.testing.assert_allclose(film(2 * sheet, voltages)["currents"][0], 2 * base, rtol=1e-12)
