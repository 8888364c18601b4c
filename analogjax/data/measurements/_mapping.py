"""The mapping from columns to quantities and units: a small YAML, or the same as a dictionary."""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import re
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any

from ...runs import UsageError
from ...runs._errors import nearest
from ._protocols import PROTOCOLS, Protocol
from ._table import MISSING, Table
from ._units import SI, Unit, parse_quantity, parse_unit

_KEYS = (
    "protocol", "name", "source", "licence", "file", "columns", "constants", "missing",
    "missing_means",
)  # fmt: skip
_FILE = ("delimiter", "header", "skip", "comment", "decimal")
_COLUMN = ("column", "columns", "unit", "factor", "missing", "each")
_KINDS = ("conductance", "resistance", "current")


@dataclasses.dataclass(frozen=True)
class Column:
    """One quantity and where it stands.

    Attributes:
        key: Name as in the mapping, for example ``current``.
        variable: Variable of the protocol that it becomes, for example ``conductance``.
        kind: Quantity of the column itself.
        columns: Name or number of its column, or of several; or one pattern such as ``rmp*``.
        wide: Whether each of several columns is a sweep, train, device or trace of its own.
        unit: Symbol, or None to read it from the column's name.
        factor: What its numbers are multiplied by, for example -1 to turn a sign round.
        missing: Cells that stand for a missing value.
        each: What tells the columns of a wide table apart: "device", "cycle" or "".
        where: The key and its line, for messages.
    """

    key: str
    variable: str
    kind: str
    columns: tuple[str | int, ...]
    wide: bool
    unit: str | None
    factor: float
    missing: tuple[str, ...]
    each: str
    where: str

    def places(self, table: Table) -> list[int]:
        """Return the places of its columns in a table.

        Raises:
            UsageError: If one is missing.
        """
        purpose = f"`{self.key}`"
        if self.wide and len(self.columns) == 1 and isinstance(self.columns[0], str):
            found = fnmatch.filter(table.names, self.columns[0])
            if found:
                return [i for i, name in enumerate(table.names) if name in found]
        return [table.index(column, purpose) for column in self.columns]

    def unit_in(self, table: Table, place: int) -> Unit:
        """Return the unit, from the mapping or from the column's name.

        Raises:
            UsageError: If neither gives one of the right quantity.
        """
        if self.kind == "label":
            return parse_unit("1")
        if self.unit is not None:
            return self._parse(self.unit, self.where)
        named = unit_of_name(table.names[place] if place < len(table.names) else "")
        if named is not None:
            return self._parse(named, f"column {table.name(place)} of {table.where}")
        if self.kind == "number":
            return parse_unit("1")
        raise UsageError(
            f"Key {self.where} must say the unit of column {table.name(place)} (such as `unit: "
            f"{SI[self.kind]}`), but does not, and neither does the column's name."
        )

    def _parse(self, symbol: str, where: str) -> Unit:
        try:
            return parse_unit(symbol, self.kind)
        except ValueError as error:
            raise UsageError(f"The unit of `{self.key}` in {where} {error}.") from None


@dataclasses.dataclass(frozen=True)
class Mapping:
    """What a table holds; see `read_mapping`."""

    where: str
    protocol: Protocol
    columns: dict[str, Column]
    constants: dict[str, float | int | str]
    sweep_rate: float | None
    file: dict[str, Any]
    attrs: dict[str, Any]
    missing_means: str


def unit_of_name(name: str) -> str | None:
    """Return the unit that a column's name ends with: ``I1 (uA)``, ``I1 [uA]``, ``I1 / uA``."""
    match = re.search(r"(?:\(([^()]*)\)|\[([^\[\]]*)\]|\s/\s*(\S+))\s*$", name)
    symbol = next((group for group in match.groups() if group), None) if match else None
    try:
        parse_unit(symbol or "?")
    except ValueError:
        # What looks like a unit at all is one to complain about; "(1)" or "(raw)" is not.
        return None
    return None if symbol == "1" else symbol


def read_mapping(mapping: str | os.PathLike[str] | AnyMapping[str, Any]) -> Mapping:
    """Read and check a mapping.

    Args:
        mapping: Path of a YAML file, or what such a file holds::

            protocol: iv_sweep            # one of PROTOCOLS
            columns:
              time: {column: Time, unit: ms}
              voltage: {column: 2, unit: V}      # numbers count from 1
              current: I1 (uA)                   # the unit stands in the column's name
            constants: {temperature: 25 degC}
            file: {delimiter: ",", header: true, skip: 0, comment: "#", decimal: "."}
            missing: ["", nan]

    Raises:
        UsageError: If a key, quantity or unit is wrong, with file and line.
    """
    content, where, lines = _load(mapping)

    def at(*keys: str) -> str:
        line = next((lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in lines), 0)
        return f"{where} (line {line})" if line else where

    def keys_of(value: Any, options: tuple[str, ...], *path: str) -> dict[str, Any]:
        if not isinstance(value, AnyMapping):
            key = f"Key `{path[-1]}` in {at(*path)}" if path else f"The mapping in {where}"
            raise UsageError(f"{key} must hold keys, but is {value!r}.")
        for key in value:
            if key not in options:
                raise UsageError(
                    f"Key `{key}` in {at(*path, str(key))} must be one of {', '.join(options)}, "
                    f"but is none{nearest(str(key), options)}."
                )
        return dict(value)

    content = keys_of(content, _KEYS)
    name = content.get("protocol")
    if name not in PROTOCOLS:
        raise UsageError(
            f"Key `protocol` in {at('protocol')} must be one of {', '.join(PROTOCOLS)}, but is "
            f"{name!r}{nearest(str(name), PROTOCOLS)}."
        )
    spec = PROTOCOLS[name]
    file = keys_of(content.get("file") or {}, _FILE, "file")
    _check_file(file, at)
    missing = _tokens(content.get("missing", MISSING), at("missing"))
    file["missing"] = missing

    options_of = _options(spec)
    options = tuple(options_of)
    columns = {}
    for key, value in keys_of(content.get("columns") or {}, options, "columns").items():
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            value = {"column": value}
        entry = keys_of(value, _COLUMN, "columns", key)
        column = _column(key, entry, spec, missing, f"`columns: {key}` in {at('columns', key)}")
        if column.variable in columns:
            raise UsageError(
                f"Key {column.where} must be the only one that gives `{column.variable}`, but "
                f"`{columns[column.variable].key}` does, too."
            )
        columns[column.variable] = column

    constants: dict[str, float | int | str] = {}
    rate = None
    scalars = (
        *(o for o in options if options_of[o][0]),
        *(("sweep_rate",) if name == "iv_sweep" else ()),
    )
    for key, value in keys_of(content.get("constants") or {}, scalars, "constants").items():
        variable, kind = ("", "voltage ramp") if key == "sweep_rate" else options_of[key]
        if kind != "label":
            try:
                value = parse_quantity(value, kind)
            except ValueError as error:
                raise UsageError(
                    f"Key `constants: {key}` in {at('constants', key)} {error}."
                ) from None
        if key == "sweep_rate":
            rate = value
            continue
        if key != variable:
            raise UsageError(
                f"Key `constants: {key}` in {at('constants', key)} must be a variable of protocol "
                f"{name!r}, but is none (did you mean `{variable}`?)."
            )
        if key in columns:
            raise UsageError(
                f"Key `constants: {key}` in {at('constants', key)} must be left out, because "
                f"`columns: {columns[key].key}` gives it for each row."
            )
        constants[key] = value
    _check_complete(spec, columns, constants, at("columns"))
    attrs = {k: str(content[k]) for k in ("name", "source", "licence") if content.get(k)}
    means = str(content.get("missing_means") or "")
    return Mapping(where, spec, columns, constants, rate, file, attrs, means)


def _load(mapping: Any) -> tuple[Any, str, dict[tuple[str, ...], int]]:
    """Return the content of a mapping, what to call it, and the line of each key."""
    if isinstance(mapping, AnyMapping):
        return mapping, "the mapping", {}
    import yaml

    path = Path(mapping)
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise UsageError(
            f"Argument `mapping` must be a dictionary or a YAML file, but {str(path)!r} cannot be "
            f"read ({error.strerror})."
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        problem = getattr(error, "problem", None) or "no text"
        raise UsageError(f"File {path}{line} must be YAML, but is not: {problem}.") from None
    lines: dict[tuple[str, ...], int] = {}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                lines[here] = key.start_mark.line + 1
                walk(value, here)

    walk(root, ())
    return content, str(path), lines


def _options(spec: Protocol) -> dict[str, tuple[str, str]]:
    """Return {what a column may be called: (variable, quantity)}.

    A conductance may be given as a resistance or as a current at the read voltage, and so on.
    """
    options = {}
    for name, variable in spec.variables.items():
        if name == "pulses":
            continue  # counted
        options[name] = (name, variable.quantity)
    for name, variable in spec.variables.items():
        if variable.quantity in ("conductance", "resistance") and variable.quantity in name:
            for kind in _KINDS:
                options.setdefault(name.replace(variable.quantity, kind), (name, kind))
    # What tells the sweeps, trains and traces of a long table apart, where no device or cycle does.
    if spec.dims[0] not in options and len(spec.dims) == 2:
        options[spec.dims[0]] = ("", "label")
    return options


def _column(
    key: str, entry: dict[str, Any], spec: Protocol, missing: tuple[str, ...], where: str
) -> Column:
    variable, kind = _options(spec)[key]
    wide = "columns" in entry
    if ("column" in entry) == wide:
        raise UsageError(f"Key {where} must have `column`, or `columns` for several, and not both.")
    columns = entry["columns" if wide else "column"]
    columns = columns if isinstance(columns, (list, tuple)) else [columns]
    for column in columns:
        if not isinstance(column, (str, int)) or isinstance(column, bool):
            raise UsageError(
                f"Key {where} must give columns by name or number, but has {column!r}."
            )
    two_axes = variable and len(spec.variables[variable].dims) == 2
    if wide and not two_axes:
        raise UsageError(f"Key {where} must give one `column`, for it is one number a row.")
    factor = entry.get("factor", 1.0)
    if not isinstance(factor, (int, float)) or isinstance(factor, bool) or not factor:
        raise UsageError(
            f"Key {where} must have a number other than 0 as `factor`, but has {factor!r}."
        )
    each = entry.get("each", "")
    if each not in ("", "device", "cycle") or (each and not wide):
        raise UsageError(
            f"Key {where} must have `each: device` or `each: cycle`, beside `columns`, "
            f"but has {each!r}."
        )
    unit = entry.get("unit")
    column = Column(
        key=key,
        variable=variable or key,
        kind=kind,
        columns=tuple(columns),
        wide=wide,
        unit=None if unit is None else str(unit),
        factor=float(factor),
        missing=_tokens(entry["missing"], where) if "missing" in entry else missing,
        each=each,
        where=where,
    )
    if column.unit is not None and kind != "label":
        column._parse(column.unit, where.rpartition(" in ")[2])
    return column


def _tokens(value: Any, where: str) -> tuple[str, ...]:
    """Return the cells that stand for a missing value, as text."""
    if isinstance(value, (str, int, float)) or not isinstance(value, (list, tuple)):
        raise UsageError(f"Key `missing` in {where} must be a list, but is {value!r}.")
    # YAML reads an unquoted nan as text and an empty entry as None.
    return tuple("" if token is None else str(token) for token in value)


def _check_file(file: dict[str, Any], at: Any) -> None:
    wrong = ""
    for key, value in file.items():
        good = {
            "delimiter": isinstance(value, str) and (len(value) == 1 or value == "whitespace"),
            "header": isinstance(value, bool),
            "skip": isinstance(value, int) and not isinstance(value, bool) and value >= 0,
            "comment": isinstance(value, str),
            "decimal": value in (".", ","),
        }[key]
        must = {
            "delimiter": "one character or `whitespace`",
            "header": "true or false",
            "skip": "a number of lines",
            "comment": "text",
            "decimal": "'.' or ','",
        }[key]
        wrong = "" if good else f"must be {must}, but is {value!r}"
        if wrong:
            raise UsageError(f"Key `file: {key}` in {at('file', key)} {wrong}.")


def _check_complete(
    spec: Protocol, columns: dict[str, Column], constants: dict[str, Any], where: str
) -> None:
    for name, variable in spec.variables.items():
        given = name in columns or name in constants or name in ("pulses", "pulse")
        # Amplitudes and widths of pulses may be unknown, as they are in published ramps.
        unknown = spec.name == "pulse_train" and name in ("amplitude", "width")
        if variable.needed and not given and not unknown:
            raise UsageError(
                f"Key `columns` in {where} must name a column for `{name}` ({variable.meaning}), "
                f"but has {', '.join(f'`{c.key}`' for c in columns.values()) or 'none'}."
            )
    for column in columns.values():
        converted = column.variable in spec.variables and (
            spec.variables[column.variable].quantity != column.kind
        )
        if (
            converted
            and column.kind == "current"
            and not ("read_voltage" in columns or "read_voltage" in constants)
        ):
            raise UsageError(
                f"Key {column.where} must come with a `read_voltage` (a column or a constant), "
                f"which turns a current into a {spec.variables[column.variable].quantity}."
            )
