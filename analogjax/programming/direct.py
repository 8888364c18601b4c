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
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_whole
from .._types import Array
from ..devices import AbstractProgrammedDevice
from ..simulation import Status
from .levels import LevelTable, fingerprint
from .noise import ProgrammingNoise
from .reading import noisy_reading, wandering
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
        key: Random key.

    Raises:
        ValueError: A wrong argument, in one sentence.
    """
    check_space(space)
    check_whole("repeats", repeats, 1)
    check_not_negative("delays", delays, "s")
    coordinates = level_coordinates(n_levels)
    target = window.resistance(coordinates, space)
    # A concrete check, before anything is drawn: under `vmap` it would pass.
    device.check_target(1 / np.asarray(target))
    keys = jax.random.split(key, (repeats, n_levels))
    times = jnp.asarray(delays, target.dtype)
    achieved, reading, reread = _write(device, noise, target, times, keys)
    unknown = np.full((repeats, n_levels), np.nan)
    return LevelTable(
        target=np.asarray(target),
        achieved=np.asarray(achieved),
        reading=np.asarray(reading),
        met=np.ones((repeats, n_levels), bool),
        pulses=unknown,
        time=unknown,
        energy=unknown,
        delays=np.asarray(delays, float),
        reread=np.asarray(reread),
        status=np.full(repeats, int(Status.SUCCESS)),
        r_high=float(window.r_high),
        r_low=float(window.r_low),
        space=space,
        device=fingerprint(device),
        controller=STATEMENT,
        noise=noise.statement(),
    )


@eqx.filter_jit
def _write(
    device: AbstractProgrammedDevice,
    noise: ProgrammingNoise,
    target: Array,
    delays: Array,
    keys: PRNGKeyArray,
) -> tuple[Array, Array, Array]:
    """Resistance, first reading and later readings of every repeat and level."""

    def read(state, key):
        key_wander, key_read = jax.random.split(key)
        now = wandering(device, noise.temperature(key_wander))
        return noisy_reading(noise, now, state, now.read(state), key=key_read)

    def level(resistance, key):
        key_write, key_read, key_later = jax.random.split(key, 3)
        state = device.program(1 / resistance, key=key_write if noise.counting else None)
        later = jax.random.split(key_later, delays.shape[0])
        reread = jax.vmap(lambda t, k: read(device.rest(state, t), k))(delays, later)
        return device.read(state), read(state, key_read), reread

    achieved, reading, reread = jax.vmap(jax.vmap(level), (None, 0))(target, keys)
    return achieved, reading, jnp.moveaxis(reread, -1, 0)
