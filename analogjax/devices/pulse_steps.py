"""Pulse-response step devices for in-memory training: a law per pulse, not per second.

The state w follows what public training simulators call a pulsed device: a write pulse of either
sign is one step up or down, whatever its amplitude and width. Numbers are those of the presets of
IBM's analog hardware toolkit (``presets/devices.py``, listing read); their *write noise* (of the
weight seen, not of the weight kept) and leakage are not modelled.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Scalar, ScalarLike
from ._compact import AbstractCompactDevice
from ._parameters import parameter
from ._windows import check_order
from .variability import Spread

_AIHWKIT = "IBM/aihwkit presets/devices.py (listing read)"
_GOKMEN = _AIHWKIT + ", GokmenVlasov: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016)"

Increment = tuple[Scalar, Scalar, Scalar]
"""State before a pulse, step without chance, standard deviation of the step."""


class AbstractPulseStepDevice(AbstractCompactDevice):
    """A device whose state w takes one step per write pulse, within ``[w_min, w_max]``.

    A positive pulse adds ``dw_up u(w)``, a negative one takes ``dw_down d(w)`` away; a subclass
    says what u and d are. ``dw_up = dw_min (1 + min(up_down, 0))``,
    ``dw_down = dw_min (1 - max(up_down, 0))``. With a key a step has a spread from cycle to cycle
    of `c2c` times itself, or times ``dw_up`` and ``dw_down`` where `additive`. The conductance is
    affine in w, ``g_min`` at ``w_min`` and ``g_max`` at ``w_max`` (assumed: a training simulator
    has none).
    """

    additive: bool = eqx.field(static=True, default=False)
    dw_min: Scalar = parameter(0.0016, "-", "smallest step, at w = 0", _GOKMEN)
    up_down: Scalar = parameter(
        0.0, "-", "asymmetry: negative, steps up are smaller; positive, steps down", _AIHWKIT,
        low=-1.0, high=1.0,
    )  # fmt: skip
    c2c: Scalar = parameter(0.3, "-", "spread of a step over the step", _GOKMEN, zero=True)
    w_min: Scalar = parameter(-1.0, "-", "smallest state", _GOKMEN, low=-1e6, high=0.0)
    w_max: Scalar = parameter(1.0, "-", "largest state", _GOKMEN)
    w_0: Scalar = parameter(0.0, "-", "state of the fresh device", "assumed", low=-1e6, high=1e6)
    g_min: Scalar = parameter(1e-6, "S", "conductance at w_min", "assumed")
    g_max: Scalar = parameter(25e-6, "S", "conductance at w_max", "assumed")
    read_voltage: Scalar = parameter(0.1, "V", "read voltage", "assumed", low=-10.0, high=10.0)

    ADDITIVE: ClassVar[frozenset[str]] = frozenset()
    """Presets whose noise does not scale with the step."""

    def __init__(
        self, preset: str | None = None, *, additive: bool | None = None, **parameters: Any
    ):
        """Make a device.

        Args:
            preset: A set of `PRESETS`; the defaults if None.
            additive: Whether the spread of a step stays what it is at w = 0; None for what the
                preset says (multiplicative without one).
            **parameters: Any parameter of `PARAMETERS` by name, instead of the preset's value.

        Raises:
            ValueError: An unknown preset or name, or a value out of range.
        """
        self.additive = preset in self.ADDITIVE if additive is None else bool(additive)
        super().__init__(preset, **parameters)  # pyright: ignore

    def check(self) -> None:
        """Raise unless the two conductances differ in the right order."""
        super().check()
        check_order(self, "g_min", "g_max", "S")

    @abc.abstractmethod
    def shapes(self, w: Scalar) -> tuple[Scalar, Scalar]:
        """Return u and d: how large a step up and a step down are at w, over those at w = 0."""

    def step(self, v: Scalar, width: Scalar, w: Scalar) -> tuple[Scalar, Increment]:
        """Return the state after one pulse without chance, and what `fluctuate` needs to know.

        A voltage of zero or a width of zero is no pulse.
        """
        scale_up = self.dw_min * (1 + jnp.minimum(self.up_down, 0.0))
        scale_down = self.dw_min * (1 - jnp.maximum(self.up_down, 0.0))
        up, down = self.shapes(w)
        on = width > 0
        rises, falls = on & (v > 0), on & (v < 0)

        def signed(positive, negative):
            return jnp.where(rises, positive, jnp.where(falls, -negative, 0.0))

        dw = signed(scale_up * up, scale_down * down)
        spread = self.c2c * (signed(scale_up, scale_down) if self.additive else dw)
        return self.project(w + dw), (w, dw, spread)

    def fluctuate(
        self, state: Scalar, fields: PyTree, duration: ScalarLike, *, key: PRNGKeyArray
    ) -> Scalar:
        """Return the state after the pulse with the spread from cycle to cycle of its step."""
        w, dw, spread = fields
        return self.project(w + dw + spread * jax.random.normal(key, (), dw.dtype))

    def initial_fields(self, state: Scalar) -> PyTree:
        """Return no step."""
        return state, jnp.zeros_like(state), jnp.zeros_like(state)

    @property
    def default_solver(self) -> str:
        """``"step"``."""
        return "step"

    def velocity(self, v: Scalar, state: Scalar) -> Scalar:
        """Raise: there is no law in time.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"Argument `solver` must be 'step' (or None) for a {type(self).__name__}, but is one "
            "that integrates in time."
        )

    def init_state(self, w: ScalarLike | None = None) -> Scalar:
        """Return the state w (`w_0` if None)."""
        return self.w_0 if w is None else jnp.asarray(w, self.w_0.dtype)

    def current(self, v: ScalarLike, state: Scalar) -> Scalar:
        """Return the current [A] under a voltage [V]."""
        x = (self.project(state) - self.w_min) / (self.w_max - self.w_min)
        return v * (self.g_min + (self.g_max - self.g_min) * x)

    def bounds(self) -> tuple[ScalarLike, ScalarLike]:
        """Return ``w_min`` and ``w_max``."""
        return self.w_min, self.w_max


class ConstantStep(AbstractPulseStepDevice):
    """Steps of one size: ``u = d = 1``; see `AbstractPulseStepDevice`.

    Presets: ``gokmen_vlasov`` (the default: about 1200 steps) and ``idealized``.
    """

    PRESETS: ClassVar[dict[str, dict[str, float]]] = {
        "gokmen_vlasov": {},
        "idealized": dict(dw_min=2e-4, c2c=0.3),
    }

    def shapes(self, w: Scalar) -> tuple[Scalar, Scalar]:
        """Return 1 and 1."""
        return jnp.ones_like(w), jnp.ones_like(w)


class LinearStep(AbstractPulseStepDevice):
    """Steps that shrink linearly: ``u = 1 - gamma_up w / w_max``, ``d = 1 - gamma_down w / w_min``.

    Presets: ``capacitor`` (the default: Li et al., VLSI 2018; its leakage is not modelled),
    ``ecram`` (Tang et al., IEDM 2018) and ``ecram_mo`` (Kim et al., IEDM 2019).
    """

    dw_min: Scalar = parameter(0.005, "-", "smallest step, at w = 0", _AIHWKIT + ", capacitor")
    gamma_up: Scalar = parameter(
        0.05, "-", "share of a step up that is lost at w_max", _AIHWKIT + ", capacitor", zero=True
    )
    gamma_down: Scalar = parameter(
        0.05, "-", "share of a step down that is lost at w_min", _AIHWKIT + ", capacitor", zero=True
    )

    PRESETS: ClassVar[dict[str, dict[str, float]]] = {
        "capacitor": {},
        "ecram": dict(
            dw_min=0.002, w_max=1.1724, w_min=-0.8276, gamma_up=0.1153, gamma_down=0.5085, c2c=0.3
        ),
        "ecram_mo": dict(
            dw_min=2.8214e-4, w_max=1.1714, w_min=-0.8286, gamma_up=0.4152, gamma_down=0.7342,
            c2c=2.0,
        ),
    }  # fmt: skip
    ADDITIVE: ClassVar[frozenset[str]] = frozenset({"capacitor"})

    def shapes(self, w: Scalar) -> tuple[Scalar, Scalar]:
        """Return ``1 - gamma_up w / w_max`` and ``1 - gamma_down w / w_min``."""
        return 1 - self.gamma_up * w / self.w_max, 1 - self.gamma_down * w / self.w_min


class SoftBounds(AbstractPulseStepDevice):
    """Steps that vanish at the bounds: ``u = 1 - w / w_max``, ``d = 1 - w / w_min``.

    Presets: ``reram_sb`` (the default: loose fit to Gong et al., Nat. Commun. 9, 2102 (2018),
    centred on its symmetry point), ``reram_array_om`` and ``reram_array_hfo2`` (arrays of Gong,
    Rasch et al., IEDM 2022, range scaled to 1).
    """

    dw_min: Scalar = parameter(0.002, "-", "smallest step, at w = 0", _AIHWKIT + ", ReRamSB")
    c2c: Scalar = parameter(
        3.75, "-", "spread of a step over the step", _AIHWKIT + ", ReRamSB", zero=True
    )
    w_min: Scalar = parameter(
        -0.75, "-", "smallest state", _AIHWKIT + ", ReRamSB", low=-1e6, high=-1e-6
    )
    w_max: Scalar = parameter(1.25, "-", "largest state", _AIHWKIT + ", ReRamSB")

    PRESETS: ClassVar[dict[str, dict[str, float]]] = {
        "reram_sb": {},
        "reram_array_om": dict(dw_min=0.0949, w_max=1.0, w_min=-1.0, c2c=0.4158),
        "reram_array_hfo2": dict(dw_min=0.4622, w_max=1.0, w_min=-1.0, c2c=0.2174),
    }
    ADDITIVE: ClassVar[frozenset[str]] = frozenset(PRESETS)

    def shapes(self, w: Scalar) -> tuple[Scalar, Scalar]:
        """Return ``1 - w / w_max`` and ``1 - w / w_min``."""
        return 1 - w / self.w_max, 1 - w / self.w_min

    def symmetry_point(self) -> Scalar:
        """Return the state where a step up and a step down cancel.

        ``w* = (dw_up - dw_down) / (dw_up / w_max - dw_down / w_min)``: 0 for equal steps.
        """
        up = self.dw_min * (1 + jnp.minimum(self.up_down, 0.0))
        down = self.dw_min * (1 - jnp.maximum(self.up_down, 0.0))
        return (up - down) / (up / self.w_max - down / self.w_min)


class ExpStep(AbstractPulseStepDevice):
    """Steps that change exponentially, as fitted to CMOS-compatible RRAM.

    ``u = max(1 - A_up exp(gamma_up z), 0)``, ``d = max(1 - A_down exp(-gamma_down z), 0)``,
    ``z = 2 a w / (w_max - w_min) + b``.

    Presets: ``reram_es`` (the default: fit to Gong et al., Nat. Commun. 9, 2102 (2018)) and
    ``pcm`` (Nandakumar et al., Front. Neurosci. 14, 406 (2020); meant for steps up alone, its noise
    here without the terms that depend on w).
    """

    dw_min: Scalar = parameter(0.00135, "-", "scale of a step", _AIHWKIT + ", ReRamES")
    up_down: Scalar = parameter(
        0.259359, "-", "asymmetry: negative, steps up are smaller; positive, steps down",
        _AIHWKIT + ", ReRamES", low=-1.0, high=1.0,
    )  # fmt: skip
    c2c: Scalar = parameter(
        5.0, "-", "spread of a step over the step", _AIHWKIT + ", ReRamES", zero=True
    )
    a: Scalar = parameter(-0.5, "-", "slope of z", _AIHWKIT + ", ReRamES", low=-1e3, high=1e3)
    b: Scalar = parameter(-0.5, "-", "z at w = 0", _AIHWKIT + ", ReRamES", low=-1e3, high=1e3)
    gamma_up: Scalar = parameter(5.0, "-", "exponent of u", _AIHWKIT + ", ReRamES")
    gamma_down: Scalar = parameter(5.0, "-", "exponent of d", _AIHWKIT + ", ReRamES")
    a_up: Scalar = parameter(
        -1.18445, "-", "factor of u", _AIHWKIT + ", ReRamES", low=-1e3, high=1e3
    )
    a_down: Scalar = parameter(
        -0.081404, "-", "factor of d", _AIHWKIT + ", ReRamES", low=-1e3, high=1e3
    )

    PRESETS: ClassVar[dict[str, dict[str, float]]] = {
        "reram_es": {},
        "pcm": dict(
            dw_min=0.01, up_down=0.0, c2c=0.6, w_max=2.0, w_min=0.0, a=-1.0, b=0.0,
            gamma_up=2.5, gamma_down=2.5, a_up=-27.235, a_down=-2.235,
        ),
    }  # fmt: skip

    def shapes(self, w: Scalar) -> tuple[Scalar, Scalar]:
        """Return u and d."""
        z = 2 * self.a * w / (self.w_max - self.w_min) + self.b
        up = 1 - self.a_up * jnp.exp(self.gamma_up * z)
        down = 1 - self.a_down * jnp.exp(-self.gamma_down * z)
        return jnp.maximum(up, 0.0), jnp.maximum(down, 0.0)


def _spread(step: float, high: float, low: float) -> Spread:
    relative: dict[str, ScalarLike] = {"dw_min": step, "w_max": high, "w_min": low}
    return Spread(relative={name: value for name, value in relative.items() if value})


STEP_SPREADS: dict[str, Spread] = {
    "gokmen_vlasov": _spread(0.3, 0.3, 0.3),
    "idealized": _spread(0.3, 0.3, 0.3),
    "capacitor": _spread(0.1, 0.07, 0.07),
    "ecram": _spread(0.1, 0.05, 0.05),
    "ecram_mo": _spread(0.1, 0.05, 0.05),
    "reram_sb": _spread(0.3, 0.3 / 1.25, 0.3 / 0.75),
    "reram_array_om": _spread(0.7829, 0.3499, 0.5695),
    "reram_array_hfo2": _spread(0.7125, 0.4295, 0.5990),
    "reram_es": _spread(0.2, 0.3, 0.3),
    "pcm": _spread(0.2, 0.1, 0.0),
}
"""Spread of step size and range between devices, by preset, for `sample_devices` (source: as the
presets). Log-normal here; the listing draws most of them from a normal distribution."""
