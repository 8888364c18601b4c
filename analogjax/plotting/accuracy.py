"""Figures of accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .style import COLORS, figure, label_panels, panel_grid

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]


def accuracy_against_bits(
    bits: Sequence[int],
    panels: Sequence[tuple[str, Curves]],
    *,
    digital: float,
    columns: int | None = None,
) -> Any:
    """Return accuracy against bits, one panel per title.

    Args:
        bits: Bits per device.
        panels: Title, and by label: accuracy (bits, chips) with write error and (bits,) without.
        digital: Accuracy of the digital network.
        columns: Panels side by side; all if None.
    """
    fig, axes = panel_grid(len(panels), columns, width=4.6, height=3.6, sharey=True)
    for axis, (title, curves) in zip(axes, panels, strict=True):
        axis.axhspan(100 * digital - 1, 100 * digital, color=COLORS[5], alpha=0.2, lw=0)
        axis.axhline(100 * digital, color=COLORS[5], lw=1.0, label="digital")
        for color, (label, (chips, ideal)) in zip(COLORS, curves.items(), strict=False):
            spread = chips.std(1, ddof=min(1, chips.shape[1] - 1))
            axis.plot(bits, 100 * np.asarray(ideal), "--", color=color, lw=1.0)
            axis.errorbar(
                bits, 100 * chips.mean(1), 100 * spread, fmt="o-", ms=4, capsize=2, color=color,
                label=label,
            )  # fmt: skip
        axis.set_title(title)
        axis.set_xlabel("bits per device")
        axis.set_xticks(list(bits))
    axes[0].set_ylabel("test accuracy [%]")
    # One legend for all, unless panels hold curves of their own.
    same = len({tuple(curves) for _, curves in panels}) == 1
    for axis in axes[:1] if same else axes:
        axis.legend(loc="lower right")
    label_panels(axes)
    return fig


def accuracy_against_delay(curves: Curves, *, digital: float) -> Any:
    """Return accuracy against the time between writing and reading.

    Args:
        curves: By label: times [s] (the first may be 0: at once) and accuracy (times, chips).
        digital: Accuracy of the digital network.
    """
    fig, axis = figure(width=5.2, height=3.4)
    axis.axhline(100 * digital, color=COLORS[5], lw=1.0, label="digital")
    earliest = min(t[t > 0].min() for t, _ in curves.values())
    at_once = earliest / 10
    for color, (label, (times, chips)) in zip(COLORS, curves.items(), strict=False):
        shown = np.where(times > 0, times, at_once)
        spread = chips.std(1, ddof=min(1, chips.shape[1] - 1))
        axis.errorbar(
            shown, 100 * chips.mean(1), 100 * spread, fmt="o-", ms=4, capsize=2, color=color,
            label=label,
        )  # fmt: skip
    axis.set_xscale("log")
    longest = max(t.max() for t, _ in curves.values())
    decades = 10.0 ** np.arange(np.ceil(np.log10(earliest)), np.floor(np.log10(longest)) + 1)
    names = [f"$10^{{{int(np.log10(d))}}}$" for d in decades]
    axis.set_xticks([at_once, *decades], ["at once", *names])
    axis.minorticks_off()
    axis.set_xlabel("time between writing and reading [s]")
    axis.set_ylabel("test accuracy [%]")
    axis.legend()
    return fig


def accuracy_against_error(
    curves: Curves, *, digital: float, marked: Mapping[str, float] | None = None
) -> Any:
    """Return accuracy against the size of the write error.

    Args:
        curves: By label: standard deviations [window] and accuracy (errors, chips).
        digital: Accuracy of the digital network.
        marked: Errors to mark, by label.
    """
    fig, axis = figure(width=5.2, height=3.4)
    axis.axhline(100 * digital, color=COLORS[5], lw=1.0, label="digital")
    for color, (label, (scale, chips)) in zip(COLORS, curves.items(), strict=False):
        spread = chips.std(1, ddof=min(1, chips.shape[1] - 1))
        axis.errorbar(
            scale, 100 * chips.mean(1), 100 * spread, fmt="o-", ms=4, capsize=2, color=color,
            label=label,
        )  # fmt: skip
    for label, value in (marked or {}).items():
        axis.axvline(value, color=COLORS[3], lw=1.0, ls=":", label=label)
    axis.set_xscale("log")
    axis.set_xlabel("write error [window]")
    axis.set_ylabel("test accuracy [%]")
    axis.legend()
    return fig


def accuracy_intervals(
    bits: Sequence[int],
    curves: Mapping[str, np.ndarray],
    *,
    digital: float,
    ideal: np.ndarray | None = None,
    level: float = 0.9,
) -> Any:
    """Return accuracy against bits with the interval that uncertain devices leave open.

    Args:
        bits: Bits per device.
        curves: By label: accuracy (draws, bits), one row for each device that the data allow.
        digital: Accuracy of the digital network.
        ideal: (bits,) By quantisation alone.
        level: Share of the draws within the band, which is drawn about their median.
    """
    fig, axis = figure(width=5.2, height=3.6)
    axis.axhspan(100 * digital - 1, 100 * digital, color=COLORS[5], alpha=0.2, lw=0)
    axis.axhline(100 * digital, color=COLORS[5], lw=1.0, label="digital")
    if ideal is not None:
        axis.plot(bits, 100 * np.asarray(ideal), "k--", lw=1.0, label="quantisation alone")
    for color, (label, accuracy) in zip(COLORS, curves.items(), strict=False):
        low, middle, high = np.quantile(accuracy, [(1 - level) / 2, 0.5, (1 + level) / 2], axis=0)
        axis.fill_between(bits, 100 * low, 100 * high, color=color, alpha=0.25, lw=0)
        axis.plot(bits, 100 * middle, "o-", ms=4, color=color, label=label)
    axis.set_xlabel("bits per device")
    axis.set_xticks(list(bits))
    axis.set_ylabel("test accuracy [%]")
    axis.legend(loc="lower right")
    return fig
