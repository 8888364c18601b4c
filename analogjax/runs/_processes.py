"""A job of several processes: all run the same program, the first one reads, writes and speaks."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ._errors import UsageError


def join_cluster() -> None:
    """Make this process one of those of its cluster's job; before JAX's backends start.

    Slurm, Open MPI, Kubernetes and TPU pods are recognised by JAX. Elsewhere the environment says
    JAX_COORDINATOR_ADDRESS (host:port of the first process), JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Raises:
        UsageError: If neither is there.
    """
    import jax

    if jax.distributed.is_initialized():
        return
    numbers = [os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")]
    count, number = (None if value is None else int(value) for value in numbers)
    try:
        jax.distributed.initialize(num_processes=count, process_id=number)
    except (ValueError, RuntimeError) as error:
        raise UsageError(
            "Key `accelerators` must be `cluster` in a job of several processes only (srun, "
            "mpirun, or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID set), "
            f"but JAX says: {error}"
        ) from error
    from jax.experimental.multihost_utils import sync_global_devices

    # On CPUs processes must meet within 30 s where they first exchange anything: they do so here.
    sync_global_devices("analogjax")


def is_first() -> bool:
    """Whether this process is the one that reads and writes files."""
    if not several():
        return True
    import jax

    return jax.process_index() == 0


def from_first(content: bytes | None) -> bytes | None:
    """Return what the first process has been given, in every process.

    All must call it, the others with anything. What decides the way on, such as whether a file is
    there, has to come from one: a process that computes waits for the others to compute, too.
    """
    if not several():
        return content
    from jax.experimental.multihost_utils import broadcast_one_to_all

    mine = content if is_first() else None
    size = int(broadcast_one_to_all(np.asarray(-1 if mine is None else len(mine), np.int32)))
    if size < 1:
        return None if size < 0 else b""
    sent = np.zeros(size, np.uint8) if mine is None else np.frombuffer(mine, np.uint8)
    return np.asarray(broadcast_one_to_all(sent)).tobytes()


@contextlib.contextmanager
def written_by_first(folder: Path) -> Iterator[Path]:
    """Yield the folder to write to: this one for the first process of a job, else a throw-away.

    All processes of a job run the same program; one of them speaks and writes.
    """
    if is_first():
        yield folder
        return
    with (
        tempfile.TemporaryDirectory() as elsewhere,
        open(os.devnull, "w") as silence,
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        yield Path(elsewhere) / "run"


def several() -> bool:
    """Whether this process is one of several of a job."""
    # JAX is not imported, and its backends are not started, to find out that there is one.
    if "jax" not in sys.modules:
        return False
    import jax

    return jax.distributed.is_initialized() and jax.process_count() > 1
