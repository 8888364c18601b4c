"""What a device is compared with: measured values, and how to predict them."""

from __future__ import annotations

import abc
import copy
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_between, check_positive
from .._types import Array, Bool, Float
from ..devices import AbstractDevice
from .noise import FAILED, Noise, Points

Objective = TypeVar("Objective", bound="AbstractObjective")
Rows = Float[Array, " rows"]


class AbstractObjective(eqx.Module):
    """Rows of measured values, each row one run of a device from its own start.

    A row is a sweep, a train, a trial. Values that are nan are not compared. Subclasses say what
    a row is predicted to be.
    """

    observed: eqx.AbstractVar[Points]
    """Measured values."""
    noise: eqx.AbstractVar[Noise]
    """How they scatter."""
    conditions: eqx.AbstractVar[dict[str, Rows]]
    """Parameters of the device that a row was measured at, such as ``ambient_temperature``."""
    name: eqx.AbstractVar[str]
    """What the residuals are listed under."""
    unit: eqx.AbstractVar[str]
    """Of the measured values."""

    @abc.abstractmethod
    def inputs(self) -> Any:
        """Return what differs from row to row, rows first."""

    @abc.abstractmethod
    def row(self, device: AbstractDevice, inputs: Any) -> tuple[Array, Bool[Array, ""]]:
        """Return the prediction of one row, and whether it could be computed."""

    @property
    def rows(self) -> int:
        """Runs of the device."""
        return self.observed.shape[0]

    @property
    def known(self) -> Bool[Array, "rows points"]:
        """Which values were measured."""
        return jnp.isfinite(self.observed)

    def evaluate(self, device: AbstractDevice) -> tuple[Points, Bool[Array, " rows"]]:
        """Return the predictions of all rows, and which of the rows could be computed."""

        def one(conditions, inputs):
            return self.row(device.replace(**conditions), inputs)

        return jax.vmap(one)(self.conditions, self.inputs())

    def predict(self, device: AbstractDevice) -> Points:
        """Return what a device should show; nan in rows that cannot be computed."""
        values, ok = eqx.filter_jit(type(self).evaluate)(self, device)
        return jnp.where(ok[:, None], values, jnp.nan)

    def residuals(
        self, device: AbstractDevice
    ) -> tuple[Points, tuple[Points, Bool[Array, " rows"]]]:
        """Return ``(predicted - observed) / sigma``, the predictions, and which could be computed.

        In a row that could not, the residual is the constant `FAILED`, whose gradient is zero, and
        the prediction nan.
        """
        predicted, ok = self.evaluate(device)
        known = self.known
        ok = ok & jnp.all(jnp.isfinite(predicted) | ~known, axis=1)
        # Before anything is computed from them: a derivative must not see what is not finite.
        good = known & ok[:, None]
        residual = self.noise.residual(jnp.where(good, predicted, 1.0), self.observed, good)
        shown = jnp.where(ok[:, None], jax.lax.stop_gradient(predicted), jnp.nan)
        return jnp.where(known & ~good, FAILED, residual), (shown, ok)

    def called(self: Objective, name: str) -> Objective:
        """Return the same measurement under another name."""
        other = copy.copy(self)
        # A static field, which `eqx.tree_at` cannot reach; the copy is not shared yet.
        object.__setattr__(other, "name", name)
        return other

    @abc.abstractmethod
    def reversed(self: Objective) -> Objective:
        """Return the same measurement with every voltage the other way round."""


def rows_of(name: str, value: Any, like: np.ndarray | None = None) -> np.ndarray:
    """Return a value as rows of points, broadcast to the shape of `like`; nan for missing.

    Raises:
        ValueError: The shape does not fit.
    """
    array = np.asarray(value, float)
    if like is None:
        array = np.atleast_2d(array)
        if array.ndim != 2 or array.size == 0:
            raise ValueError(
                f"Argument `{name}` must have shape (points,) or (rows, points), but has shape "
                f"{np.shape(value)}."
            )
        return array
    try:
        return np.broadcast_to(array, like.shape).copy()
    except ValueError:
        raise ValueError(
            f"Argument `{name}` must have shape {like.shape}, or one that broadcasts to it, but "
            f"has shape {array.shape}."
        ) from None


def column_of(name: str, value: Any, rows: int) -> Rows | None:
    """Return one number a row, or None for None."""
    if value is None:
        return None
    array = np.asarray(value, float)
    if array.shape not in ((), (1,), (rows,)):
        raise ValueError(
            f"Argument `{name}` must be one number or have shape ({rows},), but has shape "
            f"{array.shape}."
        )
    return jnp.asarray(np.broadcast_to(array, (rows,)))


def conditions_of(
    rows: int, ambient_temperature: Any = None, read_voltage: Any = None
) -> dict[str, Rows]:
    """Return the conditions that are known; where they are not, those of the device hold.

    Raises:
        ValueError: A temperature or a voltage out of range, or known for some rows only.
    """
    conditions = {}
    for name, value, low, high, unit in (
        ("ambient_temperature", ambient_temperature, 1.0, 2000.0, "K"),
        ("read_voltage", read_voltage, -100.0, 100.0, "V"),
    ):
        column = column_of(name, value, rows)
        if column is not None and not bool(jnp.all(jnp.isnan(column))):
            conditions[name] = check_between(name, column, low, high, unit)
    return conditions


def check_observed(observed: np.ndarray, what: str) -> None:
    """Raise unless there is something to fit to.

    Raises:
        ValueError: Infinite values, or none at all.
    """
    if np.isinf(observed).any():
        raise ValueError(f"Argument `{what}` must be finite or nan (missing), but is infinite.")
    if not np.isfinite(observed).any():
        raise ValueError(f"Argument `{what}` must hold measured values, but all of them are nan.")


def filled(values: np.ndarray) -> np.ndarray:
    """Return rows in which a missing value is replaced by the last known one (0 if none)."""
    result = values.copy()
    for row in result:
        last = 0.0
        for k, value in enumerate(row):
            last = row[k] = value if np.isfinite(value) else last
    return result


def positive_times(name: str, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return durations, 1 ns where nothing is applied; check those that are."""
    check_positive(name, values[known], "s")
    return np.where(known & np.isfinite(values), values, 1e-9)
