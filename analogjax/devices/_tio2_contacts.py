"""The contacts of the four-terminal film: from its parameters to the laws of `physics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from .._types import Array, CellField, Coverage
from ..physics.conduction import ConductanceNetwork
from ..physics.contacts import SchottkyJunction
from ..physics.grid import edge_values
from ..physics.rectifying import RectifyingNetwork

if TYPE_CHECKING:
    from .tio2 import FourTerminalTiO2

BACKGROUND_DONORS = 1e-3
"""Added to the density (over the reference density) behind a contact: bounds the slope of the
lowering, which goes like the fourth root of the density, where a cell is empty."""


def schottky_network(
    device: FourTerminalTiO2,
    film: ConductanceNetwork,
    coverage: Coverage,
    vacancies: CellField,
    temperature: Array,
) -> RectifyingNetwork:
    """Return a film with a Schottky junction on every electrode face.

    The donors behind a junction are the vacancies of its cell, each with its charge number; its
    temperature is that of the cell.

    Args:
        device: Whose parameters.
        film: The same film with ohmic contacts.
        coverage: Share of every boundary face that each electrode covers.
        vacancies: Density per cell over the reference density, not negative.
        temperature: Of every cell, or one for all [K].
    """
    if jnp.ndim(temperature):
        temperature = edge_values(temperature)[None]
    density = device.reference_density * (edge_values(vacancies) + BACKGROUND_DONORS)
    junction = SchottkyJunction(
        barrier=device.schottky_barrier,
        ideality=device.ideality,
        richardson=device.richardson_constant,
        fermi_depth=device.fermi_depth,
        static_permittivity=device.static_permittivity,
        optical_permittivity=device.optical_permittivity,
        temperature=temperature,
        donors=device.charge_number * density[None],
        image_force=device.image_force,
    )
    face_area = device.thickness * device.side / device.cells
    return RectifyingNetwork(film, coverage, junction, face_area)
