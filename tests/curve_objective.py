"""A measurement that costs nothing to predict: a parabola whose coefficients are parameters."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from analogjax._types import Array, Bool
from analogjax.devices import AbstractDevice, ExpStep
from analogjax.fitting import AbstractObjective, Noise
from analogjax.fitting.noise import Points
from analogjax.fitting.objectives import Rows


class Curve(AbstractObjective):
    """``y = b + a t + a_up t^2``, or its exponential, with parameters of an `ExpStep`."""

    t: Points
    observed: Points
    noise: Noise
    conditions: dict[str, Rows]
    bent: bool = eqx.field(static=True)
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)

    def __init__(self, t, observed, sigma, *, bent=False, name="curve"):
        self.observed = jnp.asarray(observed, float)
        self.t = jnp.broadcast_to(jnp.asarray(t, float), self.observed.shape)
        self.noise, self.conditions, self.bent = Noise(absolute=sigma), {}, bent
        self.name, self.unit = name, "S"

    def inputs(self) -> Any:
        """Return the abscissae."""
        return self.t

    def row(self, device: AbstractDevice, inputs: Any) -> tuple[Array, Bool[Array, ""]]:
        """Return one parabola."""
        y = device.b + device.a * inputs + device.a_up * inputs**2  # pyright: ignore
        return jnp.exp(y) if self.bent else y, jnp.asarray(True)

    def reversed(self) -> Curve:
        """Return itself: there is no voltage."""
        return self


def coefficients(b: float = 1.0, a: float = 1.0, a_up: float = 0.0) -> ExpStep:
    """Return the device whose coefficients they are."""
    return ExpStep(b=b, a=a, a_up=a_up)
