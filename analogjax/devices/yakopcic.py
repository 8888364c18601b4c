"""Yakopcic's generalised model, fitted by its authors and others to many devices."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from .._types import Scalar, ScalarLike
from ._compact import AbstractCompactDevice
from ._parameters import parameter
from ._windows import held

_OBLEA = "set of Oblea's Ag chalcogenide device, thomastiotto/Memristor-Models (listing read)"

FLOOR = 1e-6
"""Smallest state: the current is proportional to x, and a read must be finite. It is the absolute
tolerance of the default solver, below which nothing is known of x anyway."""


def threshold_rate(
    v: ScalarLike, a_p: ScalarLike, a_n: ScalarLike, v_p: ScalarLike, v_n: ScalarLike
) -> Scalar:
    """Return g(V) [1/s]: exponential beyond the thresholds ``v_p`` and ``-v_n`` [V], 0 between."""
    v = jnp.asarray(v)
    up = a_p * (jnp.exp(jnp.maximum(v, v_p)) - jnp.exp(v_p))
    down = a_n * (jnp.exp(jnp.maximum(-v, v_n)) - jnp.exp(v_n))
    return up - down


def state_factor(
    x: Scalar,
    upwards: Any,
    alpha_p: ScalarLike,
    alpha_n: ScalarLike,
    knee_p: ScalarLike,
    knee_n: ScalarLike,
) -> Scalar:
    """Return f: 1, but beyond a knee (above it on the way up, below it down) it falls to 0.

    ``exp(-alpha_p (x - knee_p)) (1 - x) / (1 - knee_p)`` on the way up and
    ``exp(alpha_n (x - knee_n)) x / knee_n`` on the way down.
    """
    over, under = jnp.maximum(x - knee_p, 0.0), jnp.minimum(x - knee_n, 0.0)
    up = jnp.exp(-alpha_p * over) * (1 - over / (1 - knee_p))
    down = jnp.exp(alpha_n * under) * (1 + under / knee_n)
    return jnp.where(upwards, up, down)


class Yakopcic(AbstractCompactDevice):
    """Yakopcic's generalised memristor model.

    ``i = a_1 x sinh(b v)`` (``a_2`` for negative v), ``dx/dt = eta g(v) f(v, x)`` with
    ``g = A_p (e^v - e^V_p)`` above V_p, ``-A_n (e^-v - e^V_n)`` below -V_n and 0 between (v in
    volts), and f as in `state_factor` with the knees x_p and 1 - x_n. x lies in [1e-6, 1].

    Drive (every preset belongs to its own): ``oblea`` (the default; Ag chalcogenide) a sine of
    0.45 V at 100 Hz, ``miao`` (TaOx) triangles of +0.75 and -1.25 V, ``jo`` (Si/Ag) triangles of
    +4 and -2 V. Other amplitudes and rates extrapolate. The model has no temperature.

    Source: C. Yakopcic et al., IEEE Electron Device Lett. 32, 1436 (2011) and IEEE Trans. CAD 32,
    1201 (2013); numbers as marked.
    """

    eta: int = eqx.field(static=True)
    a_1: Scalar = parameter(0.17, "A", "current scale, positive voltage", _OBLEA)
    a_2: Scalar = parameter(0.17, "A", "current scale, negative voltage", _OBLEA)
    b: Scalar = parameter(0.05, "1/V", "curvature of the current", _OBLEA)
    a_p: Scalar = parameter(4000.0, "1/s", "speed, positive voltage", _OBLEA, zero=True)
    a_n: Scalar = parameter(4000.0, "1/s", "speed, negative voltage", _OBLEA, zero=True)
    v_p: Scalar = parameter(0.16, "V", "positive threshold", _OBLEA, zero=True)
    v_n: Scalar = parameter(0.15, "V", "negative threshold (its size)", _OBLEA, zero=True)
    alpha_p: Scalar = parameter(1.0, "-", "decay of the motion above x_p", _OBLEA, zero=True)
    alpha_n: Scalar = parameter(5.0, "-", "decay of the motion below 1 - x_n", _OBLEA, zero=True)
    x_p: Scalar = parameter(0.3, "-", "knee on the way up", _OBLEA, low=0.0, high=0.999)
    x_n: Scalar = parameter(0.5, "-", "1 less the knee down", _OBLEA, low=0.0, high=0.999)
    x_0: Scalar = parameter(0.11, "-", "state of the fresh device", _OBLEA, low=0.0, high=1.0)
    read_voltage: Scalar = parameter(
        0.05, "V", "read voltage", "assumed, below every threshold", low=-10.0, high=10.0
    )

    PRESETS: ClassVar[dict[str, dict[str, float]]] = {
        "oblea": {},
        "miao": dict(
            a_1=0.11, a_2=0.11, b=0.5, a_p=7.5, a_n=2.0, v_p=0.09, v_n=0.75,
            alpha_p=1.0, alpha_n=5.0, x_p=0.3, x_n=0.5, x_0=0.11,
        ),
        "jo": dict(
            a_1=3.7e-7, a_2=4.35e-7, b=0.7, a_p=0.005, a_n=0.08, v_p=1.5, v_n=0.5,
            alpha_p=1.2, alpha_n=3.0, x_p=0.2, x_n=0.5, x_0=0.1,
        ),
    }  # fmt: skip

    def __init__(self, preset: str | None = None, *, eta: int = 1, **parameters: Any):
        """Make a device.

        Args:
            preset: ``"oblea"`` (the default), ``"miao"`` or ``"jo"``.
            eta: 1 if positive voltage raises x (every published set), -1 if it lowers it.
            **parameters: Any parameter of `PARAMETERS` by name, instead of the preset's value.

        Raises:
            ValueError: An unknown preset, direction or name, or a value out of range.
        """
        if eta not in (1, -1):
            raise ValueError(f"Argument `eta` must be 1 or -1, but is {eta!r}.")
        self.eta = eta
        super().__init__(preset, **parameters)  # pyright: ignore

    def init_state(self, x: ScalarLike | None = None) -> Scalar:
        """Return the state x (`x_0` if None)."""
        return self.project(self.x_0 if x is None else jnp.asarray(x, self.x_0.dtype))

    def current(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the current [A] under a voltage [V]."""
        v = jnp.asarray(v)
        scale = jnp.where(v >= 0, self.a_1, self.a_2)
        return scale * self.project(state) * jnp.sinh(self.b * v)

    def velocity(self, v: Scalar, state: Scalar) -> Scalar:
        """Return dx/dt [1/s] under a voltage [V]."""
        g = self.eta * threshold_rate(v, self.a_p, self.a_n, self.v_p, self.v_n)
        f = state_factor(
            self.project(state), g > 0, self.alpha_p, self.alpha_n, self.x_p, 1 - self.x_n
        )
        return held(g * f, state, self.bounds())

    def bounds(self) -> tuple[ScalarLike, ScalarLike]:
        """Return the smallest and the largest state."""
        return FLOOR, 1.0

    @property
    def potentiation(self) -> float:
        """The direction eta."""
        return float(self.eta)
