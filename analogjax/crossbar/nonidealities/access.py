"""What stands in series with the device of a cell."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import PRNGKeyArray

from ..._checks import check_not_negative
from ..._types import Array, Float, Scalar, ScalarLike
from ._base import AbstractCellEffect, Window, magnitude


class AccessResistance(AbstractCellEffect):
    """A resistance R in series with every device: ``G / (1 + G R)``.

    That of a switched-on transistor: ohmic, the same in all cells, and part of the cell, so that no
    current of other cells flows through it.

    Source: Kirchhoff's law; NeuroSim sizes R as a share of the lowest resistance of the device.
    """

    cause: ClassVar[str] = "circuit"
    lifetime: ClassVar[str] = "frozen"

    r: Scalar
    """R [ohm]."""

    def __init__(self, r: ScalarLike):
        """Make an access resistance.

        Args:
            r: Resistance [ohm].

        Raises:
            ValueError: A negative resistance.
        """
        check_not_negative("r", r, "ohm")
        self.r = magnitude(r)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> tuple[()]:
        """Return nothing: nothing is random."""
        return ()

    def apply(
        self, g: Float[Array, "*shape"], drawn: tuple[()], *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S]; see the class and `AbstractCellEffect`."""
        return g / (1 + g * self.r.astype(g.dtype))
