"""The window of a device and the levels in it."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._checks import check_between, check_choice, check_positive, check_whole
from .._types import Array, Float, Scalar, ScalarLike
from ..devices import AbstractDevice, AbstractProgrammedDevice
from ..simulation import Save, simulate
from ..stimuli import pulse_train

SPACES = ("R", "G")


class Window(eqx.Module):
    """The resistances between which levels are placed."""

    r_high: Scalar
    """Resistance of the first level [ohm] (highest: HRS)."""
    r_low: Scalar
    """Resistance of the last level [ohm] (lowest: LRS)."""

    def __init__(self, r_high: ScalarLike, r_low: ScalarLike):
        """Make a window from two resistances [ohm].

        Raises:
            ValueError: A resistance that is not above zero, or `r_low` not below `r_high`.
        """
        check_positive("r_low", r_low, "ohm")
        check_positive("r_high", r_high, "ohm")
        dtype = jnp.result_type(float)
        self.r_high, self.r_low = jnp.asarray(r_high, dtype), jnp.asarray(r_low, dtype)
        if not float(self.r_low) < float(self.r_high):
            raise ValueError(
                f"Argument `r_low` must be below `r_high` = {float(self.r_high):g} ohm, "
                f"but is {float(self.r_low):g}."
            )

    @property
    def ratio(self) -> Scalar:
        """HRS over LRS."""
        return self.r_high / self.r_low

    def coordinate(self, resistance: Float[Array, "..."], space: str) -> Float[Array, "..."]:
        """Return u: 0 at `r_high`, 1 at `r_low`, linear in R or in G."""
        if space == "R":
            return (self.r_high - resistance) / (self.r_high - self.r_low)
        return (1 / resistance - 1 / self.r_high) / (1 / self.r_low - 1 / self.r_high)

    def resistance(self, u: Float[Array, "..."], space: str) -> Float[Array, "..."]:
        """Return the resistance [ohm] at a coordinate (the inverse of `coordinate`)."""
        if space == "R":
            return self.r_high + u * (self.r_low - self.r_high)
        return 1 / (1 / self.r_high + u * (1 / self.r_low - 1 / self.r_high))


def condition_and_window(
    device: AbstractDevice,
    *,
    v: float = 5.0,
    v_down: float | None = None,
    pulses: int = 100,
    width: float = 0.25,
    margin: float = 0.02,
    r_high: float | None = None,
    r_low: float | None = None,
    solver: Any = None,
) -> tuple[PyTree, Window]:
    """Return what `condition` and then `find_window` return, from one run (one compilation).

    A device that is programmed as a whole has its own window, and pulses do not matter.

    Args:
        device: The device.
        v: Amplitude of the pulses that lower the resistance [V].
        v_down: Amplitude of those that raise it [V]; as `v` if None.
        pulses: How many, each way.
        width: Their duration [s].
        margin: Share of the window left out at each end; not where the end is given.
        r_high: The first level [ohm]; found if None.
        r_low: The last level [ohm]; found if None.
        solver: As in `simulate`.

    Returns:
        The conditioned state, at the high-resistance end of what the pulses open, and the window.

    Raises:
        ValueError: As in `find_window`; an end that the pulses do not reach.
        RuntimeError: As in `simulate`.
    """
    if isinstance(device, AbstractProgrammedDevice):
        # No pulses open it: its window is a parameter.
        check_between("margin", margin, 0.0, 0.4)
        state, (first, last) = device.init_state(), map(float, device.window)
        found = Window(first, last)
    else:
        down = v if v_down is None else v_down
        amplitudes = jnp.repeat(jnp.asarray([v, -down, v]) * device.potentiation, pulses)
        result = simulate(device, pulse_train(amplitudes, width=width), solver=solver)
        state = jax.tree.map(lambda states: states[2 * pulses], result.state)
        trace = result.read_resistance[2 * pulses :]
        first, last = float(trace[0]), float(trace[-1])
        found = _inner_window(trace, v, margin)
    for name, given in (("r_high", r_high), ("r_low", r_low)):
        if given is not None and not last <= given <= first:
            raise ValueError(
                f"Argument `{name}` must be between {last:.6g} and {first:.6g} ohm, which the "
                f"device reaches, but is {given:g}."
            )
    return state, Window(
        found.r_high if r_high is None else r_high, found.r_low if r_low is None else r_low
    )


def find_window(
    device: AbstractDevice,
    state: PyTree,
    *,
    v: float = 5.0,
    pulses: int = 100,
    width: float = 0.25,
    margin: float = 0.02,
    solver: Any = None,
) -> Window:
    """Return the window that a train of potentiating pulses opens, without noise.

    Args:
        device: The device.
        state: Where it starts (conditioned: the high-resistance end).
        v: Amplitude of the pulses [V].
        pulses: How many.
        width: Their duration [s].
        margin: Share of the window left out at each end, so that both ends can be approached from
            either side.
        solver: As in `simulate`.

    Raises:
        ValueError: A margin outside [0, 0.4], or pulses that do not lower the resistance.
        RuntimeError: As in `simulate`.
    """
    check_between("margin", margin, 0.0, 0.4)
    if isinstance(device, AbstractProgrammedDevice):
        return Window(*device.window)
    drive = pulse_train(device.potentiation * v * jnp.ones(pulses), width=width)
    result = simulate(device, drive, state, solver=solver, save=Save(states=False))
    return _inner_window(result.read_resistance, v, margin)


def _inner_window(trace: Float[Array, " times"], v: float, margin: float) -> Window:
    check_between("margin", margin, 0.0, 0.4)
    first, last = float(trace[0]), float(trace[-1])
    if not last < first:
        raise ValueError(
            "Argument `v` must lower the resistance of the device, but "
            f"{trace.shape[0] - 1} pulses of {v:g} V took it from {first:.6g} to {last:.6g} ohm."
        )
    span = first - last
    return Window(first - margin * span, last + margin * span)


def level_coordinates(n_levels: Any) -> Float[Array, " levels"]:
    """Return u of n levels, 0 to 1.

    Raises:
        ValueError: Fewer than two levels, or not a whole number.
    """
    return jnp.linspace(0.0, 1.0, int(check_whole("n_levels", n_levels, 2)))


def check_space(space: str) -> str:
    """Raise unless levels are to be linear in ``"R"`` or in ``"G"``."""
    return check_choice("space", space, SPACES)
