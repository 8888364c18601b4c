"""Telegraph steps: where there are some, and how long the cell stays in each state."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from analogjax.fitting import TelegraphNoise, maximum_likelihood, telegraph_windows
from analogjax.plotting import COLORS, figure, label_panels

STRONG = 10.0
"""Difference of BIC from which evidence counts as very strong (Kass and Raftery, 1995)."""
NAMES = tuple(TelegraphNoise.PARAMETERS)


def found(config, first, level, interval) -> dict[str, np.ndarray]:
    """Look at every window; fit the one with the strongest evidence by maximum likelihood."""
    result = {}
    for k, trace in zip(level, first, strict=True):
        windows = telegraph_windows(trace, config.window)
        result[f"evidence_{k}"] = windows.evidence
        result[f"step_{k}"] = windows.step
        best = int(np.argmax(windows.evidence))
        result[f"best_{k}"] = np.array(best)
        dwell = [
            interval / np.clip(rate[best], 1e-4, 0.9)
            for rate in (windows.leave_low, windows.leave_high)
        ]
        start = TelegraphNoise(
            interval,
            low=windows.low[best],
            step=windows.step[best],
            noise=windows.noise[best],
            dwell_low=dwell[0],
            dwell_high=dwell[1],
        )
        x = 1e6 * trace[best * config.window : (best + 1) * config.window]
        estimate = maximum_likelihood(start, jnp.asarray(x)[None], throw=False)
        for name in NAMES:
            result[f"value_{name}_{k}"] = np.array(estimate.parameters[name])
            result[f"error_{name}_{k}"] = np.array(estimate.standard_errors[name])
        result[f"message_{k}"] = np.array(estimate.message)
    return result


def report(run, config, steps, level, first, interval) -> None:
    """Shares of windows, and the clearest one of each level."""
    rows = []
    fig, axes = figure(1, len(level), width=3.0, height=2.6, squeeze=False)
    for axis, k, trace in zip(axes[0], level, first, strict=True):
        there = steps[f"evidence_{k}"] > STRONG
        run.metric(f"level_{k}_telegraph_windows", there.mean(), "share with telegraph noise")
        values = [float(steps[f"value_{name}_{k}"]) for name in NAMES]
        errors = [float(steps[f"error_{name}_{k}"]) for name in NAMES]
        certain = bool(there.any()) and not str(steps[f"message_{k}"])
        if certain:
            for name, value in zip(NAMES, values, strict=True):
                run.metric(f"level_{k}_telegraph_{name}", value)
        median = float(np.median(steps[f"step_{k}"][there])) if there.any() else float("nan")
        shown = [
            f"{v:.3g} +- {e:.2g}" if certain else "-" for v, e in zip(values, errors, strict=True)
        ]
        rows.append([int(k), f"{100 * there.mean():.0f}", f"{median:.3g}", *shown])
        best = int(steps[f"best_{k}"])
        part = slice(best * config.window, (best + 1) * config.window)
        axis.plot(np.arange(part.start, part.stop) * interval, 1e6 * trace[part], lw=0.5)
        if certain:
            for level_of in (values[0], values[0] + values[1]):
                axis.axhline(level_of, color=COLORS[1], lw=1)
        axis.set_title(f"level {k}")
        axis.set_xlabel("t [s]")
    axes[0, 0].set_ylabel("conductance [uS]")
    label_panels(axes)
    run.section(
        "Telegraph noise",
        f"Windows of {config.window} reads in which two levels with white noise are more likely "
        f"than one that wanders with white noise on it, by {STRONG:g} of BIC; a hidden Markov "
        "model of the clearest window, by maximum likelihood. Windows hold part of one process "
        "each: dwell times differ from window to window.",
    )
    run.table(
        "Windows with telegraph noise, and the clearest of them",
        ["level", "windows [%]", "median step [uS]",
         *(f"{name} [{TelegraphNoise.PARAMETERS[name].unit}]" for name in NAMES)], rows,
    )  # fmt: skip
    run.figure("telegraph", fig, "The clearest window of each level; lines: the two levels.")
