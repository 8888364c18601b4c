"""One run: into its folder, here or as a job of a sweep in a process of its own."""

from __future__ import annotations

import dataclasses
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from . import _atomic, _library, _processes
from ._accelerators import on_accelerators
from ._compose import Composed, compose
from ._errors import is_wrong_input, sentence
from ._folder import REPORT, RunFolder


def execute(composed: Composed, out: str | os.PathLike[str]) -> None:
    """Run a configuration into its folder, or say that it is finished already.

    Args:
        composed: What is run.
        out: The run folder.

    Raises:
        UsageError: If the folder holds something else.
    """
    with (
        on_accelerators(composed.resolved["accelerators"]),
        _processes.written_by_first(Path(out)) as place,
    ):
        folder = RunFolder(
            place,
            composed.resolved,
            name=composed.name,
            title=composed.title,
            summary=composed.summary,
        )
        # Asked of the first process of a job: the others write elsewhere.
        if _processes.from_first(b"" if folder.finished else None) is not None:
            print(f"{composed.name}: already finished, nothing to compute")
            return
        from .. import plotting

        with plotting.style():
            composed.module.run(composed.config, folder)
            folder.finish()


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of a sweep; called in a process of its own, it leaves its outcome on the disk."""

    name: str
    """Name of its folder below the sweep's."""

    configuration: str
    """Name of the configuration."""

    overrides: tuple[str, ...]
    """Plain overrides."""

    sweep: Path
    """The sweep's folder, absolute."""

    package: Path = dataclasses.field(default_factory=lambda: _library.PACKAGE)
    """The package beside which configurations and experiments lie."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.sweep / self.name

    @property
    def log(self) -> Path:
        """What the job printed; the traceback if it failed."""
        return self.sweep / "logs" / f"{self.name}.log"

    @property
    def failure_file(self) -> Path:
        """The sentence of a failed job."""
        return self.sweep / "logs" / f"{self.name}.failed"

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return (self.folder / REPORT).is_file()

    @property
    def failure(self) -> str:
        """Why the job failed the last time, "" if it did not."""
        try:
            return self.failure_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def fail(self, why: str) -> None:
        """Leave the sentence by which the job failed."""
        _atomic.write_text(self.failure_file, why + "\n")

    def run(self) -> None:
        """Run in this process; a failure is left as a sentence, its traceback in the log."""
        with _atomic.locked(self.log, wait=False) as alone:
            if not alone:
                # Left behind by a sweep that was killed: two must not write one folder.
                self.fail("Another process is still running this job: wait for it, or end it.")
                return
            self.failure_file.unlink(missing_ok=True)
            try:
                execute(compose(self.configuration, self.overrides), self.folder)
            except Exception as error:
                with self.log.open("a", encoding="utf-8") as log:
                    traceback.print_exception(error, file=log)
                if not is_wrong_input(error):
                    traceback.print_exception(error)
                self.fail(sentence(error))


@dataclasses.dataclass(frozen=True)
class Worker:
    """A job for another process. submitit calls it, and asks it what to do when it must give way.

    Args of the share: a process on one machine with others gets every n-th core (and GPU), or all
    their threads would wait for one another.
    """

    job: Job
    place: int = 0
    """Which of the places on this machine is its own."""

    places: int = 1
    """How many run on this machine at once; 1 also where a scheduler deals out the shares."""

    gpus: int | None = None
    """GPUs of its own; None: it shares all that there are."""

    def __call__(self) -> None:
        """Run the job with its share of the machine, everything that is printed into its log."""
        self.job.log.parent.mkdir(parents=True, exist_ok=True)
        with self.job.log.open("a", encoding="utf-8") as log:
            # The file descriptors, so that what compilers and libraries print goes there, too.
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        print("---", *self.job.overrides, file=sys.stderr, flush=True)
        self._take_share()
        _library.PACKAGE = self.job.package
        self.job.run()
        sys.stdout.flush()

    def checkpoint(self) -> Any:
        """Return what submitit queues when the job is preempted or its time is over: the same.

        The run then goes on from its last finished stage.
        """
        import submitit

        return submitit.helpers.DelayedSubmission(self)

    def _take_share(self) -> None:
        if self.places > 1:
            if hasattr(os, "sched_setaffinity"):
                # Before JAX is imported, which makes as many threads as it may use cores.
                cores = sorted(os.sched_getaffinity(0))
                os.sched_setaffinity(
                    0, cores[self.place :: self.places] or {cores[self.place % len(cores)]}
                )
            if self.gpus is None:
                share = f"{0.9 / self.places:.3f}"
                os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", share)
        if self.gpus is not None and self.places > 1:
            first = self.place * self.gpus
            own = range(first, first + self.gpus)
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, own))
