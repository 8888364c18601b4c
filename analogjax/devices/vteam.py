"""TEAM and VTEAM: threshold-adaptive motion of a boundary, driven by current or by voltage."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .._checks import check_choice
from .._types import Scalar, ScalarLike
from ._parameters import parameter
from ._windows import AbstractWindowedDevice, check_order

_MEMTORCH = "MemTorch, VTEAM (listing read)"
_XYCE = "Xyce 7, TEAM (listing read)"


class AbstractThresholdDevice(AbstractWindowedDevice):
    """What TEAM and VTEAM share: the boundary w, its two resistances and its power law.

    With a stimulus u (voltage or current) and its thresholds ``u_on < 0 < u_off``,
    ``dw/dt = k_off (u / u_off - 1)^alpha_off f_off(w)`` where ``u > u_off``,
    ``dw/dt = k_on (u / u_on - 1)^alpha_on f_on(w)`` where ``u < u_on``, and 0 between. The
    resistance is linear in w or exponential: ``R = R_on (R_off / R_on)^x`` with
    ``x = (w - w_on) / (w_off - w_on)``, the state. Positive voltage resets.
    """

    iv: str = eqx.field(static=True, default="linear")
    r_on: Scalar = parameter(50.0, "ohm", "resistance at w_on", f"{_MEMTORCH}; {_XYCE}")
    r_off: Scalar = parameter(1000.0, "ohm", "resistance at w_off", f"{_MEMTORCH}; {_XYCE}")
    w_on: Scalar = parameter(0.0, "m", "boundary when fully on", _MEMTORCH, zero=True)
    w_off: Scalar = parameter(3e-9, "m", "boundary when fully off", _MEMTORCH)
    a_on: Scalar = parameter(0.0, "m", "edge of the Kvatinsky window near w_on", _XYCE, zero=True)
    a_off: Scalar = parameter(3e-9, "m", "edge of the Kvatinsky window near w_off", _XYCE)
    w_c: Scalar = parameter(1.07e-12, "m", "width of the Kvatinsky window", _XYCE)
    read_voltage: Scalar = parameter(
        0.01, "V", "read voltage", "assumed, below v_off of the defaults", low=-10.0, high=10.0
    )

    def __init__(
        self,
        preset: str | None = None,
        *,
        window: str | None = None,
        iv: str = "linear",
        **parameters: Any,
    ):
        """Make a device.

        Args:
            preset: A set of `PRESETS`; the defaults if None.
            window: ``"none"`` (hard bounds alone), ``"joglekar"``, ``"biolek"``,
                ``"prodromakis"`` or ``"kvatinsky"``; None for that of the preset.
            iv: ``"linear"`` or ``"exponential"``: how the resistance follows w.
            **parameters: Any parameter of `PARAMETERS` by name, instead of the preset's value.

        Raises:
            ValueError: An unknown preset, window, law or name, or a value out of range.
        """
        self.iv = check_choice("iv", iv, ("linear", "exponential"))
        super().__init__(preset, window=window, **parameters)

    def check(self) -> None:
        """Raise unless off lies above on."""
        super().check()
        check_order(self, "r_on", "r_off", "ohm")
        check_order(self, "w_on", "w_off", "m")

    def init_state(self, w: ScalarLike | None = None) -> Scalar:
        """Return the state of a boundary at w [m]; fully off if None (assumed)."""
        if w is None:
            return jnp.ones_like(self.w_off)
        return (w - self.w_on) / (self.w_off - self.w_on)

    def position(self, state: Scalar) -> Scalar:
        """Return the boundary w [m]."""
        return self.w_on + (self.w_off - self.w_on) * state

    def resistance(self, state: Scalar) -> Scalar:
        """Return the resistance [ohm]; it does not depend on the voltage."""
        x = self.project(state)
        if self.iv == "exponential":
            return self.r_on * (self.r_off / self.r_on) ** x
        return self.r_on + (self.r_off - self.r_on) * x

    def current(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the current [A] under a voltage [V]."""
        return v / self.resistance(state)

    @property
    def potentiation(self) -> float:
        """Negative voltage lowers the resistance."""
        return -1.0

    @abc.abstractmethod
    def overdrive(self, v: Scalar, state: Scalar) -> tuple[Scalar, Scalar]:
        """Return how far the stimulus is beyond its on and off thresholds, as a ratio less 1."""

    @property
    @abc.abstractmethod
    def _law(self) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        """``k_on``, ``k_off``, ``alpha_on``, ``alpha_off``."""

    def velocity(self, v: Scalar, state: Scalar) -> Scalar:
        """Return dx/dt [1/s] under a voltage [V]."""
        on, off = self.overdrive(v, state)
        k_on, k_off, alpha_on, alpha_off = self._law
        motion = k_off * _beyond(off, alpha_off) + k_on * _beyond(on, alpha_on)
        return self.slowed(motion / (self.w_off - self.w_on), state)

    @property
    def window_edges(self) -> tuple[ScalarLike, ScalarLike, ScalarLike]:
        """Lower edge, upper edge and width of the Kvatinsky window, in units of x."""
        span = self.w_off - self.w_on
        return (self.a_on - self.w_on) / span, (self.a_off - self.w_on) / span, self.w_c / span


def _beyond(excess: Scalar, exponent: Scalar) -> Scalar:
    """Return excess^exponent, 0 below the threshold."""
    active = excess > 0
    return jnp.where(active, jnp.where(active, excess, 1.0) ** exponent, 0.0)


class VTEAM(AbstractThresholdDevice):
    """VTEAM: the threshold-adaptive model with voltage thresholds.

    Equations at `AbstractThresholdDevice`, the stimulus is the voltage. At constant voltage and
    without a window w is linear in time. The defaults are those of a public simulator, not of a
    fitted device: 640 m/s at -1 V, from one end to the other in 5 ps; no temperature.

    Source: S. Kvatinsky et al., IEEE Trans. Circuits Syst. II 62, 786 (2015),
    doi:10.1109/TCSII.2015.2433536; numbers as marked.
    """

    k_on: Scalar = parameter(-10.0, "m/s", "speed towards w_on", _MEMTORCH, low=-1e12, high=0.0)
    k_off: Scalar = parameter(5e-4, "m/s", "speed towards w_off", _MEMTORCH, zero=True)
    alpha_on: Scalar = parameter(3.0, "-", "exponent of the overdrive below v_on", _MEMTORCH)
    alpha_off: Scalar = parameter(1.0, "-", "exponent of the overdrive above v_off", _MEMTORCH)
    v_on: Scalar = parameter(-0.2, "V", "on threshold", _MEMTORCH, low=-1e3, high=-1e-9)
    v_off: Scalar = parameter(0.02, "V", "off threshold", _MEMTORCH)

    def overdrive(self, v: Scalar, state: Scalar) -> tuple[Scalar, Scalar]:
        """Return ``v / v_on - 1`` and ``v / v_off - 1``."""
        return v / self.v_on - 1, v / self.v_off - 1

    @property
    def _law(self) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        return self.k_on, self.k_off, self.alpha_on, self.alpha_off


class TEAM(AbstractThresholdDevice):
    """TEAM: the threshold-adaptive model with current thresholds.

    Equations at `AbstractThresholdDevice`, the stimulus is the current. ``i_on`` is negative: the
    listing it is taken from has it positive, which would switch that side off. No temperature.

    Source: S. Kvatinsky et al., IEEE Trans. Circuits Syst. I 60, 211 (2013),
    doi:10.1109/TCSI.2012.2215714; numbers as marked.
    """

    k_on: Scalar = parameter(-8e-13, "m/s", "speed towards w_on", _XYCE, low=-1e12, high=0.0)
    k_off: Scalar = parameter(8e-13, "m/s", "speed towards w_off", _XYCE, zero=True)
    alpha_on: Scalar = parameter(3.0, "-", "exponent of the overdrive below i_on", _XYCE)
    alpha_off: Scalar = parameter(3.0, "-", "exponent of the overdrive above i_off", _XYCE)
    i_on: Scalar = parameter(
        -8.9e-6, "A", "on threshold", _XYCE + ", with its sign put right", low=-1e3, high=-1e-15
    )
    i_off: Scalar = parameter(115e-6, "A", "off threshold", _XYCE)

    def overdrive(self, v: Scalar, state: Scalar) -> tuple[Scalar, Scalar]:
        """Return ``i / i_on - 1`` and ``i / i_off - 1``."""
        i = self.current(v, state)
        return i / self.i_on - 1, i / self.i_off - 1

    @property
    def _law(self) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        return self.k_on, self.k_off, self.alpha_on, self.alpha_off
