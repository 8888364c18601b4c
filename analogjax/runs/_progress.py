"""Progress of long work with an estimate of the time left: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol


class Progress(Protocol):
    """What `RunFolder.progress` yields."""

    def advance(self, n: int = 1) -> None:
        """Say that `n` more parts are done."""
        ...


def duration(seconds: float | int) -> str:
    """Return a duration as a person says it: `0.4 s`, `35 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _Lines:
    """Plain lines, at most one in `every` seconds, for log files and pipes."""

    def __init__(self, description: str, total: int, every: float = 10.0):
        self.description, self.total, self.every = description, total, every
        self.done = 0
        self.start = self.last = time.monotonic()

    def advance(self, n: int = 1) -> None:
        self.done += n
        now = time.monotonic()
        if self.done >= self.total or (self.done and now - self.last >= self.every):
            self.last = now
            self.report(now - self.start)

    def report(self, elapsed: float) -> None:
        left = elapsed * max(self.total - self.done, 0) / self.done
        tail = f"{duration(left)} left" if self.done < self.total else f"in {duration(elapsed)}"
        print(f"{self.description}: {self.done}/{self.total}, {tail}", file=sys.stderr, flush=True)


class _Bar:
    """One row of the live display."""

    def __init__(self, bars, task):
        self.bars, self.task = bars, task

    def advance(self, n: int = 1) -> None:
        self.bars.advance(self.task, n)


class ProgressDisplay:
    """Shows any number of nested progresses, of which a terminal allows one live display only."""

    def __init__(self) -> None:
        self._bars = None

    @contextlib.contextmanager
    def show(self, description: str, total: int) -> Iterator[Progress]:
        """Show one piece of work until the context ends.

        Args:
            description: What is being done.
            total: The number of parts.

        Yields:
            An object whose `advance(n=1)` counts the parts done.
        """
        if total < 1:
            raise ValueError(f"Argument `total` must be at least 1, but is {total}.")
        if not sys.stderr.isatty():
            yield _Lines(description, total)
            return
        outermost = self._bars is None
        if self._bars is None:
            self._bars = _live_bars()
            self._bars.start()
        task = self._bars.add_task(description, total=total)
        try:
            yield _Bar(self._bars, task)
        finally:
            if outermost:
                self._bars.stop()
                self._bars = None
            else:
                self._bars.remove_task(task)


def _live_bars():
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("time left"),
        progress.TimeRemainingColumn(elapsed_when_finished=False),
        # Standard output belongs to results: its last line is the run folder.
        console=Console(stderr=True),
    )
