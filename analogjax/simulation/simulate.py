"""`simulate`: a device under a drive, inside jit, vmap and both modes of differentiation."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_float64, is_traced
from .._types import Array, Bool, Int
from ..devices import AbstractDevice
from ..stimuli import Drive
from .adjoints import Adjoint, resolve_adjoint
from .resolve import resolve_solver
from .result import SimulationResult, Status, raise_if_failed
from .solvers import AbstractSolver, Plateau
from .stochastic import EulerMaruyama


class Save(eqx.Module):
    """What a simulation keeps."""

    states: bool = eqx.field(static=True, default=True)
    """Whether the state after every pulse is returned."""


def simulate(
    device: AbstractDevice,
    drive: Drive,
    state: PyTree | None = None,
    *,
    key: PRNGKeyArray | None = None,
    solver: AbstractSolver | str | None = None,
    adjoint: Adjoint | None = None,
    save: Save | None = None,
    throw: bool = True,
) -> SimulationResult:
    """Apply a drive to a device.

    Args:
        device: The device, one of `analogjax.devices`.
        drive: What is applied, from `analogjax.stimuli`.
        state: Where to start; the device's `init_state` if None.
        key: Random key: with it a device shows its own randomness (from cycle to cycle, of a pulse,
            of a read), where it has any; None leaves chance out.
        solver: A solver of `analogjax.simulation` or its name; the device's default if None.
        adjoint: `ReverseMode()` (the default: checkpointed, for gradients by many parameters) or
            `ForwardMode()` (for few parameters: `jax.jvp`, `jax.jacfwd`).
        save: What to keep; every state if None.
        throw: Raise if a pulse could not be solved. Under `jit`, `vmap` or `grad` nothing can be
            raised: look at `ok` and `status` of the result. A run that failed keeps the last good
            state, current and resistance from the failed pulse on.

    Returns:
        Times, voltages, currents, resistances and states; see `SimulationResult`.

    Raises:
        ValueError: A wrong argument, in one sentence.
        RuntimeError: A pulse could not be solved (which, why, and what to try).
    """
    if not isinstance(device, AbstractDevice):
        raise ValueError(
            f"Argument `device` must be a device of `analogjax.devices`, but is "
            f"{type(device).__name__}."
        )
    if not isinstance(drive, Drive):
        raise ValueError(
            "Argument `drive` must come from `analogjax.stimuli` (such as `pulse_train`), but is "
            f"{type(drive).__name__}."
        )
    batched = [name for name, value in device.parameters().items() if jnp.ndim(value)]
    if batched:
        raise ValueError(
            "Argument `device` must be one device (use `eqx.filter_vmap` for a batch), but its "
            f"`{batched[0]}` has shape {jnp.shape(getattr(device, batched[0]))}."
        )
    if device.needs_float64:
        check_float64(f"This {type(device).__name__}")
    if not device.responds:
        _check_reads_only(device, drive)
    state = device.init_state() if state is None else state
    state = _as_state(state, jax.eval_shape(device.init_state))
    device.check_state(state)
    solver = resolve_solver(solver, device)
    if key is not None and device.stochastic and not isinstance(solver, EulerMaruyama):
        raise ValueError(
            f"Argument `solver` must be 'sde' for a {type(device).__name__} with a key, whose "
            f"motion is random, but is {type(solver).__name__}."
        )
    if not isinstance(save, Save | None):
        raise ValueError(
            f"Argument `save` must be None or a `simulation.Save`, but is {type(save).__name__}."
        )
    result = _simulate(
        device,
        drive,
        state,
        solver,
        resolve_adjoint(adjoint),
        save or Save(),
        key,
    )
    if throw:
        raise_if_failed(result, drive)
    return result


def _check_reads_only(device: AbstractDevice, drive: Drive) -> None:
    """Raise if a (concrete) drive is more than reading to a device whose response is unknown."""
    name = type(device).__name__
    for v in (drive.start, drive.stop):
        if is_traced(v) or is_traced(device.read_voltage):
            continue
        most = float(device.read_voltage) * (1 + 1e-6)
        if float(abs(v).max()) > most:
            raise ValueError(
                f"Argument `drive` must stay within the read voltage of {most:.3g} V, because how "
                f"a {name} responds to pulses is not known (write it by `device.program`), but "
                f"reaches {float(abs(v).max()):g} V."
            )


def _as_state(state: PyTree, wanted: PyTree) -> PyTree:
    """Return the state in the dtype that the device computes in, or say what its shape must be."""
    have = [jnp.shape(leaf) for leaf in jax.tree.leaves(state)]
    want = [leaf.shape for leaf in jax.tree.leaves(wanted)]
    if have != want:
        have, want = (x[0] if len(x) == 1 else x for x in (have, want))
        raise ValueError(f"Argument `state` must have shape {want}, but has shape {have}.")
    return jax.tree.map(lambda like, leaf: jnp.asarray(leaf, like.dtype), wanted, state)


@eqx.filter_jit
def _simulate(
    device: AbstractDevice,
    drive: Drive,
    state: PyTree,
    solver: AbstractSolver,
    adjoint: Adjoint,
    save: Save,
    key: PRNGKeyArray | None,
) -> SimulationResult:
    workspace = device.prepare()
    fields = device.initial_fields(state)

    def pulse(carry, segment):
        state, fields, health = carry
        start, stop, width, gap, chance = segment
        plateau = Plateau(start, stop, width)
        begun, own, during = state, None, None
        if chance is not None:
            key_begin, own, key_pulse = jax.random.split(chance, 3)
            during = jax.random.fold_in(own, 1)
            begun = device.begin(plateau.voltage(0.5), state, key=key_begin)
        step = solver.advance(device, workspace, begun, fields, plateau, adjoint, key=own)
        before, fields = step.state, step.fields
        if chance is not None:
            before = device.fluctuate(before, fields, width, key=key_pulse)
        after = before if gap is None else device.rest(before, gap)
        done = [step]
        timed_read = None
        if drive.read is not None:
            after, timed_read, disturb = _timed_read(
                device, drive, workspace, solver, adjoint, after, fields, gap, during
            )
            done.append(disturb)
        health, alive = _examine(device, health, done, before, after, step.fields)
        before, after, fields = (
            _select(alive, new, old)
            for new, old in ((before, state), (after, state), (fields, carry[1]))
        )
        kept = before if drive.gap is not None or drive.read is not None else None
        return (after, fields, health), (kept, fields, after, timed_read)

    chances = None if key is None else jax.random.split(key, drive.pulses + 1)
    each = None if chances is None else chances[:-1]
    segments = (drive.start, drive.stop, drive.width, drive.gap, each)
    zero = jnp.zeros((), jnp.int32)
    health = dict(status=zero, steps=zero, rejected=zero, pulse=zero, failed_pulse=zero - 1)
    (final, _, health), (before, all_fields, after, timed_read) = jax.lax.scan(
        pulse, (state, fields, health), segments
    )
    states = _prepend(state, after)
    plateaus = states if before is None else _prepend(state, before)
    v = _prepend(jnp.zeros_like(drive.stop[0]), drive.stop)
    # From a failed pulse on, what was last good: its voltage may be beyond the read-out as well.
    failed = health["failed_pulse"]
    lost = (failed >= 0) & (jnp.arange(v.shape[0]) > failed)
    seen = jnp.where(lost, v[failed], v)
    i, r = _observe(device, workspace, seen, plateaus, _prepend(fields, all_fields), states)
    if timed_read is not None:
        r = jnp.concatenate([r[:1], timed_read])
    i, r = (jnp.where(lost, x[failed], x) for x in (i, r))
    if chances is not None:
        fresh = jax.random.split(chances[-1], r.shape[0])
        r = jax.vmap(lambda r, state, key: device.read_noise(r, state, key=key))(r, states, fresh)
    return SimulationResult(
        t=drive.times(),
        v=v,
        i=i,
        read_resistance=r,
        state=states if save.states else None,
        final_state=final,
        ok=health["status"] == Status.SUCCESS,
        status=health["status"],
        stats={name: health[name] for name in ("steps", "rejected", "failed_pulse")},
    )


def _observe(device, workspace, v, plateaus, fields, states):
    """Current and resistance at every instant, one after the other (recomputed for gradients)."""

    @jax.checkpoint
    def one(guess, inputs):
        v, plateau, fields, after = inputs
        i, r, guess = device.observe(v, plateau, fields, after, guess, workspace)
        return jax.lax.stop_gradient(guess), (i, r)

    first = jax.tree.map(lambda leaf: jnp.zeros_like(leaf[0]), states)
    _, (i, r) = jax.lax.scan(one, first, (v, plateaus, fields, states))
    return i, r


def _timed_read(device, drive, workspace, solver, adjoint, state, fields, gap, key):
    """Rest for the delay, hold the read voltage for its duration, take R at the end."""
    read = drive.read
    state = device.rest(state, read.delay)
    v = device.read_voltage
    plateau = Plateau(v, v, read.duration, "read")
    step = solver.advance(device, workspace, state, fields, plateau, adjoint, key=key)
    elapsed = read.delay + read.duration + (0.0 if gap is None else gap)
    resistance = device.read_warm(step.state, fields, elapsed, workspace)
    return step.state, resistance, step


def _examine(device, health, done, before, after, fields):
    """Count the steps, note the first failure, and say whether the state may be believed."""
    # Before the rest as well, which would smooth an overshoot away.
    valid = device.valid(before) & device.valid(after)
    status = verdict(device, [step.status for step in done], valid, fields)
    failed_before = health["status"] != Status.SUCCESS
    alive = (status == Status.SUCCESS) & ~failed_before
    first = (status != Status.SUCCESS) & ~failed_before
    health = dict(
        status=jnp.where(failed_before, health["status"], status),
        steps=health["steps"] + jnp.asarray(sum(s.steps for s in done), jnp.int32),
        rejected=health["rejected"] + jnp.asarray(sum(s.rejected for s in done), jnp.int32),
        pulse=health["pulse"] + 1,
        failed_pulse=jnp.where(first, health["pulse"], health["failed_pulse"]),
    )
    return health, alive


def verdict(
    device: AbstractDevice, statuses: list[Array], valid: Bool[Array, ""], fields: PyTree
) -> Int[Array, ""]:
    """Return the status of a pulse: the one cause of what went wrong, if anything.

    Equations that do not hold make everything else fail, steps that are too long or too few also
    end out of range: the cause is named, not what follows from it.

    Args:
        device: Whose equations.
        statuses: What became of every plateau of the pulse, in order.
        valid: Whether the states after it are within bounds.
        fields: At its end.
    """
    status = jnp.where(valid, Status.SUCCESS, Status.OUT_OF_RANGE)
    for step in reversed(statuses):
        status = jnp.where(step == Status.SUCCESS, status, step)
    return jnp.where(device.holds(fields), status, Status.BEYOND_MODEL).astype(jnp.int32)


def _select(alive: Any, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(alive, a, b), new, old)


def _prepend(first: PyTree, rest: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)
