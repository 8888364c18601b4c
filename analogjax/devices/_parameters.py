"""A physical parameter: default, unit, what it may be, and where its value comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._checks import check_between, check_not_negative, check_positive


@dataclass(frozen=True)
class Parameter:
    """One parameter of a device."""

    default: float
    unit: str
    meaning: str
    source: str
    """DOI and table, or *assumed* / *illustrative* where no measurement of the device exists."""
    low: float = 0.0
    high: float = float("inf")
    zero: bool = False
    """Whether the lower bound itself is allowed."""

    def check(self, name: str, value: Any) -> None:
        """Raise unless a concrete value is within the bounds."""
        if self.high < float("inf") or self.low != 0.0:
            check_between(name, value, self.low, self.high, self.unit)
        elif self.zero:
            check_not_negative(name, value, self.unit)
        else:
            check_positive(name, value, self.unit)
