"""`fit`: measured values to the parameters of a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_choice, check_float64
from ..devices import AbstractDevice
from .adam import Adam
from .bijections import free_parameters
from .identifiability import identify
from .levenberg import LevenbergMarquardt, Optimum
from .measured import as_objectives
from .objectives import AbstractObjective
from .residuals import Prior, Problem
from .result import FitError, FitResult
from .uncertainty import natural_covariance, noise_factor
from .verdict import check_signal, objection

METHODS = {"levenberg_marquardt": LevenbergMarquardt, "adam": Adam}
"""Methods by the name used in configurations."""


def fit(
    device: AbstractDevice,
    measurements: Any,
    free: Sequence[str],
    *,
    method: Any = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    priors: Mapping[str, Prior] | None = None,
    loss: str = "squares",
    known_noise: bool = False,
    key: PRNGKeyArray | None = None,
    throw: bool = True,
) -> FitResult:
    """Fit parameters of a device to measurements.

    Minimises ``sum ((predicted - measured) / sigma)^2`` over all measurements and priors, by exact
    derivatives through the dynamics.

    Args:
        device: The device; its parameters are the start, and stay where they are unless free.
        measurements: One or several of `Sweep`, `PulseTrain`, `SwitchingTimes`, `Retention`, or of
            the labelled data sets of `analogjax.data.measurements`.
        free: Names of the parameters to fit.
        method: `LevenbergMarquardt()` (the default, also by name) or `Adam()`.
        bounds: Narrower bounds than the device's own, by name.
        priors: What is known of free parameters beforehand, by name.
        loss: ``"squares"``; ``"huber"`` or ``"soft_l1"`` let outliers count less.
        known_noise: Whether sigma is the standard deviation of the data; if not, their common
            factor is estimated from the residuals.
        key: For the starts of a method with several.
        throw: Raise if the result cannot be trusted; otherwise it says so in `message`.

    Returns:
        The fitted device, its parameters and how sure they are.

    Raises:
        ValueError: A wrong argument, in one sentence.
        FitError: The fit cannot work, or did not: no signal, a parameter without influence,
            parameters that the data do not tell apart, voltages of the wrong sign, no convergence.
    """
    check_float64("`fit`")
    check_device(device)
    objectives = as_measurements(measurements, device)
    method = _resolve(method)
    parameters, start = free_parameters(device, free, bounds)
    problem = Problem(device, parameters, objectives, dict(priors or {}), loss)
    check_signal(objectives)
    key = jax.random.key(0) if key is None else key
    ends, evaluations = method.search(problem, start, key=key)
    result = result_of(problem, ends, evaluations, method, known_noise)
    if throw and not result.ok:
        raise FitError(result.message)
    return result


def check_device(device: Any) -> None:
    """Raise unless it is a device.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(device, AbstractDevice):
        raise ValueError(
            "Argument `device` must be a device of `analogjax.devices`, but is "
            f"{type(device).__name__}."
        )


def as_measurements(measurements: Any, device: AbstractDevice) -> tuple[AbstractObjective, ...]:
    """Return measurements as a tuple, each under a name of its own.

    Raises:
        ValueError: There are none, or something else is among them.
    """
    if isinstance(measurements, AbstractObjective) or hasattr(measurements, "attrs"):
        measurements = (measurements,)
    several = [
        objective
        for one in measurements
        for objective in (as_objectives(one, device) if hasattr(one, "attrs") else (one,))
    ]
    if not several:
        raise ValueError("Argument `measurements` must hold at least one measurement.")
    named: dict[str, AbstractObjective] = {}
    for objective in several:
        if not isinstance(objective, AbstractObjective):
            raise ValueError(
                "Argument `measurements` must hold measurements of `analogjax.fitting` (such as "
                f"`Sweep`), but has a {type(objective).__name__}."
            )
        name, number = objective.name, 2
        while name in named:
            name, number = f"{objective.name} {number}", number + 1
        named[name] = objective.called(name)
    return tuple(named.values())


def _resolve(method: Any) -> Any:
    if method is None:
        return LevenbergMarquardt()
    if isinstance(method, str):
        return METHODS[check_choice("method", method, METHODS)]()
    if isinstance(method, tuple(METHODS.values())):
        return method
    raise ValueError(
        f"Argument `method` must be None, a name or a method of `analogjax.fitting`, but is "
        f"{type(method).__name__}."
    )


def best_of(ends: Optimum) -> tuple[int, int]:
    """Return the lane of the lowest cost, and how many came as low (to 1 %)."""
    cost = np.where(np.isfinite(ends.cost), ends.cost, np.inf)
    best = int(np.argmin(cost))
    return best, int(np.sum(cost <= 1.01 * cost[best] + 1e-6))


def result_of(
    problem: Problem, ends: Optimum, evaluations: int, method: Any, known_noise: bool
) -> FitResult:
    """Return the result of a search: its best end, how sure it is, what speaks against it."""
    best, same = best_of(ends)
    optimum = jax.tree.map(lambda x: np.asarray(x)[best], ends)
    factor = noise_factor(optimum, known_noise)
    covariance, values = natural_covariance(optimum, problem.free, factor)
    names = problem.free.names
    device = problem.free.put(problem.device, jnp.asarray(values))
    identifiability = identify(names, logarithmic(problem, optimum, values), factor)
    residuals = {
        o.name: np.asarray(o.observed) - np.asarray(shown)
        for o, shown in zip(problem.objectives, optimum.predicted, strict=True)
    }
    message = objection(
        problem, optimum, identifiability, device, int(optimum.evaluations), method.max_steps
    )
    error = np.sqrt(np.diag(covariance))
    return FitResult(
        device=device,
        parameters=dict(zip(names, map(float, values), strict=True)),
        standard_errors=dict(zip(names, map(float, error), strict=True)),
        covariance=covariance,
        residuals=residuals,
        identifiability=identifiability,
        message=message,
        stats=dict(
            evaluations=evaluations,
            simulations=evaluations * problem.runs,
            ended=int(ends.z.shape[0]),
            optimum=same,
            failed=int(optimum.failed),
        ),
        noise_factor=factor,
        known_noise=known_noise,
        method=method,
        problem=problem,
        optimum=optimum,
    )


def logarithmic(problem: Problem, optimum: Optimum, values: np.ndarray) -> np.ndarray:
    """Return derivatives of the residuals by ``ln p``; by z where p may change its sign."""
    slopes = np.asarray(problem.free.slopes(optimum.z))
    scale = []
    for name, value, slope in zip(problem.free.names, values, slopes, strict=True):
        parameter = problem.device.PARAMETERS[name]
        signed = parameter.low >= 0 or parameter.high <= 0
        scale.append(value / slope if signed and slope != 0 else 1.0)
    return np.asarray(optimum.jacobian) * np.asarray(scale)
