"""Labelled measurements of a device as what a fit compares it with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..devices import AbstractCompactDevice, AbstractDevice, AbstractProgrammedDevice
from .noise import Noise
from .objectives import AbstractObjective
from .pulsed import PulseTrain, Sweep, single_pulses
from .statistics.measured import STATISTICS
from .timed import Retention

if TYPE_CHECKING:
    import xarray

NOT_FITTED = {
    "level_distribution": "says how devices differ, which a device of programmed states predicts "
    "(`StatisticalDevice`, `PCM`)",
    "read_noise": "says how reads differ, which a device of programmed states predicts "
    "(`StatisticalDevice`, `PCM`)",
    "cycling": "says how cycles differ, which `analogjax.fitting.cycling_statistics` summarises",
}
"""Protocols that say nothing of one device without chance."""


def as_objectives(
    dataset: xarray.Dataset,
    device: AbstractDevice,
    *,
    noise: Noise | Mapping[str, Noise] | None = None,
) -> tuple[AbstractObjective, ...]:
    """Return a labelled measurement as what a fit compares a device with.

    A device of one state number starts from the conductance that was measured first
    (`initial_conductance`, `resistance_before`; where there is none the first read of a train or of
    a retention, which is then not compared, nor its pulse applied); any other from its
    `init_state`. Temperature and read voltage are those of the
    measurement, where it has them, else those of the device. A gate voltage is not considered.
    A device of programmed states is compared with the statistics of level distributions, of the
    relaxation of many devices, and of reads.

    Args:
        dataset: Of `analogjax.data.measurements`, with its attribute ``protocol``.
        device: The device that is to be fitted.
        noise: How values scatter: for all, or by name of the measurement.

    Raises:
        ValueError: A protocol that says nothing of one device, or something missing that must be
            known: the time of a sweep, amplitude and width of a pulse.
    """
    protocol = dataset.attrs.get("protocol")
    name = str(dataset.attrs.get("name") or protocol)
    if isinstance(device, AbstractProgrammedDevice) and protocol in STATISTICS:
        # Their scatter follows from the samples: there is nothing to say of it.
        return STATISTICS[protocol](dataset, name)
    if protocol not in _READERS:
        why = NOT_FITTED.get(str(protocol), "is of another kind")
        raise ValueError(
            f"Argument `measurements` must be of protocol {', '.join(map(repr, _READERS))} to fit "
            f"one device, but `{name}` of protocol {protocol!r} {why}."
        )
    if isinstance(noise, Mapping):
        noise = noise.get(name)
    options: dict[str, Any] = {
        key: dataset[of].values
        for key, of in (("ambient_temperature", "temperature"), ("read_voltage", "read_voltage"))
        if of in dataset.variables and (key == "ambient_temperature" or protocol != "iv_sweep")
    }
    options |= dict(name=name, noise=noise)
    return (_READERS[protocol](dataset, isinstance(device, AbstractCompactDevice), options),)


def _needed(dataset: xarray.Dataset, variable: str, how: str) -> np.ndarray:
    """Return a variable that must be known somewhere, or say how to give it."""
    values = dataset[variable].values if variable in dataset.variables else np.array(np.nan)
    if not np.isfinite(values).any():
        name = dataset.attrs.get("name") or dataset.attrs["protocol"]
        raise ValueError(
            f"Measurement `{name}` must have a known `{variable}` to be fitted, but has none: "
            f"{how}."
        )
    return values


def _sweep(dataset: xarray.Dataset, compact: bool, options: dict[str, Any]) -> Sweep:
    time = _needed(dataset, "time", "give the rate by `data.measurements.with_sweep_rate`")
    return Sweep(time, dataset["voltage"].values, dataset["current"].values, **options)


def _train(dataset: xarray.Dataset, compact: bool, options: dict[str, Any]) -> PulseTrain:
    amplitude, width = (
        _needed(dataset, variable, "give it by `Measurements.assume`")
        for variable in ("amplitude", "width")
    )
    gap = dataset["gap"].values if "gap" in dataset.variables else None
    if gap is not None and not np.isfinite(gap).any():
        gap = None
    conductance = dataset["conductance"].values
    if compact:
        first, before = conductance[:, 0], np.full(len(conductance), np.nan)
        if "initial_conductance" in dataset.variables:
            before = np.broadcast_to(dataset["initial_conductance"].values, first.shape)
        if np.isfinite(before).all():
            options = options | dict(initial_conductance=before)
        elif np.isfinite(first).all() and np.isfinite(conductance[:, 1:]).any():
            # What it was before the first pulse is not known.
            options = options | dict(initial_conductance=first)
            amplitude = np.broadcast_to(amplitude, conductance.shape).copy()
            amplitude[:, 0] = np.nan
    return PulseTrain(amplitude, width, gap, conductance, **options)


def _trials(dataset: xarray.Dataset, compact: bool, options: dict[str, Any]) -> PulseTrain:
    keys = ("voltage", "width", "resistance_before", "resistance_after")
    return single_pulses(*(dataset[key].values for key in keys), **options)


def _retention(dataset: xarray.Dataset, compact: bool, options: dict[str, Any]) -> Retention:
    time, conductance = dataset["time"].values, dataset["conductance"].values.copy()
    if compact:
        known = np.isfinite(time) & np.isfinite(conductance)
        rows, first = np.arange(len(time)), np.argmax(known, axis=1)
        start = conductance[rows, first]
        if np.isfinite(start).all():
            options = options | dict(initial_conductance=start)
            time = time - time[rows, first][:, None]
            conductance[rows, first] = np.nan
    return Retention(time, conductance, **options)


_READERS = {
    "iv_sweep": _sweep,
    "pulse_train": _train,
    "single_pulse": _trials,
    "retention": _retention,
}
