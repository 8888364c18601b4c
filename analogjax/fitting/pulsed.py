"""Measurements that are simulated: sweeps, pulse trains and single pulses."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_finite, check_not_negative
from .._types import Array, Bool
from ..devices import AbstractCompactDevice, AbstractDevice
from ..simulation import ForwardMode, Rosenbrock, march, simulate
from ..simulation.solvers import AbstractSolver
from ..stimuli import Drive, piecewise
from .noise import Noise, Points
from .objectives import (
    AbstractObjective,
    Rows,
    check_observed,
    column_of,
    conditions_of,
    filled,
    positive_times,
    rows_of,
)
from .states import check_one_number, state_at

Solver = AbstractSolver | str | None


def run(
    device: AbstractDevice, drive: Drive, state: Any, conductance: Any, solver: Solver, seen: str
) -> tuple[Array, Bool[Array, ""]]:
    """Return what is seen after every pulse, and whether all were solved.

    Args:
        device: The device.
        drive: What is applied.
        state: Argument of the device's `init_state`.
        conductance: In place of it the conductance to start from [S].
        solver: As in `simulate`; devices of one state number take the quicker `march` unless a
            solver that is not `Rosenbrock` is asked for.
        seen: ``"current"`` [A] or ``"conductance"`` [S].
    """
    if conductance is not None:
        check_one_number(device, "initial_conductance")
        start = state_at(device, conductance)  # pyright: ignore
    else:
        start = device.init_state() if state is None else device.init_state(state)  # pyright: ignore
    quick = _quick(device, solver)
    if quick is None:
        result = simulate(device, drive, start, solver=solver, adjoint=ForwardMode(), throw=False)
        values = result.i if seen == "current" else 1 / result.read_resistance
        return values[1:], result.ok
    result = march(device, drive, start, solver=quick)  # pyright: ignore
    # Where nothing was solved, something that can be looked at: `ok` says what it is worth.
    lost = jnp.isnan(result.state)
    before, after = (jnp.where(lost, start, x) for x in (result.plateau, result.state))
    if seen == "current":
        return jax.vmap(device.current)(drive.stop, before), result.ok
    return jax.vmap(device.conductance)(after), result.ok


def _quick(device: AbstractDevice, solver: Solver) -> Rosenbrock | None:
    """Return the tolerances of a march, or None where that is not what is asked for."""
    if not isinstance(device, AbstractCompactDevice) or device.default_solver == "step":
        return None
    if not jax.config.read("jax_enable_x64"):
        return None
    if solver is None or solver == "rosenbrock":
        return Rosenbrock()
    return solver if isinstance(solver, Rosenbrock) else None


class Sweep(AbstractObjective):
    """I-V sweeps: the current at voltages that are joined by ramps.

    The first point of a row is where it starts and is not compared.
    """

    start: Points
    stop: Points
    width: Points
    observed: Points
    noise: Noise
    conditions: dict[str, Rows]
    state: Rows | None
    initial_conductance: Rows | None
    solver: Solver
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True, default="A")

    def __init__(
        self,
        t: Any,
        v: Any,
        i: Any,
        *,
        noise: Noise | None = None,
        ambient_temperature: Any = None,
        state: Any = None,
        initial_conductance: Any = None,
        solver: Solver = None,
        name: str = "sweep",
    ):
        """Make a measurement.

        Args:
            t: Time of each point [s], (points,) or (sweeps, points).
            v: Voltage of each point [V].
            i: Current measured there [A]; nan where it is not to be compared.
            noise: How a current scatters; 2 % and 0.1 % of the largest if None (assumed).
            ambient_temperature: [K], one number or one a sweep; that of the device if None.
            state: Argument of the device's `init_state`, one number or one a sweep.
            initial_conductance: In place of it the conductance [S] that the sweep starts from (a
                device of one state number).
            solver: As in `simulate`.
            name: What the residuals are listed under.

        Raises:
            ValueError: Shapes that do not fit, times that do not increase, values not finite.
        """
        v = rows_of("v", v)
        t, i = rows_of("t", t, v), rows_of("i", i, v)
        if v.shape[1] < 2:
            raise ValueError("Argument `v` must have at least two points, but has one.")
        known = np.isfinite(v) & np.isfinite(t)
        check_observed(i[:, 1:], "i")
        step = np.diff(t, axis=1)
        both = known[:, 1:] & known[:, :-1]
        if (step[both] <= 0).any():
            raise ValueError("Argument `t` must increase from point to point, but does not.")
        v = filled(v)
        self.start, self.stop = jnp.asarray(v[:, :-1]), jnp.asarray(v[:, 1:])
        self.width = jnp.asarray(positive_times("t", step, both))
        self.observed = jnp.asarray(np.where(both, i[:, 1:], np.nan))
        self.noise = noise or Noise(0.02, 1e-3 * float(np.nanmax(np.abs(i))))
        rows = v.shape[0]
        self.conditions = conditions_of(rows, ambient_temperature)
        self.state = column_of("state", state, rows)
        self.initial_conductance = column_of("initial_conductance", initial_conductance, rows)
        self.solver, self.name, self.unit = solver, name, "A"

    def inputs(self) -> Any:
        """Return ramps and starts."""
        return self.start, self.stop, self.width, self.state, self.initial_conductance

    def row(self, device: AbstractDevice, inputs: Any) -> tuple[Array, Bool[Array, ""]]:
        """Return the currents of one sweep [A]."""
        start, stop, width, state, conductance = inputs
        drive = piecewise(start, stop, width=width)
        return run(device, drive, state, conductance, self.solver, "current")

    def reversed(self) -> Sweep:
        """Return the sweep with the voltage, and the current, the other way round."""
        where = lambda s: (s.start, s.stop, s.observed)  # noqa: E731
        return eqx.tree_at(where, self, tuple(-x for x in where(self)))


class PulseTrain(AbstractObjective):
    """Rows of pulses, with a read after each: the conductance after every pulse."""

    amplitudes: Points
    width: Points
    gap: Points | None
    observed: Points
    noise: Noise
    conditions: dict[str, Rows]
    state: Rows | None
    initial_conductance: Rows | None
    solver: Solver
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True, default="S")

    def __init__(
        self,
        amplitudes: Any,
        width: Any,
        gap: Any,
        conductance: Any,
        *,
        noise: Noise | None = None,
        ambient_temperature: Any = None,
        read_voltage: Any = None,
        state: Any = None,
        initial_conductance: Any = None,
        solver: Solver = None,
        name: str = "pulses",
    ):
        """Make a measurement.

        Args:
            amplitudes: Voltage of each pulse [V], (pulses,) or (trains, pulses); nan for none.
            width: Its duration [s]: one number, or one a pulse.
            gap: Time at 0 V after it [s], likewise; None for none.
            conductance: Conductance measured after it [S]; nan where it is not to be compared.
            noise: How a conductance scatters; 2 % if None (assumed).
            ambient_temperature: [K], one number or one a train; that of the device if None.
            read_voltage: Of the conductances [V], likewise.
            state: Argument of the device's `init_state`, one number or one a train.
            initial_conductance: In place of it the conductance [S] that a train starts from (a
                device of one state number).
            solver: As in `simulate`.
            name: What the residuals are listed under.

        Raises:
            ValueError: Shapes that do not fit, a duration not above zero, values not finite.
        """
        conductance = rows_of("conductance", conductance)
        amplitudes = rows_of("amplitudes", amplitudes, conductance)
        known = np.isfinite(amplitudes)
        check_observed(np.where(known, conductance, np.nan), "conductance")
        self.amplitudes = jnp.asarray(np.where(known, amplitudes, 0.0))
        width = rows_of("width", width, conductance)
        self.width = jnp.asarray(positive_times("width", width, known))
        self.gap = None
        if gap is not None:
            gap = np.where(known, rows_of("gap", gap, conductance), 0.0)
            gap = np.where(np.isnan(gap), 0.0, gap)  # after the last pulse
            check_not_negative("gap", gap, "s")
            self.gap = jnp.asarray(gap)
        self.observed = jnp.asarray(np.where(known, conductance, np.nan))
        self.noise = noise or Noise(0.02)
        rows = conductance.shape[0]
        self.conditions = conditions_of(rows, ambient_temperature, read_voltage)
        self.state = column_of("state", state, rows)
        self.initial_conductance = column_of("initial_conductance", initial_conductance, rows)
        self.solver, self.name, self.unit = solver, name, "S"

    def inputs(self) -> Any:
        """Return pulses and starts."""
        return self.amplitudes, self.width, self.gap, self.state, self.initial_conductance

    def row(self, device: AbstractDevice, inputs: Any) -> tuple[Array, Bool[Array, ""]]:
        """Return the conductances of one train [S]."""
        amplitudes, width, gap, state, conductance = inputs
        drive = Drive(amplitudes, amplitudes, width, gap, None)
        return run(device, drive, state, conductance, self.solver, "conductance")

    def reversed(self) -> PulseTrain:
        """Return the trains with every amplitude the other way round."""
        return eqx.tree_at(lambda s: s.amplitudes, self, -self.amplitudes)


def single_pulses(
    v: Any, width: Any, resistance_before: Any, resistance_after: Any, **options: Any
) -> PulseTrain:
    """Return trials of one pulse each, from a measured resistance, as trains of one pulse.

    Args:
        v: Voltage of each trial [V], (trials,).
        width: Its duration [s].
        resistance_before: Resistance before the pulse [ohm].
        resistance_after: Resistance after it [ohm].
        **options: As in `PulseTrain`.

    Raises:
        ValueError: A resistance not finite; as `PulseTrain`.
    """
    before, after = (
        np.asarray(r, float).reshape(-1) for r in (resistance_before, resistance_after)
    )
    check_finite("resistance_before", before)
    column = lambda x: np.asarray(x, float).reshape(-1, 1)  # noqa: E731
    options = {"name": "single pulses"} | options
    return PulseTrain(
        column(v), column(width), None, column(1 / after), initial_conductance=1 / before, **options
    )
