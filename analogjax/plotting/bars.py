"""Bar charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .style import COLORS, figure


def elasticity_bars(values: Mapping[str, float], label: str) -> Any:
    """Return a horizontal bar chart of magnitudes, the largest on top, coloured by sign.

    Logarithmic, because elasticities of one device span decades.

    Args:
        values: Elasticity by parameter name; none may be zero.
        label: Label of the axis.
    """
    names = sorted(values, key=lambda name: abs(values[name]))
    signed = np.array([values[name] for name in names])
    size = np.abs(signed)
    fig, axis = figure(width=6.4, height=0.27 * len(names) + 1.2)
    for sign, color, what in ((1, COLORS[3], "raises"), (-1, COLORS[0], "lowers")):
        chosen = np.sign(signed) == sign
        axis.barh(np.flatnonzero(chosen), size[chosen], color=color, label=f"an increase {what} it")
    axis.set_yticks(range(len(names)), names)
    axis.set_xscale("log")
    axis.set_xlim(size.min() / 3, size.max() * 4)
    axis.set_xlabel(label)
    axis.grid(axis="y", visible=False)
    for row, value in enumerate(signed):
        axis.annotate(
            f"{value:+.3g}", (abs(value), row), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=7.5,
        )  # fmt: skip
    axis.legend(loc="lower right")
    return fig
