"""Conditioning: the cycles a fresh device goes through before it is measured."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..devices import AbstractDevice
from ..stimuli import pulse_train
from .simulate import Save, simulate


def condition(
    device: AbstractDevice,
    *,
    v: Any = 5.0,
    v_down: Any = None,
    pulses: int = 100,
    width: Any = 0.25,
    state: PyTree | None = None,
    **options: Any,
) -> PyTree:
    """Return the state after `pulses` that lower the resistance and `pulses` that raise it.

    Args:
        device: The device.
        v: Amplitude [V]; its sign is the device's `potentiation`.
        v_down: Amplitude of the pulses that raise the resistance [V]; as `v` if None.
        pulses: Pulses of each polarity.
        width: Duration of a pulse [s].
        state: Where to start; the formed state if None.
        **options: Passed on to `simulate` (solver, adjoint, throw).

    Returns:
        The state; nan where a pulse failed and nothing could be raised (``throw=False``, or under a
        transformation), so that what is computed from it is reported as failed too.

    Raises:
        ValueError: Fewer than one pulse; wrong arguments as in `pulse_train` and `simulate`.
        RuntimeError: As in `simulate`.
    """
    if pulses < 1:
        raise ValueError(f"Argument `pulses` must be at least 1, but is {pulses}.")
    down = v if v_down is None else v_down
    amplitudes = jnp.concatenate([jnp.ones(pulses) * v, -jnp.ones(pulses) * down])
    drive = pulse_train(device.potentiation * amplitudes, width=width)
    result = simulate(device, drive, state, save=Save(states=False), **options)
    return jax.tree.map(lambda leaf: jnp.where(result.ok, leaf, jnp.nan), result.final_state)
