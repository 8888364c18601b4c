"""Measurements that need no time steps: switching times and retention."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_not_negative, check_positive
from .._types import Array, Bool
from ..devices import AbstractDevice
from ..simulation import switching_time
from .noise import Noise, Points
from .objectives import (
    AbstractObjective,
    Rows,
    check_observed,
    column_of,
    conditions_of,
    rows_of,
)
from .states import check_one_number, state_at


class SwitchingTimes(AbstractObjective):
    """How long constant voltages take from one state to another, compared by logarithm."""

    v: Rows
    first: Rows
    last: Rows
    observed: Points
    noise: Noise
    conditions: dict[str, Rows]
    cells: int = eqx.field(static=True)
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True, default="s")

    def __init__(
        self,
        v: Any,
        t: Any,
        first: Any,
        last: Any,
        *,
        noise: Noise | None = None,
        ambient_temperature: Any = None,
        cells: int = 64,
        name: str = "switching times",
    ):
        """Make a measurement.

        Args:
            v: Voltages [V], (voltages,).
            t: Time that each took [s]; nan where it is not to be compared.
            first: State at the beginning, in the device's own unit, as in `switching_time`.
            last: State at the end.
            noise: How a time scatters; 10 % of it, as a logarithm, if None (assumed).
            ambient_temperature: [K], one number or one a voltage; that of the device if None.
            cells: As in `switching_time`.
            name: What the residuals are listed under.

        Raises:
            ValueError: Shapes that do not fit, a time not above zero, values not finite.
        """
        t = np.asarray(t, float).reshape(-1, 1)
        check_observed(t, "t")
        check_positive("t", t[np.isfinite(t)], "s")
        columns = [column_of(k, x, len(t)) for k, x in (("v", v), ("first", first), ("last", last))]
        self.v, self.first, self.last = columns  # pyright: ignore
        self.observed = jnp.asarray(t)
        self.noise = noise or Noise(log=0.1)
        self.conditions = conditions_of(len(t), ambient_temperature)
        self.cells, self.name, self.unit = cells, name, "s"

    def inputs(self) -> Any:
        """Return voltages and states."""
        return self.v, self.first, self.last

    def row(self, device: AbstractDevice, inputs: Any) -> tuple[Array, Bool[Array, ""]]:
        """Return one time [s]; it cannot be computed if the state never arrives."""
        time = switching_time(device, *inputs, cells=self.cells)
        return time[None], jnp.isfinite(time)

    def reversed(self) -> SwitchingTimes:
        """Return the same times under voltages the other way round."""
        return eqx.tree_at(lambda s: s.v, self, -self.v)


class Retention(AbstractObjective):
    """Conductance at times after programming, the device at rest."""

    t: Points
    observed: Points
    noise: Noise
    conditions: dict[str, Rows]
    state: Rows | None
    initial_conductance: Rows | None
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True, default="S")

    def __init__(
        self,
        t: Any,
        conductance: Any,
        *,
        noise: Noise | None = None,
        ambient_temperature: Any = None,
        read_voltage: Any = None,
        state: Any = None,
        initial_conductance: Any = None,
        name: str = "retention",
    ):
        """Make a measurement.

        Args:
            t: Time since programming of each read [s], (reads,) or (devices, reads).
            conductance: Conductance then [S]; nan where it is not to be compared.
            noise: How a conductance scatters; 2 % if None (assumed).
            ambient_temperature: [K], one number or one a device; that of the device if None.
            read_voltage: Of the conductances [V], likewise.
            state: Argument of the device's `init_state` at time 0, one number or one a device.
            initial_conductance: In place of it the conductance [S] at time 0 (a device of one state
                number).
            name: What the residuals are listed under.

        Raises:
            ValueError: Shapes that do not fit, a negative time, values not finite.
        """
        conductance = rows_of("conductance", conductance)
        check_observed(conductance, "conductance")
        t = rows_of("t", t, conductance)
        known = np.isfinite(t) & np.isfinite(conductance)
        check_not_negative("t", t[known], "s")
        self.t = jnp.asarray(np.where(known, t, 0.0))
        self.observed = jnp.asarray(np.where(known, conductance, np.nan))
        self.noise = noise or Noise(0.02)
        rows = conductance.shape[0]
        self.conditions = conditions_of(rows, ambient_temperature, read_voltage)
        self.state = column_of("state", state, rows)
        self.initial_conductance = column_of("initial_conductance", initial_conductance, rows)
        self.name, self.unit = name, "S"

    def inputs(self) -> Any:
        """Return times and starts."""
        return self.t, self.state, self.initial_conductance

    def row(self, device: AbstractDevice, inputs: Any) -> tuple[Array, Bool[Array, ""]]:
        """Return the conductances of one device [S]."""
        t, state, conductance = inputs
        if conductance is not None:
            check_one_number(device, "initial_conductance")
            begin = state_at(device, conductance)  # pyright: ignore
        else:
            begin = device.init_state() if state is None else device.init_state(state)  # pyright: ignore
        after = jax.vmap(lambda t: device.conductance(device.rest(begin, t)))(t)
        return after, jnp.ones((), bool)

    def reversed(self) -> Retention:
        """Return itself: nothing is applied."""
        return self
