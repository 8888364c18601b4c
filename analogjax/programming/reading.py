"""What an instrument reads of a device, whose temperature wanders."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_positive
from .._types import Scalar, ScalarLike
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


def kept_at(device: AbstractDevice, temperature: ScalarLike | None) -> AbstractDevice:
    """Return the device where it rests between writing and reading.

    Args:
        device: The device as it is written and read.
        temperature: Ambient temperature at rest [K]; None for the device's own.

    Raises:
        ValueError: A temperature that is not positive, or a device that has none.
    """
    if temperature is None:
        return device
    check_positive("storage_temperature", temperature, "K")
    if not hasattr(device, "ambient_temperature"):
        raise ValueError(
            "Argument `storage_temperature` must be None for a device without an ambient "
            f"temperature, but is {temperature} for {type(device).__name__}."
        )
    return eqx.tree_at(
        lambda d: d.ambient_temperature, device, replace_fn=lambda t: jnp.full_like(t, temperature)
    )


def wandering(device: AbstractDevice, deviation: Scalar) -> AbstractDevice:
    """Return the device with its ambient temperature changed by a deviation [K]."""
    if not hasattr(device, "ambient_temperature"):
        return device
    return eqx.tree_at(lambda d: d.ambient_temperature, device, replace_fn=lambda t: t + deviation)
