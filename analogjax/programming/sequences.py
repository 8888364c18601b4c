"""Random pulse sequences of a device: what a reduced model learns from, and is judged by."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_not_negative, check_positive
from .._types import Array, Float, Int, Scalar
from ..devices import AbstractDevice
from ..simulation import ForwardMode
from ..simulation.solvers import AbstractSolver, Plateau
from .program import writing_solver
from .reading import ambient, wandering
from .targets import Window

OVERSHOOT = 0.05
"""How far a sequence may leave the window before it is turned back, in windows."""


class PulseRecord(eqx.Module):
    """What sequences of pulses did to devices, side by side."""

    v: Float[Array, "sequences pulses"]
    """Voltage of every pulse [V]."""
    width: Float[Array, "sequences pulses"]
    """Its duration [s]."""
    ambient: Float[Array, " sequences"]
    """Temperature of the substrate [K]."""
    state: PyTree
    """State before the first pulse and after every one, (sequences, pulses + 1, ...)."""
    resistance: Float[Array, "sequences times"]
    """Resistance, likewise [ohm]."""
    current: Float[Array, "sequences pulses"]
    """Current at the end of every pulse [A]."""
    status: Int[Array, "sequences pulses"]
    """`analogjax.simulation.Status` of every pulse."""
    window: Window
    """The window that the sequences wander over."""


def record_pulses(
    device: AbstractDevice,
    state: PyTree,
    window: Window,
    *,
    amplitude: float,
    amplitudes: tuple[float, float],
    widths: tuple[float, float],
    sequences: int,
    pulses: int,
    ambient_spread: float,
    key: PRNGKeyArray,
    solver: AbstractSolver | str | None = None,
) -> PulseRecord:
    """Apply random pulses of both polarities, and keep what happens.

    Half of the sequences run from one end of the window to the other and back, the others change
    their polarity at random, each with its own probability (log-uniform, 1/100 to 1/2 a pulse); all
    turn back where they leave the window. Half of the pulses have the writing amplitude, the others
    one of the range. Widths cover their range, more long pulses than short ones; pulses side by
    side have about the same width (a batch takes as long as its slowest member).

    Args:
        device: The device; its state must be one array.
        state: Where every sequence starts.
        window: The resistances between which the sequences wander.
        amplitude: Writing amplitude [V].
        amplitudes: Smallest and largest amplitude [V].
        widths: Shortest and longest pulse [s].
        sequences: Sequences side by side.
        pulses: Pulses of each.
        ambient_spread: Every second sequence has a substrate that is warmer or colder by up to this
            [K].
        key: Random key.
        solver: As in `program_levels`.

    Raises:
        ValueError: A range that does not ascend or does not hold the amplitude, fewer than two
            sequences or one pulse, a negative spread.
    """
    check_positive("amplitudes", jnp.asarray(amplitudes), "V")
    check_positive("widths", jnp.asarray(widths), "s")
    check_not_negative("ambient_spread", ambient_spread, "K")
    if not amplitudes[0] <= amplitude <= amplitudes[1]:
        raise ValueError(
            f"Argument `amplitudes` must hold the writing amplitude of {amplitude:g} V, but is "
            f"{amplitudes}."
        )
    if not widths[0] <= widths[1]:
        raise ValueError(f"Argument `widths` must ascend, but is {widths}.")
    for name, value, least in (("sequences", sequences, 2), ("pulses", pulses, 1)):
        if value < least:
            raise ValueError(f"Argument `{name}` must be at least {least}, but is {value}.")
    plan = _draw(key, amplitude, amplitudes, widths, sequences, pulses)
    odd = jnp.arange(sequences) % 2
    shift = ambient_spread * odd * jnp.linspace(-1.0, 1.0, sequences)
    return _record(device, state, window, plan, shift, writing_solver(solver, device))


def _draw(key, amplitude, amplitudes, widths, sequences, pulses):
    """Return size [V], width [s] and whether the polarity changes, (sequences, pulses) each."""
    keys = jax.random.split(key, 6)
    shape, dtype = (sequences, pulses), jnp.result_type(float)

    def uniform(key, shape, low=0.0, high=1.0):
        return jax.random.uniform(key, shape, dtype, low, high)

    low, high = jnp.log(jnp.asarray(widths, dtype))
    base = low + (high - low) * uniform(keys[0], (1, pulses)) ** 0.6
    width = jnp.exp(jnp.clip(base + 0.3 * jax.random.normal(keys[1], shape, dtype), low, high))
    nominal = uniform(keys[2], shape) < 0.5
    size = jnp.where(nominal, amplitude, uniform(keys[3], shape, *amplitudes))
    often = jnp.exp(uniform(keys[4], (sequences, 1), math.log(0.01), math.log(0.5)))
    often = jnp.where((jnp.arange(sequences) % 4 < 2)[:, None], 0.0, often)
    return size, width, uniform(keys[5], shape) < often


@eqx.filter_jit
def _record(
    device: AbstractDevice,
    state: PyTree,
    window: Window,
    plan: tuple[Array, Array, Array],
    shift: Array,
    solver: AbstractSolver,
) -> PulseRecord:
    workspace = device.prepare()
    margin = OVERSHOOT * (window.r_high - window.r_low)
    highest, lowest = window.r_high + margin, window.r_low - margin

    def sequence(plan: tuple[Array, Array, Array], shift: Scalar):
        own = wandering(device, shift)

        def pulse(carry, planned):
            state, fields, guess, resistance, sign = carry
            size, width, change = planned
            # `potentiation` is the sign that lowers the resistance.
            sign = jnp.where(change, -sign, sign)
            sign = jnp.where(resistance < lowest, -own.potentiation, sign)
            sign = jnp.where(resistance > highest, own.potentiation, sign)
            v = sign * size
            step = solver.advance(
                own, workspace, state, fields, Plateau(v, v, width), ForwardMode()
            )
            current, resistance, guess = own.observe(
                v, step.state, step.fields, step.state, guess, workspace
            )
            kept = (v, step.state, resistance, current, step.status)
            return (step.state, step.fields, guess, resistance, sign), kept

        first = own.read(state)
        fields = own.initial_fields(state)
        guess = jax.tree.map(jnp.zeros_like, state)
        begin = (state, fields, guess, first, jnp.asarray(own.potentiation, first.dtype))
        _, (v, states, resistance, current, status) = jax.lax.scan(pulse, begin, plan)
        states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), state, states)
        return v, states, jnp.concatenate([first[None], resistance]), current, status

    v, states, resistance, current, status = jax.vmap(sequence)(plan, shift)
    temperature = ambient(device) + shift
    return PulseRecord(v, plan[1], temperature, states, resistance, current, status, window)
