"""How a configuration file spells data: images to train on, measurements of devices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._checks import check_choice
from ..runs import UsageError
from ._dataset import Dataset
from ._load import load
from .measurements import Measurements, load_measured, read_folder


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


@dataclass
class MeasurementsConfig:
    """Measured devices: a folder of tables, or a published set by its name."""

    folder: str | None = None
    """Tables, each with a mapping of the same name; see `analogjax.data.read_folder`."""
    published: str | None = None
    """Or one of `analogjax.data.MEASURED_SETS`."""
    parts: list[str] | None = None
    """Which of the measurements, by name; null for all."""
    assume: dict[str, Any] = field(default_factory=dict)
    """What the source does not give, as in `Measurements.assume`."""

    def load(self) -> Measurements:
        """Return the measurements.

        Raises:
            UsageError: Neither a folder nor a set is named, or both; as `read_folder` and
                `load_measured`.
            ValueError: There is no such part; as `Measurements.assume`.
        """
        if (self.folder is None) == (self.published is None):
            raise UsageError(
                "Argument `measurements` must name either a `folder` or a `published` set, but "
                f"names {'neither' if self.folder is None else 'both'}."
            )
        if self.published is not None:
            found = load_measured(self.published, parts=self.parts)
        else:
            found = read_folder(str(self.folder))
            if self.parts is not None:
                names = [check_choice("parts", part, found.names) for part in self.parts]
                found = Measurements(found[name] for name in names)
        return found.assume(**self.assume) if self.assume else found
