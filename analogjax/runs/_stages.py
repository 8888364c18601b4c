"""Stages: named arrays that are computed once and read back after an interruption."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import _atomic, _processes


def as_arrays(stage: str, values: Any) -> dict[str, np.ndarray]:
    """Turn what a stage's function returned into NumPy arrays.

    Args:
        stage: The stage's name, for messages.
        values: A dictionary from names to numbers, NumPy or JAX arrays.

    Returns:
        The same names with NumPy arrays.

    Raises:
        TypeError: If it is no such dictionary.
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"Stage `{stage}` must return a dictionary of arrays, but returned {type(values)}."
        )
    arrays = {}
    for name, value in values.items():
        array = np.asarray(value)
        # Other kinds (objects, bfloat16) would need pickle or come back as raw bytes.
        if not isinstance(name, str) or array.dtype.kind not in "biufcSU":
            raise TypeError(
                f"Stage `{stage}` must return a dictionary from strings to arrays of numbers, "
                f"but its entry {name!r} is {type(value)} of dtype {array.dtype}."
            )
        arrays[name] = array
    return arrays


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays as an `.npz` file, atomically."""
    _atomic.write_with(path, lambda partial: _write(partial, arrays))


def _write(target: Path | io.BytesIO, arrays: dict[str, np.ndarray]) -> None:
    # Not np.savez: it takes the names as keywords, so that an array could not be called `file`.
    with zipfile.ZipFile(target, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def arrays_from_first(arrays: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Return the arrays that the first process of a job has been given, in every process.

    Args:
        arrays: In the first one, or the only one, not None.
    """
    file = io.BytesIO()
    if _processes.is_first():
        assert arrays is not None
        if not _processes.several():
            return arrays
        _write(file, arrays)
    content = _processes.from_first(file.getvalue())
    assert content is not None
    return load(io.BytesIO(content))


def find(path: Path) -> dict[str, np.ndarray] | None:
    """Return the arrays of an `.npz` file; None if there is no such file.

    In a job of several processes those of the first one's file: what one computes all compute.
    """
    mine = _processes.is_first() and path.is_file()
    content = _processes.from_first(path.read_bytes() if mine else None)
    return None if content is None else load(io.BytesIO(content))


def load(path: Path | io.BytesIO) -> dict[str, np.ndarray]:
    """Read the arrays of an `.npz` file."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
