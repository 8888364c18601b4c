"""The range of a converter, from samples of what it will see."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._checks import check_between, check_choice
from ..._types import Array, Float, ScalarLike
from .quantise import quantise, steps_per_unit

METHODS = ("max", "percentile", "mse")

_CANDIDATES = np.geomspace(0.01, 1.0, 116)
"""Ranges tried by the search for the least squares, as fractions of the largest: 4 % apart."""


def calibrate_range(
    samples: Float[Array, "*batch lines"],
    method: str = "mse",
    *,
    bits: int = 8,
    percentile: ScalarLike = 99.9,
    bipolar: bool = True,
    per_line: bool = False,
) -> Float[Array, "..."]:
    """Return the full scale for a converter that sees such samples.

    Args:
        samples: What the converter sees; lines along the last axis.
        method: ``"max"``: the largest magnitude, so that nothing is clipped. ``"percentile"``: that
            percentile of the magnitudes. ``"mse"``: the range, of 116 ones 4 % apart down to
            one hundredth of the largest magnitude, with the least mean squared error of the samples
            after clipping and quantising.
        bits: Number of bits of the converter, for ``"mse"``.
        percentile: For ``"percentile"``, between 0 and 100.
        bipolar: Whether full scale is from minus to plus the range; else from 0, and values below 0
            count as 0.
        per_line: Whether every line has a range of its own.

    Returns:
        The range, above 0, in the unit of the samples: a number, or (lines,). Samples that are all
        zero give 1.

    Raises:
        ValueError: An unknown method, or bits or a percentile that are none.
    """
    check_choice("method", method, METHODS)
    steps_per_unit(bits, bipolar=bipolar)
    check_between("percentile", percentile, 0.0, 100.0)
    axes = tuple(range(samples.ndim - 1)) if per_line else None
    magnitude = jnp.abs(samples) if bipolar else jnp.maximum(samples, 0)
    largest = _positive(jnp.max(magnitude, axis=axes))
    if method == "max":
        return largest
    if method == "percentile":
        share = jnp.asarray(percentile, samples.dtype)
        return _positive(jnp.percentile(magnitude, share, axis=axes).astype(samples.dtype), largest)

    def squared_error(candidate):
        held = quantise(samples, bits, bipolar=bipolar, scale=candidate * largest)
        return jnp.mean((samples - held) ** 2, axis=axes)

    candidates = jnp.asarray(_CANDIDATES, samples.dtype)
    # One candidate at a time: all at once would hold 116 copies of the samples.
    errors = lax.map(squared_error, candidates)
    return largest * candidates[jnp.argmin(errors, axis=0)]


def _positive(scale: Array, other: Array | float = 1.0) -> Array:
    return jnp.where(scale > 0, scale, jnp.asarray(other, scale.dtype))
