"""A reduced device made by hand: three states, a flow of four hidden units."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from analogjax.programming import ReducedDevice
from analogjax.programming.reduced import Flow


def made() -> ReducedDevice:
    rng = np.random.default_rng(3)
    states, hidden = 3, 4

    def normal(*shape, size=1.0):
        return jnp.asarray(size * rng.normal(size=shape))

    # To lower resistance under a positive voltage; the odd inputs bear the sign.
    linear = np.zeros((states, 2 * states + 3))
    linear[0, 2 * states + 1] = -0.2
    linear[:, :states] = -0.04 * np.eye(states)
    linear[1, 2 * states + 1], linear[2, 0] = 0.1, 0.05
    flow = Flow(
        inner=normal(hidden, 2 * states + 3, size=0.4),
        bias=normal(hidden, size=0.3),
        outer=normal(states, hidden, size=0.02),
        linear=jnp.asarray(linear),
        offset=jnp.zeros(states),
        log_rate=jnp.asarray([[20.0, 0.3, 15.0, -1.0], [18.0, -0.2, 16.0, -0.4]]),
        time=jnp.asarray(1.3),
    )
    square = -1e-9 * np.diag([3.0, 2.0, 1.0]) + 2e-10 * rng.normal(size=(states, states))
    rest = np.concatenate([square, 1e-9 * rng.normal(size=(states, 1))], axis=1)
    one = jnp.asarray(1.0)
    factor = jnp.asarray(np.tril(rng.normal(size=(states, states))))
    return ReducedDevice(
        speed=one,
        resistance_scale=one,
        ambient_temperature=jnp.asarray(300.0),
        read_voltage=jnp.asarray(0.1),
        thermal_time=jnp.asarray(1e-6),
        amplitude=jnp.asarray(5.0),
        reference_temperature=jnp.asarray(300.0),
        log_resistance=jnp.asarray([12.8, 0.06]),
        read_activation=jnp.asarray(1.2),
        start=jnp.asarray([1.0, 0.4, -0.3]),
        bounds=jnp.asarray([[-4.0, -4.0, -4.0], [4.0, 4.0, 4.0]]),
        flow=flow,
        generator=jnp.asarray(rest),
        rest_activation=jnp.asarray(40.0),
        log_conductance=jnp.zeros(21),
        draw_factor=jnp.stack([0.01 * factor, 0.001 * factor, 0.0 * factor]),
        hop_factor=jnp.stack([0.004 * factor, 0.0 * factor, 0.0005 * factor]),
        hop_exponent=jnp.asarray(25.0),
        mean=jnp.zeros((2, 2)),
        modes=jnp.zeros((2, 2, 2)),
        projection=jnp.zeros((2, 2, 2)),
    )
