"""The square finite-volume grid, its boundary faces, and the electrodes that cover them.

Cells are indexed ``[x, y]`` with the origin in the corner of terminal T1. Boundary faces are kept
edge by edge in the order x = 0, x = L, y = 0, y = L, each counted along its edge from the origin.
"""

from __future__ import annotations

import jax.numpy as jnp

from .._types import Array, CellField, Coverage, Edges, FacesX, FacesY, Float, Scalar


def edge_values(field: CellField) -> Edges:
    """Return the value of the cell behind every boundary face (corner cells appear twice)."""
    return jnp.stack([field[0], field[-1], field[:, 0], field[:, -1]])


def sum_to_cells(faces: Edges) -> CellField:
    """Add the value of every boundary face to the cell behind it (transpose of `edge_values`)."""
    n = faces.shape[-1]
    cells = jnp.zeros((n, n), faces.dtype)
    cells = cells.at[0].add(faces[0]).at[-1].add(faces[1])
    return cells.at[:, 0].add(faces[2]).at[:, -1].add(faces[3])


def net_outflow(flux_x: FacesX, flux_y: FacesY) -> CellField:
    """Return what leaves every cell through its interior faces (fluxes positive towards +x, +y).

    Blocking boundaries are implied: the sum over all cells telescopes to zero, so whatever is
    transported by these fluxes is conserved to round-off.
    """
    padded_x = jnp.pad(flux_x, ((1, 1), (0, 0)))
    padded_y = jnp.pad(flux_y, ((0, 0), (1, 1)))
    return jnp.diff(padded_x, axis=0) + jnp.diff(padded_y, axis=1)


def faces_to_cells(on_x: FacesX, on_y: FacesY) -> CellField:
    """Share a face quantity between its two cells, half each (used for Joule heat)."""
    padded_x = jnp.pad(on_x, ((1, 1), (0, 0)))
    padded_y = jnp.pad(on_y, ((0, 0), (1, 1)))
    return 0.5 * (padded_x[1:] + padded_x[:-1] + padded_y[:, 1:] + padded_y[:, :-1])


def covered_share(cells: int, arm: Scalar) -> Float[Array, " faces"]:
    """Return how much of each face an electrode covers that reaches from the corner to `arm`.

    Args:
        cells: Number of faces along the edge.
        arm: Length of the electrode arm in units of the side.

    Returns:
        The share of every face, ``clip(arm * cells - i, 0, 1)``: piecewise linear in the arm, so
        that the arm is differentiable although the grid stays where it is. (Where the arm ends
        exactly on a face boundary the derivative is the mean of the two one-sided ones.)
    """
    position = jnp.asarray(arm) * cells - jnp.arange(cells)
    return jnp.clip(position, 0.0, 1.0)


def corner_electrodes(cells: int, arm: Scalar) -> Coverage:
    """Return the coverage of four corner electrodes, each `arm` long on both sides of its corner.

    T1 stands at (0, 0), T2 at (L, 0), T3 at (L, L), T4 at (0, L).
    """
    near = covered_share(cells, arm)
    far = near[::-1]
    none = jnp.zeros_like(near)
    return jnp.stack(
        [
            jnp.stack([near, none, near, none]),
            jnp.stack([none, near, far, none]),
            jnp.stack([none, far, none, far]),
            jnp.stack([far, none, none, near]),
        ]
    )


def side_electrodes(cells: int) -> Coverage:
    """Return two electrodes that cover the whole edges x = 0 and x = L (a plain resistor)."""
    full = jnp.ones(cells)
    none = jnp.zeros(cells)
    return jnp.stack([jnp.stack([full, none, none, none]), jnp.stack([none, full, none, none])])
