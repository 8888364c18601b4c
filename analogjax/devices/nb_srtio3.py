"""Nb:SrTiO3 interface devices: a compact model in time, and the law of pulse counts."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_positive, is_traced
from .._types import Scalar, ScalarLike
from ._compact import AbstractCompactDevice
from ._parameters import parameter
from ._windows import held
from .yakopcic import state_factor, threshold_rate

_TIOTTO = "thomastiotto/Memristor-Models, subcircuit SRTIO3 (listing read)"


class NbSrTiO3(AbstractCompactDevice):
    """An interface-type (area-dependent Schottky) device on Nb-doped SrTiO3, as a compact model.

    ``i = x g_max sinh(b_max v) + (1 - x) g_min sinh(b_min v)``, the coefficients by the sign of v,
    and the motion of Yakopcic's model with the knees x_p and x_n (used directly).

    Drive: loops of the listing's own measurement (``sinh(4.96 v)`` does not extrapolate); its
    speeds hold a factor 1 / 844.3632. The listing has no temperature.

    Source: the listing named at the parameters, in the form of Yakopcic (2020); it is the base that
    Goossens, Tiotto et al., arXiv:2210.01455, extend.
    """

    g_max_p: Scalar = parameter(9e-5, "A", "current scale, x = 1, positive voltage", _TIOTTO)
    b_max_p: Scalar = parameter(4.96, "1/V", "curvature, x = 1, positive voltage", _TIOTTO)
    g_min_p: Scalar = parameter(1.5e-5, "A", "current scale, x = 0, positive voltage", _TIOTTO)
    b_min_p: Scalar = parameter(6.91, "1/V", "curvature, x = 0, positive voltage", _TIOTTO)
    g_max_n: Scalar = parameter(1.7e-4, "A", "current scale, x = 1, negative voltage", _TIOTTO)
    b_max_n: Scalar = parameter(3.23, "1/V", "curvature, x = 1, negative voltage", _TIOTTO)
    g_min_n: Scalar = parameter(4.4e-7, "A", "current scale, x = 0, negative voltage", _TIOTTO)
    b_min_n: Scalar = parameter(2.6, "1/V", "curvature, x = 0, negative voltage", _TIOTTO)
    a_p: Scalar = parameter(90 / 844.3632, "1/s", "speed, positive voltage", _TIOTTO, zero=True)
    a_n: Scalar = parameter(10 / 844.3632, "1/s", "speed, negative voltage", _TIOTTO, zero=True)
    v_p: Scalar = parameter(0.5, "V", "positive threshold", _TIOTTO, zero=True)
    v_n: Scalar = parameter(0.5, "V", "negative threshold (its size)", _TIOTTO, zero=True)
    alpha_p: Scalar = parameter(1.0, "-", "decay of the motion above x_p", _TIOTTO, zero=True)
    alpha_n: Scalar = parameter(1.0, "-", "decay of the motion below x_n", _TIOTTO, zero=True)
    x_p: Scalar = parameter(0.1, "-", "knee on the way up", _TIOTTO, low=0.0, high=0.999)
    x_n: Scalar = parameter(0.242, "-", "knee on the way down", _TIOTTO, low=1e-3, high=1.0)
    x_0: Scalar = parameter(0.0, "-", "state of the fresh device", _TIOTTO, low=0.0, high=1.0)
    read_voltage: Scalar = parameter(
        0.1, "V", "read voltage", "assumed, below the thresholds", low=-10.0, high=10.0
    )

    def init_state(self, x: ScalarLike | None = None) -> Scalar:
        """Return the state x (`x_0` if None)."""
        return self.x_0 if x is None else jnp.asarray(x, self.x_0.dtype)

    def current(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the current [A] under a voltage [V]."""
        v, x = jnp.asarray(v), self.project(state)
        positive = v >= 0
        g_max = jnp.where(positive, self.g_max_p, self.g_max_n)
        b_max = jnp.where(positive, self.b_max_p, self.b_max_n)
        g_min = jnp.where(positive, self.g_min_p, self.g_min_n)
        b_min = jnp.where(positive, self.b_min_p, self.b_min_n)
        return x * g_max * jnp.sinh(b_max * v) + (1 - x) * g_min * jnp.sinh(b_min * v)

    def velocity(self, v: Scalar, state: Scalar) -> Scalar:
        """Return dx/dt [1/s] under a voltage [V]."""
        g = threshold_rate(v, self.a_p, self.a_n, self.v_p, self.v_n)
        f = state_factor(self.project(state), g > 0, self.alpha_p, self.alpha_n, self.x_p, self.x_n)
        return held(g * f, state, self.bounds())

    def bounds(self) -> tuple[ScalarLike, ScalarLike]:
        """Return 0 and 1."""
        return 0.0, 1.0


class PulseLaw(eqx.Module):
    """Resistance against the number of SET pulses: ``R(n) = R_0 + R_1 n^c``.

    A pulse looks up how many would have led to the present resistance and adds one. No time and no
    voltage enter (the exponent belongs to one amplitude, see `at_voltage`), so that this is a law
    for pulse counts, not a device for `simulate`.

    Source: T. Tiotto et al., Front. Neurosci. 14, 627276 (2021), doi:10.3389/fnins.2020.627276
    (script and option text read).
    """

    r_0: Scalar
    """Resistance after very many pulses [ohm]."""
    r_1: Scalar
    """What the first pulse leaves above it [ohm]."""
    exponent: Scalar
    """c; negative for SET."""

    def __init__(
        self, r_0: ScalarLike = 200.0, r_1: ScalarLike = 2.3e8, exponent: ScalarLike = -0.146
    ):
        """Make a law; the defaults are published (Nb:SrTiO3, SET pulses of +0.1 V)."""
        dtype = jnp.result_type(float)
        self.r_0, self.r_1 = jnp.asarray(r_0, dtype), jnp.asarray(r_1, dtype)
        self.exponent = jnp.asarray(exponent, dtype)

    @classmethod
    def at_voltage(cls, v: ScalarLike) -> PulseLaw:
        """Return the law at another amplitude [V]: ``c = -0.093 - 0.53 v`` (from memory)."""
        return cls(exponent=-0.093 - 0.53 * jnp.asarray(v))

    def resistance(self, n: ScalarLike) -> Scalar:
        """Return the resistance [ohm] after n pulses (n > 0, not necessarily whole)."""
        check_positive("n", n)
        return self.r_0 + self.r_1 * jnp.asarray(n, self.r_1.dtype) ** self.exponent

    def count(self, resistance: ScalarLike) -> Scalar:
        """Return how many pulses lead to a resistance [ohm] above `r_0`.

        Raises:
            ValueError: A resistance not above it, which no number of pulses leads to.
        """
        if not (is_traced(resistance) or is_traced(self.r_0)):
            check_positive("resistance - r_0", jnp.asarray(resistance) - self.r_0, "ohm")
        return ((resistance - self.r_0) / self.r_1) ** (1 / self.exponent)

    def pulse(self, resistance: ScalarLike, pulses: ScalarLike = 1.0) -> Scalar:
        """Return the resistance [ohm] after one more pulse (or several)."""
        return self.resistance(self.count(resistance) + pulses)

    def draw(
        self, resistance: ScalarLike, *, spread: ScalarLike = 0.15, key: PRNGKeyArray
    ) -> tuple[PulseLaw, Scalar]:
        """Draw a device: its law and its first resistance [ohm] (lifetime: frozen).

        Args:
            resistance: Nominal resistance to begin with [ohm].
            spread: Relative standard deviation of R_0, R_1, c and the resistance (normal).
            key: Random key.

        Raises:
            ValueError: A negative spread.
        """
        check_not_negative("spread", spread)
        nominal = jnp.stack([self.r_0, self.r_1, self.exponent, jnp.asarray(resistance, float)])
        normal = jax.random.normal(key, nominal.shape, nominal.dtype)
        r_0, r_1, exponent, first = nominal * (1 + spread * normal)
        return PulseLaw(r_0, r_1, exponent), first
