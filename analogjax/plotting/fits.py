"""Figures of a fit: data and model, residuals, what the data determine, profiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .style import COLORS, figure, label_panels, panel_grid

MOST_POINTS = 4000
"""Points of one panel; of more, evenly spaced ones are drawn."""


@dataclasses.dataclass(frozen=True)
class FitPanel:
    """One panel of data and model. Values that are nan are not drawn."""

    title: str
    x: np.ndarray
    """In the order in which they were taken: a sweep runs to and fro."""
    observed: np.ndarray
    predicted: np.ndarray
    x_label: str
    y_label: str
    band: tuple[np.ndarray, np.ndarray] | None = None
    """Between which values the model lies."""
    measured: tuple[np.ndarray, np.ndarray] | None = None
    """Between which values a new measured value lies."""
    x_log: bool = False
    y_log: bool = False
    parity: bool = False
    """Draw what was measured against what is predicted; x is not used."""


def data_and_model(
    panels: Sequence[FitPanel], *, columns: int = 3, band_label: str = "90 %"
) -> Any:
    """Return measured values, the fitted model through them and its bands, a panel each.

    Args:
        panels: What to draw.
        columns: Panels side by side.
        band_label: Level of the bands, for the legend.
    """
    columns = min(columns, len(panels))
    fig, axes = panel_grid(len(panels), columns, width=3.5 if columns > 1 else 5.0, height=2.9)
    for axis, panel in zip(axes, panels, strict=True):
        (_parity if panel.parity else _curve)(axis, panel, band_label)
        axis.set_title(panel.title)
    # What the panels have in common is said once, below them.
    shown: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            shown.setdefault(label, handle)
    fig.legend(
        shown.values(), shown.keys(), loc="outside lower center",
        ncols=len(shown) if columns > 1 else 2,
    )  # fmt: skip
    label_panels(axes)
    return fig


def _curve(axis: Any, panel: FitPanel, level: str) -> None:
    size = np.abs if panel.y_log else np.asarray
    # Data above the bands, the model above the data, which are usually many.
    for ends, alpha, label in (
        (panel.measured, 0.15, f"a new measured value, {level}"),
        (panel.band, 0.45, f"model, {level}"),
    ):
        if ends is None:
            continue
        low, high = (size(end) for end in ends)
        if panel.y_log:
            # A band that crosses zero has a size of zero somewhere within.
            crosses = np.sign(ends[0]) != np.sign(ends[1])
            low, high = np.where(crosses, 0.0, np.minimum(low, high)), np.maximum(low, high)
        for k, part in enumerate(_runs(panel.x)):
            axis.fill_between(
                panel.x[part], low[part], high[part], color=COLORS[1], alpha=alpha, lw=0,
                label=label if k == 0 else None,
            )  # fmt: skip
    pick = _few(panel.x.size)
    axis.plot(
        panel.x[pick], size(panel.observed)[pick], "o", ms=3, color=COLORS[0], alpha=0.55,
        mew=0, label="measured",
    )  # fmt: skip
    axis.plot(panel.x, size(panel.predicted), color=COLORS[1], lw=1.4, label="model")
    if panel.x_log:
        axis.set_xscale("log")
    if panel.y_log:
        axis.set_yscale("log")
        _whole_range(axis, size(panel.observed), size(panel.predicted))
    axis.set_xlabel(panel.x_label)
    axis.set_ylabel(panel.y_label)


def _whole_range(axis: Any, *values: np.ndarray) -> None:
    """Let a logarithmic axis show all values but for zeros (bands may go on beyond)."""
    known = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in values])
    if known.size:
        low, high = np.log(known.min()), np.log(known.max())
        margin = 0.06 * max(high - low, 1.0)
        axis.set_ylim(np.exp(low - margin), np.exp(high + margin))


def _runs(x: np.ndarray) -> list[slice]:
    """Return the parts of a sweep between its turning points, each with both its ends."""
    step = np.sign(np.diff(x))
    turns = 1 + np.flatnonzero(step[1:] * step[:-1] < 0)
    ends = [0, *turns.tolist(), x.size - 1]
    return [slice(a, b + 1) for a, b in pairwise(ends)]


def _few(count: int) -> np.ndarray:
    if count <= MOST_POINTS:
        return np.arange(count)
    return np.linspace(0, count - 1, MOST_POINTS).astype(int)


def _parity(axis: Any, panel: FitPanel, level: str) -> None:
    good = np.flatnonzero(np.isfinite(panel.observed) & np.isfinite(panel.predicted))
    good = good[_few(good.size)]
    predicted, observed = panel.predicted[good], panel.observed[good]
    if panel.measured is not None:
        order = np.argsort(predicted)
        low, high = (np.asarray(end)[good][order] for end in panel.measured)
        axis.fill_between(
            predicted[order], low, high, color=COLORS[1], alpha=0.15, lw=0,
            label=f"a new measured value, {level}",
        )  # fmt: skip
    if panel.band is not None:
        low, high = (np.asarray(end)[good] for end in panel.band)
        sides = np.maximum([predicted - low, high - predicted], 0.0)
        axis.errorbar(
            predicted, observed, xerr=sides, fmt="none", ecolor=COLORS[1], elinewidth=0.7,
            alpha=0.45, label=f"model, {level}",
        )  # fmt: skip
    axis.plot(predicted, observed, "o", ms=3, color=COLORS[0], alpha=0.55, mew=0, label="measured")
    ends = [np.min([predicted.min(), observed.min()]), np.max([predicted.max(), observed.max()])]
    axis.plot(ends, ends, color="k", lw=0.8, label="as predicted")
    if panel.y_log:
        axis.set_xscale("log")
        axis.set_yscale("log")
    axis.set_xlabel("predicted " + panel.y_label)
    axis.set_ylabel("measured " + panel.y_label)


def residual_panels(
    residuals: Mapping[str, tuple[np.ndarray, np.ndarray, str]],
    *,
    log: Sequence[str] = (),
) -> Any:
    """Return residuals against what they may depend on, and beside it their normal quantiles.

    Args:
        residuals: By name of the measurement: x, residuals in standard deviations (nan is left
            out), and the label of x.
        log: Measurements whose x has a logarithmic axis.
    """
    from scipy import stats

    fig, axes = figure(
        len(residuals),
        2,
        width=4.2,
        height=2.7,
        squeeze=False,
        gridspec_kw={"width_ratios": [3, 2]},
    )
    for (left, right), (name, (x, r, label)) in zip(axes, residuals.items(), strict=True):
        good = np.isfinite(r) & np.isfinite(x)
        x, r = x[good], r[good]
        pick = _few(r.size)
        left.axhspan(-2, 2, color=COLORS[5], alpha=0.12, lw=0)
        left.axhline(0, color="k", lw=0.8)
        left.plot(x[pick], r[pick], "o", ms=2.5, mew=0, color=COLORS[0], alpha=0.5)
        middle, mean = _running_mean(x, r)
        if middle.size > 2:
            left.plot(middle, mean, color=COLORS[1], lw=1.6, label="mean of neighbours")
            left.legend(fontsize=8)
        if name in log:
            left.set_xscale("log")
        left.set_title(name)
        left.set_xlabel(label)
        left.set_ylabel("residual [standard deviations]")
        expected = stats.norm.ppf((np.arange(r.size) + 0.5) / max(r.size, 1))
        reach = 1.1 * np.max(np.abs(expected), initial=1.0)
        right.plot([-reach, reach], [-reach, reach], color="k", lw=0.8)
        right.plot(expected[pick], np.sort(r)[pick], "o", ms=2.5, mew=0, color=COLORS[0])
        right.set_title(f"{r.size} values")
        right.set_xlabel("normal quantile")
        right.set_ylabel("residual, sorted")
    label_panels(axes)
    return fig


def _running_mean(x: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means of x and r over neighbours in x: one value a twelfth of the points or less."""
    count = min(r.size // 8, 12)
    if count < 3:
        return np.empty(0), np.empty(0)
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, count)
    return np.array([x[p].mean() for p in parts]), np.array([r[p].mean() for p in parts])


def identifiability_bars(
    names: Sequence[str],
    exponents: np.ndarray,
    errors: Sequence[float],
    *,
    limit: float,
) -> Any:
    """Return the products of parameters' powers that data determine, the worst on top.

    Args:
        names: Of the parameters.
        exponents: Powers, (combinations, parameters).
        errors: Standard error of each product's logarithm; may be infinite.
        limit: From where a combination counts as undetermined.
    """
    exponents, error = np.asarray(exponents, float), np.asarray(errors, float)
    rows, columns = exponents.shape
    size = np.max(np.abs(exponents), axis=1, keepdims=True)
    fig, (left, right) = figure(
        1, 2, width=0.35 * columns + 2.2, height=0.42 * rows + 1.5,
        gridspec_kw={"width_ratios": [columns + 1, 5]},
    )  # fmt: skip
    left.imshow(exponents / size, cmap="RdBu_r", vmin=-1.6, vmax=1.6, aspect="auto")
    for row, column in np.ndindex(rows, columns):
        value = exponents[row, column]
        if abs(value) >= 0.02:
            left.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=8)
    left.set_xticks(range(columns), names, rotation=45, ha="right")
    left.set_yticks(range(rows), ["worst", *[""] * (rows - 2), "best"][:rows])
    left.grid(False)
    left.set_title("exponents in the product")
    finite = np.isfinite(error)
    largest = max(np.max(error[finite], initial=limit), limit)
    least = 0.3 * min(np.min(error[finite], initial=limit), 0.3 * limit)
    # An infinite error is a bar beyond the axis.
    length = np.where(finite, error, 1e3 * largest)
    colors = [COLORS[3] if e > limit else COLORS[0] for e in error]
    right.barh(range(rows), length, color=colors, height=0.65)
    right.axvline(limit, color="k", lw=0.9, ls="--")
    right.annotate(
        "undetermined", (limit, 0), xycoords=("data", "axes fraction"), xytext=(3, 3),
        textcoords="offset points", fontsize=7.5,
    )  # fmt: skip
    right.set_xscale("log")
    right.set_xlim(least, 6 * largest)
    right.set_ylim(rows - 0.5, -0.5)
    right.set_yticks(range(rows), [""] * rows)
    right.grid(axis="y", visible=False)
    right.set_xlabel("standard error [e-folds]")
    right.set_title("of the product")
    label_panels((left, right))
    return fig


@dataclasses.dataclass(frozen=True)
class ProfilePanel:
    """How the sum of squares rises along one parameter."""

    label: str
    """Of the parameter, with its unit."""
    values: np.ndarray
    rise: np.ndarray
    """In units of the variance of a residual; nan where no fit was found."""
    fitted: float
    normal: tuple[np.ndarray, np.ndarray] | None = None
    """The same by the covariance alone: values, rise."""
    interval: tuple[float, float] | None = None
    """Where the rise stays below the limit; may be infinite."""


def profile_likelihoods(
    panels: Sequence[ProfilePanel], *, limit: float, level: float = 0.9, columns: int = 3
) -> Any:
    """Return the rise of the sum of squares along each parameter, all others fitted again.

    Args:
        panels: One for each parameter.
        limit: Rise that bounds the interval.
        level: Probability of the interval, for the legend.
        columns: Panels side by side.
    """
    fig, axes = panel_grid(len(panels), columns, sharey=True)
    for axis, panel in zip(axes, panels, strict=True):
        axis.axhline(limit, color="k", lw=0.9, ls="--", label=f"{100 * level:g} %")
        if panel.normal is not None:
            axis.plot(*panel.normal, color=COLORS[5], label="by the covariance")
        axis.plot(panel.values, panel.rise, "o-", ms=3, color=COLORS[0], label="profile")
        axis.axvline(panel.fitted, color=COLORS[1], lw=1.0, label="fitted")
        if panel.interval is not None:
            low, high = panel.interval
            ends = np.clip([low, high], panel.values.min(), panel.values.max())
            axis.axvspan(*ends, color=COLORS[0], alpha=0.08, lw=0)
        axis.set_ylim(-0.3, 4 * limit)
        axis.set_xlabel(panel.label)
        axis.locator_params(axis="x", nbins=4)
    for axis in axes[:: min(columns, len(panels))]:
        axis.set_ylabel("rise of the sum of squares")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    label_panels(axes)
    return fig
