"""Figures that put devices side by side: one panel each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .style import COLORS, label_panels, panel_grid


def hysteresis_loops(
    loops: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], *, columns: int = 3
) -> Any:
    """Return the current against the voltage, one panel per device.

    Its size on a logarithmic axis, or itself where the conductance hardly changes.

    Args:
        loops: By device and sweep rate (as the legend says it): voltage [V] and current [A].
        columns: Panels side by side.
    """
    fig, axes = panel_grid(len(loops), columns)
    for axis, (name, rates) in zip(axes, loops.items(), strict=True):
        bottom, top = _range(rates.values())
        for color, (label, (v, i)) in zip(COLORS, rates.items(), strict=False):
            # A pinched loop passes through zero, which a logarithm does not show.
            shown = np.where(np.abs(i) > bottom, np.abs(i), np.nan) if bottom else 1e6 * i
            axis.plot(v, shown, color=color, lw=1.2, label=label)
        if bottom:
            axis.set_yscale("log")
            axis.set_ylim(bottom, 3 * top)
        axis.set_ylabel("|current| [A]" if bottom else "current [uA]")
        axis.set_title(name)
        axis.set_xlabel("voltage [V]")
        axis.legend(fontsize=7, handlelength=1.2)
    label_panels(axes)
    return fig


def switching_times(
    times: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], *, columns: int = 3
) -> Any:
    """Return the switching time against the size of the voltage, one panel per device.

    Args:
        times: By device and direction (two at most): voltage [V] and time [s] (infinite: never).
        columns: Panels side by side.
    """
    fig, axes = panel_grid(len(times), columns)
    for axis, (name, directions) in zip(axes, times.items(), strict=True):
        # Dashed, because the two may coincide.
        looks = zip(COLORS, ("-", "--"), directions.items(), strict=False)
        for color, dashes, (label, (v, t)) in looks:
            finite = np.where(np.isfinite(t), t, np.nan)
            axis.plot(np.abs(v), finite, dashes, color=color, label=label)
        axis.set_yscale("log")
        # Whole decades, also where there is less than one.
        low, high = np.log10(axis.get_ylim())
        axis.set_ylim(10 ** np.floor(low), 10 ** np.ceil(high))
        axis.set_title(name)
        axis.set_xlabel("|voltage| [V]")
        axis.set_ylabel("switching time [s]")
        axis.legend(fontsize=8)
    label_panels(axes)
    return fig


def pulse_responses(
    traces: Mapping[str, Mapping[str, np.ndarray]], *, columns: int = 3, log: tuple[str, ...] = ()
) -> Any:
    """Return the conductance against the number of identical pulses, one panel per device.

    Args:
        traces: By device and kind of trace: conductance [S] after every pulse.
        columns: Panels side by side.
        log: Devices whose conductance has a logarithmic axis.
    """
    fig, axes = panel_grid(len(traces), columns)
    for axis, (name, kinds) in zip(axes, traces.items(), strict=True):
        for color, (label, g) in zip(COLORS, kinds.items(), strict=False):
            axis.plot(np.arange(g.size), 1e6 * g, color=color, lw=1.2, label=label)
        if name in log:
            axis.set_yscale("log")
        axis.set_title(name)
        axis.set_xlabel("pulse")
        axis.set_ylabel("conductance [uS]")
    # One legend below all panels: curves of this kind leave no room in theirs.
    fullest = max(range(len(axes)), key=lambda k: len(axes[k].lines))
    if len(axes[fullest].lines) > 1:
        fig.legend(handles=axes[fullest].lines, loc="outside lower right", ncols=2)
    label_panels(axes)
    return fig


def level_histograms(
    levels: Mapping[str, tuple[np.ndarray, np.ndarray]], *, columns: int = 3, bins: int = 240
) -> Any:
    """Return how often every conductance came out of programming, one panel per device.

    Args:
        levels: By device: targets (levels,) and values (repeats, levels), in windows.
        columns: Panels side by side.
        bins: Bins of a window.
    """
    fig, axes = panel_grid(len(levels), columns, height=2.3)
    for axis, (name, (target, values)) in zip(axes, levels.items(), strict=True):
        seen = np.ravel(values)[np.isfinite(np.ravel(values))]
        low, high = -0.05, 1.05
        outside = int(np.sum((seen < low) | (seen > high)))
        edges = np.linspace(low, high, bins + 1)
        axis.hist(seen, bins=edges.tolist(), color=COLORS[0], lw=0)
        for place in target:
            axis.axvline(place, color=COLORS[1], lw=0.4, alpha=0.5, zorder=0)
        axis.set_xlim(low, high)
        axis.set_title(name + (f" ({outside} beyond)" if outside else ""))
        axis.set_xlabel("conductance [window]")
        axis.set_ylabel("devices")
        axis.grid(False)
    label_panels(axes)
    return fig


def _range(loops: Any) -> tuple[float, float]:
    """Smallest current away from the pinch (0 if all are alike) and largest one [A]."""
    v, i = (np.concatenate([np.ravel(loop[k]) for loop in loops]) for k in (0, 1))
    away = (np.abs(v) > 0.1 * np.abs(v).max()) & (i != 0)
    conductance = np.abs(i[away] / v[away])
    if conductance.max() < 4 * conductance.min():
        return 0.0, 0.0
    top = float(np.abs(i).max())
    return max(0.3 * float(np.abs(i[away]).min()), 1e-10 * top), top
