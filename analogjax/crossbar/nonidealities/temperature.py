"""Conductances at another temperature than that at which they were written."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..._checks import check_finite, check_not_negative, check_positive, is_traced
from ..._types import Array, Float, Scalar, ScalarLike
from ...constants import BOLTZMANN_EV, ROOM_TEMPERATURE
from ._base import AbstractCellEffect, Window, clip, fraction, magnitude


class TemperatureCoefficient(AbstractCellEffect):
    """Metallic and semiconducting conduction in one law.

    ``G(T) = G / (1 + a (T - T_0)) exp(-E(u) / k (1 / T - 1 / T_0))``, with the fraction u of the
    window limited to 0 to 1 and ``E(u) = E_HRS (1 - u) + E_LRS u``. With ``E_LRS = 0`` the low
    resistance state is metallic, its conductance falls with temperature; the high resistance state
    rises where ``E_HRS / (k T_0^2)`` is larger than a. At T_0 nothing happens.

    The temperature is the same at all reads and all cells, and nothing is drawn.

    Source: the two textbook laws; linear mixing of the barriers is assumed, and sizes are the
    user's (no measured set is shipped).
    """

    lifetime: ClassVar[str] = "slow"

    temperature: Scalar
    """T [K]."""
    metallic: Scalar
    """a, temperature coefficient of the resistance [1/K]."""
    activation_hrs: Scalar
    """E_HRS [eV]."""
    activation_lrs: Scalar
    """E_LRS [eV]."""
    reference: Scalar
    """T_0, at which the conductances are as written [K]."""

    def __init__(
        self,
        temperature: ScalarLike,
        *,
        metallic: ScalarLike = 0.0,
        activation_hrs: ScalarLike = 0.0,
        activation_lrs: ScalarLike = 0.0,
        reference: ScalarLike = ROOM_TEMPERATURE,
    ):
        """Make a temperature.

        Args:
            temperature: Of the cells [K].
            metallic: Temperature coefficient of the resistance [1/K].
            activation_hrs: Barrier of conduction at `g_min` [eV].
            activation_lrs: Barrier of conduction at `g_max` [eV].
            reference: Temperature at which conductances are as written [K].

        Raises:
            ValueError: A temperature not above zero, a negative barrier, or a coefficient by which
                the resistance would not be above zero.
        """
        check_positive("temperature", temperature, "K")
        check_positive("reference", reference, "K")
        check_finite("metallic", metallic)
        check_not_negative("activation_hrs", activation_hrs, "eV")
        check_not_negative("activation_lrs", activation_lrs, "eV")
        if not any(map(is_traced, (temperature, metallic, reference))):
            rise = np.asarray(temperature) - np.asarray(reference)
            if np.any(1 + np.asarray(metallic) * rise <= 0):
                raise ValueError(
                    f"Argument `metallic` must leave the resistance above 0 ohm at "
                    f"{float(temperature):g} K, but is {float(metallic):g} per K."
                )
        self.temperature, self.metallic = magnitude(temperature), magnitude(metallic)
        self.activation_hrs = magnitude(activation_hrs)
        self.activation_lrs = magnitude(activation_lrs)
        self.reference = magnitude(reference)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> tuple[()]:
        """Return nothing: nothing is random."""
        return ()

    def apply(
        self, g: Float[Array, "*shape"], drawn: tuple[()], *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S]; see the class and `AbstractCellEffect`."""
        self = self.cast(g.dtype)
        u = clip(fraction(g, window), 0.0, 1.0)
        barrier = self.activation_hrs + (self.activation_lrs - self.activation_hrs) * u
        rise = self.temperature - self.reference
        # 1 / T_0 - 1 / T without a difference of two near numbers.
        inverse = rise / (self.temperature * self.reference)
        return g / (1 + self.metallic * rise) * jnp.exp(barrier / BOLTZMANN_EV * inverse)
