"""Figures of writes by identical pulses: traces and fits, accuracy against voltage, effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .style import COLORS, figure, label_panels

Traces = Sequence[tuple[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]]


def pulse_traces(panels: Traces) -> Any:
    """Return conductance against the number of pulses, one panel per title.

    Args:
        panels: Title, and by label: numbers of pulses and conductances [S]; the first is what the
            others were fitted to.
    """
    fig, axes = figure(1, len(panels), width=4.6, height=3.5, squeeze=False, sharey=True)
    for axis, (title, curves) in zip(axes[0], panels, strict=True):
        for i, (label, (n, g)) in enumerate(curves.items()):
            look = dict(color="k", lw=4, alpha=0.3) if i == 0 else dict(color=COLORS[i - 1])
            axis.plot(n, 1e6 * np.asarray(g), label=label, **look)
        axis.set_title(title)
        axis.set_xlabel("number of identical pulses")
    axes[0, 0].set_ylabel("conductance [µS]")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center")
    label_panels(axes)
    return fig


def accuracy_against_voltage(
    offsets: Sequence[float],
    panels: Sequence[tuple[str, Mapping[str, np.ndarray]]],
    *,
    digital: float,
    linear: float,
) -> Any:
    """Return accuracy against the voltage that is applied instead of the nominal one.

    Args:
        offsets: Added to the size of the nominal voltage [V].
        panels: Title (two a row), and by label: accuracy (offsets,) or (offsets, chips); the first
            is drawn as the reference.
        digital: Accuracy of the digital network.
        linear: The axis is linear up to this offset [V], logarithmic beyond.
    """
    rows = (len(panels) + 1) // 2
    fig, axes = figure(rows, 2, width=4.6, height=3.0, squeeze=False, sharey=True, sharex=True)
    millivolts = 1e3 * np.asarray(offsets)
    for axis, (title, curves) in zip(axes.flat, panels, strict=False):
        axis.axhline(100 * digital, color=COLORS[5], lw=1.0, label="digital")
        for i, (label, values) in enumerate(curves.items()):
            chips = 100 * np.asarray(values).reshape(len(millivolts), -1)
            look = (
                dict(color="k", lw=2.6, zorder=3) if i == 0 else dict(color=COLORS[i - 1], lw=1.4)
            )
            dashed = "--" if "3 voltages" in label else "-"
            axis.plot(millivolts, chips.mean(1), dashed, marker="o", ms=3, label=label, **look)
            if chips.shape[1] > 1:
                axis.fill_between(
                    millivolts, chips.min(1), chips.max(1), color=look["color"], alpha=0.15, lw=0
                )
        axis.set_xscale("symlog", linthresh=1e3 * linear, linscale=0.4)
        ticks = [t for t in (0.2, 1, 10, 60) if 1e3 * linear <= t <= millivolts.max() + 1e-9]
        ticks = [*(-t for t in reversed(ticks)), 0, *ticks]
        axis.set_xticks(ticks, [f"{t:+g}" if t else "0" for t in ticks])
        axis.minorticks_off()
        axis.axvline(0, color="k", lw=0.6, alpha=0.5)
        axis.set_title(title)
    for axis in axes[-1]:
        axis.set_xlabel("error of the voltage's size [mV]")
    for axis in axes[:, 0]:
        axis.set_ylabel("test accuracy [%]")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center")
    label_panels(axes)
    return fig


def accuracy_against_share(
    shares: Sequence[float], panels: Sequence[tuple[str, Mapping[str, np.ndarray]]]
) -> Any:
    """Return accuracy against the share of a spread, one panel per title.

    Args:
        shares: Shares of the spread.
        panels: Title, and by label: accuracy (shares, chips).
    """
    fig, axes = figure(1, len(panels), width=4.0, height=3.0, squeeze=False, sharey=True)
    for axis, (title, curves) in zip(axes[0], panels, strict=True):
        for color, (label, chips) in zip(("k", COLORS[3]), curves.items(), strict=False):
            axis.plot(shares, 100 * np.asarray(chips).mean(1), "o-", ms=4, color=color, label=label)
        axis.set_xscale("log")
        axis.set_title(title)
        axis.set_xlabel("share of the published spread")
    axes[0, 0].set_ylabel("test accuracy [%]")
    axes[0, 0].legend()
    label_panels(axes)
    return fig


def ranked_effects(
    panels: Sequence[tuple[str, Mapping[str, float], Mapping[str, float]]],
    groups: Mapping[str, str],
) -> Any:
    """Return horizontal bars, one panel per title, the largest on top, coloured by group.

    Args:
        panels: Label of the axis, effect by name, and its standard error by name.
        groups: Group of each name.
    """
    from matplotlib.patches import Patch

    colors = dict(zip(dict.fromkeys(groups.values()), COLORS, strict=False))
    most = max(len(values) for _, values, _ in panels)
    fig, axes = figure(1, len(panels), width=4.8, height=0.26 * most + 1.1, squeeze=False)
    for axis, (label, values, errors) in zip(axes[0], panels, strict=True):
        names = sorted(values, key=lambda name: values[name])
        axis.barh(
            range(len(names)),
            [values[name] for name in names],
            xerr=[errors[name] for name in names],
            color=[colors[groups[name]] for name in names],
            error_kw={"lw": 1.0},
        )
        axis.axvline(0, color="k", lw=0.6)
        axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        axis.set_xlabel(label)
        axis.grid(axis="y", visible=False)
    handles = [Patch(color=color, label=group) for group, color in colors.items()]
    axes[0, -1].legend(handles=handles, loc="lower right")
    label_panels(axes)
    return fig
