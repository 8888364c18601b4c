"""Random telegraph noise: cells that jump between two conductances."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PRNGKeyArray

from ..._checks import (
    check_between,
    check_finite,
    check_not_negative,
    check_positive,
    check_shape,
    is_traced,
)
from ..._types import Array, Float, Scalar, ScalarLike
from ..write_error import FLOAT
from ..write_error import _uniform as uniform
from ._base import AbstractReadNoise, magnitude, safe_sqrt


class TelegraphNoise(AbstractReadNoise):
    """Cells in one of two states at a read: ``G (1 + a (S - p))``, S = 1 with probability p.

    The mean conductance is G and the variance of a current ``a^2 p (1 - p) sum_i (V_i G_ij)^2``.
    `sample` draws the states of all cells, so that the currents of a bit line have the distribution
    of a sum of two-state numbers, not a normal one; states of successive reads are independent,
    which needs reads far apart against ``tau_0 tau_1 / (tau_0 + tau_1)``. For reads that follow
    closely: `telegraph_chain`.

    Source: the usual two-state model; a of 1 to 50 %, larger at low conductance, is recalled from
    the literature, not checked. Here a is the same in all cells.
    """

    cause: ClassVar[str] = "device"

    amplitude: Scalar
    """a, difference of the two conductances over their mean."""
    p: Scalar
    """Probability of the upper state."""
    shared: bool = eqx.field(static=True)
    """Whether all inputs of a batch see the same states."""

    def __init__(self, amplitude: ScalarLike, p: ScalarLike = 0.5, *, shared: bool = False):
        """Make a noise.

        Args:
            amplitude: Difference of the two conductances over their mean.
            p: Probability of the upper state.
            shared: Whether all inputs of a batch see the same states (they are read at once, and
                one product suffices); if not, every input draws those of all cells.

        Raises:
            ValueError: A negative amplitude, or a probability that is none.
        """
        check_not_negative("amplitude", amplitude)
        check_between("p", p, 0.0, 1.0)
        self.amplitude, self.p, self.shared = magnitude(amplitude), magnitude(p), bool(shared)

    @classmethod
    def from_times(
        cls, amplitude: ScalarLike, tau_0: ScalarLike, tau_1: ScalarLike, *, shared: bool = False
    ) -> TelegraphNoise:
        """Make a noise from the mean times in the lower and the upper state [s]."""
        return cls(amplitude, _occupation(tau_0, tau_1), shared=shared)

    def variance(
        self,
        v: Float[Array, "batch rows"],
        g: Float[Array, "rows cols"],
        i: Float[Array, "batch cols"],
        *,
        bandwidth: ScalarLike,
        temperature: ScalarLike,
    ) -> Float[Array, "#batch #cols"]:
        """Return the variance of the currents [A^2]; see `AbstractReadNoise`."""
        self = self.cast(g.dtype)
        return self.amplitude**2 * self.p * (1 - self.p) * (v**2 @ g**2)

    def sample(
        self,
        key: PRNGKeyArray,
        v: Float[Array, "batch rows"],
        g: Float[Array, "rows cols"],
        i: Float[Array, "batch cols"],
        *,
        bandwidth: ScalarLike,
        temperature: ScalarLike,
    ) -> Float[Array, "batch cols"]:
        """Return what one read adds to the currents [A]; see `AbstractReadNoise`.

        A state is a threshold of `p`; the gradient in `p` is that of the standard deviation of
        what was drawn.
        """
        self = self.cast(g.dtype)
        spread = safe_sqrt(self.p * (1 - self.p))
        mean, unit = lax.stop_gradient(
            (self.p, jnp.where(spread > 0, spread, jnp.ones_like(spread)))
        )

        # States are drawn again for the gradient: kept, they would be a number per cell and input.
        @jax.checkpoint
        def read(g: Array, key: PRNGKeyArray, v: Array) -> Array:
            upper = uniform(key, g.shape).astype(g.dtype) < mean
            return v @ (g * ((upper.astype(g.dtype) - mean) / unit))

        if self.shared:
            return self.amplitude * spread * read(g, key, v)
        keys = jax.random.split(key, v.shape[0])
        # One input after another: the states of all of them would fill the memory.
        return self.amplitude * spread * lax.map(lambda one: read(g, *one), (keys, v))


def telegraph_chain(
    key: PRNGKeyArray,
    tau_0: ScalarLike,
    tau_1: ScalarLike,
    times: Any,
    shape: tuple[int, ...] = (),
) -> Float[Array, "times *shape"]:
    """Draw the states of two-state cells at given times.

    A Markov chain in equilibrium from the first time on, with the exact probabilities
    ``P(S' = 1 | S) = p + (S - p) exp(-dt / tau)``, ``p = tau_1 / (tau_0 + tau_1)``,
    ``1 / tau = 1 / tau_0 + 1 / tau_1``, at intervals of any length.

    Args:
        key: Random key.
        tau_0: Mean time in the lower state [s].
        tau_1: Mean time in the upper state [s].
        times: Times [s] that do not descend, (times,).
        shape: Of the cells.

    Returns:
        The states, 0 or 1, (times, *shape), float32. Not differentiable.

    Raises:
        ValueError: Times that descend or are not finite, a mean time not above zero.
    """
    check_positive("tau_0", tau_0, "s")
    check_positive("tau_1", tau_1, "s")
    if not is_traced(times):
        times = np.asarray(times, float)
    check_shape("times", times, (None,))
    check_finite("times", times)
    if not is_traced(times) and np.any(np.diff(times) < 0):
        raise ValueError("Argument `times` must not descend, but does.")
    times = jnp.asarray(times, jnp.result_type(float))
    p = _occupation(tau_0, tau_1)
    kept = jnp.exp(-jnp.diff(times) * (1 / magnitude(tau_0) + 1 / magnitude(tau_1)))
    first, *_ = keys = jax.random.split(key, times.shape[0])

    def advance(state: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        key, kept = step
        upper = p + (state - p) * kept
        state = (uniform(key, shape) < upper.astype(FLOAT)).astype(FLOAT)
        return state, state

    start = (uniform(first, shape) < p.astype(FLOAT)).astype(FLOAT)
    _, later = lax.scan(advance, start, (keys[1:], kept))
    return jnp.concatenate([start[None], later])


def telegraph_spectrum(
    f: Float[Array, "*shape"], amplitude: ScalarLike, tau_0: ScalarLike, tau_1: ScalarLike
) -> Float[Array, "*shape"]:
    """Return the one-sided power density of a two-state conductance.

    ``S(f) = 4 dG^2 p (1 - p) tau / (1 + (2 pi f tau)^2)``, symbols as in `telegraph_chain`; its
    integral over all frequencies is the variance ``dG^2 p (1 - p)``.

    Args:
        f: Frequencies [Hz].
        amplitude: dG, difference of the two conductances, in any unit.
        tau_0: Mean time in the lower state [s].
        tau_1: Mean time in the upper state [s].

    Returns:
        In the square of the amplitude's unit per Hz.
    """
    p = _occupation(tau_0, tau_1)
    tau = (1 - p) * magnitude(tau_1)
    power = 4 * magnitude(amplitude) ** 2 * p * (1 - p) * tau
    return (power / (1 + (2 * jnp.pi * f * tau) ** 2)).astype(f.dtype)


def _occupation(tau_0: ScalarLike, tau_1: ScalarLike) -> Scalar:
    """Return the probability of the upper state."""
    low, high = magnitude(tau_0), magnitude(tau_1)
    return high / (low + high)
