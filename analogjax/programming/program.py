"""Programming: take devices from level to level by pulses and readings.

Every lane (repeat) runs through the levels at its own pace: one pulse and one reading of all lanes
at a time, so that a lane that needs three pulses does not hold up one that needs one. The work
comes in portions (`Programmer.advance`), so that it can be watched, stored and resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_float64, check_not_negative, check_whole
from .._types import Array, Bool, Float, Int, Scalar
from ..devices import AbstractDevice, AbstractProgrammedDevice
from ..simulation import Adaptive, ForwardMode
from ..simulation.resolve import resolve_solver
from ..simulation.result import Status
from ..simulation.simulate import verdict
from ..simulation.solvers import AbstractSolver, Plateau
from .controllers import AbstractController, resolve_controller
from .direct import write_levels
from .levels import LevelTable, fingerprint
from .noise import ProgrammingNoise, resolve_noise
from .reading import kept_at, noisy_reading, wandering
from .targets import (
    Window,
    check_space,
    condition_and_window,
    find_window,
    level_coordinates,
)

DELAYS = (1.0, 60.0, 3600.0, 1e5)
"""When every level is read again [s]: 1 s, 1 min, 1 h, about a day."""


class Record(eqx.Module):
    """What is kept of every level (nan, or zero, where it was not reached)."""

    reading: Float[Array, "*levels"]
    """The reading that ended it [ohm]."""
    met: Bool[Array, "*levels"]
    """Whether that reading was accepted (else the pulses ran out)."""
    pulses: Int[Array, "*levels"]
    time: Float[Array, "*levels"]
    """Pulses, cooling and reads [s]."""
    energy: Float[Array, "*levels"]
    """Energy of pulses and reads [J]."""
    state: PyTree
    """State of the device, stacked."""


class Lane(eqx.Module):
    """One device on its way through the levels."""

    key: PRNGKeyArray
    state: PyTree
    fields: PyTree
    guess: PyTree
    memory: PyTree
    reading: Scalar
    """The last reading [ohm]."""
    level: Int[Array, ""]
    spent: tuple[Int[Array, ""], Scalar, Scalar]
    """Pulses, time, energy at this level so far."""
    status: Int[Array, ""]
    record: Record


class Programmer(eqx.Module):
    """Programs one device, many times over; `program_levels` is the short way."""

    device: AbstractDevice
    state: PyTree
    window: Window
    controller: AbstractController
    noise: ProgrammingNoise
    solver: AbstractSolver
    n_levels: int = eqx.field(static=True)
    space: str = eqx.field(static=True)
    cooling: float = eqx.field(static=True)
    """Wait between pulse and read, in thermal times of the device."""

    def start(self, repeats: int, *, key: PRNGKeyArray) -> Lane:
        """Return the lanes before the first pulse.

        Raises:
            ValueError: Fewer than one repeat.
        """
        check_whole("repeats", repeats, 1)
        return _start(self, jax.random.split(key, repeats))

    def advance(self, lanes: Lane, pulses: int) -> Lane:
        """Apply up to so many pulses (and readings) to every lane that is not done."""
        return _advance(self, lanes, jnp.asarray(pulses))

    def done(self, lanes: Lane) -> Array:
        """Return how many levels each lane has left behind (all of them if it failed)."""
        return jnp.where(lanes.status == Status.SUCCESS, lanes.level, self.n_levels)

    def finish(
        self,
        lanes: Lane,
        *,
        key: PRNGKeyArray,
        delays: tuple[float, ...] = DELAYS,
        storage_temperature: float | None = None,
    ) -> LevelTable:
        """Read every level again after the delays and return the table.

        Raises:
            ValueError: A negative delay, or a storage temperature as in `program_levels`.
        """
        kept = kept_at(self.device, storage_temperature)
        check_not_negative("delays", delays, "s")
        reread = np.zeros((len(delays), *lanes.record.reading.shape))
        if delays:
            reread = np.asarray(_read_again(self, kept, lanes, key, jnp.asarray(delays)))
        record = jax.tree.map(np.asarray, lanes.record)
        reached = np.arange(self.n_levels) < np.asarray(lanes.level)[:, None]
        coordinates = level_coordinates(self.n_levels)
        return LevelTable(
            target=np.asarray(self.window.resistance(coordinates, self.space)),
            achieved=np.where(reached, np.asarray(_read_exactly(self, lanes)), np.nan),
            reading=np.where(reached, record.reading, np.nan),
            met=record.met & reached,
            pulses=np.where(reached, record.pulses, np.nan),
            time=np.where(reached, record.time, np.nan),
            energy=np.where(reached, record.energy, np.nan),
            status=np.asarray(lanes.status),
            delays=np.asarray(delays, float),
            reread=np.where(reached, reread, np.nan),
            r_high=float(self.window.r_high),
            r_low=float(self.window.r_low),
            space=self.space,
            device=fingerprint(self.device),
            controller=self.controller.statement(),
            noise=self.noise.statement(),
        )

    # Inside.

    def _coordinate(self, resistance):
        return self.window.coordinate(resistance, self.space)

    def _lane(self, key: PRNGKeyArray) -> Lane:
        own, key_draw, key_read = jax.random.split(key, 3)
        state = self.state
        if self.noise.counting:
            state = self.device.draw_state(state, key=key_draw)
        key_read, key_wander = jax.random.split(key_read)
        device = wandering(self.device, self.noise.temperature(key_wander))
        resistance = device.read(state)
        reading = self._read(key_read, device, state, resistance)
        dtype = resistance.dtype
        zero, none = jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
        per_level = jnp.zeros(self.n_levels, dtype)
        record = Record(
            reading=per_level,
            met=jnp.zeros(self.n_levels, bool),
            pulses=jnp.zeros(self.n_levels, jnp.int32),
            time=per_level,
            energy=per_level,
            state=jax.tree.map(lambda x: jnp.zeros((self.n_levels, *x.shape), x.dtype), state),
        )
        return Lane(
            key=own,
            state=state,
            fields=self.device.initial_fields(state),
            guess=jax.tree.map(jnp.zeros_like, state),
            memory=self.controller.start(1 / (self.n_levels - 1), self.device.potentiation),
            reading=reading,
            level=none,
            spent=(none, *self._cost_of_read(zero, resistance)),
            status=none,
            record=record,
        )

    def _read(self, key, device, state, resistance):
        return noisy_reading(self.noise, device, state, resistance, key=key)

    def _cost_of_read(self, power_before, resistance):
        duration = self.noise.read_time
        return duration, power_before + self.device.read_voltage**2 / resistance * duration

    def _step(self, workspace: PyTree, lane: Lane) -> Lane:
        """Accept or not, one pulse, one reading."""
        targets = level_coordinates(self.n_levels)
        last = self.n_levels - 1
        u = self._coordinate(lane.reading)
        alive = (lane.level <= last) & (lane.status == Status.SUCCESS)

        # A reading may end this level; the next pulse is then for the next one.
        near = self.controller.accepts(u, targets[jnp.minimum(lane.level, last)], lane.memory)
        left = alive & (near | (lane.spent[0] >= self.controller.max_pulses))
        record = self._note(lane, left, near)
        level = lane.level + left
        pulses, seconds, energy = (jnp.where(left, jnp.zeros_like(x), x) for x in lane.spent)
        target = targets[jnp.minimum(level, last)]
        already = self.controller.accepts(u, target, lane.memory)
        pulsed = alive & (level <= last) & ~already

        key, *keys = jax.random.split(lane.key, 6)
        pulse = self.controller.decide(u, target, lane.memory)
        width = jnp.where(pulsed, pulse.width, 0.0)
        v = self.noise.source(pulse.amplitude)
        device = wandering(self.device, self.noise.temperature(keys[0]))
        exposure = width * self.noise.exposure(keys[1])
        begun, own = lane.state, None
        if self.noise.counting:
            key_begin, own = (jax.random.fold_in(keys[2], n) for n in (1, 2))
            begun = device.begin(v, begun, key=key_begin)
        result = self.solver.advance(
            device, workspace, begun, lane.fields, Plateau(v, v, exposure), ForwardMode(), key=own
        )
        after = result.state
        if self.noise.counting:
            after = device.fluctuate(after, result.fields, exposure, key=keys[2])
        current, resistance, guess = device.observe(
            v, result.state, result.fields, after, lane.guess, workspace
        )
        reading = self._read(keys[3], device, after, resistance)

        valid = device.valid(after) & jnp.isfinite(resistance)
        status = verdict(device, [result.status], valid, result.fields)
        ok = pulsed & (status == Status.SUCCESS)
        memory = self.controller.learn(u, self._coordinate(reading), pulse, lane.memory)
        read_time, read_energy = self._cost_of_read(v * current * width, resistance)
        cooling = self.cooling * getattr(device, "thermal_time", 0.0)
        spent = (pulses + 1, seconds + width + cooling + read_time, energy + read_energy)

        def choose(new, old):
            return jax.tree.map(lambda a, b: jnp.where(ok, a, b), new, old)

        return Lane(
            key=key,
            state=choose(after, lane.state),
            fields=choose(result.fields, lane.fields),
            guess=choose(guess, lane.guess),
            memory=choose(memory, lane.memory),
            reading=choose(reading, lane.reading),
            level=level,
            spent=choose(spent, (pulses, seconds, energy)),
            status=jnp.where(pulsed, status, lane.status),
            record=record,
        )

    def _note(self, lane: Lane, left: Bool[Array, ""], near: Bool[Array, ""]) -> Record:
        index = jnp.minimum(lane.level, self.n_levels - 1)
        pulses, time, energy = lane.spent
        new = Record(lane.reading, near, pulses, time, energy, lane.state)
        return jax.tree.map(
            lambda rows, x: rows.at[index].set(jnp.where(left, x, rows[index])), lane.record, new
        )


@eqx.filter_jit
def _start(programmer: Programmer, keys: Array) -> Lane:
    return jax.vmap(programmer._lane)(keys)


@eqx.filter_jit
def _advance(programmer: Programmer, lanes: Lane, pulses: Int[Array, ""]) -> Lane:
    # What depends on parameters only: the temperature, which wanders, is not among them.
    workspace = programmer.device.prepare()
    step = jax.vmap(lambda lane: programmer._step(workspace, lane))

    def unfinished(carry):
        lanes, count = carry
        return (count < pulses) & jnp.any(programmer.done(lanes) < programmer.n_levels)

    def body(carry):
        lanes, count = carry
        return step(lanes), count + 1

    return lax.while_loop(unfinished, body, (lanes, jnp.zeros_like(pulses)))[0]


@eqx.filter_jit
def _read_again(
    programmer: Programmer, kept: AbstractDevice, lanes: Lane, key: PRNGKeyArray, delays: Array
) -> Array:
    """Resistance of every state after every delay, read with fresh noise."""
    states = lanes.record.state
    repeats, levels = lanes.record.reading.shape

    def one(inputs):
        state, key = inputs

        def reread(delay, key):
            key_t, key_r = jax.random.split(key)
            deviation = programmer.noise.temperature(key_t)
            later = wandering(kept, deviation).rest(state, delay)
            device = wandering(programmer.device, deviation)
            return programmer._read(key_r, device, later, device.read(later))

        return jax.vmap(reread)(delays, jax.random.split(key, delays.shape[0]))

    flat = jax.tree.map(lambda x: x.reshape(repeats * levels, *x.shape[2:]), states)
    keys = jax.random.split(key, repeats * levels)
    reads = lax.map(one, (flat, keys), batch_size=min(32, repeats * levels))
    return reads.T.reshape(delays.shape[0], repeats, levels)


@eqx.filter_jit
def _read_exactly(programmer: Programmer, lanes: Lane) -> Array:
    """Resistance of every state at the nominal temperature, without noise."""
    repeats, levels = lanes.record.reading.shape
    flat = jax.tree.map(lambda x: x.reshape(repeats * levels, *x.shape[2:]), lanes.record.state)
    reads = lax.map(programmer.device.read, flat, batch_size=min(64, repeats * levels))
    return reads.reshape(repeats, levels)


def writing_solver(solver: Any, device: AbstractDevice) -> AbstractSolver:
    """Return the solver an argument names; None is one that suits the short pulses of a write."""
    if solver is None and device.default_solver == "adaptive":
        # A pulse of one level moves little: this keeps its effect to about 1e-4 of itself, a
        # hundredth of the spread of pulses, at half the cost of the device's own tolerance.
        solver = Adaptive(1e-3, 1e-4, method="bosh3")
    return resolve_solver(solver, device)


def raise_if_all_failed(programmer: Programmer, lanes: Lane) -> None:
    """Raise if no lane came to the end; a few that failed are nan in the table, and counted.

    Raises:
        RuntimeError: One sentence with the level and the reason of the first lane.
    """
    status = np.asarray(lanes.status)
    if (status != Status.SUCCESS).all():
        raise RuntimeError(
            f"None of {status.size} repeats reached all {programmer.n_levels} levels; the first "
            f"stopped at level {int(lanes.level[0])}: {Status(int(status[0])).sentence}."
        )


def make_programmer(
    device: AbstractDevice,
    n_levels: int,
    *,
    space: str = "R",
    controller: AbstractController | None = None,
    noise: ProgrammingNoise | str | None = None,
    state: PyTree | None = None,
    window: Window | None = None,
    solver: AbstractSolver | str | None = None,
) -> Programmer:
    """Check the arguments of `program_levels` and return what does the work."""
    if not isinstance(device, AbstractDevice):
        raise ValueError(
            f"Argument `device` must be a device of `analogjax.devices`, but is "
            f"{type(device).__name__}."
        )
    if isinstance(device, AbstractProgrammedDevice):
        raise ValueError(
            "Argument `device` must respond to pulses, but how a "
            f"{type(device).__name__} does is not known (use `program_levels`)."
        )
    if device.needs_float64:
        check_float64(f"This {type(device).__name__}")
    check_space(space)
    level_coordinates(n_levels)
    controller, noise = resolve_controller(controller), resolve_noise(noise)
    resolved = writing_solver(solver, device)
    if state is None:
        state, found = condition_and_window(device)
        window = found if window is None else window
    elif window is None:
        window = find_window(device, state)
    return Programmer(
        device, state, window, controller, noise, resolved, int(n_levels), space, cooling=10.0
    )


def program_levels(
    device: AbstractDevice,
    n_levels: int,
    *,
    space: str = "R",
    repeats: int = 10,
    controller: AbstractController | None = None,
    noise: ProgrammingNoise | str | None = None,
    key: PRNGKeyArray,
    state: PyTree | None = None,
    window: Window | None = None,
    delays: tuple[float, ...] = DELAYS,
    storage_temperature: float | None = None,
    solver: AbstractSolver | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LevelTable:
    """Program n levels one after the other, from the highest resistance to the lowest.

    A device that is programmed as a whole (`AbstractProgrammedDevice`) is written to every level
    directly, `repeats` devices a level, without pulses: `state`, `controller` and `solver` have no
    part in it.

    Args:
        device: The device, one of `analogjax.devices`.
        n_levels: Number of levels.
        space: Levels equally spaced in resistance (``"R"``) or conductance (``"G"``).
        repeats: Independent repetitions, run side by side.
        controller: Chooses the pulses; `WriteVerify()` if None.
        noise: `ProgrammingNoise`; ``"standard"`` (None) or ``"none"``.
        key: Random key; the same key gives the same table.
        state: Where every repeat starts; the conditioned device if None.
        window: Resistances of first and last level; measured by `find_window` if None.
        delays: When each level is read again [s]. The device rests for them on its own, the
            programming goes on as if they had not been.
        storage_temperature: Ambient temperature of that rest [K]; None for the device's own, at
            which it is written and read in any case.
        solver: As in `simulate`.
        progress: Called on the host with levels done and levels in all.

    Returns:
        The table; lanes that failed are nan and counted (`LevelTable.failed`).

    Raises:
        ValueError: A wrong argument, in one sentence.
        RuntimeError: Conditioning or finding the window failed, or no repeat came to the end.
    """
    if isinstance(device, AbstractProgrammedDevice):
        return write_levels(
            device, n_levels, space=space, repeats=repeats, noise=resolve_noise(noise),
            window=Window(*device.window) if window is None else window, delays=delays, key=key,
            storage_temperature=storage_temperature,
        )  # fmt: skip
    programmer = make_programmer(
        device, n_levels, space=space, controller=controller, noise=noise,
        state=state, window=window, solver=solver,
    )  # fmt: skip
    key_lanes, key_reads = jax.random.split(key)
    lanes = programmer.start(repeats, key=key_lanes)
    total = repeats * programmer.n_levels
    while (done := int(programmer.done(lanes).sum())) < total:
        if progress is not None:
            progress(done, total)
        lanes = programmer.advance(lanes, 32)
    if progress is not None:
        progress(total, total)
    raise_if_all_failed(programmer, lanes)
    return programmer.finish(
        lanes, key=key_reads, delays=delays, storage_temperature=storage_temperature
    )
