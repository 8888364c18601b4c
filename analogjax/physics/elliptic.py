"""Preconditioned conjugate gradients for current continuity on the square grid.

The operator ``A = -div(sigma grad) + contacts`` is symmetric. The iteration is preconditioned by
``W (K + D)^-1 W`` with ``W = diag(sigma h)^(-1/2)``: K is the constant-coefficient insulated
Laplacian, which the cosine transform inverts, and D holds the contacts, whose conductances become
constants of the geometry once scaled by W (a half cell). D is put in exactly by a small capacitance
matrix (Woodbury identity) over the boundary faces, evaluated in the cosine basis. The number of
iterations does not depend on the grid: 11 to 14 from 32 x 32 to 128 x 128 cells.

The solve is differentiated implicitly in both modes (`jax.lax.custom_linear_solve`): one solve with
the same operator for a tangent or a cotangent, never the iteration itself.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import lax

from .._types import Array, CellField, Coverage, Edges, Float
from .cosine import cosine_matrix, laplacian_eigenvalues

MAX_ITERATIONS = 200
"""Bound of the iteration; a film needs 11 to 20. Conductivities of very many decades need more."""


def default_tolerance(dtype: jnp.dtype) -> float:
    """Return the relative tolerance (energy norm) of a solve in this precision.

    Each iteration gains about a digit, so in float64 full accuracy costs two iterations more than
    1e-10 would: gradients, reciprocity and current balance then hold to round-off.
    """
    return 1e-14 if dtype == jnp.float64 else 1e-6


class CosinePreconditioner(eqx.Module):
    """``W (K + D)^-1 W`` for one geometry; see the module's text. Carries no gradient."""

    inverse: Float[Array, "x y"]
    """Inverse eigenvalues of the insulated Laplacian, its zero mode shifted."""
    capacitance: Float[Array, "boundary boundary"]
    """``(1 + D H)^-1 D`` over the boundary faces, H the Green's function between them."""

    def __init__(
        self,
        coverage: Coverage,
        half_cell: Float[Array, ""] | float = 2.0,
        anisotropy: Float[Array, ""] | float = 1.0,
    ):
        """Prepare the preconditioner of a geometry.

        Args:
            coverage: Share of every boundary face that each electrode covers.
            half_cell: Contact conductance of a fully covered face over the sheet conductance of
                its cell; 2 for an ideal contact, less with contact resistance.
            anisotropy: sigma_y / sigma_x.
        """
        coverage = lax.stop_gradient(coverage)
        cells = coverage.shape[-1]
        dtype = coverage.dtype
        ratio = lax.stop_gradient(jnp.asarray(anisotropy, dtype))
        along = jnp.stack([jnp.ones_like(ratio)] * 2 + [ratio] * 2)
        face = lax.stop_gradient(jnp.asarray(half_cell, dtype)) * along
        contacts = (face[:, None] * coverage.sum(0)).reshape(-1)
        one = jnp.asarray(laplacian_eigenvalues(cells), dtype)
        eigenvalues = one[:, None] + ratio * one[None, :]
        # The insulated Laplacian is singular. Any positive shift of its constant mode will do for a
        # preconditioner; the mean contact conductance is the natural size.
        shift = contacts.sum() / cells**2
        self.inverse = 1 / eigenvalues.at[0, 0].set(shift)
        green = _greens_function(self.inverse)
        system = jnp.eye(4 * cells, dtype=dtype) + contacts[:, None] * green
        self.capacitance = jnp.linalg.solve(system, jnp.diag(contacts))

    def __call__(self, residual: CellField, weight: CellField) -> CellField:
        """Apply the preconditioner; `weight` is ``(sigma h)^(-1/2)`` per cell."""
        matrix = _cosines(residual)
        spectrum = self.inverse * (matrix @ (weight * residual) @ matrix.T)
        edges = _at_edges(spectrum)
        correction = (self.capacitance @ edges.reshape(-1)).reshape(edges.shape)
        spectrum = spectrum - self.inverse * _from_edges(correction)
        return weight * (matrix.T @ spectrum @ matrix)


def _cosines(like: Array) -> Float[Array, "k i"]:
    return jnp.asarray(cosine_matrix(like.shape[-1]), like.dtype)


def _at_edges(spectrum: CellField) -> Edges:
    """Values on the boundary faces of the field with these cosine coefficients."""
    matrix = _cosines(spectrum)
    ends = matrix[:, [0, -1]].T
    return jnp.concatenate([ends @ spectrum, ends @ spectrum.T]) @ matrix


def _from_edges(faces: Edges) -> CellField:
    """Cosine coefficients of sources behind the boundary faces (transpose of `_at_edges`)."""
    matrix = _cosines(faces)
    ends = matrix[:, [0, -1]]
    spectra = faces @ matrix.T
    return ends @ spectra[:2] + (ends @ spectra[2:]).T


def _greens_function(inverse: CellField) -> Float[Array, "boundary boundary"]:
    """Response of every boundary face to a unit source behind every other, edge pair by edge pair.

    Written out by separation of variables: ``_at_edges(inverse * _from_edges(identity))`` would
    hold 4 N fields at once.
    """
    matrix = _cosines(inverse)
    ends = matrix[:, [0, -1]]
    cells = inverse.shape[0]
    same = "ka,kb,kl,lj,li->ajbi"
    on_x = jnp.einsum(same, ends, ends, inverse, matrix, matrix, optimize=True)
    on_y = jnp.einsum(same, ends, ends, inverse.T, matrix, matrix, optimize=True)
    cross = jnp.einsum("ka,lb,kl,lj,ki->ajbi", ends, ends, inverse, matrix, matrix, optimize=True)
    # Rows: where it is seen (x edges, then y edges).
    on_x, on_y, cross = (block.reshape(2 * cells, 2 * cells) for block in (on_x, on_y, cross))
    return jnp.block([[on_x, cross], [cross.T, on_y]])


def conjugate_gradients(
    operator: Callable[[CellField], CellField],
    source: CellField,
    precondition: Callable[[CellField], CellField],
    guess: CellField,
    tolerance: float,
) -> CellField:
    """Solve ``operator(x) = source`` for a symmetric positive operator, gradients implicit.

    Args:
        operator: Applies the matrix.
        source: Right-hand side.
        precondition: Applies an approximate inverse, symmetric positive.
        guess: Something like the solution, or zeros. Only its direction is used: it is scaled to
            the best multiple in the energy norm, so that a poor guess (as for the cotangents of a
            gradient, which share this code) costs nothing.
        tolerance: Stop when the error in the energy norm has fallen below this share of the
            solution's (both as estimated by the preconditioner).

    Returns:
        The solution; all lanes of a batch iterate until the slowest has converged, and those that
        have converged (or have a zero right-hand side) stay as they are. A lane that has not
        converged within `MAX_ITERATIONS` is nan throughout, which `simulate` reports.
    """
    guess = lax.stop_gradient(guess)
    return lax.custom_linear_solve(
        operator,
        source,
        lambda matvec, b: _iterate(matvec, b, precondition, guess, tolerance),
        symmetric=True,
    )


def _iterate(operator, b, precondition, guess, tolerance):
    image = operator(guess)
    energy = jnp.vdot(guess, image)
    projection = jnp.vdot(guess, b)
    scale = jnp.where(energy > 0, projection / jnp.where(energy > 0, energy, 1.0), 0.0)
    caught = scale * projection

    # One iteration preconditions first and steps afterwards, so that the preconditioner (most of
    # the work and of the compilation) appears once in the program.
    def unfinished(carry):
        *_, active, n = carry
        return active & (n < MAX_ITERATIONS)

    def step(carry):
        x, r, p, rz, target, active, n = carry
        z = precondition(r)
        rz_next = jnp.vdot(r, z)
        # <b, x0> is the energy that the guess has caught, <r, z> estimates what is left.
        target = jnp.where(n == 0, tolerance**2 * (caught + rz_next), target)
        active = active & (rz_next > target)
        beta = jnp.where(n == 0, 0.0, rz_next / jnp.where(rz > 0, rz, 1.0))
        p = z + beta * p
        image = operator(p)
        curvature = jnp.vdot(p, image)
        # A lane that has converged (or has nothing to solve for) takes steps of length zero.
        alpha = jnp.where(active, rz_next / jnp.where(active, curvature, 1.0), 0.0)
        return x + alpha * p, r - alpha * image, p, rz_next, target, active, n + 1

    zero = jnp.zeros((), b.dtype)
    start = (scale * guess, b - scale * image, jnp.zeros_like(b), zero, zero, jnp.array(True), 0)
    x, *_, active, _ = lax.while_loop(unfinished, step, start)
    return jnp.where(active, jnp.nan, x)
