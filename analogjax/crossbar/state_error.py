"""Normal write errors whose mean and size depend on the target."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative, check_shape
from .._types import Array, Float, ScalarLike
from .write_error import FLOAT, AbstractWriteError


class StateDependentError(AbstractWriteError):
    """A normal error ``mean(u) + std(u) z`` at a target u, linear between knots, the same for ever.

    Reparameterised: its derivative by the target has the slopes of mean and standard deviation.
    """

    mean: Float[Array, " knots"]
    std: Float[Array, " knots"]
    times: Float[Array, " times"]
    space: str | None = eqx.field(static=True)
    device: str = eqx.field(static=True)

    def __init__(self, std: Any, *, mean: Any = 0.0, space: str | None = None, device: str = ""):
        """Make a write error.

        Args:
            std: Standard deviation as a fraction of the window, at equally spaced targets from 0 to
                1, two or more.
            mean: Mean error, likewise, or one number.
            space: In which these are fractions of the window, ``"R"`` or ``"G"``; None for either.
            device: Whose errors these are.

        Raises:
            ValueError: Fewer than two knots or a negative standard deviation.
        """
        std = np.asarray(std, float)
        check_shape("std", std, (None,))
        check_not_negative("std", std)
        if std.size < 2:
            raise ValueError(f"Argument `std` must be of 2 knots or more, but is of {std.size}.")
        self.std = jnp.asarray(std, FLOAT)
        self.mean = jnp.broadcast_to(jnp.asarray(mean, FLOAT), self.std.shape)
        self.times = jnp.asarray([0.0, np.inf], FLOAT)
        self.space, self.device = space, device

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
        """Return ``mean(u) + std(u) z``."""
        last = self.std.shape[0] - 1
        x = jnp.clip(position, 0.0, 1.0) * last
        k = jnp.clip(jnp.floor(jax.lax.stop_gradient(x)), 0, last - 1).astype(jnp.int32)
        share = x - k.astype(x.dtype)

        def at(knots):
            return knots[k] + share * (knots[k + 1] - knots[k])

        return at(self.mean) + at(self.std) * drawn
