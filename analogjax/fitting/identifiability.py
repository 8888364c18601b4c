"""Which combinations of parameters the data cannot tell apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

BLIND = 1e-5
"""Sensitivity, relative to the largest, below which a direction has none: the derivatives of an
adaptive solver are no better."""

LOOSE = float(np.log(10.0))
"""Standard error of a combination, in e-folds, from which it counts as undetermined."""


@dataclasses.dataclass(frozen=True)
class Combination:
    """A direction in the space of log-parameters."""

    exponents: dict[str, float]
    """Powers of the parameters in the product."""
    standard_error: float
    """Of the product's logarithm along the direction of unit length; infinite if there is none."""
    undetermined: bool
    """Whether the data say nothing of it."""

    def __str__(self) -> str:
        """Return the product, such as ``mobility^1 x thickness^-2``."""
        return product(self.exponents)


def product(exponents: dict[str, float]) -> str:
    """Return powers of parameters as text; those below 0.02 are left out."""
    shown = {name: e for name, e in exponents.items() if abs(e) >= 0.02}
    return " x ".join(f"{name}^{e:.3g}" for name, e in shown.items())


@dataclasses.dataclass(frozen=True)
class Identifiability:
    """Directions of the log-parameters, the worst determined first."""

    combinations: tuple[Combination, ...]

    @property
    def undetermined(self) -> tuple[Combination, ...]:
        """Those that the data say nothing of."""
        return tuple(c for c in self.combinations if c.undetermined)

    @property
    def confused(self) -> tuple[str, ...]:
        """Parameters that take part in what is undetermined."""
        names = {
            name: None for c in self.undetermined for name, e in c.exponents.items() if abs(e) > 0.1
        }
        return tuple(names)

    @property
    def determined(self) -> tuple[dict[str, float], ...]:
        """Products of the confused parameters that the data do determine."""
        flat = self.undetermined
        names = list(self.confused)
        if not flat or len(names) < 2:
            return ()
        matrix = np.array([[c.exponents[name] for name in names] for c in flat])
        _, s, vt = np.linalg.svd(matrix)
        rank = int(np.sum(s > 1e-6 * s[0]))
        return tuple(dict(zip(names, simple(row), strict=True)) for row in vt[rank:])

    @property
    def sentence(self) -> str:
        """What cannot be told apart, in one sentence; empty if everything can."""
        if not self.undetermined:
            return ""
        moves = " or ".join(str(c) for c in self.undetermined)
        known = [product(d) for d in self.determined]
        if known:
            return f"they determine {' and '.join(known)} and leave {moves} free"
        return f"they leave {moves} free"


def simple(direction: np.ndarray) -> np.ndarray:
    """Return a direction in small whole numbers if it is nearly one, else with 1 as its largest."""
    direction = direction / direction[np.argmax(np.abs(direction))]
    for factor in range(1, 5):
        whole = np.rint(factor * direction)
        if np.max(np.abs(factor * direction - whole)) < 0.02:
            direction = factor * direction
            break
    first = direction[np.argmax(np.abs(direction) > 0.02)]
    return direction * np.sign(first)


def identify(names: Sequence[str], jacobian: np.ndarray, factor: float) -> Identifiability:
    """Analyse how residuals depend on log-parameters.

    With ``J = U S V^T`` a step of one e-fold along column k of V changes the residuals by s_k; its
    standard error is ``factor / s_k``.

    Args:
        names: Of the columns.
        jacobian: Derivatives of the residuals by ``ln p`` (by p / scale where p changes sign).
        factor: Standard deviation of a residual.
    """
    _, s, vt = np.linalg.svd(jacobian, full_matrices=True)
    s = np.concatenate([s, np.zeros(len(names) - len(s))])
    combinations = []
    for size, direction in zip(s[::-1], vt[::-1], strict=True):
        blind = size <= BLIND * s[0]
        error = float(factor / size) if size > 0 else np.inf
        exponents = dict(zip(names, (float(e) for e in simple(direction)), strict=True))
        combinations.append(Combination(exponents, error, bool(blind or error > LOOSE)))
    return Identifiability(tuple(combinations))
