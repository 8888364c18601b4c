"""An interface device of our own: a Schottky barrier whose height is the state.

Not a published model: the simplest set of equations that has an interface's rectification, its
temperature dependence, its area scaling and its retention. Numbers are illustrative.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._checks import check_not_negative
from .._types import Scalar, ScalarLike
from ..constants import BOLTZMANN_EV, ROOM_TEMPERATURE
from ._compact import AbstractCompactDevice
from ._parameters import parameter
from ._windows import check_order

_OURS = "illustrative"
_NEWTON_STEPS = 8


class SchottkyInterface(AbstractCompactDevice):
    """A Schottky barrier that lowers with the state x (0 to 1), behind a series resistance: *ours*.

    ``i = A A* T^2 exp(-Phi/kT) (exp(v_j / n kT) - 1)``, ``v = v_j + i R_s``,
    ``Phi = Phi_max - (Phi_max - Phi_min) x``,
    ``dx/dt = (x_t(v) - x) / tau(v)`` with ``x_t = 1 / (1 + exp(-(v - v_half) / v_width))`` and
    ``tau = tau_0 exp(-|v| / v_tau + E_a/k (1/T - 1/300 K))``.
    Forward (positive) voltage raises x. At rest x decays to ``x_t(0)`` with ``tau(0)``. The device
    stays at the ambient temperature T.

    Drive: ours; at 2 V tau is 10 us, at rest 30 years (300 K). All numbers are illustrative, but
    for the Richardson constant of free electrons.
    """

    area: Scalar = parameter(1e-10, "m^2", "contact area A", _OURS)
    richardson: Scalar = parameter(
        1.20173e6, "A/(m^2 K^2)", "Richardson constant A*", "that of free electrons"
    )
    phi_max: Scalar = parameter(0.70, "eV", "barrier at x = 0", _OURS)
    phi_min: Scalar = parameter(0.55, "eV", "barrier at x = 1", _OURS)
    ideality: Scalar = parameter(1.5, "-", "ideality factor n", _OURS)
    series_resistance: Scalar = parameter(1e3, "ohm", "series resistance R_s", _OURS, zero=True)
    v_half: Scalar = parameter(
        0.5, "V", "voltage that holds x at one half", _OURS, low=-10.0, high=10.0
    )
    v_width: Scalar = parameter(0.25, "V", "width of the target's sigmoid", _OURS)
    tau_0: Scalar = parameter(1e9, "s", "time constant at 0 V and 300 K", _OURS)
    v_tau: Scalar = parameter(0.062, "V", "voltage that divides tau by e", _OURS)
    activation_energy: Scalar = parameter(0.8, "eV", "barrier of the motion", _OURS, zero=True)
    x_0: Scalar = parameter(0.1, "-", "state of the fresh device", _OURS, low=0.0, high=1.0)
    ambient_temperature: Scalar = parameter(
        ROOM_TEMPERATURE, "K", "ambient", "assumed", low=200.0, high=500.0
    )
    read_voltage: Scalar = parameter(0.3, "V", "read voltage", "assumed", low=-10.0, high=10.0)

    def check(self) -> None:
        """Raise unless the barrier has room."""
        super().check()
        check_order(self, "phi_min", "phi_max", "eV")

    def init_state(self, x: ScalarLike | None = None) -> Scalar:
        """Return the state x (`x_0` if None)."""
        return self.x_0 if x is None else jnp.asarray(x, self.x_0.dtype)

    def barrier(self, state: Scalar) -> Scalar:
        """Return the barrier [eV]."""
        return self.phi_max - (self.phi_max - self.phi_min) * self.project(state)

    def saturation_current(self, state: Scalar) -> Scalar:
        """Return the reverse saturation current [A]."""
        t = self.ambient_temperature
        emission = self.area * self.richardson * t**2
        return emission * jnp.exp(-self.barrier(state) / (BOLTZMANN_EV * t))

    def junction_voltage(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the part v_j [V] of a voltage that drops over the junction."""
        v = jnp.asarray(v, self.area.dtype)
        saturation = self.saturation_current(state)
        scale = self.ideality * BOLTZMANN_EV * self.ambient_temperature
        drop = self.series_resistance * saturation

        def excess(v_j):
            return v_j + drop * jnp.expm1(v_j / scale) - v

        return jax.lax.custom_root(
            excess,
            v,
            lambda _, start: _junction(start, drop, scale),
            lambda linear, right: right / linear(jnp.ones_like(right)),
        )

    def current(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the current [A] under a voltage [V]."""
        scale = self.ideality * BOLTZMANN_EV * self.ambient_temperature
        v_j = self.junction_voltage(v, state)
        return self.saturation_current(state) * jnp.expm1(v_j / scale)

    def target(self, v: ScalarLike) -> Scalar:
        """Return the state that a voltage [V] leads to in the end."""
        return jax.nn.sigmoid((v - self.v_half) / self.v_width)

    def time_constant(self, v: ScalarLike) -> Scalar:
        """Return the time constant [s] of the motion under a voltage [V]."""
        cold = 1 / self.ambient_temperature - 1 / ROOM_TEMPERATURE
        warmth = self.activation_energy / BOLTZMANN_EV * cold
        return self.tau_0 * jnp.exp(warmth - jnp.abs(v) / self.v_tau)

    def velocity(self, v: Scalar, state: Scalar) -> Scalar:
        """Return dx/dt [1/s] under a voltage [V]."""
        return (self.target(v) - state) / self.time_constant(v)

    def bounds(self) -> tuple[ScalarLike, ScalarLike]:
        """Return 0 and 1."""
        return 0.0, 1.0

    def rest(self, state: Scalar, duration: ScalarLike) -> Scalar:
        """Return the state after `duration` [s] at 0 V: it decays towards ``x_t(0)``."""
        check_not_negative("duration", duration, "s")
        end = self.target(0.0)
        return end + (state - end) * jnp.exp(-duration / self.time_constant(0.0))


def _junction(v: Scalar, drop: Scalar, scale: Scalar) -> Scalar:
    """Solve ``v_j + drop (exp(v_j / scale) - 1) = v`` for v_j.

    With ``y = ln(drop / scale) + v_j / scale`` it is ``y + exp(y) = log_z``: increasing and convex,
    so that Newton's method from a point above the root only comes down to it.
    """
    tiny = jnp.finfo(v.dtype).tiny
    log_z = jnp.log(jnp.maximum(drop / scale, tiny)) + (v + drop) / scale
    y = jnp.where(log_z > 1, jnp.log(jnp.maximum(log_z, 1.0)), log_z)
    for _ in range(_NEWTON_STEPS):
        e = jnp.exp(y)
        y = y - (y + e - log_z) / (1 + e)
    return v + drop - scale * jnp.exp(y)
