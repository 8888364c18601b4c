"""Spread of parameters: between devices (drawn once, lifetime: frozen) and from cycle to cycle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative
from .._types import Array, ScalarLike
from ._base import AbstractDevice, check_names

Device = TypeVar("Device", bound=AbstractDevice)


class Spread(eqx.Module):
    """How much parameters differ from device to device.

    A relative spread is the standard deviation of the logarithm (log-normal, so that the sign
    stays), an absolute one a standard deviation in the parameter's own unit (normal).
    """

    relative: dict[str, ScalarLike]
    absolute: dict[str, ScalarLike]
    bounds: dict[str, tuple[ScalarLike, ScalarLike]]

    def __init__(
        self,
        relative: Mapping[str, ScalarLike] | None = None,
        absolute: Mapping[str, ScalarLike] | None = None,
        bounds: Mapping[str, tuple[ScalarLike, ScalarLike]] | None = None,
    ):
        """Make a spread from standard deviations by parameter name.

        Args:
            relative: Standard deviation of the logarithm.
            absolute: Standard deviation, in the parameter's unit.
            bounds: Where a distribution is cut off (nothing is drawn beyond; no clipping), in the
                parameter's unit.

        Raises:
            ValueError: A negative standard deviation, a parameter named twice, bounds that do not
                ascend or of a parameter without a spread.
        """
        self.bounds = dict(bounds or {})
        self.relative = dict(relative or {})
        self.absolute = dict(absolute or {})
        for name, value in (self.relative | self.absolute).items():
            check_not_negative(name, value)
        twice = sorted(self.relative.keys() & self.absolute.keys())
        if twice:
            raise ValueError(
                "Argument `absolute` must not name a parameter of `relative`, "
                f"but names {twice[0]}."
            )
        for name, (low, high) in self.bounds.items():
            if name not in (*self.relative, *self.absolute):
                raise ValueError(
                    f"Argument `bounds` must name parameters that have a spread, but names {name}."
                )
            if not low < high:
                raise ValueError(
                    f"Argument `bounds` must ascend, but is ({low:g}, {high:g}) for {name}."
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that differ, in alphabetical order (which a dictionary has under jit)."""
        return tuple(sorted((*self.relative, *self.absolute)))

    def draw(self, name: str, value: Array, *, key: PRNGKeyArray) -> Array:
        """Draw a parameter around nominal values [its unit], one for each."""
        logarithmic = name in self.relative
        spread = self.relative[name] if logarithmic else self.absolute[name]
        spread = jnp.asarray(spread, value.dtype)
        if name in self.bounds:
            low, high = (jnp.asarray(b, value.dtype) for b in self.bounds[name])
            unit = jnp.where(spread > 0, spread, 1.0)
            if logarithmic:
                low, high = ((jnp.log(b) - jnp.log(value)) / unit for b in (low, high))
            else:
                low, high = ((b - value) / unit for b in (low, high))
            normal = jax.random.truncated_normal(key, low, high, value.shape, value.dtype)
        else:
            normal = jax.random.normal(key, value.shape, value.dtype)
        return value * jnp.exp(spread * normal) if logarithmic else value + spread * normal


FILM_SPREAD = Spread(
    relative={
        "side": 0.01,
        "thickness": 0.02,
        "electrode_arm": 0.01,
        "c_hi": 0.03,
        "front_width": 0.05,
        "heat_sink": 0.02,
    },
    absolute={"front_position": 0.005, "activation_energy": 0.002},
)
"""Spread of a four-terminal film in geometry, formed domain, heat sink and barrier: *illustrative*,
no spread between published devices is known to us."""


JART_SPREAD = Spread(
    absolute={"n_min": 2e-3, "n_max": 1.0, "radius": 5e-9, "disc_length": 0.04e-9},
    bounds={
        "n_min": (0.004, 0.016),
        "n_max": (18.0, 22.0),
        "radius": (40.5e-9, 49.5e-9),
        "disc_length": (0.36e-9, 0.44e-9),
    },
)
"""Spread of JART VCM v1b-var: the four parameters that its listing varies, with the standard
deviations that a public netlist generator feeds it and the bounds that are used with it (authors'
demonstration grid, Z. Yu et al., arXiv:2403.06746). That the two belong together is *assumed*."""


def sample_devices(device: Device, spread: Spread, count: int, *, key: PRNGKeyArray) -> Device:
    """Draw devices around a nominal one.

    Args:
        device: The nominal device.
        spread: Which parameters differ, and by how much.
        count: Number of devices.
        key: Random key; the same key gives the same devices.

    Returns:
        A batch of devices: every parameter has a leading axis of length `count`, for `jax.vmap`
        (``eqx.filter_vmap(lambda d: simulate(d, drive, throw=False))(devices)``).

    Raises:
        ValueError: A parameter that the device does not have, or a count below one.
    """
    if count < 1:
        raise ValueError(f"Argument `count` must be at least 1, but is {count}.")
    check_names(type(device), spread.names)
    parameters = device.parameters()
    drawn = {}
    # One stream per parameter, by its place in the table: adding one does not redraw the others.
    streams = dict(zip(parameters, jax.random.split(key, len(parameters)), strict=True))
    for name, value in parameters.items():
        value = jnp.broadcast_to(value, (count,))
        if name in spread.names:
            value = spread.draw(name, value, key=streams[name])
        drawn[name] = value
    names = tuple(drawn)
    return eqx.tree_at(
        lambda d: tuple(getattr(d, name) for name in names), device, tuple(drawn.values())
    )
