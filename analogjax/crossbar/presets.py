"""Hardware by name: devices, mapping and arrays that belong together."""

from __future__ import annotations

from typing import Any

from .._checks import check_choice
from ..devices import PCM, AbstractProgrammedDevice, StatisticalDevice
from .converters import Adc, Dac
from .current import CurrentDomain
from .hardware import DeviceStatistics, Hardware
from .mapping import PAIRS_PER_CHANNEL, WeightMapping
from .nonidealities import ProgrammedCells
from .tiles import Tile
from .write_error import GaussianError


def standard_tile(**options: Any) -> Tile:
    """Return the arrays that hardware-aware training is compared on.

    512 rows, 8-bit converters (255 codes, zero among them), a noise of 0.04 and a range of 10 at
    the outputs, in units of a fully driven cell at full scale: the values of aihwkit's standard
    preset for hardware-aware training, without its wires and its noise of weights.

    Args:
        **options: Of `CurrentDomain`, instead of these or beside them.
    """
    values = {"dac": Dac(8), "adc": Adc(8), "output_noise": 0.04, "output_range": 10.0}
    return Tile(CurrentDomain(**(values | options)), rows=512, columns=512)


def programmed_hardware(device: AbstractProgrammedDevice, *, tile: Tile | None = None) -> Hardware:
    """Return hardware of devices known by the states that programming leaves them in.

    Pairs of devices without levels, a full scale per output channel.

    Args:
        device: The device: its window, write error, drift and noise of reads.
        tile: The arrays; None for those of `standard_tile`.
    """
    r_high, r_low = device.window
    statistics = DeviceStatistics(
        r_low, r_high, effects=(ProgrammedCells(device),), name=type(device).__name__
    )
    return Hardware(
        statistics, PAIRS_PER_CHANNEL, bits=None, tile=standard_tile() if tile is None else tile
    )


def _hwa(tile: Tile | None) -> Hardware:
    # With ideal devices the window cancels out; that of the PCM above stands in.
    device = DeviceStatistics(4e4, 4e7, name="ideal")
    return Hardware(
        device, PAIRS_PER_CHANNEL, bits=None, tile=standard_tile() if tile is None else tile
    )


def _tio2(tile: Tile | None) -> Hardware:
    device = DeviceStatistics(1e5, 1.19e5, GaussianError(4.95e-3, space="R"), name="TiO2-x array")
    mapping = WeightMapping("differential", "channel", "least_squares", space="R")
    return Hardware(device, mapping, bits=9, tile=standard_tile() if tile is None else tile)


_PRESETS = {
    "hwa": _hwa,
    "pcm": lambda tile: programmed_hardware(PCM(), tile=tile),
    "hfox": lambda tile: programmed_hardware(StatisticalDevice("cmo_hfox_coarse"), tile=tile),
    "tio2": _tio2,
}

PRESETS = tuple(_PRESETS)
"""Names that `preset_hardware` knows."""


def preset_hardware(name: str, *, tile: Tile | None = None) -> Hardware:
    """Return hardware by name.

    * ``"hwa"``: perfect devices on the arrays of `standard_tile`;
    * ``"pcm"``: `analogjax.devices.PCM` (write error, drift, noise of reads; its sources);
    * ``"hfox"``: `analogjax.devices.StatisticalDevice` of its preset ``cmo_hfox_coarse``, HfOx RRAM
      programmed to within 2 % (its sources);
    * ``"tio2"``: a planar TiO2-x device: 512 levels in a window of ratio 1.19 as published, and
      Gaussian write errors as large as its published nonlinearity index, 4.95e-3 of the window
      (taken for a standard deviation: illustrative); its resistances (100 kohm and more) are
      assumed. For errors of the device's own model see `Hardware.from_tables`.

    Args:
        name: One of `PRESETS`.
        tile: Other arrays than those of `standard_tile`.

    Raises:
        ValueError: An unknown name.
    """
    check_choice("name", name, PRESETS)
    return _PRESETS[name](tile)
