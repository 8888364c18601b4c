"""Sweeps as parameter analysers write them: Keysight EasyEXPERT, Keithley 4200 and 2400."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runs import UsageError
from ...runs._errors import nearest
from ._mapping import read_mapping, unit_of_name
from ._measurements import Measurements
from ._read import from_table
from ._table import MISSING, Table, find_delimiter, read_lines, split_lines
from ._units import SI, parse_unit

if TYPE_CHECKING:
    import xarray

# SCPI-99, section 7.2.1: infinity is 9.9E37, not a number 9.91E37; instruments write both.
_MISSING = (*MISSING, "9.9e37", "-9.9e37", "9.91e37")
_MEANS = "not recorded, overflow or no number (9.9E37, 9.91E37), or after the end of its sweep"

_PATTERNS = {
    "voltage": r"(?i:.*volt.*)|.*[a-z\d_ ]V\d*|V(?!al)[A-Za-z]*\d*|v\d*",
    "current": r"(?i:.*curr.*)|.*[a-z\d_ ]I\d*|I(?!nd|mp|tem)[A-Za-z]*\d*|i\d*",
    "time": r"(?i:t|(?!date).*time.*)",
}


def read_keysight(
    path: str | os.PathLike[str],
    *,
    voltage: str | None = None,
    current: str | None = None,
    time: str | None = None,
    constants: AnyMapping[str, Any] | None = None,
) -> Measurements:
    """Read I-V sweeps that Keysight (Agilent) EasyEXPERT exported as CSV, as a B1500 writes them.

    Such a file holds one record or more: lines of settings (``SetupTitle``, ``TestParameter``,
    ``Dimension1``, ...), one line ``DataName`` with the names of the columns, and a line
    ``DataValue`` for each point. Which columns are meant is read from ``Channel.VName``,
    ``Channel.IName`` and ``Channel.Func`` (the channel of VAR1), else from the names themselves. A
    second sweep variable (``Dimension2``) makes several sweeps of one record. Values are in SI
    unless a name ends with a unit.

    Args:
        path: The file.
        voltage: Name of the column of the voltage across the device, where it is not plain.
        current: Name of the column of the current, likewise.
        time: Name of the column of time, likewise; a record without one has no `time`.
        constants: What else is known, such as ``{"temperature": "25 degC", "device": "A3"}``.

    Returns:
        One measurement of protocol ``iv_sweep`` a record.

    Raises:
        UsageError: If the file has no such records, a column is missing or cannot be told apart, or
            as `read_table`.
    """
    path = Path(path)
    parts = []
    settings: dict[str, list[str]] = {}
    table: tuple[int, list[str], list[list[str]], list[int]] | None = None

    def finish() -> None:
        if table is not None:
            parts.append(_keysight_record(path, table, settings, given, constants))

    given = {"voltage": voltage, "current": current, "time": time}
    for number, line in enumerate(read_lines(path), 1):
        cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True), [])]
        kind = cells[0] if cells else ""
        if kind == "DataValue" and table is not None:
            table[2].append(cells[1:])
            table[3].append(number)
        elif kind == "DataName":
            finish()
            table = (number, [cell for cell in cells[1:] if cell], [], [])
        elif kind:
            if table is not None and table[2]:
                finish()
                table, settings = None, {}
            key = cells[1] if kind in ("TestParameter", "MetaData", "AnalysisSetup") else kind
            settings[key] = cells[2:] if key != kind else cells[1:]
    finish()
    if not parts:
        raise UsageError(
            f"File {path} must be an export of EasyEXPERT with lines `DataName` and `DataValue`, "
            "but has none: read it by `read_table` with a mapping of its columns."
        )
    return Measurements(parts)


def _keysight_record(
    path: Path,
    record: tuple[int, list[str], list[list[str]], list[int]],
    settings: dict[str, list[str]],
    given: dict[str, str | None],
    constants: AnyMapping[str, Any] | None,
) -> xarray.Dataset:
    header, names, rows, lines = record
    if not rows:
        raise UsageError(
            f"File {path} must hold lines `DataValue` after line {header}, but has none."
        )
    swept: dict[str, str | None] = dict(
        zip(("voltage", "current"), _swept_channel(settings, names), strict=True)
    )
    table = Table(path, tuple(names), header, rows, np.array(lines))
    chosen = {
        kind: table.names[table.index(name, f"argument `{kind}`")] if name else swept.get(kind)
        for kind, name in given.items()
    }
    places = {
        kind: names.index(name) if name else _only(table, kind, names)
        for kind, name in chosen.items()
    }
    sweep = _sweep_numbers(table, settings)
    numbered = [
        [*(row + [""] * len(names))[: len(names)], str(n)]
        for row, n in zip(rows, sweep, strict=True)
    ]
    table = Table(path, (*names, "sweep"), header, numbered, np.array(lines))
    columns = {
        kind: {"column": place + 1, "unit": unit_of_name(names[place]) or SI[kind]}
        for kind, place in places.items()
        if place is not None
    }
    title = ", ".join(cell for cell in settings.get("SetupTitle", []) if cell)
    mapping = {
        "protocol": "iv_sweep",
        "columns": {**columns, "sweep": len(names) + 1},
        "constants": dict(constants or {}),
        "missing": list(_MISSING),
        "missing_means": _MEANS,
        **({"name": title} if title else {}),
    }
    dataset = from_table(table, read_mapping(mapping))
    when = settings.get("TestRecord.RecordTime")
    if when:
        dataset.attrs["recorded"] = ", ".join(when)
    return dataset


def _swept_channel(
    settings: dict[str, list[str]], names: list[str]
) -> tuple[str | None, str | None]:
    """Return the names of voltage and current of the channel that VAR1 sweeps, if listed."""
    channels = zip(
        settings.get("Channel.VName", []),
        settings.get("Channel.IName", []),
        settings.get("Channel.Func", []),
        strict=False,
    )
    for v, i, function in channels:
        if function == "VAR1":
            return (v if v in names else None), (i if i in names else None)
    return None, None


def _sweep_numbers(table: Table, settings: dict[str, list[str]]) -> np.ndarray:
    """Return which sweep each row belongs to, from Dimension1 (points) and Dimension2 (sweeps)."""

    def dimension(name: str) -> int:
        cells = [cell for cell in settings.get(name, []) if cell]
        return int(cells[0]) if cells and cells[0].isdecimal() else 1

    points, sweeps = dimension("Dimension1"), dimension("Dimension2")
    rows = len(table.rows)
    if sweeps <= 1:
        return np.ones(rows, int)
    if points * sweeps != rows:
        raise UsageError(
            f"File {table.where} must hold Dimension1 x Dimension2 = {points} x {sweeps} lines "
            f"`DataValue`, but has {rows}."
        )
    return np.repeat(np.arange(1, sweeps + 1), points)


def read_keithley(
    path: str | os.PathLike[str],
    *,
    voltage: str | None = None,
    current: str | None = None,
    time: str | None = None,
    constants: AnyMapping[str, Any] | None = None,
) -> Measurements:
    """Read I-V sweeps that a Keithley instrument exported as text with a row of names.

    Lines above the names are passed over. Names are those of a 4200 (``AnodeV``, ``AnodeI``,
    ``Time``; with a number in brackets, ``DrainI(2)``, each number is a sweep of its own), those of
    a 2400 (``Voltage``, ``Current``, ``Time``, perhaps with a unit in brackets), or ``Reading`` and
    ``Value``, each with a column ``Unit``, as the buffer of a 2450 has them. Values are in SI
    unless a name or a ``Unit`` says otherwise; 9.9E37 and 9.91E37 are missing values. A time of day
    is not read.

    Args:
        path: The file.
        voltage: Name of the column of the voltage across the device, where it is not plain.
        current: Name of the column of the current, likewise.
        time: Name of the column of time, likewise.
        constants: What else is known, such as ``{"temperature": "25 degC", "device": "A3"}``.

    Returns:
        One measurement of protocol ``iv_sweep``.

    Raises:
        UsageError: If no row of names is found, a column is missing or cannot be told apart, or as
            `read_table`.
    """
    path = Path(path)
    given = {"voltage": voltage, "current": current, "time": time}
    table = _keithley_table(path, given)
    bases = _numbered(table.names)
    chosen: dict[str, list[int]] = {}
    for kind, name in given.items():
        if name is not None:
            base = (
                name
                if name in bases
                else _base(table.names[table.index(name, f"argument `{kind}`")])
            )
            chosen[kind] = bases[base]
        else:
            found = _only(table, kind, list(bases))
            if found is not None:
                chosen[kind] = bases[list(bases)[found]]
    columns: dict[str, Any] = {}
    for kind, places in chosen.items():
        unit = unit_of_name(table.names[places[0]]) or SI[kind]
        numbers = [place + 1 for place in places]
        columns[kind] = (
            {"columns": numbers, "unit": unit}
            if len(numbers) > 1
            else {"column": numbers[0], "unit": unit}
        )
    mapping = {
        "protocol": "iv_sweep",
        "columns": columns,
        "constants": dict(constants or {}),
        "missing": list(_MISSING),
        "missing_means": _MEANS,
        "name": path.stem,
    }
    return Measurements([from_table(table, read_mapping(mapping))])


def _keithley_table(path: Path, given: dict[str, str | None]) -> Table:
    """Return the table below the first row of names that has a voltage and a current."""
    lines = read_lines(path)
    for number, line in enumerate(lines[:500], 1):
        if not line.strip():
            continue
        delimiter = find_delimiter([line])
        (names,) = split_lines([line], delimiter)
        names = [name.strip() for name in names]
        rest = [(n, text) for n, text in enumerate(lines[number:], number + 1) if text.strip()]
        cells = split_lines([text for _, text in rest[:1]], delimiter)
        names = _name_readings(names, cells[0] if cells else [])
        bases = _numbered(tuple(names))
        found = all(
            given[kind] in (*names, *bases) if given[kind] else any(_is(kind, n) for n in bases)
            for kind in ("voltage", "current")
        )
        if not found or not rest:
            continue
        rows = split_lines([text for _, text in rest], delimiter)
        return Table(path, tuple(names), number, rows, np.array([n for n, _ in rest]))
    wanted = " and ".join(given[kind] or f"a {kind}" for kind in ("voltage", "current"))
    raise UsageError(
        f"File {path} must have a row of names with {wanted}, but has none in its first 500 lines: "
        "give the arguments `voltage` and `current`, or read it by `read_table`."
    )


def _name_readings(names: list[str], cells: list[str]) -> list[str]:
    """Name ``Reading`` and ``Value`` by the ``Unit`` that follows each, "Amp DC" or "Volt DC"."""
    names = list(names)
    for own in ("Reading", "Value"):
        if own in names and "Unit" in names[names.index(own) :]:
            place = names.index(own)
            unit = names.index("Unit", place)
            word = cells[unit].strip().lower() if unit < len(cells) else ""
            kind = {"amp": "Current", "volt": "Voltage"}.get(word.split(" ")[0])
            if kind:
                names[place] = kind
    return names


def _base(name: str) -> str:
    """Return a name without the number of its sweep: ``DrainI(2)`` is ``DrainI``."""
    return re.sub(r"\s*\(\d+\)$", "", name)


def _numbered(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Return the places of each name, those that differ only by a number in brackets together."""
    bases: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        bases.setdefault(_base(name), []).append(place)
    return bases


def _is(kind: str, name: str) -> bool:
    """Return whether a column's name is one of a voltage, a current or a time."""
    unit = unit_of_name(name)
    if unit is not None:
        return parse_unit(unit).quantity == kind
    return re.fullmatch(_PATTERNS[kind], name) is not None


def _only(table: Table, kind: str, names: list[str]) -> int | None:
    """Return the place of the only name of a kind; None for a time that is not there.

    Raises:
        UsageError: If there is no voltage or current, or more than one.
    """
    found = [place for place, name in enumerate(names) if _is(kind, name)]
    if kind == "time":
        # A clock's "10:23:45" is no time of a sweep.
        cells = {i: table.rows[0][i] if i < len(table.rows[0]) else "" for i in found}
        found = [i for i in found if re.fullmatch(r"\s*[-+.\deE]+\s*", cells[i])]
        return found[0] if len(found) == 1 else None
    if len(found) == 1:
        return found[0]
    options = [names[place] for place in found] or names
    reason = "has several" if found else f"none is plainly a {kind}"
    raise UsageError(
        f"Argument `{kind}` must name the column of the {kind} in {table.where}, one of "
        f"{', '.join(map(repr, options[:12]))}, because {'it ' if found else ''}{reason}"
        f"{nearest(kind, options) if not found else ''}."
    )
