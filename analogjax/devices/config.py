"""How a configuration file spells a device; the border between YAML and physics."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from .._checks import check_choice
from ._base import AbstractDevice
from ._compact import AbstractCompactDevice
from .cycle import CycleToCycle
from .tio2 import FourTerminalTiO2
from .variability import Spread


@dataclass
class FilmConfig:
    """A four-terminal film: grid, preset, and parameters that differ from the preset's."""

    cells: int = 48
    preset: str = "isothermal"
    parameters: dict[str, float] = field(default_factory=dict)

    def build(self) -> FourTerminalTiO2:
        """Return the device."""
        return FourTerminalTiO2(self.cells, preset=self.preset).replace(**self.parameters)


@dataclass
class CycleConfig:
    """What differs from one half cycle to the next; see `CycleToCycle`."""

    relative: dict[str, float] = field(default_factory=dict)
    """Standard deviation of the logarithm, by parameter."""
    absolute: dict[str, float] = field(default_factory=dict)
    """Standard deviation in the parameter's unit, by parameter."""
    bounds: dict[str, list[float]] = field(default_factory=dict)
    """Lowest and highest, by parameter."""
    follow: list[str] = field(default_factory=list)
    """Parameters that move with the state; the others jump."""

    def wrap(self, device: AbstractDevice) -> AbstractDevice:
        """Return the device with this spread, or as it is if there is none.

        Raises:
            ValueError: A spread of a device with more than one state number, or a wrong one.
        """
        if not (self.relative or self.absolute):
            return device
        if not isinstance(device, AbstractCompactDevice):
            raise ValueError(
                "Argument `cycle` must be empty but for devices of one state number, but the "
                f"device is {type(device).__name__}."
            )
        for name, pair in self.bounds.items():
            if len(pair) != 2:
                raise ValueError(
                    f"Argument `bounds.{name}` must have 2 values, but has {len(pair)}."
                )
        bounds = {name: (low, high) for name, (low, high) in self.bounds.items()}
        spread = Spread(self.relative, self.absolute, bounds)
        return CycleToCycle(device, spread, follow=tuple(self.follow))

    def __str__(self) -> str:
        """Return the parameters that differ, as a phrase."""
        return " and ".join([*self.relative, *self.absolute])


@dataclass
class DeviceConfig:
    """Any device of `analogjax.devices`, by the name of its class."""

    kind: str = "FourTerminalTiO2"
    """Name of the class."""
    preset: str | None = None
    """Its named set of parameters; null for the default one."""
    cells: int | None = None
    """Cells along a side, of a device with a grid; null for its default."""
    options: dict[str, Any] = field(default_factory=dict)
    """Choices of the class that are not numbers, such as the window of an ion-drift model."""
    parameters: dict[str, float] = field(default_factory=dict)
    """Parameters that differ from the preset's."""
    cycle: CycleConfig = field(default_factory=CycleConfig)
    """Parameters that are drawn anew in every half cycle, if any."""

    def build(self) -> AbstractDevice:
        """Return the device.

        Raises:
            ValueError: There is no such device, preset, option or parameter (the nearest is named).
        """
        kind = check_kind(self.kind)
        taken = _choices(kind)
        chosen = {}
        for name in ("preset", "cells"):
            value = getattr(self, name)
            if value is None:
                continue
            if name not in taken:
                raise ValueError(
                    f"Argument `{name}` must be null for {self.kind}, which has none, "
                    f"but is {value!r}."
                )
            chosen[name] = value
        options = taken - {"preset", "cells"}
        if self.options and not options:
            raise ValueError(
                f"Argument `options` must be empty for {self.kind}, which has none, "
                f"but names {next(iter(self.options))}."
            )
        for name, value in self.options.items():
            chosen[check_choice("options", name, sorted(options))] = value
        return self.cycle.wrap(kind(**chosen).replace(**self.parameters))

    @property
    def label(self) -> str:
        """The device in a word or two, for legends."""
        return self.kind if self.preset is None else f"{self.kind} {self.preset}"

    def describe(self) -> str:
        """Return the device as a phrase, for texts."""
        parts = [self.kind]
        if self.preset is not None:
            parts.append(f"preset {self.preset}")
        if self.cells is not None:
            parts.append(f"{self.cells} x {self.cells} cells")
        parts += [f"{k} = {v}" for k, v in self.options.items()]
        parts += [f"{k} = {v:g}" for k, v in self.parameters.items()]
        if varying := str(self.cycle):
            parts.append(f"{varying} anew in every half cycle")
        return ", ".join(parts)


def device_kinds() -> dict[str, type[AbstractDevice]]:
    """Return the classes of `analogjax.devices` that a configuration may name."""
    from analogjax import devices  # complete only after this module

    found = (getattr(devices, name) for name in sorted(dir(devices)))
    return {
        kind.__name__: kind
        for kind in found
        if isinstance(kind, type)
        and issubclass(kind, AbstractDevice)
        and not inspect.isabstract(kind)
        # A wrapper takes a device, which a configuration cannot name yet.
        and not _required(kind)
    }


def _required(kind: type[AbstractDevice]) -> list[str]:
    """Names of what the constructor of a device cannot do without."""
    arguments = list(inspect.signature(kind.__init__).parameters.values())[1:]
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [a.name for a in arguments if a.default is a.empty and a.kind not in free]


def check_kind(kind: str) -> type[AbstractDevice]:
    """Return the class of this name.

    Raises:
        ValueError: There is none (the nearest is named).
    """
    kinds = device_kinds()
    return kinds[check_choice("kind", kind, kinds)]


def _choices(kind: type[AbstractDevice]) -> set[str]:
    """Names of what the constructor of a device takes besides numeric parameters."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    arguments = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return {a.name for a in arguments if a.kind in named} - set(kind.PARAMETERS)
