"""The error of a written level: drawn once per chip, and moving with time.

Errors are fractions of the window, in the space in which the levels are equally spaced. What is
random about a device (lifetime: *frozen*) is one number, drawn when it is programmed; its error at
a time after that is a function of this number, so that a chip keeps its devices while it ages
(lifetime: *slow*).
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, is_traced
from .._types import Array, Float, ScalarLike
from .level_errors import LevelErrors, check_same_device, check_times, time_weights

# Networks compute in float32, and the errors of devices are part of them.
FLOAT = jnp.float32


class AbstractWriteError(eqx.Module):
    """A distribution of write errors with a time axis."""

    times: eqx.AbstractVar[Float[Array, " times"]]
    """Times after programming at which the errors are known [s], the first one 0."""
    space: eqx.AbstractVar[str | None]
    """The space in which the errors are fractions of the window; None if either."""
    device: eqx.AbstractVar[str]
    """The device whose errors these are; empty if unknown."""

    @property
    def largest(self) -> int | None:
        """The most levels per device that the errors speak for; None for any number."""
        return None

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return what is random about each device, in float32."""

    @abc.abstractmethod
    def error(
        self,
        drawn: Float[Array, "*shape"],
        position: Float[Array, "*shape"],
        *,
        n_levels: Any,
        t: ScalarLike = 0.0,
    ) -> Float[Array, "*shape"]:
        """Return the error of each device as a fraction of the window.

        Args:
            drawn: What `draw` returned.
            position: Targets as fractions of the window.
            n_levels: Levels per device; may be traced.
            t: Time since programming [s]; see `check_time`.
        """

    def check_time(self, t: Any) -> None:
        """Raise unless the errors are known at this time [s] after programming."""
        check_not_negative("t", t, "s")
        if is_traced(t) or is_traced(self.times):
            return
        # `np.max` of a JAX array would be traced inside a compiled function.
        last = float(np.max(np.asarray(self.times)))
        if float(np.max(np.asarray(t))) > last:
            raise ValueError(
                f"Argument `t` must be at most {last:g} s, the latest time after programming at "
                f"which the write errors are known, but is {float(np.max(np.asarray(t))):g}."
            )


class NoError(AbstractWriteError):
    """Devices that are exactly where they should be, for ever."""

    times: Float[Array, " times"]
    space: None = eqx.field(static=True)
    device: str = eqx.field(static=True)

    def __init__(self):
        """Make an ideal write error."""
        self.times = jnp.asarray([0.0, np.inf], FLOAT)
        self.space = None
        self.device = ""

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return zeros: nothing is random."""
        return jnp.zeros(shape, FLOAT)

    def error(
        self,
        drawn: Float[Array, "*shape"],
        position: Float[Array, "*shape"],
        *,
        n_levels: Any,
        t: ScalarLike = 0.0,
    ) -> Float[Array, "*shape"]:
        """Return zeros."""
        return jnp.zeros_like(position)


class _ScaledError(AbstractWriteError):
    """An error ``mean(t) + std(t) z``, with one ``z`` per device for all times."""

    std: Float[Array, " times"]
    mean: Float[Array, " times"]
    times: Float[Array, " times"]
    space: str | None = eqx.field(static=True)
    device: str = eqx.field(static=True)

    def __init__(
        self,
        std: Any,
        *,
        mean: Any = 0.0,
        times: Any = 0.0,
        space: str | None = None,
        device: str = "",
    ):
        check_not_negative("std", std)
        times = np.atleast_1d(np.asarray(times, float))
        check_times(times)
        self.times = jnp.asarray(times, FLOAT)
        self.std = jnp.broadcast_to(jnp.asarray(std, FLOAT), self.times.shape)
        self.mean = jnp.broadcast_to(jnp.asarray(mean, FLOAT), self.times.shape)
        self.space = space
        self.device = device

    def error(
        self,
        drawn: Float[Array, "*shape"],
        position: Float[Array, "*shape"],
        *,
        n_levels: Any,
        t: ScalarLike = 0.0,
    ) -> Float[Array, "*shape"]:
        """Return ``mean(t) + std(t) z``, the same for every level."""
        weights = time_weights(self.times, t)
        return jnp.dot(weights, self.mean) + jnp.dot(weights, self.std) * drawn


class GaussianError(_ScaledError):
    """A normal error of the same size at every level, reparameterised: differentiable in `std`."""

    def __init__(self, std: Any, **options: Any):
        """Make a write error.

        Args:
            std: Standard deviation as a fraction of the window, one number or one per time
                (``s_abs`` of a level table; in units of the pitch it is this times ``n - 1``).
            **options: `mean` (mean error as a fraction of the window, likewise; default 0), `times`
                (times after programming [s], ascending from 0; default 0 alone), `space` (in which
                these are fractions of the window, ``"R"`` or ``"G"``; default either) and `device`
                (whose errors these are).

        Raises:
            ValueError: A negative standard deviation.
        """
        super().__init__(std, **options)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return standard normal numbers."""
        return jax.random.normal(key, shape, FLOAT)

    @classmethod
    def from_table(cls, table: Any) -> GaussianError:
        """Take mean and pooled random error of a level table: ``s_abs``, without the bow."""
        table = LevelErrors.from_table(table)
        return cls(
            table.random_std,
            mean=table.bow.mean(axis=1),
            times=table.times,
            space=table.space,
            device=table.device,
        )


class StudentTError(_ScaledError):
    """An error with heavy tails: Student's t, scaled so that `std` is its standard deviation."""

    dof: Float[Array, ""]

    def __init__(self, std: Any, dof: ScalarLike, **options: Any):
        """Make a write error.

        Args:
            std: Standard deviation as a fraction of the window, one number or one per time.
            dof: Degrees of freedom, above 2 (else there is no standard deviation).
            **options: As `GaussianError`: `mean`, `times`, `space`, `device`.

        Raises:
            ValueError: A negative standard deviation, or too few degrees of freedom.
        """
        super().__init__(std, **options)
        if not is_traced(dof) and not float(dof) > 2:
            raise ValueError(f"Argument `dof` must be above 2, but is {float(dof):g}.")
        self.dof = jnp.asarray(dof, FLOAT)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return Student-t numbers of unit standard deviation.

        ``sqrt(dof (U^(-2/dof) - 1)) cos(2 pi V)`` with uniform U and V is exactly t-distributed:
        Bailey, Math. Comp. 62, 779 (1994). Without rejection: fast, and smooth in `dof`.
        """
        radius, angle = _uniform(key, (2, *shape))
        # 1 - U is above zero where U is below one.
        stretch = jnp.expm1(-2 / self.dof * jnp.log1p(-radius))
        # dof (...) is the square of t's radius; (dof - 2) / dof makes the variance one.
        return jnp.sqrt((self.dof - 2) * stretch) * jnp.cos(2 * jnp.pi * angle)

    @classmethod
    def from_table(cls, table: Any) -> StudentTError:
        """Take mean, pooled random error and kurtosis of a level table.

        The degrees of freedom follow from the excess kurtosis of the random error at writing,
        ``dof = 4 + 6 / kurtosis`` (moments), and are 100 where it is 0.0625 or less.
        """
        table = LevelErrors.from_table(table)
        std = table.random_std
        random = table.random[0]
        kurtosis = np.mean(random**4) / np.mean(random**2) ** 2 - 3
        return cls(
            std,
            4 + 6 / max(kurtosis, 0.0625),
            mean=table.bow.mean(axis=1),
            times=table.times,
            space=table.space,
            device=table.device,
        )


class EmpiricalError(AbstractWriteError):
    """The errors of level tables themselves, drawn anew.

    A device takes the table of the fewest levels that has at least as many as it has itself. Its
    error is the systematic error of the table's level nearest to its target, plus the random error
    of one repeat of one of the `neighbours` levels around it. Repeat and neighbour are drawn once
    per device; at a later time its error is that of the same repeat and neighbour, read again.

    With the systematic error the drawn errors reproduce those of the table. Without it
    (``bow=False``) the random part is widened by ``sqrt(repeats / (repeats - 1))``: the mean that
    was taken out of it is itself a draw.
    """

    bow: Float[Array, "tables times levels"]
    random: Float[Array, "tables times repeats levels"]
    times: Float[Array, " times"]
    # Static, because a gradient by the statistics of devices must find no integers among them.
    n_levels: tuple[int, ...] = eqx.field(static=True)
    repeats: tuple[int, ...] = eqx.field(static=True)
    neighbours: int = eqx.field(static=True)
    space: str = eqx.field(static=True)
    device: str = eqx.field(static=True)

    def __init__(self, tables: Any, *, bow: bool = True, neighbours: int = 5):
        """Make a write error.

        Args:
            tables: One level table or several of one device (objects that
                `LevelErrors.from_table` takes, or `LevelErrors`).
            bow: Whether the systematic error is kept.
            neighbours: From how many levels the random error is drawn, at least 1.

        Raises:
            ValueError: Tables of different devices, or fewer than two repeats without the bow.
        """
        if neighbours < 1:
            raise ValueError(f"Argument `neighbours` must be at least 1, but is {neighbours}.")
        given = tables if isinstance(tables, list | tuple) else [tables]
        taken = sorted((LevelErrors.from_table(t) for t in given), key=lambda t: t.n_levels)
        if not taken:
            raise ValueError("Argument `tables` must hold at least one level table, but is empty.")
        check_same_device(taken)
        levels = max(t.n_levels for t in taken)
        repeats = max(t.repeats for t in taken)
        shape = (len(taken), taken[0].times.size, repeats, levels)
        means, randoms = np.zeros((*shape[:2], levels)), np.zeros(shape)
        for k, table in enumerate(taken):
            random = table.random
            if bow:
                means[k, :, : table.n_levels] = table.bow
            else:
                # Also the check that there are repeats enough.
                random = random * (table.random_std / _rms(random))[:, None, None]
            randoms[k, :, : table.repeats, : table.n_levels] = random
        self.bow, self.random = jnp.asarray(means, FLOAT), jnp.asarray(randoms, FLOAT)
        self.n_levels = tuple(t.n_levels for t in taken)
        self.repeats = tuple(t.repeats for t in taken)
        self.times = jnp.asarray(taken[0].times, FLOAT)
        self.neighbours = neighbours
        self.space = taken[0].space
        self.device = taken[0].device

    @property
    def largest(self) -> int | None:
        """The most levels per device that the errors speak for."""
        return max(self.n_levels)

    @classmethod
    def from_table(cls, table: Any, *, bow: bool = True, neighbours: int = 5) -> EmpiricalError:
        """Take the errors of one level table."""
        return cls([table], bow=bow, neighbours=neighbours)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return uniform numbers: each picks a repeat and a neighbour."""
        return _uniform(key, shape)

    def error(
        self,
        drawn: Float[Array, "*shape"],
        position: Float[Array, "*shape"],
        *,
        n_levels: Any,
        t: ScalarLike = 0.0,
    ) -> Float[Array, "*shape"]:
        """Return the error of the device's own repeat and neighbour at this time."""
        tables = jnp.asarray(self.n_levels, jnp.int32)
        smaller = jnp.sum(tables < jnp.asarray(n_levels, jnp.int32))
        which = jnp.minimum(smaller, len(self.n_levels) - 1)
        levels, repeats = tables[which], jnp.asarray(self.repeats, jnp.int32)[which]
        weights = time_weights(self.times, t)
        bow = jnp.tensordot(weights, self.bow[which], 1)
        random = jnp.tensordot(weights, self.random[which], 1)

        width = jnp.minimum(self.neighbours, levels)
        # drawn < 1, but the product may round up to the number of choices.
        choices = repeats * width
        choice = jnp.minimum((drawn * choices).astype(jnp.int32), choices - 1)
        level = jnp.round(position * (levels - 1)).astype(jnp.int32)
        level = jnp.clip(level, 0, levels - 1)
        # At the ends of the window the neighbourhood lies to one side.
        start = jnp.clip(level - width // 2, 0, levels - width)
        return bow[level] + random[choice // width, start + choice % width]


def _uniform(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    # The default bounds are float64 with 64-bit floats on.
    return jax.random.uniform(key, shape, FLOAT, np.float32(0), np.float32(1))


def _rms(random: Float[np.ndarray, "times repeats levels"]) -> Float[np.ndarray, " times"]:
    rms = np.sqrt(np.mean(random**2, axis=(1, 2)))
    return np.where(rms > 0, rms, 1.0)
