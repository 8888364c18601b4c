"""Bar charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .style import COLORS, figure


def elasticity_bars(values: Mapping[str, float], label: str) -> Any:
    """Return a horizontal bar chart of elasticities, the largest in magnitude on top.

    A symmetric logarithmic axis: elasticities of one device span four decades.

    Args:
        values: Elasticity by parameter name.
        label: Label of the axis.
    """
    names = sorted(values, key=lambda name: abs(values[name]))
    heights = np.array([values[name] for name in names])
    fig, axis = figure(width=6.4, height=0.27 * len(names) + 1.0)
    colors = [COLORS[3] if h > 0 else COLORS[0] for h in heights]
    axis.barh(names, heights, color=colors)
    smallest = np.min(np.abs(heights[heights != 0]), initial=1.0)
    axis.set_xscale("symlog", linthresh=max(smallest, 1e-5))
    axis.axvline(0, color="k", linewidth=0.8)
    axis.set_xlabel(label)
    for name, h in zip(names, heights, strict=True):
        axis.annotate(
            f"{h:+.3g}", (h, name), xytext=(4 if h > 0 else -4, 0), textcoords="offset points",
            ha="left" if h > 0 else "right", va="center", fontsize=7.5,
        )  # fmt: skip
    axis.margins(x=0.25)
    return fig
