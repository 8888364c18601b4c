"""The fit of a reduced model to recorded pulses: modes, currents, rest and the writing flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from .._types import Array, Float, Scalar
from ..simulation import ForwardMode, RungeKutta4
from ..simulation.solvers import Plateau
from .reduced import Flow, ReducedDevice, quadratic

Latent = Float[Array, "sequences times states"]


def modes_of(
    fields: Float[np.ndarray, "samples ..."], count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, modes and projection of fields: proper orthogonal decomposition.

    The amplitudes of a mode have unit variance over the samples: mode k is the k-th eigenvector of
    the covariance times the root of its eigenvalue, the projection its pseudo-inverse.
    """
    shape = fields.shape[1:]
    flat = fields.reshape(len(fields), -1)
    mean = flat.mean(axis=0)
    covariance = (flat - mean).T @ (flat - mean) / len(flat)
    variance, vectors = np.linalg.eigh(covariance)
    variance, vectors = variance[::-1][:count], vectors[:, ::-1][:, :count].T
    spread = np.sqrt(variance)[:, None]
    return (
        mean.reshape(shape),
        (vectors * spread).reshape(count, *shape),
        (vectors / spread).reshape(count, *shape),
    )


def fresh_flow(
    states: int, hidden: int, log_rate: np.ndarray, time: float, *, key: PRNGKeyArray
) -> Flow:
    """Return a flow that does nothing yet."""
    inputs = 2 * states + 3
    dtype = jnp.result_type(float)
    inner = jax.random.normal(key, (hidden, inputs), dtype) / jnp.sqrt(inputs)
    return Flow(
        inner=inner,
        bias=jnp.zeros(hidden, dtype),
        outer=jnp.zeros((states, hidden), dtype),
        linear=jnp.zeros((states, inputs), dtype),
        offset=jnp.zeros(states, dtype),
        log_rate=jnp.asarray(log_rate, dtype),
        time=jnp.asarray(time, dtype),
    )


def log_conductance_fit(z: np.ndarray, u: np.ndarray, theta: np.ndarray, g: np.ndarray) -> Array:
    """Return the quadratic polynomial of (z, u, theta) that is nearest to ln g."""
    x = np.concatenate([z, u[:, None], theta[:, None]], axis=1)
    matrix = jax.vmap(quadratic)(jnp.asarray(x))
    return jnp.linalg.lstsq(matrix, jnp.log(jnp.asarray(g)))[0]


def rollout(
    device: ReducedDevice, z: Float[Array, " states"], v: Array, width: Array, ambient: Scalar
) -> Float[Array, "pulses states"]:
    """Return the states after every pulse."""
    device = eqx.tree_at(lambda d: d.ambient_temperature, device, ambient)
    fields = device.initial_fields(z)

    def pulse(z, drive):
        v, width = drive
        plateau = Plateau(v, v, width)
        step = RungeKutta4().advance(device, None, z, fields, plateau, ForwardMode())
        return step.state, step.state

    return jax.lax.scan(pulse, z, (v, width))[1]


def train(
    device: ReducedDevice,
    z: Latent,
    v: Float[Array, "sequences pulses"],
    width: Float[Array, "sequences pulses"],
    ambient: Float[Array, " sequences"],
    *,
    stages: Sequence[tuple[int, int, float]],
    weight: float,
) -> tuple[ReducedDevice, list[float]]:
    """Return the device with a fitted flow, and the loss at the end of every stage.

    Args:
        device: Where to start.
        z: Recorded states.
        v: Voltages [V].
        width: Durations [s].
        ambient: Temperature of the substrate in every sequence [K].
        stages: Rows of (pulses per segment, steps, learning rate).
        weight: Weight of the squared error of the first state over that of the others.
    """
    weights = jnp.ones(z.shape[-1], z.dtype).at[0].set(weight)
    losses = []
    for length, steps, rate in stages:
        count = v.shape[1] // length
        starts = z[:, : count * length : length].reshape(-1, z.shape[-1])
        after = z[:, 1 : count * length + 1].reshape(-1, length, z.shape[-1])
        pulses = [x[:, : count * length].reshape(-1, length) for x in (v, width)]
        t = jnp.repeat(ambient, count)
        flow, loss = _descend(
            device, starts, after, pulses[0], pulses[1], t, weights, steps, jnp.asarray(rate)
        )
        device = eqx.tree_at(lambda d: d.flow, device, flow)
        losses.append(float(loss))
    return device, losses


@eqx.filter_jit
def _descend(
    device: ReducedDevice,
    starts: Array,
    after: Array,
    v: Array,
    width: Array,
    ambient: Array,
    weights: Array,
    steps: int,
    rate: Array,
) -> tuple[Flow, Scalar]:
    def loss(flow):
        fitted = eqx.tree_at(lambda d: d.flow, device, flow)
        predicted = jax.vmap(rollout, in_axes=(None, 0, 0, 0, 0))(fitted, starts, v, width, ambient)
        return jnp.mean((predicted - after) ** 2 * weights)

    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.cosine_decay_schedule(rate, steps)),
    )

    def step(carry: Any, _: None):
        flow, state = carry
        value, slope = jax.value_and_grad(loss)(flow)
        slope = eqx.tree_at(lambda f: f.time, slope, jnp.zeros_like(slope.time))
        change, state = optimiser.update(slope, state)
        return (optax.apply_updates(flow, change), state), value

    (flow, _), values = jax.lax.scan(step, (device.flow, optimiser.init(device.flow)), length=steps)
    return flow, values[-1]
