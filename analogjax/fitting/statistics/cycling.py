"""Cycle after cycle: how two resistances scatter, and how much one cycle knows of the last."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ..sampling import effective_count, moments

if TYPE_CHECKING:
    import xarray


@dataclasses.dataclass(frozen=True)
class ResistanceStatistics:
    """Of ``ln R``: one row a device; each with a standard error that knows of correlations."""

    mean: np.ndarray
    """Of ``ln (R / ohm)``."""
    mean_error: np.ndarray
    std: np.ndarray
    """From cycle to cycle."""
    std_error: np.ndarray
    correlation: np.ndarray
    """Of a cycle with the next one that was read."""
    correlation_error: np.ndarray

    @property
    def device_std(self) -> float:
        """Standard deviation from device to device, without what the cycles add; nan for one."""
        known = np.isfinite(self.mean)
        if known.sum() < 2:
            return float("nan")
        between = np.var(self.mean[known], ddof=1) - np.mean(self.mean_error[known] ** 2)
        return float(np.sqrt(max(between, 0.0)))


@dataclasses.dataclass(frozen=True)
class CyclingStatistics:
    """Log-normal statistics of both states, cycle to cycle and device to device."""

    low: ResistanceStatistics
    """After SET."""
    high: ResistanceStatistics
    """After RESET."""
    together: np.ndarray
    """Correlation of ``ln R`` of both states of a cycle, by device."""


def cycling_statistics(dataset: xarray.Dataset) -> CyclingStatistics:
    """Summarise cycling: log-normal means, deviations, correlations and their standard errors.

    What does use cycles is a device with chance from cycle to cycle; `log_std` of
    ``StatisticalDevice(distribution="lognormal_median")`` takes the deviation found here.

    Args:
        dataset: Of protocol ``cycling``.

    Raises:
        ValueError: Another protocol, or less than eight cycles of every device.
    """
    if dataset.attrs.get("protocol") != "cycling":
        raise ValueError(
            "Argument `dataset` must be of protocol 'cycling', but is of "
            f"{dataset.attrs.get('protocol')!r}."
        )
    low, high = (np.log(dataset[k].values) for k in ("resistance_low", "resistance_high"))
    enough = (np.isfinite(low) & np.isfinite(high)).sum(axis=1)
    if enough.max() < 8:
        raise ValueError(
            "Argument `dataset` must hold at least 8 cycles of a device, but has "
            f"{int(enough.max())}."
        )
    together = []
    for x, y in zip(low, high, strict=True):
        both = np.isfinite(x) & np.isfinite(y)
        usable = both.sum() >= 8 and np.ptp(x[both]) > 0 and np.ptp(y[both]) > 0
        together.append(np.corrcoef(x[both], y[both])[0, 1] if usable else np.nan)
    return CyclingStatistics(_of(low), _of(high), np.array(together))


def _of(logs: np.ndarray) -> ResistanceStatistics:
    rows = []
    for row in logs:
        x = row[np.isfinite(row)]
        if x.size < 8 or np.ptp(x) == 0:
            rows.append((np.nan,) * 6)
            continue
        mean, std, mean_error, std_error = moments(x)
        worth = effective_count(x)
        worth_square = effective_count((x - mean) ** 2)
        r = float(np.corrcoef(x[:-1], x[1:])[0, 1])
        # Of a correlation of n values: (1 - r^2) / sqrt(n).
        rows.append((
            mean, mean_error * np.sqrt(x.size / worth),
            std, std_error * np.sqrt(max(x.size / worth_square, 1.0)),
            r, (1 - r**2) / np.sqrt(x.size),
        ))  # fmt: skip
    return ResistanceStatistics(*np.array(rows).T)
