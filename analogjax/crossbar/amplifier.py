"""From the current of a bit line to a voltage: a transimpedance amplifier or a load resistor."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._checks import check_positive
from .._types import Array, Float, Scalar, ScalarLike
from ..constants import BOLTZMANN, ROOM_TEMPERATURE
from ._optional import as_leaf, optional_error, optional_limit
from .nonidealities._base import safe_sqrt
from .write_error import FLOAT

TYPICAL_GAIN = 1e3
"""Open-loop gain (60 dB; 40 to 80 dB are usual): recalled from the literature, not verified."""

TYPICAL_GBW = 1e8
"""Gain-bandwidth product [Hz]: recalled from the literature, not verified."""


class Transimpedance(eqx.Module):
    r"""Amplifiers with a feedback resistor, one per bit line, which hold it near 0 V.

    With ``I`` the current of a bit line, ``G`` the sum of its conductances and the noise gain
    ``n = 1 + R_f G``, in this order:

    | part | equation | off | cause, lifetime |
    | --- | --- | --- | --- |
    | gain `A_0` | ``V = -R_f I / (1 + n / A_0)`` | inf | circuit, - |
    | settling after `t` | ``V (1 - exp(-2 pi f t))``, ``f = GBW / n`` | either None | circuit, - |
    | slew rate | no faster than `slew_rate`, then exponential | None | circuit, - |
    | offset | ``+ V_os n`` | 0 | circuit, frozen |
    | noise | variance ``(v_n^2 n^2 + 4 k T R_f) f pi / 2`` | no `gbw`, no key | circuit, fresh |
    | rails | ``V / (1 + \|V / V_rail\|^p)^(1/p)``, ``p`` = `rail_sharpness` | None | circuit, - |

    Gain, offset and bandwidth depend on the data through ``G``. `v_n` is the amplifier's noise
    voltage referred to its input, ``4 k T R_f`` the resistor's (left out by
    ``resistor_noise=False``); an amplifier at its rails passes neither. Everything is
    differentiable in every number.

    Attributes:
        r_f: Feedback resistance ``R_f`` [ohm].
        gain: Open-loop gain ``A_0``.
        gbw: Gain-bandwidth product [Hz].
        slew_rate: Largest rate of the output [V/s].
        settle_time: Time ``t`` from the step of the inputs to the read-out [s].
        v_rail: The output stays between minus and plus this [V].
        offset_std: Standard deviation of ``V_os`` [V].
        v_noise: ``v_n`` [V/sqrt(Hz)].
        rail_sharpness: Exponent of the clip at the rails (Rapp's form; 8 is assumed: 0.05 % at half
            the rail).
        resistor_noise: Whether the feedback resistor is noisy.
    """

    cause: ClassVar[str] = "circuit"
    lifetimes: ClassVar[dict[str, str]] = {"offset_std": "frozen", "v_noise": "fresh"}

    r_f: Scalar
    gain: Scalar | None
    gbw: Scalar | None
    slew_rate: Scalar | None
    settle_time: Scalar | None
    v_rail: Scalar | None
    offset_std: Scalar | None
    v_noise: Scalar | None
    rail_sharpness: Scalar
    resistor_noise: bool = eqx.field(static=True)

    def __init__(
        self,
        r_f: ScalarLike,
        *,
        gain: Any = math.inf,
        gbw: Any = None,
        slew_rate: Any = None,
        settle_time: Any = None,
        v_rail: Any = None,
        offset_std: Any = 0,
        v_noise: Any = 0,
        rail_sharpness: ScalarLike = 8.0,
        resistor_noise: bool = True,
    ):
        """Make amplifiers: ideal ones, ``V = -R_f I``, unless told otherwise.

        See the class for the arguments; `Transimpedance.typical` for usual ones.

        Raises:
            ValueError: A number that is negative or zero where it must not be, `v_noise` without
                `gbw`, or `slew_rate` without `settle_time`.
        """
        self.r_f = as_leaf(check_positive("r_f", r_f, "ohm"))
        self.gain = optional_limit("gain", gain)
        self.gbw = optional_limit("gbw", gbw, "Hz")
        self.slew_rate = optional_limit("slew_rate", slew_rate, "V/s")
        self.settle_time = optional_limit("settle_time", settle_time, "s")
        self.v_rail = optional_limit("v_rail", v_rail, "V")
        self.offset_std = optional_error("offset_std", offset_std, "V")
        self.v_noise = optional_error("v_noise", v_noise, "V/sqrt(Hz)")
        self.rail_sharpness = as_leaf(check_positive("rail_sharpness", rail_sharpness))
        self.resistor_noise = resistor_noise
        if self.v_noise is not None and self.gbw is None:
            raise ValueError("Argument `gbw` must be given with `v_noise`, but is None.")
        if self.slew_rate is not None and self.settle_time is None:
            raise ValueError("Argument `settle_time` must be given with `slew_rate`, but is None.")

    @classmethod
    def typical(cls, r_f: ScalarLike, **options: Any) -> Transimpedance:
        """Make amplifiers of 60 dB and 100 MHz (recalled from the literature, not verified)."""
        return cls(r_f, **{"gain": TYPICAL_GAIN, "gbw": TYPICAL_GBW, **options})

    def draw(self, key: PRNGKeyArray, lines: int) -> Float[Array, " lines"] | None:
        """Return a standard normal number per amplifier for its offset, float32; None without."""
        return None if self.offset_std is None else jax.random.normal(key, (lines,), FLOAT)

    def noise_gain(self, g_sum: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return ``1 + R_f G`` of bit lines with these sums of conductances [S]."""
        return 1 + self.r_f.astype(g_sum.dtype) * g_sum

    def bandwidth(self, g_sum: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return the closed-loop bandwidth ``GBW / n`` [Hz], infinite without `gbw`.

        The equivalent bandwidth of noise is ``pi / 2`` times it.
        """
        if self.gbw is None:
            return jnp.full_like(g_sum, jnp.inf)
        return self.gbw.astype(g_sum.dtype) / self.noise_gain(g_sum)

    def noise_variance(
        self, g_sum: Float[Array, "*shape"], *, temperature: ScalarLike = ROOM_TEMPERATURE
    ) -> Float[Array, "*shape"]:
        """Return the variance of the output [V^2]; zero without `gbw`.

        Args:
            g_sum: Sums of the conductances [S].
            temperature: Of the feedback resistor [K].
        """
        if self.gbw is None:
            return jnp.zeros_like(g_sum)
        density = jnp.zeros_like(g_sum)
        if self.v_noise is not None:
            density += (self.v_noise.astype(g_sum.dtype) * self.noise_gain(g_sum)) ** 2
        if self.resistor_noise:
            # The constants first: 4 k alone is small, 4 k T R_f is far from where float32 ends.
            hot = jnp.asarray(temperature, g_sum.dtype) * self.r_f.astype(g_sum.dtype)
            density += 4 * BOLTZMANN * hot
        return density * (math.pi / 2) * self.bandwidth(g_sum)

    def __call__(
        self,
        i: Float[Array, "*batch cols"],
        g_sum: Float[Array, " cols"],
        drawn: Float[Array, " cols"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
        temperature: ScalarLike = ROOM_TEMPERATURE,
    ) -> Float[Array, "*batch cols"]:
        """Return the voltages at the outputs [V].

        Args:
            i: Currents of the bit lines [A].
            g_sum: Sum of the conductances of each [S].
            drawn: What `draw` returned; None for no offset.
            key: For the noise of this read; None for no noise.
            temperature: Of the feedback resistor [K].
        """
        g_sum = g_sum.astype(i.dtype)
        n = self.noise_gain(g_sum)
        slope = -self.r_f.astype(i.dtype)
        if self.gain is not None:
            slope = slope / (1 + n / self.gain.astype(i.dtype))
        v = jnp.broadcast_to(slope, i.shape) * i
        v = self._settle(v, g_sum)
        if self.offset_std is not None and drawn is not None:
            offset = self.offset_std.astype(i.dtype) * drawn.astype(i.dtype) * n
            v = v + jnp.broadcast_to(offset, i.shape)
        if key is not None and self.gbw is not None:
            std = safe_sqrt(self.noise_variance(g_sum, temperature=temperature))
            v = v + jnp.broadcast_to(std, i.shape) * jax.random.normal(key, i.shape, i.dtype)
        if self.v_rail is not None:
            v = _soft_clip(v, self.v_rail.astype(i.dtype), self.rail_sharpness.astype(i.dtype))
        return v

    def read_out(
        self,
        i: Float[Array, "*batch cols"],
        g_sum: Float[Array, " cols"],
        drawn: Float[Array, " cols"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
        temperature: ScalarLike = ROOM_TEMPERATURE,
    ) -> Float[Array, "*batch cols"]:
        """Return the currents that the outputs stand for, ``-V / R_f`` [A]; see `__call__`."""
        v = self(i, g_sum, drawn, key=key, temperature=temperature)
        return (-v / self.r_f).astype(i.dtype)

    def _settle(self, v: Array, g_sum: Array) -> Array:
        """Return where outputs on the way from 0 V to `v` are at the time of the read-out."""
        if self.settle_time is None or (self.gbw is None and self.slew_rate is None):
            return v
        t = self.settle_time.astype(v.dtype)
        if self.gbw is None:
            assert self.slew_rate is not None
            reached = self.slew_rate.astype(v.dtype) * t
            return jnp.clip(v, -reached, reached)
        rate = jnp.broadcast_to(2 * math.pi * self.bandwidth(g_sum), v.shape)
        if self.slew_rate is None:
            return -v * jnp.expm1(-rate * t)
        # At constant rate while the exponential would be faster, that is until what is missing is
        # slew / rate; then exponential from there.
        slew = self.slew_rate.astype(v.dtype)
        # Signed, so that the gradient at 0 V is that of the exponential.
        knee = slew / rate
        missing = jnp.clip(v, -knee, knee)
        rest = t - jnp.abs(v - missing) / slew
        slewing = rest < 0
        share = -jnp.expm1(-rate * jnp.maximum(rest, 0))
        return jnp.where(slewing, jnp.sign(v) * slew * t, v - missing + missing * share)


class LoadResistor(eqx.Module):
    r"""A resistor to ground at the end of every bit line, in place of an amplifier.

    .. math:: V = I R_L / (1 + R_L G)

    The bit line is not at 0 V: the output is the mean of the inputs, weighted by conductances,
    where ``R_L G`` is large (resistive division).

    Attributes:
        r_load: Load ``R_L`` [ohm].
    """

    cause: ClassVar[str] = "circuit"

    r_load: Scalar

    def __init__(self, r_load: ScalarLike):
        """Make loads.

        Raises:
            ValueError: A resistance that is not above 0 ohm.
        """
        self.r_load = as_leaf(check_positive("r_load", r_load, "ohm"))

    def __call__(
        self, i: Float[Array, "*batch cols"], g_sum: Float[Array, " cols"]
    ) -> Float[Array, "*batch cols"]:
        """Return the voltages of the bit lines [V].

        Args:
            i: Currents that the bit lines would carry at 0 V, ``sum_i G_i V_i`` [A].
            g_sum: Sum of the conductances of each [S].
        """
        r_load = self.r_load.astype(i.dtype)
        resistance = r_load / (1 + r_load * g_sum.astype(i.dtype))
        return i * jnp.broadcast_to(resistance, i.shape)


def _soft_clip(v: Array, rail: Array, sharpness: Array) -> Array:
    """Return ``v / (1 + |v / rail|^p)^(1 / p)``, without overflow."""
    u = v / rail
    size = jnp.abs(u)
    large = jnp.maximum(size, 1)
    ratio = jnp.minimum(size, 1) / large
    # The gradient of 0^p by p would be nan.
    above = ratio > 0
    power = jnp.where(above, jnp.where(above, ratio, large) ** sharpness, jnp.zeros_like(ratio))
    return rail * u / (large * (1 + power) ** (1 / sharpness))
