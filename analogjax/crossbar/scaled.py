"""Errors and effects of devices by a share of their size: noise that rises while a network learns.

What is random about a device does not depend on the share: at 0 it is a device without errors, at 1
the device itself.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Float, Scalar, ScalarLike
from .hardware import DeviceStatistics
from .nonidealities import AbstractCellEffect
from .nonidealities._base import Window
from .write_error import FLOAT, AbstractWriteError, NoError


class ScaledError(AbstractWriteError):
    """A share of a write error, its mean included."""

    error_of: AbstractWriteError
    share: Scalar
    times: Float[Array, " times"]
    space: str | None = eqx.field(static=True)
    device: str = eqx.field(static=True)

    def __init__(self, error_of: AbstractWriteError, share: ScalarLike):
        """Scale an error.

        Args:
            error_of: The error.
            share: Factor on it.
        """
        self.error_of, self.share = error_of, jnp.asarray(share, FLOAT)
        self.times, self.space, self.device = error_of.times, error_of.space, error_of.device

    @property
    def largest(self) -> int | None:
        """The most levels per device that the errors speak for."""
        return self.error_of.largest

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return what the error draws."""
        return self.error_of.draw(key, shape)

    def error(
        self,
        drawn: Float[Array, "*shape"],
        position: Float[Array, "*shape"],
        *,
        n_levels: Any,
        t: ScalarLike = 0.0,
    ) -> Float[Array, "*shape"]:
        """Return the share of the error."""
        return self.share * self.error_of.error(drawn, position, n_levels=n_levels, t=t)


class ScaledEffect(AbstractCellEffect):
    """``G + share (effect(G) - G)``, and likewise the noise of its reads."""

    effect: AbstractCellEffect
    share: Scalar

    def __init__(self, effect: AbstractCellEffect, share: ScalarLike):
        """Scale an effect.

        Args:
            effect: The effect.
            share: Factor on what it changes.
        """
        self.effect, self.share = effect, jnp.asarray(share, FLOAT)

    @property
    def lifetime(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the effect."""
        return self.effect.lifetime

    @property
    def reads_scatter(self) -> bool:
        """Whether single reads of the effect scatter."""
        return self.effect.reads_scatter

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> PyTree:
        """Return what the effect draws."""
        return self.effect.draw(key, shape)

    def apply(
        self, g: Float[Array, "*shape"], drawn: PyTree, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S] after the share of the effect."""
        changed = self.effect.apply(g, drawn, window=window, t=t)
        return g + self.share.astype(g.dtype) * (changed - g)

    def read_std(
        self, g: Float[Array, "*shape"], drawn: PyTree, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"] | None:
        """Return the share of the standard deviation [S] of single reads."""
        std = self.effect.read_std(g, drawn, window=window, t=t)
        return None if std is None else self.share.astype(g.dtype) * std

    def check_time(self, t: Any) -> None:
        """Raise unless the effect is known at this time [s]."""
        self.effect.check_time(t)


def scaled_statistics(device: DeviceStatistics, share: ScalarLike) -> DeviceStatistics:
    """Return devices whose write errors and effects are a share of what they are.

    Args:
        device: The devices.
        share: 0 (none) to 1 (as they are); may be traced.
    """
    error = device.write_error
    return eqx.tree_at(
        lambda d: (d.write_error, d.effects),
        device,
        (
            error if isinstance(error, NoError) else ScaledError(error, share),
            tuple(ScaledEffect(effect, share) for effect in device.effects),
        ),
        is_leaf=lambda x: x is device.effects,
    )
