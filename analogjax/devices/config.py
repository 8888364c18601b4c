"""How a configuration file spells a device; the border between YAML and physics."""

from __future__ import annotations

from dataclasses import dataclass, field

from .tio2 import FourTerminalTiO2


@dataclass
class FilmConfig:
    """A four-terminal film: grid, preset, and parameters that differ from the preset's."""

    cells: int = 48
    preset: str = "isothermal"
    parameters: dict[str, float] = field(default_factory=dict)

    def build(self) -> FourTerminalTiO2:
        """Return the device."""
        return FourTerminalTiO2(self.cells, preset=self.preset).replace(**self.parameters)
