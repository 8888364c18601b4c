"""Conductance after n identical pulses: one integral over the state instead of n solves."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_positive, check_whole
from .._types import Array, Float, Scalar, ScalarLike
from ..devices import AbstractCompactDevice, AbstractPulseStepDevice, JartVCM

AXES = ("set", "reset")
"""Writes by SET pulses, from the end of low conductance, and by RESET pulses, from the other."""


@dataclasses.dataclass
class IdenticalPulses:
    """Writing open loop: from one end of a window, a number of equal pulses for every level.

    The defaults are the pulses of Z. Yu et al., arXiv:2403.06746 (their code, read), and their
    window as JART's exact current reads it.
    """

    v_set: float = -0.342
    """Nominal SET pulse [V]."""
    v_reset: float = 0.7065
    """Nominal RESET pulse [V]."""
    width: float = 1e-6
    """Duration of a pulse [s]."""
    g_min: float = 100e-6
    """Conductance where a SET begins [S]."""
    g_max: float = 543e-6
    """Conductance where a RESET begins [S]."""
    bits: int = 8
    """Levels per device, 2^bits, equally spaced in conductance."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If one is out of range.
        """
        for name, unit in {"v_reset": "V", "width": "s", "g_min": "S"}.items():
            check_positive(name, getattr(self, name), unit)
        check_whole("bits", self.bits)
        if self.v_set >= 0:
            raise ValueError(f"Argument `v_set` must be below 0 V, but is {self.v_set}.")
        if self.g_max <= self.g_min:
            raise ValueError(
                f"Argument `g_max` must be larger than `g_min` ({self.g_min:g} S), "
                f"but is {self.g_max:g}."
            )

    def volts(self, axis: str, offset: Any = 0.0) -> Any:
        """Return the voltage [V] whose size is so much larger than the nominal one."""
        return self.v_set - offset if axis == "set" else self.v_reset + offset

    def start(self, axis: str) -> float:
        """Return the conductance that a write begins at [S]."""
        return self.g_min if axis == "set" else self.g_max

    def conditions(
        self, device: AbstractCompactDevice, axis: str, offset: Any = 0.0
    ) -> tuple[float, Any, float]:
        """Return start [S], voltage [V] and width [s] of an axis for a device.

        Nominal voltages are those of a device whose SET is negative; others get the opposite sign.
        """
        return self.start(axis), -device.potentiation * self.volts(axis, offset), self.width

    def trace(
        self, device: AbstractCompactDevice, axis: str, offset: Any = 0.0, *, points: int = 1001
    ) -> tuple[Array, Array]:
        """Return the trace of a device under the pulses of an axis; see `pulse_trace`."""
        return pulse_trace(device, *self.conditions(device, axis, offset), points=points)

    def fraction(self, conductance: Any) -> Any:
        """Return where a conductance [S] lies in the window, 0 to 1 within it."""
        return (conductance - self.g_min) / (self.g_max - self.g_min)

    def numbers(self, axis: str, n: Any, conductance: Any, wanted: Any) -> Any:
        """Return how many pulses (not whole) a trace needs to a fraction of the window."""
        sign = 1.0 if axis == "set" else -1.0
        target = self.g_min + np.asarray(wanted) * (self.g_max - self.g_min)
        return np.asarray(np.interp(sign * target, sign * np.asarray(conductance), np.asarray(n)))

    def plan(self, axis: str, n: Any, conductance: Any) -> np.ndarray:
        """Return the whole number of pulses for every level, which it meets to half a pulse."""
        levels = np.linspace(0.0, 1.0, 2**self.bits)
        return np.round(self.numbers(axis, n, conductance, levels))


def pulse_trace(
    device: AbstractCompactDevice,
    start: ScalarLike,
    v: ScalarLike,
    width: ScalarLike,
    *,
    points: int = 1001,
) -> tuple[Float[Array, " points"], Float[Array, " points"]]:
    """Return numbers of identical pulses and the conductance after them.

    n pulses of width w are one of n w where ``dx/dt = f(v, x)`` alone moves the state, so that
    ``n(x) w`` is the integral of ``dx / f`` from the state whose conductance is `start` up to where
    the motion ends; fourth order in the spacing. A step device takes its steps one after another.
    Differentiable in every argument but `points` and in every parameter.

    Args:
        device: A device without memory of anything but its state: deterministic, no rest.
        start: Conductance at the beginning [S].
        v: Amplitude [V].
        width: Duration of a pulse [s].
        points: Points of the trace; of a step device the number of pulses plus one.

    Returns:
        Numbers (rising from 0, not whole) and conductances [S] (monotone).

    Raises:
        ValueError: Fewer than 8 points.
    """
    check_whole("points", points, 8)
    v = jnp.asarray(v, float)
    if isinstance(device, AbstractPulseStepDevice):
        span = device.w_max - device.w_min
        w = device.w_min + span * (start - device.g_min) / (device.g_max - device.g_min)

        def pulse(w, _):
            return device.step(v, jnp.asarray(width), w)[0], w

        _, w = jax.lax.scan(pulse, w, length=points)
        return jnp.arange(points, dtype=float), jax.vmap(device.conductance)(w)
    low, high = _ends(device)
    first = _state_of(device, start, low, high)
    last = jnp.where(v * device.potentiation > 0, high, low)
    # Denser towards both ends, where windows and limiters slow the motion down.
    s, steep = jnp.linspace(-1.0, 1.0, points), 3.0
    tanh, whole = jnp.tanh(steep * s), np.tanh(steep)
    path = first + (last - first) * (0.5 + 0.5 * tanh / whole)
    slope = jnp.abs(last - first) * 0.5 * steep * (1 - tanh**2) / whole
    speed = jax.vmap(partial(device.velocity, v))(path)
    # Below a threshold nothing moves: it takes "for ever", not infinitely long.
    seconds = _integral(slope / jnp.maximum(jnp.abs(speed), 1e-30), 2.0 / (points - 1))
    return seconds / width, jax.vmap(device.conductance)(path)


def _state_of(
    device: AbstractCompactDevice, conductance: ScalarLike, low: Scalar, high: Scalar
) -> Scalar:
    """Return the state of a conductance [S] between two states: a table, then Newton's method.

    The last Newton step alone carries the derivative, which is that of the implicit function.
    """
    states = low + (high - low) * jnp.linspace(0.0, 1.0, 65)
    # Nothing of the search is differentiated.
    fixed, wanted, states, least, most = jax.lax.stop_gradient(
        (
            device,
            jnp.asarray(conductance, float),
            states,
            jnp.minimum(low, high),
            jnp.maximum(low, high),
        )
    )

    def newton(_, found):
        state, _ = found
        value, slope = jax.jvp(fixed.conductance, (state,), (jnp.ones_like(state),))
        return jnp.clip(state - (value - wanted) / slope, least, most), slope

    first = jnp.interp(wanted, jax.vmap(fixed.conductance)(states), states)
    state, slope = jax.lax.fori_loop(0, 4, newton, (first, jnp.ones_like(first)))
    return jnp.clip(state - (device.conductance(state) - conductance) / slope, least, most)


def _integral(f: Float[Array, " n"], h: float) -> Float[Array, " n"]:
    """Return the running integral of f over equal steps h (fourth order)."""
    inner = (13 * (f[1:-2] + f[2:-1]) - f[:-3] - f[3:]) / 24
    first = (5 * f[0] + 8 * f[1] - f[2]) / 12
    last = (5 * f[-1] + 8 * f[-2] - f[-3]) / 12
    # A fast change could make a cubic dip below zero; time only grows.
    parts = jnp.maximum(jnp.concatenate([first[None], inner, last[None]]), 0.0)
    return h * jnp.concatenate([jnp.zeros(1), jnp.cumsum(parts)])


def _ends(device: AbstractCompactDevice) -> tuple[Scalar, Scalar]:
    """Return the states of least and of largest conductance, just inside of where motion stops."""
    if isinstance(device, JartVCM):
        # Its state, ln N, has no bound, but its motion has.
        return jnp.log(device.n_min) + 1e-3, jnp.log(device.n_max) - 1e-3
    low, high = (jnp.asarray(bound, float) for bound in device.bounds())
    inset = 1e-4 * (high - low)
    low, high = low + inset, high - inset
    rises = device.conductance(high) > device.conductance(low)
    return jnp.where(rises, low, high), jnp.where(rises, high, low)
