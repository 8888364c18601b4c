"""Statistics of many devices, or of many reads, and what a programmed-state device says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from ..._checks import check_choice, check_not_negative, check_positive
from ..._types import Array, Bool, Float, Scalar
from ...devices import AbstractDevice, AbstractProgrammedDevice
from ..noise import Noise, Points
from ..objectives import AbstractObjective, Rows, check_observed, column_of
from ..sampling import MODEST, SamplingError, effective_count, moments
from .quantiles import QUANTILES

REACH = 8.0
"""Standard normal numbers of a quadrature reach from minus to plus this."""
WRITES, SLOWS, RELAXED = 161, 65, 801
"""Numbers of the write error and of the drift, and of the drift alone; where conductances are cut
off, few would not do."""

Nodes = Float[Array, " nodes"]


class LevelStatistics(AbstractObjective):
    """Levels of many devices: mean and standard deviation of each, or its quantiles.

    A row is a level at a time. By moments it has two values [S], whose standard errors follow from
    the sample. By quantiles it has, at the measured quantiles of probabilities p, the shares of
    devices below: p, with the binomial standard error ``sqrt(p (1 - p) / n)``. A device predicts
    both by quadrature over what `program` draws.
    """

    start: Rows
    time: Rows
    observed: Points
    places: Points
    noise: Noise
    conditions: dict[str, Rows]
    relaxed: bool = eqx.field(static=True)
    by: str = eqx.field(static=True)
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)

    def __init__(
        self,
        samples: Any,
        target: Any,
        *,
        time: Any = 0.0,
        start: Any = None,
        by: str = "moments",
        quantiles: Sequence[float] = QUANTILES,
        name: str = "levels",
    ):
        """Make a measurement.

        Args:
            samples: Conductances [S] of the devices of each level, one array a level; nan is left
                out.
            target: What each level was programmed to [S], one number a level; with `start`, the
                conductance at time 0 that its relaxation is computed for.
            time: Time since programming [s], one number or one a level.
            start: Conductances of the same devices at time 0 [S]: the change since then is
                compared, which the write error takes no part in. None: the conductances are.
            by: ``"moments"`` or ``"quantiles"``.
            quantiles: Probabilities of the quantiles, rising.
            name: What the residuals are listed under.

        Raises:
            ValueError: Shapes that do not fit, a target not above zero, a negative time, a level of
                less than four known values.
        """
        self.by = check_choice("by", by, ("moments", "quantiles"))
        values = [np.ravel(np.asarray(x, float)) for x in samples]
        if start is not None:
            if [np.size(x) for x in start] != [x.size for x in values]:
                raise ValueError(
                    "Argument `start` must hold one conductance for each of `samples`."
                )
            values = [
                x - np.ravel(np.asarray(s, float)) for x, s in zip(values, start, strict=True)
            ]
        values = [x[np.isfinite(x)] for x in values]
        rows = len(values)
        for k, x in enumerate(values):
            if x.size < MODEST:
                raise ValueError(
                    f"Argument `samples` must hold at least {MODEST} known values of each level, "
                    f"but level {k} has {x.size}."
                )
        self.start, self.time = column_of("target", target, rows), column_of("time", time, rows)  # pyright: ignore
        check_positive("target", self.start, "S")
        check_not_negative("time", self.time, "s")
        if by == "moments":
            found = np.array([moments(x) for x in values])
            observed, errors = found[:, :2], found[:, 2:]
            places = np.zeros_like(observed)
        else:
            p = np.asarray(quantiles, float)
            places = np.array([np.quantile(x, p, method="hazen") for x in values])
            observed = np.broadcast_to(p, places.shape).copy()
            counts = np.array([x.size for x in values])[:, None]
            errors = np.sqrt(p * (1 - p) / counts)
        check_observed(observed, "samples")
        self.observed, self.places = jnp.asarray(observed), jnp.asarray(places)
        self.noise = SamplingError(errors)
        self.conditions = {}
        self.relaxed = start is not None
        self.name, self.unit = name, "S" if by == "moments" else "1"

    def inputs(self) -> Any:
        """Return targets, times, and where the shares are counted."""
        return self.start, self.time, self.places

    def row(self, device: AbstractDevice, inputs: Any) -> tuple[Array, Bool[Array, ""]]:
        """Return mean and standard deviation [S], or shares below the measured quantiles."""
        target, time, places = inputs
        programmed = as_programmed(device)
        write, weight = _normal(WRITES)
        slow, slow_weight = _normal(SLOWS)
        if self.relaxed:
            slow, slow_weight = _normal(RELAXED)
            write, weight = jnp.zeros(1), jnp.ones(1)

        def later(slow: Scalar, write: Scalar) -> Scalar:
            state = programmed.rest(programmed.drawn(target, write, slow), time)
            g = 1 / programmed.read(state)
            return g - target if self.relaxed else g

        g = jax.vmap(jax.vmap(later, (None, 0)), (0, None))(slow, write)
        if self.by == "moments":
            both = slow_weight[:, None] * weight[None]
            # About the target, so that nothing cancels.
            middle = jnp.asarray(0.0 if self.relaxed else target)
            mean = jnp.sum(both * (g - middle))
            variance = jnp.sum(both * (g - middle - mean) ** 2)
            # The root of zero has no derivative.
            std = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)
            values = jnp.stack([middle + mean, std])
        elif self.relaxed:
            # Drift need not rise with its number: in order of what it makes.
            order = jnp.argsort(g[:, 0])
            weight = slow_weight[order]
            values = jnp.interp(places, g[order, 0], jnp.cumsum(weight) - 0.5 * weight)
        else:
            below = jax.vmap(lambda g: norm.cdf(_crossing(places, g, write)))(g)
            values = slow_weight @ below
        return values, jnp.all(jnp.isfinite(values))

    def reversed(self) -> LevelStatistics:
        """Return the same: nothing was applied."""
        return self


class ReadNoise(AbstractObjective):
    """Standard deviation of the reads of a device at each of several conductances."""

    conductance: Rows
    duration: Rows
    observed: Points
    noise: Noise
    conditions: dict[str, Rows]
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True, default="S")

    def __init__(
        self,
        conductance: Any,
        std: Any,
        error: Any,
        *,
        duration: Any,
        read_duration: Any = None,
        name: str = "read noise",
    ):
        """Make a measurement.

        Args:
            conductance: Mean conductance of each trace [S], (traces,).
            std: Standard deviation of its reads [S].
            error: Standard error of that [S].
            duration: Length of the trace [s]; noise slower than this is not in it. A device takes
                it as the time since programming, over which its noise has built up.
            read_duration: Length of a read [s], in place of that of the device.
            name: What the residuals are listed under.

        Raises:
            ValueError: Shapes that do not fit, or a number not above zero.
        """
        observed = np.asarray(std, float).reshape(-1, 1)
        check_observed(observed, "std")
        check_positive("std", observed[np.isfinite(observed)], "S")
        rows = len(observed)
        self.conductance = column_of("conductance", conductance, rows)  # pyright: ignore
        self.duration = column_of("duration", duration, rows)  # pyright: ignore
        check_positive("conductance", self.conductance, "S")
        check_positive("duration", self.duration, "s")
        self.observed = jnp.asarray(observed)
        self.noise = SamplingError(np.asarray(column_of("error", error, rows)).reshape(-1, 1))
        column = column_of("read_duration", read_duration, rows)
        self.conditions = {}
        if column is not None:
            self.conditions["read_duration"] = check_positive("read_duration", column, "s")
        self.name, self.unit = name, "S"

    @classmethod
    def of_traces(
        cls, time: Any, conductance: Any, *, read_duration: Any = None, name: str = "read noise"
    ) -> ReadNoise:
        """Make a measurement from traces, their length of independent values estimated.

        Args:
            time: Time of each read [s], (reads,).
            conductance: Conductance [S], (traces, reads).
            read_duration: Length of a read [s]; the interval between two if None (assumed).
            name: What the residuals are listed under.
        """
        time, traces = np.asarray(time, float), np.atleast_2d(np.asarray(conductance, float))
        columns = []
        for trace in traces:
            x = trace[np.isfinite(trace)]
            mean, std, _, error = moments(x)
            # The squares are correlated as well, which leaves fewer of them.
            worth = effective_count((x - mean) ** 2)
            columns.append((mean, std, error * np.sqrt(max(x.size / worth, 1.0))))
        mean, std, error = np.array(columns).T
        interval = float(np.median(np.diff(time)))
        return cls(
            mean,
            std,
            error,
            duration=float(time[-1] - time[0] + interval),
            read_duration=interval if read_duration is None else read_duration,
            name=name,
        )

    def inputs(self) -> Any:
        """Return conductances and durations."""
        return self.conductance, self.duration

    def row(self, device: AbstractDevice, inputs: Any) -> tuple[Array, Bool[Array, ""]]:
        """Return the standard deviation [S]."""
        conductance, duration = inputs
        programmed = as_programmed(device)
        state = programmed.rest(programmed.drawn(conductance, 0.0, 0.0), duration)
        std = programmed.read_std(state)
        return std[None], jnp.isfinite(std)

    def reversed(self) -> ReadNoise:
        """Return the same: nothing was applied."""
        return self


def as_programmed(device: AbstractDevice) -> AbstractProgrammedDevice:
    """Return the device if it says how programmed states scatter.

    Raises:
        ValueError: It is another one.
    """
    if not isinstance(device, AbstractProgrammedDevice):
        raise ValueError(
            "Argument `device` must be one of programmed states (`StatisticalDevice`, `PCM`) to "
            f"say how devices or reads differ, but is {type(device).__name__}."
        )
    return device


def _normal(count: int) -> tuple[Nodes, Nodes]:
    """Return standard normal numbers and weights of the trapezoidal rule."""
    x = np.linspace(-REACH, REACH, count)
    weight = np.exp(-0.5 * x**2)
    return jnp.asarray(x), jnp.asarray(weight / weight.sum())


def _crossing(places: Array, g: Nodes, number: Nodes) -> Array:
    """Return the standard normal numbers at which a rising conductance comes to given places."""
    # What is cut off stays level: a place above it is beyond all of them.
    lift = 1e-12 * jnp.max(jnp.abs(g)) * jnp.arange(g.size) / g.size
    return jnp.interp(places, g + lift, number)
