"""Accuracy against the voltage: the filament, and what each model says of it."""

from __future__ import annotations

import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.devices import JartVCM
from analogjax.networks import tolerated_width
from analogjax.programming import BEHAVIOURAL, behavioural_device
from analogjax.programming.identical_pulses import AXES

from .spread import SPREAD, draws, noise
from .traces import label, planned, written


def filament_spread(config, run, write, plans) -> dict[str, np.ndarray]:
    """Fractions of every level for each kind of filament at every voltage."""
    drawn = draws(config, run.seed)
    relative = {name: config.spread * SPREAD[name] * drawn[name] for name in SPREAD}
    rows = []
    with run.progress("kinds of filaments", len(config.offsets)) as progress:
        for offset in config.offsets:
            rows.append(np.asarray(write(plans, relative, offset), np.float32))
            progress.advance()
    return dict(zip(AXES, np.stack(rows, 1), strict=True))


def against_voltage(config, run, reader, name, plans, spreads, fitted) -> dict[str, np.ndarray]:
    """Accuracy at every voltage: one chip of equal devices, and chips with spread."""
    results = {}
    if name != "physics":
        device = behavioural_device(name, config.pulses, fitted["p"])
        own = {axis: planned(config, device, axis) for axis in AXES}
    nominal = config.offsets.index(0.0)
    ideal = np.linspace(0, 1, 2**config.pulses.bits)
    with run.progress(name, 2 * len(config.offsets)) as progress:
        for axis in AXES:
            # How wide the filaments' levels are and where they lie, at the nominal voltage alone.
            at_nominal = spreads[axis][nominal]
            shift, sigma = at_nominal.mean(0) - ideal, at_nominal.std(0)
            z = noise(run.seed, at_nominal.shape)
            clean, spread = [], []
            for i, offset in enumerate(config.offsets):
                if name == "physics":
                    curve = written(config, JartVCM(), axis, plans[axis], offset)
                    table = spreads[axis][i]
                elif BEHAVIOURAL[name].volts is None and clean:
                    clean.append(clean[-1])
                    spread.append(spread[-1])
                    continue
                else:
                    curve = written(config, device, axis, own[axis], offset)
                    spread_of = [np.interp(curve, ideal, part) for part in (shift, sigma)]
                    table = curve + spread_of[0] + spread_of[1] * z
                clean.append(reader.chips(np.asarray(curve)[None])[0])
                spread.append(reader.chips(table))
                progress.advance()
            results |= {f"{axis}_clean": np.array(clean), f"{axis}_spread": np.array(spread)}
    return results


def carried_out(config, reader, fits) -> dict[str, np.ndarray]:
    """Accuracy of filaments that get the pulses a model plans, all at the nominal voltage."""
    found = {}
    for name, fitted in fits.items():
        device = behavioural_device(name, config.pulses, fitted["p"])
        for axis in AXES:
            table = written(config, JartVCM(), axis, planned(config, device, axis))
            found[f"{name}_{axis}"] = reader.chips(table[None])[0]
    return found


def mean(accuracy) -> np.ndarray:
    """Mean over chips at every voltage."""
    return accuracy.reshape(len(accuracy), -1).mean(1)


def millivolts(offset) -> str:
    """An offset as part of a metric's name, `nominal`, `m30mV` or `p0.5mV`."""
    if offset == 0:
        return "nominal"
    return f"{'m' if offset < 0 else 'p'}{abs(1e3 * offset):g}mV"


def tolerated(config, accuracy) -> float:
    """Width of the interval of offsets [mV] around zero that cost at most one point."""
    return 1e3 * tolerated_width(config.offsets, accuracy)


def report(run, config, digital, curves, carried) -> None:
    """Accuracy against voltage, and where models mislead."""
    run.metric("accuracy_digital", digital, "test accuracy of the trained network")
    rows, nominal = [], config.offsets.index(0.0)
    shown = [o for o in config.offsets if abs(o) in (0.001, 0.03)]
    for name, found in curves.items():
        row = [label(name)]
        for axis in AXES:
            clean = found[f"{axis}_clean"]
            for kind in ("clean", "spread"):
                values = mean(found[f"{axis}_{kind}"])
                for offset, value in zip(config.offsets, values, strict=True):
                    run.metric(f"accuracy_{name}_{axis}_{kind}_{millivolts(offset)}", value)
            width = tolerated(config, clean)
            run.metric(
                f"tolerated_{name}_{axis}_mV",
                width,
                "width of the interval of voltages within a point",
            )
            at_end = width >= 1e3 * (config.offsets[-1] - config.offsets[0]) - 1e-9
            row += [
                *(f"{100 * clean[config.offsets.index(o)]:.1f}" for o in (0.0, *shown)),
                f"> {width:.3g}" if at_end else f"{width:.2g}",
            ]
            if name in config.models:
                run.metric(f"accuracy_planned_by_{name}_{axis}", carried[f"{name}_{axis}"],
                           "of filaments that get the pulses a model plans")  # fmt: skip
                row.append(f"{100 * carried[f'{name}_{axis}']:.1f}")
            else:
                row.append(f"{100 * clean[nominal]:.1f}")
        rows.append(row)
    steps = [n for n in config.models if BEHAVIOURAL[n].volts is None]
    drawn = ["physics", *steps[:1], *(n for n in config.models if n not in steps)]
    kinds_shown = {
        "clean": "equal devices", "spread": f"{config.spread:g} of the published spread"
    }  # fmt: skip
    panels = [
        (f"{axis.upper()}, {what}", {
            ("steps (all laws)" if n in steps else label(n)): curves[n][f"{axis}_{kind}"]
            for n in drawn
        })
        for kind, what in kinds_shown.items()
        for axis in AXES
    ]  # fmt: skip
    smallest = min((abs(o) for o in config.offsets if o), default=1e-3)
    run.figure(
        "accuracy_voltage",
        aj.plotting.accuracy_against_voltage(
            config.offsets, panels, digital=digital, linear=smallest
        ),
        "Test accuracy against the error of the voltage (positive: a larger size), linear up to "
        f"{1e3 * smallest:g} mV and logarithmic beyond. Bands: smallest and largest of the chips.",
    )  # fmt: skip
    heads = [
        "nominal",
        *(f"{1e3 * o:+g} mV" for o in shown),
        "within 1 point [mV]",
        "plan carried out",
    ]
    run.table(
        "Test accuracy, equal devices [%]",
        ["model", *(f"{axis.upper()} {h}" for axis in AXES for h in heads)],
        rows,
        "Plan carried out: accuracy of filaments at the nominal voltage that get the pulses which "
        "the model plans.",
    )
    dims = ("model", "voltage")
    run.dataset("accuracy", xr.Dataset(
        {
            f"{axis}_{kind}": (
                dims,
                np.stack([mean(c[f"{axis}_{kind}"]) for c in curves.values()]),
                {"units": "1"},
            )
            for axis in AXES for kind in ("clean", "spread")
        },
        {"model": list(curves), "voltage": ("voltage", config.offsets, {"units": "V"})},
    ))  # fmt: skip
    run.section("Where behavioural models mislead", misled(config, curves, carried))


def misled(config, curves, carried) -> str:
    """The numbers, in words."""
    parts = []
    weak = min(config.offsets, key=lambda o: abs(o + 0.001))
    for axis in AXES:
        at = {n: 100 * c[f"{axis}_clean"][config.offsets.index(weak)] for n, c in curves.items()}
        width = {n: tolerated(config, c[f"{axis}_clean"]) for n, c in curves.items()}
        others = ", ".join(f"{label(n)} {at[n]:.1f} %" for n in config.models)
        widths = ", ".join(f"{label(n)} {width[n]:.2g}" for n in config.models)
        plans = ", ".join(f"{label(n)} {100 * carried[f'{n}_{axis}']:.1f} %" for n in config.models)
        parts.append(
            f"**{axis.upper()}.** With {1e3 * weak:+g} mV filaments give {at['physics']:.1f} %; "
            f"predicted: {others}. It stays within one point over {width['physics']:.2g} mV in "
            f"all; predicted [mV]: {widths}. All of them meet their targets at the nominal voltage "
            f"by their own plan; carried out by filaments, the plans give: {plans}."
        )
    return "\n\n".join(parts)
