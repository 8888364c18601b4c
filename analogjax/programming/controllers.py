"""Controllers: which pulse comes next, given what was read.

A controller sees what an instrument would: readings, as a coordinate u that runs from 0 (first
level, highest resistance) to 1 (last level) in the space of the levels. It never sees the state.
"""

from __future__ import annotations

import abc
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import PyTree

from .._checks import check_choice, check_positive, check_whole, is_traced
from .._types import Array, Bool, Scalar


class Pulse(eqx.Module):
    """A pulse to apply."""

    amplitude: Scalar
    """Voltage [V], signed."""
    width: Scalar
    """Duration [s]; 0 for no pulse."""


class AbstractController(eqx.Module):
    """Chooses pulses for one device; batches come from `jax.vmap`."""

    max_pulses: eqx.AbstractVar[int]
    """Pulses after which a level is left as it is (and counted as missed)."""

    @abc.abstractmethod
    def start(self, pitch: float, polarity: float) -> PyTree:
        """Return the memory before the first pulse.

        Args:
            pitch: Distance of neighbouring levels in u.
            polarity: Sign of the voltage that raises u.
        """

    @abc.abstractmethod
    def accepts(self, reading: Scalar, target: Scalar, memory: PyTree) -> Bool[Array, ""]:
        """Return whether a reading is close enough to its target."""

    @abc.abstractmethod
    def decide(self, reading: Scalar, target: Scalar, memory: PyTree) -> Pulse:
        """Return the next pulse towards the target."""

    @abc.abstractmethod
    def learn(self, before: Scalar, after: Scalar, pulse: Pulse, memory: PyTree) -> PyTree:
        """Return the memory after a pulse, given the readings before and after it."""

    @abc.abstractmethod
    def statement(self) -> str:
        """Return the controller as one sentence, for results."""


class _Memory(eqx.Module):
    log_rate: Array
    """Logarithm of |du/dt| [1/s] at the nominal amplitude: raising u, lowering u."""
    pitch: Scalar
    polarity: Scalar


class WriteVerify(AbstractController):
    """Write-verify with feedback: read, compare, apply the pulse that should close the gap.

    The response per second of a pulse is estimated from the readings, for each polarity on its own
    (a film responds differently the two ways, and differently along its window), and so may be the
    amplitude (a filament is set at half the voltage that resets it). With
    ``knob="width"`` the amplitude is fixed and the width is aim |error| / rate; with
    ``knob="amplitude"`` the width is fixed and the amplitude follows from an exponential response,
    ``rate ~ exp(|v| / v_scale)``.

    Source: closed-loop write-verify, the common baseline; ours in its details.
    """

    amplitude: Scalar
    """Nominal amplitude [V]."""
    amplitude_down: Scalar
    """Nominal amplitude of pulses that raise the resistance [V]; as `amplitude` if None."""
    width: Scalar
    """Width of the first pulse, and of every pulse with ``knob="amplitude"`` [s]."""
    tolerance: Scalar
    """Accepted |error|, in pitches."""
    shortest: Scalar
    """Shortest pulse [s]."""
    longest: Scalar
    """Longest pulse [s]."""
    v_scale: Scalar
    """Volts per e-fold of the rate (``knob="amplitude"``)."""
    v_range: Scalar
    """Largest departure from the nominal amplitude [V] (``knob="amplitude"``)."""
    gain: Scalar
    """How quickly the estimated rates follow the readings, 0 to 1."""
    largest_factor: Scalar
    """The largest factor by which a reading may differ from an estimated rate and be believed."""
    aim: Scalar
    """Share of what is missing that a pulse aims at: 1 where the response is even, about a half
    where it runs away (its rate grows by more than a few times from one level to the next)."""
    max_pulses: int = eqx.field(static=True)
    knob: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        amplitude: ArrayLike = 5.0,
        amplitude_down: ArrayLike | None = None,
        width: ArrayLike = 0.05,
        tolerance: ArrayLike = 0.25,
        shortest: ArrayLike = 1e-4,
        longest: ArrayLike = 0.25,
        v_scale: ArrayLike = 0.25,
        v_range: ArrayLike = 0.5,
        gain: ArrayLike = 0.5,
        largest_factor: ArrayLike = 3.0,
        aim: ArrayLike = 1.0,
        max_pulses: int = 20,
        knob: Literal["width", "amplitude"] = "width",
    ):
        """Choose the controller; see the fields.

        Raises:
            ValueError: A value not above zero, a factor not above one, an unknown knob, fewer than
                one pulse.
        """
        values = dict(
            amplitude=amplitude,
            amplitude_down=amplitude if amplitude_down is None else amplitude_down,
            width=width,
            tolerance=tolerance,
            shortest=shortest,
            longest=longest,
            v_scale=v_scale,
            v_range=v_range,
            gain=gain,
            largest_factor=largest_factor,
            aim=aim,
        )
        dtype = jnp.result_type(float)
        for name, value in values.items():
            check_positive(name, value)
            setattr(self, name, jnp.asarray(value, dtype))
        if not is_traced(largest_factor) and not np.all(np.asarray(largest_factor) > 1):
            raise ValueError(
                f"Argument `largest_factor` must be above 1, but is {largest_factor!r}."
            )
        check_choice("knob", knob, ("width", "amplitude"))
        check_whole("max_pulses", max_pulses, 1)
        self.max_pulses, self.knob = int(max_pulses), knob

    def start(self, pitch: float, polarity: float) -> _Memory:
        """Assume that a pulse of `width` moves by one pitch."""
        dtype = self.width.dtype
        first = jnp.log(pitch / self.width)
        return _Memory(
            jnp.stack([first, first]), jnp.asarray(pitch, dtype), jnp.asarray(polarity, dtype)
        )

    def accepts(self, reading: Scalar, target: Scalar, memory: _Memory) -> Bool[Array, ""]:
        """Return whether the reading is within the tolerance."""
        return jnp.abs(reading - target) <= self.tolerance * memory.pitch

    def decide(self, reading: Scalar, target: Scalar, memory: _Memory) -> Pulse:
        """Return the pulse that closes the gap (or the share aimed at) at the estimated rate."""
        error = target - reading
        up = error > 0
        sign = jnp.where(up, memory.polarity, -memory.polarity)
        log_rate = jnp.where(up, memory.log_rate[0], memory.log_rate[1])
        nominal = jnp.where(up, self.amplitude, self.amplitude_down)
        missing = jnp.maximum(self.aim * jnp.abs(error), 1e-3 * memory.pitch)
        log_time = jnp.log(missing) - log_rate
        if self.knob == "width":
            width = jnp.clip(jnp.exp(log_time), self.shortest, self.longest)
            return Pulse(sign * nominal, width)
        raised = self.v_scale * (log_time - jnp.log(self.width))
        raised = jnp.clip(raised, -self.v_range, self.v_range)
        return Pulse(sign * (nominal + raised), self.width)

    def learn(self, before: Scalar, after: Scalar, pulse: Pulse, memory: _Memory) -> _Memory:
        """Move the rate of this polarity towards what the readings say.

        Where neither what was expected nor what came is more than the tolerance, the difference is
        mostly read noise, and counts for less.
        """
        up = pulse.amplitude * memory.polarity > 0
        moved = jnp.where(up, after - before, before - after)
        seconds = pulse.width
        if self.knob == "amplitude":
            nominal = jnp.where(up, self.amplitude, self.amplitude_down)
            over = (jnp.abs(pulse.amplitude) - nominal) / self.v_scale
            seconds = seconds * jnp.exp(over)
        old = jnp.where(up, memory.log_rate[0], memory.log_rate[1])
        good = (seconds > 0) & (moved > 0)
        measured = jnp.log(jnp.where(good, moved, 1.0) / jnp.where(good, seconds, 1.0))
        # The wrong way, or nowhere: as little as is believed (a third of what was expected).
        most = jnp.log(self.largest_factor)
        measured = jnp.where(good, measured, old - most)
        noise = self.tolerance * memory.pitch
        signal = jnp.maximum(jnp.abs(moved), jnp.exp(old) * seconds)
        trust = self.gain * signal**2 / (signal**2 + noise**2)
        new = old + trust * jnp.clip(measured - old, -most, most)
        rates = jnp.where(up, jnp.stack([new, memory.log_rate[1]]), memory.log_rate)
        rates = jnp.where(up, rates, jnp.stack([memory.log_rate[0], new]))
        return _Memory(rates, memory.pitch, memory.polarity)

    def statement(self) -> str:
        """Return the controller as one sentence."""
        lowering, raising = float(self.amplitude), float(self.amplitude_down)
        both = "{}" if lowering == raising else "{} to lower and {} to raise the resistance"
        if self.knob == "width":
            volts = both.format(f"{lowering:g} V", f"{raising:g} V")
            what = (
                f"{volts}, width {float(self.shortest):g} to {float(self.longest):g} s chosen by "
                "feedback"
            )
        else:
            reach = float(self.v_range)
            volts = both.format(*(f"{v - reach:g} to {v + reach:g} V" for v in (lowering, raising)))
            what = f"{float(self.width):g} s, amplitude {volts} chosen by feedback"
        return (
            f"Write-verify: pulses of {what}, accepted within {float(self.tolerance):g} pitch, "
            f"at most {self.max_pulses} pulses a level."
        )


def resolve_controller(controller: Any) -> AbstractController:
    """Return the controller an argument names; `WriteVerify()` for None."""
    if controller is None:
        return WriteVerify()
    if isinstance(controller, AbstractController):
        return controller
    raise ValueError(
        "Argument `controller` must be None or a controller of `analogjax.programming`, but is "
        f"{controller!r}."
    )
