"""How a configuration file spells arrays; the border between YAML and circuits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._checks import check_not_negative, check_whole
from .amplifier import Transimpedance
from .cells import Sinh
from .converters import Adc, Dac, SarInl
from .current import CurrentDomain, Wires
from .nonidealities import (
    AbstractCellEffect,
    AbstractReadNoise,
    AccessResistance,
    FlickerNoise,
    LogNormalVariation,
    StuckCells,
    ThermalNoise,
)
from .tiles import Tile


@dataclass
class HardwareConfig:
    """The arrays that hold the devices of an experiment, and what else becomes of the devices.

    Numbers 0 and null leave a part out.
    """

    rows: int | None = None
    """Word lines of an array; null for one array of any size with exact inputs and outputs."""
    columns: int = 512
    v_read: float = 0.2
    """Voltage of a fully driven line [V]."""
    dac_bits: int | None = None
    dac_inl: float = 0.0
    """Mismatch of the unit capacitors of a DAC, relative."""
    dac_gain_std: float = 0.0
    adc_bits: int | None = None
    adc_inl: float = 0.0
    adc_offset_std: float = 0.0
    """In full scales."""
    output_range: float | None = None
    """Current at which an ADC ends, in those of a cell; null for all rows at full scale."""
    output_noise: float = 0.0
    """In currents of a cell."""
    r_word_line: float = 0.0
    """Of a segment [ohm]."""
    r_bit_line: float = 0.0
    r_source: float = 0.0
    r_sense: float = 0.0
    sinh_voltage: float | None = None
    """Voltage scale of the cells' current [V]; null for ohmic cells."""
    feedback: float | None = None
    """Feedback resistance of the amplifiers [ohm]; null for perfect ones."""
    amplifier_gain: float = 1e3
    amplifier_offset_std: float = 0.0
    """[V]."""
    thermal_noise: bool = False
    flicker: float = 0.0
    """1/f noise: variance of a cell's current per e-fold of frequency, relative to its square."""
    variation: float = 0.0
    """Standard deviation of ln G between cells."""
    stuck_on: float = 0.0
    """Share of cells."""
    stuck_off: float = 0.0
    access: float = 0.0
    """Resistance in series with each cell [ohm]."""

    def __post_init__(self) -> None:
        """Check what the parts do not."""
        if self.rows is not None:
            check_whole("rows", self.rows)
        for name in ("r_word_line", "r_bit_line", "r_source", "r_sense", "variation", "access"):
            check_not_negative(name, getattr(self, name))
        given = [name for name in _CIRCUIT if getattr(self, name)]
        if self.rows is None and given:
            raise ValueError(f"Argument `rows` must be given with `{given[0]}`, but is null.")

    def tile(self) -> Tile | None:
        """Return the arrays; None for exact inputs and outputs."""
        if self.rows is None:
            return None
        resistances = (self.r_word_line, self.r_bit_line, self.r_source, self.r_sense)
        wires = Wires(*resistances) if any(resistances) else None
        dac, adc, amplifier = None, None, None
        if self.dac_bits is not None:
            inl = SarInl(self.dac_inl) if self.dac_inl else None
            dac = Dac(self.dac_bits, inl=inl, gain_std=self.dac_gain_std)
        if self.adc_bits is not None:
            inl = SarInl(self.adc_inl) if self.adc_inl else None
            adc = Adc(self.adc_bits, inl=inl, offset_std=self.adc_offset_std)
        if self.feedback is not None:
            amplifier = Transimpedance(
                self.feedback, gain=self.amplifier_gain, offset_std=self.amplifier_offset_std
            )
        noise: list[AbstractReadNoise] = [ThermalNoise()] if self.thermal_noise else []
        if self.flicker:
            # An e-fold: the variance is `flicker` times the square of a cell's current.
            noise.append(FlickerNoise(self.flicker, f_low=1.0, f_high=math.e))
        domain = CurrentDomain(
            v_read=self.v_read,
            dac=dac,
            wires=wires,
            cell=None if self.sinh_voltage is None else Sinh(self.sinh_voltage),
            noise=tuple(noise),
            output_noise=self.output_noise,
            amplifier=amplifier,
            adc=adc,
            output_range=self.output_range,
        )
        return Tile(domain, self.rows, self.columns)

    def effects(self) -> tuple[AbstractCellEffect, ...]:
        """Return what else becomes of written conductances."""
        made: list[AbstractCellEffect] = []
        if self.variation:
            made.append(LogNormalVariation(self.variation))
        if self.stuck_on or self.stuck_off:
            made.append(StuckCells(self.stuck_on, self.stuck_off))
        if self.access:
            made.append(AccessResistance(self.access))
        return tuple(made)

    def describe(self) -> str:
        """Return one sentence on the arrays."""
        if self.rows is None and not self.effects():
            return "Inputs and outputs of the arrays are exact, and wires have no resistance."
        default = HardwareConfig(rows=self.rows)
        changed = [
            f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
            for name, value in vars(self).items()
            if value != getattr(default, name) and name != "columns"
        ]
        size = "any size" if self.rows is None else f"at most {self.rows} x {self.columns} cells"
        return f"Arrays of {size}: {', '.join(changed) or 'otherwise perfect'}."


_CIRCUIT = (
    "dac_bits",
    "adc_bits",
    "output_noise",
    "r_word_line",
    "r_bit_line",
    "r_source",
    "r_sense",
    "sinh_voltage",
    "feedback",
    "thermal_noise",
    "flicker",
)
