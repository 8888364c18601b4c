"""Figures of merit of resistance (or conductance) against pulse number.

All take a trace, one value per read including the one before the first pulse, and work on NumPy and
JAX arrays alike (they are differentiable).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Scalar

PUBLISHED_INDEX = 4.95e-3
"""Nonlinearity index at 512 levels in the source's report of a four-terminal device; its formula is
not public."""

Trace = Float[Array, " times"] | Float[np.ndarray, " times"]


def window(trace: Trace) -> Scalar:
    """Return the window of a trace: its maximum minus its minimum."""
    return jnp.max(trace) - jnp.min(trace)


def window_ratio(trace: Trace) -> Scalar:
    """Return the maximum over the minimum (HRS/LRS for a trace of resistances)."""
    return jnp.max(trace) / jnp.min(trace)


def nonlinearity(trace: Trace) -> dict[str, Scalar]:
    """Return the deviation from the straight line between the ends, as fractions of the window.

    Returns:
        ``max``, ``rms`` and ``mean`` of the absolute deviation.
    """
    trace = jnp.asarray(trace)
    line = jnp.linspace(trace[0], trace[-1], trace.shape[0])
    deviation = jnp.abs(trace - line) / window(trace)
    return {
        "max": jnp.max(deviation),
        "rms": jnp.sqrt(jnp.mean(deviation**2)),
        "mean": jnp.mean(deviation),
    }


def pearson(first: Trace, second: Trace) -> Scalar:
    """Return the correlation of two cycles. Blind to drift and scale: see `rms_difference`."""
    return jnp.corrcoef(first, second)[0, 1]


def rms_difference(first: Trace, second: Trace) -> Scalar:
    """Return the rms difference of two cycles over the window of the first."""
    first, second = jnp.asarray(first), jnp.asarray(second)
    return jnp.sqrt(jnp.mean((second - first) ** 2)) / window(first)


def closure(trace: Trace) -> Scalar:
    """Return (end - start) / window of a cycle that should come back to where it began."""
    return (trace[-1] - trace[0]) / window(trace)
