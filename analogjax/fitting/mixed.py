"""Linear mixed effects from sufficient statistics: likelihood, modes, and how sure they are.

Of a unit u (what shares one set of numbers z_u) only ``H_u = J^T J``, ``h_u`` and ``s_u`` are
needed, with which its squared residuals are ``s_u - 2 h_u^T x + x^T H_u x`` at x from the origin.
``x_u = mu + B (d + c_u)``: mean, effect of the device, effect of the cycle; B picks what varies.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Float, Scalar

Square = Float[Array, "n n"]


class Statistics(eqx.Module):
    """What is known of every unit, about a common origin."""

    hessian: Float[Array, "units free free"]
    gradient: Float[Array, "units free"]
    squares: Float[Array, " units"]
    values: Scalar
    """Number of residuals."""


class Levels(eqx.Module):
    """Who varies, and how units belong together."""

    pick: Float[Array, "free varying"]
    """1 where a free number is one of those that vary."""
    device: Array
    """Device of each unit, counted from 0."""
    devices: int = eqx.field(static=True)
    between: bool = eqx.field(static=True)
    """Whether devices differ."""
    within: bool = eqx.field(static=True)
    """Whether cycles differ."""

    @property
    def varying(self) -> int:
        """How many numbers vary."""
        return self.pick.shape[1]

    @property
    def triangle(self) -> int:
        """Numbers of one covariance matrix."""
        return self.varying * (self.varying + 1) // 2

    def roots(self, numbers: Array) -> tuple[Square, Square]:
        """Return roots L of the covariances ``L L^T`` of devices and cycles; 0 where none."""
        n = self.triangle
        both = [root(numbers[:n], self.varying), root(numbers[-n:], self.varying)]
        none = jnp.zeros((self.varying, self.varying))
        return both[0] if self.between else none, both[1] if self.within else none

    @property
    def size(self) -> int:
        """Numbers of all covariance matrices."""
        return self.triangle * (self.between + self.within)


def root(numbers: Array, size: int) -> Square:
    """Return a lower triangle: first the logarithms of its diagonal, then what is below it.

    Each row below is in units of its diagonal, so that a row vanishes with its variance.
    """
    diagonal = jnp.exp(numbers[:size])
    below = jnp.zeros((size, size)).at[jnp.tril_indices(size, -1)].set(numbers[size:])
    return diagonal[:, None] * (below + jnp.eye(size))


class Posterior(eqx.Module):
    """What a linear model says, given covariances and noise."""

    likelihood: Scalar
    """Restricted log-likelihood, up to a constant."""
    mean: Float[Array, " free"]
    covariance: Float[Array, "free free"]
    """Of the mean."""
    device: Float[Array, "devices free"]
    """Most probable effects of devices; 0 for what does not vary."""
    cycle: Float[Array, "units free"]
    """Most probable effects of cycles."""


def solve(statistics: Statistics, levels: Levels, roots: tuple[Square, Square], sigma: Scalar):
    """Return the posterior of a linear model with given spread and noise, by elimination.

    Cycles are integrated out of every unit, then devices, then the mean (restricted likelihood).
    """
    between, within = roots
    hessian, gradient = statistics.hessian / sigma**2, statistics.gradient / sigma**2
    h1, g1, gain1, spread1 = jax.vmap(lambda h, g: _without(h, g, levels.pick @ within))(
        hessian, gradient
    )
    h1, g1 = (sums(x, levels.device, levels.devices) for x in (h1, g1))
    h2, g2, gain2, spread2 = jax.vmap(lambda h, g: _without(h, g, levels.pick @ between))(h1, g1)
    total, slope = jnp.sum(h2, 0), jnp.sum(g2, 0)
    # Scaled: numbers may differ in size by orders.
    scale = 1 / jnp.sqrt(jnp.diagonal(total))
    both = jnp.outer(scale, scale)
    factor = jnp.linalg.cholesky(total * both)
    inverse = jax.scipy.linalg.cho_solve((factor, True), jnp.eye(len(scale)))
    covariance = inverse * both
    mean = covariance @ slope
    logdet = 2 * jnp.sum(jnp.log(jnp.diagonal(factor))) - 2 * jnp.sum(jnp.log(scale))
    likelihood = 0.5 * (
        slope @ mean
        + jnp.sum(gain1)
        + jnp.sum(gain2)
        - jnp.sum(statistics.squares) / sigma**2
        - logdet
    ) - statistics.values * jnp.log(sigma)
    device = jax.vmap(lambda s, h, g: s @ (g - h @ mean))(spread2, h1, g1)
    shift = mean[None] + device[levels.device]
    cycle = jax.vmap(lambda s, h, g, x: s @ (g - h @ x))(spread1, hessian, gradient, shift)
    return Posterior(likelihood, mean, covariance, device, cycle)


def sums(values: Array, place: Array, count: int) -> Array:
    """Return the sums of what belongs to the same place."""
    return jax.ops.segment_sum(values, place, num_segments=count)


def _without(hessian: Array, gradient: Array, spread: Array):
    """Integrate ``x + spread e`` over standard normal e.

    Returns H and h of what is left, twice the logarithm of the factor, and the matrix S such that
    the most probable effect at x is ``S (h - H x)``.
    """
    size = spread.shape[1]
    inner = jnp.eye(size) + spread.T @ hessian @ spread
    factor = jnp.linalg.cholesky(inner)
    half = jax.scipy.linalg.solve_triangular(factor, spread.T, lower=True)
    weighed = half @ hessian
    pull = half @ gradient
    gain = pull @ pull - 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
    return hessian - weighed.T @ weighed, gradient - weighed.T @ pull, gain, half.T @ half
