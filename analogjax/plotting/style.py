"""The common look of all figures."""

from __future__ import annotations

import string
from typing import Any

COLORS = ("#0b3c5d", "#d9822b", "#2a9d8f", "#b23a48", "#6c5b7b", "#7f8c8d", "#e0b400")
"""Line colours in order of use; distinct in grey and for most colour-blind readers."""

_STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "image.cmap": "viridis",
    "svg.fonttype": "none",
    "svg.hashsalt": "analogjax",
}


def style() -> Any:
    """Return a context in which everything matplotlib draws has the common look."""
    import matplotlib.pyplot as plt
    from cycler import cycler

    look: dict[Any, Any] = {**_STYLE, "axes.prop_cycle": cycler(color=COLORS)}
    return plt.rc_context(look)


def figure(
    rows: int = 1, columns: int = 1, *, width: float = 4.2, height: float = 3.2, **options: Any
) -> tuple[Any, Any]:
    """Return a figure and its axes in the common style.

    What is drawn later (titles, legends) follows the style only inside the context of `style`; the
    command runs experiments inside it.

    Args:
        rows: Rows of panels.
        columns: Columns of panels.
        width: Width of one panel [inch].
        height: Height of one panel [inch].
        **options: Passed on to `matplotlib.pyplot.subplots`.
    """
    import matplotlib.pyplot as plt

    with style():
        return plt.subplots(
            rows,
            columns,
            figsize=(width * columns, height * rows),
            layout="constrained",
            **options,
        )


def panel_grid(
    count: int,
    columns: int | None = None,
    *,
    width: float = 3.3,
    height: float = 2.7,
    **options: Any,
) -> tuple[Any, Any]:
    """Return a figure and so many panels in rows, as one array in reading order.

    Args:
        count: How many panels.
        columns: Panels side by side; all if None.
        width: Width of one panel [inch].
        height: Height of one panel [inch].
        **options: Passed on to `matplotlib.pyplot.subplots`.
    """
    columns = min(columns or count, count)
    rows = -(-count // columns)
    fig, axes = figure(rows, columns, width=width, height=height, squeeze=False, **options)
    for spare in axes.ravel()[count:]:
        spare.remove()
    return fig, axes.ravel()[:count]


def prefixed(unit: str, size: float) -> tuple[str, float]:
    """Return a unit with the SI prefix that suits values of this size, and what to divide by.

    Args:
        unit: A unit that takes prefixes, such as "S"; "-" or "" for none.
        size: Largest size of the values, in the unit.
    """
    import numpy as np

    if unit in ("-", "1", "") or not np.isfinite(size) or size <= 0:
        return unit, 1.0
    power = int(np.clip(3 * np.floor(np.log10(size) / 3 + 1e-9), -15, 12))
    return "fpnµm kMGT"[power // 3 + 5].strip() + unit, 10.0**power


def label_panels(axes: Any) -> None:
    """Put (a), (b), ... in front of the titles of panels, in reading order."""
    import numpy as np

    for letter, axis in zip(string.ascii_lowercase, np.ravel(axes), strict=False):
        axis.set_title(f"({letter}) {axis.get_title(loc='left')}", loc="left")
