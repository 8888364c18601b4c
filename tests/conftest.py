"""Settings of every test: float64, CPU, a compilation cache that outlives the process."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# All before JAX is imported, and inherited by the subprocesses that some tests start.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / f"jax-{metadata.version('jaxlib')}")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax

jax.config.update("jax_enable_x64", True)
# A silent broadcast between ranks is a mistake in physics more often than a wish.
jax.config.update("jax_numpy_rank_promotion", "raise")
