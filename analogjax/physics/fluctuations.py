"""Counting noise: what follows from vacancies being a countable number of particles.

A cell holds ``n_ref c V`` vacancies. Non-interacting ones are Poisson distributed; with at most
``c_max`` to a cell (exclusion) the variance is that of a lattice gas. Hops keep it at that level:
fluctuating hydrodynamics adds to every flux a white noise of intensity ``2 D c (1 - c / c_max)``,
which conserves the number of vacancies exactly.

Source of the noise intensity: L. Bertini et al., Rev. Mod. Phys. 87, 593 (2015), section on the
symmetric exclusion process (quoted from memory); checked in the tests against its own equilibrium.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._types import Array, CellField, Float, Scalar
from .grid import net_outflow

Number = Float[Array, "..."] | float
"""A diffusion number: one value, or one per face."""


def _exclusion(c: Float[Array, "..."], c_max: Scalar) -> Float[Array, "..."]:
    """Return ``c (1 - c / c_max)``, never below zero."""
    c = jnp.clip(c, 0.0, c_max)
    return c * (1 - c / c_max)


def draw_counts(key: PRNGKeyArray, mean: CellField, per_cell: Scalar, c_max: Scalar) -> CellField:
    """Return a field of countable vacancies about a mean field.

    Args:
        key: Random key.
        mean: Mean density per cell, in units of the reference density.
        per_cell: Vacancies of a cell at density 1.
        c_max: Density of a full cell.

    Returns:
        The field with variance ``c (1 - c / c_max) / per_cell`` in each cell (Gaussian: cells hold
        hundreds of vacancies or more), within [0, c_max] (full and empty cells have no noise), and
        the mean number of vacancies on average.
    """
    spread = jnp.sqrt(_exclusion(mean, c_max) / per_cell)
    drawn = mean + spread * jax.random.normal(key, mean.shape, mean.dtype)
    return jnp.clip(drawn, 0.0, c_max)


def hop_noise(
    key: PRNGKeyArray,
    c: CellField,
    number_x: Number,
    number_y: Number,
    per_cell: Scalar,
    c_max: Scalar,
) -> CellField:
    """Return what the randomness of the hops adds to a field in a time.

    Args:
        key: Random key.
        c: Density per cell, in units of the reference density.
        number_x: Diffusion number ``D t / dx^2`` of that time at the faces normal to x (one value,
            or one per face); well below 1, the noise being added in one go.
        number_y: The same at the faces normal to y.
        per_cell: Vacancies of a cell at density 1.
        c_max: Density of a full cell.

    Returns:
        The change of density: ``-div`` of face fluxes of variance ``2 number c (1 - c / c_max) /
        per_cell``; its sum is zero to round-off. The density at a face is the harmonic mean of its
        cells, so that nothing hops out of an empty cell.
    """
    key_x, key_y = jax.random.split(key)
    on_x = _face_noise(key_x, c, number_x, per_cell, c_max)
    on_y = _face_noise(key_y, c.T, number_y, per_cell, c_max).T
    return -net_outflow(on_x, on_y)


def _face_noise(key, c, number, per_cell, c_max):
    mobile = _exclusion(c, c_max)
    near, far = mobile[:-1], mobile[1:]
    total = near + far
    mean = 2 * near * far / jnp.where(total > 0, total, 1.0)
    spread = jnp.sqrt(2 * number * mean / per_cell)
    return spread * jax.random.normal(key, near.shape, c.dtype)
