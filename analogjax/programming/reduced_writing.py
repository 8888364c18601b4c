"""Open-loop writing of very many devices through the reduced model of a film."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_positive, is_traced
from .._types import Array, Float, Scalar, ScalarLike
from .flow_map import FlowMap, Grid, exposure_rate, flow_map
from .reduced import ReducedDevice
from .writing import AbstractWriting, Written

SHORTEST = 1e-3
"""Duration of a train that is planned to do nothing [s]: the shortest pulse of the fit."""

SOFTNESS = 1 / 128
"""A drive x stands for the duration ``full w ln(1 + exp(x / w))``, w being this: never negative."""


class Differences(eqx.Module):
    """What differs from device to device, as standard normal numbers; all of one shape."""

    speed: Float[Array, "*shape"]
    resistance: Float[Array, "*shape"]
    first: Float[Array, "*shape"]
    """Of the effective D t of the first train."""
    second: Float[Array, "*shape"]
    """Of that of the second."""
    counted: Float[Array, "*shape"]
    """Of the number of vacancies."""


class ReducedWriting(AbstractWriting):
    """From the state the device was distilled at: a train of SET pulses, then one of RESET pulses.

    All pulses of a train have one amplitude, which all devices share; a drive is how long each
    train lasts in all, ``{"set": x, "reset": x}`` over the duration `full` of fraction 1, softened
    near zero (`duration`). The states follow the reduced model under both trains. Devices differ in
    speed and resistance (log-normal), in the effective D t of each train, and by the counting of
    vacancies.

    All devices begin in the same state, so that one table serves them all (`flow_map`); writing a
    device costs one look-up in it, its derivative in drives is that of the interpolant, and its
    derivative in quantities of the device passes through the nodes.
    """

    device: ReducedDevice
    amplitude_set: Scalar
    """Voltage of the SET train [V], of the sign that raises the conductance."""
    amplitude_reset: Scalar
    """Voltage of the RESET train [V], of the other sign."""
    speed_spread: Scalar
    """Standard deviation of the logarithm of a device's speed (frozen)."""
    resistance_spread: Scalar
    """Standard deviation of the logarithm of its resistance (frozen)."""
    pulse_spread: Scalar
    """Standard deviation of the logarithm of the effective D t of each train."""
    counting: Scalar
    """Factor on the counting noise: 1, or 0 for none."""
    back: Scalar
    """Duration of the RESET train of planned drives [s]; zero plans no RESET."""
    full: Scalar
    """Duration of SET that brings the nominal device to fraction 1 [s]: the unit of drives."""
    g_min: Scalar
    """Conductance of fraction 0 [S]: that of the nominal device before any pulse."""
    g_max: Scalar
    """Conductance of fraction 1 [S]: that of the nominal device after `full` seconds of SET."""
    table: FlowMap
    dtype: Any = eqx.field(static=True)

    def __init__(
        self,
        device: ReducedDevice,
        *,
        full: float = 16.0,
        amplitude_set: float = 5.0,
        amplitude_reset: float = -5.0,
        speed_spread: ScalarLike = 0.0,
        resistance_spread: ScalarLike = 0.0,
        pulse_spread: ScalarLike = 0.01,
        counting: bool = True,
        back: float = 0.0,
        grid: Grid | None = None,
        dtype: Any = jnp.float32,
    ):
        """Prepare writing: the table is made once.

        Args:
            device: The reduced device.
            full: SET pulses that bring a nominal device to fraction 1 [s].
            amplitude_set: Voltage of SET pulses [V].
            amplitude_reset: Voltage of RESET pulses [V].
            speed_spread: Standard deviation of the logarithm of the speed, device to device.
            resistance_spread: That of the resistance.
            pulse_spread: That of the effective D t of each train (0.01: the standard noise).
            counting: Whether vacancies are counted.
            back: Duration of RESET that a planned write ends with [s].
            grid: Nodes of the table; None for half a second apart.
            dtype: Float type of drives, draws and fractions.

        Raises:
            ValueError: A duration or spread that is none, amplitudes of one sign, or a window that
                the table does not hold.
        """
        check_positive("full", full, "s")
        check_not_negative("back", back, "s")
        spreads = {"speed": speed_spread, "resistance": resistance_spread, "pulse": pulse_spread}
        for name, value in spreads.items():
            check_not_negative(f"{name}_spread", value)
        if not amplitude_set * amplitude_reset < 0:
            raise ValueError(
                "Argument `amplitude_reset` must be of the other sign than `amplitude_set`, but "
                f"they are {amplitude_reset:g} and {amplitude_set:g} V."
            )
        self.device = device
        own = device.start.dtype
        self.amplitude_set = jnp.asarray(amplitude_set, own)
        self.amplitude_reset = jnp.asarray(amplitude_reset, own)
        self.speed_spread = jnp.asarray(speed_spread, dtype)
        self.resistance_spread = jnp.asarray(resistance_spread, dtype)
        self.pulse_spread = jnp.asarray(pulse_spread, dtype)
        self.counting = jnp.asarray(float(counting), dtype)
        self.back = jnp.asarray(back, dtype)
        self.full = jnp.asarray(full, dtype)
        self.dtype = jnp.dtype(dtype)
        grid = Grid() if grid is None else grid
        self.table = _tabulated(device, self.amplitude_set, self.amplitude_reset, grid, dtype)
        ends = jnp.asarray([0.0, full * float(self._rates()[0])], dtype)
        landed = self.table(ends, jnp.zeros_like(ends))
        if not bool(landed.ok.all()) or not float(landed.q[1]) > float(landed.q[0]):
            raise ValueError(
                "Argument `full` must be a duration over which SET raises the conductance within "
                f"what the reduced model knows, but is {full:g} s."
            )
        self.g_min, self.g_max = landed.q.astype(own) / jnp.exp(device.log_resistance[0])

    @property
    def window(self) -> tuple[float, float]:
        """Lowest and highest resistance [ohm], for `analogjax.crossbar.DeviceStatistics`."""
        return 1 / float(self.g_max), 1 / float(self.g_min)

    def _rates(self) -> tuple[Scalar, Scalar]:
        """Return exposure per duration of both trains for a nominal device."""
        speed = self.device.speed
        first = speed * exposure_rate(self.device, self.amplitude_set)
        return first, speed * exposure_rate(self.device, self.amplitude_reset)

    def _fraction(self, q: Array, log_factor: Array | float = 0.0) -> Array:
        """Return the fraction of a conductance of the table, for a resistance times exp(factor)."""
        middle = jnp.exp(-self.device.log_resistance[0]) / self.device.resistance_scale
        span = self.g_max - self.g_min
        scale, offset = ((x / span).astype(self.dtype) for x in (middle, self.g_min))
        return scale * q * jnp.exp(-log_factor) - offset

    def plan(self, fractions: Float[Array, "*shape"]) -> dict[str, Array]:
        """Return drives that bring nominal devices to these fractions, with a RESET of `back`."""
        forward, _ = self._rates()
        exposures, reached = self._curve()
        found = _inverse(fractions.astype(self.dtype), reached, exposures)
        drive = self._drive(found / forward.astype(self.dtype))
        back = self._drive(jnp.maximum(self.back, SHORTEST))
        return {"set": drive, "reset": jnp.full_like(drive, back)}

    @eqx.filter_jit
    def _curve(self) -> tuple[Array, Array]:
        """Return SET exposures, and the fractions that nominal devices reach by them."""
        forward, backward = self._rates()
        exposures = jnp.linspace(
            SHORTEST * forward, self.table.grid.longest[0], 4097, dtype=self.dtype
        )
        back = (backward * jnp.maximum(self.back, SHORTEST)).astype(self.dtype)
        landed = self.table(exposures, jnp.full(exposures.shape, back))
        # Beyond what is known nothing is planned; a fold of the curve is passed at once.
        reached = jnp.where(landed.ok, self._fraction(landed.q), -jnp.inf)
        return exposures, jax.lax.cummax(reached)

    def duration(self, drive: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return how long a train lasts [s] whose drive is this; see `SOFTNESS`."""
        return self.full * SOFTNESS * jax.nn.softplus(drive / SOFTNESS)

    def _drive(self, lasting: Array) -> Array:
        x = lasting / (self.full * SOFTNESS)
        return SOFTNESS * (x + jnp.log(-jnp.expm1(-x)))

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Differences:
        """Return what differs between devices and their writing (frozen)."""
        normal = jax.random.normal(key, (5, *shape), self.dtype)
        return Differences(*normal)

    def write(
        self, drives: dict[str, Array], drawn: Differences | None, *, t: ScalarLike = 0.0
    ) -> Written:
        """Write devices. Arguments as `AbstractWriting.write`.

        A device fails if its exposures or states are not those that the reduced model knows.
        """
        check_not_negative("t", t, "s")
        forward, backward = (rate.astype(self.dtype) for rate in self._rates())
        first = forward * self.duration(drives["set"])
        second = backward * self.duration(drives["reset"])
        rest = None
        if is_traced(t) or float(t) > 0.0:
            warmth = self.device.ambient_temperature / self.device.reference_temperature - 1
            rate = self.device.speed * jnp.exp(self.device.rest_activation * warmth)
            rest = jnp.full(first.shape, (rate * t).astype(self.dtype))
        if drawn is None:
            landed = self.table(first, second, rest)
            return Written(self._fraction(landed.q), landed.ok)
        speed = self.speed_spread * drawn.speed
        landed = self.table(
            first * jnp.exp(speed + self.pulse_spread * drawn.first),
            second * jnp.exp(speed + self.pulse_spread * drawn.second),
            None if rest is None else rest * jnp.exp(speed),
        )
        q = landed.q + self.counting * landed.noise * drawn.counted
        return Written(self._fraction(q, self.resistance_spread * drawn.resistance), landed.ok)

    def changed(self, relative: Mapping[str, Any]) -> ReducedWriting:
        """Return writing with shared quantities changed.

        Those of the reduced device (`speed`, `resistance_scale`, `ambient_temperature`), the
        amplitudes of the trains and the spreads. Drives and window stay.

        Raises:
            ValueError: A name that this writing cannot change.
        """
        if not relative:
            return self
        unknown = {name: x for name, x in relative.items() if name not in DEVICE + OWN}
        if unknown:
            return super().changed(unknown)  # pyright: ignore[reportReturnType]
        new = self
        for name, x in relative.items():
            at = _leaf(name)
            new = eqx.tree_at(at, new, at(new) * (1 + jnp.asarray(x, at(new).dtype)))
        scales_only = set(relative) <= {"speed", "resistance_scale", *SPREADS}
        return new if scales_only else eqx.tree_at(lambda w: w.table, new, new._table())

    def with_device(self, device: ReducedDevice) -> ReducedWriting:
        """Return the same writing of other devices; drives and window stay."""
        new = eqx.tree_at(lambda w: w.device, self, device)
        return eqx.tree_at(lambda w: w.table, new, new._table())

    def _table(self) -> FlowMap:
        return _tabulated(
            self.device, self.amplitude_set, self.amplitude_reset, self.table.grid, self.dtype
        )


SPREADS = ("speed_spread", "resistance_spread", "pulse_spread")
OWN = ("amplitude_set", "amplitude_reset", *SPREADS)
DEVICE = ("speed", "resistance_scale", "ambient_temperature")


def _leaf(name: str) -> Any:
    if name in DEVICE:
        return lambda w: getattr(w.device, name)
    return lambda w: getattr(w, name)


@eqx.filter_jit
def _tabulated(
    device: ReducedDevice, first: Scalar, second: Scalar, grid: Grid, dtype: Any
) -> FlowMap:
    return flow_map(device, (first, second), grid=grid, dtype=dtype)


@jax.jit
def _inverse(wanted: Array, reached: Array, exposures: Array) -> Array:
    """Return the exposure of each fraction on a rising curve."""
    return jnp.interp(jnp.clip(wanted, reached[0], reached[-1]), reached, exposures)
