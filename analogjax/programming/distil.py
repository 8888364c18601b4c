"""`distil`: from a device whose state is a field to a `ReducedDevice`."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Float
from ..devices import AbstractDevice
from ..simulation.result import Status
from ..simulation.solvers import AbstractSolver
from ._fit_reduced import (
    Stage,
    encode_record,
    first_log_rate,
    fit_factor,
    fit_generator,
    fit_log_conductance,
    fresh_flow,
    modes_of,
    train,
)
from .reduced import ReducedDevice
from .sequences import PulseRecord, record_pulses
from .targets import Window, find_window

STAGES = (Stage(1, 1024, 1500, 1e-2), Stage(20, 64, 800, 5e-3), Stage(100, 32, 500, 2e-3))
"""How the flow is trained: single pulses first, then ever longer rows of them."""

SAMPLES = 120
"""Recorded states at which the motion at 0 V is fitted."""

NOISE_SAMPLES = 12
"""States among them at which noise is measured."""

DRAWS = 1024
"""Random draws at each: an entry of a covariance is then known to 4 %."""


def distil(
    device: AbstractDevice,
    state: PyTree,
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
    samples = _sample(made, device, record, z)
    made = _with_rest(made, device, samples)
    made = train(made, z, record, stages, key_train)
    return _with_noise(made, device, samples, amplitudes, widths[0], key_noise)


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


class _Samples(eqx.Module):
    """Recorded states, evenly over the range of R."""

    fields: Array
    states: Float[Array, "samples states"]
    functionals: Array
    """The small change of the states that a change of the field makes, (samples, states, ...)."""


def _sample(made: ReducedDevice, device: AbstractDevice, record: PulseRecord, z: Array) -> _Samples:
    flat = z.reshape(-1, z.shape[-1])
    chosen = jnp.argsort(flat[:, 0])[jnp.linspace(0, len(flat) - 1, SAMPLES).astype(int)]
    fields = record.state.reshape(-1, *record.state.shape[2:])[chosen]

    @jax.jit
    def functionals(fields):
        def one(field):
            sensitivity = jax.grad(lambda c: jnp.log(device.read(c)))(field)
            return jnp.concatenate([sensitivity[None] / made.log_resistance[1], made.projection])

        return jax.lax.map(one, fields, batch_size=12)

    return _Samples(fields, flat[chosen], functionals(fields))


def _with_rest(made: ReducedDevice, device: AbstractDevice, samples: _Samples) -> ReducedDevice:
    """Fit what happens at 0 V, from rests long enough to move a state by a hundredth."""
    temperature = made.reference_temperature

    @jax.jit
    def slopes(time, temperature):
        own = eqx.tree_at(lambda d: d.ambient_temperature, device, temperature)

        def one(field, functionals):
            change = (own.rest(field, time) - field) / time
            return jnp.tensordot(functionals, change, change.ndim)

        return jax.vmap(one)(samples.fields, samples.functionals)

    fastest = jnp.sqrt(jnp.mean(slopes(jnp.ones_like(temperature), temperature) ** 2))
    time = jnp.clip(0.01 / jnp.maximum(fastest, 1e-30), 1e-3, 1e12)
    cold, warm = slopes(time, temperature), slopes(time, temperature + 1.0)
    ratio = jnp.sqrt(jnp.mean(warm**2) / jnp.maximum(jnp.mean(cold**2), 1e-60))
    activation = jnp.where(ratio > 0, jnp.log(jnp.maximum(ratio, 1e-30)) * temperature, 0.0)
    return _replaced(
        made, generator=fit_generator(samples.states, cold), rest_activation=activation
    )


def _with_noise(
    made: ReducedDevice,
    device: AbstractDevice,
    samples: _Samples,
    amplitudes: tuple[float, float],
    duration: float,
    key: PRNGKeyArray,
) -> ReducedDevice:
    """Project the counting noise of the full device."""
    few = jax.tree.map(lambda x: x[:: SAMPLES // NOISE_SAMPLES], samples)
    voltages = device.potentiation * jnp.array([float(made.amplitude), *amplitudes])

    def covariance(changes, functionals):
        axes = tuple(range(1, changes.ndim))
        projected = jnp.tensordot(changes, functionals, (axes, axes))
        return projected.T @ projected / DRAWS

    @jax.jit
    def measure(samples, key):
        workspace = device.prepare()

        def one(inputs):
            sample, key = inputs
            field, keys = sample.fields, jax.random.split(key, DRAWS)
            drawn = jax.vmap(lambda k: device.draw_state(field, key=k) - field)(keys)

            def hops(v):
                still = device.initial_fields(field)
                writing = device.settle(v, field, still, workspace, "write")
                hopped = jax.vmap(
                    lambda k: device.fluctuate(field, writing, duration, key=k) - field
                )(keys)
                return covariance(hopped, sample.functionals) / duration

            return covariance(drawn, sample.functionals), jax.lax.map(hops, voltages)

        return jax.lax.map(one, (samples, jax.random.split(key, len(samples.states))))

    draws, hops = measure(few, key)
    low, high = (jnp.trace(hops[:, k], axis1=1, axis2=2).mean() for k in (1, 2))
    noisy = low > 0
    growth = jnp.where(noisy, jnp.log(high / jnp.where(noisy, low, 1.0)), 0.0)
    apart = math.log(amplitudes[1] / amplitudes[0])
    first = few.states[:, 0]
    return _replaced(
        made,
        draw_factor=fit_factor(first, draws),
        hop_factor=fit_factor(first, hops[:, 0]),
        hop_exponent=growth / apart if apart > 0 else jnp.zeros_like(growth),
    )
