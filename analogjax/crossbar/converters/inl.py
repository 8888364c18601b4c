"""Integral nonlinearity of converters, from what a converter is made of."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..._checks import check_finite, check_not_negative
from ..._types import Array, Bool, Float, Scalar, ScalarLike
from .._optional import as_leaf
from ..write_error import FLOAT

MAX_INL_BITS = 16
"""Most bits of a converter with nonlinearity: it is a table of all codes."""


class AbstractInl(eqx.Module):
    """Errors of a converter's levels, in LSB, against the line through its first and last level.

    A circuit error, drawn once per chip.
    """

    cause: ClassVar[str] = "circuit"
    lifetime: ClassVar[str] = "frozen"

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, lines: int, bits: int) -> Float[Array, "..."] | None:
        """Return what is random about converters on so many lines, standard normal, float32.

        It does not depend on magnitudes. None if nothing is random.
        """

    @abc.abstractmethod
    def curve(
        self, drawn: Float[Array, "..."] | None, lines: int, bits: int
    ) -> Float[Array, "lines codes"]:
        """Return the integral nonlinearity of each of the ``2^bits`` codes [LSB].

        Args:
            drawn: What `draw` returned; None for converters without random errors.
            lines: Number of lines.
            bits: Number of bits.
        """


class SarInl(AbstractInl):
    r"""Binary-weighted capacitors (successive approximation, charge redistribution).

    ``C_b = 2^b C_u (1 + s / sqrt(2^b) z_b)``: every capacitor is ``2^b`` units of relative spread
    `s`. Code ``k`` is the sum of the capacitors of its bits. At the mid code the standard
    deviations are ``s sqrt(2^B - 1)`` (DNL) and ``s sqrt(2^B) / 2`` (INL) LSB. Steps may be
    negative, and codes missing.

    Attributes:
        sigma: Relative standard deviation ``s`` of a unit capacitor.
    """

    sigma: Scalar

    def __init__(self, sigma: ScalarLike):
        """Make the nonlinearity.

        Raises:
            ValueError: A negative standard deviation.
        """
        self.sigma = as_leaf(check_not_negative("sigma", sigma))

    def draw(self, key: PRNGKeyArray, lines: int, bits: int) -> Float[Array, "lines bits"]:
        """Return one number per capacitor."""
        return jax.random.normal(key, (lines, bits), FLOAT)

    def curve(
        self, drawn: Float[Array, "..."] | None, lines: int, bits: int
    ) -> Float[Array, "lines codes"]:
        """Return the integral nonlinearity of each code [LSB]."""
        if drawn is None:
            return jnp.zeros((lines, 2**bits), self.sigma.dtype)
        weight = 2.0 ** np.arange(bits)
        error = jnp.asarray(np.sqrt(weight), drawn.dtype)[None] * drawn
        error = error * self.sigma.astype(drawn.dtype)
        total = jnp.asarray(2.0**bits - 1, drawn.dtype)
        # (w + e) total / sum(w + e) - w, without the difference of nearly equal numbers.
        share = jnp.sum(error, axis=1, keepdims=True) / total
        per_bit = (error - jnp.asarray(weight, drawn.dtype)[None] * share) / (1 + share)
        is_set = (np.arange(2**bits)[None] >> np.arange(bits)[:, None]) & 1
        # Exact products on accelerators too, whose default would round the factors.
        return jnp.matmul(per_bit, jnp.asarray(is_set, drawn.dtype), precision="highest")


class FlashInl(AbstractInl):
    r"""A ladder of equal elements on every line (flash converters, resistor-string DACs).

    The levels are the sums of the elements, ``1 + s z`` each (no element is below zero: a ladder
    is monotonic): a random walk which, seen from the line through its ends, is a Brownian bridge
    of standard deviation ``s sqrt(k (n - k) / n)`` LSB at code ``k`` of ``n = 2^B - 1``, at most
    ``s sqrt(2^B) / 2``. The comparators are taken as equal.

    Attributes:
        sigma: Relative standard deviation ``s`` of an element.
    """

    sigma: Scalar

    def __init__(self, sigma: ScalarLike):
        """Make the nonlinearity.

        Raises:
            ValueError: A negative standard deviation.
        """
        self.sigma = as_leaf(check_not_negative("sigma", sigma))

    def draw(self, key: PRNGKeyArray, lines: int, bits: int) -> Float[Array, "lines steps"]:
        """Return one number per element and line."""
        return jax.random.normal(key, (lines, 2**bits - 1), FLOAT)

    def curve(
        self, drawn: Float[Array, "..."] | None, lines: int, bits: int
    ) -> Float[Array, "lines codes"]:
        """Return the integral nonlinearity of each code [LSB]."""
        return _bridge(self.sigma, drawn, lines, bits)


class RampInl(AbstractInl):
    r"""One ramp for all lines (single-slope converters).

    The steps of the ramp add up as the elements of `FlashInl` do, but the ramp is generated once
    and handed to a comparator on every line: all lines have the *same* nonlinearity, which
    therefore does not average out over lines. What differs among lines is their comparators'
    offset (`offset_std` of the converter).

    Attributes:
        sigma: Relative standard deviation ``s`` of a step.
    """

    sigma: Scalar

    def __init__(self, sigma: ScalarLike):
        """Make the nonlinearity.

        Raises:
            ValueError: A negative standard deviation.
        """
        self.sigma = as_leaf(check_not_negative("sigma", sigma))

    def draw(self, key: PRNGKeyArray, lines: int, bits: int) -> Float[Array, "1 steps"]:
        """Return one number per step."""
        return jax.random.normal(key, (1, 2**bits - 1), FLOAT)

    def curve(
        self, drawn: Float[Array, "..."] | None, lines: int, bits: int
    ) -> Float[Array, "lines codes"]:
        """Return the integral nonlinearity of each code [LSB]."""
        return _bridge(self.sigma, drawn, lines, bits)


class PolynomialInl(AbstractInl):
    r"""A bow that all converters share by design: ``a_2 (u^2 - 1) + a_3 (u^3 - u)``.

    ``u`` is the place of a code, from -1 to 1: what is left of ``u + a_2 u^2 + a_3 u^3`` after the
    line through its ends is taken out. Nothing is random.

    Attributes:
        a_2: Strength of the even term [LSB]; the bow is ``-a_2`` at the mid code.
        a_3: Strength of the odd term [LSB].
    """

    a_2: Scalar
    a_3: Scalar

    def __init__(self, a_2: ScalarLike = 0.0, a_3: ScalarLike = 0.0):
        """Make the nonlinearity.

        Raises:
            ValueError: A strength that is not finite.
        """
        self.a_2 = as_leaf(check_finite("a_2", a_2))
        self.a_3 = as_leaf(check_finite("a_3", a_3))

    def draw(self, key: PRNGKeyArray, lines: int, bits: int) -> None:
        """Return None: nothing is random."""
        return None

    def curve(
        self, drawn: Float[Array, "..."] | None, lines: int, bits: int
    ) -> Float[Array, "lines codes"]:
        """Return the integral nonlinearity of each code [LSB]."""
        u = jnp.asarray(np.linspace(-1, 1, 2**bits), self.a_2.dtype)
        bow = self.a_2 * (u**2 - 1) + self.a_3.astype(u.dtype) * (u**3 - u)
        return jnp.broadcast_to(bow, (lines, 2**bits))


def _bridge(sigma: Scalar, drawn: Array | None, lines: int, bits: int) -> Array:
    """Return sums of steps ``max(1 + s z, 0)`` against the line through their ends."""
    if drawn is None:
        return jnp.zeros((lines, 2**bits), sigma.dtype)
    # The differences from 1, whose sums keep their digits.
    error = jnp.maximum(sigma.astype(drawn.dtype) * drawn, -1)
    walk = jnp.pad(jnp.cumsum(error, axis=1), ((0, 0), (1, 0)))
    steps = 2**bits - 1
    share = walk[:, -1:] / steps
    code = jnp.arange(2**bits, dtype=drawn.dtype)[None]
    # If all steps were zero there would be no line, and no converter.
    bridge = (walk - code * share) / jnp.maximum(1 + share, jnp.finfo(drawn.dtype).tiny)
    return jnp.broadcast_to(bridge, (lines, 2**bits))


def inl(levels: Float[Array, "*lines codes"]) -> Float[Array, "*lines codes"]:
    """Return the integral nonlinearity [LSB]: levels against the line through the first and last.

    Args:
        levels: Levels of a DAC, or decision levels of an ADC, code by code, in any unit.
    """
    first, lsb = levels[..., :1], _lsb(levels)
    code = jnp.arange(levels.shape[-1], dtype=levels.dtype)
    return (levels - first) / lsb - jnp.broadcast_to(code, levels.shape)


def dnl(levels: Float[Array, "*lines codes"]) -> Float[Array, "*lines steps"]:
    """Return the differential nonlinearity [LSB]: steps against their mean, one fewer than levels.

    Entry ``k`` is the step from level ``k`` to level ``k + 1``.

    Args:
        levels: As `inl`.
    """
    return jnp.diff(levels, axis=-1) / _lsb(levels) - 1


def missing_codes(levels: Float[Array, "*lines codes"]) -> Bool[Array, "*lines steps"]:
    """Return which steps have no width (DNL of -1 or below).

    Of an ADC's decision levels, entry ``k`` is the code between level ``k`` and level ``k + 1``,
    which the converter never gives. (Where levels are out of order by more than one place, a
    successive approximation may skip further codes.)

    Args:
        levels: As `inl`.
    """
    return jnp.diff(levels, axis=-1) * jnp.sign(_lsb(levels)) <= 0


def _lsb(levels: Any) -> Array:
    return (levels[..., -1:] - levels[..., :1]) / (levels.shape[-1] - 1)
