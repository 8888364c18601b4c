"""Open loop: levels by counting pulses, planned on one device and carried out by others.

Nothing is read in between, so what is wrong in the plan's device shows in every level: the way by
which the uncertainty of a fit reaches a network.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_positive, check_whole
from .._types import Float
from ..devices import AbstractDevice
from ..fitting.states import check_one_number, state_at
from ..simulation import Save, simulate
from ..simulation.solvers import AbstractSolver
from ..stimuli import pulse_train
from .levels import LevelTable, fingerprint
from .targets import Window, check_space, level_coordinates


class CountedPulses(eqx.Module):
    """How many equal pulses each level takes, from one start, as one device has it."""

    counts: np.ndarray
    """(levels,) Pulses."""
    target: Float[Array, " levels"]
    """Resistances that are wanted [ohm]."""
    window: Window
    start: float | None
    """Conductance of the first level [S]; that of a fresh device if None."""
    v: float
    width: float
    gap: float
    space: str = eqx.field(static=True)
    device: str = eqx.field(static=True)
    """Fingerprint of the device that it was planned on."""

    @property
    def statement(self) -> str:
        """How levels are written, in one sentence."""
        return (
            f"Open loop: up to {int(self.counts.max())} pulses of {self.v:g} V and "
            f"{self.width:g} s from one start, counted on {self.device}; nothing is read."
        )


def plan_counts(
    device: AbstractDevice,
    n_levels: int,
    *,
    v: float,
    width: float,
    pulses: int,
    gap: float = 0.0,
    start: float | None = None,
    space: str = "G",
    solver: AbstractSolver | str | None = None,
) -> CountedPulses:
    """Plan levels between where a train of equal pulses begins and where it ends.

    Args:
        device: The device that the plan believes in.
        n_levels: Number of levels.
        v: Amplitude [V]; of the sign that lowers the resistance.
        width: Duration of a pulse [s].
        pulses: Pulses from the first level to the last.
        gap: Time between pulses [s].
        start: Conductance at the first level [S], which every write is taken back to (a device of
            one state number); that of a fresh device if None.
        space: Levels equally spaced in resistance ``"R"`` or conductance ``"G"``.
        solver: As in `simulate`.

    Raises:
        ValueError: A wrong argument; pulses that do not lower the resistance; more levels than
            pulses to tell them apart.
        RuntimeError: As in `simulate`.
    """
    check_space(space)
    check_positive("width", width, "s")
    check_whole("pulses", pulses, 1)
    coordinates = np.asarray(level_coordinates(n_levels))
    if pulses < n_levels - 1:
        raise ValueError(
            f"Argument `pulses` must be at least {n_levels - 1} for {n_levels} levels, but is "
            f"{pulses}."
        )
    trace = np.asarray(_trace(device, v, width, gap, start, None, solver, pulses).read_resistance)
    if not trace[-1] < trace[0]:
        raise ValueError(
            "Argument `v` must lower the resistance of the device, but "
            f"{pulses} pulses of {v:g} V took it from {trace[0]:.6g} to {trace[-1]:.6g} ohm."
        )
    window = Window(float(trace[0]), float(trace[-1]))
    reached = np.asarray(window.coordinate(jnp.asarray(trace), space))
    counts = np.argmin(np.abs(reached[None] - coordinates[:, None]), axis=1)
    target = window.resistance(jnp.asarray(coordinates), space)
    return CountedPulses(counts, target, window, start, v, width, gap, space, fingerprint(device))


def write_counted(
    plan: CountedPulses,
    devices: AbstractDevice,
    repeats: int,
    *,
    key: PRNGKeyArray | None = None,
    solver: AbstractSolver | str | None = None,
) -> LevelTable:
    """Carry a plan out.

    Args:
        plan: Counts of pulses.
        devices: One device, or a batch of `repeats` (a leading axis on its parameters), each of
            which is written once.
        repeats: Trains; every one passes all levels.
        key: With it devices show their own randomness, differently in each repeat.
        solver: As in `simulate`.

    Returns:
        The levels, not read again later. A train that could not be solved is nan, and counted in
        `failed`.

    Raises:
        ValueError: A batch of another size.
    """
    check_whole("repeats", repeats, 1)
    batch = {np.shape(x)[0] for x in devices.parameters().values() if np.ndim(x)}
    if batch - {repeats}:
        raise ValueError(
            f"Argument `devices` must be one device or a batch of {repeats} (as `repeats`), but "
            f"is a batch of {max(batch - {repeats})}."
        )
    keys = None if key is None else jax.random.split(key, repeats)
    over = jax.tree.map(lambda x: 0 if batch and jnp.ndim(x) else None, devices)
    most = int(plan.counts.max())
    run = eqx.filter_vmap(
        lambda device, key: _trace(
            device, plan.v, plan.width, plan.gap, plan.start, key, solver, most
        ),
        in_axes=(over, None if keys is None else 0),
        axis_size=repeats,
    )
    result = run(devices, keys)
    ok = np.asarray(result.ok)[:, None]
    resistance = np.where(ok, np.asarray(result.read_resistance), np.nan)
    # Between two reads the current moves little: the energy of a pulse from its end.
    joule = np.abs(np.asarray(result.v) * np.asarray(result.i))[:, 1:] * plan.width
    energy = np.concatenate([np.zeros((repeats, 1)), np.cumsum(joule, axis=1)], axis=1)
    achieved = resistance[:, plan.counts]
    unread = np.full((0, *achieved.shape), np.nan)
    return LevelTable(
        target=np.asarray(plan.target),
        achieved=achieved,
        reading=achieved,
        met=np.ones(achieved.shape, bool),
        pulses=np.where(ok, plan.counts[None].astype(float), np.nan),
        time=np.where(ok, plan.counts[None] * (plan.width + plan.gap), np.nan),
        energy=np.where(ok, energy[:, plan.counts], np.nan),
        delays=np.zeros(0),
        reread=unread,
        status=np.asarray(result.status).astype(int),
        r_high=float(plan.window.r_high),
        r_low=float(plan.window.r_low),
        space=plan.space,
        device=plan.device,
        controller=plan.statement,
        noise="No noise but that of the devices themselves.",
    )


@eqx.filter_jit
def _trace(device, v, width, gap, start, key, solver, pulses):
    """Run one train; all but the number of pulses may be traced."""
    state = None
    if start is not None:
        check_one_number(device, "start")
        state = state_at(device, jnp.asarray(start, jnp.result_type(float)))
    amplitudes = jnp.full(pulses, v)
    drive = pulse_train(amplitudes, width=width, gap=gap)
    return simulate(
        device, drive, state, key=key, solver=solver, save=Save(states=False), throw=False
    )
