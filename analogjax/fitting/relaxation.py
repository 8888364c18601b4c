"""Laws of relaxation: how far a conductance has moved some time after programming.

Each law is, for a cell of conductance g at time 0, a distribution of the change ``G(t) - g``, and a
mixture of normal distributions, so that density, cumulative probability, quantiles, samples and
scores of all laws are computed alike. What a law says of a conductance is a value at each of a few
conductances (`knots`), interpolated linearly between them.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, logsumexp
from jax.scipy.stats import norm
from jaxtyping import PRNGKeyArray

from .._checks import check_positive
from .._types import Array, Float, Scalar
from .mixtures import Mixture

KNOTS = (0.3e-6, 1e-6, 3e-6, 8e-6, 16e-6, 28e-6, 40e-6)
"""Conductances [S] at which parameters are given by default (assumed; 0 to 40 uS, denser below)."""
NODES = 48
"""Normal distributions of a scale mixture; see `_scales`."""

Knots = Float[Array, " knots"]
Cells = Float[Array, " cells"]


class AbstractRelaxation(eqx.Module):
    """A law of the change of a conductance with time.

    All parameters are unbounded numbers, so that an optimiser may propose any. Conductances are in
    S, the parameters in uS. Log time is ``tau = ln(1 + t / t_0)``.
    """

    knots: eqx.AbstractVar[tuple[float, ...]]
    """Conductances [S] at which the arrays hold parameters."""
    log_onset: eqx.AbstractVar[Scalar]
    """``ln(t_0 / s)``, when relaxation begins."""

    @abc.abstractmethod
    def change(self, g: Cells, t: Cells) -> Mixture:
        """Return the distribution of the change [uS] of cells.

        Args:
            g: Conductance at time 0 [S].
            t: Time since then [s].
        """

    def log_density(self, g: Cells, t: Cells, later: Cells) -> Cells:
        """Return the logarithm of the density [1/uS] of the conductance `later` [S] at time t."""
        return self.change(g, t).log_density(1e6 * (later - g))

    def log_time(self, t: Cells) -> Cells:
        """Return tau."""
        return jnp.log1p(t * jnp.exp(-self.log_onset))

    def at(self, values: Knots, g: Cells) -> Cells:
        """Return parameters of cells: interpolated linearly, constant beyond the knots."""
        return jnp.interp(g, jnp.asarray(self.knots), values)

    def describe(self) -> dict[str, np.ndarray]:
        """Return the parameters by name, those of the knots as arrays."""
        return {
            name: np.asarray(getattr(self, name))
            for name in self.__dataclass_fields__
            if eqx.is_array(getattr(self, name))
        }


def _constant(knots: Sequence[float], value: float) -> Knots:
    return jnp.full(len(knots), value, jnp.result_type(float))


def _knots(knots: Sequence[float] | None) -> tuple[float, ...]:
    knots = tuple(float(k) for k in (KNOTS if knots is None else knots))
    check_positive("knots", np.array(knots), "S")
    if np.any(np.diff(knots) <= 0):
        raise ValueError(f"Argument `knots` must rise, but is {knots}.")
    return knots


class NormalRelaxation(AbstractRelaxation):
    """Normal: mean ``m tau``, standard deviation ``a + b tau``; the form of `StatisticalDevice`.

    Source: the law of the preset ``cmo_hfox`` of `StatisticalDevice`, its parameters here functions
    of the conductance, and tau in place of ``ln t``, so that times below 1 s are described.
    """

    knots: tuple[float, ...] = eqx.field(static=True)
    log_onset: Scalar
    drift: Knots
    """m [uS]."""
    log_spread: Knots
    """ln a, a in uS."""
    log_growth: Knots
    """ln b, b in uS."""

    def __init__(self, knots: Sequence[float] | None = None):
        """Make a law to start a fit from."""
        self.knots = _knots(knots)
        self.log_onset = jnp.log(jnp.asarray(0.01))
        self.drift = _constant(self.knots, 0.0)
        self.log_spread = _constant(self.knots, np.log(0.3))
        self.log_growth = _constant(self.knots, np.log(0.3))

    def change(self, g: Cells, t: Cells) -> Mixture:
        """Return the distribution; see `AbstractRelaxation`."""
        tau = self.log_time(t)
        std = jnp.exp(self.at(self.log_spread, g)) + tau * jnp.exp(self.at(self.log_growth, g))
        mean = tau * self.at(self.drift, g)
        return Mixture(jnp.zeros_like(mean)[..., None], mean[..., None], std[..., None])


class StudentRelaxation(AbstractRelaxation):
    """Student's t: location ``m tau``, scale ``a + b tau``, nu degrees of freedom.

    A scale mixture: ``x = m tau + (a + b tau) sqrt(V) xi``, ``nu / V`` chi-squared.
    """

    knots: tuple[float, ...] = eqx.field(static=True)
    log_onset: Scalar
    drift: Knots
    log_spread: Knots
    log_growth: Knots
    log_freedom: Knots
    """ln nu."""

    def __init__(self, knots: Sequence[float] | None = None):
        """Make a law to start a fit from."""
        self.knots = _knots(knots)
        self.log_onset = jnp.log(jnp.asarray(0.01))
        self.drift = _constant(self.knots, 0.0)
        self.log_spread = _constant(self.knots, np.log(0.2))
        self.log_growth = _constant(self.knots, np.log(0.15))
        self.log_freedom = _constant(self.knots, np.log(3.0))

    def change(self, g: Cells, t: Cells) -> Mixture:
        """Return the distribution; see `AbstractRelaxation`."""
        tau = self.log_time(t)
        scale = jnp.exp(self.at(self.log_spread, g)) + tau * jnp.exp(self.at(self.log_growth, g))
        half = 0.5 * jnp.exp(self.at(self.log_freedom, g))[..., None]
        # u = ln V: the density falls as exp(-half u) above and doubly exponentially below.
        low, high = -jnp.log1p(12 / half), jnp.log1p(16 / half) + 12 / half
        u = low + (high - low) * jnp.linspace(0, 1, NODES)
        log_weight = half * jnp.log(half) - gammaln(half) - half * (u + jnp.exp(-u))
        std = scale[..., None] * jnp.exp(0.5 * u)
        mean = jnp.broadcast_to((tau * self.at(self.drift, g))[..., None], std.shape)
        return Mixture(_normalised(log_weight), mean, std)


class HoppingRelaxation(AbstractRelaxation):
    """A sum of many independent hops: a normal-inverse Gaussian process in log time.

    If the rates of the hops (of ions, of charges between traps) are spread evenly over log rate, as
    a flat distribution of barriers makes them, equal intervals of log time see equally many. The
    sum is then a process of independent increments in tau. Here it is
    ``x = mu tau + beta V + sqrt(V) xi + s xi'`` with V inverse Gaussian, of mean
    ``tau delta / gamma`` and shape ``(tau delta)^2``: few hops at first, hence long tails,
    and nearly normal after many. s is the noise of the two reads.

    With `stretch` = q, hops become larger in log time: ``gamma -> gamma tau^-q``; q = 0 is the
    process of independent increments.

    Source of the distribution: Barndorff-Nielsen, Scand. J. Stat. 24, 1 (1997).
    """

    knots: tuple[float, ...] = eqx.field(static=True)
    log_onset: Scalar
    stretch: Scalar
    drift: Knots
    """mu [uS]."""
    skew: Knots
    """beta [1/uS]."""
    log_activity: Knots
    """ln delta, delta in uS."""
    log_steepness: Knots
    """ln gamma, gamma in 1/uS."""
    log_read: Knots
    """ln s, s in uS."""

    def __init__(self, knots: Sequence[float] | None = None):
        """Make a law to start a fit from."""
        self.knots = _knots(knots)
        self.log_onset = jnp.log(jnp.asarray(0.005))
        self.stretch = jnp.zeros(())
        self.drift = _constant(self.knots, 0.0)
        self.skew = _constant(self.knots, 0.0)
        self.log_activity = _constant(self.knots, np.log(0.15))
        self.log_steepness = _constant(self.knots, np.log(0.3))
        self.log_read = _constant(self.knots, np.log(0.05))

    def change(self, g: Cells, t: Cells) -> Mixture:
        """Return the distribution; see `AbstractRelaxation`."""
        tau = self.log_time(t)
        delta = tau * jnp.exp(self.at(self.log_activity, g))
        gamma = jnp.exp(self.at(self.log_steepness, g)) * tau**-self.stretch
        u, log_weight = _scales(delta * gamma)
        variance = (delta / gamma)[..., None] * jnp.exp(u)
        mean = (tau * self.at(self.drift, g))[..., None] + variance * self.at(self.skew, g)[
            ..., None
        ]
        read = jnp.exp(self.at(self.log_read, g))[..., None]
        return Mixture(log_weight, mean, jnp.sqrt(variance + read**2))


def _scales(shape: Cells) -> tuple[Array, Array]:
    """Return nodes u and log weights of an inverse Gaussian variable ``mean exp(u)``.

    Its density by u is proportional to ``exp(-shape (cosh u - 1) - u / 2)``, which falls doubly
    exponentially: the trapezoidal rule converges exponentially.
    """
    reach = jnp.arccosh(1 + 30 / shape)[..., None]
    u = reach * jnp.linspace(-1, 1, NODES)
    return u, _normalised(-shape[..., None] * (jnp.cosh(u) - 1) - u / 2)


def _normalised(log_weight: Array) -> Array:
    return log_weight - logsumexp(log_weight, axis=-1, keepdims=True)


LAWS = {
    "normal": NormalRelaxation,
    "student": StudentRelaxation,
    "hopping": HoppingRelaxation,
}
"""Laws by name."""
