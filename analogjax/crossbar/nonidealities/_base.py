"""What all non-idealities share: a cause, a lifetime, and one of two places where they act."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from ..._checks import check_not_negative
from ..._types import Array, Float, Scalar, ScalarLike
from ..write_error import FLOAT

Effect = TypeVar("Effect", bound="AbstractNonideality")

Window = tuple[Scalar, Scalar]
"""Conductances [S] of the ends of a device's window, lowest first."""


class AbstractNonideality(eqx.Module):
    """Anything by which an array differs from a matrix product.

    Its magnitudes are leaves, so that a loss is differentiable in them; what is random is drawn
    apart from them, so that a chip keeps its numbers while a magnitude changes.
    """

    cause: eqx.AbstractClassVar[str]
    """``"device"`` or ``"circuit"``."""
    lifetime: eqx.AbstractClassVar[str]
    """``"frozen"`` (drawn once per chip), ``"slow"`` (a function of the time since programming and
    of frozen draws) or ``"fresh"`` (drawn at every read)."""

    def cast(self: Effect, dtype: Any) -> Effect:
        """Return the same with all its numbers in this float type, so that code follows its input.

        Made in float64, an effect computes in float32 where the conductances are float32; to keep
        float64 out of a compiled network altogether, cast before it is compiled.
        """
        return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, self)


class AbstractCellEffect(AbstractNonideality):
    """What makes the conductance of a cell another one, for as long as the chip lives."""

    cause: ClassVar[str] = "device"

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> PyTree:
        """Return what is random about cells of this shape: numbers of known distribution, float32.

        They do not depend on the magnitudes of the effect.
        """

    @abc.abstractmethod
    def apply(
        self, g: Float[Array, "*shape"], drawn: PyTree, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S] that cells of nominal conductance `g` have.

        Args:
            g: Conductances [S] before this effect, in any float type, which is kept.
            drawn: What `draw` returned for their shape.
            window: Conductances [S] of the ends of the devices' window.
            t: Time since programming [s].
        """

    @property
    def reads_scatter(self) -> bool:
        """Whether `read_std` says anything."""
        return type(self).read_std is not AbstractCellEffect.read_std

    def read_std(
        self, g: Float[Array, "*shape"], drawn: PyTree, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"] | None:
        """Return the standard deviation [S] of what single reads give, None if there is none.

        `g` are the conductances that were given to `apply`.
        """
        return None

    def check_time(self, t: Any) -> None:
        """Raise unless the effect is known at this time [s] after programming; from 0 on here."""
        check_not_negative("t", t, "s")


class AbstractReadNoise(AbstractNonideality):
    """Noise on the currents of the bit lines, anew at every read."""

    lifetime: ClassVar[str] = "fresh"

    @abc.abstractmethod
    def variance(
        self,
        v: Float[Array, "batch rows"],
        g: Float[Array, "rows cols"],
        i: Float[Array, "batch cols"],
        *,
        bandwidth: ScalarLike,
        temperature: ScalarLike,
    ) -> Float[Array, "#batch #cols"]:
        """Return the variance of the currents [A^2].

        Args:
            v: Voltages of the word lines [V].
            g: Conductances of the cells [S].
            i: Currents of the bit lines without noise [A].
            bandwidth: Equivalent noise bandwidth of the read-out [Hz].
            temperature: Of the cells [K].
        """

    def sample(
        self,
        key: PRNGKeyArray,
        v: Float[Array, "batch rows"],
        g: Float[Array, "rows cols"],
        i: Float[Array, "batch cols"],
        *,
        bandwidth: ScalarLike,
        temperature: ScalarLike,
    ) -> Float[Array, "batch cols"]:
        """Return what one read adds to the currents [A]; normal with `variance` by default.

        An array adds the variances of all noises that leave this method as it is, and draws once.
        """
        variance = self.variance(v, g, i, bandwidth=bandwidth, temperature=temperature)
        return safe_sqrt(variance) * jax.random.normal(key, i.shape, i.dtype)


def safe_sqrt(variance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the square root, with gradient zero instead of infinite where it is zero."""
    positive = variance > 0
    # Arrays as branches: a plain number passes through float64 on its way, with 64-bit floats on.
    safe = jnp.where(positive, variance, jnp.ones_like(variance))
    return jnp.where(positive, jnp.sqrt(safe), jnp.zeros_like(variance))


def magnitude(value: ScalarLike) -> Scalar:
    """Return a number as a leaf, in the default float type."""
    return jnp.asarray(value, jnp.result_type(float))


def normal(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Return standard normal numbers, float32 (networks compute in float32)."""
    return jax.random.normal(key, shape, FLOAT)


def fraction(g: Float[Array, "*shape"], window: Window) -> Float[Array, "*shape"]:
    """Return where in the window conductances are, ``(G - g_min) / (g_max - g_min)``."""
    low, high = ends(window, g)
    return (g - low) / (high - low)


def clip(x: Float[Array, "*shape"], low: Any, high: Any) -> Float[Array, "*shape"]:
    """Return `jnp.clip`, without the float64 that it passes plain numbers through."""
    return jnp.minimum(jnp.maximum(x, low), high)


def ends(window: Window, g: Float[Array, "..."]) -> Window:
    """Return the ends of the window in the float type of the conductances."""
    low, high = window
    return jnp.asarray(low, g.dtype), jnp.asarray(high, g.dtype)
