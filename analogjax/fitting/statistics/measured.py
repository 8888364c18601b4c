"""Labelled measurements of many devices, or of many reads, as statistics to compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..objectives import AbstractObjective
from ..sampling import MODEST
from .levels import LevelStatistics, ReadNoise
from .quantiles import QUANTILES

if TYPE_CHECKING:
    import xarray


def level_statistics(
    dataset: xarray.Dataset,
    *,
    by: str = "moments",
    quantiles: Sequence[float] = QUANTILES,
    name: str | None = None,
) -> LevelStatistics:
    """Return a level distribution as statistics of each level.

    Args:
        dataset: Of protocol ``level_distribution``. Without a ``target``, the mean of each level
            counts as what was aimed at, and only the scatter says anything; without a ``time``,
            the reads count as taken at once.
        by: As in `LevelStatistics`.
        quantiles: Likewise.
        name: What the residuals are listed under; the data set's own name if None.

    Raises:
        ValueError: No level of at least four devices.
    """
    level, g = dataset["level"].values, dataset["conductance"].values
    target = dataset["target"].values if "target" in dataset.variables else None
    time = dataset["time"].values if "time" in dataset.variables else np.zeros(g.shape)
    samples, targets, times = [], [], []
    for here in _groups(dataset, level, np.isfinite(g)):
        samples.append(g[here])
        targets.append(np.mean(g[here]) if target is None else np.nanmedian(target[here]))
        times.append(np.nanmedian(time[here]) if np.isfinite(time[here]).any() else 0.0)
    name = name or str(dataset.attrs.get("name") or "levels")
    return LevelStatistics(samples, targets, time=times, by=by, quantiles=quantiles, name=name)


def relaxation_statistics(
    dataset: xarray.Dataset,
    *,
    times: Sequence[float] | None = None,
    by: str = "moments",
    quantiles: Sequence[float] = QUANTILES,
    name: str | None = None,
) -> tuple[LevelStatistics, ...]:
    """Return the relaxation of many devices as statistics of the change of each level.

    The first read of each device is time 0; its level's mean conductance then is what relaxes.

    Args:
        dataset: Of protocol ``retention`` with a ``level``.
        times: Nominal times to compare [s]; all but the first read if None.
        by: As in `LevelStatistics`.
        quantiles: Likewise.
        name: What the residuals are listed under; the data set's own name if None.

    Returns:
        One measurement a time.

    Raises:
        ValueError: No level of at least four devices, or no read at a time.
    """
    name = name or str(dataset.attrs.get("name") or "relaxation")
    if "level" not in dataset.variables:
        raise ValueError(
            f"Measurement `{name}` must have a `level` of each device for statistics, but has none."
        )
    level, t, g = (dataset[key].values for key in ("level", "time", "conductance"))
    nominal = np.nanmedian(t, axis=0)
    if "nominal_time" in dataset.variables:
        nominal = dataset["nominal_time"].values
    reads = range(1, t.shape[1])
    if times is not None:
        reads = [int(np.argmin(np.abs(nominal - time))) for time in times]
        for time, read in zip(times, reads, strict=True):
            if read == 0 or not np.isclose(nominal[read], time, rtol=0.05):
                raise ValueError(
                    f"Argument `times` must be of {tuple(map(float, nominal[1:]))} s, but has "
                    f"{time:g}."
                )
    found = []
    for read in reads:
        known = np.isfinite(g[:, 0]) & np.isfinite(g[:, read]) & np.isfinite(t[:, read])
        groups = _groups(dataset, level, known)
        found.append(
            LevelStatistics(
                [g[here, read] for here in groups],
                [np.mean(g[here, 0]) for here in groups],
                time=[np.median(t[here, read] - t[here, 0]) for here in groups],
                start=[g[here, 0] for here in groups],
                by=by,
                quantiles=quantiles,
                name=f"{name} at {nominal[read]:g} s",
            )
        )
    return tuple(found)


def read_noise_statistics(dataset: xarray.Dataset, *, name: str | None = None) -> ReadNoise:
    """Return traces of reads as the standard deviation of each.

    Args:
        dataset: Of protocol ``read_noise``.
        name: What the residuals are listed under; the data set's own name if None.
    """
    name = name or str(dataset.attrs.get("name") or "read noise")
    return ReadNoise.of_traces(dataset["time"].values, dataset["conductance"].values, name=name)


def _groups(dataset: xarray.Dataset, level: np.ndarray, known: np.ndarray) -> list[np.ndarray]:
    """Return where the devices of each level are, for levels of enough of them."""
    groups = [np.flatnonzero((level == k) & known) for k in np.unique(level)]
    groups = [here for here in groups if here.size >= MODEST]
    if not groups:
        raise ValueError(
            f"Measurement `{dataset.attrs.get('name')}` must have at least {MODEST} devices of a "
            "level for statistics, but has none."
        )
    return groups


STATISTICS: dict[str, Callable[..., tuple[AbstractObjective, ...]]] = {
    "level_distribution": lambda dataset, name: (level_statistics(dataset, name=name),),
    "retention": lambda dataset, name: relaxation_statistics(dataset, name=name),
    "read_noise": lambda dataset, name: (read_noise_statistics(dataset, name=name),),
}
"""Protocols that a device of programmed states is compared with by statistics."""
