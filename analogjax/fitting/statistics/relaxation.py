"""Laws of relaxation: how far a conductance has moved some time after programming.

Each law is, for a cell of conductance g at time 0, a distribution of the change ``G(t) - g``, and a
mixture of normal distributions, so that density, cumulative probability, quantiles, samples and
scores of all laws are computed alike.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, logsumexp

from ..._checks import check_not_negative, check_positive
from ..._types import Array, Float, Scalar
from ...devices import parameter
from .likelihood import AbstractStatisticalModel, take_parameters
from .mixtures import Mixture

NODES = 40
"""Normal distributions of a scale mixture."""
CHUNK = 1024
"""Reads whose derivatives are held at once."""
MIDDLE, SPAN = 20.0, 40.0
"""Conductances [uS] that slopes and curvatures count from, and in units of (assumed)."""

Cells = Float[Array, " cells"]
_START = "where a fit starts; illustrative"
_ANY = -float("inf")


class Reads(eqx.Module):
    """Reads of cells some time after programming, all of known conductance at time 0."""

    start: Cells
    """Conductance at time 0 [uS]."""
    time: Cells
    """Time since then [s]."""
    change: Cells
    """Conductance less that at time 0 [uS]."""

    def __init__(self, start: Any, time: Any, later: Any):
        """Collect reads; what is missing (nan) is left out.

        Args:
            start: Conductance at time 0 [S], (cells,) or (cells, reads).
            time: Time since then [s], likewise.
            later: Conductance then [S], likewise.

        Raises:
            ValueError: A conductance not above zero, a negative time, or no known read.
        """
        start, time, later = (np.ravel(np.asarray(x, float)) for x in (start, time, later))
        known = np.isfinite(start) & np.isfinite(time) & np.isfinite(later)
        if not known.any():
            raise ValueError("Argument `later` must hold known reads, but has none.")
        check_positive("start", start[known], "S")
        check_not_negative("time", time[known], "s")
        self.start = jnp.asarray(1e6 * start[known])
        self.time = jnp.asarray(time[known])
        self.change = jnp.asarray(1e6 * (later - start)[known])


class AbstractRelaxation(AbstractStatisticalModel):
    """A law of the change of a conductance with time.

    Log time is ``tau = ln(1 + t / t_0)``; with g the conductance at time 0 and
    ``x = (g - 20 uS) / 40 uS``.
    """

    onset: eqx.AbstractVar[Scalar]
    """t_0 [s]."""

    def __init__(self, **parameters: Any):
        """Make a law.

        Args:
            **parameters: Any of `PARAMETERS` by name, instead of its default.

        Raises:
            ValueError: An unknown name, or a value out of range.
        """
        take_parameters(self, parameters)

    @abc.abstractmethod
    def change(self, g: Cells, t: Cells) -> Mixture:
        """Return the distribution of the change [uS] of cells.

        Args:
            g: Conductance at time 0 [uS].
            t: Time since then [s].
        """

    def log_likelihood(self, data: Reads) -> Cells:
        """Return the logarithm of the density [1/uS] of every read."""
        count = data.start.size
        spare = -count % min(CHUNK, count)

        # In chunks: derivatives by many parameters at all nodes of all reads fill the memory.
        chunks = jax.tree.map(
            lambda x: jnp.pad(x, (0, spare), mode="edge").reshape(-1, min(CHUNK, count)), data
        )

        @jax.checkpoint
        def one(part: Reads) -> Array:
            return self.change(part.start, part.time).log_density(part.change)

        return jax.lax.map(one, chunks).reshape(-1)[:count]

    def log_time(self, t: Cells) -> Cells:
        """Return tau."""
        return jnp.log1p(t / self.onset)


def _place(g: Cells) -> Cells:
    return (g - MIDDLE) / SPAN


class NormalRelaxation(AbstractRelaxation):
    """Normal: mean ``m tau``, standard deviation ``(a + b tau) f(g)``.

    ``f = g / (g + h) exp(c x)``, ``m = m_0 + m_1 x``. The form of `StatisticalDevice` with ``tau``
    in place of ``ln t`` (so that times below 1 s are described) and an amplitude of every level.
    """

    onset: Scalar = parameter(0.005, "s", "t_0, when relaxation begins", _START)
    drift: Scalar = parameter(-0.02, "uS", "m_0, shift per e-fold", _START, low=_ANY)
    drift_slope: Scalar = parameter(-0.01, "uS", "m_1, of m", _START, low=_ANY)
    spread: Scalar = parameter(0.3, "uS", "a, standard deviation at t = 0", _START)
    growth: Scalar = parameter(0.3, "uS", "b, its growth per e-fold", _START)
    half: Scalar = parameter(2.0, "uS", "h, conductance of half the amplitude", _START)
    tilt: Scalar = parameter(-0.1, "-", "c, of the amplitude", _START, low=_ANY)

    def __init__(self, **parameters: Any):
        """Make a law; its parameters by name, see `AbstractRelaxation`."""
        AbstractRelaxation.__init__(self, **parameters)

    def change(self, g: Cells, t: Cells) -> Mixture:
        """Return the distribution; see `AbstractRelaxation`."""
        tau, x = self.log_time(t), _place(g)
        std = (self.spread + self.growth * tau) * g / (g + self.half) * jnp.exp(self.tilt * x)
        mean = tau * (self.drift + self.drift_slope * x)
        return Mixture(jnp.zeros_like(mean)[..., None], mean[..., None], std[..., None])


class StudentRelaxation(AbstractRelaxation):
    """Student's t: location ``m tau``, scale ``(a + b tau) f(g)``, nu degrees of freedom.

    f and m as in `NormalRelaxation`, ``ln nu = n_0 + n_1 x + n_2 tau``. A scale mixture:
    ``m tau + scale sqrt(V) xi`` with ``nu / V`` chi-squared.
    """

    onset: Scalar = parameter(0.01, "s", "t_0, when relaxation begins", _START)
    drift: Scalar = parameter(-0.02, "uS", "m_0, shift per e-fold", _START, low=_ANY)
    drift_slope: Scalar = parameter(-0.01, "uS", "m_1, of m", _START, low=_ANY)
    spread: Scalar = parameter(0.1, "uS", "a, scale at t = 0", _START)
    growth: Scalar = parameter(0.15, "uS", "b, its growth per e-fold", _START)
    half: Scalar = parameter(4.0, "uS", "h, conductance of half the amplitude", _START)
    tilt: Scalar = parameter(-0.1, "-", "c, of the amplitude", _START, low=_ANY)
    freedom: Scalar = parameter(1.0, "-", "nu at 20 uS and t = 0", _START)
    freedom_slope: Scalar = parameter(0.5, "-", "n_1, of ln nu by x", _START, low=_ANY)
    freedom_growth: Scalar = parameter(0.1, "-", "n_2, of ln nu by tau", _START, low=_ANY)

    def __init__(self, **parameters: Any):
        """Make a law; its parameters by name, see `AbstractRelaxation`."""
        AbstractRelaxation.__init__(self, **parameters)

    def change(self, g: Cells, t: Cells) -> Mixture:
        """Return the distribution; see `AbstractRelaxation`."""
        tau, x = self.log_time(t), _place(g)
        scale = (self.spread + self.growth * tau) * g / (g + self.half) * jnp.exp(self.tilt * x)
        freedom = self.freedom * jnp.exp(self.freedom_slope * x + self.freedom_growth * tau)
        half = 0.5 * freedom
        # u = ln V: its density falls as exp(-half u) above, and doubly exponentially below.
        low, high = -jnp.log1p(12 / half), jnp.log1p(16 / half) + 12 / half
        u = jnp.linspace(low, high, NODES, axis=-1)
        half = half[..., None]
        log_weight = half * jnp.log(half) - gammaln(half) - half * (u + jnp.exp(-u))
        std = scale[..., None] * jnp.exp(0.5 * u)
        mean = tau * (self.drift + self.drift_slope * x)
        return Mixture(_normalised(log_weight), jnp.broadcast_to(mean[..., None], std.shape), std)


class HoppingRelaxation(AbstractRelaxation):
    """A sum of many independent hops: a normal-inverse Gaussian process in log time.

    If the rates of hops (of ions, of charges between traps) are spread evenly over log rate, as a
    flat distribution of barriers makes them, equal intervals of log time see equally many. Their
    sum is then a process of independent increments in tau. Here it is
    ``mu tau + beta V + sqrt(V) xi + s xi'`` with V inverse Gaussian, of mean
    ``tau delta / gamma`` and shape ``(tau delta)^2``: few hops at first, hence long tails, and
    nearly normal after many. s is the noise of the two reads.

    ``delta = delta_1 g / (g + h)``, ``gamma = gamma_0 exp(c_1 x + c_2 x^2) tau^-q``,
    ``beta = b_0 + b_1 / g``, ``s = s_0 + s_1 (g / 40 uS)^p``. Independent increments have q = 0;
    with another q hops grow in the course of log time.

    Source of the distribution: Barndorff-Nielsen, Scand. J. Stat. 24, 1 (1997).
    """

    onset: Scalar = parameter(0.005, "s", "t_0, when relaxation begins", _START)
    stretch: Scalar = parameter(0.0, "-", "q, growth of hops", "independent hops", low=_ANY)
    drift: Scalar = parameter(-0.01, "uS", "mu, drift per e-fold", _START, low=_ANY)
    activity: Scalar = parameter(0.25, "uS", "delta_1, of hops per e-fold", _START)
    half: Scalar = parameter(3.0, "uS", "h, conductance of half the activity", _START)
    steepness: Scalar = parameter(0.2, "1/uS", "gamma_0, inverse size of large hops", _START)
    steepness_slope: Scalar = parameter(0.3, "-", "c_1, of ln gamma", _START, low=_ANY)
    steepness_curve: Scalar = parameter(3.0, "-", "c_2, of ln gamma", _START, low=_ANY)
    skew: Scalar = parameter(-0.1, "1/uS", "b_0, of large conductances", _START, low=_ANY)
    skew_low: Scalar = parameter(0.5, "-", "b_1, of small conductances", _START, low=_ANY)
    read: Scalar = parameter(1e-3, "uS", "s_0, noise of reads at low conductance", _START)
    read_high: Scalar = parameter(0.2, "uS", "s_1, added at 40 uS", _START)
    read_power: Scalar = parameter(4.0, "-", "p, how it rises", "assumed")

    def __init__(self, **parameters: Any):
        """Make a law; its parameters by name, see `AbstractRelaxation`."""
        AbstractRelaxation.__init__(self, **parameters)

    def change(self, g: Cells, t: Cells) -> Mixture:
        """Return the distribution; see `AbstractRelaxation`."""
        tau, x = self.log_time(t), _place(g)
        delta = tau * self.activity * g / (g + self.half)
        gamma = self.steepness * jnp.exp(self.steepness_slope * x + self.steepness_curve * x**2)
        gamma = gamma * tau**-self.stretch
        u, log_weight = _scales(delta * gamma)
        variance = (delta / gamma)[..., None] * jnp.exp(u)
        skew = self.skew + self.skew_low / g
        mean = (tau * self.drift)[..., None] + variance * skew[..., None]
        read = self.read + self.read_high * (g / SPAN) ** self.read_power
        return Mixture(log_weight, mean, jnp.sqrt(variance + read[..., None] ** 2))


def _scales(shape: Cells) -> tuple[Array, Array]:
    """Return nodes u and log weights of an inverse Gaussian variable ``mean exp(u)``.

    Its density by u is proportional to ``exp(-shape (cosh u - 1) - u / 2)``, which falls doubly
    exponentially: the trapezoidal rule converges exponentially.
    """
    reach = jnp.arccosh(1 + 30 / shape)
    u = jnp.linspace(-reach, reach, NODES, axis=-1)
    return u, _normalised(-shape[..., None] * (jnp.cosh(u) - 1) - u / 2)


def _normalised(log_weight: Array) -> Array:
    return log_weight - logsumexp(log_weight, axis=-1, keepdims=True)


LAWS = {"normal": NormalRelaxation, "student": StudentRelaxation, "hopping": HoppingRelaxation}
"""Laws by name."""
