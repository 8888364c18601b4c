"""Phase-change memory: programming noise, drift, accumulated 1/f noise of a read."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._types import Scalar, ScalarLike
from ._parameters import parameter
from ._programmed import AbstractProgrammedDevice, ProgrammedState

_SOURCE = (
    "IBM aihwkit, inference/noise/pcm.py; Nandakumar et al., ICECS 2019; "
    "Joshi et al., Nat. Commun. 11, 2473 (2020)"
)


class PCM(AbstractProgrammedDevice):
    """A phase-change cell as statistics of an array: what it is left with, and what becomes of it.

    With ``r = g_target / g_max``, conductances in microsiemens:

    * programming (frozen): ``g_P = max(0, g_target + sigma_P xi)``,
      ``sigma_P = g_max / 25 (0.26348 + 1.9650 r - 1.1731 r^2)``;
    * drift (slow): ``g_D = g_P ((t + t_0) / t_0)^(-nu)``, nu drawn once per programming,
      ``nu = |mu + sigma xi|``, ``mu = clip(0.0244 - 0.0155 ln r, 0.049, 0.1)``,
      ``sigma = clip(-0.0059 - 0.0125 ln r, 0.008, 0.045)``;
    * a read (fresh): ``g = max(0, g_D + g_D Q sqrt(ln((t + t_0 + t_r) / (2 t_r))) xi)``,
      ``Q = min(0.2, 0.0088 / r_P^0.65)``, ``r_P = g_P / g_max``.

    The state's `character` is nu. Zero is `floor` here. The temperature is not in the model.
    """

    g_max: Scalar = parameter(25e-6, "S", "largest conductance", _SOURCE)
    g_min: Scalar = parameter(
        0.0, "S", "smallest conductance programmed", "as in a differential pair", zero=True
    )
    floor: Scalar = parameter(1e-9, "S", "where conductances end below", "assumed")
    read_voltage: Scalar = parameter(0.2, "V", "voltage of a read", "assumed")
    programming_scale: Scalar = parameter(1.0, "-", "factor on sigma_P", _SOURCE, zero=True)
    drift_scale: Scalar = parameter(1.0, "-", "factor on nu", _SOURCE, zero=True)
    read_scale: Scalar = parameter(1.0, "-", "factor on the noise of a read", _SOURCE, zero=True)
    first_read: Scalar = parameter(20.0, "s", "t_0, from which drift is counted", _SOURCE)
    read_duration: Scalar = parameter(250e-9, "s", "t_r, duration of a read", _SOURCE)

    def programming_std(self, conductance: ScalarLike) -> Scalar:
        """Return sigma_P [S] at a target [S]."""
        r = conductance / self.g_max
        return self.programming_scale * self.g_max / 25 * (0.26348 + 1.9650 * r - 1.1731 * r**2)

    def drift_exponent(self, conductance: ScalarLike) -> tuple[Scalar, Scalar]:
        """Return mean and standard deviation of the drift exponent, before the absolute value."""
        log_r = jnp.log(jnp.maximum(conductance / self.g_max, 1e-7))
        # Not `jnp.clip`, which passes plain numbers through float64.
        return (
            jnp.minimum(jnp.maximum(0.0244 - 0.0155 * log_r, 0.049), 0.1),
            jnp.minimum(jnp.maximum(-0.0059 - 0.0125 * log_r, 0.008), 0.045),
        )

    def program(
        self, conductance: ScalarLike, *, key: PRNGKeyArray | None = None
    ) -> ProgrammedState:
        """Return the state after programming to a conductance [S]; see `AbstractProgrammedDevice`.

        Raises:
            ValueError: A conductance outside 0 to `g_max`.
        """
        self.check_target(conductance)
        numbers = jnp.zeros(2, self.g_max.dtype)
        if key is not None:
            numbers = jax.random.normal(key, (2,), self.g_max.dtype)
        return self.drawn(conductance, *numbers)

    def drawn(
        self, conductance: ScalarLike, write: ScalarLike, slow: ScalarLike
    ) -> ProgrammedState:
        """Return the state of two drawn numbers; see `AbstractProgrammedDevice`."""
        mean, spread = self.drift_exponent(conductance)
        nu = self.drift_scale * jnp.abs(mean + spread * slow)
        return self.written(conductance, self.programming_std(conductance) * write, nu)

    def conductance_of(self, state: ProgrammedState) -> Scalar:
        """Return the conductance [S], drifted."""
        later = (state.elapsed + self.first_read) / self.first_read
        return state.conductance * later**-state.character

    def read_std(self, state: ProgrammedState) -> Scalar:
        """Return the standard deviation [S] of a read: 1/f noise since programming."""
        r = state.conductance / self.g_max
        q = jnp.minimum(0.2, 0.0088 / jnp.maximum(r**0.65, 1e-3))
        since = state.elapsed + self.first_read
        octaves = jnp.log((since + self.read_duration) / (2 * self.read_duration))
        return self.read_scale * self.conductance_of(state) * q * jnp.sqrt(octaves)
