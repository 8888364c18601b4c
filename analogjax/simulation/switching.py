"""How long a constant voltage takes from one state to another: an integral, no time steps."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_float64, check_whole
from .._types import Array, Scalar, ScalarLike
from ..devices import AbstractCompactDevice, AbstractDevice
from ..devices._compact import with_velocity

# Gauss-Legendre on a cell, fifth order.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)


def switching_time(
    device: AbstractDevice,
    v: ScalarLike,
    start: ScalarLike,
    end: ScalarLike,
    *,
    cells: int = 256,
) -> Scalar:
    """Return the time [s] that a device takes from one state to another under a constant voltage.

    ``t = integral dx / velocity(v, x)`` from start to end; chance is left out.

    Args:
        device: A device of one state number whose velocity depends on voltage and state alone.
        v: Voltage [V].
        start: State at the beginning.
        end: State at the end.
        cells: Pieces of the way; three evaluations each.

    Returns:
        The time; infinite if the state stands still or runs the other way anywhere in between.

    Raises:
        ValueError: A device with more than one state number or a law per pulse instead of per
            second, a state that it cannot be in, fewer than one cell.
    """
    device = with_velocity(device)
    check_whole("cells", cells)
    if device.needs_float64:
        check_float64(f"`switching_time` of a {type(device).__name__}")
    v, start, end = (jnp.asarray(x, jnp.result_type(float)) for x in (v, start, end))
    for state in (start, end):
        device.check_state(state)
    return _time(device, v, start, end, cells)


@eqx.filter_jit
def _time(device: AbstractCompactDevice, v: Array, start: Array, end: Array, cells: int) -> Scalar:
    nodes = (np.arange(cells)[:, None] + 0.5 * (_NODES + 1)) / cells
    weights = np.broadcast_to(0.5 * _WEIGHTS / cells, nodes.shape)
    way = end - start
    speed = jax.vmap(lambda share: device.velocity(v, start + share * way))(nodes.ravel())
    towards = speed * way > 0
    # No way takes no time, whatever the speed.
    towards |= way == 0
    pace = jnp.where(towards, way / jnp.where(towards & (way != 0), speed, 1.0), jnp.inf)
    return jnp.sum(pace * weights.ravel())
