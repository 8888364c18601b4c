"""Published sets of measured devices: found, read and labelled, with nothing added to them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._checks import check_choice
from ...runs import UsageError
from .._sources import VARIABLE, _roots
from ._measurements import Measurements
from ._protocols import measurement
from ._read import read_table
from ._table import read_cells

if TYPE_CHECKING:
    import xarray

FOLDER = "measured"
"""Folder of `$ANALOGJAX_DATA` that holds the sets, each in a folder of its own."""


@dataclasses.dataclass(frozen=True)
class MeasuredSet:
    """A published set.

    Attributes:
        folder: Its folder.
        source: Who measured it, and where it is to be had.
        licence: As its folder says.
        parts: {name of a part: (its files, how it is read)}.
    """

    folder: str
    source: str
    licence: str
    parts: dict[str, tuple[tuple[str, ...], Callable[..., list[xarray.Dataset]]]]


def load_measured(
    name: str,
    *,
    parts: Sequence[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Measurements:
    r"""Load a published set of measured devices.

    ==================== ============== ========================================================
    name                 part           protocol, what
    ==================== ============== ========================================================
    ``cross_sim_ramps``  ``set``        pulse_train: 30 ramps of up to 192 rising pulses
    \                    ``reset``      pulse_train: 30 ramps of up to 153 falling pulses
    ``levy_relaxation``  ``relaxation`` retention: 16,292 cells, 32 levels, 0 to 1e5 s
    \                    ``noise``      read_noise: 5 levels, 100,000 readings at 400 Hz
    \                    ``bake``       5 x retention: 16,384 cells before and after a bake
    ``wei_pulses``       ``set``        single_pulse: 23,044 cells, one SET pulse each
    \                    ``reset``      single_pulse: 22,944 cells, one RESET pulse each
    \                    ``bake``       2 x retention: 16,384 cells before and after a bake
    \                    ``sweep``      iv_sweep: 1,024 cells, 0 to 0.35 V
    ``radway_cycling``   ``endurance``  cycling: 1 cell, 1,005,000 cycles, every hundredth read
    \                    ``cells``      cycling: 1,024 cells at cycles 25 and 50
    ==================== ============== ========================================================

    What the sources do not say stays missing: the material of every set, amplitude and width of the
    pulses of ``cross_sim_ramps``, how long the cells of ``wei_pulses`` were baked, when a sweep was
    taken, the temperature wherever none is given (`Measurements.assume`).

    Args:
        name: One of `MEASURED_SETS`.
        parts: Which parts, all by default.
        folder: Folder that holds the sets; by default ``measured`` of `$ANALOGJAX_DATA` and of the
            user's cache.

    Returns:
        The measurements, named by their parts.

    Raises:
        ValueError: If there is no such set or part.
        UsageError: If a file is not there, or as `read_table`.
    """
    check_choice("name", name, MEASURED_SETS)
    chosen = _SETS[name]
    for part in parts or ():
        check_choice("parts", part, chosen.parts)
    wanted = [part for part in chosen.parts if parts is None or part in parts]
    roots = _roots(None) if folder is None else []
    homes = [root / FOLDER / chosen.folder for root in roots]
    if folder is not None:
        homes = [Path(folder).expanduser().resolve() / chosen.folder]
    files = {part: _find(name, chosen, chosen.parts[part][0], homes) for part in wanted}
    datasets = []
    for part in wanted:
        for dataset in chosen.parts[part][1](*files[part]):
            dataset.attrs.setdefault("name", part)
            dataset.attrs.update(source=chosen.source, licence=chosen.licence)
            datasets.append(dataset)
    return Measurements(datasets)


def _find(name: str, chosen: MeasuredSet, files: tuple[str, ...], homes: list[Path]) -> list[Path]:
    """Return the path of each file, packed or unpacked."""
    found: list[Path] = []
    for file in files:
        options = [home / f for home in homes for f in (file, file.removesuffix(".gz"))]
        there = next((path for path in options if path.is_file()), None)
        if there is None:
            looked = " or ".join(map(str, homes))
            raise UsageError(
                f"Data set {name!r} must have {file} in {looked}, but has not: get it from "
                f"{chosen.source} and put it into {homes[0]}, or set {VARIABLE} to a folder that "
                f"has it in {FOLDER}/{chosen.folder}/."
            )
        found.append(there)
    return found


def _column(number: int, unit: str = "1", **more: Any) -> dict[str, Any]:
    return {"column": number, "unit": unit, **more}


_NO_NAMES = {"header": False, "delimiter": "\t"}


def _ramps(path: Path) -> list[xarray.Dataset]:
    mapping = {
        "protocol": "pulse_train",
        "file": {"header": True, "delimiter": ","},
        "columns": {
            # The ramps of a file follow one another on one device.
            "current": {"columns": "rmp*", "unit": "A", "each": "cycle", "missing": ["", 0]}
        },
        "constants": {"read_voltage": "0.1 V"},
        "missing_means": "no pulse (empty or 0 in the file); amplitude and width: not published",
    }
    return [read_table(path, mapping)]


def _relaxation(path: Path) -> list[xarray.Dataset]:
    mapping = {
        "protocol": "retention",
        "file": _NO_NAMES,
        "columns": {
            "device": 1,
            "time": _column(2, "s"),
            # Columns 3 and 5 repeat it: the resistance 1/g, and the conductance at time 0.
            "conductance": _column(4, "S"),
            "level": 6,
            "nominal_time": _column(7, "s"),
        },
        "missing_means": "not read at this time",
    }
    dataset = read_table(path, mapping)
    dataset.attrs["levels"] = (
        "bins of 1.25 uS (40 uS / 32) of the conductance at time 0; those above 31 lie beyond 40 uS"
    )
    return [dataset]


def _noise(path: Path) -> list[xarray.Dataset]:
    table = read_cells(path, delimiter="\t", header=False)
    traces = np.array([[float(cell) for cell in row] for row in _even(table.rows, path)])
    rate = 400.0  # [Hz], `fs` of the set's settings.json
    dataset = measurement(
        "read_noise",
        time=np.arange(traces.shape[1] - 2) / rate,
        conductance=traces[:, 2:],
        level=traces[:, 0],
        label=traces[:, 1].astype(int),
        attrs={"file": path.name},
    )
    return [dataset]


def _even(rows: Sequence[Sequence[str]], path: Path) -> Sequence[Sequence[str]]:
    for line, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise UsageError(
                f"File {path} must have as many values in each line, but line {line} has "
                f"{len(row)} and line 1 has {len(rows[0])}."
            )
    return rows


def _baked(path: Path) -> list[xarray.Dataset]:
    table = read_cells(path, delimiter="\t", header=False)
    address, time, conductance, celsius = (table.numbers(i) for i in (0, 1, 3, 4))
    datasets = []
    for temperature in np.unique(celsius):
        rows = np.flatnonzero(celsius == temperature)
        rows = rows[np.lexsort((time[rows], address[rows]))]
        cells, counts = np.unique(address[rows], return_counts=True)
        if np.any(counts != 2):
            raise UsageError(
                f"File {path} must hold two readings of each cell at {temperature:g} degC, but "
                f"cell {cells[counts != 2][0]:g} has {counts[counts != 2][0]}."
            )
        shape = (len(cells), 2)
        dataset = measurement(
            "retention",
            device=cells.astype(int),
            time=time[rows].reshape(shape),
            conductance=conductance[rows].reshape(shape),
            temperature=temperature + 273.15,
            attrs={
                "name": f"bake_{temperature:g}_degC",
                "file": path.name,
                "temperature_means": "of the bake between the readings",
            },
        )
        datasets.append(dataset)
    return datasets


def _switching(polarity: int) -> Callable[[Path], list[xarray.Dataset]]:
    def read(path: Path) -> list[xarray.Dataset]:
        mapping = {
            "protocol": "single_pulse",
            "file": _NO_NAMES,
            "columns": {
                "device": 1,
                "width": _column(2, "s"),
                "gate_voltage": _column(3, "V"),
                "voltage": _column(4, "V", factor=polarity),
                "resistance_before": _column(5, "ohm"),
                "resistance_after": _column(6, "ohm"),
            },
        }
        dataset = read_table(path, mapping)
        dataset["voltage"].attrs["polarity"] = (
            "bit line against source line, over cell and transistor; SET is positive"
        )
        return [dataset]

    return read


def _wei_bake(*paths: Path) -> list[xarray.Dataset]:
    datasets = []
    for celsius, before, after in ((110, *paths[:2]), (130, *paths[2:])):
        tables = [read_cells(path, delimiter="\t", header=False) for path in (before, after)]
        address = [table.numbers(0).astype(int) for table in tables]
        if not np.array_equal(address[0], address[1]):
            raise UsageError(f"Files {before} and {after} must hold the same cells, but do not.")
        time = np.full((len(address[0]), 2), np.nan)
        time[:, 0] = 0.0
        dataset = measurement(
            "retention",
            device=address[0],
            time=time,
            conductance=1 / np.stack([table.numbers(1) for table in tables], axis=1),
            temperature=celsius + 273.15,
            missing_means="not published: how long the bake took",
            attrs={
                "name": f"bake_{celsius}_degC",
                "file": f"{before.name}, {after.name}",
                "temperature_means": "of the bake between the readings",
            },
        )
        datasets.append(dataset)
    return datasets


def _read_sweep(path: Path) -> list[xarray.Dataset]:
    columns = {"device": 1, "voltage": _column(2, "V"), "current": _column(3, "A")}
    return [read_table(path, {"protocol": "iv_sweep", "file": _NO_NAMES, "columns": columns})]


def _cycles(path: Path) -> list[xarray.Dataset]:
    # Each line was written as: address, resistance after SET, resistance after RESET, cycle.
    columns = {
        "device": 1,
        "resistance_low": _column(2, "ohm"),
        "resistance_high": _column(3, "ohm"),
        "cycle": 4,
    }
    return [read_table(path, {"protocol": "cycling", "file": _NO_NAMES, "columns": columns})]


_SETS = {
    "cross_sim_ramps": MeasuredSet(
        folder="cross-sim_pulse_ramps",
        source="Sandia National Laboratories, https://github.com/sandialabs/cross-sim "
        "(examples/lookup_table_generation/lookup_table_example)",
        licence="BSD-3-Clause",
        parts={"set": (("set.csv",), _ramps), "reset": (("reset.csv",), _ramps)},
    ),
    "levy_relaxation": MeasuredSet(
        folder="levy_rram_relaxation",
        source="A. Levy, https://github.com/akashlevy/RRAM-Relaxation-Master-Model (data)",
        licence="MIT",
        parts={
            "relaxation": (("techC/relaxdata.min.tsv.gz",), _relaxation),
            "noise": (("techA/tsdata.min.tsv.gz",), _noise),
            "bake": (("techA/bake.tsv.gz",), _baked),
        },
    ),
    "wei_pulses": MeasuredSet(
        folder="wei_rram_pulses",
        source="A. Wei; all but set_sweep also in "
        "https://github.com/robert-radway/NI-RRAM-Python (data)",
        licence="MIT",
        parts={
            "set": (("set_sweep.tsv.gz",), _switching(+1)),
            "reset": (("reset_sweep.tsv.gz",), _switching(-1)),
            "bake": (
                tuple(f"{w}bake{t}.tsv.gz" for t in (110, 130) for w in ("pre", "post")),
                _wei_bake,
            ),
            "sweep": (("read_voltage_sweep.tsv.gz",), _read_sweep),
        },
    ),
    "radway_cycling": MeasuredSet(
        folder="radway_rram_cycling",
        source="R. Radway, https://github.com/robert-radway/NI-RRAM-Python (data)",
        licence="MIT",
        parts={
            "endurance": (("1us_endurance.tsv.gz",), _cycles),
            "cells": (("100cyc.tsv.gz",), _cycles),
        },
    ),
}

MEASURED_SETS = tuple(_SETS)
"""Names that `load_measured` knows."""
