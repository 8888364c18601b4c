"""How good a reduced model is: its error on pulse sequences that it has not seen."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array
from ._fit_reduced import encode_record, rollout
from .reduced import ReducedDevice
from .sequences import PulseRecord


def reduced_error(
    device: ReducedDevice, record: PulseRecord, *, pulses: int = 100
) -> dict[str, float]:
    """Return how far the reduced device goes astray on recorded sequences, open loop.

    Every row of so many pulses begins at the recorded state and is then left to itself.

    Args:
        device: The reduced device.
        record: Sequences of the full device, other ones than those of the fit.
        pulses: Length of a row.

    Returns:
        ``rms`` and ``max`` of the error of R as fractions of the window of the record, of all
        pulses of a row; ``end_rms``, that after the last pulse; ``pulse_rms`` and ``pulse_max``,
        that of single pulses.

    Raises:
        ValueError: More pulses than the record has, or fewer than one.
    """
    if not 1 <= pulses <= record.v.shape[1]:
        raise ValueError(
            f"Argument `pulses` must be between 1 and {record.v.shape[1]}, but is {pulses}."
        )
    span = record.window.r_high - record.window.r_low
    row, one = (np.asarray(_astray(device, record, n) / span) for n in (pulses, 1))
    return {
        "rms": float(np.sqrt(np.mean(row**2))),
        "max": float(np.max(np.abs(row))),
        "end_rms": float(np.sqrt(np.mean(row[:, -1] ** 2))),
        "pulse_rms": float(np.sqrt(np.mean(one**2))),
        "pulse_max": float(np.max(np.abs(one))),
    }


@eqx.filter_jit
def _astray(device: ReducedDevice, record: PulseRecord, length: int) -> Array:
    """Return the error of R [ohm], (rows, pulses)."""
    z = encode_record(device, record)
    rows = record.v.shape[1] // length
    used = rows * length
    starts = z[:, :used:length].reshape(-1, z.shape[-1])
    v, width, truth = (
        x[:, :used].reshape(-1, length) for x in (record.v, record.width, record.resistance[:, 1:])
    )
    ambient = jnp.repeat(record.ambient, rows)

    def one(start, v, width, ambient):
        states = rollout(device, start, v, width, ambient)
        own = eqx.tree_at(lambda d: d.ambient_temperature, device, ambient)
        return jax.vmap(own.read)(states)

    return jax.vmap(one)(starts, v, width, ambient) - truth
