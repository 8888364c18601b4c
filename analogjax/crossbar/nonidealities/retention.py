"""Loss of a stored state: thermally activated, and the law of a peer for comparison."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..._checks import check_between, check_finite, check_not_negative, check_positive
from ..._types import Array, Float, Scalar, ScalarLike
from ...constants import BOLTZMANN_EV, ROOM_TEMPERATURE
from ..write_error import FLOAT
from ._base import AbstractCellEffect, Window, clip, ends, fraction, magnitude, normal


class ArrheniusRetention(AbstractCellEffect):
    """States that decay to one conductance at a thermally activated rate.

    ``G(t) = G_e + (G - G_e) exp(-t / tau)``, ``tau = tau_0 exp((E + s z) / (k T))``, z standard
    normal, one number per cell. ``G_e = g_min + u (g_max - g_min)`` is where a state ends.

    Source: Arrhenius' law; barriers of 1.0 to 1.5 eV are recalled from the literature, not checked,
    and `tau_0` is the user's.
    """

    lifetime: ClassVar[str] = "slow"

    tau_0: Scalar
    """Time constant at infinite temperature [s]."""
    activation_energy: Scalar
    """E, the mean barrier [eV]."""
    activation_std: Scalar
    """s, its standard deviation from cell to cell [eV]."""
    temperature: Scalar
    """[K]."""
    target: Scalar
    """u, where states end, as a fraction of the window."""

    def __init__(
        self,
        tau_0: ScalarLike,
        activation_energy: ScalarLike,
        temperature: ScalarLike = ROOM_TEMPERATURE,
        *,
        activation_std: ScalarLike = 0.0,
        target: ScalarLike = 0.0,
    ):
        """Make a retention.

        Args:
            tau_0: Time constant at infinite temperature [s]; infinite for no loss.
            activation_energy: Mean barrier [eV].
            temperature: Of the cells [K].
            activation_std: Standard deviation of the barrier from cell to cell [eV].
            target: Where states end as a fraction of the window; 0 is `g_min`.

        Raises:
            ValueError: A negative barrier or spread, a time or temperature not above zero, a target
                outside the window.
        """
        # Infinite for no loss at all.
        check_between("tau_0", tau_0, 1e-30, float("inf"), "s")
        check_not_negative("activation_energy", activation_energy, "eV")
        check_positive("temperature", temperature, "K")
        check_not_negative("activation_std", activation_std, "eV")
        check_between("target", target, 0.0, 1.0)
        self.tau_0, self.activation_energy = magnitude(tau_0), magnitude(activation_energy)
        self.temperature, self.target = magnitude(temperature), magnitude(target)
        self.activation_std = magnitude(activation_std)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return a standard normal number per cell."""
        return normal(key, shape)

    def apply(
        self, g: Float[Array, "*shape"], drawn: Array, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S] at time t; see the class and `AbstractCellEffect`."""
        self, (low, high) = self.cast(g.dtype), ends(window, g)
        barrier = self.activation_energy + self.activation_std * drawn.astype(g.dtype)
        # The rate, not its inverse: float32 ends at 1e38, which 2.3 eV reach at 300 K.
        rate = jnp.exp(-barrier / (BOLTZMANN_EV * self.temperature)) / self.tau_0
        end = low + self.target * (high - low)
        return g - (end - g) * jnp.expm1(-jnp.asarray(t, g.dtype) * rate)


def acceleration_factor(
    activation_energy: ScalarLike, temperature: ScalarLike, stress: ScalarLike
) -> Scalar:
    """Return by how much faster states are lost: ``exp(E / k (1 / T - 1 / T_s))``.

    Args:
        activation_energy: E [eV].
        temperature: T, of use [K].
        stress: T_s, of the test [K].
    """
    energy, cold, hot = magnitude(activation_energy), magnitude(temperature), magnitude(stress)
    return jnp.exp(energy / BOLTZMANN_EV * (1 / cold - 1 / hot))


class NeuroSimRetention(AbstractCellEffect):
    """Retention as NeuroSim has it: ``u(t) = u t^(v s)``, u the fraction of the window.

    s is the sign of `target` less u, or without a target -1, 0 or 1, drawn per cell with equal
    probability. u(t) ends at the ends of the window (where it has passed one already, by a write
    error, it stays). It is a power of t in seconds itself: below 1 s it would go the other way, so
    that here t is at least 1 s (ours). The direction s has no gradient.

    For comparisons with that simulator; it says nothing about a mechanism.

    Source: neurosim/DNN_NeuroSim_V1.3 (the law; v is the user's).
    """

    lifetime: ClassVar[str] = "slow"

    v: Scalar
    """Drift coefficient."""
    target: Scalar | None
    """Fraction of the window towards which states drift; None for a random direction."""

    def __init__(self, v: ScalarLike, target: ScalarLike | None = None):
        """Make a retention.

        Args:
            v: Drift coefficient.
            target: Fraction of the window towards which states drift; None for random directions.

        Raises:
            ValueError: A coefficient that is not finite, a target outside the window.
        """
        check_finite("v", v)
        self.v = magnitude(v)
        self.target = None
        if target is not None:
            check_between("target", target, 0.0, 1.0)
            self.target = magnitude(target)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return -1, 0 or 1 per cell."""
        return jax.random.randint(key, shape, -1, 2, jnp.int32).astype(FLOAT)

    def apply(
        self, g: Float[Array, "*shape"], drawn: Array, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S] at time t; see the class and `AbstractCellEffect`."""
        self, (low, high) = self.cast(g.dtype), ends(window, g)
        u = fraction(g, window)
        sign = drawn.astype(g.dtype) if self.target is None else jnp.sign(self.target - u)
        log_t = jnp.log(jnp.maximum(jnp.asarray(t, g.dtype), 1.0))
        change = u * jnp.expm1(self.v * sign * log_t)
        change = clip(change, jnp.minimum(-u, 0.0), jnp.maximum(1.0 - u, 0.0))
        return g + change * (high - low)
