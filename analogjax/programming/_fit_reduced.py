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
from .sequences import PulseRecord

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


def encode_record(device: ReducedDevice, record: PulseRecord) -> Array:
    """Return the states of the reduced device along recorded sequences, (..., states)."""

    def one(field, resistance, ambient):
        # As it would be read at the reference temperature.
        warmth = device.read_activation * (device.reference_temperature / ambient - 1)
        return device.encode(field, resistance * jnp.exp(-warmth))

    along = jax.vmap(one, in_axes=(0, 0, None))
    return jax.jit(jax.vmap(along))(record.state, record.resistance, record.ambient)


def fresh_flow(
    states: int, hidden: int, log_rate: Array, time: float, *, key: PRNGKeyArray
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


def first_log_rate(
    z: Latent, record: PulseRecord, amplitude: Scalar, temperature: Scalar
) -> tuple[Array, float]:
    """Return a first guess of `Flow.log_rate`, and the time scale [s].

    From how far a pulse takes the states: ``ln(|dz| / width)`` by least squares on ``ln|v|`` and
    the temperature, with one offset for each polarity.
    """
    moved = jnp.linalg.norm(jnp.diff(z, axis=1), axis=-1)
    rate = jnp.log(jnp.maximum(moved, 1e-12) / record.width).ravel()
    size = jnp.log(jnp.abs(record.v) / amplitude)
    theta = jnp.broadcast_to(record.ambient[:, None] / temperature - 1, size.shape)
    up = record.v > 0
    matrix = jnp.stack([size, theta, up.astype(size.dtype), 1.0 - up], axis=-1).reshape(-1, 4)
    power, warmth, *offsets = jnp.linalg.lstsq(matrix, rate)[0]
    row = jnp.stack([power, jnp.zeros_like(power), warmth, jnp.zeros_like(power)])
    return jnp.stack([row, row]), float(jnp.exp(-sum(offsets) / 2))


def fit_log_conductance(z: Array, u: Array, theta: Array, g: Array) -> Array:
    """Return the quadratic polynomial of (z, u, theta) nearest to ln g, sample by sample."""
    x = jnp.concatenate([z, u[:, None], theta[:, None]], axis=1)
    return jnp.linalg.lstsq(jax.vmap(quadratic)(x), jnp.log(g))[0]


def fit_generator(z: Array, slopes: Array) -> Array:
    """Return A of ``dz/dt = A [z, 1]`` by least squares, none of its modes growing.

    Args:
        z: States, (samples, states).
        slopes: Their rates at 0 V [1/s], likewise.
    """
    ones = jnp.ones((z.shape[0], 1), z.dtype)
    solution = np.asarray(jnp.linalg.lstsq(jnp.concatenate([z, ones], axis=1), slopes)[0].T)
    square, offset = solution[:, :-1], solution[:, -1]
    values, vectors = np.linalg.eig(square)
    values = np.minimum(np.real(values), 0.0) + 1j * np.imag(values)
    calm = np.real(vectors @ np.diag(values) @ np.linalg.inv(vectors))
    # The rate at the mean state stays what it was.
    middle = np.asarray(z.mean(axis=0))
    offset = offset + (square - calm) @ middle
    return jnp.asarray(np.concatenate([calm, offset[:, None]], axis=1))


def fit_factor(first: Array, covariances: Float[Array, "samples states states"]) -> Array:
    """Return Cholesky factors as a quadratic polynomial of the first state, (3, states, states)."""
    size = covariances.shape[-1]
    # A device without noise has a covariance of zero.
    jitter = 1e-20 + 1e-9 * jnp.trace(covariances, axis1=1, axis2=2) / size
    factors = jnp.linalg.cholesky(covariances + jitter[:, None, None] * jnp.eye(size)[None])
    matrix = jnp.stack([jnp.ones_like(first), first, first**2], axis=1)
    solution = jnp.linalg.lstsq(matrix, factors.reshape(len(first), -1))[0]
    return solution.reshape(3, size, size)


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


class Stage(eqx.Module):
    """One stage of training: how far ahead the flow is followed, and how long."""

    pulses: int = eqx.field(static=True)
    """Pulses of a segment; every segment begins at a recorded state."""
    batch: int = eqx.field(static=True)
    """Segments of a step, drawn at random."""
    steps: int = eqx.field(static=True)
    rate: float = eqx.field(static=True)
    """Learning rate at the beginning; it falls to zero along a cosine."""


def train(
    device: ReducedDevice, z: Latent, record: PulseRecord, stages: Sequence[Stage], key: Array
) -> ReducedDevice:
    """Return the device with its flow fitted to recorded states, by Adam through rollouts."""
    for stage, own in zip(stages, jax.random.split(key, len(stages)), strict=True):
        flow = _descend(device, z, record.v, record.width, record.ambient, stage, own)
        device = eqx.tree_at(lambda d: d.flow, device, flow)
    return device


@eqx.filter_jit
def _descend(
    device: ReducedDevice,
    z: Latent,
    v: Array,
    width: Array,
    ambient: Array,
    stage: Stage,
    key: PRNGKeyArray,
) -> Flow:
    # The first state is what is read.
    weights = jnp.ones(z.shape[-1], z.dtype).at[0].set(10.0)
    latest = v.shape[1] - stage.pulses + 1

    def segment(key):
        row, begin = jax.random.randint(key, (2,), 0, jnp.array([v.shape[0], latest]))
        cut = [jax.lax.dynamic_slice(x[row], (begin,), (stage.pulses,)) for x in (v, width)]
        states = jax.lax.dynamic_slice(z[row], (begin, 0), (stage.pulses + 1, z.shape[-1]))
        return states, *cut, ambient[row]

    def loss(flow, key):
        fitted = eqx.tree_at(lambda d: d.flow, device, flow)
        states, v, width, t = jax.vmap(segment)(jax.random.split(key, stage.batch))
        predicted = jax.vmap(rollout, in_axes=(None, 0, 0, 0, 0))(fitted, states[:, 0], v, width, t)
        return jnp.mean((predicted - states[:, 1:]) ** 2, axis=(0, 1)) @ weights

    schedule = optax.cosine_decay_schedule(stage.rate, stage.steps)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def step(carry: Any, key: PRNGKeyArray):
        flow, state = carry
        slope = jax.grad(loss)(flow, key)
        # The time scale only sets units.
        slope = eqx.tree_at(lambda f: f.time, slope, jnp.zeros_like(slope.time))
        change, state = optimiser.update(slope, state)
        return (eqx.apply_updates(flow, change), state), None

    flow: Any = device.flow
    begin = (flow, optimiser.init(flow))
    (flow, _), _ = jax.lax.scan(step, begin, jax.random.split(key, stage.steps))
    return flow
