"""A measurement whose prediction is a formula: fits of it take milliseconds."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from analogjax.fitting import Noise
from analogjax.fitting.objectives import AbstractObjective


class Curve(AbstractObjective):
    """Values y at x, (points,) or (rows, points); a row fails where `law` is not finite."""

    x: jax.Array
    observed: jax.Array
    noise: Noise
    conditions: dict
    law: object = eqx.field(static=True)
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)

    def __init__(self, law, x, y, noise, name="curve"):
        self.x, self.observed = (jnp.atleast_2d(jnp.asarray(part)) for part in (x, y))
        self.noise, self.conditions = noise, {}
        self.law, self.name, self.unit = law, name, "S"

    def inputs(self):
        return self.x

    def row(self, device, inputs):
        y = self.law(device, inputs)
        return y, jnp.all(jnp.isfinite(y))

    def reversed(self):
        return self
