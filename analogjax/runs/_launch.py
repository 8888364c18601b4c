"""Where the runs of a sweep run: one after another, as local processes, or on a cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from . import _atomic
from ._errors import UsageError, nearest
from ._job import Job, Worker

LAUNCHERS = ("serial", "processes", "submitit", "slurm")
"""Serial in this process, local processes, submitit's local executor, a Slurm cluster."""

_ALIVE = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "PREEMPTED", "SUSPENDED")
_LOCAL_MINUTES = 60 * 24 * 365  # submitit ends a local job after two minutes if none are named


@dataclasses.dataclass(frozen=True)
class Launcher:
    """Where and with what the runs of a sweep run."""

    kind: str = "serial"
    """One of `LAUNCHERS`."""

    at_once: int | None = None
    """Runs at the same time; None: one for each share of this machine's cores, all of a cluster."""

    cpus: int | None = None
    """Cores of a run; None: one on this machine, what the cluster gives there."""

    gpus: int | None = None
    """GPUs of a run; None: on this machine they share what there is."""

    minutes: int = 60
    """Time that a cluster is asked for; a run that needs more is queued again and goes on."""

    memory: float | None = None
    """Memory that a cluster is asked for [GB]."""

    partition: str | None = None
    """Partition of the cluster."""

    more: dict[str, str] = dataclasses.field(default_factory=dict)
    """Further options of `sbatch`."""

    def __post_init__(self) -> None:
        """Check what is asked."""
        if self.kind not in LAUNCHERS:
            raise UsageError(
                f"Argument `--launcher` must be one of {', '.join(LAUNCHERS)}, "
                f"but is {self.kind!r}{nearest(self.kind, LAUNCHERS)}."
            )
        for option, value in (
            ("--jobs", self.at_once),
            ("--cpus", self.cpus),
            ("--time", self.minutes),
            ("--memory", self.memory),
        ):
            if value is not None and not value > 0:
                raise UsageError(f"Argument `{option}` must be above 0, but is {value}.")
        if self.gpus is not None and self.gpus < 0:
            raise UsageError(f"Argument `--gpus` must be at least 0, but is {self.gpus}.")
        only_cluster = {
            "--partition": self.partition,
            "--memory": self.memory,
            "--slurm": self.more or None,
        }
        for option, value in only_cluster.items():
            if self.kind != "slurm" and value is not None:
                raise UsageError(
                    f"Argument `{option}` must come with --launcher slurm, "
                    f"but comes with {self.kind}."
                )

    @property
    def places(self) -> int:
        """How many runs share this machine at once."""
        if self.at_once is not None:
            return self.at_once
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        return max(1, cores // (self.cpus or 1))


def launch(jobs: Sequence[Job], launcher: Launcher, tell: Callable[[str], None]) -> dict[str, str]:
    """Run the jobs that are not finished.

    Args:
        jobs: Runs of one sweep.
        launcher: Where they run.
        tell: Told what begins and ends.

    Returns:
        The sentence of each run that failed or was killed, by its name.

    Raises:
        UsageError: If the sweep is being run already, or the launcher cannot be used here.
    """
    if not jobs:
        return {}
    with _atomic.locked(jobs[0].log.with_name(".lock"), wait=False) as alone:
        if not alone:
            raise UsageError(
                f"Argument `--out` must not be in use, but another process runs the sweep in "
                f"{str(jobs[0].sweep)!r}."
            )
        left = [job for job in jobs if not job.finished]
        if len(left) < len(jobs):
            tell(f"{len(jobs) - len(left)} of {len(jobs)} runs are finished already")
        if launcher.kind == "serial":
            return _in_turn(left, tell)
        return _side_by_side(left, launcher, tell)


def _in_turn(jobs: Sequence[Job], tell: Callable[[str], None]) -> dict[str, str]:
    failed = {}
    for number, job in enumerate(jobs, 1):
        tell(f"[{number}/{len(jobs)}] {job.name}")
        job.run()
        if job.failure:
            failed[job.name] = job.failure
            tell(f"{job.name} failed: {job.failure}")
    return failed


@runtime_checkable
class _Started(Protocol):
    """A job that has been started."""

    def ended(self) -> str | None:
        """Return None while it runs, then how it ended, for a job that left no word itself."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


def _side_by_side(
    jobs: Sequence[Job], launcher: Launcher, tell: Callable[[str], None]
) -> dict[str, str]:
    """Keep so many jobs running until all have ended."""
    if not jobs:
        return {}
    cluster = launcher.kind == "slurm"
    places = len(jobs) if cluster else min(launcher.places, len(jobs))
    executor = _Processes() if launcher.kind == "processes" else _Submitit(jobs[0], launcher)
    free, waiting = list(range(places)), list(jobs)
    running: dict[int, tuple[Job, _Started]] = {}
    failed: dict[str, str] = {}
    done = 0
    try:
        while waiting or running:
            with executor.batch():
                while waiting and free:
                    place, job = free.pop(0), waiting.pop(0)
                    worker = Worker(job, place, 1 if cluster else places, launcher.gpus)
                    job.failure_file.unlink(missing_ok=True)
                    running[place] = (job, executor.start(worker))
                    tell(f"started {job.name}")
            time.sleep(1.0 if cluster else 0.1)
            for place, (job, started) in list(running.items()):
                if (how := started.ended()) is None:
                    continue
                del running[place]
                free.append(place)
                done += 1
                if not job.finished:
                    if not job.failure:
                        job.fail(f"The process {how} before the run was finished.")
                    failed[job.name] = job.failure
                    tell(f"[{done}/{len(jobs)}] {job.name} failed: {job.failure}")
                else:
                    tell(f"[{done}/{len(jobs)}] {job.name} finished")
    finally:
        if running and cluster:
            tell("jobs of the cluster go on: the same command, given again, waits for them")
        else:
            for _, started in running.values():
                started.stop()
    return failed


class _Processes:
    """Starts jobs as processes of this machine."""

    # Spawned, not forked: a fork of a process with threads, as JAX has them, can hang.
    _context = multiprocessing.get_context("spawn")

    batch = staticmethod(contextlib.nullcontext)

    def start(self, worker: Worker) -> _Started:
        process = self._context.Process(target=worker, name=worker.job.name)
        process.start()
        return _Process(process)


class _Process:
    def __init__(self, process: Any):
        self.process = process

    def ended(self) -> str | None:
        code = self.process.exitcode
        if code is None:
            return None
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(5)
        if self.process.exitcode is None:
            self.process.kill()


class _Submitit:
    """Starts jobs by submitit: as local processes, or as an array of jobs of Slurm."""

    def __init__(self, job: Job, launcher: Launcher):
        try:
            import submitit
        except ImportError:
            raise UsageError(
                f"Launcher `{launcher.kind}` must have the package submitit, which is missing: "
                "pip install 'analogjax[cluster]'."
            ) from None
        self.cluster = launcher.kind == "slurm"
        self.folder = job.log.with_name("submitit")
        try:
            self.executor = submitit.AutoExecutor(
                folder=self.folder, cluster="slurm" if self.cluster else "local"
            )
        except RuntimeError as error:  # there is no srun
            raise UsageError(
                f"Launcher `slurm` must run where Slurm's commands are, but {error}"
            ) from None
        options: dict[str, Any] = {
            "name": job.configuration,
            "timeout_min": launcher.minutes if self.cluster else _LOCAL_MINUTES,
            "cpus_per_task": launcher.cpus,
            "gpus_per_node": launcher.gpus,
            "mem_gb": launcher.memory,
        }
        if self.cluster:
            options |= {
                "slurm_partition": launcher.partition,
                "slurm_additional_parameters": launcher.more or None,
                "slurm_array_parallelism": launcher.at_once,
            }
        # submitit takes None as not given.
        self.executor.update_parameters(**options)

    def batch(self) -> Any:
        """Return a context that submits what is started in it at its end, as one array."""
        if not self.cluster:
            return contextlib.nullcontext()
        # Implicit, or it warns of a batch in which nothing new is started.
        return self.executor.batch(allow_implicit_submissions=True)

    def start(self, worker: Worker) -> _Started:
        return _Submitted(self, worker)


class _Submitted:
    def __init__(self, owner: _Submitit, worker: Worker):
        self.settle = 10.0 if owner.cluster else 0.0
        self.worker = worker
        self.number = worker.job.log.with_name(f"{worker.job.name}.slurm")
        self.cluster = owner.cluster
        self.gone: float | None = None
        self.noted = False
        queued = _still_queued(self.number, owner.folder) if self.cluster else None
        self.submitted: Any = owner.executor.submit(worker) if queued is None else queued

    def ended(self) -> str | None:
        if self.cluster and not self.noted:
            # Only now is there a number: a batch is submitted as a whole.
            _atomic.write_text(self.number, self.submitted.job_id)
            self.noted = True
        if not self.submitted.done():
            return None
        # A shared disk shows what another machine wrote only after a while.
        self.gone = self.gone or time.monotonic()
        job = self.worker.job
        if not (job.finished or job.failure) and time.monotonic() - self.gone < self.settle:
            return None
        self.number.unlink(missing_ok=True)
        return f"was killed (state {self.submitted.state})"

    def stop(self) -> None:
        self.submitted.cancel(check=False)


def _still_queued(number: Path, folder: Path) -> Any:
    """Return the job of an earlier command that still waits or runs, None if there is none."""
    import submitit

    if not number.is_file():
        return None
    job = submitit.SlurmJob(folder, number.read_text(encoding="utf-8").strip())
    # A number that Slurm no longer knows is in no such state.
    alive = not job.done(force_check=True) and job.state.upper() in _ALIVE
    return job if alive else None
