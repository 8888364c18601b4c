"""The four-terminal TiO2-x memristor: a two-dimensional oxygen-vacancy distribution as a memory.

A square film with an electrode in each corner, T1 (0, 0), T2 (L, 0), T3 (L, L), T4 (0, L). Written
by a voltage between T1 and T3 (T2 and T4 floating), read between T2 and T4 (T1 and T3 floating). A
domain rich in vacancies sits at T1; a positive voltage pushes vacancies across the T2-T4 line and
lowers the resistance (potentiation), a negative one raises it (depression).

Equations: `analogjax.physics`; theory and the error of the model's form: ``docs/theory``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from .._checks import check_choice, check_not_negative, check_shape, is_traced
from .._types import Array, Bool, CellField, Coverage, FacesX, FacesY, Float, Scalar, ScalarLike
from ..constants import ROOM_TEMPERATURE
from ..physics import laws
from ..physics.conduction import Bias, ConductanceNetwork
from ..physics.cosine import diffuse
from ..physics.elliptic import CosinePreconditioner
from ..physics.fluctuations import draw_counts, hop_noise
from ..physics.grid import corner_electrodes, net_outflow
from ..physics.heat import temperature_rise
from ..physics.rectifying import RectifyingNetwork
from ..physics.transport import SCHEMES
from ._base import AbstractDevice, Path, check_parameters
from ._parameters import Parameter
from ._tio2_contacts import schottky_network
from ._tio2_parameters import PARAMETERS, PRESETS

SETTLING_ITERATIONS = 12
"""Picard iterations after a voltage jump: the conductivity's barrier makes each shrink the error of
the temperature to a third or less (0.28 at a rise of 220 K), 12 leave 1e-6 of the jump."""


class FilmFields(eqx.Module):
    """What follows the vacancies without inertia: potential, temperature, fastest motion."""

    potential: CellField
    """Electric potential [V]."""
    temperature: Float[Array, "..."]
    """Temperature [K]: one value per cell, or one for all in an isothermal film."""
    fastest: Scalar
    """Largest Courant and diffusion number per second [1/s]."""


class FilmMotion(eqx.Module):
    """How fields move vacancies, whatever their density: per face along each axis."""

    velocity: tuple[FacesX, FacesX]
    """Drift velocity [m/s]; along y of the transposed film."""
    spread: tuple[Array, Array]
    """Diffusivity of the hops [m^2/s]."""
    fastest: Scalar
    """Largest Courant and diffusion number per second [1/s]."""


class _Workspace(eqx.Module):
    coverage: Coverage
    preconditioner: CosinePreconditioner


class FourTerminalTiO2(AbstractDevice):
    """Two-dimensional vacancy drift-diffusion device with four electrodes.

    The state is the vacancy density in units of `reference_density`, an array ``(cells, cells)``
    indexed ``[x, y]``. Presets:

    * ``"isothermal"`` (default): shows the published dependence on the amplitude from 0.3 to 7 V,
      but forgets: at 0 V it drifts by almost three 512-level pitches in the first second.
    * ``"nonvolatile"``: Joule heat of the write pulse activates the vacancies; keeps its state for
      years at 300 K, but does nothing below about 4 V. Neither does both: the voltage-time dilemma.

    Contacts are ``"ohmic"`` (default) or ``"schottky"``: every electrode face then is a barrier in
    series with the film (`analogjax.physics.contacts`), the current no longer proportional to the
    voltage, and a read is what its own voltage makes it.

    Source of the layout and protocol: Z. Diao et al., Nanoscale Horiz. 10, 780 (2025). Parameters
    and their sources: `FourTerminalTiO2.PARAMETERS`.
    """

    PARAMETERS: ClassVar[dict[str, Parameter]] = PARAMETERS

    activation_energy: Scalar
    attempt_frequency: Scalar
    hop_distance: Scalar
    charge_number: Scalar
    reference_density: Scalar
    c_max: Scalar
    ambipolar_factor: Scalar
    diffusion_anisotropy: Scalar
    sigma_background: Scalar
    sigma_1: Scalar
    sigma_exponent: Scalar
    sigma_activation_energy: Scalar
    sigma_anisotropy: Scalar
    contact_resistivity: Scalar
    schottky_barrier: Scalar
    ideality: Scalar
    richardson_constant: Scalar
    fermi_depth: Scalar
    static_permittivity: Scalar
    optical_permittivity: Scalar
    side: Scalar
    thickness: Scalar
    electrode_arm: Scalar
    c_lo: Scalar
    c_hi: Scalar
    front_position: Scalar
    front_width: Scalar
    thermal_conductivity: Scalar
    heat_sink: Scalar
    thermal_time: Scalar
    ambient_temperature: Scalar
    read_voltage: Scalar

    cells: int = eqx.field(static=True)
    scheme: str = eqx.field(static=True)
    conduction: str = eqx.field(static=True)
    contacts: str = eqx.field(static=True)
    image_force: bool = eqx.field(static=True)
    self_heating: bool = eqx.field(static=True)

    def __init__(
        self,
        cells: int = 48,
        *,
        preset: str = "isothermal",
        scheme: str = "muscl",
        conduction: str = "affine",
        contacts: str = "ohmic",
        image_force: bool = True,
        self_heating: bool | None = None,
        **parameters: Any,
    ):
        """Make a device.

        Args:
            cells: Cells along each side of the film. Quote it with any number: the electrode tips
                are singular and the fields there converge with first order.
            preset: ``"isothermal"`` or ``"nonvolatile"``; see the class.
            scheme: Flux of the vacancies, ``"muscl"`` (limited second order) or ``"sg"``
                (Scharfetter-Gummel).
            conduction: ``"affine"`` or ``"power"`` dependence of the conductivity on density.
            contacts: ``"ohmic"`` or ``"schottky"``, which has parameters of its own.
            image_force: Whether the image force lowers a Schottky barrier; without it a reverse
                contact of 0.7 eV blocks.
            self_heating: Whether Joule heat raises the temperature; as the preset has it if None.
            **parameters: Any parameter of `PARAMETERS` by name, instead of the preset's value.

        Raises:
            ValueError: An unknown name, a value out of range, or a grid too coarse for the
                electrodes (each must cover at least two faces on each side of its corner).
        """
        check_choice("preset", preset, PRESETS)
        check_choice("scheme", scheme, SCHEMES)
        check_choice("conduction", conduction, ("affine", "power"))
        check_choice("contacts", contacts, ("ohmic", "schottky"))
        check_parameters(type(self), parameters)
        if cells < 4:
            raise ValueError(f"Argument `cells` must be at least 4, but is {cells}.")
        values = {name: p.default for name, p in PARAMETERS.items()} | PRESETS[preset] | parameters
        dtype = jnp.result_type(float)
        for name in PARAMETERS:
            setattr(self, name, jnp.asarray(values[name], dtype))
        self.cells = int(cells)
        self.scheme = scheme
        self.conduction = conduction
        self.contacts = contacts
        self.image_force = image_force
        self.self_heating = (preset == "nonvolatile") if self_heating is None else self_heating
        self.check()

    def check(self) -> None:
        """Raise unless parameters (those that are concrete) fit together and fit the grid."""
        if not is_traced(self.electrode_arm) and jnp.ndim(self.electrode_arm) == 0:
            arm = float(self.electrode_arm)
            if arm * self.cells < 2:
                raise ValueError(
                    f"Argument `cells` must be at least {math.ceil(2 / arm)}, so that an electrode "
                    f"arm of {arm:g} L covers two faces, but is {self.cells}."
                )
        for name in ("c_lo", "c_hi"):
            value, most = getattr(self, name), self.c_max
            if is_traced(value) or is_traced(most):
                continue
            # NumPy: while something else is traced, so is an operation of JAX on concrete arrays.
            if np.any(np.asarray(value) > np.asarray(most)):
                raise ValueError(
                    f"Argument `{name}` must be at most `c_max` = {float(most):g}, "
                    f"but is {float(value):g}."
                )

    # State.

    def init_state(self) -> CellField:
        """Return the formed state, before conditioning: a rich domain at T1.

        ``c = c_lo + (c_hi - c_lo) / 2 [1 - tanh((s - s0) / delta)]`` with s along the T1-T3
        diagonal.
        """
        x = (jnp.arange(self.cells) + 0.5) / self.cells
        s = (x[:, None] + x[None, :] - 1) / jnp.sqrt(2.0)
        rich = 0.5 * (1 - jnp.tanh((s - self.front_position) / self.front_width))
        return self.c_lo + (self.c_hi - self.c_lo) * rich

    def vacancies(self, state: CellField) -> CellField:
        """Return the vacancy density per cell in units of the reference density."""
        return state

    def valid(self, state: CellField) -> Bool[Array, ""]:
        """Return whether all densities are finite and within [0, c_max] (to a thousandth of it).

        The limited scheme keeps the bounds up to its time-stepping error; an unstable step
        oversteps them by far more than this.
        """
        slack = 1e-3 * self.c_max
        return jnp.all((state >= -slack) & (state <= self.c_max + slack))

    # Read-out.

    def current(self, v: ScalarLike, state: CellField) -> Scalar:
        """Return the current into T1 [A] at V(T1) = v [V], T3 at 0 V, T2 and T4 floating."""
        return self.terminal_currents(_write_bias(jnp.asarray(v, state.dtype)), state)[0]

    @eqx.filter_jit
    def read(self, state: CellField) -> Scalar:
        """Return R24 [ohm]: read voltage over current between T2 and T4, T1 and T3 floating.

        Instantaneous, at ambient temperature and without disturbing the state: an idealisation. A
        read that takes time is part of a drive (`analogjax.stimuli.ReadPulse`).
        """
        fields = self.initial_fields(state)
        return self.read_warm(state, fields, jnp.zeros_like(self.thermal_time), self.prepare())

    def terminal_currents(
        self, voltages: ArrayLike | Sequence[float | int], state: CellField
    ) -> Float[Array, "4"]:
        """Return the currents [A] into T1..T4 at these voltages [V]; nan means floating.

        With self-heating on, the film is as hot as these voltages make it.
        """
        voltages = jnp.asarray(voltages, state.dtype)
        check_shape("voltages", voltages, (4,))
        return self._terminal_currents(voltages, state)

    @eqx.filter_jit
    def _terminal_currents(self, voltages: Array, state: CellField) -> Float[Array, "4"]:
        bias = Bias(voltages)
        work = self.prepare()
        fields = self.initial_fields(state)
        if self.self_heating:
            # Settling ends with a new temperature; Kirchhoff holds for the potential at that one.
            fields = self._settle(bias, state, fields, work)
        network = self._network(state, fields.temperature, work)
        return network.conduct(bias, work.preconditioner, fields.potential).currents

    @eqx.filter_jit
    def conductance_matrix(self, state: CellField) -> Float[Array, "4 4"]:
        """Return G [S] with ``I = G V`` at ambient temperature (symmetric, rows sum to zero).

        With Schottky contacts this holds for small voltages only: ``dI/dV`` at 0 V.
        """
        work = self.prepare()
        network = self._network(state, self.ambient_temperature, work)
        return network.conductance_matrix(work.preconditioner)

    def fields(self, v: ScalarLike, state: CellField, *, path: Path = "write") -> FilmFields:
        """Return potential [V] and temperature [K] per cell under a voltage on the given path.

        Raises:
            ValueError: A path other than ``"write"`` or ``"read"``.
        """
        check_choice("path", path, ("write", "read"))
        return self._fields(jnp.asarray(v, state.dtype), state, path)

    @eqx.filter_jit
    def _fields(self, v: Scalar, state: CellField, path: Path) -> FilmFields:
        return self.settle(v, state, self.initial_fields(state), self.prepare(), path)

    # Dynamics.

    @property
    def default_solver(self) -> str:
        """``"adaptive"`` with self-heating, where few cells move much faster than the rest."""
        return "adaptive" if self.self_heating else "heun"

    @property
    def needs_float64(self) -> bool:
        """True with self-heating or barriers: rates and currents that span ten decades."""
        return self.self_heating or self.contacts == "schottky"

    def diffusivity(self, temperature: Float[Array, "..."] | float) -> Float[Array, "..."]:
        """Return the diffusivity D [m^2/s] of a vacancy at a temperature [K]."""
        return laws.hopping_diffusivity(
            self.hop_distance,
            self.attempt_frequency,
            self.activation_energy,
            jnp.asarray(temperature),
        )

    def prepare(self) -> _Workspace:
        """Return electrode coverage and preconditioner."""
        coverage = corner_electrodes(self.cells, self.electrode_arm)
        # Contact resistance enters the preconditioner by its mean weight only.
        sheet = (self.sigma_background + self.sigma_1) * self.thickness
        half_cell = 1 / (0.5 + self._contact_resistance() * sheet)
        preconditioner = CosinePreconditioner(coverage, half_cell, self.sigma_anisotropy)
        return _Workspace(coverage, preconditioner)

    def initial_fields(self, state: CellField) -> FilmFields:
        """Return the fields at 0 V."""
        zero = jnp.zeros_like(state)
        ambient = self.ambient_temperature
        temperature = zero + ambient if self.self_heating else ambient
        return FilmFields(zero, temperature, jnp.zeros((), state.dtype))

    def settle(
        self, v: Scalar, state: CellField, fields: FilmFields, workspace: _Workspace, path: Path
    ) -> FilmFields:
        """Return potential and temperature under v, consistent with each other."""
        bias = Bias(_bias(v, path))
        fields = self._settle(bias, state, fields, workspace)
        return self._motion(state, fields)[1]

    def rate(
        self, v: Scalar, state: CellField, fields: FilmFields, workspace: _Workspace, path: Path
    ) -> tuple[CellField, FilmFields]:
        """Return dc/dt [1/s] under v, and the fields.

        One Picard iteration a stage: the conductivity is that at the temperature of the stage
        before, the velocities that at the new one. The lag is scaled by the contraction of
        `SETTLING_ITERATIONS` and by how little a step changes the temperature; under a ramp of the
        voltage it is first order in the step.
        """
        fields = self._picard(Bias(_bias(v, path)), state, fields, workspace)
        return self._motion(state, fields)

    def motion(self, fields: FilmFields) -> FilmMotion:
        """Return how fields move vacancies."""
        vx, dx, rate_x = self._axis(fields.potential, fields.temperature, 1.0)
        vy, dy, rate_y = self._axis(
            fields.potential.T, fields.temperature.T, self.diffusion_anisotropy
        )
        fastest = jax.lax.stop_gradient(rate_x + rate_y)
        return FilmMotion((vx, vy), (dx, dy), fastest)

    def transport(self, state: CellField, motion: FilmMotion) -> CellField:
        """Return dc/dt [1/s] of a film that moves as given: no equation is solved."""
        dx, flux = self._spacing(), SCHEMES[self.scheme]
        flux_x = flux(state, motion.velocity[0], motion.spread[0], dx, self.c_max)
        flux_y = flux(state.T, motion.velocity[1], motion.spread[1], dx, self.c_max)
        return -net_outflow(flux_x, flux_y.T) / dx

    def fastest(self, fields: FilmFields) -> Scalar:
        """Return the largest Courant number per second [1/s]."""
        return fields.fastest

    def rest(self, state: CellField, duration: ScalarLike) -> CellField:
        """Return the state after a time at 0 V and ambient temperature, exactly.

        Without field only diffusion is left, which the cosine transform solves for any time.

        Raises:
            ValueError: A duration that is negative or not finite.
        """
        check_not_negative("duration", duration, "s")
        return self._rest(state, jnp.asarray(duration, state.dtype))

    @eqx.filter_jit
    def _rest(self, state: CellField, duration: Scalar) -> CellField:
        diffusivity = self.diffusivity(self.ambient_temperature) * self._ambipolar()
        number = diffusivity * duration / self._spacing() ** 2
        return diffuse(state, number, number * self.diffusion_anisotropy)

    def observe(
        self,
        v: Scalar,
        plateau: CellField,
        fields: FilmFields,
        after: CellField,
        guess: CellField,
        workspace: _Workspace,
    ) -> tuple[Scalar, Scalar, CellField]:
        """Return I(T1) at v on the plateau, R24 after it, and the read potential as next guess."""
        states = jnp.stack([plateau, after])
        ambient = jnp.broadcast_to(self.ambient_temperature, fields.temperature.shape)
        temperatures = jnp.stack([fields.temperature, ambient])
        biases = jnp.stack([_write_bias(v), _read_bias(self.read_voltage)])
        guesses = jnp.stack([fields.potential, guess])

        def one(state, temperature, voltages, start):
            bias = Bias(voltages)
            network = self._network(state, temperature, workspace)
            found = network.conduct(bias, workspace.preconditioner, start)
            return found.currents, found.potential

        currents, potentials = jax.vmap(one)(states, temperatures, biases, guesses)
        return currents[0, 0], self.read_voltage / currents[1, 1], potentials[1]

    def read_warm(
        self, state: CellField, fields: FilmFields, elapsed: Scalar, workspace: _Workspace
    ) -> Scalar:
        """Return R24 [ohm] a time [s] after a write whose heat decays exponentially.

        Args:
            state: The film at the moment of the read.
            fields: The fields at the end of the write.
            elapsed: Time since then [s].
            workspace: From `prepare`.
        """
        rise = fields.temperature - self.ambient_temperature
        temperature = self.ambient_temperature + rise * jnp.exp(-elapsed / self.thermal_time)
        bias = Bias(_read_bias(self.read_voltage))
        network = self._network(state, temperature, workspace)
        currents = network.conduct(bias, workspace.preconditioner).currents
        return self.read_voltage / currents[1]

    # Chance: a film holds a countable number of vacancies.

    def draw_state(self, state: CellField, *, key: PRNGKeyArray) -> CellField:
        """Return a film of countable vacancies about a mean one (Poisson where dilute)."""
        return draw_counts(key, state, self._vacancies_per_cell(), self.c_max)

    def fluctuate(
        self, state: CellField, fields: FilmFields, duration: ScalarLike, *, key: PRNGKeyArray
    ) -> CellField:
        """Return the film with the randomness of the hops of one pulse (number conserved)."""
        temperature = fields.temperature
        if self.self_heating:
            at_x = 0.5 * (temperature[1:] + temperature[:-1])
            at_y = 0.5 * (temperature.T[1:] + temperature.T[:-1])
        else:
            at_x = at_y = temperature
        scale = duration / self._spacing() ** 2
        noise = hop_noise(
            key,
            state,
            self.diffusivity(at_x) * scale,
            self.diffusivity(at_y) * scale * self.diffusion_anisotropy,
            self._vacancies_per_cell(),
            self.c_max,
        )
        return state + noise

    # Inside.

    def _vacancies_per_cell(self) -> Scalar:
        return self.reference_density * self.thickness * self._spacing() ** 2

    def _spacing(self) -> Scalar:
        return self.side / self.cells

    def _ambipolar(self) -> Scalar:
        return 1 + self.ambipolar_factor * self.charge_number

    def _contact_resistance(self) -> Scalar:
        return self.contact_resistivity / (self.thickness * self._spacing())

    def _network(
        self, state: CellField, temperature: Array, workspace: _Workspace
    ) -> ConductanceNetwork | RectifyingNetwork:
        # Full or empty cells at the electrode tips may overshoot by round-off; the clip keeps the
        # conductivity positive and costs no gradient inside the range.
        c = jnp.clip(state, 0.0, self.c_max)
        if self.conduction == "affine":
            sigma = laws.affine_conductivity(c, self.sigma_background, self.sigma_1)
        else:
            sigma = laws.power_conductivity(
                c, self.sigma_background, self.sigma_1, self.sigma_exponent
            )
        sigma = sigma * laws.thermal_activation(
            self.sigma_activation_energy, temperature, ROOM_TEMPERATURE
        )
        film = ConductanceNetwork(
            sigma * self.thickness,
            workspace.coverage,
            self._contact_resistance(),
            self.sigma_anisotropy,
        )
        if self.contacts == "ohmic":
            return film
        return schottky_network(self, film, workspace.coverage, c, temperature)

    def _picard(
        self, bias: Bias, state: CellField, fields: FilmFields, workspace: _Workspace
    ) -> FilmFields:
        network = self._network(state, fields.temperature, workspace)
        found = network.conduct(bias, workspace.preconditioner, fields.potential)
        temperature = fields.temperature
        if self.self_heating:
            temperature = self.ambient_temperature + temperature_rise(
                found.heat,
                spacing=self._spacing(),
                thickness=self.thickness,
                conductivity=self.thermal_conductivity,
                sink=self.heat_sink,
            )
        return FilmFields(found.potential, temperature, fields.fastest)

    def _settle(
        self, bias: Bias, state: CellField, fields: FilmFields, workspace: _Workspace
    ) -> FilmFields:
        if not self.self_heating:
            return self._picard(bias, state, fields, workspace)

        def iterate(fields, _):
            return self._picard(bias, state, fields, workspace), None

        return jax.lax.scan(iterate, fields, length=SETTLING_ITERATIONS)[0]

    def _motion(self, state: CellField, fields: FilmFields) -> tuple[CellField, FilmFields]:
        """Return dc/dt from potential and temperature, and the fields with the fastest rate."""
        motion = self.motion(fields)
        fields = FilmFields(fields.potential, fields.temperature, motion.fastest)
        return self.transport(state, motion), fields

    def _axis(
        self, potential: CellField, temperature: Array, anisotropy: Scalar | float
    ) -> tuple[FacesX | FacesY, Array, Scalar]:
        """Return velocity and diffusivity at faces normal to the first axis, and their rate."""
        dx = self._spacing()
        if self.self_heating:
            at_faces = 0.5 * (temperature[1:] + temperature[:-1])
        else:
            at_faces = self.ambient_temperature
        field = -jnp.diff(potential, axis=0) / dx
        hop = self.diffusivity(at_faces) * anisotropy
        bias = laws.hop_bias(self.charge_number, self.hop_distance, field, at_faces)
        velocity = laws.drift_velocity(hop, self.hop_distance, bias)
        spread = laws.field_diffusivity(hop, bias) * self._ambipolar()
        return velocity, spread, jnp.max(jnp.abs(velocity)) / dx + 2 * jnp.max(spread) / dx**2


def _write_bias(v: Scalar) -> Float[Array, "4"]:
    v = jnp.asarray(v)
    floats = jnp.full_like(v, jnp.nan)
    return jnp.stack([v, floats, jnp.zeros_like(v), floats])


def _read_bias(v: Scalar) -> Float[Array, "4"]:
    v = jnp.asarray(v)
    floats = jnp.full_like(v, jnp.nan)
    return jnp.stack([floats, v, floats, jnp.zeros_like(v)])


def _bias(v: Scalar, path: Path) -> Float[Array, "4"]:
    return _write_bias(v) if path == "write" else _read_bias(v)
