"""Damped Newton steps up a log-likelihood, with exact derivatives."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..._types import Array, Float, Scalar
from ..bijections import FreeParameters, Values

ERRORS = 0.01
"""A search has converged when the next Newton step is shorter, in standard errors."""

SHORT = 1e-7
"""Or when it would raise the log-likelihood by less (relative to its size)."""


@dataclasses.dataclass(frozen=True)
class Optimised:
    """Where a search ended, in unbounded numbers."""

    z: np.ndarray
    value: float
    gradient: np.ndarray
    hessian: np.ndarray
    remaining: float
    """Length of the next step in standard errors."""
    steps: int

    @property
    def information(self) -> np.ndarray:
        """The observed Fisher information: minus the Hessian matrix."""
        return -0.5 * (self.hessian + self.hessian.T)


def put(model: Any, parameters: FreeParameters, z: Values) -> Any:
    """Return the model at unbounded numbers."""
    values = parameters.forward(z)
    return model.replace(**dict(zip(parameters.names, values, strict=True)))


@eqx.filter_jit
def evaluate(
    model: Any, parameters: FreeParameters, data: PyTree, z: Values
) -> Float[Array, " observations"]:
    """Return the log-likelihood of every observation at unbounded numbers."""
    return put(model, parameters, z).log_likelihood(data)


def _total(z: Values, model: Any, parameters: FreeParameters, data: PyTree, weights: Array) -> Any:
    terms = put(model, parameters, z).log_likelihood(data)
    # What counts zero times may be impossible.
    return jnp.sum(weights * jnp.where(weights > 0, terms, 0.0))


def _with_jacobian(function: Any, z: Values) -> Any:
    """Return what a function of (value, gradient) gives, and the Jacobian of the gradient."""

    def both(z: Values) -> Any:
        value, gradient = function(z)
        return gradient, (value, gradient)

    jacobian, values = jax.jacfwd(both, has_aux=True)(z)
    return values, jacobian


@eqx.filter_jit
def derivatives(
    model: Any, parameters: FreeParameters, data: PyTree, weights: Array, z: Values
) -> tuple[Scalar, Values, Float[Array, "free free"]]:
    """Return log-likelihood, gradient and Hessian matrix in unbounded numbers.

    The Hessian matrix is the forward derivative of the gradient: one sweep a parameter.
    """

    def total(z: Values) -> Scalar:
        return _total(z, model, parameters, data, weights)

    (value, gradient), hessian = _with_jacobian(jax.value_and_grad(total), z)
    return value, gradient, hessian


@eqx.filter_jit
def scores(
    model: Any, parameters: FreeParameters, data: PyTree, z: Values
) -> Float[Array, "observations free"]:
    """Return the derivatives of every observation's log-likelihood."""
    return jax.jacfwd(lambda z: put(model, parameters, z).log_likelihood(data))(z)


def climb(
    model: Any,
    parameters: FreeParameters,
    data: PyTree,
    weights: Array,
    start: Values,
    held: np.ndarray,
    max_steps: int,
) -> Optimised:
    """Climb to a maximum by damped Newton steps.

    Args:
        model: The model.
        parameters: Its free parameters.
        data: The data.
        weights: Of every observation.
        start: Unbounded numbers.
        held: 1 for those that stay where they are.
        max_steps: Most evaluations.
    """
    moving = np.flatnonzero(np.asarray(held) == 0)
    z = np.asarray(start, float)
    best = _numbers(derivatives(model, parameters, data, weights, jnp.asarray(z)))
    damping, remaining, steps = 1e-3, np.inf, 1
    while steps < max_steps and len(moving):
        value, gradient, hessian = best
        g = gradient[moving]
        size, directions = np.linalg.eigh(-hessian[np.ix_(moving, moving)])
        curvature = np.maximum(np.abs(size), 1e-12 * max(np.abs(size).max(), 1e-300))
        along = directions.T @ g
        remaining = float(np.sqrt(np.sum(along**2 / curvature)))
        if remaining < ERRORS and (size > 0).all():
            break
        step = directions @ (along / (curvature * (1 + damping) + damping * 1e-3))
        # An unbounded number moves by two e-folds at most: Newton steps from afar overshoot.
        step *= min(1.0, 2.0 / max(np.abs(step).max(), 1e-300))
        trial = z.copy()
        trial[moving] += step
        new = _numbers(derivatives(model, parameters, data, weights, jnp.asarray(trial)))
        steps += 1
        rise = new[0] - value
        if np.isfinite(new[0]) and all(np.isfinite(x).all() for x in new[1:]) and rise >= 0:
            z, best = trial, new
            damping = max(damping / 10, 1e-9)
            if rise < SHORT * 1e-6 * abs(value) and remaining < 1.0:
                break
        else:
            damping = max(10 * damping, 1e-6)
            if damping > 1e12:
                break
    return Optimised(z, float(best[0]), best[1], best[2], remaining, steps)


def _numbers(values: Any) -> tuple[float, np.ndarray, np.ndarray]:
    value, gradient, hessian = (np.asarray(v, float) for v in values)
    return float(value), gradient, hessian


def invert(information: np.ndarray) -> np.ndarray:
    """Return the inverse of an information matrix; infinite where it has none."""
    size = np.sqrt(np.maximum(np.diag(information), 0.0))
    scaled = information / np.where(np.outer(size, size) > 0, np.outer(size, size), 1.0)
    values, vectors = np.linalg.eigh(scaled)
    if (values <= 1e-14 * max(values.max(), 1e-300)).any() or (size == 0).any():
        return np.full(information.shape, np.inf)
    return (vectors / values) @ vectors.T / np.outer(size, size)
