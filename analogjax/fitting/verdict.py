"""Why a fit cannot be trusted: said in one sentence instead of returning numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..devices import AbstractDevice
from .identifiability import Identifiability
from .levenberg import Optimum
from .objectives import AbstractObjective
from .residuals import Problem
from .result import FitError

POOR = 0.5
"""Correlation of measured and predicted values below which a model describes nothing."""

SILENT = 1e-9
"""Influence of a parameter, relative to the largest, that is rounding."""

CONVERGED = 0.1
"""Standard errors from the minimum that are near enough, however the search ended."""


def check_signal(objectives: Sequence[AbstractObjective]) -> None:
    """Raise if no measurement changes anywhere.

    Raises:
        FitError: Every value of every measurement is the same, or zero.
    """
    for objective in objectives:
        known = np.asarray(objective.observed)[np.asarray(objective.known)]
        if np.ptp(known) > 1e-9 * np.max(np.abs(known)):
            return
        if known.size == 1 and known[0] != 0:
            return
    names = ", ".join(objective.name for objective in objectives)
    raise FitError(
        f"The measurements must show a signal, but every value of `{names}` is "
        f"{float(known[0]):g} {objective.unit}."
    )


def agreement(objective: AbstractObjective, predicted: np.ndarray) -> float:
    """Return the correlation of measured and predicted values; 0 if nothing changes."""
    known = np.asarray(objective.known) & np.isfinite(predicted)
    observed = np.asarray(objective.observed)[known]
    predicted = predicted[known]
    if objective.noise.logarithmic:
        observed, predicted = (np.log(np.maximum(np.abs(x), 1e-300)) for x in (observed, predicted))
    if observed.size < 2 or min(_spread(observed), _spread(predicted)) < 1e-6:
        return 0.0
    return float(np.corrcoef(observed, predicted)[0, 1])


def _spread(values: np.ndarray) -> float:
    return float(np.std(values) / max(np.max(np.abs(values)), 1e-300))


def wrong_sign(problem: Problem, devices: Sequence[AbstractDevice]) -> str:
    """Return the name of a measurement that only reversed voltages describe, or ""."""
    for objective in problem.objectives:
        other = objective.reversed()
        straight, turned = (
            max(agreement(o, np.asarray(o.predict(device))) for device in devices)
            for o in (objective, other)
        )
        if straight < POOR < turned and turned > straight + 0.3:
            return objective.name
    return ""


def objection(
    problem: Problem,
    optimum: Optimum,
    identifiability: Identifiability,
    fitted: AbstractDevice,
    evaluations: int,
    max_steps: int,
) -> str:
    """Return why a fit cannot be trusted, in one sentence; "" if nothing speaks against it.

    Args:
        problem: The fit.
        optimum: Where it ended.
        identifiability: What the data determine there.
        fitted: The device there.
        evaluations: How many it took.
        max_steps: How many it was allowed.
    """
    names = problem.free.names
    if int(optimum.failed) > 0:
        return (
            f"The fit must end where the device can be simulated, but {int(optimum.failed)} of "
            f"{problem.runs} runs failed there: start elsewhere, narrow the `bounds`, or try more "
            "`starts`."
        )
    influence = np.linalg.norm(np.asarray(optimum.jacobian), axis=0)
    silent = [
        n for n, size in zip(names, influence, strict=True) if size <= SILENT * influence.max()
    ]
    if silent or _poor(problem, optimum):
        reverse = wrong_sign(problem, (problem.device, fitted))
        if reverse:
            return (
                f"The voltages of `{reverse}` must switch the device as measured, but they do so "
                "only with the other sign: reverse them, or the polarity of the device."
            )
    if silent:
        return (
            f"Parameter `{silent[0]}` must have an influence on the measurements to be free, but "
            "has none: nothing that was measured depends on it where the fit ended."
        )
    if not float(optimum.remaining) < CONVERGED:
        return (
            f"The fit must converge, but after {evaluations} evaluations (of at most {max_steps}) "
            f"it is still {float(optimum.remaining):.2g} standard errors from a minimum: allow "
            "more `max_steps` or try more `starts`."
        )
    if identifiability.undetermined:
        return (
            f"The measurements must tell the free parameters apart, but "
            f"{identifiability.sentence}: fix one of them, or add a measurement or a prior."
        )
    return ""


def _poor(problem: Problem, optimum: Optimum) -> bool:
    pairs = zip(problem.objectives, optimum.predicted, strict=True)
    return any(agreement(objective, np.asarray(shown)) < POOR for objective, shown in pairs)
