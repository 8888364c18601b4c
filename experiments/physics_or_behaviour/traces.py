"""Pulses and fits: the traces of the filament and of the models fitted to them."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.devices import JartVCM
from analogjax.programming import BEHAVIOURAL, behavioural_device, fit_to_pulses, pulse_trace
from analogjax.programming.identical_pulses import AXES

compiled_trace = eqx.filter_jit(pulse_trace)
"""One compilation for all voltages."""


def traced(config, device, axis, offset=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the trace of a device as NumPy arrays."""
    points = config.points
    if isinstance(device, aj.devices.AbstractPulseStepDevice):
        # One step after another, up to twice as many as the filament needs.
        n, g = traced(config, JartVCM(), axis)
        points = 2 * int(config.pulses.numbers(axis, n, g, 1.0 if axis == "set" else 0.0))
    given = config.pulses.conditions(device, axis, offset)
    n, g = compiled_trace(device, *(jnp.asarray(x, float) for x in given), points=points)
    return np.asarray(n), np.asarray(g)


def planned(config, device, axis) -> np.ndarray:
    """Return the pulses for every level that the nominal trace of a device gives."""
    return config.pulses.plan(axis, *traced(config, device, axis))


def written(config, device, axis, numbers, offset=0.0) -> np.ndarray:
    """Return the fraction of the window that so many pulses of another voltage give."""
    return config.pulses.fraction(np.interp(numbers, *traced(config, device, axis, offset)))


def fitted(config, name) -> dict[str, np.ndarray]:
    """Fit a behavioural model to the traces of the nominal filament."""
    return fit_to_pulses(
        name, config.pulses, JartVCM(), offset=config.fit_offset, steps=config.fit_steps
    )


def label(name) -> str:
    """A model's name in figures."""
    return "physics (JART VCM)" if name == "physics" else BEHAVIOURAL[name].label


def report(run, config, plans, fits) -> None:
    """How well the models follow the traces they were fitted to."""
    panels, data = [], {}
    filament = {axis: traced(config, JartVCM(), axis) for axis in AXES}
    for axis in AXES:
        most = plans[axis].max()
        run.metric(f"pulses_{axis}", int(most), "pulses from one end of the window to the other")
        numbers = np.linspace(0, most, 501)
        curves = {label("physics"): (numbers, np.interp(numbers, *filament[axis]))}
        for name in fits:
            device = behavioural_device(name, config.pulses, fits[name]["p"])
            curves[label(name)] = (numbers, np.interp(numbers, *traced(config, device, axis)))
        panels.append((f"{axis.upper()}, {config.pulses.volts(axis):g} V", curves))
        data[f"{axis}_pulses"] = ("point", numbers, {"units": "1"})
        g = np.stack([g for _, g in curves.values()])
        data[axis] = (("model", "point"), g, {"units": "S"})
    run.dataset("traces", xr.Dataset(data, {"model": ["physics", *fits]}))
    rows = []
    for name, found in fits.items():
        errors = {key[4:]: float(value) for key, value in found.items() if key.startswith("rms_")}
        for key, value in errors.items():
            run.metric(f"fit_rms_{name}_{key}mV", value, "rms error of the fit [window]")
        rows.append([label(name), *(" / ".join(
            f"{100 * value:.1f}" for key, value in errors.items() if key.startswith(f"{axis}_")
        ) for axis in AXES)])  # fmt: skip
    run.section(
        "Pulses and fits",
        f"Open loop: every device is brought to one end of the window of "
        f"{1e6 * config.pulses.g_min:g} to {1e6 * config.pulses.g_max:g} uS (checked by a read) "
        f"and gets identical pulses of {1e6 * config.pulses.width:g} us, as many as the nominal "
        "trace of its own model needs for its level (ours; no verify). Steps know the number of "
        "pulses; Yakopcic and VTEAM with published thresholds know one voltage, with fitted "
        "thresholds three. The filament speeds itself up half-way, so that a few per cent of its "
        "pulses cross most of the window; laws whose step never grows cannot follow.",
    )
    run.figure(
        "traces",
        aj.plotting.pulse_traces(panels),
        "Traces at the nominal voltages; grey: the filament.",
    )
    run.table(
        "Root mean square error of the fits [% of the window]",
        ["model", "SET", "RESET"], rows, "Where three are given: less, nominal and more voltage.",
    )  # fmt: skip
