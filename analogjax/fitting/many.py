"""`fit_many`: the same fit of many devices, each with measurements of its own, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_float64, check_whole
from ..devices import AbstractDevice
from .bijections import free_parameters
from .fit import as_measurements, check_device, result_of
from .levenberg import Lanes, LevenbergMarquardt, Optimum, computed, lowest, scattered, solve_lanes
from .objectives import AbstractObjective
from .residuals import Prior, Problem
from .result import FitError, FitResult
from .verdict import check_signal

Objectives = tuple[AbstractObjective, ...]


def fit_many(
    device: AbstractDevice,
    measurements: Sequence[Any],
    free: Sequence[str],
    *,
    method: Any = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    priors: Mapping[str, Prior] | None = None,
    loss: str = "squares",
    known_noise: bool = False,
    batch: int | None = None,
    key: PRNGKeyArray | None = None,
) -> list[FitResult]:
    """Fit the same parameters to each of many sets of measurements, by one compiled program.

    What `fit` does for each of them, all from the same start, side by side: sets must have equal
    shapes (fill up with nan), and may differ in every number. It does not raise because one set
    cannot be fitted: that one says so in its `message`.

    Args:
        device: The device; its parameters are the start, and stay where they are unless free.
        measurements: What `fit` takes, once for every set.
        free: Names of the parameters to fit.
        method: `LevenbergMarquardt()` if None; every set has its starts around the device.
        bounds: Narrower bounds than the device's own, by name.
        priors: What is known of free parameters beforehand, by name.
        loss: As in `fit`.
        known_noise: As in `fit`.
        batch: Sets that are computed at a time, by a program for so many (the last batch is filled
            up); all if None. A set that has ended waits for the slowest of its batch.
        key: For the starts of a method with several.

    Returns:
        One result a set, in order.

    Raises:
        ValueError: A wrong argument, or sets of different kinds or shapes, in one sentence.
    """
    check_float64("`fit_many`")
    check_device(device)
    method = LevenbergMarquardt() if method is None else method
    if not isinstance(method, LevenbergMarquardt):
        raise ValueError(
            "Argument `method` must be a LevenbergMarquardt or None, but is "
            f"{type(method).__name__}."
        )
    sets = [as_measurements(one, device) for one in measurements]
    check_alike(sets)
    size = check_whole("batch", len(sets) if batch is None else batch)
    parameters, start = free_parameters(device, free, bounds)
    problem = Problem(device, parameters, sets[0], dict(priors or {}), loss)
    key = jax.random.key(0) if key is None else key
    lanes = scattered(start, method.starts, method.spread, key=key)
    results = []
    for first in range(0, len(sets), size):
        some = sets[first : first + size]
        # The last batch is filled up, so that all have the shape that was compiled.
        padded = some + [some[-1]] * (size - len(some))
        ends, evaluations = search_each(problem, padded, lanes, method)
        # One copy, instead of one for every set.
        ends = jax.tree.map(np.asarray, ends)
        for k, objectives in enumerate(some):
            own = eqx.tree_at(lambda p: p.objectives, problem, objectives)
            end = jax.tree.map(lambda x, k=k: x[k], ends)
            result = result_of(own, end, int(evaluations[k]), method, known_noise)
            results.append(_silent(result, objectives))
    return results


def _silent(result: FitResult, objectives: Objectives) -> FitResult:
    """Return the result, which says so if its set shows no signal."""
    try:
        check_signal(objectives)
    except FitError as error:
        return eqx.tree_at(lambda r: r.message, result, str(error))
    return result


def check_alike(sets: Sequence[Objectives]) -> None:
    """Raise unless all sets are of one kind and shape.

    Raises:
        ValueError: There are none, or one differs from the first.
    """
    if not sets:
        raise ValueError("Argument `measurements` must hold at least one set, but is empty.")
    kind, shapes = _form(sets[0])
    for number, one in enumerate(sets):
        own, own_shapes = _form(one)
        if own != kind:
            names = ", ".join(o.name for o in sets[0])
            raise ValueError(
                f"Argument `measurements` must hold sets of the same kind ({names}), but set "
                f"{number} differs from the first."
            )
        if own_shapes != shapes:
            there, here = ([o.observed.shape for o in s] for s in (sets[0], one))
            raise ValueError(
                f"Argument `measurements` must hold sets of equal shapes ({there} in the first), "
                f"but set {number} has {here}: fill up with nan."
            )


def _form(objectives: Objectives) -> tuple[Any, list[Any]]:
    arrays, rest = eqx.partition(objectives, eqx.is_array)
    leaves, kind = jax.tree.flatten(rest)
    return (kind, leaves), [x.shape for x in jax.tree.leaves(arrays)]


def search_each(
    problem: Problem, sets: Sequence[Objectives], lanes: Lanes, method: LevenbergMarquardt
) -> tuple[Optimum, np.ndarray]:
    """Return where every start of every set ends (sets first), and the evaluations of each set."""
    stacked = jax.tree.map(lambda *x: jnp.stack(x) if eqx.is_array(x[0]) else x[0], *sets)
    starts = jnp.broadcast_to(lanes, (len(sets), *lanes.shape))
    spent = np.zeros(len(sets), int)
    if method.starts > method.keep:
        scouts = solve_sets(problem, stacked, starts, method.tolerance, method.scout)
        each = [jax.tree.map(lambda x, k=k: x[k], scouts) for k in range(len(sets))]
        spent = spent + np.array([computed(one) for one in each])
        starts = jnp.stack([lowest(one, method.keep) for one in each])
    ends = solve_sets(problem, stacked, starts, method.tolerance, method.max_steps)
    spent = spent + np.asarray(ends.evaluations).max(axis=1) * starts.shape[1]
    return ends, spent


@eqx.filter_jit
def solve_sets(
    problem: Problem, stacked: Objectives, starts: Any, tolerance: float, max_steps: int
) -> Optimum:
    """Return where every start of every set ends; one program for all of them.

    Args:
        problem: The fit, of any of the sets.
        stacked: The measurements, with a leading axis of sets.
        starts: (sets, starts, free).
        tolerance: As in `descend`.
        max_steps: As in `descend`.
    """

    def one(objectives, lanes):
        own = eqx.tree_at(lambda p: p.objectives, problem, objectives)
        return solve_lanes(own, lanes, jnp.zeros_like(lanes), tolerance, max_steps)

    return eqx.filter_vmap(one)(stacked, starts)
