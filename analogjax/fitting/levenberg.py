"""Levenberg-Marquardt, many starts at once.

A loop of our own: residuals and derivatives come from one evaluation, which appears once in the
compiled program. Tracing and compiling it is most of what a first fit costs.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_positive, check_whole
from .._types import Array, Float, Scalar
from .bijections import Values
from .residuals import Linearised, Problem, linearise

Lanes = Float[Array, "lanes free"]

_DAMPING = 0.03
"""Of the first step, relative to the influence of each parameter."""
_LEAST = 1e-4
"""Share of the expected gain that a step must bring."""
_REACH = 4.0
"""Longest step of a parameter, in unbounded numbers (e-folds)."""
_SCOUTS = 3
"""Starts that take steps for each that is kept."""
_REFUSED = 10
"""Steps refused in a row after which nothing more is to be had."""
_STUCK = 3
"""Steps refused in a row, more than a standard error from the minimum, after which residuals are
compressed."""
_UNEVEN = 4.0
"""Root mean square of the residuals at the start over their median size, from which on they are
compressed at once."""
_STRAIGHT, _COMPRESSED, _FINAL = 0, 1, 2


class Optimum(eqx.Module):
    """Where an optimiser has come to; with a leading axis where there are several starts."""

    z: Array
    """Unbounded numbers."""
    residuals: Array
    jacobian: Array
    """Of the residuals by z."""
    failed: Array
    """Runs that could not be computed there."""
    predicted: tuple[Array, ...]
    """Of each measurement; nan in runs that could not be computed."""
    evaluations: Array
    """Evaluations of all measurements with all derivatives."""
    remaining: Array
    """How far away the minimum still is, in standard errors (as `settled` counts them)."""

    @property
    def cost(self) -> Any:
        """Sum of squared residuals."""
        return np.sum(np.asarray(self.residuals) ** 2, axis=-1)


def remaining(residuals: Array, jacobian: Array) -> Scalar:
    """Return how far away the minimum is, in standard errors: ``|J s| / sigma``.

    s is the next Gauss-Newton step and sigma the scatter of the data, as left over. Where model and
    data agree better than assumed, sigma is at least a tenth of what was assumed: otherwise data
    without noise would be fitted for ever.
    """
    u, s, _ = jnp.linalg.svd(jacobian, full_matrices=False)
    return _away(residuals, s, u.T @ residuals)


def _away(residuals: Array, s: Array, share: Array) -> Scalar:
    # By singular values: parameters that are held, or without influence, have none.
    share = jnp.where(s > 1e-7 * jnp.max(s), share, 0.0)
    degrees = max(residuals.size - s.size, 1)
    sigma = jnp.sqrt(jnp.sum(residuals**2) / degrees)
    return jnp.sqrt(jnp.sum(share**2)) / jnp.maximum(sigma, 0.1)


class _Descent(eqx.Module):
    """How far one start has come."""

    z: Values
    """The lowest point so far."""
    at: Linearised
    scale: Values
    """Largest influence of each parameter so far: what a step of it is measured by."""
    damping: Scalar
    trial: Values
    """Where to look next."""
    expected: Scalar
    """Sum of squares there, if the model were linear."""
    evaluations: Array
    refused: Array
    """Trials since one was accepted."""
    away: Scalar
    stage: Array
    """Whether residuals have been compressed: not yet, now, no more."""


def descend(problem: Problem, z: Values, held: Values, tolerance: float, max_steps: int) -> Optimum:
    """Minimise the sum of squares from one start.

    Steps are ``-(J^T J + damping D^2)^-1 J^T r`` (Levenberg, Marquardt), D the largest influence
    that each parameter has had (More): it does not matter in what unit a parameter is.

    A device that switches at another pulse than was measured is off by hundreds of standard
    deviations at the pulses between, which no linear model puts right. Where such points dominate
    the sum at the start, or steps are refused again and again far from the minimum, the sum of
    ``asinh(r)^2`` is minimised first, in which they count little; then the sum of squares.

    Args:
        problem: The fit.
        z: Where to start.
        held: 1 for parameters that stay there.
        tolerance: Share of a standard error that is near enough.
        max_steps: Most evaluations.
    """

    def evaluate(run: _Descent) -> _Descent:
        new = linearise(problem, run.trial, held)
        before, after = (jnp.sum(_seen(x, run.stage)[0] ** 2) for x in (run.at, new))
        first = run.evaluations == 0
        share = (before - after) / jnp.maximum(before - run.expected, 1e-300)
        accept = first | (share > _LEAST)
        factor = jnp.where(share > 0.75, 1 / 30, jnp.where(share > 0.25, 1 / 5, 2.0))
        factor = jnp.where(accept, factor, 10.0)
        z, at = _choose(accept, (run.trial, new), (run.z, run.at))
        refused = jnp.where(accept, 0, run.refused + 1)
        stage = _stage(run, at, first, refused)
        fresh = first | (stage != run.stage)
        damping = jnp.where(fresh, _DAMPING, run.damping * factor)
        damping = jnp.clip(damping, 1e-15, 1e15)
        residuals, jacobian = _seen(at, stage)
        influence = jnp.linalg.norm(jacobian, axis=0)
        scale = jnp.where(fresh, influence, jnp.maximum(run.scale, influence))
        step, away = _step(residuals, jacobian, scale, damping)
        return _Descent(
            z=z,
            at=at,
            scale=scale,
            damping=damping,
            trial=z + step,
            expected=jnp.sum((residuals + jacobian @ step) ** 2),
            evaluations=run.evaluations + 1,
            refused=jnp.where(fresh, 0, refused),
            away=away,
            stage=stage,
        )

    def goes_on(run: _Descent) -> Array:
        still = (run.away >= tolerance) & (run.refused <= _REFUSED)
        still = still | (run.stage == _COMPRESSED)
        return (run.evaluations == 0) | (still & (run.evaluations < max_steps))

    shapes = eqx.filter_eval_shape(linearise, problem, z, held)
    at = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    zero, count = jnp.zeros((), z.dtype), jnp.zeros((), int)
    begin = _Descent(z, at, jnp.zeros_like(z), zero, z, zero, count, count, zero, count)
    end = jax.lax.while_loop(goes_on, evaluate, begin)
    return Optimum(
        z=end.z,
        residuals=end.at.residuals,
        jacobian=end.at.jacobian,
        failed=end.at.failed,
        predicted=end.at.predicted,
        evaluations=end.evaluations,
        # Of the sum of squares itself, also where the steps ended before it was searched.
        remaining=jnp.where(
            end.stage == _COMPRESSED, remaining(end.at.residuals, end.at.jacobian), end.away
        ),
    )


def _seen(at: Linearised, stage: Array) -> tuple[Array, Array]:
    """Return residuals and derivatives as they are searched with: r, or asinh(r)."""
    compressed = stage == _COMPRESSED
    slope = 1 / jnp.sqrt(1 + at.residuals**2)
    residuals = jnp.where(compressed, jnp.arcsinh(at.residuals), at.residuals)
    return residuals, jnp.where(compressed, slope[:, None], 1.0) * at.jacobian


def _stage(run: _Descent, at: Linearised, first: Array, refused: Array) -> Array:
    """Return how residuals are looked at from here on."""
    size = jnp.abs(at.residuals)
    # What was not measured has residuals of zero.
    there = jnp.where(size > 0, size, jnp.nan)
    uneven = jnp.sqrt(jnp.nanmean(there**2)) > _UNEVEN * jnp.nanmedian(there)
    enters = jnp.where(first, uneven, (refused >= _STUCK) & (run.away > 1))
    leaves = (run.away < 1) | (refused >= 2 * _STUCK)
    moved = jnp.where(run.stage == _STRAIGHT, enters, (run.stage == _COMPRESSED) & leaves)
    return run.stage + moved


def _choose(accept: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(accept, a, b), new, old)


def _step(
    residuals: Array, jacobian: Array, scale: Values, damping: Scalar
) -> tuple[Values, Scalar]:
    """Return the damped step, and how far away the minimum is (`remaining`)."""
    scale = jnp.maximum(scale, 1e-6 * jnp.max(scale) + 1e-300)
    u, s, vt = jnp.linalg.svd(jacobian / scale[None], full_matrices=False)
    share = u.T @ residuals
    step = -(vt.T @ (s / (s**2 + damping) * share)) / scale
    # A parameter is not moved by more than a few e-folds on the word of a linear model.
    step = step / jnp.maximum(jnp.max(jnp.abs(step)) / _REACH, 1.0)
    return step, _away(residuals, s, share)


class LevenbergMarquardt(eqx.Module):
    """Least squares by damped Gauss-Newton steps, from one start or many at once.

    Of many starts (more than three times those to `keep`) the lowest take a few steps side by side;
    those that came lowest then go on to the end.
    """

    starts: int = eqx.field(static=True)
    spread: float = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    scout: int = eqx.field(static=True)
    keep: int = eqx.field(static=True)

    def __init__(
        self,
        starts: int = 1,
        *,
        spread: float = 1.0,
        tolerance: float = 1e-2,
        max_steps: int = 100,
        scout: int = 5,
        keep: int = 8,
    ):
        """Choose how to search.

        Args:
            starts: Starts side by side: the device as it is, and draws around it.
            spread: Standard deviation of the draws in unbounded numbers (e-folds, for parameters
                far from their bounds).
            tolerance: Ends where the next step is a smaller share of a standard error than this.
            max_steps: Most steps a start may take.
            scout: Steps that the lowest starts take, if there are more than `keep`: three times as
                many as are kept.
            keep: Starts that go on from there.

        Raises:
            ValueError: A number out of range.
        """
        self.starts = check_whole("starts", starts)
        self.spread = check_not_negative("spread", spread)
        self.tolerance = check_positive("tolerance", tolerance)
        self.max_steps = check_whole("max_steps", max_steps)
        self.scout = check_whole("scout", scout)
        self.keep = check_whole("keep", keep)

    def search(self, problem: Problem, start: Values, *, key: PRNGKeyArray) -> tuple[Optimum, int]:
        """Return where the starts that were kept end, and the evaluations of all, as computed."""
        lanes = scattered(start, self.starts, self.spread, key=key)
        spent, scouting = 0, _SCOUTS * self.keep
        if self.starts > scouting:
            # Without derivatives; the device as it is goes on in any case.
            cost = np.asarray(costs(problem, lanes)[1:])
            order = np.argsort(np.where(np.isfinite(cost), cost, np.inf))
            lanes = jnp.concatenate([lanes[:1], lanes[1:][jnp.asarray(order[: scouting - 1])]])
            spent += self.starts
        held = jnp.zeros_like(lanes)
        if self.starts > self.keep:
            scouts = solve_lanes(problem, lanes, held, self.tolerance, self.scout)
            spent += computed(scouts)
            lanes, held = lowest(scouts, self.keep), held[: self.keep]
        ends = self.solve(problem, lanes, held)
        return ends, spent + computed(ends)

    def solve(self, problem: Problem, lanes: Lanes, held: Lanes) -> Optimum:
        """Return where every start ends."""
        return solve_lanes(problem, lanes, held, self.tolerance, self.max_steps)


def computed(ends: Optimum) -> int:
    """Return the evaluations of lanes side by side; one that has ended goes on with the rest."""
    evaluations = np.asarray(ends.evaluations)
    return int(evaluations.max()) * evaluations.size


def lowest(ends: Optimum, count: int) -> Lanes:
    """Return where the best of many lanes are."""
    cost = np.where(np.isfinite(ends.cost), ends.cost, np.inf)
    return ends.z[jnp.asarray(np.argsort(cost)[:count])]


def scattered(start: Values, count: int, spread: float, *, key: PRNGKeyArray) -> Lanes:
    """Return points around a point, which is the first of them."""
    if count == 1:
        return start[None]
    draws = spread * jax.random.normal(key, (count, start.size), start.dtype)
    return start[None] + draws.at[0].set(0.0)


@eqx.filter_jit
def costs(problem: Problem, lanes: Lanes) -> Float[Array, " lanes"]:
    """Return the sum of squares at many points."""
    return jax.vmap(lambda z: jnp.sum(problem.residuals(z)[0] ** 2))(lanes)


@eqx.filter_jit
def solve_lanes(
    problem: Problem, lanes: Lanes, held: Lanes, tolerance: float, max_steps: int
) -> Optimum:
    """Return where every start ends; one program for all of them."""

    def one(z, held):
        return descend(problem, z, held, tolerance, max_steps)

    if lanes.shape[0] == 1:
        # Without an axis of lanes there is less to trace and to compile.
        return jax.tree.map(lambda x: x[None], one(lanes[0], held[0]))
    return jax.vmap(one)(lanes, held)
