"""Current continuity in a film: potentials, terminal currents, Kirchhoff, Joule heat.

``div(h sigma grad phi) = 0`` with contacts in Robin form, ``sigma dphi/dn = (V - phi) / rho_c``,
electrodes that float (equipotentials without net current: metal shunts the film, so floating is
not insulating) and insulating walls. Cell-centred finite volumes: interior faces carry the
harmonic mean of sigma, a contact face the half cell and rho_c in series.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import (
    Array,
    Bool,
    CellField,
    Coverage,
    Edges,
    FacesX,
    FacesY,
    Float,
    Scalar,
    Terminals,
)
from .elliptic import CosinePreconditioner, conjugate_gradients, default_tolerance
from .grid import edge_values, faces_to_cells, net_outflow, sum_to_cells


class Bias(eqx.Module):
    """What is applied to the electrodes: a voltage, or nothing (floating)."""

    voltage: Terminals
    """Applied voltages [V]; zero where floating."""
    floating: Bool[Array, " terminals"]
    """Which electrodes float."""

    def __init__(self, voltages: Terminals):
        """Make a bias from voltages [V] in which nan means floating."""
        voltages = jnp.asarray(voltages)
        self.floating = jnp.isnan(voltages)
        self.voltage = jnp.where(self.floating, 0.0, voltages)


class Conduction(eqx.Module):
    """How a film conducts under a bias."""

    potential: CellField
    """Of every cell [V]."""
    currents: Terminals
    """Into the film at every electrode [A]; those that float carry none."""
    voltages: Terminals
    """Of every electrode [V], the floating ones at what they float to."""
    heat: CellField
    """Power dissipated in every cell, that of its contacts included [W]; the sum is the electrical
    power put in."""


class ConductanceNetwork(eqx.Module):
    """The film as a network of conductances [S] between cells, and from cells to electrodes."""

    interior_x: FacesX
    interior_y: FacesY
    contact: Float[Array, "terminals x y"]
    """From each cell to each electrode."""
    half_cell: Edges
    """Behind every boundary face, with what its contact adds in series."""
    weight: CellField
    """``(sigma h)^(-1/2)``, the scaling of the preconditioner."""

    def __init__(
        self,
        sheet_conductance: CellField,
        coverage: Coverage,
        contact_resistance: Scalar | float = 0.0,
        anisotropy: Scalar | float = 1.0,
    ):
        """Build the network.

        Args:
            sheet_conductance: sigma h per cell [S] (along x).
            coverage: Share of every boundary face that each electrode covers.
            contact_resistance: rho_c / (h dx), what a fully covered face adds in series [ohm].
            anisotropy: sigma_y / sigma_x.
        """
        s = sheet_conductance
        sy = s * anisotropy
        self.interior_x = _harmonic(s[:-1], s[1:])
        self.interior_y = _harmonic(sy[:, :-1], sy[:, 1:])
        at_edges = jnp.concatenate([edge_values(s)[:2], edge_values(sy)[2:]])
        self.half_cell = 1 / (1 / (2 * at_edges) + contact_resistance)
        self.contact = jax.vmap(sum_to_cells)(coverage * self.half_cell[None])
        self.weight = jax.lax.stop_gradient(s) ** -0.5

    def conduct(
        self, bias: Bias, preconditioner: CosinePreconditioner, guess: CellField | None = None
    ) -> Conduction:
        """Return potential, currents and heat under a bias."""
        potential = solve_potential(self, bias, preconditioner, guess)
        return Conduction(
            potential,
            terminal_currents(self, bias, potential),
            electrode_voltages(self, bias, potential),
            joule_heat(self, bias, potential),
        )

    def conductance_matrix(
        self, preconditioner: CosinePreconditioner
    ) -> Float[Array, "terminals terminals"]:
        """Return G [S] with ``I = G V``; see the function of this name."""
        return conductance_matrix(self, preconditioner)

    def apply(self, potential: CellField) -> CellField:
        """Return the current [A] that leaves every cell with all electrodes at 0 V."""
        leaving = self.outflow(potential)
        return leaving + self.contact.sum(0) * potential

    def outflow(self, potential: CellField) -> CellField:
        """Return the current [A] that leaves every cell towards its neighbours."""
        return net_outflow(*self.face_currents(potential))

    def face_currents(self, potential: CellField) -> tuple[FacesX, FacesY]:
        """Return the currents [A] through interior faces, positive towards +x and +y."""
        return (
            -self.interior_x * jnp.diff(potential, axis=0),
            -self.interior_y * jnp.diff(potential, axis=1),
        )


def _harmonic(a: Array, b: Array) -> Array:
    return 2 * a * b / (a + b)


def solve_potential(
    network: ConductanceNetwork,
    bias: Bias,
    preconditioner: CosinePreconditioner,
    guess: CellField | None = None,
) -> CellField:
    """Return the potential [V] of every cell under a bias.

    The floating electrodes are eliminated: ``V_f = g_f . phi / sum(g_f)`` makes each a symmetric
    rank-one term of the operator, so that one right-hand side is enough. At least one electrode
    must be driven.
    """
    total = network.contact.sum((1, 2))
    floating = jnp.where(bias.floating, 1.0, 0.0)

    def operator(potential: CellField) -> CellField:
        own = floating * jnp.einsum("kxy,xy->k", network.contact, potential) / total
        return network.apply(potential) - jnp.einsum("k,kxy->xy", own, network.contact)

    source = jnp.einsum("k,kxy->xy", bias.voltage, network.contact)
    guess = jnp.zeros_like(source) if guess is None else guess
    return conjugate_gradients(
        operator,
        source,
        lambda r: preconditioner(r, network.weight),
        guess,
        default_tolerance(source.dtype),
    )


def electrode_voltages(network: ConductanceNetwork, bias: Bias, potential: CellField) -> Terminals:
    """Return the voltage of every electrode [V], the floating ones at what they float to."""
    total = network.contact.sum((1, 2))
    floats_at = jnp.einsum("kxy,xy->k", network.contact, potential) / total
    return jnp.where(bias.floating, floats_at, bias.voltage)


def terminal_currents(network: ConductanceNetwork, bias: Bias, potential: CellField) -> Terminals:
    """Return the current into the film at every electrode [A]; those that float carry none."""
    drop = bias.voltage[:, None, None] - potential[None]
    current = jnp.einsum("kxy,kxy->k", network.contact, drop)
    return jnp.where(bias.floating, 0.0, current)


def conductance_matrix(
    network: ConductanceNetwork, preconditioner: CosinePreconditioner
) -> Float[Array, "terminals terminals"]:
    """Return G [S] with ``I = G V`` for all electrodes driven.

    Symmetric (reciprocity), rows and columns sum to zero (Kirchhoff), off-diagonals not positive.
    """
    terminals = network.contact.shape[0]

    def column(voltages: Terminals) -> Terminals:
        bias = Bias(voltages)
        return terminal_currents(network, bias, solve_potential(network, bias, preconditioner))

    return jax.vmap(column, out_axes=1)(jnp.eye(terminals, dtype=network.weight.dtype))


def joule_heat(network: ConductanceNetwork, bias: Bias, potential: CellField) -> CellField:
    """Return the power dissipated in every cell [W]; the sum is the electrical power put in."""
    drop = electrode_voltages(network, bias, potential)[:, None, None] - potential[None]
    return dissipated(network, potential) + jnp.einsum("kxy,kxy->xy", network.contact, drop**2)


def dissipated(network: ConductanceNetwork, potential: CellField) -> CellField:
    """Return the power dissipated in every cell without its contacts [W]."""
    ix, iy = network.face_currents(potential)
    return faces_to_cells(-ix * jnp.diff(potential, axis=0), -iy * jnp.diff(potential, axis=1))
