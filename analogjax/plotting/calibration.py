"""Figures of a calibration study: coverage by parameter and by level, ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from .style import COLORS, figure, label_panels, panel_grid


def coverage_intervals(
    shares: Mapping[str, Mapping[str, tuple[float, int]]],
    *,
    level: float = 0.9,
    wanted: tuple[float, float] | None = None,
) -> Any:
    """Return how often an interval holds the true value, by parameter.

    Args:
        shares: By group and parameter: share of data sets, and how many there are.
        level: Of the interval.
        wanted: Range of shares that is asked for.
    """
    rows = [(group, p, *value) for group, of in shares.items() for p, value in of.items()]
    fig, axis = figure(width=6.4, height=0.9 + 0.27 * len(rows))
    if wanted is not None:
        axis.axvspan(*(100 * w for w in wanted), color=COLORS[2], alpha=0.10, lw=0)
    groups = list(shares)
    for k, (group, _, share, count) in enumerate(rows):
        low, high = stats.binom.interval(0.95, count, level)
        axis.barh(k, 100 * (high - low) / count, left=100 * low / count, height=0.7,
                  color="0.6", alpha=0.45, lw=0)  # fmt: skip
        axis.plot(100 * share, k, "o", color=COLORS[groups.index(group)])
    axis.axvline(100 * level, color="k", lw=0.8)
    axis.set_yticks(range(len(rows)), [p for _, p, *_ in rows])
    axis.invert_yaxis()
    axis.set_xlabel(f"true value inside the {100 * level:g} % interval [%]")
    axis.grid(axis="y", visible=False)
    shown = [100 * share for *_, share, _ in rows]
    reach = (100 * level,) if wanted is None else [100 * w for w in wanted]
    axis.set_xlim(min(*shown, *reach) - 2, max(*shown, *reach) + 2)
    for k, group in enumerate(groups):
        axis.plot([], [], "o", color=COLORS[k], label=group)
    fig.legend(*axis.get_legend_handles_labels(), loc="outside right center")
    return fig


def coverage_levels(ranks: Mapping[str, np.ndarray]) -> Any:
    """Return the share of true values inside an interval against its level.

    Args:
        ranks: By group: probability that a fit gives to values below the true one.
    """
    fig, axis = figure(width=4.6, height=3.6)
    axis.plot([0, 100], [0, 100], color="k", lw=0.8)
    for k, (group, values) in enumerate(ranks.items()):
        # The narrowest interval that holds the true value.
        needed = np.sort(2 * np.abs(values - 0.5))
        share = (np.arange(needed.size) + 1) / needed.size
        axis.step(100 * needed, 100 * share, where="post", color=COLORS[k], label=group)
    axis.set_xlabel("level of the interval [%]")
    axis.set_ylabel("true value inside [%]")
    axis.legend()
    return fig


def calibration_ranks(ranks: Mapping[str, Mapping[str, np.ndarray]], *, bins: int = 10) -> Any:
    """Return histograms of ranks, one panel a parameter, with what chance leaves open.

    Args:
        ranks: By group and parameter: probability that a fit gives to values below the true one.
        bins: Of equal width.
    """
    panels = [(group, p, values) for group, of in ranks.items() for p, values in of.items()]
    fig, axes = panel_grid(len(panels), 4, width=2.6, height=2.0)
    groups = list(ranks)
    for axis, (group, parameter, values) in zip(axes, panels, strict=True):
        low, high = (
            x * bins / values.size for x in stats.binom.interval(0.95, values.size, 1 / bins)
        )
        axis.axhspan(low, high, color="0.6", alpha=0.3, lw=0)
        axis.hist(values, bins=bins, range=(0, 1), density=True, color=COLORS[groups.index(group)])
        axis.axhline(1.0, color="k", lw=0.8)
        axis.set_title(f"{group}:\n{parameter}", fontsize=8.5)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, max(2.2, 1.1 * axis.get_ylim()[1]))
    fig.supxlabel("probability below the true value")
    fig.supylabel("density")
    label_panels(axes)
    return fig
