"""Kinds of variables of analog layers, by which gradients and states are filtered."""

from __future__ import annotations

from flax import nnx


class DeviceParam(nnx.Variable):
    """Statistics of the devices: differentiable (``nnx.DiffState(0, DeviceParam)``), no weights."""


class TileParam(nnx.Variable):
    """Constants of arrays, wires and converters, likewise differentiable. None without a tile."""


class ChipState(nnx.Variable):
    """What one chip holds: levels, frozen draws, age. None in a layer that is not programmed."""


class ArrayState(nnx.Variable):
    """What all reads of a layer share (`analogjax.crossbar.Arrays`), solved once. None if not."""


class ReadState(nnx.Variable):
    """Random key of a layer's read; None for a read without fresh noise."""


class ReadGain(nnx.Variable):
    """Digital factor on a layer's outputs that makes up for drift; None for none."""


class ConverterRange(nnx.Variable):
    """Full scale of a layer's inputs or outputs, trainable; None where it is not calibrated."""
