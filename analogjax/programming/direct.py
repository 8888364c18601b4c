"""Level tables of devices that are programmed as a whole: no pulses, no controller.

What is known of such a device is where it ends, so every level of every repeat is a device of its
own: written once, read at once, and read again after each delay. The table is that of
`program_levels`; what pulses would have cost is not known, and nan.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_not_negative, check_whole
from .._types import Array
from ..devices import AbstractDevice, AbstractProgrammedDevice
from ..simulation import Status
from .levels import LevelTable, fingerprint
from .noise import ProgrammingNoise
from .reading import kept_at, noisy_reading, wandering
from .targets import Window, check_space, level_coordinates

STATEMENT = (
    "Written as a whole, without pulses: the scatter is that measured after programming, whatever "
    "the controller was; what it cost is not known."
)


def write_levels(
    device: AbstractProgrammedDevice,
    n_levels: int,
    *,
    space: str,
    repeats: int,
    noise: ProgrammingNoise,
    window: Window,
    delays: tuple[float, ...],
    storage_temperature: float | None = None,
    key: PRNGKeyArray,
) -> LevelTable:
    """Write every level directly; `program_levels` is the short way.

    Args:
        device: The device.
        n_levels: Number of levels.
        space: Levels equally spaced in resistance or conductance.
        repeats: Devices written to each level.
        noise: Of reading; with ``counting=False`` the device shows no randomness at all.
        window: Resistances of first and last level.
        delays: When each level is read again [s].
        storage_temperature: Ambient temperature until then [K]; None for the device's own.
        key: Random key.

    Raises:
        ValueError: A wrong argument, in one sentence.
    """
    check_space(space)
    check_whole("repeats", repeats, 1)
    check_not_negative("delays", delays, "s")
    kept = kept_at(device, storage_temperature)
    coordinates = level_coordinates(n_levels)
    target = window.resistance(coordinates, space)
    # A concrete check, before anything is drawn: under `vmap` it would pass.
    device.check_target(1 / np.asarray(target))
    key_write, key_read = jax.random.split(key)
    states, achieved = _write(
        device, noise, target, jax.random.split(key_write, (repeats, n_levels))
    )
    # Read at once, and again after each delay.
    times = jnp.asarray((0.0, *delays), target.dtype)
    keys = jax.random.split(key_read, (times.size, repeats, n_levels))
    readings = np.asarray(_read(device, kept, noise, states, times, keys))
    unknown = np.full((repeats, n_levels), np.nan)
    return LevelTable(
        target=np.asarray(target),
        achieved=np.asarray(achieved),
        reading=readings[0],
        met=np.ones((repeats, n_levels), bool),
        pulses=unknown,
        time=unknown,
        energy=unknown,
        delays=np.asarray(delays, float),
        reread=readings[1:],
        status=np.full(repeats, int(Status.SUCCESS)),
        r_high=float(window.r_high),
        r_low=float(window.r_low),
        space=space,
        device=fingerprint(device),
        controller=STATEMENT,
        noise=noise.statement(),
    )


# Two programs, with their keys made outside: as one it takes XLA many times as long to compile.


@eqx.filter_jit
def _write(
    device: AbstractProgrammedDevice, noise: ProgrammingNoise, target: Array, keys: Array
) -> tuple[PyTree, Array]:
    """State and resistance of every repeat and level."""

    def level(resistance, key):
        state = device.program(1 / resistance, key=key if noise.counting else None)
        return state, device.read(state)

    return jax.vmap(jax.vmap(level), (None, 0))(target, keys)


@eqx.filter_jit
def _read(
    device: AbstractProgrammedDevice,
    kept: AbstractDevice,
    noise: ProgrammingNoise,
    states: PyTree,
    times: Array,
    keys: Array,
) -> Array:
    """Readings of every repeat and level at every time."""

    def read(state, time, key):
        key_wander, key_read = jax.random.split(key)
        now = wandering(device, noise.temperature(key_wander))
        later = kept.rest(state, time)
        return noisy_reading(noise, now, later, now.read(later), key=key_read)

    everyone = jax.vmap(jax.vmap(read, (0, None, 0)), (0, None, 0))
    return jax.vmap(everyone, (None, 0, 0))(states, times, keys)
