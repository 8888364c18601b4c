"""Figures of switching probabilities: maps over pulses, curves, calibration, populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .style import COLORS, figure, panel_grid


def probability_maps(
    rows: Sequence[tuple[str, Sequence[np.ndarray], Mapping[str, np.ndarray], tuple[str, str]]],
    *,
    limit: float = 0.1,
) -> Any:
    """Return maps of measured and predicted probabilities and their difference, a row a grid.

    Args:
        rows: Title, values of both axes, maps ``measured``, ``predicted`` and ``deviation``, and
            labels of both axes.
        limit: Difference at which the colours end.
    """
    fig, axes = figure(len(rows), 3, width=3.3, height=2.9, squeeze=False)
    for line, (title, values, maps, labels) in zip(axes, rows, strict=True):
        size = maps["measured"].size
        for axis, name in zip(line, ("measured", "predicted", "deviation"), strict=True):
            deviation = name == "deviation"
            options = dict(cmap="RdBu_r", vmin=-limit, vmax=limit) if deviation else {}
            image = axis.imshow(
                maps[name], origin="lower", aspect="auto", **({"vmin": 0, "vmax": 1} | options)
            )
            axis.grid(False)
            for ticks, put in zip(values, (axis.set_yticks, axis.set_xticks), strict=True):
                step = max(1, len(ticks) // 8)
                put(range(0, len(ticks), step), [f"{t:.4g}" for t in ticks[::step]])
            if size <= 60:
                for (i, j), value in np.ndenumerate(maps[name]):
                    bright = abs(value) > 0.6 * limit if deviation else value < 0.6
                    axis.text(
                        j, i, f"{value:+.2f}" if deviation else f"{value:.2f}",
                        ha="center", va="center", fontsize=6, color="w" if bright else "k",
                    )  # fmt: skip
            axis.set_title(f"{title}: {name}" if name == "measured" else name)
            axis.set_xlabel(labels[1])
            fig.colorbar(image, ax=axis, shrink=0.85, extend="both" if deviation else "neither")
        line[0].set_ylabel(labels[0])
    return fig


def probability_curves(
    panels: Sequence[
        tuple[str, str, Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray, Any]]]
    ],
    *,
    log: Sequence[bool] = (),
) -> Any:
    """Return probabilities along one axis: points with their chance, and lines of a model.

    Args:
        panels: Title, label of the axis, and curves: label, x, measured, standard deviation by
            chance, and predicted.
        log: Whether the axis of each panel is logarithmic.
    """
    fig, axes = panel_grid(len(panels), min(2, len(panels)), width=4.4, height=3.1)
    for k, (axis, (title, label, curves)) in enumerate(zip(axes, panels, strict=True)):
        for number, (name, x, measured, error, predicted) in enumerate(curves):
            color = COLORS[number % len(COLORS)]
            axis.errorbar(x, measured, error, fmt="o", ms=3, lw=0.8, color=color, label=name)
            axis.plot(x, predicted, color=color)
        if len(log) > k and log[k]:
            axis.set_xscale("log")
        axis.set_title(title)
        axis.set_xlabel(label)
        axis.set_ylabel("probability of switching")
        long = max(len(name) for name, *_ in curves) > 12
        axis.legend(ncols=1 if long else 2, fontsize=6.5 if long else 7)
    return fig


def reliability_diagram(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]],
) -> Any:
    """Return how often cells switch that a model gives a probability.

    Args:
        panels: {title: {model: (mean probability, share that switched, cells) of bins}}.
    """
    fig, axes = panel_grid(len(panels), width=3.8, height=3.4)
    for axis, (title, models) in zip(axes, panels.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="0.6", lw=1)
        for number, (name, (mean, share, count)) in enumerate(models.items()):
            error = np.sqrt(np.maximum(mean * (1 - mean), 0) / count)
            axis.errorbar(
                mean, share, error, fmt="o-", ms=3.5, lw=1, color=COLORS[number], label=name
            )
        axis.set_title(title)
        axis.set_xlabel("predicted probability")
        axis.set_ylabel("share that switched")
        axis.legend(fontsize=7)
    return fig


def populations(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], threshold: float
) -> Any:
    """Return densities of resistances, and the threshold between the populations.

    Args:
        panels: {title: {label: (log10 of the resistance in ohm, density a decade)}}.
        threshold: [ohm].
    """
    fig, axes = panel_grid(len(panels), width=3.6, height=2.9)
    for axis, (title, densities) in zip(axes, panels.items(), strict=True):
        for number, (name, (grid, density)) in enumerate(densities.items()):
            axis.semilogx(10**grid, density, color=COLORS[number], label=name)
        axis.axvline(threshold, color=COLORS[3], ls="--", label=f"{threshold / 1e3:.3g} kohm")
        axis.set_yscale("log")
        axis.set_ylim(bottom=1e-3)
        axis.set_title(title)
        axis.set_xlabel("resistance [ohm]")
        axis.set_ylabel("density a decade")
        axis.legend(fontsize=7)
    return fig


def quantile_curves(
    panels: Sequence[tuple[str, str, np.ndarray, np.ndarray, np.ndarray]],
    ranks: Mapping[str, np.ndarray],
    shares: Sequence[float],
) -> Any:
    """Return quantiles against a drive, and ranks of measured values in their distributions.

    Args:
        panels: Title, label of the axis, x, and quantiles [ohm] (x, shares): measured, predicted.
        ranks: Share of its distribution below each measured value, by label; uniform if right.
        shares: Of the quantiles.
    """
    fig, axes = panel_grid(len(panels) + 1, width=3.9, height=3.1)
    for axis, (title, label, x, measured, predicted) in zip(axes, panels, strict=False):
        for k, share in enumerate(shares):
            axis.semilogy(x, measured[:, k] / 1e3, "o", ms=3, color=COLORS[k], label=f"{share:.0%}")
            axis.semilogy(x, predicted[:, k] / 1e3, color=COLORS[k])
        axis.set_title(title)
        axis.set_xlabel(label)
        axis.set_ylabel("resistance after [kohm]")
        axis.legend(fontsize=7)
    for number, (name, values) in enumerate(ranks.items()):
        axes[-1].hist(
            values,
            20,
            range=(0, 1),
            density=True,
            histtype="step",
            color=COLORS[number],
            label=name,
        )
    axes[-1].axhline(1.0, color="0.6", lw=1)
    axes[-1].set_title("ranks of unseen cells")
    axes[-1].set_xlabel("share of the distribution below")
    axes[-1].legend(fontsize=7)
    return fig
