"""Window functions: how a state slows down towards its two ends.

Written as the papers have them. Some public codes differ (MemTorch in Joglekar's and Prodromakis'
brackets, Xyce in a sign of Prodromakis' and in the step of Biolek's): they are no references here.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import check_choice, is_traced
from .._types import Array, Bool, Float, Scalar, ScalarLike
from ._compact import AbstractCompactDevice
from ._parameters import parameter

States: TypeAlias = Float[Array, "..."]
"""One or many states, and what a window makes of each."""

WINDOWS = ("none", "joglekar", "biolek", "prodromakis", "kvatinsky")
"""Windows by name."""


def joglekar(x: States, p: ScalarLike) -> States:
    """Return ``1 - (2x - 1)^(2p)``: zero at both ends, where a state then stays for ever.

    Source: Y. N. Joglekar and S. J. Wolf, Eur. J. Phys. 30, 661 (2009).
    """
    return 1 - _power((2 * x - 1) ** 2, p)


def biolek(x: States, upwards: Bool[Array, ""], p: ScalarLike) -> States:
    """Return ``1 - (x - step)^(2p)``, the step 0 on the way up and 1 on the way down.

    Zero only at the end that the state moves to, so that it can come back.
    Source: Z. Biolek et al., Radioengineering 18, 210 (2009).
    """
    return 1 - _power((x - jnp.where(upwards, 0.0, 1.0)) ** 2, p)


def prodromakis(x: States, p: ScalarLike, j: ScalarLike) -> States:
    """Return ``j (1 - ((x - 1/2)^2 + 3/4)^p)``: zero at both ends, of any height.

    Source: T. Prodromakis et al., IEEE Trans. Electron Devices 58, 3099 (2011), as quoted from
    memory; it is zero at both ends and ``j (1 - 0.75^p)`` in the middle, as it should be.
    """
    return j * (1 - _power((x - 0.5) ** 2 + 0.75, p))


def kvatinsky(
    x: States, upwards: Bool[Array, ""], low: ScalarLike, high: ScalarLike, width: ScalarLike
) -> States:
    """Return ``exp(-exp((x - high) / width))`` going up, ``exp(-exp((low - x) / width))`` down.

    Nearly 1 inside; 1/e at an edge, which a state therefore passes: the hard bounds hold it.
    Source: S. Kvatinsky et al., IEEE Trans. Circuits Syst. I 60, 211 (2013).
    """
    beyond = jnp.where(upwards, x - high, low - x) / width
    # exp(-exp(50)) is 0 in any precision; exp(exp(...)) must not overflow in a derivative.
    return jnp.exp(-jnp.exp(jnp.minimum(beyond, 50.0)))


def _power(base: States, p: ScalarLike) -> States:
    """Return base^p for a base of at least 0; the derivatives are finite at 0."""
    positive = base > 0
    return jnp.where(positive, jnp.where(positive, base, 1.0) ** p, 0.0)


def held(velocity: Scalar, state: Scalar, bounds: tuple[ScalarLike, ScalarLike]) -> Scalar:
    """Return the velocity, or 0 where the state sits on a bound that it would move through.

    On the bound exactly, where `project` puts it: a step that passes the bound meets no jump.
    """
    low, high = bounds
    stuck = ((state == low) & (velocity < 0)) | ((state == high) & (velocity > 0))
    return jnp.where(stuck, jnp.zeros_like(velocity), velocity)


def check_order(device: AbstractCompactDevice, low: str, high: str, unit: str) -> None:
    """Raise unless one (concrete) parameter of a device is larger than another."""
    below, above = getattr(device, low), getattr(device, high)
    if is_traced(below) or is_traced(above):
        return
    # NumPy: inside a compiled function JAX would trace even what is known.
    if np.all(np.asarray(above) > np.asarray(below)):
        return
    raise ValueError(
        f"Argument `{high}` must be larger than `{low}` ({float(jnp.max(below)):g} {unit}), "
        f"but is {float(jnp.min(above)):g}."
    )


class AbstractWindowedDevice(AbstractCompactDevice):
    """A compact device of a state x between 0 and 1 whose motion a window slows down."""

    PRESET_WINDOWS: ClassVar[dict[str, str]] = {}
    """Windows that belong to presets."""

    window: str = eqx.field(static=True, default="none")
    window_exponent: Scalar = parameter(
        1.0, "-", "p of the Joglekar, Biolek and Prodromakis windows", "assumed"
    )
    window_height: Scalar = parameter(1.0, "-", "j of the Prodromakis window", "assumed")

    def __init__(self, preset: str | None = None, *, window: str | None = None, **parameters: Any):
        """Make a device.

        Args:
            preset: A set of `PRESETS`; the defaults if None.
            window: ``"none"`` (hard bounds alone), ``"joglekar"``, ``"biolek"``,
                ``"prodromakis"`` or ``"kvatinsky"``; None for that of the preset.
            **parameters: Any parameter of `PARAMETERS` by name, instead of the preset's value.

        Raises:
            ValueError: An unknown preset, window or name, or a value out of range.
        """
        chosen = self.PRESET_WINDOWS.get(preset or "", "none") if window is None else window
        self.window = check_choice("window", chosen, WINDOWS)
        super().__init__(preset, **parameters)  # pyright: ignore

    @property
    @abc.abstractmethod
    def window_edges(self) -> tuple[ScalarLike, ScalarLike, ScalarLike]:
        """Lower edge, upper edge and width of the Kvatinsky window, in units of x."""

    def slowed(self, velocity: Scalar, state: Scalar) -> Scalar:
        """Return a velocity [1/s] times the window at the state, or 0 at a bound."""
        x, p = self.project(state), self.window_exponent
        upwards = velocity > 0
        if self.window == "joglekar":
            velocity = velocity * joglekar(x, p)
        elif self.window == "biolek":
            velocity = velocity * biolek(x, upwards, p)
        elif self.window == "prodromakis":
            velocity = velocity * prodromakis(x, p, self.window_height)
        elif self.window == "kvatinsky":
            velocity = velocity * kvatinsky(x, upwards, *self.window_edges)
        return held(velocity, state, self.bounds())

    def bounds(self) -> tuple[ScalarLike, ScalarLike]:
        """Return 0 and 1."""
        return 0.0, 1.0
