"""Figures of programmed levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .style import COLORS, figure, label_panels


def level_staircases(
    pulses: Mapping[int, np.ndarray], resistance: Mapping[int, np.ndarray], *, unit: str = "kohm"
) -> Any:
    """Return resistance against pulse number, one panel per number of levels.

    Args:
        pulses: By number of levels: pulses of each level, (repeats, levels).
        resistance: By number of levels: resistance at the end of each level, (repeats, levels), in
            the unit of the axis.
        unit: The unit.
    """
    numbers = sorted(pulses, reverse=True)
    fig, axes = figure(1, len(numbers), width=3.4, height=3.0, squeeze=False, sharey=True)
    for axis, n in zip(axes[0], numbers, strict=True):
        for count, curve in zip(np.cumsum(pulses[n], axis=1), resistance[n], strict=True):
            axis.step(count, curve, where="post", lw=0.7, color=COLORS[0], alpha=0.5)
        axis.set_title(f"n = {n}")
        axis.set_xlabel("pulses")
    axes[0, 0].set_ylabel(f"R24 [{unit}]")
    label_panels(axes)
    return fig


def cumulative_levels(
    levels: Mapping[int, tuple[np.ndarray, np.ndarray]], *, label: str, shown: int = 8
) -> Any:
    """Return cumulative probability of neighbouring levels, one panel per number of levels.

    Args:
        levels: By number of levels: targets (levels,) and values (repeats, levels), in the unit of
            the label.
        label: Label of the axis of values.
        shown: How many neighbouring levels (from the middle) are drawn.
    """
    numbers = sorted(levels, reverse=True)
    fig, axes = figure(1, len(numbers), width=3.4, height=3.0, squeeze=False, sharey=True)
    for axis, n in zip(axes[0], numbers, strict=True):
        target, values = levels[n]
        count = min(shown, n)
        first = (n - count) // 2
        for index in range(first, first + count):
            ordered = np.sort(values[:, index][np.isfinite(values[:, index])])
            probability = (np.arange(ordered.size) + 0.5) / max(ordered.size, 1)
            color = COLORS[index % len(COLORS)]
            axis.plot(ordered, probability, "o-", ms=2.5, lw=0.9, color=color)
            axis.axvline(target[index], color=color, lw=0.6, ls=":")
        axis.set_title(f"n = {n}, levels {first} to {first + count - 1}")
        axis.set_xlabel(label)
        axis.ticklabel_format(useOffset=False)
        axis.tick_params(axis="x", labelrotation=30)
    axes[0, 0].set_ylabel("cumulative probability")
    axes[0, 0].set_ylim(0, 1)
    label_panels(axes)
    return fig


def error_distributions(errors: Mapping[str, np.ndarray]) -> Any:
    """Return cumulative probability (normal scale) of errors in pitches; a Gaussian is straight.

    Args:
        errors: By label: errors in pitches, any shape.
    """
    from scipy import stats

    fig, axis = figure(width=4.6, height=3.3)
    for color, (label, values) in zip(COLORS, errors.items(), strict=False):
        ordered = np.sort(np.ravel(values)[np.isfinite(np.ravel(values))])
        score = stats.norm.ppf((np.arange(ordered.size) + 0.5) / ordered.size)
        axis.plot(ordered, score, ".", ms=2.5, color=color, label=label)
    ticks = np.array([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
    axis.set_yticks(stats.norm.ppf(ticks), [f"{t:g}" for t in ticks])
    for edge in (-0.5, 0.5):
        axis.axvline(edge, color=COLORS[5], lw=0.8, ls="--")
    axis.set_xlabel("error [pitch]")
    axis.set_ylabel("cumulative probability")
    axis.legend()
    return fig


def error_bands(tables: Mapping[int, np.ndarray]) -> Any:
    """Return bow (line) and scatter (band: one standard deviation) along the levels, in pitches.

    Args:
        tables: By number of levels: errors in pitches, (repeats, levels).
    """
    numbers = sorted(tables, reverse=True)
    fig, axes = figure(1, len(numbers), width=3.4, height=2.8, squeeze=False, sharey=True)
    for axis, n in zip(axes[0], numbers, strict=True):
        errors = tables[n]
        level = np.arange(n)
        bow = np.nanmean(errors, axis=0)
        spread = np.nanstd(errors, axis=0, ddof=1) if errors.shape[0] > 1 else 0 * bow
        axis.fill_between(level, bow - spread, bow + spread, color=COLORS[0], alpha=0.25, lw=0)
        axis.plot(level, bow, color=COLORS[0], lw=0.8)
        axis.axhline(0, color="black", lw=0.5)
        axis.set_title(f"n = {n}")
        axis.set_xlabel("level")
    axes[0, 0].set_ylabel("error [pitch]")
    label_panels(axes)
    return fig


def against_delay(delays: Sequence[float], curves: Mapping[str, np.ndarray], label: str) -> Any:
    """Return curves against the time since programming.

    Args:
        delays: Times [s].
        curves: By label: one value per delay.
        label: Label of the axis of values.
    """
    fig, axis = figure(width=4.6, height=3.3)
    for color, (name, values) in zip(COLORS, curves.items(), strict=False):
        axis.plot(delays, values, "o-", color=color, label=name)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("time since programming [s]")
    axis.set_ylabel(label)
    axis.legend()
    return fig


def resolvable_map(
    read_time: np.ndarray, pulse_spread: np.ndarray, levels: np.ndarray, marked: tuple[float, float]
) -> Any:
    """Return a contour map of the number of levels over read time and pulse noise.

    Args:
        read_time: (columns,) s.
        pulse_spread: (rows,) relative.
        levels: (rows, columns).
        marked: Read time and spread of the standard noise.
    """
    fig, axis = figure(width=4.8, height=3.5)
    stops = [2.0**k for k in np.arange(3, 13.5, 0.5)]
    drawn = axis.contourf(read_time, pulse_spread, levels, levels=stops, norm="log", extend="both")
    lines = axis.contour(
        read_time, pulse_spread, levels, levels=[32, 64, 128, 256, 512, 1024], colors="white",
        linewidths=0.8,
    )  # fmt: skip
    axis.clabel(lines, fmt="%d", fontsize=8)
    axis.plot(*marked, "o", color=COLORS[1], mec="white")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("time of a read [s]")
    axis.set_ylabel("spread of D t of a pulse")
    bar = fig.colorbar(drawn, ax=axis, label="levels resolvable at 1 % overlap")
    powers = [8, 32, 128, 512, 2048]
    bar.set_ticks(powers, labels=[str(p) for p in powers])
    return fig


def open_loop_levels(errors: np.ndarray, scatter: np.ndarray | None = None) -> Any:
    """Return errors of levels that several devices wrote by the same plan.

    Args:
        errors: (devices, levels) without chance, as fractions of the window; the first device is
            the one that the plan was made on.
        scatter: (devices, levels) Standard deviation from write to write; left out if None.
    """
    fig, axes = figure(1, 1 if scatter is None else 2, width=4.2, height=3.2, squeeze=False)
    panels = [(errors, "error")] + ([] if scatter is None else [(scatter, "scatter of the writes")])
    u = np.linspace(0, 1, errors.shape[1])
    for axis, (values, label) in zip(axes[0], panels, strict=True):
        low, high = np.quantile(values[1:], [0.05, 0.95], axis=0)
        axis.fill_between(u, 100 * low, 100 * high, color=COLORS[0], alpha=0.3, lw=0,
                          label="devices that the data allow (90 %)")  # fmt: skip
        axis.plot(u, 100 * values[1:].T, color=COLORS[0], lw=0.4, alpha=0.4)
        axis.plot(u, 100 * values[0], color="k", lw=1.2, label="fitted device")
        axis.set_ylabel(f"{label} [% of the window]")
        axis.set_xlabel("level [window]")
    axes[0, 0].legend(fontsize=7)
    label_panels(list(axes[0]))
    return fig
