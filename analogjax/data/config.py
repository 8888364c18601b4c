"""How a configuration file spells a data set."""

from __future__ import annotations

from dataclasses import dataclass

from ._dataset import Dataset
from ._load import load


@dataclass
class DataConfig:
    """A data set by its name; see `analogjax.data.load`."""

    name: str = "digits"
    image_size: int | None = None
    validation: float = 0.1
    seed: int = 0

    def load(self) -> Dataset:
        """Return the data set."""
        return load(
            self.name, image_size=self.image_size, validation=self.validation, seed=self.seed
        )
