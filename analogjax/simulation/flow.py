"""A tabulated flow: pulses of a device with one autonomous state, by looking up instead of solving.

Under a constant voltage such a state runs along one line, and ``theta(y; V) = integral dy / f``
says when it is where: a pulse adds its width to theta. Theta is tabulated at the edges of cells
along the line for every voltage of a grid, as a multiple of a typical time at that voltage, so that
it can be interpolated in voltage; a pulse looks for the cell in which its time ends, where the
speed is taken to be linear. Within a cell nothing is cancelled: a step of 1e-9 is as good as one
through the whole range, and a pulse of no width leaves the state as it is.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_float64, check_positive, check_whole
from .._types import Array, Float, Scalar
from ..devices import AbstractCompactDevice, AbstractDevice
from .result import Status
from .solvers import AbstractSolver, StepResult

_SAME = 1e-9
"""Relative difference of a parameter up to which a device is taken for the tabulated one."""

# Gauss-Legendre on a cell, fifth order.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1), 0.5 * _WEIGHTS


class FlowMap(AbstractSolver):
    """Solver by tables, for rectangular pulses on one device (or many with the same parameters).

    Made by `FlowMap.tabulate`. Differentiable by voltage, width and state, and by the device's
    parameters where `tabulate` is called inside the function that is differentiated. A pulse
    outside the tables (in voltage or state), a ramp, or a device with other parameters is
    reported as failed; a device of another kind, or with other options, is refused. Of tables that
    were made outside, the derivative by the device's parameters is zero. Programming lets the
    temperature wander, which makes another device: `ProgrammingNoise(temperature_wander=0)`.
    """

    origin: Float[Array, "2"]
    """State where the line begins, for negative and for positive voltages."""
    cell: Float[Array, "2"]
    """Signed length of a cell."""
    v_first: Float[Array, "2"]
    """Smallest amplitude [V]."""
    v_step: Float[Array, "2"]
    """Distance of tabulated voltages [V]."""
    log_unit: Float[Array, "2 voltages"]
    """Logarithm of the typical time that a cell takes at a voltage [s]."""
    time: Float[Array, "edges voltages"]
    """Theta at the edges of the cells, negative voltages first, in that unit."""
    log_speed: Float[Array, "starts voltages"]
    """Speed there, in cells per that unit."""
    device: AbstractCompactDevice
    """The device that was tabulated."""
    cells: int = eqx.field(static=True)

    @classmethod
    def tabulate(
        cls,
        device: AbstractDevice,
        low: Any,
        high: Any,
        *,
        negative: tuple[float, float] = (-1.1, -0.2),
        positive: tuple[float, float] = (0.2, 1.5),
        step: float = 4e-3,
        cells: int = 2048,
    ) -> FlowMap:
        """Tabulate the flow of a device.

        Args:
            device: A device of one state number whose velocity depends on voltage and state alone.
            low: Smallest state (for JART ``jnp.log(device.n_min)``).
            high: Largest state.
            negative: Range of negative amplitudes [V].
            positive: Range of positive amplitudes [V].
            step: Largest distance of tabulated voltages [V]; between them, cubic interpolation.
            cells: Cells along the state, a power of two.

        Raises:
            ValueError: A device of another kind, ranges that do not ascend or hold 0 V, cells that
                are no power of two.
        """
        if not isinstance(device, AbstractCompactDevice) or device.default_solver != "rosenbrock":
            raise ValueError(
                "Argument `device` must have one state number, a velocity and no chance in it, but "
                f"is a {type(device).__name__}."
            )
        if device.needs_float64:
            check_float64(f"A `FlowMap` of a {type(device).__name__}")
        check_positive("step", step, "V")
        check_whole("cells", cells, 4)
        if cells & (cells - 1):
            raise ValueError(f"Argument `cells` must be a power of two, but is {cells}.")
        for name, (first, last), good in (
            ("negative", negative, negative[0] < negative[1] < 0),
            ("positive", positive, 0 < positive[0] < positive[1]),
        ):
            if not good:
                raise ValueError(
                    f"Argument `{name}` must be an ascending range on its side of 0 V, "
                    f"but is ({first:g}, {last:g})."
                )
        return _tabulate(
            device,
            jnp.asarray(low, float),
            jnp.asarray(high, float),
            (-negative[1], -negative[0], positive[0], positive[1]),
            step,
            cells,
        )

    def advance(self, device, workspace, state, fields, plateau, adjoint, *, key=None):
        """Step through one plateau; see `AbstractSolver`."""
        v, width = plateau.start, plateau.duration
        after, good = self.move(state, v, width)
        good &= plateau.start == plateau.stop
        if jax.tree.structure(device) != jax.tree.structure(self.device):
            raise ValueError(
                "Argument `solver` must have been tabulated for this kind of device and its "
                f"options, but is of another {type(self.device).__name__}."
            )
        pairs = zip(jax.tree.leaves(device), jax.tree.leaves(self.device), strict=True)
        for value, tabulated in pairs:
            good &= jnp.abs(value - tabulated) <= _SAME * jnp.abs(tabulated)
        after = jnp.where(good, after, state)
        zero = jnp.zeros((), jnp.int32)
        status = jnp.where(good, Status.SUCCESS, Status.NO_FLOW).astype(jnp.int32)
        return StepResult(after, fields, status, zero + 1, zero)

    def move(self, state: Scalar, v: Scalar, width: Scalar) -> tuple[Scalar, Array]:
        """Return the state after a rectangular pulse, and whether the tables hold it.

        Args:
            state: The state before.
            v: Voltage [V].
            width: Duration [s].
        """
        side = (v > 0).astype(jnp.int32)
        origin, cell = self.origin[side], self.cell[side]
        still = (v == 0) | (width == 0)
        # Voltages: four neighbours, weighted by Lagrange's polynomials.
        count = self.time.shape[1]
        x = (jnp.abs(v) - self.v_first[side]) / self.v_step[side]
        inside = (x >= -1e-9) & (x <= count - 1 + 1e-9)
        first = jnp.clip(jnp.floor(jax.lax.stop_gradient(x)) - 1, 0, count - 4).astype(jnp.int32)
        s = x - first
        weights = jnp.stack(
            [
                -(s - 1) * (s - 2) * (s - 3) / 6,
                s * (s - 2) * (s - 3) / 2,
                -s * (s - 1) * (s - 3) / 2,
                s * (s - 1) * (s - 2) / 6,
            ]
        )

        def look_up(table, row):
            row = row + side * (table.shape[0] // 2)
            return weights @ jax.lax.dynamic_slice(table, (row, first), (1, 4))[0]

        last = self.cells - 1

        def cell_at(j):
            """Theta and speed where a cell starts, the ratio of its speeds, table over linear."""
            time = look_up(self.time, j)
            whole = look_up(self.time, j + 1) - time
            log_start = look_up(self.log_speed, j)
            log_end = look_up(self.log_speed, jnp.minimum(j + 1, last))
            # The motion ends with the last cell, of which the table holds the first half.
            ratio = jnp.where(j == last, 0.0, jnp.exp(log_end - log_start))
            speed = jnp.exp(log_start)
            linear = _log_ratio(jnp.where(j == last, -0.5, ratio - 1)) / speed
            # The table's time over that at a linear speed.
            return time, speed, ratio, whole / jnp.where(j == last, 0.5 * linear, linear)

        width = width * jnp.exp(-look_up(self.log_unit, 0))
        z = (state - origin) / cell
        inside &= (z >= -1e-6) & (z <= self.cells + 1e-6)
        z = jnp.clip(z, 0.0, self.cells * (1 - 1e-15))
        begin = jnp.clip(jnp.floor(jax.lax.stop_gradient(z)).astype(jnp.int32), 0, last)
        before, speed, ratio, factor = here = cell_at(begin)
        u = z - begin
        # Since the state entered its cell, to the end of the pulse.
        since = width + factor * u * _log_ratio((ratio - 1) * u) / speed
        end, j = before + since, jnp.zeros_like(begin)
        for size in (1 << level for level in reversed(range(int(np.log2(self.cells))))):
            time = look_up(self.time, j + size)
            j = jnp.where(jax.lax.stop_gradient(time <= end), j + size, j)
        # Round-off must not take a pulse backwards.
        j = jnp.maximum(j, begin)
        same = j == begin
        before, speed, ratio, factor = (
            jnp.where(same, a, b) for a, b in zip(here, cell_at(j), strict=True)
        )
        left = jnp.where(same, since, jnp.maximum(end - before, 0.0))
        grown = speed * left / factor
        u = grown * _expm1_ratio((ratio - 1) * grown)
        after = origin + cell * (j + jnp.minimum(u, 1.0))
        return jnp.where(still, state, after), inside | still


def _log_ratio(x: Scalar) -> Scalar:
    """Return ln(1 + x) / x, also at 0."""
    small = jnp.abs(x) < 1e-5
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, 1 - x / 2 + x**2 / 3, jnp.log1p(jnp.maximum(safe, -1 + 1e-300)) / safe)


def _expm1_ratio(x: Scalar) -> Scalar:
    """Return (e^x - 1) / x, also at 0."""
    small = jnp.abs(x) < 1e-5
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, 1 + x / 2 + x**2 / 6, jnp.expm1(safe) / safe)


@eqx.filter_jit
def _tabulate(device, low, high, ranges, step, cells) -> FlowMap:
    count = max(4, *(int(np.ceil((b - a) / step - 1e-9)) + 1 for a, b in (ranges[:2], ranges[2:])))
    rows = []
    for sign, first, last in ((-1.0, *ranges[:2]), (1.0, *ranges[2:])):
        amplitudes = jnp.linspace(first, last, count)
        upward = device.velocity(sign * amplitudes[-1], 0.5 * (low + high)) > 0
        origin = jnp.where(upward, low, high)
        cell = jnp.where(upward, 1.0, -1.0) * (high - low) / cells

        def column(v, sign=sign, origin=origin, cell=cell):
            def speed(z):
                return device.velocity(sign * v, origin + cell * z) / cell

            edges = jnp.arange(cells, dtype=low.dtype)
            # The last cell ends where the motion does: it is never left. Of it, the first half.
            share = jnp.where(edges == cells - 1, 0.5, 1.0)[:, None]
            points = edges[:, None] + share * jnp.asarray([0.0, *_NODES])[None]
            speeds = jax.vmap(speed)(points.ravel()).reshape(points.shape)
            times = (share / speeds[:, 1:]) @ jnp.asarray(_WEIGHTS)
            log_unit = jnp.log(times).mean()
            # A line may begin at a point of rest.
            log_speed = jnp.log(jnp.maximum(speeds[:, 0], 1e-300)) + log_unit
            theta = jnp.cumsum(times * jnp.exp(-log_unit))
            return log_unit, jnp.concatenate([jnp.zeros(1), theta]), log_speed

        log_unit, theta, log_speed = jax.lax.map(column, amplitudes, batch_size=4)
        v_step = amplitudes[1] - amplitudes[0]
        rows.append((origin, cell, amplitudes[0], v_step, log_unit, theta.T, log_speed.T))
    sides = list(zip(*rows, strict=True))
    scalars = [jnp.stack(pair) for pair in sides[:5]]
    tables = [jnp.concatenate(pair) for pair in sides[5:]]
    return FlowMap(*scalars, *tables, device, cells)  # pyright: ignore
