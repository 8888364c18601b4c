"""Vacancy transport between blocking walls: drift with crowding, and diffusion.

``dc/dt + div F = 0`` with ``F = -D_h grad c + v c (1 - c / c_max)``. The crowding factor with
*unmodified* diffusion is the exact mean field of the simple exclusion process; its equilibrium is
the Fermi-Dirac distribution.

Two face fluxes, along one axis (``left`` and ``right`` are the cells on either side):

* `limited_flux`: second order where the solution is smooth, upwind with van Albada slopes. For
  dynamics: at film voltages the cell Peclet number reaches 30, where the exponential scheme
  multiplies the physical diffusion by 16.
* `scharfetter_gummel_flux`: exponentially fitted. Keeps discrete Boltzmann and Fermi equilibria
  exactly at any cell Peclet number and is monotone. For equilibria and robustness.
"""

from __future__ import annotations

import jax.numpy as jnp

from .._types import Array, CellField, Float

Faces = Float[Array, "faces lines"]


def bernoulli(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return ``x / (exp(x) - 1)``, smooth (value and derivative) through zero."""
    small = jnp.abs(x) < 1e-3
    size = jnp.where(small, 1.0, jnp.abs(x))
    # Four terms leave 1e-17 at |x| = 1e-3 (the next is x^6/30240).
    series = 1 - x / 2 + x**2 / 12 - x**4 / 720
    # B(|x|) without an exponential that overflows, and B(-|x|) = B(|x|) + |x|.
    positive = size * jnp.exp(-size) / -jnp.expm1(-size)
    return jnp.where(small, series, positive + jnp.where(x < 0, size, 0.0))


def van_albada_slopes(c: CellField) -> CellField:
    """Return limited slopes per cell along the first axis (zero in the boundary cells).

    ``s = a b (a + b) / (a^2 + b^2)`` for one-sided differences a, b of equal sign, else zero.
    Smooth except where a b = 0, unlike minmod, which matters for gradients.
    """
    step = jnp.diff(c, axis=0)
    a, b = step[:-1], step[1:]
    slope = jnp.where(a * b > 0, a * b * (a + b) / (a**2 + b**2 + 1e-12), 0.0)
    return jnp.pad(slope, ((1, 1), (0, 0)))


def limited_flux(c: CellField, velocity: Faces, diffusivity: Faces, spacing, c_max) -> Faces:
    """Return the limited second-order flux through faces normal to the first axis.

    Args:
        c: Density per cell.
        velocity: Drift velocity per face, positive towards growing index.
        diffusivity: D_h per face.
        spacing: Distance between cell centres.
        c_max: Density of a full cell.

    Returns:
        Flux per face, positive towards growing index [density x velocity].
    """
    half = 0.5 * van_albada_slopes(c)
    left = (c + half)[:-1]
    right = (c - half)[1:]
    forward = jnp.maximum(velocity, 0.0) * left * (1 - right / c_max)
    backward = jnp.minimum(velocity, 0.0) * right * (1 - left / c_max)
    return forward + backward - diffusivity / spacing * jnp.diff(c, axis=0)


def scharfetter_gummel_flux(
    c: CellField, velocity: Faces, diffusivity: Faces, spacing, c_max
) -> Faces:
    """Return the exclusion Scharfetter-Gummel flux through faces normal to the first axis.

    ``F = (D_h/dx) [B(-P) c_L (1 - c_R/c_max) - B(P) c_R (1 - c_L/c_max)]`` with the cell Peclet
    number ``P = v dx / D_h``. Arguments and return as in `limited_flux`.
    """
    peclet = velocity * spacing / diffusivity
    left, right = c[:-1], c[1:]
    out = bernoulli(-peclet) * left * (1 - right / c_max)
    back = bernoulli(peclet) * right * (1 - left / c_max)
    return diffusivity / spacing * (out - back)


SCHEMES = {"muscl": limited_flux, "sg": scharfetter_gummel_flux}
"""Face fluxes by the name used in configurations."""
