"""Mixtures of normal distributions: density, probability, quantiles, samples, scores."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm
from jaxtyping import PRNGKeyArray

from ..._types import Array, Float

_HALVINGS = 50

Values = Float[Array, "..."]
Nodes = Float[Array, "... nodes"]


class Mixture(eqx.Module):
    """Normal distributions with weights, along the last axis; any axes before it."""

    log_weight: Nodes
    """Logarithms of weights that sum up to 1."""
    mean: Nodes
    std: Nodes

    def log_density(self, x: Values) -> Values:
        """Return the logarithm of the density at x."""
        parts = norm.logpdf(x[..., None], self.mean, self.std)
        return logsumexp(self.log_weight + parts, axis=-1)

    def probability(self, x: Values) -> Values:
        """Return the probability of values up to x."""
        parts = norm.cdf((x[..., None] - self.mean) / self.std)
        return jnp.sum(jnp.exp(self.log_weight) * parts, axis=-1)

    def moments(self) -> tuple[Values, Values]:
        """Return mean and standard deviation."""
        weight = jnp.exp(self.log_weight)
        mean = jnp.sum(weight * self.mean, axis=-1)
        square = jnp.sum(weight * (self.std**2 + (self.mean - mean[..., None]) ** 2), axis=-1)
        return mean, jnp.sqrt(square)

    def pooled(self) -> Mixture:
        """Return one mixture of all, of equal weight: a value of any of them."""
        count = self.mean[..., 0].size
        flat = [part.reshape(-1) for part in (self.log_weight, self.mean, self.std)]
        return Mixture(flat[0] - jnp.log(count), flat[1], flat[2])

    def quantile(self, p: Values) -> Values:
        """Return the value up to which the probability is p, by bisection."""
        p = jnp.asarray(p, self.mean.dtype)
        low = jnp.min(self.mean - 40 * self.std, axis=-1)
        high = jnp.max(self.mean + 40 * self.std, axis=-1)
        shape = jnp.broadcast_shapes(p.shape, low.shape)

        def halve(_, ends):
            a, b = ends
            middle = 0.5 * (a + b)
            below = self.probability(middle) < p
            return jnp.where(below, middle, a), jnp.where(below, b, middle)

        ends = (jnp.broadcast_to(low, shape), jnp.broadcast_to(high, shape))
        a, b = jax.lax.fori_loop(0, _HALVINGS, halve, ends)
        return 0.5 * (a + b)

    def sample(self, *, key: PRNGKeyArray) -> Values:
        """Return one value of each mixture."""
        first, second = jax.random.split(key)
        which = jax.random.categorical(first, self.log_weight, axis=-1)[..., None]
        mean, std = (jnp.take_along_axis(x, which, -1)[..., 0] for x in (self.mean, self.std))
        return mean + std * jax.random.normal(second, mean.shape, mean.dtype)

    def crps(self, x: Values) -> Values:
        """Return the continuous ranked probability score of x, in its unit; lower is better.

        ``E|X - x| - E|X - X'| / 2``, each a mean of a folded normal. Source: Grimit et al., Q. J.
        R. Meteorol. Soc. 132, 2925 (2006), eq. 5.
        """
        weight = jnp.exp(self.log_weight)
        off = jnp.sum(weight * _folded(x[..., None] - self.mean, self.std), axis=-1)
        apart = self.mean[..., :, None] - self.mean[..., None, :]
        both = jnp.hypot(self.std[..., :, None], self.std[..., None, :])
        spread = jnp.sum(
            weight[..., :, None] * weight[..., None, :] * _folded(apart, both), axis=(-2, -1)
        )
        return off - 0.5 * spread


def _folded(mean: Array, std: Array) -> Array:
    """Return the mean of ``|X|``, X normal."""
    ratio = mean / std
    return mean * (2 * norm.cdf(ratio) - 1) + 2 * std * norm.pdf(ratio)
