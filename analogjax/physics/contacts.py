"""Emission over the Schottky barrier between a metal electrode and an n-type film.

The drop u over the junction is the potential of the metal minus that of the film's surface, so that
u > 0 is the forward direction (electrons leave the film), and a current into the film is positive:

``J(u) = A* T^2 exp(-(Phi - dPhi)/kT) [exp(u / (eta kT/q)) - 1]``

with the barrier Phi lowered by the image force in the field of the depleted film (local density of
donors), more so in reverse. Without the lowering a reverse contact of 0.7 eV blocks.

Source: S. M. Sze and K. K. Ng, Physics of Semiconductor Devices, chapter 3 (the standard form; the
published listing of JART VCM v1b has the same with one permittivity for both of ours).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Scalar
from ..constants import BOLTZMANN_EV, ELEMENTARY_CHARGE, VACUUM_PERMITTIVITY

Field = Float[Array, "..."]


def soft_positive(x: Field, width: Field) -> Field:
    """Return ``max(x, 0)`` with its kink rounded over `width` (``width log(1 + exp(x/width))``)."""
    return width * jax.nn.softplus(x / width)


def depletion_field(donors: Field, bending: Field, static_permittivity: Scalar) -> Field:
    """Return the largest field in a depleted film, ``E = sqrt(2 q N psi / (eps0 eps_s))`` [V/m].

    Args:
        donors: Density N of ionised donors [1/m^3].
        bending: Band bending psi [V], positive.
        static_permittivity: eps_s over eps0.
    """
    charge = 2 * ELEMENTARY_CHARGE * donors
    return jnp.sqrt(charge * bending / (static_permittivity * VACUUM_PERMITTIVITY))


def image_force_lowering(field: Field, optical_permittivity: Scalar) -> Field:
    """Return ``dPhi = sqrt(q E / (4 pi eps0 eps_i))``, how far a field [V/m] lowers a barrier [eV].

    Args:
        field: E at the interface, positive.
        optical_permittivity: eps_i over eps0, that which a passing electron sees.
    """
    permittivity = 4 * jnp.pi * optical_permittivity * VACUUM_PERMITTIVITY
    return jnp.sqrt(ELEMENTARY_CHARGE * field / permittivity)


def thermionic_saturation(richardson: Scalar, temperature: Field, barrier: Field) -> Field:
    """Return the Richardson current ``A* T^2 exp(-Phi/kT)`` [A/m^2] of a barrier [eV]."""
    return richardson * temperature**2 * jnp.exp(-barrier / (BOLTZMANN_EV * temperature))


def safe_expm1(x: Field) -> Field:
    """Return ``exp(x) - 1``, continued by its tangent where exp would come near overflow."""
    most = 0.5 * float(np.log(np.finfo(x.dtype).max))
    below = jnp.minimum(x, most)
    grown = jnp.exp(below)
    # Far in reverse the derivative of expm1 would be taken as expm1 + 1: zero, where it is e^x.
    return jnp.where(x < -1, grown - 1, jnp.expm1(below)) + grown * (x - below)


class SchottkyJunction(eqx.Module):
    """The law of one kind of contact; arrays hold one value per face where they differ."""

    barrier: Scalar
    """Phi [eV], without image force."""
    ideality: Scalar
    """eta, at least 1."""
    richardson: Scalar
    """A* [A/m^2/K^2]."""
    fermi_depth: Scalar
    """Conduction band edge above the Fermi level in the film [eV]: what the barrier has more than
    that bends the band at 0 V."""
    static_permittivity: Scalar
    optical_permittivity: Scalar
    temperature: Field
    """T [K]."""
    donors: Field
    """Density of ionised donors behind the contact [1/m^3]."""
    image_force: bool = eqx.field(static=True, default=True)

    @property
    def thermal_voltage(self) -> Field:
        """The thermal voltage kT/q [V]."""
        return BOLTZMANN_EV * self.temperature

    def effective_barrier(self, drop: Field) -> Field:
        """Return the barrier [eV] at a drop [V], lowered and never below zero.

        The band bends by what the barrier exceeds the Fermi depth, and in reverse by the voltage
        as well (rounded over kT). In the forward direction the lowering keeps its value of 0 V:
        how it fades there is what an ideality factor stands for. A barrier that the image force
        has removed altogether stays at zero (rounded over kT/4, so that one of 0.25 eV is exact to
        round-off): all that the metal emits.
        """
        thermal = self.thermal_voltage
        if not self.image_force:
            return self.barrier + 0 * drop
        at_rest = soft_positive(self.barrier - self.fermi_depth, thermal)
        bending = at_rest + soft_positive(-drop, thermal)
        field = depletion_field(self.donors, bending, self.static_permittivity)
        left = self.barrier - image_force_lowering(field, self.optical_permittivity)
        return soft_positive(left, thermal / 4)

    def saturation(self, drop: Field) -> Field:
        """Return the prefactor of the law at a drop [V], in A/m^2."""
        return thermionic_saturation(
            self.richardson, self.temperature, self.effective_barrier(drop)
        )

    def current_density(self, drop: Field) -> Field:
        """Return J [A/m^2] at a drop [V]; increasing, zero at 0 V."""
        return self.saturation(drop) * safe_expm1(drop / (self.ideality * self.thermal_voltage))

    def current_and_slope(self, drop: Field) -> tuple[Field, Field]:
        """Return J [A/m^2] and dJ/du [A/m^2/V]."""
        return jax.jvp(self.current_density, (drop,), (jnp.ones_like(drop),))
