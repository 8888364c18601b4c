"""Looking at finished runs: one in full, several side by side."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._errors import UsageError
from ._folder import REPORT
from ._progress import duration
from ._schema import flatten


@dataclasses.dataclass(frozen=True)
class Stored:
    """What a run folder says about itself."""

    path: Path
    """The folder."""

    config: dict[str, Any]
    """The resolved configuration with dotted keys."""

    metrics: dict[str, int | float]
    """The metrics; empty if the run was stopped before the first."""

    timings: dict[str, Any]
    """Seconds in all and by stage."""

    environment: dict[str, Any]
    """Versions, device, commit."""

    finished: bool
    """Whether the run came to its end."""

    @property
    def files(self) -> list[str]:
        """What the folder holds: files, and stores (which are folders) by their name."""
        found = []
        for folder, folders, files in os.walk(self.path):
            stores = [name for name in folders if name.endswith(".zarr")]
            folders[:] = sorted(set(folders) - set(stores))
            below = Path(folder).relative_to(self.path)
            found += [(below / name).as_posix() for name in [*stores, *files]]
        return sorted(found)


def read(path: str | os.PathLike[str]) -> Stored:
    """Read a run folder.

    Raises:
        UsageError: If it is none.
    """
    from omegaconf import OmegaConf

    folder = Path(path)
    if not (folder / "config.yaml").is_file():
        there = "holds no config.yaml" if folder.is_dir() else "does not exist"
        raise UsageError(f"Argument `RUN_FOLDER` must be a run folder, but {str(path)!r} {there}.")

    def load(name: str) -> dict[str, Any]:
        file = folder / name
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    return Stored(
        path=folder,
        config=flatten(OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))),
        metrics=load("metrics.json"),
        timings=load("timings.json"),
        environment=load("environment.json"),
        finished=(folder / REPORT).is_file(),
    )


def expand(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Replace each parent of a sweep by the run folders in it.

    Raises:
        UsageError: If a path is neither a run folder nor a parent of any.
    """
    found: list[Path] = []
    for given in paths:
        path = Path(given)
        children = sorted(file.parent for file in path.glob("*/config.yaml"))
        if (path / "config.yaml").is_file() or not children:
            read(path)  # says what is wrong if it is none
            children = [path]
        found += [child for child in children if child not in found]
    return found


def show(path: str | os.PathLike[str]) -> None:
    """Print the summary of one run: configuration, metrics, times, files."""
    stored = read(path)
    out = console(1)
    device = stored.environment.get("device", "unknown device")
    state = "finished" if stored.finished else "not finished: start it again to go on"
    name = stored.environment.get("configuration") or stored.config.get("experiment", "")
    out.print(f"[bold]{name}[/bold]: {state}; on {device}", highlight=False)
    out.print(_table(["key", "value"], _rows(stored.config)))
    if stored.metrics:
        out.print(_table(["metric", "value"], _rows(stored.metrics)))
    if stored.timings:
        times = {**stored.timings["stages"], "total": stored.timings["total"]}
        rows = [[stage, duration(seconds)] for stage, seconds in times.items()]
        out.print(_table(["stage", "time"], rows))
    out.print("files: " + ", ".join(stored.files), highlight=False)


def compare(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Print the metrics of several runs side by side, below the keys in which they differ.

    Args:
        paths: Run folders, or parents of a sweep.
    """
    runs = [read(path) for path in expand(paths)]
    out = console(len(runs))
    keys = list(dict.fromkeys(key for run in runs for key in run.config))
    differing = [key for key in keys if len({repr(run.config.get(key, "-")) for run in runs}) > 1]
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    names = [run.path.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    names = [
        name if run.finished else f"{name} (not finished)"
        for name, run in zip(names, runs, strict=True)
    ]
    table = _table(
        ["", *names],
        [[key, *(text(run.config.get(key, "-")) for run in runs)] for key in differing],
    )
    if differing:
        table.add_section()
    for name in metrics:
        table.add_row(name, *(text(run.metrics.get(name, "-")) for run in runs))
    out.print(table)


def console(columns: int) -> Any:
    """Return where tables of so many columns are printed."""
    from rich.console import Console

    found = Console()
    if not found.is_terminal:
        # In a pipe nobody sees a window's edge: cut nothing off.
        found = Console(width=60 + 60 * columns)
    return found


def print_table(headers: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    console(len(headers)).print(_table(headers, rows))


def _table(headers: list[str], rows: list[list[str]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for header in headers:
        table.add_column(Text(header), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _rows(values: dict[str, Any]) -> list[list[str]]:
    return [[name, text(value)] for name, value in values.items()]


def text(value: Any) -> str:
    """Return a table's entry as text: floats with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
