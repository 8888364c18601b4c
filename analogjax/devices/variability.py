"""Spread between devices: parameters drawn once per device (lifetime: frozen)."""

from __future__ import annotations

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative
from .._types import ScalarLike
from ._base import AbstractDevice, check_names

Device = TypeVar("Device", bound=AbstractDevice)


class Spread(eqx.Module):
    """How much parameters differ from device to device.

    A relative spread is the standard deviation of the logarithm (log-normal, so that the sign
    stays), an absolute one a standard deviation in the parameter's own unit (normal).
    """

    relative: dict[str, ScalarLike]
    absolute: dict[str, ScalarLike]

    def __init__(
        self,
        relative: dict[str, ScalarLike] | None = None,
        absolute: dict[str, ScalarLike] | None = None,
    ):
        """Make a spread from standard deviations by parameter name.

        Raises:
            ValueError: A negative standard deviation, or a parameter named twice.
        """
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
    check_names(type(device), [*spread.relative, *spread.absolute])
    parameters = device.parameters()
    drawn = {}
    # One stream per parameter, by its place in the table: adding one does not redraw the others.
    streams = dict(zip(parameters, jax.random.split(key, len(parameters)), strict=True))
    for name, value in parameters.items():
        value = jnp.broadcast_to(value, (count,))
        if name in spread.relative or name in spread.absolute:
            normal = jax.random.normal(streams[name], (count,), value.dtype)
            if name in spread.relative:
                value = value * jnp.exp(spread.relative[name] * normal)
            else:
                value = value + spread.absolute[name] * normal
        drawn[name] = value
    names = tuple(drawn)
    return eqx.tree_at(
        lambda d: tuple(getattr(d, name) for name in names), device, tuple(drawn.values())
    )
