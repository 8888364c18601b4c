"""The state in which a device has a given conductance."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._types import Scalar
from ..devices import AbstractCompactDevice, AbstractDevice

_HALVINGS = 60
_REACH = 30.0


def check_one_number(device: AbstractDevice, what: str) -> None:
    """Raise unless a device has one state number, which a conductance determines.

    Raises:
        ValueError: It has more.
    """
    if not isinstance(device, AbstractCompactDevice):
        raise ValueError(
            f"Argument `{what}` must be None for a {type(device).__name__}, whose state is more "
            "than one number."
        )


def state_at(device: AbstractCompactDevice, conductance: Scalar) -> Scalar:
    """Return the state of a conductance [S] at the read voltage, by bisection.

    A conductance outside the range of the device gives the nearer end of it. The derivative by the
    parameters of the device is that of the implicit function.
    """
    begin = device.init_state()
    low, high = (jnp.asarray(b, begin.dtype) for b in device.bounds())
    low = jnp.where(jnp.isfinite(low), low, begin - _REACH)
    high = jnp.where(jnp.isfinite(high), high, begin + _REACH)
    fixed, wanted = jax.lax.stop_gradient((device, conductance))
    rising = fixed.conductance(high) > fixed.conductance(low)

    def halve(_, ends):
        a, b = ends
        middle = 0.5 * (a + b)
        above = fixed.conductance(middle) > wanted
        upper = above == rising
        return jnp.where(upper, a, middle), jnp.where(upper, middle, b)

    a, b = jax.lax.fori_loop(0, _HALVINGS, halve, (low, high))
    state = jax.lax.stop_gradient(0.5 * (a + b))
    # One Newton step changes nothing but carries the derivative.
    slope = jax.jvp(fixed.conductance, (state,), (jnp.ones_like(state),))[1]
    inside = (state > low) & (state < high) & (slope != 0)
    miss = jnp.where(inside, device.conductance(state) - conductance, 0.0)
    return jnp.clip(state - miss / jnp.where(slope != 0, slope, 1.0), low, high)
