"""The errors of a level table, at writing and at later readings, as fractions of the window."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import check_choice, check_positive, check_shape
from .._types import Array, Float


class LevelErrors(eqx.Module):
    """Errors of levels written again and again, and read again and again.

    Attributes:
        errors: Error of each reading, as a fraction of the window in the space of the levels,
            (times, repeats, levels); levels ascend in that space, the first time is the writing.
        times: Times after writing [s], the first one 0.
        r_low: Lowest resistance of the window [ohm].
        r_high: Highest resistance of the window [ohm].
        space: ``"R"`` or ``"G"``.
        device: Which device was written; empty if unknown.
    """

    errors: Float[np.ndarray, "times repeats levels"]
    times: Float[np.ndarray, " times"]
    r_low: float
    r_high: float
    space: str
    device: str

    def __init__(
        self,
        *,
        target: Any,
        achieved: Any,
        r_low: Any,
        r_high: Any,
        space: str,
        delays: Any = (),
        reread: Any = None,
        device: str = "",
    ):
        """Take resistances as a level table holds them.

        Args:
            target: Target of each level [ohm], (levels,); equally spaced in its space from end to
                end of the window, in either order.
            achieved: Resistances after writing [ohm], (repeats, levels).
            r_low: Lowest resistance of the window [ohm].
            r_high: Highest resistance of the window [ohm].
            space: ``"R"`` or ``"G"``.
            delays: Times of the later readings [s], ascending, (delays,).
            reread: Their resistances [ohm], (delays, repeats, levels).
            device: Which device was written.

        Raises:
            ValueError: Shapes that do not fit, a window or times that are no such, or targets that
                are not equally spaced over the window.
        """
        check_choice("space", space, ("R", "G"))
        check_positive("target", target, "ohm")
        check_positive("achieved", achieved, "ohm")
        target, achieved = np.asarray(target, float), np.asarray(achieved, float)
        times = np.concatenate([[0.0], np.asarray(delays, float).reshape(-1)])
        check_shape("target", target, (None,))
        check_shape("achieved", achieved, (None, target.size))
        readings = achieved[None]
        if times.size > 1:
            if np.any(np.diff(times) <= 0):
                raise ValueError(
                    f"Argument `delays` must be above 0 s and ascending, but is {times[1:]}."
                )
            check_shape("reread", reread, (times.size - 1, *achieved.shape))
            readings = np.concatenate([readings, np.asarray(reread, float)])
        self.r_low, self.r_high = float(r_low), float(r_high)
        if not 0 < self.r_low < self.r_high:
            raise ValueError(
                f"Argument `r_low` must be above 0 ohm and below `r_high`, but they are "
                f"{self.r_low:g} and {self.r_high:g}."
            )
        position = self._position(target, space)
        order = np.argsort(position)
        even = np.linspace(0.0, 1.0, target.size)
        if target.size < 2 or np.max(np.abs(position[order] - even)) > 1e-6:
            raise ValueError(
                "Argument `target` must be two or more levels, equally spaced over the window "
                f"in the space {space}, but is {target.size} level(s) that are not."
            )
        self.errors = (self._position(readings, space) - position)[:, :, order]
        self.times = times
        self.space = space
        self.device = device

    def _position(self, resistance: np.ndarray, space: str) -> np.ndarray:
        """Return resistances as fractions of the window."""
        if space == "R":
            return (resistance - self.r_low) / (self.r_high - self.r_low)
        g_min, g_max = 1 / self.r_high, 1 / self.r_low
        return (1 / resistance - g_min) / (g_max - g_min)

    @classmethod
    def from_table(cls, table: Any) -> LevelErrors:
        """Take the errors of a level table (or of errors already taken).

        Args:
            table: An object with the attributes of `analogjax.programming.LevelTable`: `target`,
                `achieved`, `r_low`, `r_high`, `space`, `delays`, `reread` and `device`.
        """
        if isinstance(table, cls):
            return table
        return cls(
            target=table.target,
            achieved=table.achieved,
            r_low=table.r_low,
            r_high=table.r_high,
            space=table.space,
            delays=table.delays,
            reread=table.reread,
            device=table.device,
        )

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.errors.shape[2]

    @property
    def repeats(self) -> int:
        """How often each level was written."""
        return self.errors.shape[1]

    @property
    def bow(self) -> Float[np.ndarray, "times levels"]:
        """The systematic part: the mean over repeats."""
        return self.errors.mean(axis=1)

    @property
    def random(self) -> Float[np.ndarray, "times repeats levels"]:
        """What the repeats scatter about their mean."""
        return self.errors - self.bow[:, None]

    @property
    def random_std(self) -> Float[np.ndarray, " times"]:
        """Standard deviation of the random part, pooled over levels (unbiased in its square)."""
        if self.repeats < 2:
            raise ValueError(
                "Argument `table` must hold two repeats or more to tell the random error from the "
                f"systematic one, but holds {self.repeats}."
            )
        unbiased = self.repeats / (self.repeats - 1)
        return np.sqrt(np.mean(self.random**2, axis=(1, 2)) * unbiased)


def check_same_device(tables: list[LevelErrors]) -> None:
    """Raise unless all tables speak of one device, window, space and set of times."""
    first = tables[0]
    for other in tables[1:]:
        for name, ours, theirs in (
            ("device", first.device, other.device),
            ("space", first.space, other.space),
            ("window", (first.r_low, first.r_high), (other.r_low, other.r_high)),
            ("delays", tuple(first.times[1:]), tuple(other.times[1:])),
        ):
            if not _same(ours, theirs):
                raise ValueError(
                    f"Argument `tables` must be level tables of one device, but the {name} is "
                    f"{ours} at {first.n_levels} levels and {theirs} at {other.n_levels}."
                )


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, str):
        return ours == theirs
    # Tables of one device at other numbers of levels may have been stored with fewer digits.
    return len(ours) == len(theirs) and bool(np.allclose(ours, theirs, rtol=1e-6, atol=0.0))


def time_weights(times: Float[Array, " times"], t: Any) -> Float[Array, " times"]:
    """Return how much each reading counts at a time: linear in log t, below the first delay in t.

    Args:
        times: Times of the readings [s], ascending from 0.
        t: Time since programming [s]; beyond the last reading the last one counts.
    """
    if times.shape[0] == 1:
        return jnp.ones_like(times)
    first = times[1]

    def coordinate(time):
        # Continuous at the first delay, and finite at time zero.
        late = 1 + jnp.log(jnp.maximum(time, first) / first)
        return jnp.where(time < first, time / first, late)

    here, knots = coordinate(jnp.asarray(t, times.dtype)), coordinate(times)
    hats = jnp.eye(times.shape[0], dtype=times.dtype)
    # Each row of the identity, interpolated, is the weight of its own reading.
    return jnp.stack([jnp.interp(here, knots, hat) for hat in hats])
