"""The noise of programming: what differs between two writes, and between two reads.

Fixed before any result was looked at, and stated with every result (`ProgrammingNoise.statement`).
What is random about the device itself belongs to the device: the particles of its state
(`AbstractDevice.draw_state`, `fluctuate`), its cycles (`begin`, `diffusion`), its own `read_noise`.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_positive
from .._types import Scalar
from ..constants import BOLTZMANN


class ProgrammingNoise(eqx.Module):
    """Randomness of pulses and reads; the defaults are the *standard noise*."""

    pulse_spread: Scalar
    """Standard deviation of the logarithm of the effective D t of a pulse (fresh, per pulse)."""
    read_bandwidth: Scalar
    """Bandwidth of a read [Hz]; a read takes ``1 / (2 bandwidth)``."""
    source_step: Scalar
    """Resolution of the voltage source [V]; 0 for none."""
    temperature_wander: Scalar
    """Standard deviation of the ambient temperature [K] (fresh, per pulse and read)."""
    thermal: bool = eqx.field(static=True)
    """Whether a read has thermal noise."""
    counting: bool = eqx.field(static=True)
    """Whether the device shows its own randomness: particles that are counted (a state drawn per
    repeat, hop noise of every pulse), what differs from cycle to cycle, its own noise of a read."""

    def __init__(
        self,
        *,
        pulse_spread: ArrayLike = 0.01,
        read_bandwidth: ArrayLike = 1e3,
        source_step: ArrayLike = 1e-3,
        temperature_wander: ArrayLike = 0.01,
        thermal: bool = True,
        counting: bool = True,
    ):
        """Choose the noise; without arguments it is the standard noise.

        Raises:
            ValueError: A negative or infinite value, a bandwidth not above zero.
        """
        check_not_negative("pulse_spread", pulse_spread)
        check_positive("read_bandwidth", read_bandwidth, "Hz")
        check_not_negative("source_step", source_step, "V")
        check_not_negative("temperature_wander", temperature_wander, "K")
        dtype = jnp.result_type(float)
        self.pulse_spread = jnp.asarray(pulse_spread, dtype)
        self.read_bandwidth = jnp.asarray(read_bandwidth, dtype)
        self.source_step = jnp.asarray(source_step, dtype)
        self.temperature_wander = jnp.asarray(temperature_wander, dtype)
        self.thermal, self.counting = bool(thermal), bool(counting)

    @property
    def read_time(self) -> Scalar:
        """Duration of a read [s]."""
        return 1 / (2 * self.read_bandwidth)

    def source(self, v: Scalar) -> Scalar:
        """Return the voltage [V] that the source gives when asked for v."""
        step = self.source_step
        stepped = jnp.round(v / jnp.where(step > 0, step, 1.0)) * step
        return jnp.where(step > 0, stepped, v)

    def exposure(self, key: PRNGKeyArray) -> Scalar:
        """Draw the effective D t of a pulse over its nominal one (median 1)."""
        normal = jax.random.normal(key, (), self.pulse_spread.dtype)
        return jnp.exp(self.pulse_spread * normal)

    def temperature(self, key: PRNGKeyArray) -> Scalar:
        """Draw the deviation of the ambient temperature [K]."""
        return self.temperature_wander * jax.random.normal(key, (), self.temperature_wander.dtype)

    def read_error(
        self, key: PRNGKeyArray, resistance: Scalar, read_voltage: Scalar, temperature: Scalar
    ) -> Scalar:
        """Draw the relative error of a read.

        Johnson-Nyquist: ``sqrt(4 k T R B) / V_read``, 7.5e-5 at 340 kohm, 10 kHz and 0.1 V.
        """
        if not self.thermal:
            return jnp.zeros_like(resistance)
        power = 4 * BOLTZMANN * temperature * self.read_bandwidth
        spread = jnp.sqrt(power * resistance) / jnp.abs(read_voltage)
        return spread * jax.random.normal(key, resistance.shape, resistance.dtype)

    def statement(self) -> str:
        """Return the noise as one sentence, for results."""
        parts = [
            f"{float(self.pulse_spread):.3g} log-normal on the effective D t of each pulse",
            "the device's own randomness (counting noise, from cycle to cycle, of a read)"
            if self.counting
            else "no counting noise or other randomness of the device",
            f"thermal noise of the read at {float(self.read_bandwidth):g} Hz "
            f"({float(self.read_time):.3g} s a read)"
            if self.thermal
            else "no thermal noise",
            f"{float(self.source_step):g} V source step",
            f"{float(self.temperature_wander):g} K temperature wander",
        ]
        return "Noise: " + ", ".join(parts) + "."


STANDARD_NOISE = "standard"


def no_noise() -> ProgrammingNoise:
    """Return programming without chance (the time of a read stays)."""
    return ProgrammingNoise(
        pulse_spread=0.0, source_step=0.0, temperature_wander=0.0, thermal=False, counting=False
    )


def resolve_noise(noise: Any) -> ProgrammingNoise:
    """Return the noise an argument names: ``"standard"`` (or None), ``"none"``, or itself."""
    if isinstance(noise, ProgrammingNoise):
        return noise
    if noise is None or (isinstance(noise, str) and noise == STANDARD_NOISE):
        return ProgrammingNoise()
    if isinstance(noise, str) and noise == "none":
        return no_noise()
    raise ValueError(
        "Argument `noise` must be 'standard', 'none' or a `programming.ProgrammingNoise`, "
        f"but is {noise!r}."
    )
