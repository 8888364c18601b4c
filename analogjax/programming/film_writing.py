"""Writing films by a few pulses, every device its own two-dimensional vacancy equation.

The conductance that a device ends with is one number, and few numbers decide it: its amplitudes and
its own parameters. Its derivatives are pushed forward, device by device, by those that a gradient
asks for; nothing of a solve is kept for later, so that the memory is that of one chunk of devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_positive, check_whole
from .._types import Array, CellField, Float, Scalar, ScalarLike
from ..devices import FourTerminalTiO2, Spread
from ..devices._base import check_names
from ..physics.grid import corner_electrodes
from ..simulation import Multirate, ReverseMode, Status
from ..simulation.solvers import AbstractSolver, Plateau
from .writing import AbstractWriting, Written

PULSE_WIDTH = "pulse_width"
"""Name of the common factor of all pulse widths among what `VacancyWriting.changed` knows; that of
pulse k alone, counted from 0, is ``"pulse_width_k"``."""

PULSE_GAP = "pulse_gap"
"""Name of the time between two pulses among what `VacancyWriting.changed` knows."""

NO_SPREAD = Spread()


class VacancyWriting(AbstractWriting):
    """Open-loop writing of four-terminal films through their vacancy equations.

    A drive is an array of amplitudes [V], one for each pulse, last axis. A device begins in its own
    formed state, or in one that all share; it takes the pulses, rests, and is read. What differs
    from device to device are the parameters that `spread` names. The fraction is the conductance
    within the window of the nominal device between the largest amplitudes. A device that moves
    faster than its time steps allow has failed (see `Written`).

    Every number is differentiable: amplitudes, parameters of the device (own and shared), widths,
    and the time; not a shared state at the start.
    """

    together: ClassVar[bool] = True

    device: FourTerminalTiO2
    """The nominal device."""
    widths: Float[Array, " pulses"]
    """Of the pulses [s]."""
    gap: Float[Array, ""] | None
    """Rest between two pulses [s]; None: one follows the other at once."""
    spread: Spread
    """What differs from device to device."""
    state: CellField | None
    """Where all devices start; None: each in its own formed state."""
    limit: Float[Array, ""]
    """Largest amplitude of the pulses [V]; a drive beyond it gives no more."""
    amplitudes: Float[Array, " table"]
    """Of the plan [V], ascending."""
    conductances: Float[Array, " table"]
    """Of the nominal device after these [S], ascending; the first and last are the window."""
    fresh: Float[Array, ""]
    """Conductance of the nominal device before writing [S]."""
    solver: AbstractSolver
    batch: int = eqx.field(static=True)
    precision: str = eqx.field(static=True)

    def __init__(
        self,
        device: FourTerminalTiO2,
        *,
        widths: Any,
        gap: float = 0.0,
        low: float,
        high: float,
        limit: float | None = None,
        spread: Spread = NO_SPREAD,
        state: CellField | None = None,
        solver: AbstractSolver | None = None,
        batch: int = 16,
        points: int = 64,
        precision: str = "float64",
    ):
        """Make a way of writing; computes the nominal table of `points` pulse trains.

        Args:
            device: The nominal device.
            widths: Of each pulse [s].
            gap: Rest between two pulses [s].
            low: Amplitude of all pulses that leaves the smallest conductance [V].
            high: Amplitude of all pulses that leaves the largest conductance [V].
            limit: Largest amplitude that a drive may have [V]; the larger of both if None.
            spread: What differs from device to device.
            state: Where all devices start, as from `condition`; None for the formed state of each.
            solver: How a pulse is solved; `Multirate()` if None.
            batch: Devices that are solved side by side; memory grows with it, not with the number
                of devices.
            points: Amplitudes of the nominal table.
            precision: ``"float64"``, or ``"float32"`` for half the time.

        Raises:
            ValueError: A wrong argument; amplitudes that the steps of the solver do not resolve, or
                between which the conductance does not grow.
        """
        self.widths = jnp.atleast_1d(jnp.asarray(widths, float))
        for width in np.asarray(self.widths):
            check_positive("widths", float(width), "s")
        check_not_negative("gap", gap, "s")
        # Without a gap there is no rest to solve.
        self.gap = jnp.asarray(gap, float) if gap else None
        check_names(type(device), spread.names)
        check_whole("batch", batch)
        most = max(abs(low), abs(high)) if limit is None else limit
        check_positive("limit", most, "V")
        if not low < high or max(abs(low), abs(high)) > most:
            raise ValueError(
                "Argument `low` must be below `high`, and both within `limit`, "
                f"but they are {low:g}, {high:g} and {most:g} V."
            )
        if precision not in ("float32", "float64"):
            raise ValueError(
                f"Argument `precision` must be 'float32' or 'float64', but is {precision!r}."
            )
        self.device, self.spread, self.state = device, spread, state
        self.limit = jnp.asarray(most, float)
        self.solver = Multirate() if solver is None else solver
        self.batch, self.precision = batch, precision
        self.amplitudes = jnp.linspace(low, high, points)
        pulses = self.widths.shape[0]
        drives = jnp.broadcast_to(self.amplitudes[:, None], (points, pulses))
        self.conductances = self._conductances(drives, None, self.widths, 0.0)
        self.fresh = device.conductance(device.init_state() if state is None else state)
        if not bool(jnp.all(jnp.isfinite(self.conductances))):
            raise ValueError(
                "Argument `solver` must resolve pulses of these amplitudes, but its steps are too "
                "long (give it more substeps)."
            )
        if not bool(jnp.all(jnp.diff(self.conductances) > 0)):
            raise ValueError(
                "Argument `low` and `high` must be amplitudes between which the conductance grows, "
                f"but between {low:g} and {high:g} V it does not everywhere."
            )

    @property
    def window(self) -> tuple[Scalar, Scalar]:
        """Conductances of the fractions 0 and 1 [S]."""
        return self.conductances[0], self.conductances[-1]

    def plan(self, fractions):
        """Return equal amplitudes for all pulses, from the nominal table."""
        low, high = self.window
        wanted = low + fractions.astype(low.dtype) * (high - low)
        amplitude = jnp.interp(wanted, self.conductances, self.amplitudes)
        return jnp.broadcast_to(amplitude[..., None], (*fractions.shape, self.widths.shape[0]))

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> dict[str, Array]:
        """Return the factor of each parameter that differs, by name."""
        factors = {}
        for name, own in zip(
            self.spread.names, jax.random.split(key, max(len(self.spread.names), 1)), strict=False
        ):
            nominal = getattr(self.device, name)
            drawn = self.spread.draw(name, jnp.broadcast_to(nominal, shape), key=own)
            factors[name] = drawn / nominal
        return factors

    def write(self, drives, drawn, *, t: ScalarLike = 0.0) -> Written:
        """Write devices; see `AbstractWriting`."""
        check_not_negative("t", t, "s")
        shape = drives.shape[:-1]
        flat = drives.reshape(-1, drives.shape[-1])
        factors = None if drawn is None else {k: v.reshape(-1) for k, v in drawn.items()}
        conductances = self._conductances(flat, factors, self.widths, t).reshape(shape)
        ok = jnp.isfinite(conductances)
        low, high = self.window
        held = jnp.where(ok, conductances, self.fresh)
        return Written((held - low) / (high - low), ok)

    def changed(self, relative: Mapping[str, Any]) -> VacancyWriting:
        """Return writing with parameters of the device, `PULSE_WIDTH` or `PULSE_GAP` changed.

        Window and plan stay those of the nominal device as it was.
        """
        changed = self
        single = {f"{PULSE_WIDTH}_{k}": k for k in range(self.widths.shape[0])}
        for name, x in relative.items():
            if name == PULSE_WIDTH:
                widths = changed.widths * (1 + x)
                changed = eqx.tree_at(lambda w: w.widths, changed, widths)
            elif name in single:
                widths = changed.widths.at[single[name]].multiply(1 + x)
                changed = eqx.tree_at(lambda w: w.widths, changed, widths)
            elif name == PULSE_GAP and changed.gap is not None:
                changed = eqx.tree_at(lambda w: w.gap, changed, changed.gap * (1 + x))
            elif name in FourTerminalTiO2.PARAMETERS:
                value = getattr(changed.device, name) * (1 + x)
                changed = eqx.tree_at(lambda w, n=name: getattr(w.device, n), changed, value)
            else:
                super().changed({name: x})
        return changed

    def _conductances(
        self, drives: Array, factors: dict[str, Array] | None, widths: Array, t: ScalarLike
    ) -> Float[Array, " devices"]:
        """Return the conductance of each device [S], nan where it could not be solved."""
        dtype = jnp.dtype(self.precision)
        device = self.device
        shared = _Shared(device.parameters(), self.limit, widths, self.gap, jnp.asarray(t, float))
        own = _Own(drives, {} if factors is None else factors)
        shared, own = jax.tree.map(lambda x: jnp.asarray(x, dtype), (shared, own))
        fixed: Any = jax.lax.stop_gradient((device, self.state))
        device, state = jax.tree.map(lambda x: x.astype(dtype) if eqx.is_array(x) else x, fixed)
        return _solve(device, state, shared, own, self.solver, self.batch)


class _Shared(eqx.Module):
    """Numbers that all devices have in common."""

    parameters: dict[str, Scalar]
    limit: Scalar
    widths: Float[Array, " pulses"]
    gap: Scalar | None
    t: Scalar


class _Own(eqx.Module):
    """Numbers of each device."""

    drives: Float[Array, "*devices pulses"]
    factors: dict[str, Float[Array, "*devices"]]


@eqx.filter_jit
def _solve(
    device: FourTerminalTiO2,
    state: CellField | None,
    shared: _Shared,
    own: _Own,
    solver: AbstractSolver,
    batch: int,
) -> Float[Array, " devices"]:
    """Return the conductance of each device; its derivatives are by `shared` and `own` only.

    They are found with the value, one tangent for each number that a gradient asks for: a device
    has one result and few such numbers.
    """
    names = tuple(shared.parameters)
    # That of the nominal geometry preconditions all devices.
    workspace = device.prepare()

    def one(shared: _Shared, own: _Own, fixed) -> Scalar:
        device, workspace, state = fixed
        values = {k: v * own.factors.get(k, 1.0) for k, v in shared.parameters.items()}
        film = eqx.tree_at(lambda d: [getattr(d, k) for k in names], device, list(values.values()))
        coverage = corner_electrodes(film.cells, film.electrode_arm)
        workspace = eqx.tree_at(lambda w: w.coverage, workspace, coverage)
        return _written(film, workspace, state, shared, own.drives, solver)

    @jax.custom_jvp
    def all_of(shared, own, fixed):
        return jax.lax.map(lambda own: one(shared, own, fixed), own, batch_size=batch)

    @partial(all_of.defjvp, symbolic_zeros=True)
    def _(primals, tangents):
        shared, own, fixed = primals
        # Only what is differentiated costs a tangent.
        pushed = jax.tree.leaves(tangents[:2])
        moving = [i for i, x in enumerate(pushed) if not isinstance(x, SymbolicZero)]
        of_all = len(jax.tree.leaves(shared))

        def with_derivatives(own):
            at, where = jax.tree.flatten((shared, own))
            point, unravel = ravel_pytree([at[i] for i in moving])

            def along(point):
                values = list(at)
                for i, value in zip(moving, unravel(point), strict=True):
                    values[i] = value
                common, its = jax.tree.unflatten(where, values)
                return one(common, its, fixed)

            def push(tangent):
                return jax.jvp(along, (point,), (tangent,))

            basis = jnp.eye(point.shape[0], dtype=point.dtype)
            return jax.vmap(push, out_axes=(None, 0))(basis)

        value, slopes = jax.lax.map(with_derivatives, own, batch_size=batch)
        ok = jnp.isfinite(value)[:, None] & jnp.isfinite(slopes)
        count = value.shape[0]
        along = [
            jnp.broadcast_to(jnp.ravel(pushed[i]), (count, pushed[i].size))
            if i < of_all
            else pushed[i].reshape(count, -1)
            for i in moving
        ]
        tangent = jnp.sum(jnp.where(ok, slopes, 0.0) * jnp.concatenate(along, 1), 1)
        return value, tangent

    return all_of(shared, own, (device, workspace, state))


def _written(
    film: FourTerminalTiO2,
    workspace: Any,
    state: CellField | None,
    shared: _Shared,
    drives: Float[Array, " pulses"],
    solver: AbstractSolver,
) -> Scalar:
    """Return the conductance of one device after its pulses and its rest, nan if they failed."""
    state = film.init_state() if state is None else state
    fields = film.initial_fields(state)

    def pulse(carry, drive):
        state, fields, ok = carry
        v, width, before = drive
        if before is not None:
            state = film.rest(state, before)
        plateau = Plateau(v, v, width)
        step = solver.advance(film, workspace, state, fields, plateau, ReverseMode())
        ok &= (step.status == Status.SUCCESS) & film.valid(step.state) & film.holds(step.fields)
        return (step.state, step.fields, ok), None

    amplitudes = jnp.clip(drives, -shared.limit, shared.limit)
    start = (state, fields, jnp.array(True))
    rests = None
    if shared.gap is not None:
        rests = jnp.zeros_like(shared.widths).at[1:].set(shared.gap)
    (state, fields, ok), _ = jax.lax.scan(pulse, start, (amplitudes, shared.widths, rests))
    state = film.rest(state, shared.t)
    resistance = film.read_warm(
        state, film.initial_fields(state), jnp.zeros_like(shared.t), workspace
    )
    return jnp.where(ok, 1 / resistance, jnp.nan)
