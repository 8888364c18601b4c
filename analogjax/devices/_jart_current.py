"""The current of JART VCM v1b: a Schottky junction in series with disc, plug and line.

One current I, one junction voltage V_s, one temperature T, all algebraic. With x = abs(V_s), the
series part gives I explicitly (a cubic, because the line heats itself), T follows from I, and the
junction law says what I should be; the root in x makes them agree. Under RESET there may be three
roots, because the image-force lowering of the barrier vanishes as V_s grows; the physical one is
the smallest, which continues the one at 0 V.

The residual ``ln I_series - ln I_junction`` falls and is convex up to its first root, so that
Newton's method from the left of it converges to it, and to no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Float, Scalar

if TYPE_CHECKING:
    from .jart import JartVCM

# The constants of the published listing, not CODATA: those shift currents by 2e-4.
CHARGE = 1.602e-19
"""Elementary charge [C]."""
BOLTZMANN = 1.3807e-23
"""[J/K]"""
PLANCK = 6.626e-34
"""[J s]"""
VACUUM_PERMITTIVITY = 8.854e-12
"""[F/m]"""
ELECTRON_MASS = 9.10938e-31
"""[kg]"""
RICHARDSON = 6.01e5
"""[A/m^2/K^2]"""
DENSITY_UNIT = 1e26
"""Vacancy densities of the model are in 1e26 1/m^3."""

ITERATIONS = 8
"""Newton steps: 8 leave less than 1e-10 of the current over all parameters that were tried."""

SMALLEST_VOLTAGE = 1e-5
"""Below it the current is taken proportional to the voltage [V] (to 1e-8 of itself)."""


class OperatingPoint(eqx.Module):
    """What follows voltage and vacancies without inertia."""

    current: Scalar
    """[A], signed."""
    junction_voltage: Scalar
    """V_s [V], signed."""
    disc_voltage: Scalar
    """[V], signed."""
    oxide_voltage: Scalar
    """Junction, disc and plug together [V], signed: what heats, and what drives a RESET."""
    temperature: Scalar
    """[K]"""


class _Series(eqx.Module):
    """Everything but the junction, as seen by magnitudes of voltage and current."""

    v: Scalar
    reset: Float[Array, ""]
    disc: Scalar
    plug: Scalar
    line: Scalar
    cubic: Scalar
    heating: Scalar
    ambient: Scalar

    def __init__(self, device: JartVCM, v: Scalar, disc_vacancies: Scalar):
        area = jnp.pi * device.radius**2
        per_length = CHARGE * device.charge_number * device.electron_mobility * area * DENSITY_UNIT
        self.v = jnp.abs(v)
        self.reset = jnp.where(v > 0, 1.0, 0.0).astype(self.v.dtype)
        self.disc = device.disc_length / (per_length * disc_vacancies)
        self.plug = (device.cell_length - device.disc_length) / (per_length * device.n_plug)
        self.line = device.oxide_resistance + device.line_resistance
        # A heated line: R_0 (1 + R_0 alpha R_th I^2).
        self.cubic = (
            device.line_resistance**2
            * device.line_temperature_coefficient
            * device.line_thermal_resistance
        )
        scale = jnp.where(v > 0, device.reset_heating, 1.0)
        self.heating = (
            device.thermal_resistance * (device.nominal_radius / device.radius) ** 2 * scale
        )
        self.ambient = device.ambient_temperature

    def current(self, x: Scalar) -> Scalar:
        """Return I > 0 of ``R I + c I^3 = |V| - x``."""
        drop, ohmic = self.v - x, self.disc + self.plug + self.line

        def halley(i, drop, ohmic, cubic):
            f = i * (ohmic + cubic * i**2) - drop
            slope = ohmic + 3 * cubic * i**2
            return i - f * slope / (slope**2 - f * 3 * cubic * i)

        # The last step has the derivatives of the root; those of the steps to it change nothing.
        fixed = jax.lax.stop_gradient((drop, ohmic, self.cubic))
        start = halley(halley(fixed[0] / fixed[1], *fixed), *fixed)
        return halley(start, drop, ohmic, self.cubic)

    def oxide(self, i: Scalar) -> Scalar:
        """Return the voltage over junction, disc and plug."""
        return self.v - i * (self.line + self.cubic * i**2)

    def temperature(self, i: Scalar) -> Scalar:
        """Return the temperature that a current makes [K]."""
        return self.ambient + i * self.oxide(i) * self.heating


class _Junction(eqx.Module):
    """The junction at a temperature: ``ln I = a - barrier(x) / width + ln(e^(x/n) - 1)``."""

    reset: Scalar
    height: Scalar
    """Of the barrier at zero bias [eV]."""
    bending: Scalar
    """psi: of the bands at the junction [V], there."""
    lowering: Scalar
    """Fourth power of the lowering by the image force, by psi [eV^4/V]."""
    tunnelling: Scalar
    """E_00 [eV]"""
    emitting: Scalar
    """Area times Richardson constant [A/K^2]."""

    def __init__(self, device: JartVCM, reset: Scalar, disc_vacancies: Scalar):
        density = device.charge_number * disc_vacancies * DENSITY_UNIT
        self.reset = reset
        self.height = device.barrier_height
        self.bending = device.barrier_height - device.fermi_offset
        # Grouped so that single precision would not overflow either.
        scale = CHARGE / (device.barrier_permittivity * VACUUM_PERMITTIVITY)
        self.lowering = scale**3 * density / (8 * jnp.pi**2)
        mass = ELECTRON_MASS * device.permittivity * VACUUM_PERMITTIVITY
        self.tunnelling = PLANCK / (4 * jnp.pi) * jnp.sqrt(density / mass)
        self.emitting = jnp.pi * device.radius**2 * RICHARDSON

    def barrier(self, x: Scalar) -> Scalar:
        """Return the barrier [eV], lowered by the image force (Schottky effect)."""
        psi = self.bending - (2 * self.reset - 1) * x
        bent = psi > 0
        lowered = self.height - jnp.sqrt(jnp.sqrt(self.lowering * jnp.where(bent, psi, 1.0)))
        return jnp.where(bent, jnp.maximum(lowered, 0.0), self.height)

    def terms(self, x: Scalar, temperature: Scalar) -> tuple[Scalar, Scalar]:
        """Return ``ln(I / (e^(x/n) - 1))`` and the voltage n of an e-fold."""
        thermal = BOLTZMANN * temperature / CHARGE
        barrier = self.barrier(x)
        ratio = self.tunnelling / thermal
        tanh = jnp.tanh(ratio)
        # ratio - tanh(ratio) loses its digits where ratio is small.
        r2 = jnp.minimum(ratio, 0.1) ** 2
        series = ratio * r2 * (1 / 3 - r2 * (2 / 15 - r2 * (17 / 315 - r2 * 62 / 2835)))
        fall = jnp.where(ratio < 0.1, series, ratio - tanh)
        emission = jnp.log(self.emitting * temperature**2) - barrier / thermal
        # (A* T / k) sqrt(pi W00 e [...]) with everything in volts.
        field = x + barrier * (1 - tanh**2)
        assisted = (
            jnp.log(self.emitting * temperature * CHARGE / BOLTZMANN)
            + 0.5 * jnp.log(jnp.pi * self.tunnelling * field)
            - barrier * tanh / self.tunnelling
        )
        reset = self.reset > 0
        fold = jnp.where(reset, thermal, self.tunnelling / fall)
        return jnp.where(reset, emission, assisted), fold

    def log_current(self, x: Scalar, temperature: Scalar) -> Scalar:
        """Return ln of the current at a junction voltage and a temperature."""
        log_prefactor, fold = self.terms(x, temperature)
        return log_prefactor + _log_expm1(x / fold)


def _log_expm1(u: Scalar) -> Scalar:
    # Never overflows: e^u - 1 = e^u (1 - e^-u).
    return u + jnp.log(-jnp.expm1(-u))


def operating_point(
    device: JartVCM, v: Scalar, disc_vacancies: Scalar, compliance: Scalar | None = None
) -> OperatingPoint:
    """Return current, voltages and temperature at a voltage.

    Args:
        device: The parameters.
        v: Voltage between active and ohmic electrode [V].
        disc_vacancies: Vacancy density of the disc [1e26 1/m^3].
        compliance: Largest current [A]; where it is reached, the voltage is what it takes.
    """
    tiny = jnp.abs(v) < SMALLEST_VOLTAGE
    # The sign of 0 V does not matter: the current is zero.
    sign = jnp.where(v > 0, 1.0, -1.0).astype(v.dtype)
    series = _Series(device, jnp.where(tiny, sign * SMALLEST_VOLTAGE, v), disc_vacancies)
    junction = _Junction(device, series.reset, disc_vacancies)

    def residual(x):
        i = series.current(x)
        return jnp.log(i) - junction.log_current(x, series.temperature(i))

    # Where the search starts has no derivative that matters, nor is one traced.
    guess = _first_guess(*jax.lax.stop_gradient((series, junction)))
    x = _first_root(residual, guess, (1 - 1e-12) * series.v)
    i = series.current(x)
    oxide, temperature = series.oxide(i), series.temperature(i)
    if compliance is not None:
        # At a given current the junction alone decides: its voltage also sets the temperature.
        at = jnp.minimum(compliance, i)
        rest = at * (series.disc + series.plug)

        def limited(x):
            heat = series.ambient + at * (x + rest) * series.heating
            return jnp.log(at) - junction.log_current(x, heat)

        limit = _first_root(limited, 0.5 * x, series.v)
        over = i > compliance
        x, i = jnp.where(over, limit, x), jnp.where(over, at, i)
        oxide = jnp.where(over, x + rest, oxide)
        temperature = jnp.where(over, series.ambient + i * oxide * series.heating, temperature)
    scale = jnp.where(tiny, v / SMALLEST_VOLTAGE, sign)
    return OperatingPoint(
        current=scale * i,
        junction_voltage=scale * x,
        disc_voltage=scale * i * series.disc,
        oxide_voltage=scale * oxide,
        temperature=jnp.where(tiny, series.ambient, temperature),
    )


def from_current(
    device: JartVCM, v: Scalar, disc_vacancies: Scalar, current: Scalar
) -> OperatingPoint:
    """Return the operating point that a known current [A] leaves at a voltage [V]."""
    series = _Series(device, v, disc_vacancies)
    sign = jnp.sign(v)
    i = jnp.abs(current)
    oxide = series.oxide(i)
    return OperatingPoint(
        current=current,
        junction_voltage=sign * (oxide - i * (series.disc + series.plug)),
        disc_voltage=sign * i * series.disc,
        oxide_voltage=sign * oxide,
        temperature=series.temperature(i),
    )


def _first_root(residual: Callable[[Scalar], Scalar], start: Scalar, highest: Scalar) -> Scalar:
    """Return the first root of a residual that falls and is convex up to it."""

    def solve(f, start):
        def newton(x, _):
            value, slope = jax.jvp(f, (x,), (jnp.ones_like(x),))
            moved = x - value / jnp.where(slope < 0, slope, -1e30)
            return jnp.clip(moved, 0.05 * x, 0.1 * x + 0.9 * highest), None

        return jax.lax.scan(newton, start, length=ITERATIONS)[0]

    start, highest = jax.lax.stop_gradient((start, highest))
    return jax.lax.custom_root(residual, start, solve, lambda g, y: y / g(jnp.ones_like(y)))


def _first_guess(series: _Series, junction: _Junction) -> Scalar:
    """Return a junction voltage not far from the first root, and rather to the left of it."""
    ohmic = series.disc + series.plug + series.line
    warm = series.temperature(0.9 * series.v / ohmic)
    log_prefactor, fold = junction.terms(1e-3 * series.v, warm)
    # The junction as a resistor of its slope at 0 V bounds the current from below.
    resistance = fold * jnp.exp(-log_prefactor)
    current = 0.9 * series.v / (ohmic + resistance)
    x = fold * jnp.log1p(current * jnp.exp(-log_prefactor))
    # A junction that takes nearly all of the voltage: what it lets through, the rest takes.
    log_prefactor, fold = junction.terms(series.v, series.ambient)
    log_rest = log_prefactor + _log_expm1(series.v / fold) + jnp.log(ohmic / series.v)
    blocking = (log_rest < jnp.log(0.3)) & (series.reset == 0)
    x = jnp.where(blocking, series.v * (1 - jnp.exp(jnp.minimum(log_rest, 0.0))), x)
    return jnp.clip(x, 1e-6 * series.v, (1 - 1e-9) * series.v)
