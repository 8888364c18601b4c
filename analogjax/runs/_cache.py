"""Results that take long and belong to a configuration, kept outside the checkout."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import _atomic, _processes, _stages
from ._library import PACKAGE
from ._setup import cache_folder


def cached(
    kind: str,
    key: Mapping[str, Any],
    compute: Callable[[], Mapping[str, Any]],
    *,
    code: Sequence[str],
) -> tuple[dict[str, np.ndarray], bool]:
    """Return named arrays from the cache, or compute and keep them.

    Of processes that want the same arrays at the same time, one computes and the others wait.

    Args:
        kind: What they are; becomes a folder under `cache_folder()`.
        key: Plain values that determine them: configuration, seed, fingerprints of data.
        compute: Computes them.
        code: Sub-packages of analogjax, or files in them (``"programming/noise.py"``), whose source
            determines them too: what an older version of the code has computed is not used.

    Returns:
        The arrays, and whether they came from the cache. A file that cannot be read is computed
        again.
    """
    file = cache_file(kind, key, code=code)
    if (found := _load(file)) is not None:
        return found, True
    # Of the processes of one job the first locks, and all compute with it.
    first = _processes.is_first()
    with _atomic.locked(file.with_suffix(".lock")) if first else contextlib.nullcontext():
        if (found := _load(file)) is not None:  # by another process in the meantime
            return found, True
        arrays = _stages.arrays_from_first(_stages.as_arrays(kind, compute()))
        if first:
            _stages.save(file, arrays)
    return arrays, False


def _load(file: Path) -> dict[str, np.ndarray] | None:
    """Return the arrays of a file, None if it is missing or cannot be read."""
    try:
        return _stages.find(file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        file.unlink(missing_ok=True)
        return None


def cache_file(kind: str, key: Mapping[str, Any], *, code: Sequence[str]) -> Path:
    """Return the file in which `cached` keeps what belongs to a key."""
    import jax

    description = {
        "key": key,
        "code": source_fingerprint(code),
        # Another processor, compiler or precision changes the last digits.
        "jax": [jax.__version__, jax.default_backend(), bool(jax.config.read("jax_enable_x64"))],
    }
    text = json.dumps(description, sort_keys=True, default=str)
    return cache_folder() / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.npz"


def _digests() -> dict[str, str]:
    files = sorted(PACKAGE.rglob("*.py"))
    return {
        file.relative_to(PACKAGE).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


_SOURCE = _digests()
"""The source as it was when this process began: files that change later were not what it ran."""


def source_fingerprint(sources: Sequence[str]) -> str:
    """Return a hash of source files, or of those of sub-packages, of analogjax."""
    digest = hashlib.sha256()
    for source in sorted(sources):
        for name, own in _SOURCE.items():
            if name == source or name.startswith(f"{source}/"):
                digest.update(f"{name} {own}".encode())
    return digest.hexdigest()[:16]
