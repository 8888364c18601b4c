"""What was done to a device and what was read: seven protocols, each one labelled data set."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._checks import check_choice
from ...runs._errors import nearest
from ._units import SI

if TYPE_CHECKING:
    import xarray


@dataclasses.dataclass(frozen=True)
class Variable:
    """What a variable of a protocol holds.

    Attributes:
        quantity: One of the quantities of `SI`, or "label" (whole numbers or text).
        dims: Its axes.
        meaning: One phrase.
        needed: Whether every data set of the protocol has it.
        rule: "", "positive" or "not negative".
        whole: Whether it holds whole numbers, of which none may be missing.
    """

    quantity: str
    dims: tuple[str, ...]
    meaning: str
    needed: bool = False
    rule: str = ""
    whole: bool = False

    @property
    def units(self) -> str:
        """Unit in which it is held."""
        return SI.get(self.quantity, "1")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Schema of one kind of measurement.

    Attributes:
        name: As in the attribute `protocol` of a data set.
        meaning: One sentence.
        dims: Its axes, the outer one first.
        variables: What it may hold.
        order: Variable that must increase along the last axis, "" for none.
        known: Variables that must not be missing where the last one of these is known.
        pivot: Variable of the last axis alone by which the rows of a long table are lined up.
    """

    name: str
    meaning: str
    dims: tuple[str, ...]
    variables: dict[str, Variable]
    order: str = ""
    known: tuple[str, ...] = ()
    pivot: str = ""


def _protocol(name, meaning, dims, order="", known=(), pivot="", **variables) -> Protocol:
    outer = dims[:1]
    common = {
        "device": Variable("label", outer, "which device"),
        "temperature": Variable(
            "temperature", outer, "temperature of the surroundings meanwhile", rule="positive"
        ),
        "read_voltage": Variable("voltage", outer, "voltage of the readings"),
        "label": Variable("label", outer, "what its column or row was called"),
    }
    if "cycle" not in dims:
        common["cycle"] = Variable("number", outer, "cycle number", whole=True)
    return Protocol(name, meaning, dims, {**variables, **common}, order, known, pivot)


def _needed(quantity: str, dims: tuple[str, ...], meaning: str, **kwargs: Any) -> Variable:
    return Variable(quantity, dims, meaning, needed=True, **kwargs)


_SWEEP, _TRAIN = ("sweep", "point"), ("train", "pulse")
_READS, _TRACE, _CYCLES = ("device", "read"), ("trace", "sample"), ("device", "cycle")

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        _protocol(
            "iv_sweep",
            "Voltage is swept while the current is read.",
            _SWEEP,
            order="time",
            known=("voltage", "time", "current"),
            time=Variable("time", _SWEEP, "time since the sweep began"),
            voltage=_needed("voltage", _SWEEP, "voltage across the device"),
            current=_needed("current", _SWEEP, "current through the device"),
        ),
        _protocol(
            "pulse_train",
            "Pulses one after another, with a read after each.",
            _TRAIN,
            order="pulse",
            pivot="pulse",
            amplitude=_needed("voltage", _TRAIN, "voltage of the pulse"),
            width=_needed("time", _TRAIN, "width of the pulse", rule="positive"),
            gap=Variable(
                "time", _TRAIN, "wait between this pulse and the next", rule="not negative"
            ),
            conductance=_needed("conductance", _TRAIN, "conductance after the pulse"),
            initial_conductance=Variable("conductance", _TRAIN[:1], "before the first pulse"),
            pulses=_needed("number", _TRAIN[:1], "pulses that were applied", whole=True),
            pulse=_needed(
                "number", _TRAIN[1:], "number of the pulse, from 1", rule="positive", whole=True
            ),
        ),
        _protocol(
            "single_pulse",
            "One pulse, with a read before and after.",
            ("trial",),
            voltage=_needed("voltage", ("trial",), "voltage of the pulse"),
            width=_needed("time", ("trial",), "width of the pulse", rule="positive"),
            gate_voltage=Variable("voltage", ("trial",), "voltage of the transistor's gate"),
            resistance_before=_needed("resistance", ("trial",), "resistance before the pulse"),
            resistance_after=_needed("resistance", ("trial",), "resistance after the pulse"),
        ),
        _protocol(
            "retention",
            "A device is programmed, then left alone and read from time to time.",
            _READS,
            order="time",
            pivot="nominal_time",
            time=_needed("time", _READS, "time since programming", rule="not negative"),
            conductance=_needed("conductance", _READS, "conductance"),
            nominal_time=Variable("time", _READS[1:], "time that was aimed at"),
            level=Variable("number", _READS[:1], "programmed level", whole=True),
            target=Variable("conductance", _READS[:1], "conductance that was aimed at"),
        ),
        _protocol(
            "level_distribution",
            "Many devices, or one many times, programmed to levels and read once.",
            ("sample",),
            level=_needed("number", ("sample",), "programmed level", whole=True),
            conductance=_needed("conductance", ("sample",), "conductance"),
            target=Variable("conductance", ("sample",), "conductance that was aimed at"),
            time=Variable("time", ("sample",), "time since programming", rule="not negative"),
        ),
        _protocol(
            "read_noise",
            "A device is left alone and read at regular times.",
            _TRACE,
            order="time",
            pivot="time",
            time=_needed("time", _TRACE[1:], "time since the first reading"),
            conductance=_needed("conductance", _TRACE, "conductance"),
            level=Variable("number", _TRACE[:1], "programmed level", whole=True),
        ),
        _protocol(
            "cycling",
            "A device is set and reset over and over, and read in both states.",
            _CYCLES,
            order="cycle",
            pivot="cycle",
            cycle=_needed("number", _CYCLES[1:], "cycle number", whole=True),
            resistance_low=_needed("resistance", _CYCLES, "resistance after SET"),
            resistance_high=_needed("resistance", _CYCLES, "resistance after RESET"),
        ),
    )
}
"""The protocols by name."""


_COORDINATES = ("device", "label", "cycle", "level", "temperature", "read_voltage")


def breaks(values: np.ndarray, rule: str) -> np.ndarray:
    """Return where numbers break a rule; a missing one breaks none."""
    if rule == "positive":
        return values <= 0
    if rule == "not negative":
        return values < 0
    return np.zeros(np.shape(values), bool)


def measurement(
    protocol: str, *, attrs: dict[str, Any] | None = None, missing_means: str = "", **values: Any
) -> xarray.Dataset:
    """Label arrays as one measurement.

    Args:
        protocol: One of `PROTOCOLS`.
        attrs: Anything else to be noted: ``name``, ``source``, ``licence``.
        missing_means: What a missing value (nan) says, such as "no pulse".
        **values: Arrays in SI by name of the variable; what is constant may be given as one number.
            In a protocol of two axes, an array of one axis runs along the last one. Pulses are
            numbered and counted where they are not given.

    Returns:
        The data set, checked.

    Raises:
        ValueError: If it breaks the schema of its protocol.
    """
    import xarray as xr

    check_choice("protocol", protocol, PROTOCOLS)
    spec = PROTOCOLS[protocol]
    for name in values:
        if name not in spec.variables:
            raise ValueError(
                f"Argument `{name}` must be a variable of protocol {protocol!r} "
                f"({', '.join(spec.variables)}), but is none{nearest(name, spec.variables)}."
            )
    arrays = {name: _array(spec.variables[name], value) for name, value in values.items()}
    sizes = _sizes(spec, arrays)
    if protocol == "pulse_train":
        _count_pulses(arrays, sizes)
    variables = {}
    for name, array in arrays.items():
        variable = spec.variables[name]
        shape = tuple(sizes[dim] for dim in variable.dims)
        try:
            array = np.broadcast_to(array, shape).copy()
        except ValueError:
            raise ValueError(
                f"Argument `{name}` must have shape {shape} ({', '.join(variable.dims)}), "
                f"but has shape {array.shape}."
            ) from None
        if protocol == "pulse_train" and name in ("amplitude", "width", "gap"):
            # One number for all of them is meant for the pulses that were applied.
            pulses = np.broadcast_to(arrays["pulses"], shape[:1])
            applied = arrays["pulse"] <= pulses[:, None]
            array = np.where(applied, array, np.nan)
        variables[name] = (variable.dims, array, _attributes(variable))
    coordinates = {
        name: variables.pop(name) for name in (*_COORDINATES, spec.pivot) if name in variables
    }
    note = {"missing_means": missing_means} if missing_means else {}
    dataset = xr.Dataset(variables, coordinates, {"protocol": protocol, **note, **(attrs or {})})
    return check_measurement(dataset)


def check_measurement(dataset: xarray.Dataset) -> xarray.Dataset:
    """Hold a measurement against the schema of its protocol.

    Args:
        dataset: With an attribute ``protocol``, one of `PROTOCOLS`.

    Returns:
        The same, with the number of missing values (nan) of each variable counted anew in its
        attribute ``missing``, as it changes when a part is selected.

    Raises:
        ValueError: If a variable is missing, unknown, of another unit or shape, infinite or of the
            wrong sign, does not increase where it must, or is unknown where it must be known.
    """
    name = dataset.attrs.get("protocol")
    if name not in PROTOCOLS:
        raise ValueError(
            "Argument `dataset` must have an attribute `protocol`, one of "
            f"{', '.join(map(repr, PROTOCOLS))}, but has {name!r}{nearest(str(name), PROTOCOLS)}."
        )
    spec = PROTOCOLS[name]
    for key, variable in spec.variables.items():
        if variable.needed and key not in dataset.variables:
            others = [str(k) for k in dataset.variables if k not in spec.variables]
            raise ValueError(
                f"Measurement {name!r} must have a variable `{key}` ({variable.meaning}), but has "
                f"none{nearest(key, others)}."
            )
    dataset = dataset.copy()
    for key in dataset.variables:
        _check_variable(dataset, spec, str(key))
    _check_order(dataset, spec)
    _check_known(dataset, spec)
    return dataset


def _array(variable: Variable, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if variable.quantity == "label" and array.dtype.kind in "iuUSO":
        return array if array.dtype.kind in "iu" else array.astype(str)
    if array.dtype.kind not in "iufb" and array.dtype.kind != "O":
        return array  # refused by the check, which names it
    array = array.astype(np.float64)
    if variable.whole and np.all(array == np.rint(array)):
        return array.astype(np.int64)
    return array


def _sizes(spec: Protocol, arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """Return the length of each axis, from the arrays that are given."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        dims = spec.variables[name].dims
        for dim, size in zip(reversed(dims), reversed(array.shape), strict=False):
            sizes[dim] = max(sizes.get(dim, 1), size)
    return {dim: sizes.get(dim, 1) for dim in spec.dims}


def _count_pulses(arrays: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
    """Number the pulses, and count up to the last one of which anything is known."""
    arrays.setdefault("pulse", np.arange(1, sizes["pulse"] + 1))
    if "pulses" not in arrays:
        shape = (sizes["train"], sizes["pulse"])
        known = np.zeros(shape, bool)
        for name in ("conductance", "amplitude"):
            array = arrays.get(name, np.asarray(np.nan))
            # One number for every pulse says nothing about how many there were.
            if array.ndim:
                known |= np.broadcast_to(np.isfinite(array), shape)
        last = shape[1] - np.argmax(known[:, ::-1], axis=1)
        # Where every tenth pulse is listed, those in between were applied as well.
        number = np.broadcast_to(arrays["pulse"], shape[1:])[last - 1]
        arrays["pulses"] = np.where(known.any(axis=1), number, 0)


def _attributes(variable: Variable) -> dict[str, Any]:
    return {"units": variable.units, "long_name": variable.meaning}


def _check_variable(dataset: xarray.Dataset, spec: Protocol, key: str) -> None:
    array = dataset[key]
    variable = spec.variables.get(key)
    who = f"Variable `{key}` of measurement {spec.name!r}"
    if variable is None:
        hint = nearest(key, [name for name in spec.variables if name not in dataset.variables])
        if hint:
            raise ValueError(f"{who} must be one of its protocol, but is none{hint}.")
        return  # a note of the user's own
    # A selected device, train or trial leaves an axis behind only if it was selected by a slice.
    if array.dims != variable.dims:
        raise ValueError(
            f"{who} must have the axes ({', '.join(variable.dims)}), but has "
            f"({', '.join(map(str, array.dims))}); a slice or a list selects and keeps all axes."
        )
    if variable.quantity == "label" and array.dtype.kind in "iuUOT":
        dataset[key].attrs.setdefault("units", "1")
        return
    if array.dtype.kind not in "iuf" or (variable.whole and array.dtype.kind == "f"):
        kind = "whole numbers" if variable.whole else "numbers"
        raise ValueError(f"{who} must hold {kind}, but has the type {array.dtype}.")
    units = array.attrs.get("units")
    if units != variable.units:
        raise ValueError(f"{who} must be in {variable.units}, but is in {units!r}.")
    values = np.asarray(array.values)
    for bad, what in ((np.isinf(values), "finite or nan"), (breaks(values, variable.rule), "")):
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{who} must be {what or variable.rule}, but is {values[where]} at index {where}."
            )
    dataset[key].attrs["missing"] = int(np.isnan(values).sum())


def _check_order(dataset: xarray.Dataset, spec: Protocol) -> None:
    if not spec.order or spec.order not in dataset.variables:
        return
    values = np.atleast_2d(dataset[spec.order].values)
    bad = out_of_order(values)
    if bad is not None:
        row, column, before = bad
        raise ValueError(
            f"Variable `{spec.order}` of measurement {spec.name!r} must increase along "
            f"`{spec.dims[-1]}`, but is {values[row, column]} at index {column} after "
            f"{values[row, before]}{f' (row {row})' if len(values) > 1 else ''}."
        )


def out_of_order(values: np.ndarray) -> tuple[int, int, int] | None:
    """Return row and column of the first value not above those before, and the column before."""
    steps = np.diff(values, axis=1)
    if np.all(steps > 0):
        return None
    known = ~np.isnan(values)
    largest = np.fmax.accumulate(np.where(known, values, -np.inf), axis=1)
    bad = known[:, 1:] & (values[:, 1:] <= largest[:, :-1])
    if not bad.any():
        return None
    row, column = (int(i) for i in np.argwhere(bad)[0])
    before = int(np.flatnonzero(known[row, : column + 1])[-1])
    return row, column + 1, before


def _check_known(dataset: xarray.Dataset, spec: Protocol) -> None:
    if not spec.known:
        return
    last = spec.known[-1]
    there = ~np.isnan(dataset[last].values)
    for key in spec.known[:-1]:
        if key in dataset.variables:
            unknown = there & np.isnan(dataset[key].values)
            if unknown.any():
                where = tuple(int(i) for i in np.argwhere(unknown)[0])
                raise ValueError(
                    f"Variable `{key}` of measurement {spec.name!r} must be known where "
                    f"`{last}` is, but is missing at index {where}."
                )
