"""The Stanford-PKU model of a filament: one gap, one temperature, and its dynamic variation."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import PyTree

from .._types import Scalar, ScalarLike
from ..constants import BOLTZMANN_EV
from ._base import Path
from ._compact import AbstractCompactDevice
from ._parameters import parameter
from ._windows import check_order, held

_LISTING = "rram_v_1_0_0.va, doi:10.4231/D37H1DN48 (listing read)"

NM = 1e-9
"""The state is the gap in nanometres: of the order of 1, as a solver's tolerance wants it."""


class StanfordPKU(AbstractCompactDevice):
    """The Stanford-PKU RRAM model, version 1.0.0 (HfOx): the gap g between filament and electrode.

    ``i = I_0 exp(-g/g_0) sinh(v/V_0)``, ``T = T_0 + |v i| R_th``,
    ``dg/dt = -v_0 exp(-E_a/kT) sinh(gamma a_0/t_ox v/kT)`` with
    ``gamma = gamma_0 - beta (g/nm)^3``, and 0 where ``gamma |v| / t_ox < F_min``; g is held between
    its bounds. Positive voltage shrinks the gap. The state is g in nanometres.

    The listing's motion jumps to zero at F_min. A gap that grows in a voltage ramp slides along
    that jump, in ever smaller time steps and with derivatives that do not know of it; here the
    motion falls to zero smoothly, over the last hundredth (`field_width`, ours) below F_min.

    Dynamic variation. The listing adds to dg/dt, anew in every time step, a normal number times
    ``dg_0 F(T)``, ``F = 1 / (1 + exp((T_crit - T)/T_smth))``, and bounds the step to 1 ns; halving
    the step halves the variance it causes. We take the bound for the step: in dt_0 = 1 ns a gap
    moves by ``dg_0 F dt_0`` (0.02 m/s: 0.02 nm times F), which is the Ito equation
    ``dg = ... dt + dg_0 F(T) sqrt(dt_0) dW`` for any step. It acts while a voltage is on, however
    small (as in the listing), and only with a key; at rest the gap stays where it is.

    Drive: DC sweeps and pulses of 1 to 3 V, as the field threshold wants them (SET from the widest
    gap needs 1.4 V, RESET stops where the threshold does). No series resistance: the current is
    that of the gap alone, and heats by 25 K at +1 V, by thousands of kelvin at +2 V and full SET.

    Source: Z. Jiang et al., NEEDS (2014), doi:10.4231/D37H1DN48; numbers from the listing.
    """

    i_0: Scalar = parameter(1e-3, "A", "current scale", _LISTING)
    g_0: Scalar = parameter(0.25e-9, "m", "decay length of the current in the gap", _LISTING)
    v_0: Scalar = parameter(0.25, "V", "voltage scale of the current", _LISTING)
    speed: Scalar = parameter(10.0, "m/s", "prefactor of the motion", _LISTING, zero=True)
    beta: Scalar = parameter(0.8, "-", "loss of field enhancement per nm^3", _LISTING, zero=True)
    gamma_0: Scalar = parameter(16.0, "-", "field enhancement at no gap, v >= 0", _LISTING)
    gamma_0_reset: Scalar = parameter(16.0, "-", "the same for v < 0", _LISTING)
    activation_energy: Scalar = parameter(0.6, "eV", "barrier of a vacancy", _LISTING)
    atom_spacing: Scalar = parameter(0.25e-9, "m", "distance of a hop", _LISTING)
    oxide_thickness: Scalar = parameter(12e-9, "m", "oxide thickness", _LISTING)
    field_min: Scalar = parameter(
        1.4e9, "V/m", "smallest enhanced field that moves the gap", _LISTING
    )
    field_width: Scalar = parameter(
        0.01, "-", "share of field_min below it over which the motion ends", "ours"
    )
    gap_min: Scalar = parameter(0.2e-9, "m", "smallest gap", _LISTING)
    gap_max: Scalar = parameter(1.7e-9, "m", "largest gap", _LISTING)
    gap_init: Scalar = parameter(0.2e-9, "m", "gap of the fresh device", _LISTING)
    thermal_resistance: Scalar = parameter(2.1e3, "K/W", "heating by the power", _LISTING)
    t_crit: Scalar = parameter(450.0, "K", "temperature of half the variation", _LISTING)
    t_smth: Scalar = parameter(500.0, "K", "width of the onset of the variation", _LISTING)
    variation: Scalar = parameter(0.02, "m/s", "dg_0 of the dynamic variation", _LISTING, zero=True)
    variation_step: Scalar = parameter(
        1e-9, "s", "time step dt_0 that dg_0 belongs to", _LISTING + ": its bound of the time step"
    )
    ambient_temperature: Scalar = parameter(298.0, "K", "ambient", _LISTING, low=200.0, high=500.0)
    read_voltage: Scalar = parameter(0.1, "V", "read voltage", "assumed", low=-10.0, high=10.0)

    def check(self) -> None:
        """Raise unless the gap has room."""
        super().check()
        check_order(self, "gap_min", "gap_max", "m")

    def init_state(self, gap: ScalarLike | None = None) -> Scalar:
        """Return the state of a gap [m] (`gap_init` if None)."""
        return (self.gap_init if gap is None else jnp.asarray(gap, self.gap_init.dtype)) / NM

    def gap(self, state: Scalar) -> Scalar:
        """Return the gap [m]."""
        return state * NM

    def bounds(self) -> tuple[ScalarLike, ScalarLike]:
        """Return the smallest and the largest gap [nm]."""
        return self.gap_min / NM, self.gap_max / NM

    def current(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the current [A] under a voltage [V]."""
        gap = self.gap(self.project(state))
        return self.i_0 * jnp.exp(-gap / self.g_0) * jnp.sinh(jnp.asarray(v) / self.v_0)

    def temperature(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the temperature [K] under a voltage [V]; it follows the power without inertia."""
        heat = jnp.abs(v * self.current(v, state))
        return self.ambient_temperature + heat * self.thermal_resistance

    def velocity(self, v: Scalar, state: Scalar) -> Scalar:
        """Return dg/dt [nm/s] under a voltage [V]."""
        thermal = BOLTZMANN_EV * self.temperature(v, state)
        gamma = jnp.where(v < 0, self.gamma_0_reset, self.gamma_0)
        gamma = gamma - self.beta * self.project(state) ** 3
        field = gamma * jnp.abs(v) / self.oxide_thickness
        share = jnp.clip(1 + (field / self.field_min - 1) / self.field_width, 0.0, 1.0)
        lowering = gamma * self.atom_spacing / self.oxide_thickness * v / thermal
        hop = jnp.exp(-self.activation_energy / thermal)
        motion = -self.speed / NM * hop * jnp.sinh(lowering) * share**2 * (3 - 2 * share)
        return held(motion, state, self.bounds())

    @property
    def stochastic(self) -> bool:
        """True: the dynamic variation is part of the model (``variation=0`` takes it away)."""
        return True

    def diffusion(
        self, v: Scalar, state: Scalar, fields: PyTree, workspace: PyTree, path: Path
    ) -> Scalar:
        """Return ``dg_0 F(T) sqrt(dt_0)`` [nm/s^(1/2)]."""
        onset = jnp.exp((self.t_crit - self.temperature(v, state)) / self.t_smth)
        return self.variation / NM * jnp.sqrt(self.variation_step) / (1 + onset)
