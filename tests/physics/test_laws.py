"""Local laws, each against its closed form; the sinh drift at fields that only nanometres reach."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import constants as codata

from analogjax import constants
from analogjax.physics import laws

T = 300.0
HOP = 0.3e-9
Z = 2.0
KT = codata.k * T
FAR = np.array([1e8, 2e8, 5e8, 1e9])
"""Fields [V/m] of 0.1 V to 1 V across a nanometre."""


def a(x):
    return jnp.asarray(x)


def velocity(field, diffusivity=1e-15):
    bias = laws.hop_bias(a(Z), a(HOP), a(field), a(T))
    return laws.drift_velocity(a(diffusivity), a(HOP), bias)


def test_constants_are_the_exact_ones_of_the_si():
    assert constants.ELEMENTARY_CHARGE == codata.e
    assert constants.BOLTZMANN == codata.k
    np.testing.assert_allclose(constants.BOLTZMANN_EV, 8.617333262e-5, rtol=1e-10)


def test_diffusivity_of_the_default_set():
    found = laws.hopping_diffusivity(a(HOP), a(1e13), a(0.5), a(T))
    expected = HOP**2 * 1e13 * np.exp(-0.5 * codata.e / KT)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    np.testing.assert_allclose(found, 3.6e-15, rtol=0.01)


def test_arrhenius_slope_is_the_barrier():
    slope = jax.grad(lambda beta: jnp.log(laws.arrhenius(a(0.7), 1 / beta)))(1 / T)
    np.testing.assert_allclose(slope, -0.7 / constants.BOLTZMANN_EV, rtol=1e-13)


def test_hop_bias_is_half_the_field_energy_of_a_hop():
    np.testing.assert_allclose(
        laws.hop_bias(a(Z), a(HOP), a(FAR), a(T)),
        Z * codata.e * HOP * FAR / (2 * KT),
        rtol=1e-13,
    )


def test_drift_across_a_nanometre_gap_is_the_difference_of_two_hop_rates():
    # v = a (forward rate - backward rate), each barrier lowered or raised by z q a E / 2.
    rate = 1e-15 / HOP**2
    half = Z * codata.e * HOP * FAR / (2 * KT)
    expected = HOP * rate * (np.exp(half) - np.exp(-half))
    np.testing.assert_allclose(velocity(FAR), expected, rtol=1e-12)
    np.testing.assert_allclose(velocity(-FAR), -expected, rtol=1e-12)


def test_drift_is_that_of_einstein_at_the_fields_of_a_film():
    field = np.array([1e3, 1e5, 2e6])
    xi = Z * codata.e * HOP * field / (2 * KT)
    linear = Z * codata.e * 1e-15 / KT * field
    # sinh(xi)/xi - 1 = xi^2/6 + xi^4/120.
    assert abs(velocity(field) / linear - 1 - xi**2 / 6).max() < xi.max() ** 4
    # The largest field of the default film: the correction cannot be seen.
    assert velocity(2e6) / linear[-1] - 1 < 1e-4


def test_drift_outruns_the_linear_law_at_high_field():
    xi = Z * codata.e * HOP * FAR / (2 * KT)
    ratio = velocity(FAR) / (Z * codata.e * 1e-15 / KT * FAR)
    np.testing.assert_allclose(ratio, np.sinh(xi) / xi, rtol=1e-12)
    # xi = 1.16 and 11.6: by a quarter, and 4700-fold.
    np.testing.assert_allclose([ratio[0], ratio[-1]], [1.240, 4722.0], rtol=1e-4)


def test_field_diffusivity_is_the_second_moment_of_the_same_hops():
    xi = Z * codata.e * HOP * FAR / (2 * KT)
    rate = 1e-15 / HOP**2
    second = HOP**2 / 2 * rate * (np.exp(xi) + np.exp(-xi))
    found = laws.field_diffusivity(a(1e-15), laws.hop_bias(a(Z), a(HOP), a(FAR), a(T)))
    np.testing.assert_allclose(found, second, rtol=1e-12)


def test_cell_peclet_number_saturates_for_biased_hops():
    # v dx / D_h = (2 dx / a) tanh(xi): a hop is never longer than a.
    bias = laws.hop_bias(a(Z), a(HOP), a(FAR), a(T))
    peclet = velocity(FAR) / laws.field_diffusivity(a(1e-15), bias)
    np.testing.assert_allclose(peclet, 2 / HOP * np.tanh(bias), rtol=1e-12)


def test_affine_conductivity():
    found = laws.affine_conductivity(a([0.0, 1.0, 3.0]), a(40.0), a(42.0))
    np.testing.assert_array_equal(found, [40.0, 82.0, 166.0])


def test_power_conductivity_has_a_finite_slope_in_an_empty_cell():
    slope = jax.grad(lambda c: laws.power_conductivity(c, a(40.0), a(42.0), a(0.7)))
    assert np.isfinite(slope(0.0))
    # Negative round-off counts as empty.
    assert laws.power_conductivity(a(-1e-9), a(40.0), a(42.0), a(0.7)) > 40.0


def test_thermal_activation_is_one_at_the_reference():
    assert laws.thermal_activation(a(0.03), a(300.0), 300.0) == 1.0


def test_conductivity_rises_by_four_per_mille_a_kelvin():
    slope = jax.grad(lambda t: laws.thermal_activation(a(0.03), t, 300.0))(300.0)
    # E / k T^2; the specification rounds it to 0.39 %/K.
    np.testing.assert_allclose(slope, 0.03 / (constants.BOLTZMANN_EV * T**2), rtol=1e-12)
    np.testing.assert_allclose(slope, 0.0039, rtol=0.01)


@pytest.mark.parametrize("field", [0.0, 1e9])
def test_laws_have_finite_gradients(field):
    assert np.isfinite(jax.grad(lambda e: velocity(e))(field))
