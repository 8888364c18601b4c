"""Drives: a row of pulses, each a plateau (or ramp) followed by a gap at 0 V."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._checks import (
    check_finite,
    check_not_negative,
    check_not_zero,
    check_positive,
    check_shape,
    is_traced,
)
from .._types import Array, Float, Scalar

Pulses: TypeAlias = Float[Array, " pulses"]
Values: TypeAlias = ArrayLike | Sequence[float | int]
"""What is taken for an array: it is converted, and a wrong shape is refused in one sentence."""


class ReadPulse(eqx.Module):
    """A read that takes time, follows the write by a delay, and disturbs what it disturbs.

    After the gap of each pulse the device rests for `delay`, then the read voltage stays on for
    `duration`; the resistance is taken at the end of it, from a film that may still be warm.
    """

    delay: Scalar
    """Rest before the read [s]."""
    duration: Scalar
    """How long the read voltage is on [s]."""

    def __init__(self, delay: ArrayLike = 1e-3, duration: ArrayLike = 1e-3):
        """Make a read pulse from delay and duration [s]."""
        check_not_negative("delay", delay, "s")
        check_positive("duration", duration, "s")
        self.delay = jnp.asarray(delay, jnp.result_type(float))
        self.duration = jnp.asarray(duration, jnp.result_type(float))


class Drive(eqx.Module):
    """A piecewise-linear voltage. All values are traced: equal pulse counts share a compilation."""

    start: Pulses
    """Voltage at the beginning of each plateau [V]."""
    stop: Pulses
    """Voltage at its end [V]; equal to `start` for a rectangular pulse."""
    width: Pulses
    """Duration of each plateau [s]."""
    gap: Pulses | None
    """Time at 0 V after each plateau [s]; None when there is none anywhere."""
    read: ReadPulse | None
    """How the device is read after each gap; None for the ideal read."""

    @property
    def pulses(self) -> int:
        """Number of pulses."""
        return self.stop.shape[0]

    def times(self) -> Float[Array, " times"]:
        """Return the start and the end of every plateau [s]; gaps and reads lie between them."""
        pause = jnp.zeros_like(self.width) if self.gap is None else self.gap
        if self.read is not None:
            pause = pause + self.read.delay + self.read.duration
        ends = jnp.cumsum(self.width + pause) - pause
        return jnp.concatenate([jnp.zeros(1, ends.dtype), ends])


def pulse_train(
    amplitudes: Values,
    *,
    width: Values,
    gap: Values | None = None,
    read: ReadPulse | None = None,
) -> Drive:
    """Return rectangular pulses.

    Args:
        amplitudes: Voltage of each pulse [V], shape (pulses,).
        width: Duration of each pulse [s]: a scalar, or one per pulse.
        gap: Time at 0 V after each pulse [s]: a scalar, one per pulse, or None for none.
        read: A read that takes time after each gap; None for the ideal read.

    Raises:
        ValueError: An amplitude or time is not finite, a width is not above zero, a gap is
            negative, or the shapes do not fit.
    """
    amplitudes = jnp.atleast_1d(jnp.asarray(amplitudes, jnp.result_type(float)))
    return piecewise(amplitudes, amplitudes, width=width, gap=gap, read=read, names="amplitudes")


def piecewise(
    start: Values,
    stop: Values,
    *,
    width: Values,
    gap: Values | None = None,
    read: ReadPulse | None = None,
    names: str | None = None,
) -> Drive:
    """Return a drive of linear ramps from `start` to `stop` [V]; other arguments as `pulse_train`.

    Args:
        start: Voltage at the beginning of each segment [V].
        stop: Voltage at its end [V].
        width: Duration of each segment [s].
        gap: Time at 0 V after each segment [s].
        read: A read that takes time after each gap.
        names: Name under which a wrong voltage is reported; ``start`` and ``stop`` if None.
    """
    dtype = jnp.result_type(float)
    start, stop = jnp.asarray(start, dtype), jnp.asarray(stop, dtype)
    count = stop.shape[0] if stop.ndim == 1 else None
    for name, value in ((names or "start", start), (names or "stop", stop)):
        check_shape(name, value, (count,))
        check_finite(name, value)
    if count == 0:
        raise ValueError(
            f"Argument `{names or 'stop'}` must have at least one pulse, but has none."
        )
    check_positive("width", width, "s")
    times = {"width": width}
    if gap is not None:
        check_not_negative("gap", gap, "s")
        # No gap anywhere is a different, cheaper program: states before and after are the same.
        # (NumPy: under a transformation JAX would trace even what is known.)
        if is_traced(gap) or np.any(np.asarray(gap) > 0):
            times["gap"] = gap
    rows = {}
    for name, value in times.items():
        value = jnp.asarray(value, dtype)
        if value.ndim:
            check_shape(name, value, (count,))
        rows[name] = jnp.broadcast_to(value, stop.shape)
    return Drive(start, stop, rows["width"], rows.get("gap"), read)


def triangle_sweep(
    v_peak: ArrayLike, rate: ArrayLike, cycles: int = 1, *, points: int = 50
) -> Drive:
    """Return triangular sweeps 0 -> +v_peak -> -v_peak -> 0.

    Args:
        v_peak: Peak voltage [V]; a negative one begins with the negative half.
        rate: Sweep rate [V/s].
        cycles: Number of triangles.
        points: Read-out points per quarter of a cycle (linear ramps between them).

    Raises:
        ValueError: A peak of zero, a value that is not finite, a rate not above zero, fewer than
            one cycle or point.
    """
    check_not_zero("v_peak", v_peak, "V")
    check_positive("rate", rate, "V/s")
    for name, value in (("cycles", cycles), ("points", points)):
        if value < 1:
            raise ValueError(f"Argument `{name}` must be at least 1, but is {value}.")
    up = jnp.linspace(0.0, 1.0, points + 1)[1:]
    shape = jnp.concatenate([up, 1 - up, -up, up - 1])
    stop = jnp.tile(shape, cycles) * v_peak
    start = jnp.concatenate([jnp.zeros(1, stop.dtype), stop[:-1]])
    return piecewise(start, stop, width=jnp.abs(jnp.asarray(v_peak)) / (points * jnp.asarray(rate)))
