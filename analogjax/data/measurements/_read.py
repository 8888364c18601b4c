"""`read_table`: a text table and its mapping become a labelled measurement."""

from __future__ import annotations

import os
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runs import UsageError
from ._mapping import Column, Mapping, read_mapping
from ._measurements import with_sweep_rate
from ._protocols import breaks, measurement, out_of_order
from ._table import Table, read_cells

if TYPE_CHECKING:
    import xarray


def read_table(
    path: str | os.PathLike[str], mapping: str | os.PathLike[str] | AnyMapping[str, Any]
) -> xarray.Dataset:
    """Read a text table of measured values.

    CSV, TSV or whitespace, packed with gzip or not, with or without a row of names. In a *long*
    table a row is one reading, and columns such as ``device`` or ``cycle`` tell the sweeps, trains
    or devices apart; in a *wide* one each of several columns (``columns: "ramp*"``) is one of them.
    Conductance may be given as a resistance, or as a current beside a ``read_voltage``.

    Args:
        path: The table.
        mapping: What its columns are: a YAML file or a dictionary (`read_mapping`).

    Returns:
        The measurement in SI, checked (`check_measurement`), its attribute ``file`` the name of the
        file.

    Raises:
        UsageError: If a column is missing, a cell is no number, a unit is impossible or time does
            not increase; the sentence names file and line.
    """
    plan = read_mapping(mapping)
    return from_table(read_cells(Path(path), **plan.file), plan)


def from_table(table: Table, plan: Mapping) -> xarray.Dataset:
    """Turn a table into a measurement; see `read_table`."""
    spec = plan.protocol
    # Every column and unit first: nothing is computed before all are known to be right.
    places = {name: column.places(table) for name, column in plan.columns.items()}
    for name, column in plan.columns.items():
        for place in places[name]:
            column.unit_in(table, place)
    read = {name: _read(table, plan.columns[name], places[name]) for name in places}
    for name, column in plan.columns.items():
        read[name] = _convert(table, plan, column, read)
        _check_sign(table, plan, column, read[name])
    wide = [column for column in plan.columns.values() if column.wide]
    attrs: dict[str, Any] = {**plan.attrs, "file": table.path.name}
    means = plan.missing_means or "not recorded, or after the last value of its row"
    if wide:
        arrays: dict[str, Any] = _from_wide(table, plan, wide, places, read)
    elif len(spec.dims) == 1:
        arrays = {name: values[:, 0] for name, values in read.items()}
    else:
        arrays = _from_long(table, plan, read)
    arrays.update(plan.constants)
    if spec.name == "pulse_train":
        arrays.setdefault("amplitude", np.nan)
        arrays.setdefault("width", np.nan)
    try:
        dataset = measurement(spec.name, attrs=attrs, missing_means=means, **arrays)
        return dataset if plan.sweep_rate is None else with_sweep_rate(dataset, plan.sweep_rate)
    except ValueError as error:
        raise UsageError(f"File {table.path}: {error}") from error


def _read(table: Table, column: Column, places: list[int]) -> np.ndarray:
    """Return (rows, columns) in SI, or labels as they are."""
    if column.kind == "label":
        text = table.text(places[0])
        whole = all(cell.lstrip("-").isdecimal() for cell in text)
        return np.array([int(cell) for cell in text] if whole else text)[:, None]
    parts = []
    for place in places:
        values = column.unit_in(table, place).to_si(table.numbers(place, column.missing))
        parts.append(values * column.factor if column.factor != 1 else values)
    return np.stack(parts, axis=1)


def _convert(table: Table, plan: Mapping, column: Column, read: dict[str, Any]) -> np.ndarray:
    """Return a column as the quantity of its variable."""
    values = read[column.variable]
    variable = plan.protocol.variables.get(column.variable)
    if variable is None or variable.quantity in (column.kind, "label"):
        return values
    if column.kind == "current":
        volts = read.get("read_voltage", plan.constants.get("read_voltage"))
        top, bottom = (values, volts) if variable.quantity == "conductance" else (volts, values)
    else:
        top, bottom = 1.0, values
    top, bottom = np.broadcast_arrays(np.asarray(top, float), np.asarray(bottom, float))
    if (bottom == 0).any():
        row = int(np.argwhere(bottom == 0)[0][0])
        raise UsageError(
            f"File {table.path} must hold `{column.key}` that becomes a {variable.quantity}, but "
            f"line {table.lines[row]} would divide by 0."
        )
    return top / bottom


def _check_sign(table: Table, plan: Mapping, column: Column, values: np.ndarray) -> None:
    variable = plan.protocol.variables.get(column.variable)
    if variable is None or values.dtype.kind not in "iuf":
        return
    bad = breaks(values, variable.rule)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise UsageError(
            f"File {table.path} must hold `{column.key}` that is {variable.rule}, but line "
            f"{table.lines[row]} has {values[row][bad[row]][0]:g} {variable.units}."
        )
    if variable.whole and (np.isnan(values) | (values != np.rint(values))).any():
        row = int(np.argwhere(np.isnan(values) | (values != np.rint(values)))[0][0])
        raise UsageError(
            f"File {table.path} must hold whole numbers as `{column.key}`, but line "
            f"{table.lines[row]} has {values[row, 0]:g}."
        )


def _from_wide(
    table: Table,
    plan: Mapping,
    wide: list[Column],
    places: dict[str, list[int]],
    read: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Return arrays whose outer axis are the columns, and whose inner axis are the rows."""
    spec = plan.protocol
    count = len(places[wide[0].variable])
    for column in wide:
        if len(places[column.variable]) != count:
            raise UsageError(
                f"Key {column.where} must have as many columns as `{wide[0].key}` in "
                f"{table.where}, {count}, but has {len(places[column.variable])}."
            )
    arrays: dict[str, Any] = {}
    for name, column in plan.columns.items():
        dims = spec.variables[name].dims if name in spec.variables else spec.dims[:1]
        if dims == spec.dims[:1]:
            raise UsageError(
                f"Key {column.where} must be left out, or be a constant, in a wide table, where "
                f"each column is one {spec.dims[0]}."
            )
        values = read[name]
        if name == spec.order:
            _check_increase(table, column, values, [np.arange(len(values))])
        arrays[name] = values.T if len(dims) == 2 else values[:, 0]
    names = [table.name(place).strip("`") for place in places[wide[0].variable]]
    arrays["label"] = np.array(names)
    if wide[0].each == "device":
        arrays["device"] = arrays["label"]
    elif wide[0].each == "cycle":
        arrays["cycle"] = np.arange(1, count + 1)
    return arrays


def _from_long(table: Table, plan: Mapping, read: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return arrays of two axes from a table of one reading a row."""
    spec = plan.protocol
    outer = spec.dims[0]
    keys = [
        name
        for name in (outer, "device", "cycle", *(("level",) if spec.name == "read_noise" else ()))
        if name in read and (name not in spec.variables or spec.variables[name].dims == (outer,))
    ]
    group, count, first = _groups([read[key][:, 0] for key in keys], len(table.rows))
    order = np.argsort(group, kind="stable")  # rows of a group in the order of the file
    starts = np.searchsorted(group[order], np.arange(count))
    if spec.order in read:
        _check_increase(
            table, plan.columns[spec.order], read[spec.order], np.split(order, starts[1:])
        )
    if spec.pivot in read:
        values, place = np.unique(read[spec.pivot][:, 0], return_inverse=True)
        _check_pivot(table, plan, group, place, len(values), count)
        size = len(values)
    else:
        place = np.empty(len(group), int)
        place[order] = np.arange(len(group)) - starts[group[order]]
        values, size = None, int(place.max()) + 1
    arrays: dict[str, Any] = {}
    for name, column in read.items():
        if name not in spec.variables:
            continue
        dims = spec.variables[name].dims
        if name == spec.pivot:
            arrays[name] = values
        elif dims == (outer,):
            _check_same(table, plan, name, column[:, 0], group, first)
            arrays[name] = column[first, 0]
        else:
            array = np.full((count, size), np.nan)
            array[group, place] = column[:, 0]
            arrays[name] = array
    return arrays


def _groups(keys: list[np.ndarray], rows: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Return the group of each row, how many there are, and the first row of each, in order."""
    group = np.zeros(rows, int)
    for key in keys:
        _, inverse = np.unique(key, return_inverse=True)
        _, group = np.unique(group * (int(inverse.max()) + 1) + inverse, return_inverse=True)
    _, first = np.unique(group, return_index=True)
    rank = np.empty(len(first), int)
    rank[np.argsort(first)] = np.arange(len(first))  # in the order in which they appear
    return rank[group], len(first), np.sort(first)


def _check_increase(
    table: Table, column: Column, values: np.ndarray, groups: list[np.ndarray]
) -> None:
    """Raise unless a column increases within each group of rows."""
    longest = max(len(rows) for rows in groups)
    for one in range(values.shape[1]):
        padded = np.full((len(groups), longest), np.nan)
        for i, rows in enumerate(groups):
            padded[i, : len(rows)] = values[rows, one]
        bad = out_of_order(padded)
        if bad is None:
            continue
        group, there, before = bad
        line, earlier = (int(table.lines[groups[group][i]]) for i in (there, before))
        unit = "s" if column.kind == "time" else ""
        hint = ", or leave it out and give `constants: sweep_rate`" if column.key == "time" else ""
        raise UsageError(
            f"File {table.path} must hold `{column.key}` that increases, but line {line} has "
            f"{padded[group, there]:g} {unit} after {padded[group, before]:g} {unit} in line "
            f"{earlier} (say which device or cycle a row belongs to{hint})."
        )


def _check_pivot(
    table: Table, plan: Mapping, group: np.ndarray, place: np.ndarray, size: int, count: int
) -> None:
    """Raise if two rows fall on one place, or hardly any place is shared between the groups."""
    column = plan.columns[plan.protocol.pivot]
    cell = group * size + place
    _, first, repeats = np.unique(cell, return_index=True, return_counts=True)
    if (repeats > 1).any():
        again = int(first[np.argmax(repeats > 1)])
        rows = np.flatnonzero(cell == cell[again])
        raise UsageError(
            f"File {table.path} must give each `{column.key}` of one {plan.protocol.dims[0]} once, "
            f"but lines {table.lines[rows[0]]} and {table.lines[rows[1]]} give the same."
        )
    if count > 1 and count * size > 8 * len(group):
        raise UsageError(
            f"File {table.path} must give the same `{column.key}` for every "
            f"{plan.protocol.dims[0]}, but hardly two of {count} share one."
        )


def _check_same(
    table: Table, plan: Mapping, name: str, values: np.ndarray, group: np.ndarray, first: np.ndarray
) -> None:
    """Raise unless what belongs to a whole group is the same in all of its rows."""
    expected = values[first][group]
    bad = values != expected
    if values.dtype.kind == "f":
        bad &= ~(np.isnan(values) & np.isnan(expected))
    if bad.any():
        row = int(np.argmax(bad))
        raise UsageError(
            f"File {table.path} must have one `{plan.columns[name].key}` for each "
            f"{plan.protocol.dims[0]}, but line {table.lines[row]} has {values[row]} after "
            f"{expected[row]} in line {table.lines[first[group[row]]]}."
        )
