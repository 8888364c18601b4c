"""`distil`: from a device whose state is a field to a `ReducedDevice`, and how good that is."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._types import Array, Scalar
from ..devices import AbstractDevice
from ..simulation.result import Status
from ..simulation.solvers import AbstractSolver
from ._fit_reduced import (
    Stage,
    first_log_rate,
    fit_factor,
    fit_generator,
    fit_log_conductance,
    fresh_flow,
    modes_of,
    rollout,
    train,
)
from .reduced import ReducedDevice
from .sequences import PulseRecord, record_pulses
from .targets import Window, find_window

STAGES = (Stage(1, 1024, 1500, 1e-2), Stage(20, 64, 800, 5e-3), Stage(100, 32, 500, 2e-3))
"""How the flow is trained: single pulses first, then ever longer rows of them."""

SAMPLES = 12
"""States at which noise is measured; ten times as many for the rest."""

DRAWS = 2048
"""Random draws at each (the entries of a covariance are then known to 3 %)."""


def distil(
    device: AbstractDevice,
    state: Array,
    *,
    key: PRNGKeyArray,
    amplitude: float = 5.0,
    amplitudes: tuple[float, float] = (4.6, 5.2),
    widths: tuple[float, float] = (1e-3, 0.25),
    states: int = 6,
    hidden: int = 24,
    sequences: int = 12,
    pulses: int = 400,
    window: Window | None = None,
    ambient_spread: float = 3.0,
    solver: AbstractSolver | str | None = None,
    record: PulseRecord | None = None,
    stages: tuple[Stage, ...] = STAGES,
) -> ReducedDevice:
    """Distil a reduced model from a device whose state is a field.

    1. Random pulse sequences of the full device over its window (`record_pulses`).
    2. States: ln R, and the amplitudes of the modes in which the field varies most (proper
       orthogonal decomposition).
    3. The flow of these states under a pulse: a small network, fitted by gradient through rows of
       pulses; current while writing, rest and counting noise by least squares and projection.

    Args:
        device: The full device; its state is one array.
        state: Where the reduced device starts (conditioned).
        key: Random key.
        amplitude: Writing amplitude [V].
        amplitudes: Smallest and largest amplitude that the model is to know [V].
        widths: Shortest and longest pulse [s].
        states: Number of states.
        hidden: Width of the network.
        sequences: Sequences of the full device, side by side.
        pulses: Pulses of each.
        window: Resistances that the model is to know; that of 100 of the longest pulses if None.
        ambient_spread: Largest departure of the substrate's temperature [K].
        solver: Solver of the full device, as in `program_levels`.
        record: Sequences made before by `record_pulses`, instead of new ones.
        stages: How the flow is trained.

    Returns:
        The reduced device. `reduced_error` says how good it is.

    Raises:
        ValueError: A device whose state is not one array or that knows no ambient temperature,
            fewer than two states, arguments as in `record_pulses`.
        RuntimeError: A pulse of the full device failed.
    """
    _check(device, state, states, stages, pulses if record is None else record.v.shape[1])
    key_record, key_flow, key_train, key_noise = jax.random.split(key, 4)
    if record is None:
        if window is None:
            window = find_window(device, state, v=amplitude, width=widths[1], margin=0.0)
        record = record_pulses(
            device, state, window, amplitude=amplitude, amplitudes=amplitudes, widths=widths,
            sequences=sequences, pulses=pulses, ambient_spread=ambient_spread, key=key_record,
            solver=solver,
        )  # fmt: skip
    if bool(jnp.any(record.status != Status.SUCCESS)):
        raise RuntimeError(
            f"{int(jnp.sum(record.status != Status.SUCCESS))} pulses of the full device failed: "
            f"{Status(int(jnp.max(record.status))).sentence}."
        )
    blank = _blank(device, state, record, states, amplitude)
    z = encode_record(blank, record)
    log_rate, time = first_log_rate(z, record, blank.amplitude, blank.reference_temperature)
    flow = fresh_flow(states, hidden, log_rate, time, key=key_flow)
    u = jnp.abs(record.v) / amplitude - 1
    theta = jnp.broadcast_to(
        record.ambient[:, None] / blank.reference_temperature - 1, record.v.shape
    )
    start = z[0, 0]
    made = _replaced(
        blank,
        start=start,
        bounds=jnp.stack([z.min((0, 1)), z.max((0, 1))]),
        flow=flow,
        log_conductance=fit_log_conductance(
            z[:, 1:].reshape(-1, states), u.ravel(), theta.ravel(),
            (record.current / record.v).ravel(),
        ),
    )  # fmt: skip
    made = _with_rest(made, device, record, z)
    made = train(made, z, record, stages, key_train)
    return _with_noise(made, device, record, z, amplitudes, widths, key_noise)


def encode_record(device: ReducedDevice, record: PulseRecord) -> Array:
    """Return the states of the reduced device along recorded sequences, (..., states)."""

    def one(field, resistance, ambient):
        # As it would be read at the reference temperature.
        warmth = device.read_activation * (device.reference_temperature / ambient - 1)
        return device.encode(field, resistance * jnp.exp(-warmth))

    along = jax.vmap(one, in_axes=(0, 0, None))
    return jax.jit(jax.vmap(along))(record.state, record.resistance, record.ambient)


def reduced_error(
    device: ReducedDevice, record: PulseRecord, *, pulses: int = 100
) -> dict[str, float]:
    """Return how far the reduced device goes astray on recorded sequences, open loop.

    Every row of so many pulses begins at the recorded state and is then left to itself.

    Args:
        device: The reduced device.
        record: Sequences of the full device, other ones than those of the fit.
        pulses: Length of a row.

    Returns:
        ``rms`` and ``max`` of the error of R as fractions of the window of the record, of all
        pulses of a row; ``end_rms``, that after the last pulse; ``pulse_rms`` and ``pulse_max``,
        that of single pulses.

    Raises:
        ValueError: More pulses than the record has, or fewer than one.
    """
    if not 1 <= pulses <= record.v.shape[1]:
        raise ValueError(
            f"Argument `pulses` must be between 1 and {record.v.shape[1]}, but is {pulses}."
        )
    span = record.window.r_high - record.window.r_low
    row, one = (np.asarray(_astray(device, record, n) / span) for n in (pulses, 1))
    return {
        "rms": float(np.sqrt(np.mean(row**2))),
        "max": float(np.max(np.abs(row))),
        "end_rms": float(np.sqrt(np.mean(row[:, -1] ** 2))),
        "pulse_rms": float(np.sqrt(np.mean(one**2))),
        "pulse_max": float(np.max(np.abs(one))),
    }


@eqx.filter_jit
def _astray(device: ReducedDevice, record: PulseRecord, length: int) -> Array:
    """Return the error of R [ohm], (rows, pulses)."""
    z = encode_record(device, record)
    rows = record.v.shape[1] // length
    used = rows * length
    starts = z[:, :used:length].reshape(-1, z.shape[-1])
    v, width, truth = (
        x[:, :used].reshape(-1, length) for x in (record.v, record.width, record.resistance[:, 1:])
    )
    ambient = jnp.repeat(record.ambient, rows)

    def one(start, v, width, ambient):
        states = rollout(device, start, v, width, ambient)
        own = eqx.tree_at(lambda d: d.ambient_temperature, device, ambient)
        return jax.vmap(own.read)(states)

    return jax.vmap(one)(starts, v, width, ambient) - truth


def _check(device: AbstractDevice, state: Any, states: int, stages: Any, pulses: int) -> None:
    leaves = jax.tree.leaves(state)
    if len(leaves) != 1 or jnp.ndim(leaves[0]) < 1:
        raise ValueError(
            f"Argument `device` must have one array for a state, but {type(device).__name__} has "
            f"{len(leaves)}."
        )
    if "ambient_temperature" not in device.PARAMETERS:
        raise ValueError(
            f"Argument `device` must have a parameter `ambient_temperature`, but "
            f"{type(device).__name__} has none."
        )
    if states < 2:
        raise ValueError(f"Argument `states` must be at least 2, but is {states}.")
    longest = max(stage.pulses for stage in stages)
    if pulses < longest:
        raise ValueError(
            f"Argument `pulses` must be at least {longest}, the longest row of the training, but "
            f"is {pulses}."
        )


def _replaced(device: ReducedDevice, **leaves: Any) -> ReducedDevice:
    names = tuple(leaves)
    return eqx.tree_at(
        lambda d: tuple(getattr(d, name) for name in names), device, tuple(leaves.values())
    )


def _blank(
    device: AbstractDevice, state: Array, record: PulseRecord, states: int, amplitude: float
) -> ReducedDevice:
    """Return a reduced device that can encode and read, and does not move."""
    dtype = jnp.result_type(float)
    fields = np.asarray(record.state).reshape(-1, *state.shape)
    mean, modes, projection = modes_of(fields, states - 1)
    temperature = device.ambient_temperature  # pyright: ignore[reportAttributeAccessIssue]
    warmer = temperature + 1.0
    change = jnp.log(device.replace(ambient_temperature=warmer).read(state) / device.read(state))
    activation = change / (temperature / warmer - 1)
    warmth = activation * (temperature / record.ambient - 1)
    logs = jnp.log(record.resistance) - warmth[:, None]
    zeros = jnp.zeros(states, dtype)
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    blank = ReducedDevice(
        speed=one,
        resistance_scale=one,
        ambient_temperature=temperature,
        read_voltage=device.read_voltage,
        thermal_time=jnp.asarray(getattr(device, "thermal_time", 0.0), dtype),
        amplitude=jnp.asarray(amplitude, dtype),
        reference_temperature=temperature,
        log_resistance=jnp.stack([logs.mean(), logs.std()]),
        read_activation=activation,
        start=zeros,
        bounds=jnp.stack([zeros, zeros]),
        flow=fresh_flow(states, 1, jnp.zeros((2, 4)), 1.0, key=jax.random.key(0)),
        generator=jnp.zeros((states, states + 1), dtype),
        rest_activation=zero,
        log_conductance=jnp.zeros(1 + (states + 2) * (states + 5) // 2, dtype),
        draw_factor=jnp.zeros((3, states, states), dtype),
        hop_factor=jnp.zeros((3, states, states), dtype),
        hop_exponent=zero,
        mean=jnp.asarray(mean),
        modes=jnp.asarray(modes),
        projection=jnp.asarray(projection),
    )
    return blank


def _samples(z: Array, record: PulseRecord, count: int) -> tuple[Array, Array]:
    """Return fields and states of the record, evenly over the range of R."""
    flat = z.reshape(-1, z.shape[-1])
    order = jnp.argsort(flat[:, 0])
    chosen = order[jnp.linspace(0, len(order) - 1, count).astype(int)]
    return record.state.reshape(-1, *record.state.shape[2:])[chosen], flat[chosen]


def _tangent(made: ReducedDevice, device: AbstractDevice, field: Array, change: Array) -> Array:
    """Return the change of the states that a small change of the field makes."""
    _, slope = jax.jvp(lambda c: jnp.log(device.read(c)), (field,), (change,))
    rest = jnp.tensordot(made.projection, change, change.ndim)
    return jnp.concatenate([(slope / made.log_resistance[1])[None], rest])


def _with_rest(
    made: ReducedDevice, device: AbstractDevice, record: PulseRecord, z: Array
) -> ReducedDevice:
    """Fit what happens at 0 V, from rests long enough to move a state by a hundredth."""
    fields, states = _samples(z, record, 10 * SAMPLES)
    temperature = made.reference_temperature

    @jax.jit
    def slopes(time: Scalar, temperature: Scalar):
        own = eqx.tree_at(lambda d: d.ambient_temperature, device, temperature)

        def one(field):
            return _tangent(made, device, field, own.rest(field, time) - field) / time

        return jax.lax.map(one, fields, batch_size=SAMPLES)

    one_second = slopes(jnp.ones_like(temperature), temperature)
    fastest = jnp.sqrt(jnp.mean(one_second**2))
    time = jnp.clip(0.01 / jnp.maximum(fastest, 1e-30), 1e-3, 1e12)
    cold, warm = slopes(time, temperature), slopes(time, temperature + 1.0)
    ratio = jnp.sqrt(jnp.mean(warm**2) / jnp.maximum(jnp.mean(cold**2), 1e-60))
    activation = jnp.where(ratio > 0, jnp.log(jnp.maximum(ratio, 1e-30)) * temperature, 0.0)
    return _replaced(made, generator=fit_generator(states, cold), rest_activation=activation)


def _with_noise(
    made: ReducedDevice,
    device: AbstractDevice,
    record: PulseRecord,
    z: Array,
    amplitudes: tuple[float, float],
    widths: tuple[float, float],
    key: PRNGKeyArray,
) -> ReducedDevice:
    """Project the counting noise of the full device."""
    fields, states = _samples(z, record, SAMPLES)
    workspace = device.prepare()
    sign = device.potentiation
    duration = jnp.sqrt(widths[0] * widths[1])

    def covariance(field, draw, key):
        """Of the states, linear in the noise of the field."""
        sensitivity = jax.grad(lambda c: jnp.log(device.read(c)))(field) / made.log_resistance[1]
        functionals = jnp.concatenate([sensitivity[None], made.projection])
        changes = jax.vmap(lambda k: draw(k) - field)(jax.random.split(key, DRAWS))
        axes = tuple(range(1, changes.ndim))
        projected = jnp.tensordot(changes, functionals, (axes, axes))
        return projected.T @ projected / DRAWS

    def drawn(inputs):
        field, key = inputs
        return covariance(field, lambda k: device.draw_state(field, key=k), key)

    def hopped(inputs, v):
        field, key = inputs
        v = jnp.asarray(sign * v, field.dtype)
        plain = device.settle(v, field, device.initial_fields(field), workspace, "write")
        noisy = lambda k: device.fluctuate(field, plain, duration, key=k)  # noqa: E731
        return covariance(field, noisy, key) / duration

    keys = jax.random.split(key, SAMPLES)
    draws = jax.lax.map(drawn, (fields, keys))
    hops, low, high = (
        jax.lax.map(lambda x, v=v: hopped(x, v), (fields, keys))
        for v in (float(made.amplitude), *amplitudes)
    )
    size = [jnp.trace(c, axis1=1, axis2=2).mean() for c in (low, high)]
    ratio = jnp.where(size[0] > 0, size[1] / jnp.where(size[0] > 0, size[0], 1.0), 1.0)
    apart = np.log(amplitudes[1] / amplitudes[0])
    return _replaced(
        made,
        draw_factor=fit_factor(states[:, 0], draws),
        hop_factor=fit_factor(states[:, 0], hops),
        hop_exponent=jnp.log(ratio) / apart if apart > 0 else jnp.zeros_like(ratio),
    )
