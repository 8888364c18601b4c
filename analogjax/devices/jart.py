"""JART VCM v1b: a filament whose conduction is set by the oxygen vacancies of a thin disc.

Bipolar switching of HfO2/TiOx: under SET (negative voltage at the active electrode) vacancies come
into the disc, the Schottky barrier falls and the cell warms, which speeds them up; under RESET they
leave. One state, the vacancy density N of the disc; current, junction voltage and temperature
follow it without inertia. Theory, golden numbers and limits: ``docs/theory/jart_vcm.md``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._checks import check_between, check_choice, check_positive, is_traced
from .._types import Array, Bool, Scalar, ScalarLike
from . import _jart_current as physics
from ._base import Path
from ._compact import AbstractCompactDevice
from ._jart_current import OperatingPoint, operating_point
from ._jart_fits import current_n22, current_tud
from ._parameters import parameter
from ._windows import check_order

LISTING = "v1b listing, as in V. Ntinas et al., doi 10.1109/SMACD58065.2023.10192107"

CURRENTS = ("exact", "n22", "tud")
"""The implicit current, and two published closed forms of it."""


class JartFields(eqx.Module):
    """What the last evaluation found."""

    temperature: Scalar
    """Of the filament [K]."""
    field: Scalar
    """Field over the one that tears a hop's barrier down; the equations hold below 1."""


class JartVCM(AbstractCompactDevice):
    """JART VCM v1b (and v1a) for one cell; the state is ``ln N``, N in 1e26 1/m^3.

    ``V = V(active electrode) - V(ohmic electrode)``: SET is negative, RESET positive. Published
    for sweeps of 1 V/s and pulses down to nanoseconds. The temperature has no limit in the model:
    beyond about -1.1 V a fresh cell sets within a nanosecond at more than 2000 K, which is no
    longer physics; `compliance` keeps it from that.

    Sources: C. Bengel et al., IEEE TCAS-I 67, 4618 (2020), doi 10.1109/TCSI.2020.3018502;
    F. Cueppers et al., APL Mater. 7, 091105 (2019), doi 10.1063/1.5108654. Parameters:
    `JartVCM.PARAMETERS`; preset ``"v1a"`` is the older set of A. Hardtdegen et al.,
    doi 10.1109/TED.2018.2849872 (with the limiter and the signs of v1b).
    """

    PRESETS: ClassVar[dict[str, dict[str, float]]] = {
        "v1b": {},
        "v1a": {
            "barrier_height": 0.30, "electron_mobility": 1e-5, "n_min": 0.04, "n_init": 0.04,
            "hop_distance": 0.4e-9, "attempt_frequency": 3e11, "activation_energy": 0.9,
            "thermal_resistance": 1.06e6, "reset_heating": 1.0, "radius": 30e-9,
            "nominal_radius": 30e-9, "disc_length": 1e-9, "oxide_resistance": 1200.0,
            "line_resistance": 0.0,
        },
    }  # fmt: skip

    compliance: Scalar | None
    """Largest current [A] that the source lets through, either way; None for none."""
    conduction: str = eqx.field(static=True)
    single_vacancy_noise: bool = eqx.field(static=True)

    ambient_temperature: Scalar = parameter(
        293.0, "K", "ambient temperature", LISTING, low=200.0, high=500.0
    )
    permittivity: Scalar = parameter(17.0, "-", "static relative permittivity", LISTING)
    barrier_permittivity: Scalar = parameter(
        5.5, "-", "relative permittivity of the barrier lowering", LISTING
    )
    barrier_height: Scalar = parameter(0.18, "eV", "Schottky barrier at zero bias", LISTING)
    fermi_offset: Scalar = parameter(0.10, "eV", "conduction band to Fermi level", LISTING)
    electron_mobility: Scalar = parameter(4e-6, "m^2/V/s", "electron mobility", LISTING)
    charge_number: Scalar = parameter(2.0, "-", "charge number of a vacancy", LISTING)
    n_min: Scalar = parameter(0.008, "1e26/m^3", "smallest density of the disc", LISTING)
    n_max: Scalar = parameter(20.0, "1e26/m^3", "largest density of the disc", LISTING)
    n_init: Scalar = parameter(0.008, "1e26/m^3", "density of the fresh disc", LISTING)
    n_plug: Scalar = parameter(20.0, "1e26/m^3", "density of the plug", LISTING)
    hop_distance: Scalar = parameter(0.25e-9, "m", "hop distance", LISTING)
    attempt_frequency: Scalar = parameter(2e13, "1/s", "attempt frequency", LISTING)
    activation_energy: Scalar = parameter(1.35, "eV", "migration barrier", LISTING)
    thermal_resistance: Scalar = parameter(
        15.72e6, "K/W", "thermal resistance at the nominal radius (10e6 in other listings)", LISTING
    )
    reset_heating: Scalar = parameter(
        0.27, "-", "thermal resistance under RESET, relative", LISTING
    )
    radius: Scalar = parameter(45e-9, "m", "radius of the filament", LISTING)
    nominal_radius: Scalar = parameter(45e-9, "m", "radius that R_th0 is for", LISTING)
    cell_length: Scalar = parameter(3e-9, "m", "length of plug and disc", LISTING)
    disc_length: Scalar = parameter(0.4e-9, "m", "length of the disc", LISTING)
    oxide_resistance: Scalar = parameter(650.0, "ohm", "series resistance of TiOx", LISTING)
    line_resistance: Scalar = parameter(
        719.2437, "ohm", "cold resistance of the lines", LISTING, zero=True
    )
    line_thermal_resistance: Scalar = parameter(
        90471.47, "K/W", "thermal resistance of the lines", LISTING, zero=True
    )
    line_temperature_coefficient: Scalar = parameter(
        3.92e-3, "1/K", "temperature coefficient of the lines", LISTING, zero=True
    )
    read_voltage: Scalar = parameter(0.2, "V", "read voltage", "Z. Yu et al., arXiv:2403.06746")

    def __init__(
        self,
        preset: str | None = None,
        *,
        current: str = "exact",
        compliance: ScalarLike | None = None,
        single_vacancy_noise: bool = False,
        **parameters: Any,
    ):
        """Make a device.

        Args:
            preset: ``"v1b"`` (the default, HfO2/TiOx) or ``"v1a"``.
            current: ``"exact"`` solves the implicit equations; ``"n22"`` and ``"tud"`` are
                published closed forms, fitted for the default parameters.
            compliance: Largest current [A], either way: the source lowers its voltage to keep it.
                With the exact current only.
            single_vacancy_noise: Whether a read with a key sees one vacancy come and go (*ours*,
                no part of JART; see `read_noise`).
            **parameters: Any parameter of `PARAMETERS` by name, instead of the preset's value.

        Raises:
            ValueError: An unknown name or choice, or a value out of range.
        """
        check_choice("current", current, CURRENTS)
        if compliance is not None:
            check_positive("compliance", compliance, "A")
            if current != "exact":
                raise ValueError(
                    "Argument `compliance` must be None with a closed form of the current, but is "
                    f"{compliance}."
                )
        self.conduction = current
        self.compliance = None if compliance is None else jnp.asarray(compliance, float)
        self.single_vacancy_noise = single_vacancy_noise
        super().__init__(preset, **parameters)  # pyright: ignore

    def init_state(self, disc_vacancies: ScalarLike | None = None) -> Scalar:
        """Return the state at a vacancy density of the disc [1e26 1/m^3]; `n_init` if None.

        Raises:
            ValueError: A density not above zero.
        """
        if disc_vacancies is None:
            return jnp.log(self.n_init)
        check_positive("disc_vacancies", disc_vacancies, "1e26/m^3")
        return jnp.log(jnp.asarray(disc_vacancies, self.n_init.dtype))

    def check(self) -> None:
        """Raise unless densities and lengths are in the right order."""
        super().check()
        check_order(self, "n_min", "n_max", "1e26/m^3")
        check_order(self, "disc_length", "cell_length", "m")

    def check_state(self, state: Scalar) -> None:
        """Raise if a (concrete) state ln N is far outside `n_min` and `n_max`.

        Raises:
            ValueError: It is, such as a density in place of its logarithm.
        """
        low, high = jnp.log(self.n_min), jnp.log(self.n_max)
        if not (is_traced(state) or is_traced(low) or jnp.ndim(low)):
            # Wider by a spread of cells: a state may come from a cell with other bounds.
            check_between("state", state, float(low) - 3, float(high) + 1)

    def disc_vacancies(self, state: Scalar) -> Scalar:
        """Return the vacancy density of the disc [1e26 1/m^3]."""
        return jnp.exp(state)

    def disc_count(self, state: Scalar) -> Scalar:
        """Return how many vacancies the disc holds (2.0 when fresh, 5089 when full)."""
        return jnp.exp(state) * self._vacancies_per_density()

    @property
    def potentiation(self) -> float:
        """-1: SET is negative."""
        return -1.0

    @property
    def needs_float64(self) -> bool:
        """True: exponents up to 600 and rates over eighteen decades."""
        return True

    def valid(self, state: Scalar) -> Bool[Array, ""]:
        """Return whether ``ln N`` is finite."""
        return jnp.isfinite(state)

    def overshoot(self, before: Scalar, after: Scalar) -> Scalar:
        """Return how far a step has gone beyond N_min or N_max, where the motion would have ended.

        A cell may have begun beyond them (drawn from cycle to cycle); what counts is what is added.
        """
        low, high = jnp.log(self.n_min), jnp.log(self.n_max)

        def outside(y):
            return jnp.maximum(y - high, 0.0) + jnp.maximum(low - y, 0.0)

        return jnp.maximum(outside(after) - outside(before), 0.0)

    def holds(self, fields: JartFields) -> Bool[Array, ""]:
        """Return whether the field leaves hops a barrier."""
        return fields.field < 1

    def progress(self, begun: Scalar, state: Scalar) -> Scalar:
        """Return how far a write has come, linear in N, up to N_max or down to N_min."""
        start, n = jnp.exp(begun), jnp.exp(state)
        span = jnp.where(n > start, self.n_max - start, start - self.n_min)
        return jnp.abs(n - start) / jnp.where(span > 0, span, 1.0)

    # Algebra.

    def operating_point(self, v: ScalarLike, state: Scalar) -> OperatingPoint:
        """Return current, voltages and temperature under a voltage [V]."""
        return self._operating_point(jnp.asarray(v, state.dtype), state)

    def _operating_point(self, v: Scalar, state: Scalar) -> OperatingPoint:
        n = jnp.exp(state)
        if self.conduction == "exact":
            return operating_point(self, v, n, self.compliance)
        if self.conduction == "n22":
            i = current_n22(v, n)
        else:
            d_r = (self.radius / self.nominal_radius - 1) / 0.1
            d_l = (self.disc_length / self.PARAMETERS["disc_length"].default - 1) / 0.1
            i = current_tud(v, n, d_r, d_l)
        return physics.from_current(self, v, n, jnp.where(v == 0, 0.0, i))

    def current(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the current [A] at a voltage [V]."""
        return self.operating_point(v, state).current

    # Dynamics.

    def initial_fields(self, state: Scalar) -> JartFields:
        """Return ambient temperature and no field."""
        return JartFields(self.ambient_temperature, jnp.zeros_like(self.ambient_temperature))

    def velocity(self, v: Scalar, state: Scalar) -> Scalar:
        """Return d(ln N)/dt [1/s]: Mott-Gurney hops between disc and plug.

        ``dN/dt = -c a nu0 / l F (exp(-W_f / kT) - exp(-W_r / kT))`` with ``c = (N_plug + N) / 2``
        and the limiter F, written as one exponential and one hyperbolic sine.
        """
        return self.rate(v, state, self.initial_fields(state), (), "write")[0]

    def rate(
        self, v: Scalar, state: Scalar, fields: JartFields, workspace: Any, path: Path
    ) -> tuple[Scalar, JartFields]:
        """Return d(ln N)/dt [1/s], temperature and relative field."""
        point = self._operating_point(v, state)
        n = jnp.exp(state)
        reset = v > 0
        drive = jnp.where(
            reset, point.oxide_voltage / self.cell_length, point.disc_voltage / self.disc_length
        )
        energy = self.charge_number * self.hop_distance * drive
        relative = energy / (jnp.pi * self.activation_energy)
        # Beyond 1 the barrier is gone and the equation with it; `holds` tells.
        g = jnp.clip(relative, -0.999, 0.999)
        thermal = physics.BOLTZMANN * point.temperature / physics.CHARGE
        barrier = self.activation_energy * (jnp.sqrt(1 - g**2) + g * jnp.arcsin(g))
        lean = jnp.abs(energy) / (2 * thermal)
        # 2 sinh(lean) exp(-barrier / kT) without an overflow.
        hops = jnp.exp(lean - barrier / thermal) * -jnp.expm1(-2 * lean)
        beyond = jnp.where(reset, jnp.log(self.n_min) - state, state - jnp.log(self.n_max))
        # Beyond its bound nothing moves. Within the solver's error of it the line goes on, so that
        # an overshoot decays as it would inside and is not kept for ever.
        over = jnp.maximum(beyond, 0.0)
        limiter = jnp.where(
            beyond > 0, -10 * over * jnp.exp(-1e3 * over), -jnp.expm1(10 * jnp.minimum(beyond, 0.0))
        )
        speed = (
            0.5 * (self.n_plug + n) * self.hop_distance * self.attempt_frequency
            / self.disc_length * limiter * hops / n
        )  # fmt: skip
        fields = JartFields(point.temperature, jax.lax.stop_gradient(jnp.abs(relative)))
        return jnp.where(v == 0, 0.0, -jnp.sign(v) * speed), fields

    # Chance.

    def read_noise(self, resistance: Scalar, state: Scalar, *, key: PRNGKeyArray) -> Scalar:
        """Return the resistance with one vacancy there or not (*ours*; not part of JART).

        The disc holds ``n = N A l`` vacancies; one that comes and goes half of the time changes N
        by ``+-1 / (2 A l)``, which is 25 % of N in the fresh disc and 0.1 per mille of the full
        one. The disc never reads below half a vacancy.
        """
        if not self.single_vacancy_noise:
            return resistance
        one = 1 / self._vacancies_per_density()
        there = jax.random.bernoulli(key, 0.5)
        n = jnp.exp(state) + jnp.where(there, 0.5, -0.5) * one
        return resistance * self.read(jnp.log(jnp.maximum(n, 0.5 * one))) / self.read(state)

    def _vacancies_per_density(self) -> Scalar:
        return jnp.pi * self.radius**2 * self.disc_length * physics.DENSITY_UNIT
