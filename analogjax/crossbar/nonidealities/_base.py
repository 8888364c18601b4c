"""What all non-idealities share: a cause, a lifetime, and one of two places where they act."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from ..._types import Array, Float, Scalar, ScalarLike

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

    def read_std(
        self, g: Float[Array, "*shape"], drawn: PyTree, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"] | None:
        """Return the standard deviation [S] of what single reads give, None if there is none.

        `g` are the conductances that were given to `apply`.
        """
        return None

    def check_time(self, t: Any) -> None:
        """Raise unless the effect is known at this time [s] after programming; any by default."""


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
    # With arrays, because `where` makes a float64 of a number.
    zero, one = jnp.zeros_like(variance), jnp.ones_like(variance)
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, one)), zero)
