"""Noise on weights, as training for analog hardware adds it."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..._checks import check_not_negative
from ..._types import Array, Float, ScalarLike
from .._normal import fresh_normal
from ._base import AbstractCellEffect, Window, ends


class WeightNoise(AbstractCellEffect):
    """Normal noise on every *weight*, in units of its full scale, for training with a chip a step.

    ``w = w_0 + s w_m z`` with one standard normal z per weight. Of a pair of devices only the first
    one moves, by ``s (g_max - g_min) z``, wherever that is; a single device moves by half of that,
    since its weight spans twice its window. No model of a device, but a regulariser: conductances
    may leave the window, and `GaussianError` of standard deviation s on both devices gives a
    weight ``sqrt(2) s``.

    Numbers are drawn in a cheaper way than those of other effects (see `fresh_normal`).

    Source: additive weight noise of hardware-aware training (Joshi et al., Nat. Commun. 11, 2473
    (2020)); the size is the user's.
    """

    lifetime: ClassVar[str] = "frozen"

    std: Float[Array, "..."]
    """s, in full scales of the weights: one number, or one for each weight of a layer."""

    def __init__(self, std: Any):
        """Make a noise of weights.

        Args:
            std: Standard deviation in full scales of the weights, one number or one per weight.

        Raises:
            ValueError: A negative standard deviation.
        """
        self.std = jnp.asarray(check_not_negative("std", std), jnp.result_type(float))

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Return one number per weight; the devices of a weight are along the first axis."""
        return fresh_normal(key, shape[1:])

    def apply(
        self,
        g: Float[Array, "*shape"],
        drawn: Float[Array, "..."],
        *,
        window: Window,
        t: ScalarLike,
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S]; `t` does not matter."""
        low, high = ends(window, g)
        devices = g.shape[0]
        moves = np.eye(2)[0] if devices == 2 else np.full(devices, 0.5)
        share = jnp.asarray(moves, g.dtype).reshape(devices, *(1,) * (g.ndim - 1))
        size = jnp.broadcast_to(self.std.astype(g.dtype), drawn.shape) * (high - low)
        return g + share * (size * drawn.astype(g.dtype))[None]
