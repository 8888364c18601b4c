"""Conductances that differ from cell to cell and from chip to chip."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..._checks import check_choice, check_not_negative
from ..._types import Array, Float, Scalar, ScalarLike
from ._base import AbstractCellEffect, Window, magnitude, normal


class VariationDraw(eqx.Module):
    """What is random about the cells of one chip; standard normal, float32."""

    local: Float[Array, "*shape"]
    """One number per cell."""
    chip: Float[Array, ""]
    """One number for all of them."""
    slope: Float[Array, "2"]
    """Along the rows and along the columns."""


class LogNormalVariation(AbstractCellEffect):
    """Log-normal variation of a process, in three parts: cell, chip, gradient over the chip.

    ``G = G_0 exp(s_l z + s_c z_c + s_g (z_x x + z_y y))`` with all z standard normal, z one per
    cell, the others one per chip, and x, y from -1/2 to 1/2 over the last two axes. With
    ``preserve="median"`` the median over chips is G_0, and with ``s^2 = s_l^2 + s_c^2`` the mean
    ``G_0 exp(s^2 / 2)`` and the standard deviation over the mean ``sqrt(exp(s^2) - 1)``; with
    ``"mean"`` everything is divided by ``exp(s^2 / 2)`` (where there is a gradient, by that of the
    place). A chip is what one call of `draw` makes: in a network, a layer.

    Of cells of area A, ``s_l`` is proportional to ``1 / sqrt(A)`` (Pelgrom).

    Source: the textbook moments of the log-normal distribution; the sizes are the user's.
    """

    lifetime: ClassVar[str] = "frozen"

    local: Scalar
    """s_l, standard deviation of ln G from cell to cell."""
    chip: Scalar
    """s_c, from chip to chip."""
    gradient: Scalar
    """s_g, of the change of ln G from one edge of a chip to the other."""
    preserve: str = eqx.field(static=True)
    """What is kept: ``"median"`` or ``"mean"``."""

    def __init__(
        self,
        local: ScalarLike,
        chip: ScalarLike = 0.0,
        *,
        gradient: ScalarLike = 0.0,
        preserve: str = "median",
    ):
        """Make a variation.

        Args:
            local: Standard deviation of ln G from cell to cell.
            chip: Likewise from chip to chip.
            gradient: Likewise of the change of ln G from edge to edge, along rows and columns each.
            preserve: ``"median"`` or ``"mean"``.

        Raises:
            ValueError: A negative standard deviation, or another word.
        """
        check_not_negative("local", local)
        check_not_negative("chip", chip)
        check_not_negative("gradient", gradient)
        self.local, self.chip = magnitude(local), magnitude(chip)
        self.gradient = magnitude(gradient)
        self.preserve = check_choice("preserve", preserve, ("median", "mean"))

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> VariationDraw:
        """Return standard normal numbers: per cell, per chip, and of the gradient."""
        local, chip, slope = jax.random.split(key, 3)
        return VariationDraw(normal(local, shape), normal(chip, ()), normal(slope, (2,)))

    def apply(
        self, g: Float[Array, "*shape"], drawn: VariationDraw, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S]; see the class and `AbstractCellEffect`."""
        self, drawn = self.cast(g.dtype), jax.tree.map(lambda z: z.astype(g.dtype), drawn)
        x, y = _places(g)
        tilt = jnp.broadcast_to(self.gradient * (drawn.slope[0] * x + drawn.slope[1] * y), g.shape)
        log = self.local * drawn.local + self.chip * drawn.chip + tilt
        if self.preserve == "mean":
            variance = self.local**2 + self.chip**2 + self.gradient**2 * (x**2 + y**2)
            log = log - jnp.broadcast_to(variance / 2, g.shape)
        return g * jnp.exp(log)


def _places(g: Float[Array, "..."]) -> tuple[Array, Array]:
    """Return x and y of the cells, along the last two axes; zero along an axis of one cell."""
    places = []
    for back in (2, 1):
        n = g.shape[-back] if g.ndim >= back else 1
        line = jnp.asarray(np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1), g.dtype)
        shape = [1] * g.ndim
        if g.ndim >= back:
            shape[-back] = n
        places.append(line.reshape(shape))
    return places[0], places[1]


class NormalVariation(AbstractCellEffect):
    """Normal variation in proportion to the conductance: ``G = max(G_0 (1 + s z), 0)``.

    z is one standard normal number per cell. A cell at rest errs little; one at full scale by s of
    it. The cut at 0 raises the mean by 4e-5 of it at s = 0.3.

    Source: the usual proportional model of programming errors (as `NormalProportional` of
    CrossSim); the size is the user's.
    """

    lifetime: ClassVar[str] = "frozen"

    std: Scalar
    """s, relative."""

    def __init__(self, std: ScalarLike):
        """Make a variation.

        Args:
            std: Standard deviation relative to the conductance.

        Raises:
            ValueError: A negative standard deviation.
        """
        self.std = magnitude(check_not_negative("std", std))

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return a standard normal number per cell."""
        return normal(key, shape)

    def apply(
        self, g: Float[Array, "*shape"], drawn: Array, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S]; see the class and `AbstractCellEffect`."""
        changed = g * (1 + self.std.astype(g.dtype) * drawn.astype(g.dtype))
        return jnp.maximum(changed, jnp.zeros_like(changed))
