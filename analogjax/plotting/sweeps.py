"""Metrics of a sweep against a key that it varies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .style import panel_grid

_LEGEND = 10


class SweepLine(NamedTuple):
    """Runs that differ in one key (and perhaps in the seed) only."""

    label: str
    """The other swept keys."""

    x: np.ndarray
    """Values of the key, ascending."""

    mean: dict[str, np.ndarray]
    """Mean of each metric; NaN where no run has it."""

    std: dict[str, np.ndarray]
    """Its standard deviation; NaN where there are fewer than two runs."""


def metrics_against(key: str, lines: Sequence[SweepLine], metrics: Sequence[str]) -> Any:
    """Return one panel for each metric, one line for each combination of the other keys.

    Args:
        key: The key on the horizontal axis, logarithmic where its values span decades.
        lines: The runs.
        metrics: Names of the metrics.
    """
    fig, panels = panel_grid(len(metrics), min(3, len(metrics)), width=3.6)
    values = np.concatenate([line.x for line in lines])
    logarithmic = values.min() > 0 and values.max() / values.min() >= 10
    for panel, name in zip(panels, metrics, strict=True):
        for line in lines:
            if np.any(line.std[name] > 0):
                panel.errorbar(
                    line.x, line.mean[name], line.std[name], fmt="o-", ms=3.5, capsize=2.5,
                    lw=1.2, label=line.label,
                )  # fmt: skip
            else:
                panel.plot(line.x, line.mean[name], "o-", ms=3.5, lw=1.2, label=line.label)
        panel.set_title(name)
        panel.set_xlabel(key)
        if logarithmic:
            panel.set_xscale("log")
    if 1 < len(lines) <= _LEGEND:
        panels[0].legend(fontsize=7.5)
    return fig
