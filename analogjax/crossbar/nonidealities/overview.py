"""What a collection of non-idealities consists of, for reports."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._checks import is_traced
from ._base import AbstractNonideality

_ORDER = {"frozen": 0, "slow": 1, "fresh": 2}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One non-ideality."""

    name: str
    """Its class."""
    cause: str
    """``"device"`` or ``"circuit"``."""
    lifetime: str
    """``"frozen"``, ``"slow"`` or ``"fresh"``."""
    what: str
    """The first line of its documentation."""
    magnitudes: str
    """Its numbers; what is traced or no number is left out."""


def lifetimes(effects: Any) -> list[Entry]:
    """Return a table of non-idealities: by cause, then from frozen to fresh.

    Args:
        effects: Any collection (or module) with `AbstractNonideality` anywhere in it.
    """

    def one(x: Any) -> bool:
        return isinstance(x, AbstractNonideality)

    found = [x for x in jax.tree.leaves(effects, is_leaf=one) if one(x)]
    rows = [
        Entry(type(x).__name__, x.cause, x.lifetime, _first_line(type(x)), _magnitudes(x))
        for x in found
    ]
    return sorted(rows, key=lambda row: (row.cause != "device", _ORDER[row.lifetime]))


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")


def _magnitudes(effect: AbstractNonideality) -> str:
    parts = []
    for field in dataclasses.fields(effect):
        value = getattr(effect, field.name)
        if isinstance(value, str | bool | float):
            parts.append(f"{field.name}={value}")
        elif isinstance(value, jax.Array) and not is_traced(value) and jnp.ndim(value) == 0:
            parts.append(f"{field.name}={np.asarray(value).item():.4g}")
        elif dataclasses.is_dataclass(value):
            parts.append(f"{field.name}={type(value).__name__}")
    return ", ".join(parts)
