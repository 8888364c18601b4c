"""Kinds of variables of analog layers, by which gradients and states are filtered."""

from __future__ import annotations

from flax import nnx


class DeviceParam(nnx.Variable):
    """Statistics of the devices: differentiable (``nnx.DiffState(0, DeviceParam)``), no weights."""


class ChipState(nnx.Variable):
    """What one chip holds: levels, frozen draws, age. None in a layer that is not programmed."""
