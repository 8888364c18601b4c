"""Magnitudes of circuit errors: a differentiable leaf, or None for a term that is left out."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from .._checks import check_not_negative, check_positive
from .._types import Scalar
from .write_error import FLOAT


def optional_error(name: str, value: Any, unit: str = "") -> Scalar | None:
    """Return the size of an error, None (the term is left out) for None or the number 0.

    An *array* that holds 0 stays: its term is computed, and differentiable at 0.

    Raises:
        ValueError: A negative or infinite size.
    """
    if value is None or (not isinstance(value, jax.Array) and value == 0):
        return None
    return as_leaf(check_not_negative(name, value, unit))


def optional_limit(name: str, value: Any, unit: str = "") -> Scalar | None:
    """Return a limit (gain, bandwidth, rail), None (no limit) for None or the number infinity.

    Raises:
        ValueError: A limit that is not above 0.
    """
    if value is None or (not isinstance(value, jax.Array) and value == math.inf):
        return None
    return as_leaf(check_positive(name, value, unit))


def as_leaf(value: Any) -> Scalar:
    """Return a number as a leaf: float32, as networks compute; a JAX array keeps its float type."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating):
        return value
    return jnp.asarray(value, FLOAT)
