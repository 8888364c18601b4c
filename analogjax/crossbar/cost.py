"""What it costs to program a network: devices, time and energy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np

from .._checks import check_not_negative, check_shape
from .._types import Array, Float, ScalarLike, UInt
from .chip import Chip


class LevelCost(eqx.Module):
    """Time and energy to bring one device from the start of the staircase to each level.

    Attributes:
        time: (levels,) s, from the level at `r_high` on.
        energy: (levels,) J.
    """

    time: Float[np.ndarray, " levels"]
    energy: Float[np.ndarray, " levels"]

    def __init__(self, time: Any, energy: Any):
        """Take what it costs to reach each level.

        Raises:
            ValueError: A negative cost, fewer than two levels, or shapes that differ.
        """
        check_not_negative("time", time, "s")
        check_not_negative("energy", energy, "J")
        self.time, self.energy = np.asarray(time, float), np.asarray(energy, float)
        check_shape("time", self.time, (None,))
        check_shape("energy", self.energy, self.time.shape)
        if self.time.size < 2:
            raise ValueError(
                f"Argument `time` must be of 2 levels or more, but is of {self.time.size}."
            )

    @classmethod
    def from_table(cls, table: Any) -> LevelCost:
        """Add up the steps of a level table, from the first level on, mean over finished repeats.

        The table holds what each level costs *from the one before* (`time` and `energy`, (repeats,
        levels)); a device is written by climbing the staircase to its level, every level on the
        way included. What brings it to the start (conditioning, erasing) is not in the table.

        Raises:
            ValueError: No repeat that reached every level.
        """
        time, energy = np.asarray(table.time, float), np.asarray(table.energy, float)
        finished = np.isfinite(time + energy).all(axis=1)
        if not finished.any():
            raise ValueError(
                "Argument `table` must hold a repeat that reached every level, but holds none."
            )
        return cls(np.cumsum(time[finished].mean(axis=0)), np.cumsum(energy[finished].mean(axis=0)))


@dataclasses.dataclass(frozen=True)
class ProgrammingCost:
    """What it costs to program the layers of a network once.

    Attributes:
        devices: Number of devices.
        time_serial: One device after another [s].
        time_parallel: One row of a layer at a time, where the slowest device decides [s]; layers
            one after another.
        energy: Energy put into the devices [J]; the same in both cases. It scales with the pulse
            width, which is assumed where none is published.
    """

    devices: int
    time_serial: float
    time_parallel: float
    energy: float


def layer_cost(
    levels: UInt[Array, "devices ..."], n_levels: ScalarLike, cost: LevelCost
) -> ProgrammingCost:
    """Return what it costs to program one layer.

    A level of a device with `n_levels` costs what the nearest level of the table costs. A row is an
    input of the layer (for a convolution: one place of the kernel and one input channel) with all
    devices of all output channels.

    Args:
        levels: Level of each device, (devices of a weight, ..., output channels).
        n_levels: Levels per device.
        cost: Of each level of the table.
    """
    last = cost.time.size - 1
    place = np.asarray(levels, float) / (float(n_levels) - 1)
    nearest = np.rint(place * last).astype(int)
    time, energy = cost.time[nearest], cost.energy[nearest]
    rows = time.reshape(time.shape[0], -1, time.shape[-1])
    return ProgrammingCost(
        devices=time.size,
        time_serial=float(time.sum()),
        time_parallel=float(rows.max(axis=(0, 2)).sum()),
        energy=float(energy.sum()),
    )


def programming_cost(chips: Mapping[str, Chip], cost: LevelCost) -> ProgrammingCost:
    """Return what it costs to program the layers of a network (see `analogjax.networks.chips`).

    Raises:
        ValueError: Devices without levels.
    """
    layers = []
    for name, chip in chips.items():
        if chip.levels is None or chip.n_levels is None:
            raise ValueError(f"Argument `chips` must have levels, but the layer {name!r} has none.")
        layers.append(layer_cost(chip.levels, chip.n_levels, cost))
    return ProgrammingCost(
        *(
            sum(getattr(layer, f.name) for layer in layers)
            for f in dataclasses.fields(ProgrammingCost)
        )
    )
