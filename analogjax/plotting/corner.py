"""Corner plots: distributions of parameters, alone and in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .style import COLORS, figure


def with_power(name: str, unit: str, size: float) -> tuple[str, float]:
    """Return the label of a quantity and the power of ten that its values are divided by.

    Args:
        name: Of the quantity.
        unit: "-" or "1" for none.
        size: Of its values.
    """
    power = int(np.floor(np.log10(size))) if size > 0 and np.isfinite(size) else 0
    power = 0 if -3 < power < 4 else power
    unit = "" if unit in ("-", "1") else unit
    factor = f"1e{power}" if power else ""
    inside = " ".join(part for part in (factor, unit) if part)
    return (f"{name} [{inside}]" if inside else name), 10.0**power


def corner(
    names: Mapping[str, str],
    best: Sequence[float],
    *,
    densities: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    outlines: Mapping[tuple[int, int], Sequence[np.ndarray]] | None = None,
    samples: np.ndarray | None = None,
    truth: Mapping[str, float] | None = None,
    label: str = "covariance, 68 and 95 %",
    samples_label: str = "samples",
    most: int = 1500,
) -> Any:
    """Return the distribution of every parameter and of every pair.

    Args:
        names: Unit by name of the parameter, in order.
        best: Fitted values.
        densities: Of each parameter: values, and density up to a factor.
        outlines: Of each pair (row, column), row > column: closed curves (2, points), the parameter
            of the column first.
        samples: Drawn parameters, (draws, parameters).
        truth: True values, where they are known.
        label: What densities and outlines are.
        samples_label: What the samples are.
        most: Samples drawn in a panel.
    """
    count, values = len(names), np.asarray(best, float)
    labels, powers = zip(
        *(with_power(n, u, abs(b)) for (n, u), b in zip(names.items(), values, strict=True)),
        strict=True,
    )
    power = np.asarray(powers)
    draws = None if samples is None else np.asarray(samples) / power
    true = {k: (truth or {})[n] / power[k] for k, n in enumerate(names) if n in (truth or {})}
    size = max(1.7, 6.5 / count) if count > 1 else 3.6
    fig, axes = figure(count, count, width=size, height=0.92 * size, squeeze=False)
    for row, column in np.ndindex(count, count):
        axis = axes[row, column]
        if row < column:
            axis.remove()
            continue
        if row == column:
            if draws is not None:
                axis.hist(draws[:, row], bins=30, density=True, color=COLORS[0], alpha=0.35)
            if len(densities):
                x, density = np.asarray(densities[row][0]) / power[row], densities[row][1]
                area = np.sum(0.5 * (density[1:] + density[:-1]) * np.diff(x))
                axis.plot(x, density / abs(area), color=COLORS[1])
            axis.set_ylim(bottom=0)
            axis.set_yticks([])
        else:
            if draws is not None:
                few = draws[:: max(1, len(draws) // most)]
                # As an image: thousands of dots in every pair would make a file of megabytes.
                axis.plot(
                    few[:, column], few[:, row], ".", ms=2, mew=0, color=COLORS[0], alpha=0.45,
                    rasterized=True,
                )  # fmt: skip
            for curve in (outlines or {}).get((row, column), ()):
                axis.plot(curve[0] / power[column], curve[1] / power[row], color=COLORS[1], lw=1.2)
            axis.plot(values[column] / power[column], values[row] / power[row], "+", color="k")
            if row in true and column in true:
                axis.plot(true[column], true[row], "*", color=COLORS[3], ms=8, mew=0)
        if row == column and row in true:
            axis.axvline(true[row], color=COLORS[3], lw=1.0)
        _ticks(axis, labels, row, column, count)
    for k in range(count):
        _same_range(
            [axes[row, k] for row in range(k, count)], [axes[k, column] for column in range(k)]
        )
    _legend(fig, count, draws is not None, bool(len(densities)), bool(true), label, samples_label)
    return fig


def _ticks(axis: Any, labels: Sequence[str], row: int, column: int, count: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
    axis.tick_params(labelsize=7.5)
    axis.ticklabel_format(axis="x", useOffset=False)
    if row == count - 1:
        axis.set_xlabel(labels[column], fontsize=8.5)
        axis.tick_params(axis="x", rotation=40)
    else:
        axis.set_xticklabels([])
    if row != column:
        axis.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
        axis.ticklabel_format(axis="y", useOffset=False)
        if column == 0:
            axis.set_ylabel(labels[row], fontsize=8.5)
        else:
            axis.set_yticklabels([])


def _same_range(across: Sequence[Any], up: Sequence[Any]) -> None:
    """Give one parameter the same range wherever it is an axis."""
    ends = np.array([a.get_xlim() for a in across] + [a.get_ylim() for a in up])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    for axis in across:
        axis.set_xlim(low, high)
    for axis in up:
        axis.set_ylim(low, high)


def _legend(
    fig: Any, count: int, samples: bool, curves: bool, truth: bool, label: str, samples_label: str
) -> None:
    from matplotlib.lines import Line2D

    shown = [Line2D([], [], color="k", marker="+", ls="", label="fitted")] if count > 1 else []
    if curves:
        shown.append(Line2D([], [], color=COLORS[1], label=label))
    if samples:
        shown.append(Line2D([], [], color=COLORS[0], marker="o", ls="", label=samples_label))
    if truth:
        shown.append(Line2D([], [], color=COLORS[3], marker="*", ls="", label="true"))
    where = "outside lower center" if count < 3 else "upper right"
    fig.legend(handles=shown, loc=where, ncols=2 if count < 3 else 1)
