"""A fit as what figures of it need: axes, panels, residuals, outlines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import singledispatch
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from ..plotting import FitPanel, prefixed
from .bands import Band
from .noise import FAILED
from .objectives import AbstractObjective
from .pulsed import PulseTrain, Sweep
from .timed import Retention, SwitchingTimes
from .uncertainty import degrees, unbounded_covariance

if TYPE_CHECKING:
    from .result import FitResult

SPANS = 30.0
"""Ratio of largest and smallest value from which an axis is logarithmic."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """Against what a measurement is drawn."""

    label: str
    """With its unit."""
    values: np.ndarray
    """(rows, points)."""
    log: bool = False
    together: bool = False
    """Whether the rows are points of one curve, not curves of their own."""


def _scaled(what: str, values: np.ndarray, unit: str) -> tuple[str, np.ndarray]:
    size = np.abs(values[np.isfinite(values)])
    symbol, factor = prefixed(unit, float(np.max(size, initial=0.0)))
    return f"{what} [{symbol}]", values / factor


def spans_decades(values: np.ndarray) -> bool:
    """Return whether values (all of one sign or not) ask for a logarithmic axis."""
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    return bool(size.size and size.max() > SPANS * size.min())


@singledispatch
def axis_of(objective: AbstractObjective) -> Axis:
    """Return against what a measurement is drawn; other measurements register their own."""
    rows, points = objective.observed.shape
    if points == 1:
        return Axis("row", np.arange(rows, dtype=float)[:, None])
    return Axis("point", np.broadcast_to(np.arange(points, dtype=float), (rows, points)))


@axis_of.register
def _(objective: Sweep) -> Axis:
    return Axis("voltage [V]", np.asarray(objective.stop))


@axis_of.register
def _(objective: PulseTrain) -> Axis:
    amplitudes = np.asarray(objective.amplitudes)
    if amplitudes.shape[1] == 1:
        return Axis("amplitude [V]", amplitudes)
    return Axis("pulse", np.broadcast_to(1.0 + np.arange(amplitudes.shape[1]), amplitudes.shape))


@axis_of.register
def _(objective: Retention) -> Axis:
    t = np.where(np.asarray(objective.known), np.asarray(objective.t), np.nan)
    log = spans_decades(t)
    label, values = ("time [s]", t) if log else _scaled("time", t, "s")
    return Axis(label, np.where(values > 0, values, np.nan) if log else values, log)


@axis_of.register
def _(objective: SwitchingTimes) -> Axis:
    return Axis("voltage [V]", np.asarray(objective.v)[:, None], together=True)


QUANTITIES = {"A": "current", "S": "conductance", "s": "switching time", "ohm": "resistance"}
"""What values of a unit are called."""


def standardised(fit: FitResult, objective: AbstractObjective) -> np.ndarray:
    """Return measured less predicted in standard deviations, (rows, points); nan if unknown.

    The standard deviations are those assumed, times the estimated factor.
    """
    residual = fit.residuals[objective.name]
    known = np.isfinite(residual)
    predicted = np.asarray(objective.observed) - residual
    r = np.asarray(
        objective.noise.residual(
            jnp.where(known, predicted, 1.0), objective.observed, jnp.asarray(known)
        )
    )
    return np.where(known & (np.abs(r) < FAILED), -r / fit.noise_factor, np.nan)


def panels_of(
    fit: FitResult, objective: AbstractObjective, band: Band, most: int
) -> list[FitPanel]:
    """Return the panels of one measurement.

    Curves row by row (of many rows some from the best described to the worst, after a panel of all
    values); single values in one panel, measured against predicted.

    Args:
        fit: The fit.
        objective: One of its measurements.
        band: Of it.
        most: Rows that have a panel of their own.
    """
    axis, name = axis_of(objective), objective.name
    observed = np.asarray(objective.observed)
    log = objective.noise.logarithmic or spans_decades(observed)
    quantity = QUANTITIES.get(objective.unit, "value")
    size = np.abs(observed[np.isfinite(observed)])
    unit, factor = (objective.unit, 1.0) if log else prefixed(objective.unit, float(size.max()))
    signed = bool((observed < 0).any()) and log
    label = f"|{quantity}| [{unit}]" if signed else f"{quantity} [{unit}]"

    def panel(title: str, rows: np.ndarray, parity: bool, order: np.ndarray | None = None):
        def part(values: np.ndarray) -> np.ndarray:
            flat = np.asarray(values)[rows].ravel() / factor
            flat = np.abs(flat) if parity and log else flat
            return flat if order is None else flat[order]

        x = axis.values[rows].ravel()
        return FitPanel(
            title=title,
            x=x if order is None else x[order],
            observed=part(observed),
            predicted=part(band.predicted),
            x_label=axis.label,
            y_label=label,
            # Ends that change sides with the sign would not be a band of sizes.
            band=None if parity and signed else (part(band.low), part(band.high)),
            measured=None
            if parity and signed
            else (part(band.measured_low), part(band.measured_high)),
            x_log=axis.log,
            y_log=log,
            parity=parity,
        )

    every = np.arange(observed.shape[0])
    if axis.together:
        groups = _groups(objective)
        return [
            panel(f"{name}{says}", rows, False, np.argsort(axis.values[rows].ravel()))
            for says, rows in groups.items()
        ]
    if observed.shape[1] == 1:
        return [panel(name, every, True)]
    if len(every) <= most:
        return [panel(name + _row(objective, k), every[k : k + 1], False) for k in every]
    r = standardised(fit, objective)
    there = np.flatnonzero(np.isfinite(r).any(axis=1))
    rank = there[np.argsort(np.sqrt(np.nanmean(r[there] ** 2, axis=1)), kind="stable")]
    shown = rank[np.linspace(0, len(rank) - 1, max(most - 1, 1)).astype(int)]
    words = {shown[0]: ", best", shown[-1]: ", worst", shown[len(shown) // 2]: ", median"}
    return [
        panel(f"{name}: all {len(every)} rows", every, True),
        *(
            panel(f"{name}{_row(objective, k)}{words.get(k, '')}", every[k : k + 1], False)
            for k in shown
        ),
    ]


def _row(objective: AbstractObjective, k: int) -> str:
    """Return how a row is called, besides the name of its measurement."""
    if objective.rows == 1:
        return ""
    return f" {k + 1}{_at(objective, k)}"


def _at(objective: AbstractObjective, k: int) -> str:
    temperature = objective.conditions.get("ambient_temperature")
    if temperature is None or np.ptp(np.asarray(temperature)) == 0:
        return ""
    return f", {float(temperature[k]):.4g} K"


def _groups(objective: AbstractObjective) -> Mapping[str, np.ndarray]:
    """Return rows of the same direction and temperature, by how the group is called."""
    v = np.asarray(axis_of(objective).values)[:, 0]
    both = bool((v > 0).any() and (v < 0).any())
    groups: dict[str, list[int]] = {}
    for k in range(objective.rows):
        side = (", V > 0" if v[k] > 0 else ", V < 0") if both else ""
        groups.setdefault(side + _at(objective, k), []).append(k)
    return {says: np.array(rows) for says, rows in groups.items()}


def outlines(
    fit: FitResult, levels: tuple[float, ...] = (0.68, 0.95)
) -> tuple[list[tuple[np.ndarray, np.ndarray]], dict[tuple[int, int], list[np.ndarray]]]:
    """Return densities of the parameters and confidence regions of the pairs, by the covariance.

    Normal (Student's where the noise was estimated) in the unbounded numbers, so that ellipses are
    bent towards the bounds.

    Args:
        fit: A fit of parameters that are all determined.
        levels: Probabilities that a region holds the true pair.
    """
    z, free = np.asarray(fit.optimum.z), fit.problem.free
    covariance = unbounded_covariance(fit.optimum, fit.noise_factor)
    dof = max(degrees(fit.optimum), 1)
    natural = jax.vmap(lambda z: free.forward(z))

    def at(points: np.ndarray) -> np.ndarray:
        return np.asarray(natural(jnp.asarray(points)))

    t = np.linspace(-4, 4, 161)
    density = stats.norm.pdf(t) if fit.known_noise else stats.t.pdf(t, dof)
    densities = []
    for k, error in enumerate(np.sqrt(np.diag(covariance))):
        along = z + np.where(np.arange(z.size) == k, 1.0, 0.0) * (t * error)[:, None]
        slope = np.asarray(jax.vmap(lambda z: free.slopes(z))(jnp.asarray(along)))[:, k]
        densities.append((at(along)[:, k], density / np.abs(slope)))
    angle = np.linspace(0, 2 * np.pi, 121)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    curves = {}
    for row in range(z.size):
        for column in range(row):
            pair = [column, row]
            root = np.linalg.cholesky(covariance[np.ix_(pair, pair)])
            curves[row, column] = []
            for level in levels:
                f = stats.chi2.ppf(level, 2) / 2 if fit.known_noise else stats.f.ppf(level, 2, dof)
                points = np.tile(z, (angle.size, 1))
                points[:, pair] += (np.sqrt(2 * f) * root @ circle).T
                curves[row, column].append(at(points)[:, pair].T)
    return densities, curves
