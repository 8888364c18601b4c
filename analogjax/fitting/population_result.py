"""`PopulationFit`: mean, spread and members of a population of devices."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from scipy import stats

from .._checks import check_between, check_choice, check_whole
from ..devices import AbstractDevice
from .mixed import Levels
from .result import FitResult

LEVELS = ("device", "cycle")
"""What may vary: from device to device, from cycle to cycle."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """How parameters differ from member to member, on one level."""

    standard_deviations: dict[str, float]
    """In the parameters' own units, to first order about the mean."""
    standard_errors: dict[str, float]
    """Of these; nan where a spread is too small to be told from none."""
    intervals: dict[str, tuple[float, float]]
    """90 % intervals of these, by their logarithms; from 0 where nothing is known from below."""
    correlation: np.ndarray
    """Of the unbounded numbers, in the order of the names."""
    covariance: np.ndarray
    """Of the unbounded numbers."""
    root: np.ndarray
    """L of ``covariance = L L^T``."""


@dataclasses.dataclass(frozen=True, eq=False)
class PopulationFit:
    """Population found by `fit_population`."""

    mean: AbstractDevice
    """The device with the parameters of the population mean (in unbounded numbers)."""
    parameters: dict[str, float]
    """Of the mean, in their own units."""
    standard_errors: dict[str, float]
    """Of the mean."""
    covariance: np.ndarray
    """Of the mean, in natural units, in the order of `free`."""
    varying: tuple[str, ...]
    """Names of the parameters that differ."""
    spread: dict[str, Spread]
    """By level, ``"device"`` and ``"cycle"``, where there is one."""
    labels: tuple[tuple[Any, Any], ...]
    """Device and cycle of every unit; None where rows have no such label."""
    units: dict[str, np.ndarray]
    """Most probable parameters of every unit."""
    devices: AbstractDevice
    """Devices with these, one batch (for `equinox.filter_vmap`), in the order of `labels`."""
    residuals: dict[str, np.ndarray]
    """Measured less predicted by the units, by measurement."""
    message: str
    """Why not to trust it; empty if nothing speaks against it."""
    noise_factor: float
    """By how much the data scatter more than assumed, within a unit."""
    likelihood: float
    """Restricted log-likelihood of the linearised model, up to a constant."""
    pooled: FitResult
    """The fit of one device to all rows, that everything started from."""
    z: np.ndarray
    """Mean in unbounded numbers."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.message

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the free parameters."""
        return self.pooled.free

    @property
    def correlation(self) -> np.ndarray:
        """Correlation of the parameters that vary, of the level with the most members."""
        return self.spread["cycle" if "cycle" in self.spread else "device"].correlation

    def sample(
        self,
        count: int,
        *,
        key: PRNGKeyArray,
        levels: tuple[str, ...] = LEVELS,
        of: AbstractDevice | None = None,
    ) -> AbstractDevice:
        """Return devices drawn from the population, one batch.

        Normal in the unbounded numbers, so that every one is within the bounds; use it under
        `equinox.filter_vmap`. Draw ``("device",)`` and then cycles of one device with ``of``.

        Args:
            count: How many.
            key: For the draws.
            levels: What differs among them: ``"device"``, ``"cycle"`` or both.
            of: The device around which they lie; the mean if None.
        """
        check_whole("count", count)
        for level in levels:
            check_choice("levels", level, LEVELS)
        free = self.pooled.problem.free
        around = self.mean if of is None else of
        centre = free.inverse(jnp.stack([getattr(around, name) for name in free.names]))
        places = jnp.asarray([free.names.index(name) for name in self.varying])
        z = jnp.broadcast_to(centre, (count, centre.size))
        for level, part in zip(LEVELS, jax.random.split(key), strict=True):
            if level in levels and level in self.spread:
                draws = jax.random.normal(part, (count, len(self.varying)), z.dtype)
                z = z.at[:, places].add(draws @ jnp.asarray(self.spread[level].root).T)
        return eqx.filter_vmap(lambda z: free.put(around, free.forward(z)))(z)

    def describe(self) -> str:
        """Return the population as text."""
        count = len(self.labels)
        lines = [
            f"Population of {type(self.mean).__name__}: {count} units, {len(self.free)} "
            f"parameters, of which {len(self.varying)} vary"
        ]
        width = max(map(len, self.free))
        for name in self.free:
            unit = self.mean.PARAMETERS[name].unit
            text = (
                f"  {name:<{width}} = {self.parameters[name]:.6g} +- "
                f"{self.standard_errors[name]:.2g} {unit}"
            )
            for level, spread in self.spread.items():
                if name in spread.standard_deviations:
                    low, high = spread.intervals[name]
                    text += (
                        f"; {level} to {level} {spread.standard_deviations[name]:.3g} "
                        f"({low:.2g} to {high:.2g})"
                    )
            lines.append(text if name in self.varying else f"{text}; shared")
        for level, spread in self.spread.items():
            for i, j in zip(*np.triu_indices(len(self.varying), 1), strict=True):
                lines.append(
                    f"  correlation {level} to {level} of {self.varying[i]} and "
                    f"{self.varying[j]}: {spread.correlation[i, j]:.2f}"
                )
        lines.append(f"  noise within a unit {self.noise_factor:.3g} times as assumed")
        if self.message:
            lines.append(f"  NOT TO BE TRUSTED: {self.message}")
        return "\n".join(lines)

    def __str__(self) -> str:
        """Return `describe`."""
        return self.describe()


def spread_of(
    levels: Levels,
    names: tuple[str, ...],
    slopes: np.ndarray,
    scale: np.ndarray,
    logs: np.ndarray,
    sure: np.ndarray,
    level: float = 0.9,
) -> dict[str, Spread]:
    """Return the spread of every level there is.

    Args:
        levels: Who varies.
        names: Names of what varies.
        slopes: dp/dz of these at the mean.
        scale: What standard deviations of z are counted in.
        logs: What the covariances are made of (`mixed.root`).
        sure: Covariance of `logs`; nan where they are not determined.
        level: Of the intervals.
    """
    check_between("level", level, 0.0, 1.0)
    reach = stats.norm.ppf(0.5 * (1 + level))
    size = jnp.asarray(scale)

    def deviations(logs, which):
        root = size[:, None] * levels.roots(logs)[which]
        return jnp.log(jnp.sqrt(jnp.sum(root**2, axis=1)))

    found = {}
    for which, (name, there) in enumerate(
        zip(LEVELS, (levels.between, levels.within), strict=True)
    ):
        if not there:
            continue
        part = jnp.asarray(logs[: levels.size])
        root = np.asarray(scale)[:, None] * np.asarray(levels.roots(part)[which])
        covariance = root @ root.T
        std = np.sqrt(np.diag(covariance))
        slope = np.asarray(jax.jacobian(deviations)(part, which))
        # What does not matter need not be known.
        inner = np.where(slope != 0, slope, 0.0)
        bad = (inner != 0) @ ~np.isfinite(np.diag(sure)[: levels.size]) > 0
        safe = np.nan_to_num(sure[: levels.size, : levels.size])
        log_error = np.where(bad, np.nan, np.sqrt(np.einsum("ij,jk,ik->i", inner, safe, inner)))
        own = np.abs(slopes) * std
        found[name] = Spread(
            standard_deviations=dict(zip(names, map(float, own), strict=True)),
            standard_errors=dict(zip(names, map(float, own * log_error), strict=True)),
            intervals={
                n: (0.0, float(s)) if np.isnan(e)
                else (float(s * np.exp(-reach * e)), float(s * np.exp(reach * e)))
                for n, s, e in zip(names, own, log_error, strict=True)
            },
            correlation=covariance / np.maximum(np.outer(std, std), 1e-300),
            covariance=covariance,
            root=root,
        )  # fmt: skip
    return found
