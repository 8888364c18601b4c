"""Levenberg-Marquardt by optimistix, many starts at once."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_positive, check_whole
from .._types import Array, Float, Scalar
from .bijections import Values
from .residuals import Problem, fused

Lanes = Float[Array, "lanes free"]


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
    # By singular values: parameters that are held, or without influence, have none.
    u, s, _ = jnp.linalg.svd(jacobian, full_matrices=False)
    share = jnp.where(s > 1e-7 * jnp.max(s), u.T @ residuals, 0.0)
    degrees = max(residuals.size - jacobian.shape[1], 1)
    sigma = jnp.sqrt(jnp.sum(residuals**2) / degrees)
    return jnp.sqrt(jnp.sum(share**2)) / jnp.maximum(sigma, 0.1)


class _Region(optx.AbstractSearch):
    """How strongly a step is damped: less after one that did what was expected of it.

    At first as strongly as keeps steps within some e-folds of every parameter: a step of size 1
    then costs a tenth of all of the residuals.
    """

    def init(self, y, f_info_struct):
        return jnp.ones(())

    def step(self, first_step, y, y_eval, f_info, f_eval_info, state):
        before, after = f_info.as_min(), f_eval_info.as_min()
        moved = f_info.jac.mv(y_eval - y) + f_info.residual
        expected = before - 0.5 * jnp.sum(moved**2)
        gained = before - after
        accept = first_step | (gained > 1e-4 * expected)
        factor = jnp.where(
            gained > 0.75 * expected, 10.0, jnp.where(gained < 0.25 * expected, 0.3, 1.0)
        )
        factor = jnp.where(accept, factor, 0.1)
        size = jnp.where(first_step, 10 / jnp.maximum(2 * after, 1e-12), state * factor)
        size = jnp.clip(size, 1e-30, 1e12)
        return size, accept, optx.RESULTS.successful, size


class _Damped(optx.AbstractGaussNewton):
    """Levenberg-Marquardt that ends where statistics say that it may."""

    tolerance: float
    rtol: float
    atol: float
    norm: Any
    descent: Any
    search: Any
    verbose: Any

    def __init__(self, tolerance: float):
        self.tolerance = tolerance
        self.rtol = self.atol = 1e-12
        self.norm = optx.max_norm
        self.descent = optx.DampedNewtonDescent(linear_solver=lx.QR())
        self.search = _Region()
        self.verbose = lambda **_: None

    def terminate(self, fn, y, args, options, state, tags):
        done, result = super().terminate(fn, y, args, options, state, tags)
        away = remaining(state.f_info.residual, _matrix(state.f_info.jac, y.size))
        stuck = state.num_steps_since_acceptance > 10
        return done | (~state.first_step & ((away < self.tolerance) | stuck)), result


def _matrix(operator: Any, size: int) -> Array:
    return jax.vmap(operator.mv, out_axes=1)(jnp.eye(size))


def descend(problem: Problem, z: Values, held: Values, tolerance: float, max_steps: int) -> Optimum:
    """Minimise the sum of squares from one start.

    Args:
        problem: The fit.
        z: Where to start.
        held: 1 for parameters that stay there.
        tolerance: Share of a standard error that is near enough.
        max_steps: Most evaluations.
    """
    solver = _Damped(tolerance)
    solution = optx.least_squares(
        lambda z, args: fused(z, problem=args[0], held=args[1]),
        solver,
        z,
        (problem, held),
        has_aux=True,
        max_steps=max_steps,
        throw=False,
    )
    info = solution.state.f_info
    jacobian = _matrix(info.jac, z.size)
    # Of the point itself: `solution.aux` is that of the step before.
    failed, predicted = solution.state.aux
    return Optimum(
        z=solution.value,
        residuals=info.residual,
        jacobian=jacobian,
        failed=failed,
        predicted=predicted,
        evaluations=solution.state.num_steps,
        remaining=remaining(info.residual, jacobian),
    )


class LevenbergMarquardt(eqx.Module):
    """Least squares by damped Gauss-Newton steps, from one start or many at once.

    Of many starts all take a few steps side by side; those that came lowest go on to the end.
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
            scout: Steps that every start takes, if there are more than `keep`.
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
        held, spent = jnp.zeros_like(lanes), 0
        if self.starts > self.keep:
            scouts = solve_lanes(problem, lanes, held, self.tolerance, self.scout)
            spent = computed(scouts)
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
def solve_lanes(
    problem: Problem, lanes: Lanes, held: Lanes, tolerance: float, max_steps: int
) -> Optimum:
    """Return where every start ends; one program for all of them."""

    def one(z, held):
        return descend(problem, z, held, tolerance, max_steps)

    return jax.vmap(one)(lanes, held)
