"""Maps of a square film: vacancies, potential, temperature, with the electrodes at the corners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .style import figure

CORNERS = {"T1": (0, 0), "T2": (1, 0), "T3": (1, 1), "T4": (0, 1)}
"""Where the electrodes stand, in units of the side."""


def draw_electrodes(axis: Any, side: float, arm: float, *, names: bool = True) -> None:
    """Draw the four corner electrodes outside the rim of a map.

    Args:
        axis: A matplotlib axis that shows the film from 0 to `side`.
        side: Side of the film in the units of the axis.
        arm: Length of an electrode arm in units of the side.
        names: Whether to write T1 to T4 beside them.
    """
    for name, (x, y) in CORNERS.items():
        inward_x, inward_y = (1 - 2 * x), (1 - 2 * y)
        path_x = [x + inward_x * arm, x, x]
        path_y = [y, y, y + inward_y * arm]
        axis.plot(
            np.array(path_x) * side, np.array(path_y) * side,
            color="#303030", linewidth=4, solid_capstyle="butt", clip_on=False, zorder=5,
        )  # fmt: skip
        if names:
            axis.annotate(
                name, (x * side, y * side), xytext=(-9 * inward_x, -9 * inward_y),
                textcoords="offset points", ha="center", va="center", fontsize=8,
                annotation_clip=False,
            )  # fmt: skip


def film_map(
    axis: Any,
    values: np.ndarray,
    side: float,
    arm: float,
    *,
    contours: int = 0,
    names: bool = True,
    **options: Any,
) -> Any:
    """Draw one field of a film and return the image.

    Args:
        axis: A matplotlib axis.
        values: Values per cell, indexed ``[x, y]``.
        side: Side of the film [um].
        arm: Electrode arm in units of the side.
        contours: Number of contour lines.
        names: Whether to name the electrodes.
        **options: Passed on to ``imshow`` (vmin, vmax, cmap).
    """
    image = axis.imshow(np.asarray(values).T, origin="lower", extent=(0, side, 0, side), **options)
    if contours:
        cells = np.shape(values)[0]
        at = (np.arange(cells) + 0.5) * side / cells
        axis.contour(at, at, np.asarray(values).T, contours, colors="w", linewidths=0.5, alpha=0.7)
    axis.grid(False)
    axis.set_xticks([0, side])
    axis.set_yticks([0, side])
    draw_electrodes(axis, side, arm, names=names)
    return image


def map_grid(
    rows: Sequence[tuple[str, Sequence[np.ndarray], dict[str, Any]]],
    titles: Sequence[str],
    side: float,
    arm: float,
) -> Any:
    """Return a figure of maps: a row per field with a common colour scale, a column per instant.

    Args:
        rows: For each row the label of the colour bar, the fields, and options of `film_map`.
        titles: Title of each column.
        side: Side of the film [um].
        arm: Electrode arm in units of the side.
    """
    fig, axes = figure(len(rows), len(titles), width=2.15, height=2.2, squeeze=False)
    for row, (label, fields, options) in zip(axes, rows, strict=True):
        low = min(float(np.min(f)) for f in fields)
        high = max(float(np.max(f)) for f in fields)
        options: dict[str, Any] = {"vmin": low, "vmax": high, **options}
        for axis, values in zip(row, fields, strict=True):
            image = film_map(axis, values, side, arm, names=axis is axes[0, 0], **options)
            axis.set_xticks([])
            axis.set_yticks([])
        extend = "max" if high > options["vmax"] else "neither"
        fig.colorbar(image, ax=list(row), label=label, shrink=0.85, pad=0.02, extend=extend)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, loc="center", fontsize=9, pad=14)
    return fig
