"""Statistics of a level table: how far levels scatter, and how many can be told apart.

Errors are fractions of the window in the space of the levels. The *bow* is their mean over
repeats, the *random error* what is left. With a random error that is Gaussian with standard
deviation s, two neighbours at a pitch p overlap with probability ``2 Q(p / 2s)``: 1 % at
``s = 0.194 p``.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from .._checks import check_between, check_positive
from .levels import LevelTable


def absolute_error(table: LevelTable, *, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return s_abs, the standard deviation of the random error, and its confidence interval.

    Pooled over levels, with one mean taken out per level.

    Args:
        table: The level table; at least two repeats.
        confidence: Of the interval (chi-square with the pooled degrees of freedom: exact for
            Gaussian errors, too wide for ones cut off by a tolerance).

    Returns:
        Value, lower and upper bound, as fractions of the window.

    Raises:
        ValueError: No level that two repeats reached, a confidence outside (0, 1).
    """
    check_between("confidence", confidence, 1e-6, 1 - 1e-6)
    table.check_repeats()
    errors = table.errors
    counts = np.sum(np.isfinite(errors), axis=0)
    freedom = int(np.sum(np.maximum(counts - 1, 0)))
    squares = float(np.nansum((errors - table.bow) ** 2))
    value = math.sqrt(squares / freedom)
    low, high = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], freedom)
    return value, math.sqrt(squares / low), math.sqrt(squares / high)


def overlap(s_over_pitch: float | int) -> float:
    """Return the probability ``2 Q(1 / (2 s))`` that a Gaussian error exceeds half a pitch."""
    if s_over_pitch == 0:
        return 0.0
    check_positive("s_over_pitch", s_over_pitch)
    return float(2 * stats.norm.sf(0.5 / s_over_pitch))


def overlap_fraction(table: LevelTable) -> float:
    """Return the share of errors, bow included, that exceed half a pitch."""
    errors = table.errors[np.isfinite(table.errors)]
    return float(np.mean(np.abs(errors) > 0.5 * table.pitch))


def monotone_fraction(table: LevelTable) -> float:
    """Return the share of neighbouring levels of a repeat that are in the right order."""
    steps = np.diff(table.coordinate(table.achieved), axis=1)
    return float(np.mean(steps[np.isfinite(steps)] > 0))


def resolvable_levels(s_abs: float, *, at_overlap: float = 0.01) -> int:
    """Return how many levels of a window can be told apart.

    Args:
        s_abs: Standard deviation of the random error, as a fraction of the window.
        at_overlap: Accepted probability that an error exceeds half a pitch.

    Returns:
        The largest n with ``2 Q(p / (2 s_abs)) <= at_overlap`` at ``p = 1 / (n - 1)``.

    Raises:
        ValueError: An error not above zero, an overlap outside (0, 1).
    """
    check_positive("s_abs", s_abs)
    check_between("at_overlap", at_overlap, 1e-12, 1 - 1e-12)
    pitch = 2 * s_abs * stats.norm.isf(at_overlap / 2)
    return 1 + math.floor(1 / pitch)


def cumulative(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted values and their cumulative probability ``(i - 0.5) / N``, nan left out."""
    values = np.sort(np.asarray(values)[np.isfinite(values)])
    return values, (np.arange(values.size) + 0.5) / max(values.size, 1)


def repeat_difference(table: LevelTable) -> dict[str, float]:
    """Return mean and largest rms difference between two repeats, over the window."""
    curves = table.coordinate(table.achieved)
    pairs = [
        float(np.sqrt(np.nanmean((curves[a] - curves[b]) ** 2)))
        for a in range(table.repeats)
        for b in range(a)
    ]
    return {"mean": float(np.mean(pairs)), "max": float(np.max(pairs))} if pairs else {}


def describe(table: LevelTable) -> dict[str, float]:
    """Return the figures of merit of a table as one flat dictionary (see the functions here).

    Without any random error there is no number of resolvable levels, without pulses no cost.
    Errors ``*_pitches`` are in pitches, ``*_window`` in fractions of the window, and with the bow
    where the name does not say ``random`` or ``bow``.
    """
    pitch = table.pitch
    s_abs, low, high = absolute_error(table)
    rms = table.nonlinearity
    differences = repeat_difference(table)
    cost = {}
    if table.pulsed:
        cost = {
            "pulses_mean": float(np.nanmean(table.pulses)),
            "pulses_max": int(np.nanmax(table.pulses)),
            "time_per_level_s": float(np.nanmean(table.time)),
            "energy_per_level_J": float(np.nanmean(table.energy)),
        }
    resolvable = {"resolvable_levels": resolvable_levels(s_abs)} if s_abs > 0 else {}
    return {
        "nonlinearity_max": rms["max"],
        "nonlinearity_rms": rms["rms"],
        "nonlinearity_mean": rms["mean"],
        "bow_rms_pitches": float(np.sqrt(np.nanmean(table.bow**2))) / pitch,
        "random_error_window": s_abs,
        "random_error_window_low": low,
        "random_error_window_high": high,
        "random_error_pitches": s_abs / pitch,
        "overlap_gaussian": overlap(s_abs / pitch),
        "overlap_counted": overlap_fraction(table),
        "monotone_fraction": monotone_fraction(table),
        **resolvable,
        "repeat_difference_mean": differences["mean"],
        "repeat_difference_max": differences["max"],
        **cost,
        "levels_missed": table.missed,
        "levels_failed": table.failed,
    }
