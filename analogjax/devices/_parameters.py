"""A physical parameter: default, unit, what it may be, and where its value comes from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import equinox as eqx

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


_KEY = "parameter"


def parameter(
    default: float,
    unit: str,
    meaning: str,
    source: str,
    *,
    low: float = 0.0,
    high: float = float("inf"),
    zero: bool = False,
) -> Any:
    """Declare a field of a device as a parameter; see `Parameter` for the arguments.

    ``r_on: Scalar = parameter(50.0, "ohm", "resistance when fully on", "assumed")`` gives the class
    an entry ``PARAMETERS["r_on"]``.
    """
    declared = Parameter(default, unit, meaning, source, low, high, zero)
    return eqx.field(metadata={_KEY: declared})


def declared_parameters(kind: type) -> dict[str, Parameter]:
    """Return the parameters that the body of a class declares by `parameter`."""
    return {
        name: value.metadata[_KEY]
        for name, value in vars(kind).items()
        if isinstance(value, dataclasses.Field) and _KEY in value.metadata
    }
