"""A table over all runs of a sweep: printed, as CSV, and as a page with figures."""

from __future__ import annotations

import csv
import dataclasses
import fnmatch
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import _atomic
from ._report import Report, save_figure
from ._summary import Stored, console, print_table, read, text
from ._sweep import ASKED, Sweep, read_sweep

CSV, MEANS, PAGE = "sweep.csv", "sweep_over_seeds.csv", "sweep.html"
_PRINTED, _SHOWN = 6, 12  # metrics, unless some are asked for

Cell = Any
"""A value of a key, a metric, a text, or None where there is none."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One run of a sweep."""

    name: str
    state: str
    values: dict[str, Cell]
    stored: Stored | None

    @property
    def metrics(self) -> dict[str, int | float]:
        """The metrics of a finished run; one that stopped half-way may have some only."""
        return self.stored.metrics if self.stored and self.stored.finished else {}


@dataclasses.dataclass(frozen=True)
class SweepTable:
    """The runs of a sweep, and what they measured."""

    sweep: Sweep
    rows: list[Row]

    @property
    def metrics(self) -> list[str]:
        """All metrics, those that vary over the runs first."""
        names = list(dict.fromkeys(name for row in self.rows for name in row.metrics))
        return sorted(names, key=lambda name: not self.varies(name))

    def varies(self, metric: str) -> bool:
        """Whether a metric differs between runs."""
        return len({row.metrics.get(metric) for row in self.finished}) > 1

    @property
    def finished(self) -> list[Row]:
        """The finished runs."""
        return [row for row in self.rows if row.metrics]

    def chosen(self, patterns: Sequence[str], most: int) -> list[str]:
        """Return the metrics that match, or the first ones if no pattern is given."""
        if not patterns:
            return self.metrics[:most]
        return [name for name in self.metrics if any(fnmatch.fnmatch(name, p) for p in patterns)]

    def groups(self, *without: str) -> list[tuple[dict[str, Cell], list[Row]]]:
        """Return the finished runs grouped by all swept keys but some."""
        keys = [key for key in self.sweep.swept if key not in without]
        found: dict[str, tuple[dict[str, Cell], list[Row]]] = {}
        for row in self.finished:
            values = {key: row.values[key] for key in keys}
            found.setdefault(repr(values), (values, []))[1].append(row)
        return list(found.values())

    @property
    def over_seeds(self) -> bool:
        """Whether there is a spread over seeds."""
        return len({row.values.get("seed") for row in self.finished}) > 1


def table_of(folder: str | os.PathLike[str]) -> SweepTable:
    """Read the runs of a sweep.

    Raises:
        UsageError: If the folder is none of a sweep.
    """
    sweep = read_sweep(folder)
    rows = []
    for job in sweep.jobs:
        there = (job.folder / "config.yaml").is_file()
        if job.finished:
            state = "finished"
        elif job.failure:
            state = f"failed: {job.failure}"
        else:
            state = "not finished" if there else "not started"
        stored = read(job.folder) if there else None
        rows.append(Row(job.name, state, sweep.values(job.name), stored))
    return SweepTable(sweep, rows)


def moments(rows: Sequence[Row], metric: str) -> tuple[float, float, int]:
    """Return mean, sample standard deviation and number of a metric's values; NaN for too few."""
    values = np.array([row.metrics[metric] for row in rows if metric in row.metrics], float)
    mean = float(values.mean()) if len(values) else np.nan
    return mean, float(values.std(ddof=1)) if len(values) > 1 else np.nan, len(values)


def compare_sweep(folder: str | os.PathLike[str], metrics: Sequence[str] = ()) -> None:
    """Print a sweep's table, and write it as CSV and as a page with figures into its folder.

    Args:
        folder: The sweep's folder.
        metrics: Patterns, such as `accuracy_*`, of the metrics to show; the first ones that vary if
            there are none. The CSV files hold all.

    Raises:
        UsageError: If the folder is none of a sweep.
    """
    table = table_of(folder)
    _print(table, table.chosen(metrics, _PRINTED))
    _write_csv(table)
    if table.finished:
        _write_page(table, table.chosen(metrics, _SHOWN))


def _print(table: SweepTable, metrics: list[str]) -> None:
    keys = table.sweep.swept
    if table.over_seeds:
        shown = [key for key in keys if key != "seed"]
        rows = _mean_rows(table, metrics)
        headers = [*shown, "runs", *metrics]
    else:
        headers = [*keys, *metrics]
        rows = [
            [*row.values.values(), *(row.metrics.get(name, "-") for name in metrics)]
            for row in table.finished
        ]
    print_table(headers, [[text(cell) for cell in row] for row in rows])
    out = console(1)
    for row in table.rows:
        if row.state != "finished":
            out.print(f"{row.name}: {row.state}", highlight=False, markup=False)
    left = len(table.metrics) - len(metrics)
    rest = f" ({left} more metrics)" if left else ""
    pages = f"{CSV}, {PAGE}" if table.finished else CSV
    out.print(f"table{rest}: {pages} in {table.sweep.folder}", highlight=False, markup=False)


def _mean_rows(table: SweepTable, metrics: Sequence[str]) -> list[list[Cell]]:
    rows = []
    for values, members in table.groups("seed"):
        cells = []
        for name in metrics:
            mean, std, count = moments(members, name)
            spread = f" ± {std:.2g}" if count > 1 else ""
            cells.append(f"{mean:.4g}{spread}" if count else "-")
        rows.append([*values.values(), len(members), *cells])
    return rows


def _write_csv(table: SweepTable) -> None:
    keys, metrics = table.sweep.swept, table.metrics
    _csv(
        table.sweep.folder / CSV,
        ["run", "state", *keys, *metrics],
        [
            [
                row.name,
                row.state,
                *(_plain(value) for value in row.values.values()),
                *(row.metrics.get(name, "") for name in metrics),
            ]
            for row in table.rows
        ],
    )
    if not table.over_seeds:
        return
    shown = [key for key in keys if key != "seed"]
    headers = [f"{name}{part}" for name in metrics for part in ("_mean", "_std", "_n")]
    rows = []
    for values, members in table.groups("seed"):
        numbers = [number for name in metrics for number in moments(members, name)]
        numbers = ["" if np.isnan(number) else number for number in numbers]
        rows.append([*(_plain(value) for value in values.values()), *numbers])
    _csv(table.sweep.folder / MEANS, [*shown, *headers], rows)


def _csv(file: Path, headers: list[str], rows: list[list[Cell]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    _atomic.write_text(file, buffer.getvalue())


def _plain(value: Cell) -> Cell:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _write_page(table: SweepTable, metrics: list[str]) -> None:
    sweep = table.sweep
    keys = ", ".join(f"`{key}`" for key in sweep.swept)
    report = Report(
        title=f"Sweep of {sweep.configuration}",
        summary=f"{len(table.rows)} runs over {keys or 'nothing'}, of which "
        f"{len(table.finished)} are finished.",
    )
    left = len(table.metrics) - len(metrics)
    note = f"{left} more metrics are in `{CSV}`." if left else ""
    if table.over_seeds:
        report.table(
            "Mean over the seeds",
            [*(key for key in sweep.swept if key != "seed"), "runs", *metrics],
            _mean_rows(table, metrics),
            f"Mean ± standard deviation (of a sample) over the runs of each row. {note}",
        )
    from .. import plotting

    varying = [name for name in metrics if table.varies(name)]
    for key, lines in _lines(table, varying).items() if varying else ():
        with plotting.style():
            figure = plotting.metrics_against(key, lines, varying)
        name = f"against_{key}"
        png = save_figure(sweep.folder / "figures", name, figure)
        bars = "; bars: standard deviation over the seeds" if table.over_seeds else ""
        report.media(f"{name}.png", png, f"Metrics that vary, against `{key}`{bars}.")
    report.table(
        "All runs",
        [*sweep.swept, "state", *metrics],
        [
            [*row.values.values(), row.state, *(row.metrics.get(name, "") for name in metrics)]
            for row in table.rows
        ],
        note,
    )
    runs = [row.stored for row in table.finished if row.stored]
    seeds = sorted({str(run.environment["seed"]) for run in runs})
    seconds = {run.path.name: run.timings["total"] for run in runs}
    page = report.render(
        config=(sweep.folder / ASKED).read_text(encoding="utf-8"),
        environment=runs[0].environment | {"seed": ", ".join(seeds)},
        timings={"stages": seconds, "total": sum(seconds.values())},
    )
    _atomic.write_text(sweep.folder / PAGE, page)


def _lines(table: SweepTable, metrics: list[str]) -> dict[str, list[Any]]:
    """Return the lines of each figure, by the key on its axis."""
    from ..plotting import SweepLine

    found: dict[str, list[Any]] = {}
    for key in table.sweep.swept:
        values = {row.values[key] for row in table.finished if _is_number(row.values[key])}
        # The seed is no quantity: only where nothing else varies is there a figure over it.
        if len(values) < 2 or (key == "seed" and len(table.sweep.swept) > 1):
            continue
        found[key] = lines = []
        for others, rows in table.groups(key, "seed"):
            x = sorted({row.values[key] for row in rows if _is_number(row.values[key])})
            at = [[row for row in rows if row.values[key] == value] for value in x]
            numbers = {name: np.array([moments(some, name) for some in at]) for name in metrics}
            lines.append(
                SweepLine(
                    label=", ".join(f"{name}={value}" for name, value in others.items()),
                    x=np.array(x, float),
                    mean={name: array[:, 0] for name, array in numbers.items()},
                    std={name: array[:, 1] for name, array in numbers.items()},
                )
            )
    return found


def _is_number(value: Cell) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
