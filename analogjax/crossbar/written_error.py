"""The write error that planned writing leaves: what noise injection knows of the physics."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_shape, check_whole
from .._types import Array, Float, ScalarLike
from ..programming.writing import AbstractWriting, Written
from .write_error import FLOAT, AbstractWriteError


class WrittenError(AbstractWriteError):
    """A normal error whose mean and standard deviation depend on the target: sigma(G).

    Linear between targets that are evenly spaced over the window. The gradient by the target keeps
    the slopes of both: ``d(error)/du = mean'(u) + std'(u) z``.
    """

    mean: Float[Array, " targets"]
    std: Float[Array, " targets"]
    times: Float[Array, " times"]
    space: str | None = eqx.field(static=True)
    device: str = eqx.field(static=True)

    def __init__(self, std: Any, *, mean: Any = 0.0, space: str = "G", device: str = ""):
        """Make a write error.

        Args:
            std: Standard deviation at evenly spaced targets from `r_high` to `r_low`, as fractions
                of the window; at least two.
            mean: Mean error at the same targets.
            space: In which these are fractions of the window, ``"R"`` or ``"G"``.
            device: Whose errors these are.

        Raises:
            ValueError: A negative standard deviation, or fewer than two targets.
        """
        std = np.asarray(check_not_negative("std", std))
        check_shape("std", std, (None,))
        check_whole("targets", std.size, 2)
        self.std = jnp.asarray(std, FLOAT)
        self.mean = jnp.broadcast_to(jnp.asarray(mean, FLOAT), self.std.shape)
        self.times = jnp.asarray([0.0, np.inf], FLOAT)
        self.space, self.device = space, device

    @classmethod
    def measure(
        cls,
        writing: AbstractWriting,
        *,
        key: PRNGKeyArray,
        targets: int = 33,
        repeats: int = 1000,
        share: float = 1.0,
    ) -> WrittenError:
        """Take mean and standard deviation of planned writes; failed devices are left out.

        Args:
            writing: How devices are written.
            key: Random key of the devices.
            targets: Targets over the window.
            repeats: Devices written to each.
            share: Factor on mean and standard deviation.

        Raises:
            ValueError: A target to which fewer than two devices could be written.
        """
        check_not_negative("share", share)
        u = np.linspace(0.0, 1.0, targets)
        shape = (repeats, targets)
        wanted = jnp.broadcast_to(jnp.asarray(u, FLOAT), shape)
        made = _planned(writing, wanted, key)
        ok = np.asarray(made.ok)
        if ok.sum(axis=0).min() < 2:
            raise ValueError(
                "Argument `writing` must reach every target with two devices or more, but does not "
                f"at {u[int(ok.sum(axis=0).argmin())]:g} of the window."
            )
        errors = np.ma.array(np.asarray(made.fractions, float) - u, mask=~ok)
        return cls(
            share * np.asarray(errors.std(axis=0, ddof=1)), mean=share * np.asarray(errors.mean(0))
        )

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return standard normal numbers."""
        return jax.random.normal(key, shape, FLOAT)

    def error(
        self,
        drawn: Float[Array, "*shape"],
        position: Float[Array, "*shape"],
        *,
        n_levels: Any,
        t: ScalarLike = 0.0,
    ) -> Float[Array, "*shape"]:
        """Return ``mean(u) + std(u) z``; it does not change with time."""
        last = self.std.shape[0] - 1
        place = jnp.clip(position, 0.0, 1.0) * last
        below = jnp.minimum(jax.lax.stop_gradient(place).astype(jnp.int32), last - 1)
        rest = place - below.astype(place.dtype)
        mean, std = (x[below] + rest * (x[below + 1] - x[below]) for x in (self.mean, self.std))
        return mean + std * drawn


@eqx.filter_jit
def _planned(writing: AbstractWriting, wanted: Array, key: PRNGKeyArray) -> Written:
    """Return what planned writes leave; compiled once for writings of the same structure."""
    return writing.write(writing.plan(wanted), writing.draw(key, wanted.shape))
