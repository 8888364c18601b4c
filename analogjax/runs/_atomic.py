"""Files that are either whole or absent: write beside the target, then rename over it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
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
    partial = path.with_name(f"{_PREFIX}{os.getpid()}-{path.name}")
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
    folder = parent / f"{_PREFIX}{os.getpid()}-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def remove_partial(folder: Path) -> None:
    """Remove what a killed run left half written, one level of folders deep."""
    for pattern in (f"{_PREFIX}*", f"*/{_PREFIX}*"):
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
