"""Units of what is measured: symbols, SI prefixes, and which quantity each belongs to.

A table of our own: eight quantities and the prefixes from femto to tera are all that a lab writes
beside a column, and every answer to a wrong one names the nearest right one.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, NamedTuple

import numpy as np

SI = {
    "voltage": "V",
    "current": "A",
    "resistance": "ohm",
    "conductance": "S",
    "time": "s",
    "temperature": "K",
    "frequency": "Hz",
    "voltage ramp": "V/s",
    "number": "1",
}
"""Unit in which each quantity is held."""

_PREFIXES = {
    "": 0, "f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12,
}  # fmt: skip
_WITH_PREFIX = {
    "V": "voltage",
    "A": "current",
    "ohm": "resistance",
    "S": "conductance",
    "s": "time",
    "K": "temperature",
    "Hz": "frequency",
    "V/s": "voltage ramp",
}
# Other spellings, replaced before anything is looked up: both micro signs, both omegas, degrees.
_SPELLINGS = {
    "\u00b5": "u", "\u03bc": "u", "\u03a9": "ohm", "\u2126": "ohm", "Ohms": "ohm", "ohms": "ohm",
    "Ohm": "ohm", "OHM": "ohm", "\u00b0": "deg", "\u00ba": "deg", "\u2103": "degC",
    "\u2109": "degF", "sec": "s", "mho": "S",
}  # fmt: skip


class Unit(NamedTuple):
    """A unit and how it becomes SI: ``x * scale * 10^power + offset``.

    Attributes:
        symbol: As in `units`, for example ``uA``.
        quantity: One of `SI`.
        power: Power of ten of the prefix, apart so that decimal numbers stay correctly rounded.
        scale: What is left of the factor (60 for minutes).
        offset: Added at the end (273.15 for degrees Celsius).
    """

    symbol: str
    quantity: str
    power: int = 0
    scale: float = 1.0
    offset: float = 0.0

    def to_si(self, values: Any) -> Any:
        """Return numbers given in this unit in SI."""
        values = np.asarray(values, np.float64)
        # Dividing by a power of ten is exact to the last digit, multiplying by its inverse is not.
        values = values * 10.0**self.power if self.power >= 0 else values / 10.0**-self.power
        return values * self.scale + self.offset if self.offset or self.scale != 1 else values

    def from_si(self, values: Any) -> Any:
        """Return numbers given in SI in this unit, for axes and tables."""
        values = np.asarray(values, np.float64)
        if self.offset or self.scale != 1:
            values = (values - self.offset) / self.scale
        return values / 10.0**self.power if self.power >= 0 else values * 10.0**-self.power


def _all_units() -> dict[str, Unit]:
    units = {
        prefix + symbol: Unit(prefix + symbol, quantity, power)
        for symbol, quantity in _WITH_PREFIX.items()
        for prefix, power in _PREFIXES.items()
    }
    for unit in (
        Unit("min", "time", scale=60.0),
        Unit("h", "time", scale=3600.0),
        Unit("d", "time", scale=86400.0),
        Unit("degC", "temperature", offset=273.15),
        Unit("degF", "temperature", scale=5 / 9, offset=273.15 - 32 * 5 / 9),
        Unit("1", "number"),
        Unit("%", "number", power=-2),
    ):
        units[unit.symbol] = unit
    return units


_UNITS = _all_units()


def units(quantity: str | None = None) -> tuple[str, ...]:
    """Return the symbols of all units, or of those of one quantity."""
    return tuple(u.symbol for u in _UNITS.values() if quantity in (None, u.quantity))


def parse_unit(text: str, quantity: str | None = None) -> Unit:
    """Return the unit that a text names.

    Args:
        text: A symbol with or without SI prefix: ``uA``, ``kohm``, ``kΩ``, ``us``, ``mV``,
            ``degC``, ``V/s``; ``1`` or nothing for a bare number. Upper and lower case differ.
        quantity: What it must be a unit of; None for anything.

    Returns:
        The unit.

    Raises:
        ValueError: If there is no such unit, or it is one of another quantity. The message begins
            with "must be" so that the caller can say whose unit it is.
    """
    symbol = text.strip()
    for spelling, ours in _SPELLINGS.items():
        symbol = symbol.replace(spelling, ours) if len(spelling) == 1 else symbol
    for spelling, ours in _SPELLINGS.items():
        symbol = re.sub(f"{spelling}$", ours, symbol) if len(spelling) > 1 else symbol
    symbol = symbol or "1"
    unit = _UNITS.get(symbol)
    if unit is not None and quantity in (None, unit.quantity):
        return unit
    must = f"a unit of {quantity}" if quantity else "a unit"
    if unit is not None:
        raise ValueError(
            f"must be {must}, but {text.strip()!r} is one of {unit.quantity}"
            f"{_near(symbol, quantity)}"
        )
    raise ValueError(f"must be {must}, but is {text.strip()!r}{_near(symbol, quantity)}")


def _near(symbol: str, quantity: str | None) -> str:
    """Return a hint: the same letters in another case, else the nearest symbol."""
    options = units(quantity)
    same = [option for option in options if option.lower() == symbol.lower()]
    near = same or difflib.get_close_matches(symbol, options, n=1, cutoff=0.5)
    if near:
        return f" (did you mean `{near[0]}`?)"
    return f" (such as `{SI[quantity]}`)" if quantity else ""


_VALUE = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")


def parse_quantity(text: Any, quantity: str) -> float:
    """Return a value with its unit, such as ``"100 mV"`` or ``"25 degC"``, in SI.

    Args:
        text: Number and unit; a bare number only where the quantity is a number.
        quantity: What it must be a value of.

    Raises:
        ValueError: If it is none; the message begins with "must be".
    """
    match = _VALUE.fullmatch(str(text))
    # The whole of "1e-3" is a number, and so is a number of YAML.
    if match is None or isinstance(text, bool):
        raise ValueError(f"must be a number and a unit of {quantity}, but is {text!r}")
    number, symbol = match.groups()
    if not symbol and quantity != "number":
        raise ValueError(
            f"must be a number and a unit of {quantity} (such as `{SI[quantity]}`), but is {text!r}"
        )
    return float(parse_unit(symbol, quantity).to_si(float(number)))
