"""Local material laws: hopping, drift, conduction, all thermally activated."""

from __future__ import annotations

import jax.numpy as jnp

from .._types import Array, Float, Scalar
from ..constants import BOLTZMANN_EV

Field = Float[Array, "..."]


def arrhenius(activation_energy: Scalar, temperature: Field) -> Field:
    """Return ``exp(-E / kT)`` for an energy [eV] and a temperature [K]."""
    return jnp.exp(-activation_energy / (BOLTZMANN_EV * temperature))


def hopping_diffusivity(
    hop_distance: Scalar,
    attempt_frequency: Scalar,
    activation_energy: Scalar,
    temperature: Field,
) -> Field:
    """Return the tracer diffusivity of a hopping ion, ``D = a^2 f0 exp(-Ea/kT)`` [m^2/s].

    Args:
        hop_distance: a [m].
        attempt_frequency: f0 [1/s].
        activation_energy: Ea [eV].
        temperature: T [K].
    """
    return hop_distance**2 * attempt_frequency * arrhenius(activation_energy, temperature)


def hop_bias(
    charge_number: Scalar, hop_distance: Scalar, field: Field, temperature: Field
) -> Field:
    """Return ``xi = z q a E / (2 k T)``, half the field energy of one hop over kT (signed)."""
    return charge_number * hop_distance * field / (2 * BOLTZMANN_EV * temperature)


def drift_velocity(diffusivity: Field, hop_distance: Scalar, bias: Field) -> Field:
    """Return the Mott-Gurney drift velocity ``v = (2 D / a) sinh(xi)`` [m/s].

    Equals ``2 a Gamma0 sinh(xi)``; for small bias it is the Einstein drift ``(z q D / kT) E``.
    Source: N. F. Mott and R. W. Gurney, Electronic Processes in Ionic Crystals (1940).
    """
    return 2 * diffusivity / hop_distance * jnp.sinh(bias)


def field_diffusivity(diffusivity: Field, bias: Field) -> Field:
    """Return ``D cosh(xi)``, the second moment of the same biased hops [m^2/s]."""
    return diffusivity * jnp.cosh(bias)


def affine_conductivity(vacancies: Field, background: Scalar, per_density: Scalar) -> Field:
    """Return ``sigma = sig_b + sig_1 c`` [S/m]: immobile background plus one share per vacancy.

    The background is a first-order parameter, not a regulariser: were sigma proportional to c, the
    drift flux ``mu c J / sigma`` would be uniform and no front could move inside the film.
    """
    return background + per_density * vacancies


def power_conductivity(
    vacancies: Field, background: Scalar, per_density: Scalar, exponent: Scalar
) -> Field:
    """Return ``sigma = sig_b + sig_1 (c + 1e-3)^p`` [S/m] (the shift bounds the slope at c = 0)."""
    return background + per_density * (jnp.maximum(vacancies, 0.0) + 1e-3) ** exponent


def thermal_activation(
    activation_energy: Scalar, temperature: Field, reference_temperature: float
) -> Field:
    """Return ``exp(-(E/k)(1/T - 1/T_ref))``, which is one at the reference temperature."""
    inverse = 1 / temperature - 1 / reference_temperature
    return jnp.exp(-(activation_energy / BOLTZMANN_EV) * inverse)
