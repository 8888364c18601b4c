"""How a configuration file spells a fit; the border between YAML and fitting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import PRNGKeyArray

from .._checks import check_choice, check_whole
from ..devices import AbstractDevice
from .adam import Adam
from .fit import METHODS, fit
from .levenberg import LevenbergMarquardt
from .residuals import Prior
from .result import FitResult


@dataclass
class FittingConfig:
    """Which parameters are free, and how they are found; see `fit`."""

    free: list[str] = field(default_factory=list)
    """Names of the parameters to fit."""
    bounds: dict[str, list[float]] = field(default_factory=dict)
    """Narrower bounds than the device's own: lowest and highest, by name."""
    priors: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: `mean`, `std` and perhaps `log` of a `Prior`."""
    method: str = "levenberg_marquardt"
    """Or `adam`."""
    starts: int = 1
    """Starts side by side."""
    spread: float = 1.0
    """Standard deviation of the starts in unbounded numbers."""
    loss: str = "squares"
    """Or `huber`, `soft_l1`."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        check_choice("method", self.method, METHODS)
        check_whole("starts", self.starts)
        for name, pair in self.bounds.items():
            if len(pair) != 2:
                raise ValueError(
                    f"Argument `bounds.{name}` must have 2 values, but has {len(pair)}."
                )

    def build(self) -> LevenbergMarquardt | Adam:
        """Return the method."""
        polish = LevenbergMarquardt(self.starts, spread=self.spread)
        return polish if self.method == "levenberg_marquardt" else Adam(polish=polish)

    def run(self, device: AbstractDevice, measurements: Any, *, key: PRNGKeyArray) -> FitResult:
        """Fit a device to measurements.

        Raises:
            ValueError: As `fit`.
            FitError: As `fit`.
        """
        return fit(
            device,
            measurements,
            tuple(self.free),
            method=self.build(),
            bounds={name: (low, high) for name, (low, high) in self.bounds.items()},
            priors={name: Prior(**values) for name, values in self.priors.items()},
            loss=self.loss,
            key=key,
        )
