"""A device with one number for a state and a closed form for everything: tests in milliseconds."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from analogjax.devices import AbstractDevice, Parameter


class ToyDevice(AbstractDevice):
    """``R = r_high - x (r_high - r_low)``, ``dx/dt = v / seconds``, and decay at rest."""

    PARAMETERS: ClassVar[dict[str, Parameter]] = {
        "r_high": Parameter(1e5, "ohm", "resistance at x = 0", "test"),
        "r_low": Parameter(8e4, "ohm", "resistance at x = 1", "test"),
        "seconds": Parameter(5.0, "s", "time from 0 to 1 at 1 V", "test"),
        "retention": Parameter(1e9, "s", "time constant at rest", "test"),
        "hurry": Parameter(0.0, "-", "rate at rest grows as (T / 300 K)^hurry", "test", zero=True),
        "read_voltage": Parameter(0.1, "V", "read", "test"),
        "ambient_temperature": Parameter(300.0, "K", "ambient", "test"),
        "grain": Parameter(0.0, "-", "standard deviation of x of a drawn state", "test", zero=True),
    }

    r_high: jax.Array
    r_low: jax.Array
    seconds: jax.Array
    retention: jax.Array
    hurry: jax.Array
    read_voltage: jax.Array
    ambient_temperature: jax.Array
    grain: jax.Array
    fails_beyond: float = eqx.field(static=True, default=10.0)

    def __init__(self, fails_beyond: float = 10.0, **parameters: Any):
        for name, parameter in self.PARAMETERS.items():
            setattr(self, name, jnp.asarray(parameters.get(name, parameter.default), float))
        self.fails_beyond = fails_beyond

    def init_state(self):
        return jnp.zeros(())

    def _resistance(self, x):
        return self.r_high - x * (self.r_high - self.r_low)

    def current(self, v, state):
        return v / self._resistance(state)

    def read(self, state):
        return self._resistance(state)

    def prepare(self):
        return jnp.zeros(())

    def initial_fields(self, state):
        return jnp.zeros(())

    def settle(self, v, state, fields, workspace, path):
        return fields

    def rate(self, v, state, fields, workspace, path):
        return v / self.seconds * jnp.ones_like(state), fields

    def fastest(self, fields):
        return jnp.ones(())

    def rest(self, state, duration):
        rate = (self.ambient_temperature / 300.0) ** self.hurry / self.retention
        return state * jnp.exp(-duration * rate)

    def read_warm(self, state, fields, elapsed, workspace):
        return self._resistance(state)

    def observe(self, v, plateau, fields, after, guess, workspace):
        return self.current(v, plateau), self._resistance(after), guess

    def valid(self, state):
        return jnp.isfinite(state) & (jnp.abs(state) < self.fails_beyond)

    def draw_state(self, state, *, key):
        return state + self.grain * jax.random.normal(key, (), state.dtype)
