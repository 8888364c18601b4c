"""Precision, platform and compilation cache: set once, by the command, before any array exists."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

from ._accelerators import check_accelerators
from ._errors import UsageError, nearest
from ._processes import join_cluster

PRECISIONS = ("float64", "float32")
"""Values of the key `precision`."""

PLATFORMS = ("auto", "cpu", "gpu", "tpu")
"""Values of the key `platform`; `auto` is what JAX picks (or JAX_PLATFORMS says)."""

_THREADS = 8
"""Fewest threads of a CPU's pool (XLA reads their number from NPROC)."""


def cache_folder() -> Path:
    """Return the folder for what can be computed again: compiled programs, trained weights.

    Returns:
        `analogjax` under the user's cache folder (XDG_CACHE_HOME, or the platform's custom).
    """
    if "XDG_CACHE_HOME" in os.environ:
        base = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path.home() / ".cache"
    return base / "analogjax"


def set_up(
    precision: str = "float64",
    platform: str = "auto",
    accelerators: str = "1",
    *,
    here: bool = True,
) -> None:
    """Set precision, platform and the persistent compilation cache of this process.

    Best called before JAX is imported; later calls work too, as long as no array exists that should
    have another precision. Environment variables that the user has set for the cache are kept.

    Args:
        precision: `float64` (device physics, fits) or `float32` (large networks).
        platform: `auto`, `cpu`, `gpu` or `tpu`.
        accelerators: Of `cluster` the process joins its job; the others ask for nothing yet.
        here: Whether this process computes. One that only starts others, perhaps on a machine
            without the platform, must not take an accelerator's memory from them.

    Raises:
        UsageError: If a value is not one of these, there is no job to join, or the platform is not
            to be had here.
    """
    for name, value, choices in (
        ("precision", precision, PRECISIONS),
        ("platform", platform, PLATFORMS),
    ):
        if value not in choices:
            raise UsageError(
                f"Key `{name}` must be one of {', '.join(choices)}, "
                f"but is {value!r}{nearest(str(value), choices)}."
            )
    check_accelerators(accelerators)
    if not here:
        import jax

        # Not by the environment, which the others inherit.
        jax.config.update("jax_platforms", "cpu")
        platform = "auto"
    version = metadata.version("jaxlib")
    if version == "0.10.2":
        raise UsageError(
            "jaxlib must be any other version than 0.10.2, which returns wrong numbers on CPU "
            "(jax issue 39103); install jax 0.10.1."
        )
    # One folder a version: entries written by another jaxlib can crash when they are read.
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / f"jax-{version}"))
    seconds = os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
    # JAX reads the environment at import only, and child processes read nothing else: set both.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = seconds
    # jaxlib 0.10.1 solves batches of triangular systems in parts on the pool it already runs in:
    # two batches side by side hold all threads of two cores and wait for ever.
    if here and (os.cpu_count() or 1) < _THREADS:
        os.environ.setdefault("NPROC", str(_THREADS))
    os.environ["JAX_ENABLE_X64"] = "1" if precision == "float64" else "0"
    if platform == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    elif platform in ("gpu", "tpu"):
        # Left to itself JAX takes the accelerator first; naming "gpu" would demand that every
        # vendor's plugin be installed.
        os.environ.pop("JAX_PLATFORMS", None)
    if "jax" in sys.modules:
        import jax

        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", float(seconds))
        jax.config.update("jax_enable_x64", precision == "float64")
        if platform != "auto":
            jax.config.update("jax_platforms", "cpu" if platform == "cpu" else None)
    if accelerators == "cluster" and here:
        join_cluster()
    if platform != "auto":
        _require_platform(platform)


def _require_platform(platform: str) -> None:
    import jax

    found = jax.default_backend()
    if found != platform:
        raise UsageError(
            f"Key `platform` must be one that JAX finds here, but is {platform!r} and JAX runs on "
            f"{found!r} (install jax for that platform, or start a new process if one was in use)."
        )
