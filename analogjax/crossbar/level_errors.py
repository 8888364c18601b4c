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
            (times, repeats, levels); levels from `r_high` to `r_low`, first the writing itself.
        times: Times after writing [s], the first one 0.
        r_low: Lowest resistance of the window [ohm].
        r_high: Highest resistance of the window [ohm].
        space: ``"R"`` or ``"G"``.
        device: Which device was written; empty if unknown.
        left_out: How many repeats were left out because they did not reach every level.
    """

    errors: Float[np.ndarray, "times repeats levels"]
    times: Float[np.ndarray, " times"]
    r_low: float
    r_high: float
    space: str
    device: str
    left_out: int

    def __init__(
        self,
        errors: Any,
        *,
        r_low: Any,
        r_high: Any,
        space: str,
        times: Any = (0.0,),
        device: str = "",
    ):
        """Take errors as fractions of the window.

        Args:
            errors: Errors, positive towards `r_low`, (times, repeats, levels). A repeat with a
                value that is not finite was not finished and is left out.
            r_low: Lowest resistance of the window [ohm].
            r_high: Highest resistance of the window [ohm].
            space: ``"R"`` or ``"G"``.
            times: Times after writing [s], ascending from 0.
            device: Which device was written.

        Raises:
            ValueError: Shapes that do not fit, a window or times that are no such, fewer than two
                levels, or no finished repeat.
        """
        check_choice("space", space, ("R", "G"))
        check_positive("r_low", r_low, "ohm")
        check_positive("r_high", r_high, "ohm")
        self.r_low, self.r_high = float(r_low), float(r_high)
        check_window(self.r_low, self.r_high)
        self.times = np.asarray(times, float)
        check_times(self.times)
        errors = np.asarray(errors, float)
        check_shape("errors", errors, (self.times.size, None, None))
        if errors.shape[2] < 2:
            raise ValueError(
                f"Argument `errors` must be of 2 levels or more, but is of {errors.shape[2]}."
            )
        finished = np.isfinite(errors).all(axis=(0, 2))
        if not finished.any():
            raise ValueError(
                "Argument `errors` must hold a repeat that reached every level, but holds none "
                f"in {finished.size}."
            )
        self.errors = errors[:, finished]
        self.left_out = int(np.sum(~finished))
        self.space = space
        self.device = device

    @classmethod
    def from_table(cls, table: Any) -> LevelErrors:
        """Take the errors of an `analogjax.programming.LevelTable` (or of errors already taken)."""
        if isinstance(table, cls):
            return table
        readings = np.concatenate([table.achieved[None], table.reread])
        return cls(
            table.coordinate(readings) - np.linspace(0.0, 1.0, table.n_levels),
            r_low=table.r_low,
            r_high=table.r_high,
            space=table.space,
            times=np.concatenate([[0.0], table.delays]),
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


def check_window(r_low: float, r_high: float) -> None:
    """Raise unless the resistances [ohm] are a window."""
    if not r_low < r_high:
        raise ValueError(
            f"Argument `r_high` must be above `r_low` ({r_low:g} ohm), but is {r_high:g}."
        )


def check_times(times: np.ndarray) -> None:
    """Raise unless the times [s] ascend from 0."""
    if times.ndim != 1 or not times.size or times[0] != 0 or np.any(np.diff(times) <= 0):
        raise ValueError(f"Argument `times` must ascend from 0 s, but is {times}.")


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
