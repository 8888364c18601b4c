"""Adam (optax), for problems too rugged for Gauss-Newton steps alone."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from .._checks import check_positive, check_whole
from .bijections import Values
from .levenberg import (
    Lanes,
    LevenbergMarquardt,
    Optimum,
    computed,
    lowest,
    scattered,
)
from .residuals import Problem, linearise


class Adam(eqx.Module):
    """Gradient steps of nearly constant length, then Levenberg-Marquardt from the lowest points.

    Of the logarithm of the sum of squares, whose gradient does not grow with the misfit. Every
    start hands on the lowest point that it has seen.
    """

    steps: int = eqx.field(static=True)
    learning_rate: float = eqx.field(static=True)
    polish: LevenbergMarquardt

    def __init__(
        self,
        steps: int = 100,
        *,
        learning_rate: float = 0.05,
        polish: LevenbergMarquardt | None = None,
    ):
        """Choose how to search.

        Args:
            steps: Of every start.
            learning_rate: Length of a step in unbounded numbers; it falls to a tenth (cosine).
            polish: What follows; its `starts`, `spread` and `keep` are those of the search.
        """
        self.steps = check_whole("steps", steps)
        self.learning_rate = check_positive("learning_rate", learning_rate)
        self.polish = LevenbergMarquardt() if polish is None else polish

    @property
    def max_steps(self) -> int:
        """Most steps of the polish."""
        return self.polish.max_steps

    def search(self, problem: Problem, start: Values, *, key: PRNGKeyArray) -> tuple[Optimum, int]:
        """Return where the starts that were kept end, and the evaluations of all, as computed."""
        lanes = scattered(start, self.polish.starts, self.polish.spread, key=key)
        scouts = wander(problem, lanes, self.steps, self.learning_rate)
        lanes = lowest(scouts, min(self.polish.keep, self.polish.starts))
        ends = self.solve(problem, lanes, jnp.zeros_like(lanes))
        return ends, computed(scouts) + computed(ends)

    def solve(self, problem: Problem, lanes: Lanes, held: Lanes) -> Optimum:
        """Return where every start ends, by the polish alone."""
        return self.polish.solve(problem, lanes, held)


@eqx.filter_jit
def wander(problem: Problem, lanes: Lanes, steps: int, learning_rate: float) -> Optimum:
    """Return the lowest point that each start has seen."""
    rule = optax.adam(optax.cosine_decay_schedule(learning_rate, steps, 0.1))

    def one(z):
        held = jnp.zeros_like(z)

        def step(carry, _):
            z, state, lowest, where = carry
            at = linearise(problem, z, held)
            cost = jnp.sum(at.residuals**2)
            where = jnp.where(cost < lowest, z, where)
            gradient = 2 * at.jacobian.T @ at.residuals / (cost + 1e-300)
            moves, state = rule.update(gradient, state)
            return (z + moves, state, jnp.minimum(cost, lowest), where), None

        first = (z, rule.init(z), jnp.asarray(jnp.inf, z.dtype), z)
        (_, _, cost, where), _ = jax.lax.scan(step, first, length=steps)
        none = jnp.zeros((1, z.size))
        return Optimum(
            z=where,
            residuals=jnp.sqrt(cost)[None],
            jacobian=none,
            failed=jnp.zeros(()),
            predicted=(),
            evaluations=jnp.asarray(steps),
            remaining=jnp.asarray(jnp.inf),
        )

    return jax.vmap(one)(lanes)
