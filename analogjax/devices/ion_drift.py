"""Linear ion drift: a doped region that grows with the charge that has flowed."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from .._types import Scalar, ScalarLike
from ._parameters import parameter
from ._windows import AbstractWindowedDevice, check_order

_MEMTORCH = "MemTorch, LinearIonDrift (listing read)"
_TIOTTO = "thomastiotto/Memristor-Models (listing read)"


class LinearIonDrift(AbstractWindowedDevice):
    """The linear ion drift model of a memristor, with a choice of windows.

    ``R(x) = R_on x + R_off (1 - x)``, ``i = v / R(x)``,
    ``dx/dt = mu_v R_on / D^2 i f(x)`` with ``x`` in [0, 1] (1 fully on).
    Without a window x is linear in the charge: ``x = x_0 + mu_v R_on / D^2 q``.

    Drive: sines of about 1 V and 1 Hz (preset ``joglekar_27nm``). The model has no temperature and
    no threshold: every read moves it, and so does the sign of a read.

    Source: D. B. Strukov et al., Nature 453, 80 (2008), doi:10.1038/nature06932; numbers as marked.
    Presets: ``joglekar_27nm`` (with its window, p = 7) and ``film_85nm``.
    """

    mobility: Scalar = parameter(1e-14, "m^2/(V s)", "drift mobility mu_v", _MEMTORCH)
    thickness: Scalar = parameter(10e-9, "m", "film thickness D", _MEMTORCH)
    r_on: Scalar = parameter(100.0, "ohm", "resistance at x = 1", _MEMTORCH)
    r_off: Scalar = parameter(16e3, "ohm", "resistance at x = 0", _MEMTORCH)
    x_0: Scalar = parameter(
        0.1, "-", "state of the fresh device", _TIOTTO + ", set of 27 nm", low=0.0, high=1.0
    )
    window_low: Scalar = parameter(
        0.0, "-", "lower edge of the Kvatinsky window", "assumed", low=-1.0, high=1.0
    )
    window_high: Scalar = parameter(
        1.0, "-", "upper edge of the Kvatinsky window", "assumed", low=0.0, high=2.0
    )
    window_width: Scalar = parameter(
        1.07e-3 / 3, "-", "width of the Kvatinsky window", "Xyce TEAM (1.07 pm of 3 nm)"
    )
    read_voltage: Scalar = parameter(0.1, "V", "read voltage", "assumed", low=-10.0, high=10.0)

    PRESETS: ClassVar[dict[str, dict[str, float]]] = {
        "joglekar_27nm": dict(
            mobility=1e-14, thickness=27e-9, r_on=1e4, r_off=1e5, x_0=0.1, window_exponent=7.0
        ),
        "film_85nm": dict(mobility=2e-14, thickness=85e-9, r_on=1e3, r_off=1e4),
    }
    PRESET_WINDOWS: ClassVar[dict[str, str]] = {"joglekar_27nm": "joglekar"}

    def check(self) -> None:
        """Raise unless the device has two resistances."""
        super().check()
        check_order(self, "r_on", "r_off", "ohm")

    def init_state(self, x: ScalarLike | None = None) -> Scalar:
        """Return the state of a device whose doped share is x (`x_0` if None)."""
        return self.x_0 if x is None else jnp.asarray(x, self.x_0.dtype)

    def resistance(self, state: Scalar) -> Scalar:
        """Return the resistance [ohm]; it does not depend on the voltage."""
        x = self.project(state)
        return self.r_off + (self.r_on - self.r_off) * x

    def current(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the current [A] under a voltage [V]."""
        return v / self.resistance(state)

    def velocity(self, v: Scalar, state: Scalar) -> Scalar:
        """Return dx/dt [1/s] under a voltage [V]."""
        drift = self.mobility * self.r_on / self.thickness**2 * self.current(v, state)
        return self.slowed(drift, state)

    @property
    def window_edges(self) -> tuple[ScalarLike, ScalarLike, ScalarLike]:
        """Lower edge, upper edge and width of the Kvatinsky window, in units of x."""
        return self.window_low, self.window_high, self.window_width
