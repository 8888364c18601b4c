"""Files that are either whole or absent, whoever else is writing, and locks that die with us."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PREFIX = ".partial-"


def write_with(path: Path, writer: Callable[[Path], Any]) -> None:
    """Let `writer` fill a temporary file beside `path`, then move it into place.

    Args:
        path: The file to make; its folder is made if it is missing.
        writer: Called with the temporary file's path, which ends in the name of `path` (a
            saver may choose its format by the suffix).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{_PREFIX}{_unique()}-{path.name}")
    try:
        writer(partial)
        # A rename within one folder is atomic: a reader, or a killed run, sees old or new, no half.
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically."""
    write_with(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file atomically."""
    write_with(path, lambda partial: partial.write_bytes(data))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, keys sorted, so that equal content gives equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def partial_folder(parent: Path, name: str) -> Path:
    """Return an empty temporary folder beside the target, to be filled and then renamed."""
    folder = parent / f"{_PREFIX}{_unique()}-{name}"
    folder.mkdir(parents=True)
    return folder


def _unique() -> str:
    # Two machines that share a disk may have processes of the same number.
    return f"{os.getpid()}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock among processes, on a file that is made if it is missing.

    The system drops the lock when its holder ends, however it ends.

    Args:
        path: The file that is locked. Its content is neither read nor changed.
        wait: Whether to wait while another process holds the lock.

    Yields:
        Whether the lock is held: False if another process has it and `wait` is False. True where
        the file system knows no locks, too: there is nothing to learn from it.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield True
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True


def remove_partial(folder: Path) -> None:
    """Remove what a killed run left half written, one level of folders deep."""
    for pattern in (f"{_PREFIX}*", f"*/{_PREFIX}*"):
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
