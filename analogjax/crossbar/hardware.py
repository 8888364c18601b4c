"""The hardware a network runs on: devices, mapping from weights to levels, arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import check_choice, check_positive, is_traced
from .._types import Scalar, ScalarLike
from .current import CurrentDomain
from .level_errors import LevelErrors, check_window
from .mapping import WeightMapping, check_slices, level_count
from .nonidealities import AbstractCellEffect, WeightNoise
from .tiles import Tile
from .write_error import (
    FLOAT,
    AbstractWriteError,
    EmpiricalError,
    GaussianError,
    NoError,
    StudentTError,
)


class DeviceStatistics(eqx.Module):
    """What a network needs to know of its devices: the window and the write error.

    Attributes:
        r_low: Lowest resistance [ohm], float32 (networks compute in float32).
        r_high: Highest resistance [ohm], float32.
        write_error: Distribution of the write errors.
        effects: What else becomes of a written conductance, in this order.
        name: Which device this is; empty if unknown.
    """

    r_low: Scalar
    r_high: Scalar
    write_error: AbstractWriteError
    effects: tuple[AbstractCellEffect, ...]
    name: str = eqx.field(static=True)

    def __init__(
        self,
        r_low: ScalarLike,
        r_high: ScalarLike,
        write_error: AbstractWriteError | None = None,
        *,
        effects: Sequence[AbstractCellEffect] = (),
        name: str = "",
    ):
        """Make device statistics.

        Args:
            r_low: Lowest resistance of the window [ohm].
            r_high: Highest resistance of the window [ohm].
            write_error: Distribution of the write errors; None for none.
            effects: What else becomes of a written conductance: variation, drift, faults, ...
            name: Which device this is.

        Raises:
            ValueError: A window that is none, or write errors of another device.
        """
        check_positive("r_low", r_low, "ohm")
        check_positive("r_high", r_high, "ohm")
        if not (is_traced(r_low) or is_traced(r_high)):
            check_window(float(r_low), float(r_high))
        self.r_low, self.r_high = jnp.asarray(r_low, FLOAT), jnp.asarray(r_high, FLOAT)
        self.write_error = NoError() if write_error is None else write_error
        # No float64 in networks.
        self.effects = tuple(effect.cast(FLOAT) for effect in effects)
        theirs = self.write_error.device
        if name and theirs and name != theirs:
            raise ValueError(
                f"Argument `write_error` must be of the device {name!r}, but is of {theirs!r}."
            )
        self.name = name or theirs

    @property
    def ratio(self) -> Scalar:
        """``r_high / r_low``."""
        return self.r_high / self.r_low

    @property
    def window(self) -> tuple[Scalar, Scalar]:
        """Lowest and highest conductance [S]."""
        return 1 / self.r_high, 1 / self.r_low

    def check_time(self, t: Any) -> None:
        """Raise unless errors and effects are known at this time [s] after programming."""
        self.write_error.check_time(t)
        for effect in self.effects:
            effect.check_time(t)

    def ideal(self) -> DeviceStatistics:
        """Return devices of the same window without errors and effects."""
        return DeviceStatistics(self.r_low, self.r_high, name=self.name)


class Hardware(eqx.Module):
    """What a network is converted to.

    Attributes:
        device: Window and write error of the devices.
        mapping: From weights to levels.
        bits: Bits per device: ``2^bits`` levels; None for devices without levels.
        tile: The arrays that hold the devices; None for one array of any size with exact inputs
            and outputs.
    """

    device: DeviceStatistics
    mapping: WeightMapping = eqx.field(static=True)
    bits: int | None = eqx.field(static=True)
    tile: Tile | None

    def __init__(
        self,
        device: DeviceStatistics,
        mapping: WeightMapping | None = None,
        *,
        bits: int | None,
        tile: Tile | None = None,
    ):
        """Make hardware.

        Args:
            device: Window and write error of the devices.
            mapping: From weights to levels; None for the default one.
            bits: Bits per device, a whole number of at least 1; None for devices that take any
                conductance of their window.
            tile: The arrays that hold the devices; None for exact inputs and outputs.

        Raises:
            ValueError: Bits that are no such or more than the level tables speak for, write errors
                in another space than the levels, or slices that do not go with either.
        """
        self.device = device
        self.mapping = WeightMapping() if mapping is None else mapping
        self.bits = bits
        if tile is None and any(effect.reads_scatter for effect in device.effects):
            # Noise of reads acts on currents: one array of any size, otherwise ideal.
            tile = Tile(CurrentDomain(), rows=2**30, columns=2**30)
        self.tile = tile
        if bits is not None:
            check_bits(bits, device)
        check_slices(self.n_levels, self.mapping)
        if self.mapping.slices > 1 and any(isinstance(e, WeightNoise) for e in device.effects):
            raise ValueError(
                "Argument `mapping` must have one slice for the noise of weights, which knows no "
                f"devices, but has {self.mapping.slices}."
            )
        space = device.write_error.space
        if space is not None and space != self.mapping.space:
            raise ValueError(
                f"Argument `mapping` must have its levels in the space of the write errors, "
                f"{space!r}, but has them in {self.mapping.space!r}."
            )

    @property
    def n_levels(self) -> int | None:
        """Levels per device; None for devices without levels."""
        return None if self.bits is None else int(level_count(self.bits))

    def ideal(self) -> Hardware:
        """Return hardware of perfect devices and circuits: what is left is quantisation alone."""
        return Hardware(self.device.ideal(), self.mapping, bits=self.bits)

    @classmethod
    def from_tables(
        cls,
        tables: Any,
        *,
        bits: int,
        mapping: WeightMapping | None = None,
        error: str = "empirical",
        bow: bool = True,
        device: str = "",
        effects: Sequence[AbstractCellEffect] = (),
        tile: Tile | None = None,
    ) -> Hardware:
        """Make hardware of devices with measured levels.

        Args:
            tables: One level table or several of one device, at several numbers of levels.
            bits: Bits per device.
            mapping: From weights to levels; None for the default one in the tables' space.
            error: ``"empirical"``, ``"gaussian"``, ``"student_t"`` (these two from the table of the
                most levels) or ``"none"``.
            bow: Whether empirical errors keep their systematic part.
            device: The device that the tables must be of; empty for any.
            effects: What else becomes of a written conductance.
            tile: The arrays that hold the devices; None for exact inputs and outputs.

        Raises:
            ValueError: Tables of another device or space, or too few levels for the bits.
        """
        check_choice("error", error, ("empirical", "gaussian", "student_t", "none"))
        given = tables if isinstance(tables, list | tuple) else [tables]
        taken = [LevelErrors.from_table(table) for table in given]
        for table in taken:
            if device and table.device != device:
                raise ValueError(
                    f"Argument `tables` must be level tables of the device {device!r}, "
                    f"but holds one of {table.device!r}."
                )
        empirical = EmpiricalError(taken, bow=bow if error == "empirical" else True)
        finest = max(taken, key=lambda table: table.n_levels)
        errors = {
            "empirical": lambda: empirical,
            "gaussian": lambda: GaussianError.from_table(finest),
            "student_t": lambda: StudentTError.from_table(finest),
            "none": NoError,
        }
        statistics = DeviceStatistics(
            finest.r_low, finest.r_high, errors[error](), effects=effects, name=finest.device
        )
        mapping = WeightMapping(space=finest.space) if mapping is None else mapping
        if mapping.space != finest.space:
            raise ValueError(
                f"Argument `mapping` must have its levels in the space of the tables, "
                f"{finest.space!r}, but has them in {mapping.space!r}."
            )
        return cls(statistics, mapping, bits=bits, tile=tile)


def check_bits(bits: Any, device: DeviceStatistics) -> Any:
    """Raise unless a device can have this many bits; return the number(s) of levels."""
    n_levels = level_count(bits)
    largest = device.write_error.largest
    if largest is not None and not is_traced(n_levels) and np.max(n_levels) > largest:
        raise ValueError(
            f"Argument `bits` must be at most {int(np.log2(largest))}, because the largest level "
            f"table has {largest} levels, but is {int(np.max(np.asarray(bits)))}."
        )
    return n_levels
