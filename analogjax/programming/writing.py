"""Open-loop writing of many devices that differ: from pulses to conductances, with a gradient."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import equinox as eqx
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Bool, Float, ScalarLike

Writing = TypeVar("Writing", bound="AbstractWriting")


class Written(NamedTuple):
    """What writing has left in devices."""

    fractions: Float[Array, "*shape"]
    """Conductance fraction ``(G - g_min) / (g_max - g_min)`` of each device, always finite; that of
    a device whose equations could not be solved is where it started, and has no gradient."""
    ok: Bool[Array, "*shape"]
    """Whether the equations of the device were solved."""


class AbstractWriting(eqx.Module):
    """How pulses become conductances, through the equations of a device.

    A *drive* is what is applied to one device: numbers that a training changes, as amplitudes,
    widths or counts of pulses; a pytree whose leaves have the shape of the devices first. What
    differs from device to device is *drawn* once per chip (lifetime: frozen).
    """

    together: ClassVar[bool] = False
    """Whether the devices of all layers are written in one call, as one row of devices: for
    equations that are long to compile. What is drawn then has the shape of the devices first."""

    @abc.abstractmethod
    def plan(self, fractions: Float[Array, "*shape"]) -> PyTree:
        """Return the drives that bring nominal devices to these conductance fractions."""

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> PyTree:
        """Return what is random about devices and their writing."""

    @abc.abstractmethod
    def write(self, drives: PyTree, drawn: PyTree | None, *, t: ScalarLike = 0.0) -> Written:
        """Write devices.

        Args:
            drives: What is applied to each.
            drawn: What `draw` returned; None for nominal devices without chance.
            t: Time since the writing at which they are read [s].
        """

    def changed(self: Writing, relative: Mapping[str, Any]) -> Writing:
        """Return writing with shared quantities (material, geometry, pulses) changed.

        Args:
            relative: By name, how much larger than now: ``p -> (1 + x) p``.

        Raises:
            ValueError: A name that this writing cannot change.
        """
        name = next(iter(relative), None)
        if name is None:
            return self
        raise ValueError(
            f"Argument `design` must name quantities that {type(self).__name__} can change, "
            f"but names {name!r}."
        )
