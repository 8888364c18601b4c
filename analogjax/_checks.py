"""Argument checks: every message is one sentence, "Argument `x` must be ..., but is ..."."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np


def is_traced(value: Any) -> bool:
    """Return whether a value is being traced, so that it cannot be looked at."""
    return isinstance(value, jax.core.Tracer)


def _concrete(value: Any) -> np.ndarray | None:
    """Return the value as a NumPy array, or None while it is being traced."""
    if is_traced(value):
        return None
    return np.asarray(value)


def _show(value: np.ndarray, bad: np.ndarray) -> str:
    """Name the offending entry: the scalar itself, or the first bad entry and its index."""
    if value.ndim == 0:
        return f"is {value.item()}"
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    where = index[0] if len(index) == 1 else index
    return f"is {value[index].item()} at index {where}"


def _require(name: str, value: Any, good: Any, must: str) -> Any:
    """Raise unless all entries are good; a traced value cannot be looked at and passes."""
    concrete = _concrete(value)
    if concrete is not None:
        bad = np.asarray(~good(concrete))
        if bad.any():
            raise ValueError(f"Argument `{name}` must be {must}, but {_show(concrete, bad)}.")
    return value


def check_finite(name: str, value: Any) -> Any:
    """Raise unless every entry is finite (concrete values only; a traced value passes)."""
    return _require(name, value, lambda x: np.isfinite(x), "finite")


def check_positive(name: str, value: Any, unit: str = "") -> Any:
    """Raise unless every entry is finite and above zero."""
    unit = f" {unit}" if unit else ""
    return _require(name, value, lambda x: np.isfinite(x) & (x > 0), f"finite and above 0{unit}")


def check_not_zero(name: str, value: Any, unit: str = "") -> Any:
    """Raise unless every entry is finite and differs from zero."""
    unit = f" {unit}" if unit else ""
    return _require(name, value, lambda x: np.isfinite(x) & (x != 0), f"finite and not 0{unit}")


def check_not_negative(name: str, value: Any, unit: str = "") -> Any:
    """Raise unless every entry is finite and at least zero."""
    unit = f" {unit}" if unit else ""
    return _require(
        name, value, lambda x: np.isfinite(x) & (x >= 0), f"finite and at least 0{unit}"
    )


def check_between(name: str, value: Any, low: float, high: float, unit: str = "") -> Any:
    """Raise unless every entry lies in the closed interval."""
    unit = f" {unit}" if unit else ""
    return _require(
        name, value, lambda x: (x >= low) & (x <= high), f"between {low:g} and {high:g}{unit}"
    )


def check_whole(name: str, value: Any, low: int = 1, high: int | None = None) -> Any:
    """Raise unless the value is a whole number (no bool) from `low` to `high`, None for no end."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        span = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"Argument `{name}` must be a whole number {span}, but is {value!r}.")
    return value


def check_shape(name: str, value: Any, shape: tuple[int | None, ...]) -> Any:
    """Raise unless the array has the shape; None stands for any length."""
    actual = jnp.shape(value)
    good = len(actual) == len(shape) and all(
        want is None or want == have for want, have in zip(shape, actual, strict=True)
    )
    if not good:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        wanted = f"({wanted},)" if len(shape) == 1 else f"({wanted})"
        raise ValueError(f"Argument `{name}` must have shape {wanted}, but has shape {actual}.")
    return value


def check_choice(name: str, value: Any, choices: Iterable[str]) -> Any:
    """Raise unless the value is one of the choices; the message names the nearest one."""
    options = list(choices)
    if value not in options:
        near = difflib.get_close_matches(str(value), options, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(
            f"Argument `{name}` must be one of {', '.join(map(repr, options))}, "
            f"but is {value!r}{hint}."
        )
    return value


def check_float64(who: str) -> None:
    """Raise unless 64-bit floats are enabled, naming the setting."""
    if not jax.config.read("jax_enable_x64"):
        raise ValueError(
            f"{who} must run in float64, but 64-bit floats are off: call "
            f'`jax.config.update("jax_enable_x64", True)` first (or set JAX_ENABLE_X64=1).'
        )
