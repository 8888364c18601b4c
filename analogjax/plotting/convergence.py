"""Errors against sizes: what every figure of a convergence has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def order_line(axis: Any, sizes: Sequence[int] | np.ndarray, first: float, order: int) -> None:
    """Draw the line of an order of convergence, dotted, and write every size below its tick.

    Args:
        axis: A panel of errors against sizes; both axes become logarithmic.
        sizes: Numbers of cells or steps.
        first: Where the line begins, at the first size.
        order: Power of the spacing.
    """
    n = np.asarray(sizes)
    axis.loglog(n, first * (n / n[0]) ** -float(order), "k:", label=f"order {order}")
    axis.set_xticks(n, [str(size) for size in n])
    axis.minorticks_off()
