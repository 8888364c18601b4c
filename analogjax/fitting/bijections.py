"""Free parameters as unbounded numbers: an optimiser may propose any, and the device allows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Float, Scalar
from ..devices import AbstractDevice, Parameter
from ..devices._base import check_names

Values = Float[Array, " free"]


class Bijection(eqx.Module):
    """One parameter p as a function of an unbounded number z.

    Between two bounds ``p = anchor + span sigmoid(scale z)``, above (below) one bound
    ``p = anchor +- exp(z)``, without bounds ``p = anchor + span z``. The anchor is the bound nearer
    to zero, so that z is the logarithm of a parameter that is small against its other bound. Where
    the bounds are of different signs, the scale is such that a step of z is about the size of the
    value that a fit starts from (1 elsewhere).
    """

    anchor: Scalar
    span: Scalar
    scale: Scalar
    kind: str = eqx.field(static=True)

    def forward(self, z: Scalar) -> Scalar:
        """Return the parameter."""
        if self.kind == "between":
            return self.anchor + self.span * jax.nn.sigmoid(self.scale * z)
        if self.kind == "beyond":
            return self.anchor + self.span * jnp.exp(z)
        return self.anchor + self.span * z

    def inverse(self, value: Scalar) -> Scalar:
        """Return the unbounded number; infinite for a value on a bound, nan beyond it."""
        share = (value - self.anchor) / self.span
        if self.kind == "between":
            return (jnp.log(share) - jnp.log1p(-share)) / self.scale
        if self.kind == "beyond":
            return jnp.log(share)
        return share

    def log_slope(self, z: Scalar) -> Scalar:
        """Return ``ln |dp/dz|``."""
        size = jnp.log(jnp.abs(self.span))
        if self.kind == "between":
            scaled = self.scale * z
            sides = jax.nn.log_sigmoid(scaled) + jax.nn.log_sigmoid(-scaled)
            return size + jnp.log(self.scale) + sides
        return size + z if self.kind == "beyond" else size


def bijection(low: float, high: float, value: float) -> Bijection:
    """Return the bijection of a parameter between two bounds, either of which may be infinite.

    Args:
        low: Lower bound.
        high: Upper bound.
        value: Where a fit starts; sets the scale where there is no bound.

    Raises:
        ValueError: The bounds are out of order.
    """
    if not low < high:
        raise ValueError(f"Argument `low` must be below `high` ({high:g}), but is {low:g}.")
    scale = 1.0
    if math.isinf(low) and math.isinf(high):
        anchor, span, kind = value, abs(value) or 1.0, "free"
    elif math.isinf(low) or math.isinf(high):
        anchor, span, kind = (low, 1.0, "beyond") if math.isinf(high) else (high, -1.0, "beyond")
    else:
        anchor, other = (low, high) if abs(low) <= abs(high) else (high, low)
        span, kind = other - anchor, "between"
        if low < 0 < high and low < value < high:
            slope = (value - low) * (high - value) / (high - low)
            scale = min((abs(value) or 1.0) / slope, 1.0)
    dtype = jnp.result_type(float)
    return Bijection(
        jnp.asarray(anchor, dtype), jnp.asarray(span, dtype), jnp.asarray(scale, dtype), kind
    )


class FreeParameters(eqx.Module):
    """The parameters that a fit may move, in a fixed order."""

    names: tuple[str, ...] = eqx.field(static=True)
    maps: tuple[Bijection, ...]

    @eqx.filter_jit
    def forward(self, z: Values) -> Values:
        """Return the parameters in their own units."""
        return jnp.stack([m.forward(x) for m, x in zip(self.maps, z, strict=True)])

    @eqx.filter_jit
    def inverse(self, values: Values) -> Values:
        """Return the unbounded numbers."""
        return jnp.stack([m.inverse(x) for m, x in zip(self.maps, values, strict=True)])

    @eqx.filter_jit
    def slopes(self, z: Values) -> Values:
        """Return dp/dz of each parameter."""
        return jax.jvp(self.forward, (z,), (jnp.ones_like(z),))[1]

    def put(self, device: AbstractDevice, values: Values) -> AbstractDevice:
        """Return the device with these values."""
        return device.replace(**dict(zip(self.names, values, strict=True)))

    def batch(self, device: AbstractDevice, z: Float[Array, "draws free"]) -> AbstractDevice:
        """Return a batch of devices with these unbounded numbers."""
        return eqx.filter_vmap(lambda z: self.put(device, self.forward(z)))(z)


def free_parameters(
    device: AbstractDevice,
    free: Sequence[str],
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[FreeParameters, Values]:
    """Return the free parameters of a device, and where it stands in unbounded numbers.

    Args:
        device: The device, its parameters the start of the fit.
        free: Names of its parameters.
        bounds: Narrower bounds than the device's own, by name.

    Raises:
        ValueError: No names or one twice; a name that is no parameter (of `free`); bounds that are
            wider than the device's, or a start that is not strictly within.
    """
    if isinstance(free, str) or not free:
        raise ValueError(f"Argument `free` must be a tuple of parameter names, but is {free!r}.")
    names = tuple(free)
    check_names(type(device), names)
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"Argument `free` must name a parameter once, but has `{name}` twice.")
    for name in bounds or {}:
        if name not in names:
            raise ValueError(f"Argument `bounds` must name free parameters, but names `{name}`.")
    maps, start = [], []
    for name in names:
        parameter = device.PARAMETERS[name]
        value = float(getattr(device, name))
        low, high = _limits(name, parameter, (bounds or {}).get(name))
        maps.append(free_between(name, parameter.unit, low, high, value))
        start.append(value)
    parameters = FreeParameters(names, tuple(maps))
    return parameters, parameters.inverse(jnp.asarray(start, jnp.result_type(float)))


def free_between(name: str, unit: str, low: float, high: float, value: float) -> Bijection:
    """Return the bijection of a parameter that a fit may move from a value.

    Raises:
        ValueError: It does not start strictly within its bounds.
    """
    if not low < value < high:
        raise ValueError(
            f"Parameter `{name}` must start strictly between {low:g} and {high:g} {unit} to be "
            f"free, but starts at {value:g}."
        )
    return bijection(low, high, value)


def _limits(name: str, parameter: Parameter, wanted: Any) -> tuple[float, float]:
    if wanted is None:
        return parameter.low, parameter.high
    low, high = (float(x) for x in wanted)
    if not parameter.low <= low < high <= parameter.high:
        raise ValueError(
            f"Argument `bounds` must keep `{name}` between {parameter.low:g} and "
            f"{parameter.high:g} {parameter.unit}, in order, but has ({low:g}, {high:g})."
        )
    return low, high
