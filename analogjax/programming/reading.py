"""What an instrument reads of a device, whose temperature wanders."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Scalar
from ..constants import ROOM_TEMPERATURE
from ..devices import AbstractDevice
from .noise import ProgrammingNoise


def noisy_reading(
    noise: ProgrammingNoise,
    device: AbstractDevice,
    state: PyTree,
    resistance: Scalar,
    *,
    key: PRNGKeyArray,
) -> Scalar:
    """Return what an instrument reads of a resistance [ohm]: noise of the device, then its own."""
    if noise.counting:
        # A stream of its own: devices without noise keep the draws that they had.
        resistance = device.read_noise(resistance, state, key=jax.random.fold_in(key, 1))
    error = noise.read_error(key, resistance, device.read_voltage, ambient(device))
    return resistance * (1 + error)


def ambient(device: AbstractDevice) -> Scalar:
    """Return the ambient temperature of a device [K] (room temperature if it knows none)."""
    temperature = getattr(device, "ambient_temperature", ROOM_TEMPERATURE)
    return jnp.asarray(temperature, jnp.result_type(float))


def wandering(device: AbstractDevice, deviation: Scalar) -> AbstractDevice:
    """Return the device with its ambient temperature changed by a deviation [K]."""
    if not hasattr(device, "ambient_temperature"):
        return device
    return eqx.tree_at(lambda d: d.ambient_temperature, device, replace_fn=lambda t: t + deviation)
