"""Noise of the cells on the currents of the bit lines, independent from read to read.

`v` are voltages across the cells, (batch, rows) [V], `g` conductances (rows, cols) [S]. Cells are
independent of one another, so that variances add up along a bit line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ..._checks import check_finite, check_not_negative, check_positive, is_traced
from ..._types import Array, Float, Scalar, ScalarLike
from ...constants import BOLTZMANN, ELEMENTARY_CHARGE
from ._base import AbstractReadNoise, magnitude


class ThermalNoise(AbstractReadNoise):
    """Johnson-Nyquist noise of the cells: variance ``s^2 4 k T B sum_i G_ij``.

    At 10 uS, 10 MHz and 300 K 1.287 nA. Exact for a resistor in equilibrium; do not add full shot
    noise to it (`check_noise`). It is there without a signal, too.

    Source: Nyquist's formula.
    """

    cause: ClassVar[str] = "device"

    scale: Scalar
    """s, factor on the standard deviation."""

    def __init__(self, scale: ScalarLike = 1.0):
        """Make a noise.

        Args:
            scale: Factor on the standard deviation; 1 is physics.

        Raises:
            ValueError: A negative factor.
        """
        check_not_negative("scale", scale)
        self.scale = magnitude(scale)

    def variance(
        self,
        v: Float[Array, "batch rows"],
        g: Float[Array, "rows cols"],
        i: Float[Array, "batch cols"],
        *,
        bandwidth: ScalarLike,
        temperature: ScalarLike,
    ) -> Float[Array, "#batch #cols"]:
        """Return the variance of the currents [A^2]; see `AbstractReadNoise`."""
        self = self.cast(g.dtype)
        kt = BOLTZMANN * jnp.asarray(temperature, g.dtype)
        power = 4 * kt * jnp.asarray(bandwidth, g.dtype)
        return self.scale**2 * power * jnp.sum(g, axis=0, keepdims=True)


class ShotNoise(AbstractReadNoise):
    """Shot noise of the current through each cell: variance ``2 q F B sum_i |V_i| G_ij``.

    The Fano factor F is the user's choice and has no default: 1 for transport over or through one
    barrier (2.532 nA at 10 uS, 0.2 V, 10 MHz), 1/3 for a short diffusive resistor, nearly 0 for a
    long one. See `check_noise`.

    Source: Schottky's formula.
    """

    cause: ClassVar[str] = "device"

    fano: Scalar
    """F."""

    def __init__(self, fano: ScalarLike):
        """Make a noise.

        Args:
            fano: Fano factor, at least 0; 1 is full shot noise.

        Raises:
            ValueError: A negative factor.
        """
        check_not_negative("fano", fano)
        self.fano = magnitude(fano)

    def variance(
        self,
        v: Float[Array, "batch rows"],
        g: Float[Array, "rows cols"],
        i: Float[Array, "batch cols"],
        *,
        bandwidth: ScalarLike,
        temperature: ScalarLike,
    ) -> Float[Array, "#batch #cols"]:
        """Return the variance of the currents [A^2]; see `AbstractReadNoise`."""
        self = self.cast(g.dtype)
        charge = 2 * ELEMENTARY_CHARGE * jnp.asarray(bandwidth, g.dtype)
        return self.fano * charge * (jnp.abs(v) @ g)


class FlickerNoise(AbstractReadNoise):
    """1/f noise of the cells: spectral density ``S(f) = I^2 k_f / f^gamma`` of each cell's current.

    The variance is ``k_f sum_i (V_i G_ij)^2`` times the integral of ``f^-gamma`` from `f_low` to
    `f_high`, which is ``ln(f_high / f_low)`` at gamma = 1. `f_low` is about the inverse of the time
    since the array was last calibrated. Slower than a read, it is here drawn anew at every read all
    the same: reads that follow closely share more of it than that.

    Source: Hooge's form; k_f is the user's.
    """

    cause: ClassVar[str] = "device"

    k_f: Scalar
    """[Hz^(gamma - 1)]."""
    gamma: Scalar
    """Exponent."""
    f_low: Scalar
    """[Hz]."""
    f_high: Scalar | None
    """[Hz]; None for the bandwidth of the read-out."""

    def __init__(
        self,
        k_f: ScalarLike,
        gamma: ScalarLike = 1.0,
        *,
        f_low: ScalarLike,
        f_high: ScalarLike | None = None,
    ):
        """Make a noise.

        Args:
            k_f: Relative power density at 1 Hz [Hz^(gamma - 1)].
            gamma: Exponent of the frequency.
            f_low: Lowest frequency that counts [Hz].
            f_high: Highest one [Hz]; None for the bandwidth of the read-out.

        Raises:
            ValueError: A negative power, or frequencies that do not ascend from above zero.
        """
        check_not_negative("k_f", k_f)
        check_finite("gamma", gamma)
        check_positive("f_low", f_low, "Hz")
        self.k_f, self.gamma, self.f_low = magnitude(k_f), magnitude(gamma), magnitude(f_low)
        self.f_high = None
        if f_high is not None:
            check_positive("f_high", f_high, "Hz")
            self.f_high = magnitude(f_high)
            if not (is_traced(f_low) or is_traced(f_high)) and np.any(self.f_high <= self.f_low):
                raise ValueError(
                    f"Argument `f_high` must be above `f_low` = {float(f_low):g} Hz, "
                    f"but is {float(f_high):g}."
                )

    def variance(
        self,
        v: Float[Array, "batch rows"],
        g: Float[Array, "rows cols"],
        i: Float[Array, "batch cols"],
        *,
        bandwidth: ScalarLike,
        temperature: ScalarLike,
    ) -> Float[Array, "#batch #cols"]:
        """Return the variance of the currents [A^2]; see `AbstractReadNoise`."""
        self = self.cast(g.dtype)
        high = jnp.asarray(bandwidth, g.dtype) if self.f_high is None else self.f_high
        # A read-out slower than the slowest frequency sees nothing of it.
        octaves = jnp.maximum(jnp.log(high / self.f_low), 0.0)
        power = (1 - self.gamma) * octaves
        # int f^-gamma = f_low^(1-gamma) L (e^p - 1) / p with p = (1 - gamma) L, L at gamma = 1.
        band = jnp.exp((1 - self.gamma) * jnp.log(self.f_low)) * octaves * _growth(power)
        return self.k_f * band * (v**2 @ g**2)


def _growth(x: Scalar) -> Scalar:
    """Return ``(e^x - 1) / x`` with its slope, 1 at zero."""
    small = jnp.abs(x) < 0.03
    safe = jnp.where(small, jnp.ones_like(x), x)
    series = jnp.polyval(jnp.asarray([1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1], x.dtype), x)
    return jnp.where(small, series, jnp.expm1(safe) / safe)


def check_noise(noises: Iterable[Any]) -> None:
    """Raise if thermal and full shot noise are both counted for the same cells.

    In a resistor in equilibrium both are one fluctuation; at a bias they are ``4 k T G`` and what
    the Fano factor says. Whoever adds them has to choose it below 1.

    Args:
        noises: The noises of an array.

    Raises:
        ValueError: Thermal noise beside shot noise of a (concrete) Fano factor of 1 or more.
    """
    noises = list(noises)
    thermal = any(isinstance(noise, ThermalNoise) and _may_be(noise.scale) for noise in noises)
    for noise in noises:
        if not (thermal and isinstance(noise, ShotNoise)) or is_traced(noise.fano):
            continue
        if np.any(np.asarray(noise.fano) >= 1):
            raise ValueError(
                "Argument `fano` must be below 1 beside thermal noise of the same cells, which "
                f"full shot noise would count twice, but is {float(np.max(noise.fano)):g}."
            )


def _may_be(scale: Scalar) -> bool:
    return is_traced(scale) or bool(np.any(np.asarray(scale) > 0))
