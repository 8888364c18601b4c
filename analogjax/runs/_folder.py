"""The run folder: everything that one configuration gives, and nothing of another."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import numbers
import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _atomic, _environment, _portions, _report, _stages
from ._errors import UsageError
from ._progress import Progress, ProgressDisplay, duration
from ._schema import CommonKeys, flatten

if TYPE_CHECKING:
    import matplotlib.figure
    import xarray

REPORT = "report.html"
"""Written last: a folder that holds it holds a finished run."""


class RunFolder:
    """Everything one resolved configuration gives, in one folder.

    A run is a pure function of its configuration, so a folder belongs to one configuration only.
    All files are written whole or not at all; stages that were finished are read back when an
    interrupted run is started again, so that it ends with the same metrics as an undisturbed one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        name: str = "",
        title: str = "",
        summary: str = "",
    ):
        """Open or create a run folder.

        Args:
            path: The folder.
            config: The resolved configuration: nested dictionaries of plain values.
            name: Name of the configuration.
            title: The report's title (default: the name).
            summary: The report's first paragraph.

        Raises:
            UsageError: If the folder holds another configuration, or files of something else.
        """
        self.path = Path(path)
        """The folder."""
        self.config = dict(config)
        """The resolved configuration."""
        self.name = name
        """Name of the configuration."""
        self._report = _report.Report(title=title or name or self.path.name, summary=summary)
        self._metrics: dict[str, int | float] = {}
        self._used: set[tuple[str, str]] = set()
        self._display = ProgressDisplay()
        self._start = time.perf_counter()

        resumed = self._claim()
        _atomic.remove_partial(self.path)
        self._timings = self._read_json("timings.json") or {"stages": {}, "total": 0.0, "starts": 0}
        self._spent = self._timings["total"]
        if not self.finished:
            self._timings["starts"] += 1
            self._write_environment(resumed)
            self._write_timings()

    @property
    def seed(self) -> int:
        """The seed of the configuration (0 if it names none)."""
        return int(self.config.get("seed", 0))

    @property
    def finished(self) -> bool:
        """Whether the folder holds a finished run."""
        return (self.path / REPORT).is_file()

    # Opening

    def _claim(self) -> bool:
        """Make the folder ours; return whether a run of this configuration was here before."""
        from omegaconf import OmegaConf

        file = self.path / "config.yaml"
        if file.is_file():
            stored = OmegaConf.to_container(OmegaConf.load(file))
            # Compared as the file would hold it, so that tuples and lists are the same.
            own = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(self.config)))
            # A run from before a common key came had its default.
            common = dataclasses.asdict(CommonKeys())
            before = {key: value for key, value in common.items() if key in self.config}
            _require_same(self.path, before | flatten(stored), flatten(own))
            return True
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UsageError(
                f"Run folder {str(self.path)!r} must be new, empty or hold a run, "
                "but holds other files."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        _atomic.write_text(file, OmegaConf.to_yaml(self.config))
        return False

    def _write_environment(self, resumed: bool) -> None:
        new = _environment.environment(self.config, self.name)
        old = self._read_json("environment.json")
        if resumed and old and (self.path / "stages").is_dir():
            changed = [key for key in ("git_commit", "packages", "device") if old[key] != new[key]]
            if changed:
                self.log(
                    f"note: {' and '.join(changed)} changed since the finished stages were "
                    "computed; they are used as they are."
                )
        _atomic.write_json(self.path / "environment.json", new)

    def _read_json(self, name: str) -> Any:
        file = self.path / name
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def _take(self, kind: str, name: str) -> None:
        """Check a name that becomes a file, group or key, and that it is used once."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._=+-]*", name):
            raise ValueError(
                f"Argument `name` must be made of letters, digits and ' ._=+-', but is {name!r}."
            )
        if (kind, name) in self._used:
            # A second one would silently replace the first (or, for a stage, return it).
            raise ValueError(
                f"Argument `name` must be new for every {kind} of a run, but is {name!r} again."
            )
        self._used.add((kind, name))

    # Computing

    def log(self, text: str) -> None:
        """Print a line for whoever watches (standard error; results go to standard output)."""
        print(text, file=sys.stderr, flush=True)

    def stage(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """Compute named arrays once; after an interruption, read them back.

        Args:
            name: The stage's name; it becomes `stages/NAME.npz`.
            compute: A function without arguments that returns a dictionary of arrays and depends on
                nothing but the configuration and earlier stages.

        Returns:
            The arrays, as NumPy arrays.
        """
        self._take("stage", name)
        file = self.path / "stages" / f"{name}.npz"
        stored = _stages.find(file)
        if stored is not None:
            self.log(f"stage {name}: read back")
            return stored
        start = time.perf_counter()
        # Of several processes all go on with the same digits.
        arrays = _stages.arrays_from_first(_stages.as_arrays(name, compute()))
        seconds = time.perf_counter() - start
        _stages.save(file, arrays)
        for part in file.parent.glob(f"{name}.*part.npz"):
            part.unlink()
        self._timings["stages"][name] = seconds
        self._write_timings()
        self.log(f"stage {name}: {duration(seconds)}")
        return arrays

    def portions(
        self,
        name: str,
        start: Callable[[], Any],
        advance: Callable[[Any], Any],
        done: Callable[[Any], int],
        total: int,
        *,
        version: str = "",
        every: float | None = None,
    ) -> Any:
        """Do long work in portions; after an interruption, go on from the last one stored.

        Args:
            name: What is being done; its state goes to `stages/NAME.VERSIONpart.npz`, removed
                when the stage that contains the work (of the same name) is stored.
            start: Returns the state before the first portion: a tree of arrays.
            advance: Returns the state after another portion. Where one portion ends and the next
                begins must not change the result.
            done: How much of `total` a state has behind it.
            total: All of it.
            version: What the work depends on besides the configuration, such as the code: what
                another version has stored is not gone on with.
            every: Least time between two stores [s]; 20, or ANALOGJAX_STORE_SECONDS, if None.

        Returns:
            The final state.
        """
        every = float(os.environ.get("ANALOGJAX_STORE_SECONDS", 20)) if every is None else every
        state = start()
        file = self.path / "stages" / f"{name}.{version}part.npz"
        stored = _stages.find(file)
        if stored is not None:
            state = _portions.from_arrays(stored, state)
            self.log(f"stage {name}: goes on at {done(state)} of {total}")
        last = time.perf_counter()
        with self.progress(name, total) as progress:
            before = done(state)
            if before:
                progress.advance(before)
            while before < total:
                state = advance(state)
                now = done(state)
                progress.advance(now - before)
                before = now
                if time.perf_counter() - last > every and now < total:
                    _stages.save(file, _portions.to_arrays(state))
                    last = time.perf_counter()
        return state

    @contextlib.contextmanager
    def progress(self, description: str, total: int) -> Iterator[Progress]:
        """Show the progress of long work with an estimate of the time left.

        Advance it between compiled calls, never from inside one: a host callback would keep the
        program out of the compilation cache.

        Args:
            description: What is being done.
            total: The number of parts.

        Yields:
            An object whose `advance(n=1)` counts the parts done.
        """
        with self._display.show(description, total) as shown:
            yield shown

    def _write_timings(self) -> None:
        self._timings["total"] = self._spent + time.perf_counter() - self._start
        _atomic.write_json(self.path / "timings.json", self._timings)

    # Recording

    def metric(self, name: str, value: Any, help: str = "") -> None:
        """Record one number.

        Args:
            name: Its name, by custom ending in its unit, as in `energy_per_pulse_J`.
            value: A finite number that depends on configuration and seed only (so never a time).
            help: What it is, for the report.

        Raises:
            ValueError: If it is no finite number, or the name was used before.
        """
        self._take("metric", name)
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            value = value.item()  # NumPy and JAX scalars
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ValueError(
                f"Metric `{name}` must be a number, but is {value!r} of {type(value)}."
            )
        if not math.isfinite(value):
            raise ValueError(f"Metric `{name}` must be finite, but is {value}.")
        self._metrics[name] = int(value) if isinstance(value, numbers.Integral) else float(value)
        self._report.metrics.append((name, self._metrics[name], help))
        _atomic.write_json(self.path / "metrics.json", self._metrics)

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Record several numbers; see `metric`."""
        for name, value in values.items():
            self.metric(name, value)

    def dataset(self, group: str, dataset: xarray.Dataset) -> None:
        """Write labelled arrays as one group of `results.zarr`.

        Args:
            group: The group's name.
            dataset: Arrays whose every number has an attribute `units` ("1" if it has none).

        Raises:
            ValueError: If a variable or coordinate of numbers lacks its unit.
        """
        import zarr

        self._take("dataset", group)
        for name, variable in dataset.variables.items():
            if variable.dtype.kind in "iufc" and "units" not in variable.attrs:
                raise ValueError(
                    "Argument `dataset` must give every number a `units` attribute ('1' for none), "
                    f"but `{name}` of group `{group}` has none."
                )
        store = self.path / "results.zarr"
        partial = _atomic.partial_folder(self.path, "results.zarr")
        with _quiet_zarr():
            dataset.to_zarr(partial, group=group, mode="w", consolidated=False)
        store.mkdir(exist_ok=True)
        os.replace(partial / "zarr.json", store / "zarr.json")
        shutil.rmtree(store / group, ignore_errors=True)
        os.replace(partial / group, store / group)
        shutil.rmtree(partial)
        with _quiet_zarr():
            # So that one group, or the whole tree, opens without a warning.
            zarr.consolidate_metadata(str(store))

    # Reporting

    def summary(self, text: str) -> None:
        """Replace the report's first paragraph, for instance by one that holds the finding."""
        self._report.summary = text

    def section(self, title: str, text: str) -> None:
        """Add prose to the report, in order with figures and tables.

        Args:
            title: The section's heading ("" for none).
            text: Paragraphs parted by empty lines; lines that begin with "- " are a list; `code`,
                **bold** and *italic* are known.
        """
        self._report.section(title, text)

    def table(
        self, title: str, headers: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = ""
    ) -> None:
        """Add a table to the report.

        Args:
            title: What it shows ("" for none).
            headers: The columns' names.
            rows: The rows; floats are shown with five digits.
            caption: What to see in it.

        Raises:
            ValueError: If a row has another length than the headers.
        """
        for row in rows:
            if len(row) != len(headers):
                raise ValueError(
                    f"Argument `rows` must have {len(headers)} entries in each row, "
                    f"but one has {len(row)}."
                )
        self._report.table(title, headers, rows, caption)

    def figure(self, name: str, figure: matplotlib.figure.Figure, caption: str = "") -> None:
        """Save a figure as `figures/NAME.png` and `.svg`, and put it into the report.

        The figure is closed: a run that makes many would otherwise keep them all in memory.

        Args:
            name: The file's name without suffix.
            figure: A Matplotlib figure.
            caption: What to see in it.
        """
        self._take("figure", name)
        png = _report.save_figure(self.path / "figures", name, figure)
        self._report.media(f"{name}.png", png, caption)

    def media(self, name: str, content: str | os.PathLike[str] | bytes, caption: str = "") -> None:
        """Save an animation or picture under `figures/`, and put it into the report.

        Args:
            name: The file's name with its suffix: .gif, .png, .jpg, .webp, .svg, .mp4 or .webm.
            content: Its bytes, or a file to copy.
            caption: What to see in it.

        Raises:
            ValueError: If a browser cannot show it.
        """
        _report.media_type(name)
        self._take("figure", name)
        data = content if isinstance(content, bytes) else Path(content).read_bytes()
        _atomic.write_bytes(self.path / "figures" / name, data)
        self._report.media(name, data, caption)

    def finish(self) -> None:
        """Write the timings and the report, which marks the run as finished."""
        self._write_timings()
        _atomic.write_json(self.path / "metrics.json", self._metrics)
        page = self._report.render(
            config=(self.path / "config.yaml").read_text(encoding="utf-8"),
            environment=self._read_json("environment.json"),
            timings=self._timings,
        )
        _atomic.write_text(self.path / REPORT, page)


@contextlib.contextmanager
def _quiet_zarr() -> Iterator[None]:
    """Silence zarr's notes that text and consolidated metadata are not yet in its specification."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Zarr (V3|format 3) specification.*")
        yield


def _require_same(path: Path, stored: dict[str, Any], own: dict[str, Any]) -> None:
    def say(config: dict[str, Any], key: str) -> str:
        return repr(config[key]) if key in config else "absent"

    for key in [*own, *stored]:
        # A key that another version does not have is one that is not set.
        unset = stored.get(key) is None and own.get(key) is None
        if say(stored, key) != say(own, key) and not unset:
            raise UsageError(
                f"Run folder {str(path)!r} must hold the same configuration, but its key `{key}` "
                f"is {say(stored, key)} and this run's is {say(own, key)}."
            )
