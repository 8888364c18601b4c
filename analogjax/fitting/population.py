"""`fit_population`: how devices and cycles differ, from rows of measurements of many of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from .._checks import check_whole
from .._types import Array, Float
from ..devices import AbstractDevice
from .fit import as_measurements, fit
from .identifiability import BLIND
from .measured import as_objectives
from .mixed import Levels, Statistics, solve, sums
from .objectives import AbstractObjective
from .population_result import PopulationFit, spread_of
from .residuals import Problem
from .result import FitError, FitResult

UNITS = ("device", "cycle")
"""What rows may be labelled by."""

NEAR = 1e-3
"""Share of a standard error by which the mean may still move when a fit ends."""

SMALLEST = -14.0
"""Logarithm below which a standard deviation (in that of a single unit) is zero."""


def fit_population(
    device: AbstractDevice,
    measurements: Any,
    free: Sequence[str],
    *,
    varying: Sequence[str] | None = None,
    groups: Mapping[str, Mapping[str, Any]] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    known_noise: bool = False,
    method: Any = None,
    rounds: int = 20,
    throw: bool = True,
) -> PopulationFit:
    """Fit the mean of a population and how devices, and cycles of a device, differ from it.

    Rows that share a device and a cycle are one unit with parameters of its own. In the unbounded
    numbers of `fit`, ``z = mu + d(device) + c(cycle)`` with normal d and c of full covariance
    (nonlinear mixed effects). In turn the residuals are linearised at the most probable numbers of
    every unit, and covariances and noise maximise the restricted likelihood of the linear model;
    derivatives through the dynamics are exact.

    Args:
        device: The device; its parameters are the start.
        measurements: As in `fit`.
        free: Names of the parameters to fit.
        varying: Those of them that differ from unit to unit; all if None. The others are shared.
        groups: Labels of the rows by name of the measurement, ``{"set": {"cycle": [1, 2, ...]}}``,
            with ``device``, ``cycle`` or both. If None, those of labelled data sets; a measurement
            without labels has a device a row.
        bounds: As in `fit`.
        known_noise: As in `fit`.
        method: Of the fit to all rows at once that everything starts from.
        rounds: Most linearisations.
        throw: Raise if the result cannot be trusted; otherwise it says so in `message`.

    Returns:
        Mean, spread, correlation, and the parameters of every unit.

    Raises:
        ValueError: A wrong argument, in one sentence.
        FitError: It cannot work: one row only, fewer units than a covariance needs, or as `fit`.

    Source: M. J. Lindstrom and D. M. Bates, Biometrics 46, 673 (1990), doi:10.2307/2532087.
    """
    check_whole("rounds", rounds)
    named = _labelled(measurements, device, groups or {})
    objectives = tuple(objective for objective, _ in named)
    names = tuple(free)
    varying = names if varying is None else tuple(varying)
    for name in varying:
        if name not in names:
            raise ValueError(f"Argument `varying` must name free parameters, but has `{name}`.")
    if not varying:
        raise ValueError("Argument `varying` must name a parameter, but is empty: use `fit`.")
    units, of_rows = _units([labels for _, labels in named])
    levels = _levels(units, names, varying)
    pooled = fit(
        device, objectives, names, method=method, bounds=bounds, known_noise=known_noise,
        throw=False,
    )  # fmt: skip
    if pooled.message and not _only_loose(pooled):
        raise FitError(f"The fit to all rows at once cannot be trusted: {pooled.message}")
    runs = _Runs(pooled.problem, tuple(map(jnp.asarray, of_rows)), len(units))
    result = _alternate(runs, levels, pooled, units, varying, known_noise, rounds)
    if throw and not result.ok:
        raise FitError(result.message)
    return result


def _only_loose(pooled: FitResult) -> bool:
    """Return whether all that speaks against a fit is that units scatter too much about it.

    Spread between units looks like noise to it, under which parameters seem undetermined.
    """
    found = pooled.identifiability
    errors = [c.standard_error for c in found.combinations]
    said = bool(found.sentence) and found.sentence in pooled.message
    return said and max(errors) * BLIND < min(errors)


def _labelled(
    measurements: Any, device: AbstractDevice, groups: Mapping[str, Mapping[str, Any]]
) -> list[tuple[AbstractObjective, dict[str, np.ndarray]]]:
    """Return measurements with the labels of their rows.

    Raises:
        ValueError: A name that is none of a measurement or of a label, or a wrong number of labels.
    """
    if isinstance(measurements, AbstractObjective) or hasattr(measurements, "attrs"):
        measurements = (measurements,)
    several, labels = [], []
    for one in measurements:
        for made in as_objectives(one, device) if hasattr(one, "attrs") else (one,):
            several.append(made)
            known = getattr(one, "coords", {})
            labels.append({k: np.asarray(known[k].values) for k in UNITS if k in known})
    objectives = as_measurements(several, device)
    names = [objective.name for objective in objectives]
    for name in groups:
        if name not in names:
            raise ValueError(
                f"Argument `groups` must name measurements ({', '.join(names)}), but has `{name}`."
            )
    found = []
    for objective, own in zip(objectives, labels, strict=True):
        own = {k: np.asarray(v) for k, v in groups.get(objective.name, own).items()}
        for kind, values in own.items():
            if kind not in UNITS or values.shape != (objective.rows,):
                raise ValueError(
                    f"Argument `groups` must give `{objective.name}` a label `device` or `cycle` "
                    f"for each of its {objective.rows} rows, but has `{kind}` of shape "
                    f"{values.shape}."
                )
        found.append((objective, own or {"device": np.arange(objective.rows)}))
    return found


def _units(labels: Sequence[dict[str, np.ndarray]]) -> tuple[list[tuple], list[np.ndarray]]:
    """Return the units, ``(device, cycle)``, sorted, and the place of the unit of every row."""
    pairs = []
    for own in labels:
        rows = len(next(iter(own.values())))
        columns = [own[k].tolist() if k in own else [None] * rows for k in UNITS]
        pairs.append(list(zip(*columns, strict=True)))
    # Sorted, so that the order of the rows does not matter.
    units = sorted({p for part in pairs for p in part}, key=lambda p: tuple(map(_sorted_by, p)))
    place = {p: k for k, p in enumerate(units)}
    return units, [np.array([place[p] for p in part]) for part in pairs]


def _sorted_by(label: Any) -> tuple:
    return (isinstance(label, str), str(label) if isinstance(label, str) else (label or 0))


def _levels(units: Sequence[tuple], names: tuple[str, ...], varying: tuple[str, ...]) -> Levels:
    """Return who varies.

    Raises:
        FitError: Too few units to tell.
    """
    devices = sorted({u[0] for u in units}, key=_sorted_by)
    cycles = len(units) - len(devices)
    between = len(devices) > 1
    within = cycles > 0
    if len(units) < 2:
        raise FitError(
            "A population must have at least two devices or cycles, but the rows have one: use "
            "`fit`, or label the rows by `groups`."
        )
    for there, count, what in (
        (between, len(devices), "devices"),
        (within, cycles + 1, "cycles of a device"),
    ):
        if there and count <= len(varying):
            raise FitError(
                f"A population must have more {what} than parameters that vary "
                f"({len(varying)}), but has {count}: name fewer as `varying`."
            )
    pick = np.zeros((len(names), len(varying)))
    for column, name in enumerate(varying):
        pick[names.index(name), column] = 1
    number = jnp.asarray([devices.index(u[0]) for u in units])
    return Levels(jnp.asarray(pick), number, len(devices), between, within)


class _Runs(eqx.Module):
    """Every row with the numbers of its unit."""

    problem: Problem
    unit: tuple[Array, ...]
    units: int = eqx.field(static=True)

    def residuals(self, z: Float[Array, "units free"]):
        """Return residuals of each measurement (rows, points), failures and predictions."""
        device, free = self.problem.device, self.problem.free
        parts, shown, failed = [], [], jnp.zeros((), int)
        for objective, unit in zip(self.problem.objectives, self.unit, strict=True):

            def one(conditions, inputs, z, objective=objective):
                own = free.put(device, free.forward(z)).replace(**conditions)
                return objective.row(own, inputs)

            predicted, ok = jax.vmap(one)(objective.conditions, objective.inputs(), z[unit])
            known = objective.known
            ok = ok & jnp.all(jnp.isfinite(predicted) | ~known, axis=1)
            good = known & ok[:, None]
            safe = jnp.where(good, predicted, 1.0)
            parts.append(objective.noise.residual(safe, objective.observed, good))
            shown.append(jax.lax.stop_gradient(jnp.where(ok[:, None], predicted, jnp.nan)))
            failed = failed + jnp.sum(~ok)
        return tuple(parts), (failed, tuple(shown))

    @eqx.filter_jit
    def linearise(self, z: Float[Array, "units free"], origin: Float[Array, " free"]):
        """Return statistics of every unit about an origin, failures and predictions."""

        def push(direction):
            tangent = jnp.broadcast_to(direction, z.shape)
            return jax.jvp(self.residuals, (z,), (tangent,), has_aux=True)

        parts, slopes, (failed, shown) = jax.vmap(push, out_axes=(None, -1, None))(
            jnp.eye(z.shape[1])
        )
        h, g, s, own, values = [], [], [], [], []
        for objective, unit, r, j in zip(
            self.problem.objectives, self.unit, parts, slopes, strict=True
        ):
            failed = failed + jnp.sum(~jnp.isfinite(j))
            j = jnp.where(jnp.isfinite(j), j, 0.0)
            at = (z - origin[None])[unit]
            # Residuals as they would be at the origin, were they linear.
            y = r - jnp.einsum("rpf,rf->rp", j, at)
            h.append(sums(jnp.einsum("rpf,rpg->rfg", j, j), unit, self.units))
            g.append(-sums(jnp.einsum("rpf,rp->rf", j, y), unit, self.units))
            s.append(sums(jnp.sum(y**2, axis=1), unit, self.units))
            own.append(jnp.sum(r**2))
            values.append(jnp.sum(objective.known))
        h, g, s, own, values = (jnp.sum(jnp.stack(x), axis=0) for x in (h, g, s, own, values))
        return Statistics(h, g, s, values.astype(z.dtype)), own, failed, shown


def _numbers(logs: Array, levels: Levels, scale: Array, known_noise: bool):
    """Return roots of the covariances and the noise of what is optimised."""
    between, within = levels.roots(logs[: levels.size])
    sigma = jnp.ones(()) if known_noise else jnp.exp(logs[-1])
    return (scale[:, None] * between, scale[:, None] * within), sigma


@eqx.filter_jit
def _likelihood(logs, statistics, levels, scale, known_noise):
    roots, sigma = _numbers(logs, levels, scale, known_noise)
    return -solve(statistics, levels, roots, sigma).likelihood


@eqx.filter_jit
def _with_slope(logs, *rest):
    return jax.value_and_grad(_likelihood)(logs, *rest)


@eqx.filter_jit
def _curvature(logs, *rest):
    return jax.hessian(_likelihood)(logs, *rest)


@eqx.filter_jit
def _posterior(logs, statistics, levels, scale, known_noise):
    roots, sigma = _numbers(logs, levels, scale, known_noise)
    return solve(statistics, levels, roots, sigma)


def _alternate(runs, levels, pooled, units, varying, known_noise, rounds) -> PopulationFit:
    """Linearise and estimate in turn."""
    start = jnp.asarray(pooled.optimum.z)
    z = jnp.broadcast_to(start, (len(units), start.size))
    statistics, own, failed, shown = runs.linearise(z, start)
    # Standard error of a single unit: the unit in which standard deviations are counted.
    diagonal = jnp.mean(jnp.diagonal(statistics.hessian, axis1=1, axis2=2), axis=0)
    factor = pooled.noise_factor
    scale = factor / jnp.sqrt(diagonal @ levels.pick)
    logs = np.zeros(levels.size + (not known_noise))
    several = levels.between + levels.within
    for k in range(several):
        logs[k * levels.triangle : k * levels.triangle + levels.varying] = 1.0
    if not known_noise:
        logs[-1] = np.log(factor)
    low = np.full(logs.size, -30.0)
    low[: levels.size] = -np.inf
    for k in range(several):
        low[k * levels.triangle : k * levels.triangle + levels.varying] = SMALLEST
    origin, moved, message = start, np.inf, ""
    for round_ in range(rounds):
        rest = (statistics, levels, scale, known_noise)

        def cost(x, rest=rest):
            return tuple(np.asarray(v, float) for v in _with_slope(jnp.asarray(x), *rest))

        best = minimize(
            cost, logs, jac=True, method="L-BFGS-B", bounds=[(b, 20.0) for b in low],
            options=dict(maxiter=500, ftol=1e-13, gtol=1e-6),
        )  # fmt: skip
        logs = best.x
        posterior = _posterior(jnp.asarray(logs), *rest)
        mean = origin + posterior.mean
        goal = mean[None] + posterior.device[levels.device] + posterior.cycle
        error = np.sqrt(np.diag(np.asarray(posterior.covariance)))
        away = np.asarray(jnp.max(jnp.abs(goal - z), axis=0))
        moved = float(np.max(np.abs(np.asarray(goal - z).mean(0)) / error))
        share = 1.0
        for _ in range(8):
            trial = z + share * (goal - z)
            found, squares, failed_there, predicted = runs.linearise(trial, mean)
            if int(failed_there) <= int(failed) and float(squares) <= 2 * float(own):
                break
            share *= 0.5
        z, origin = trial, mean
        statistics, own, failed, shown = found, squares, failed_there, predicted
        if share == 1.0 and moved < NEAR * 10 and round_ > 0 and np.all(away < 0.02 + 10 * error):
            break
    else:
        message = (
            f"The population must settle, but after {rounds} rounds its mean still moves by "
            f"{moved:.2g} standard errors: allow more `rounds`, or let fewer parameters vary."
        )
    if int(failed) > 0:
        message = (
            f"The population must lie where the device can be simulated, but {int(failed)} runs "
            "failed: narrow the `bounds`, or let fewer parameters vary."
        )
    rest = (statistics, levels, scale, known_noise)
    posterior = _posterior(jnp.asarray(logs), *rest)
    curvature = np.asarray(_curvature(jnp.asarray(logs), *rest))
    sure = _inverse(curvature, logs > low + 1e-3)
    free = pooled.problem.free
    mean = origin + posterior.mean
    values, slopes = np.asarray(free.forward(mean)), np.asarray(free.slopes(mean))
    covariance = np.asarray(posterior.covariance) * np.outer(slopes, slopes)
    places = [free.names.index(name) for name in varying]
    members = np.asarray(jax.vmap(free.forward)(z))
    named = lambda numbers: dict(zip(free.names, map(float, numbers), strict=True))  # noqa: E731
    return PopulationFit(
        mean=free.put(pooled.device, jnp.asarray(values)),
        parameters=named(values),
        standard_errors=named(np.sqrt(np.diag(covariance))),
        covariance=covariance,
        varying=varying,
        spread=spread_of(levels, varying, slopes[places], np.asarray(scale), logs, sure),
        labels=tuple(units),
        units={name: members[:, k] for k, name in enumerate(free.names)},
        devices=eqx.filter_vmap(lambda z: free.put(pooled.device, free.forward(z)))(z),
        residuals={
            o.name: np.asarray(o.observed) - np.asarray(p)
            for o, p in zip(runs.problem.objectives, shown, strict=True)
        },
        message=message,
        noise_factor=1.0 if known_noise else float(np.exp(logs[-1])),
        likelihood=float(posterior.likelihood),
        pooled=pooled,
        z=np.asarray(mean),
    )


def _inverse(curvature: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Return the covariance of what is not at its bound; nan where there is none."""
    sure = np.full(curvature.shape, np.nan)
    inner = curvature[np.ix_(moving, moving)]
    values, vectors = np.linalg.eigh(inner)
    good = values > 1e-10 * max(values.max(initial=0.0), 1e-300)
    part = (vectors[:, good] / values[good]) @ vectors[:, good].T
    # A direction that the likelihood does not depend on leaves nothing known of who is in it.
    part[(np.abs(vectors[:, ~good]) > 1e-3).any(1)] = np.nan
    sure[np.ix_(moving, moving)] = part
    return sure
