"""Accuracy against write voltage: a physical device beside models fitted to the same pulses.

A trained network is written open loop into filaments (JART VCM v1b) with identical pulses, and into
behavioural models that were fitted to the same pulse traces. All meet their targets at the voltage
they were planned for; what another voltage or a spread of devices does, each says for itself. The
gradient of the loss, through network, read-out and device, says what to improve first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax._checks import check_choice, check_whole
from analogjax.crossbar import WeightMapping
from analogjax.data import DataConfig, Split
from analogjax.devices import JartVCM
from analogjax.networks import NetworkConfig, table_network
from analogjax.programming import (
    BEHAVIOURAL,
    IdenticalPulses,
    behavioural_device,
    fit_to_pulses,
    pulse_trace,
)
from analogjax.runs import RunFolder
from analogjax.training import (
    TrainingConfig,
    balanced_normals,
    changed_device,
    changed_pulses,
    expected_write_loss,
    written_kinds,
)

AXES = ("set", "reset")

PUBLISHED = "Gaussian spread in a public netlist generator for JART VCM v1b-var (listing read)"
QUANTITIES: dict[str, tuple[str, float, str]] = {
    "v_set": ("voltage", 0.01, "assumed"),
    "v_reset": ("voltage", 0.01, "assumed"),
    "width": ("voltage", 0.01, "assumed"),
    "barrier_height": ("material", 0.01, "assumed"),
    "fermi_offset": ("material", 0.01, "assumed"),
    "activation_energy": ("material", 0.01, "assumed"),
    "attempt_frequency": ("material", 0.01, "assumed"),
    "hop_distance": ("material", 0.01, "assumed"),
    "electron_mobility": ("material", 0.01, "assumed"),
    "permittivity": ("material", 0.01, "assumed"),
    "barrier_permittivity": ("material", 0.01, "assumed"),
    "n_min": ("material", 0.25, PUBLISHED),
    "n_max": ("material", 0.05, PUBLISHED),
    "n_plug": ("material", 0.01, "assumed"),
    "radius": ("structure", 5 / 45, PUBLISHED),
    "disc_length": ("structure", 0.1, PUBLISHED),
    "cell_length": ("structure", 0.01, "assumed"),
    "thermal_resistance": ("structure", 0.01, "assumed"),
    "oxide_resistance": ("structure", 0.01, "assumed"),
    "line_resistance": ("structure", 0.01, "assumed"),
}
"""Group, relative standard deviation from device to device, and where that comes from."""
SPREAD = {name: sigma for name, (_, sigma, source) in QUANTITIES.items() if source == PUBLISHED}
"""What is published to differ between devices."""


@dataclass
class Config:
    """Network, pulses, and how much differs."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    pulses: IdenticalPulses = field(default_factory=IdenticalPulses)
    models: list[str] = field(default_factory=lambda: list(BEHAVIOURAL))
    offsets: list[float] = field(
        default_factory=lambda: [
            -0.06, -0.03, -0.02, -0.01, -0.005, -0.002, -0.001, -0.0005, -0.0002, 0.0,
            0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.06,
        ]
    )  # fmt: skip
    """Added to the size of the nominal voltage [V]."""
    fit_offset: float = 0.03
    """Models fitted at three voltages see the nominal one and this much less and more [V]."""
    spread: float = 0.01
    """Share of the published spread from device to device in the curves with spread."""
    shares: list[float] = field(default_factory=lambda: [0.01, 0.03, 0.1, 0.3, 1.0])
    """Shares of it for the accuracy at nominal voltage."""
    kinds: int = 512
    """Devices drawn, a multiple of 32; every device of a chip is one of them."""
    chips: int = 3
    images: int | None = None
    """Test images used; null for all."""
    equal_spread: float = 5e-4
    """Relative spread of every quantity alike for the ranking."""
    repeats: int = 4
    """Independent sets of drawn devices, whose mean and scatter the ranking shows."""
    loss_images: int = 2000
    """Validation images of the loss whose gradient is taken."""
    points: int = 1001
    """Points of the integral over the state; two fifths of them for drawn devices."""

    fit_steps: int = 400
    """Most steps of a fit."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("kinds", "chips", "repeats", "loss_images", "fit_steps"):
            check_whole(name, getattr(self, name))
        for model in self.models:
            check_choice("models", model, BEHAVIOURAL)
        if self.kinds % 32:
            raise ValueError(f"Argument `kinds` must be a multiple of 32, but is {self.kinds}.")
        if 0.0 not in self.offsets or sorted(self.offsets) != list(self.offsets):
            raise ValueError(f"Argument `offsets` must rise and hold 0, but is {self.offsets}.")


MAPPING = WeightMapping(scheme="differential", per="channel", clip="least_squares", space="G")
"""As in the experiment `weight_transfer`: pairs of devices, a full scale per output channel."""


class Reader:
    """Test accuracy of chips, compiled once."""

    def __init__(self, network, test, seed, chips):
        """Take a `TableNetwork`, test images and how many chips."""
        x, y = jnp.asarray(test.x), jnp.asarray(test.y)
        self.keys = [jax.random.fold_in(jax.random.key(seed), chip) for chip in range(chips)]

        @jax.jit
        def right(table, key):
            return jnp.mean(jnp.argmax(network.logits(table, key, x), axis=1) == y)

        self.right = right

    def chips(self, table) -> list[float]:
        """Return the accuracy of every chip; of one where all devices are alike."""
        keys = self.keys if table.shape[0] > 1 else self.keys[:1]
        return [float(self.right(jnp.asarray(table), key)) for key in keys]


# What is computed.


def run(config: Config, run: RunFolder) -> None:
    """Train, plan, fit, write at every voltage, differentiate, report."""
    dataset = config.data.load()
    aj.training.check_data(dataset, config.training)
    test = Split(dataset.test.x[: config.images], dataset.test.y[: config.images])
    model = aj.training.train_cached(
        config.network, dataset, config.training, seed=run.seed,
        checkpoints=run.path / "checkpoints", progress=run.progress, log=run.log,
    ).model  # fmt: skip
    digital = float(run.stage("digital", lambda: {"a": aj.training.accuracy(model, test)})["a"])
    options = dict(
        n_levels=2**config.pulses.bits,
        ratio=config.pulses.g_max / config.pulses.g_min,
        mapping=MAPPING,
    )
    network = table_network(model, **options)
    reader = Reader(network, test, run.seed, config.chips)
    plans = run.stage("plans", lambda: {axis: planned(config, JartVCM(), axis) for axis in AXES})
    write = jax.jit(partial(written_kinds, JartVCM(), config.pulses, points=few(config)))
    spreads = run.stage("spread", lambda: filament_spread(config, run, write, plans))
    fits = {
        name: run.stage(f"fit_{name}", lambda n=name: fitted(config, n)) for name in config.models
    }
    curves = {
        name: run.stage(
            f"accuracy_{name}",
            lambda n=name: against_voltage(config, run, reader, n, plans, spreads, fits.get(n)),
        )
        for name in ("physics", *config.models)
    }
    carried = run.stage("carried", lambda: carried_out(config, reader, fits))
    shares = run.stage("shares", lambda: against_spread(config, run, reader, write, plans))
    x, y = dataset.validation
    split = Split(jnp.asarray(x[: config.loss_images]), jnp.asarray(y[: config.loss_images]))
    slopes = run.stage("slopes", lambda: gradients(config, run, network, split, plans))
    double = table_network(model, dtype=jnp.float64, **options)
    checks = run.stage("checks", lambda: confirmed(config, run, double, split, plans, slopes))

    report_fits(run, config, plans, fits)
    report_voltage(run, config, digital, curves, carried)
    report_spread(run, config, shares)
    report_effects(run, config, slopes, checks)
    summarise(run, config, dataset, digital, curves, slopes)


_compiled = eqx.filter_jit(pulse_trace)


def traced(config, device, axis, offset=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the trace of a device as NumPy arrays; one compilation for all voltages."""
    points = config.points
    if isinstance(device, aj.devices.AbstractPulseStepDevice):
        # One step after another, up to twice as many as the filament needs.
        n, g = traced(config, JartVCM(), axis)
        points = 2 * int(config.pulses.numbers(axis, n, g, 1.0 if axis == "set" else 0.0))
    given = config.pulses.conditions(device, axis, offset)
    n, g = _compiled(device, *(jnp.asarray(x, float) for x in given), points=points)
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


def draws(config, seed, repeat=0) -> dict[str, Any]:
    """Return what each kind of filament draws for each quantity."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 3), repeat)
    return balanced_normals(tuple(QUANTITIES), config.kinds, key=key)


def few(config) -> int:
    """Points of the traces of drawn filaments."""
    return config.points // 5 * 2 + 1


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


def against_spread(config, run, reader, write, plans) -> dict[str, np.ndarray]:
    """Accuracy at the nominal voltage against the share of the published spread.

    Of filaments, and of devices whose conductances have the same mean and standard deviation at
    every level, but are normally distributed.
    """
    z = draws(config, run.seed)
    found: dict[str, list] = {f"{axis}{kind}": [] for axis in AXES for kind in ("", "_normal")}
    with run.progress("shares of the spread", len(config.shares)) as progress:
        for share in config.shares:
            relative = {name: share * SPREAD[name] * z[name] for name in SPREAD}
            both = np.asarray(write(plans, relative, 0.0), np.float32)
            for axis, table in zip(AXES, both, strict=True):
                normal = table.mean(0) + table.std(0) * noise(run.seed, table.shape)
                found[axis].append(reader.chips(table))
                found[f"{axis}_normal"].append(reader.chips(normal))
            progress.advance()
    return {name: np.array(values) for name, values in found.items()}


def noise(seed, shape) -> np.ndarray:
    """Standard normal numbers for the conductances of devices that know no parameters."""
    key = jax.random.fold_in(jax.random.key(seed), 4)
    return np.asarray(jax.random.normal(key, shape, jnp.float32))


# What to improve first.


def at(spread) -> dict[str, dict[str, Any]]:
    """Nominal centres, and these relative spreads."""
    return {
        "centre": {name: jnp.zeros(()) for name in QUANTITIES},
        "log_spread": {name: jnp.log(jnp.asarray(spread[name], float)) for name in QUANTITIES},
    }


def spreads_of(config) -> dict[str, dict[str, float]]:
    """Two working points: every quantity alike, and a share of what is stated of each."""
    return {
        "equal": dict.fromkeys(QUANTITIES, config.equal_spread),
        "stated": {name: config.spread * sigma for name, (_, sigma, _) in QUANTITIES.items()},
    }


def loss_of(config, network, split, plans) -> Callable[..., Any]:
    """Return the expected loss of filaments that differ in every quantity."""
    options = dict(chips=config.chips, points=few(config))
    return expected_write_loss(JartVCM(), config.pulses, plans, network, *split, **options)


def draw_of(config, seed, repeat) -> tuple[Any, Any]:
    """Return drawn filaments and the key of the chips they are put on."""
    return draws(config, seed, repeat), jax.random.fold_in(jax.random.key(seed), 5 + repeat)


def gradients(config, run, network, split, plans) -> dict[str, np.ndarray]:
    """Reverse mode through network, read-out and filaments; and what moves switching times."""
    loss = jax.jit(jax.value_and_grad(loss_of(config, network, split, plans)))
    found: dict[str, list] = {}
    with run.progress("gradients", 2 * config.repeats) as progress:
        for point, spread in spreads_of(config).items():
            for repeat in range(config.repeats):
                value, slope = loss(at(spread), *draw_of(config, run.seed, repeat))
                found.setdefault(f"{point}_loss", []).append(float(value))
                for part, each in slope.items():
                    for name, x in each.items():
                        found.setdefault(f"{point}_{part}_{name}", []).append(float(x))
                progress.advance()
    for name in QUANTITIES:
        for axis in AXES:
            found[f"time_{axis}_{name}"] = [log_time_slope(config, axis, name)]
    return {name: np.array(values) for name, values in found.items()}


def log_time_slope(config, axis, name) -> float:
    """Return d ln(pulses to half of the window) / d ln quantity, by a central difference."""
    step, logs = 1e-4, []
    for sign in (1, -1):
        x = {name: jnp.asarray(sign * step)}
        start, v, width = (p[AXES.index(axis)] for p in changed_pulses(config.pulses, x))
        n, g = _compiled(changed_device(JartVCM(), x), start, v, width, points=config.points)
        logs.append(np.log(config.pulses.numbers(axis, n, g, 0.5)))
    return float(logs[0] - logs[1]) / (2 * step)


def confirmed(config, run, network, split, plans, slopes) -> dict[str, np.ndarray]:
    """Central differences of the three largest effects, the network in double precision.

    In single precision the loss has too few digits for a difference.
    """
    compiled = jax.jit(loss_of(config, network, split, plans))
    drawn = draw_of(config, run.seed, 0)
    spread = spreads_of(config)["equal"]

    def difference(name, step):
        values = []
        for sign in (1, -1):
            changed_by = spread | {name: spread[name] * np.exp(sign * step)}
            values.append(float(compiled(at(changed_by), *drawn)))
        return (values[0] - values[1]) / (2 * step)

    found = {}
    for name in largest(slopes)[:3]:
        # Extrapolated: removes the error of second order. Steps that stay within a cell of the
        # interpolated traces nearly everywhere.
        found[name] = (4 * difference(name, 1e-5) - difference(name, 2e-5)) / 3
    return found


def effects(slopes, point) -> dict[str, float]:
    """Loss that the spread of each quantity makes, mean of the sets of drawn devices."""
    return {name: float(slopes[f"{point}_log_spread_{name}"].mean()) for name in QUANTITIES}


def largest(slopes, point="equal") -> list[str]:
    """Quantities by the loss that their spread makes, the largest first."""
    found = effects(slopes, point)
    return sorted(QUANTITIES, key=lambda name: -abs(found[name]))


# What is reported.


def label(name) -> str:
    """A model's name in figures."""
    return "physics (JART VCM)" if name == "physics" else BEHAVIOURAL[name].label


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
    offsets, nominal = np.array(config.offsets), config.offsets.index(0.0)
    width = 0.0
    for side in (slice(nominal, None), slice(nominal, None, -1)):
        x, lost = np.abs(offsets[side]), accuracy[nominal] - accuracy[side] - 0.01
        beyond = np.flatnonzero(lost > 0)
        if not beyond.size:
            width += x[-1]
            continue
        i = beyond[0]
        width += x[i - 1] + (x[i] - x[i - 1]) * lost[i - 1] / (lost[i - 1] - lost[i])
    return 1e3 * width


def report_fits(run, config, plans, fits) -> None:
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


def report_voltage(run, config, digital, curves, carried) -> None:
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


def report_spread(run, config, shares) -> None:
    """Accuracy against the spread from device to device."""
    panels = []
    for axis in AXES:
        for kind in ("", "_normal"):
            for share, chips in zip(config.shares, shares[f"{axis}{kind}"], strict=True):
                run.metric(f"accuracy_{axis}_share_{share:g}{kind}", chips.mean())
        panels.append((axis.upper(), {
            "filaments": shares[axis],
            "normal, same mean and deviation": shares[f"{axis}_normal"],
        }))  # fmt: skip
    run.section(
        "Spread from device to device",
        "Radius, disc length, N_min and N_max of every filament are drawn (published Gaussian "
        "spread times a share). A behavioural model knows a spread of conductances only: normal "
        "numbers with the mean and standard deviation that the filaments have at every level. "
        "Filaments end near one or the other end of the window, which is not normal.",
    )
    run.figure(
        "accuracy_spread",
        aj.plotting.accuracy_against_share(config.shares, panels),
        "Test accuracy at the nominal voltage, mean over chips.",
    )


def report_effects(run, config, slopes, checks) -> None:
    """What to improve first."""
    groups = {name: group for name, (group, *_) in QUANTITIES.items()}
    found = {point: effects(slopes, point) for point in spreads_of(config)}
    error = {
        point: {n: standard_error(slopes[f"{point}_log_spread_{n}"]) for n in QUANTITIES}
        for point in found
    }
    times = {n: [float(slopes[f"time_{a}_{n}"][0]) for a in AXES] for n in QUANTITIES}
    for point, each in found.items():
        run.metric(f"loss_{point}", slopes[f"{point}_loss"].mean(), "expected loss [nat]")
        for name, value in each.items():
            run.metric(f"loss_by_spread_{point}_{name}", value,
                       "derivative of the expected loss by ln of the spread [nat]")  # fmt: skip
            run.metric(f"loss_by_spread_{point}_{name}_error", error[point][name])
            run.metric(f"loss_by_centre_{point}_{name}", slopes[f"{point}_centre_{name}"].mean())
        for group, value in by_group(slopes, point).items():
            run.metric(f"loss_by_spread_{point}_group_{group}", value)
    for name, both in times.items():
        for axis, value in zip(AXES, both, strict=True):
            run.metric(f"log_time_{axis}_{name}", value,
                       "d ln(pulses to half of the window) / d ln quantity")  # fmt: skip
    distances = {
        name: abs(float(slopes[f"equal_log_spread_{name}"][0] / difference - 1))
        for name, difference in checks.items()
    }
    for name, distance in distances.items():
        run.metric(f"difference_error_{name}", distance, "derivative over difference, less 1")
    run.metric("difference_error_max", max(distances.values()))
    run.section(
        "What to improve first",
        "The accuracy falls to either side of what the pulses were planned for, so that close to "
        "an optimum the derivative by a nominal value ranks nothing. What is differentiated is the "
        "expected loss of chips whose every device differs in every quantity, by the spread of "
        "each: what a smaller one would save. Reverse mode through network, read-out and filament; "
        f"mean and standard error of {config.repeats} sets of drawn devices. Once all quantities "
        f"have the same relative spread, {config.equal_spread:g}, which needs no assumption about "
        f"tolerances; once {config.spread:g} of what is stated of each (published for radius, disc "
        "length, N_min and N_max, 1 % assumed for the others: only the place of those four is "
        "evidence). Voltages and width differ from device to device like the others, as they do "
        "where wires take their share. Nearly all of it is the switching time: the last columns "
        "of the table.",
    )
    panels = [
        (f"d loss / d ln spread [nat], {what}", found[point], error[point])
        for point, what in (
            ("equal", f"all {config.equal_spread:g}"),
            ("stated", f"{config.spread:g} of the stated"),
        )
    ]
    run.figure(
        "effects",
        aj.plotting.ranked_effects(panels, groups),
        "Derivative of the expected loss by the spread of each quantity; lines: standard errors.",
    )
    run.table(
        "Ranked by the loss that their spread makes (equal relative spread)",
        ["quantity", "group", "d loss / d ln spread [1e-3 nat]", "same, stated spread",
         "d ln pulses / d ln q, SET", "RESET", "stated spread", "source", "difference"],
        [
            [
                name, groups[name],
                *(f"{1e3 * found[p][name]:+.2f} ± {1e3 * error[p][name]:.2f}" for p in found),
                *(f"{value:+.2f}" for value in times[name]),
                f"{100 * QUANTITIES[name][1]:.3g} %", QUANTITIES[name][2],
                f"{distances[name]:.0e}" if name in distances else "",
            ]
            for name in largest(slopes)
        ],
        "Difference: relative distance of a central difference (first set of devices, network in "
        "double precision) from the derivative.",
    )  # fmt: skip


def standard_error(values) -> float:
    """Standard error of a mean; 0 of a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def by_group(slopes, point) -> dict[str, float]:
    """Sum of the effects of each group of quantities."""
    found: dict[str, float] = {}
    for name, value in effects(slopes, point).items():
        group = QUANTITIES[name][0]
        found[group] = found.get(group, 0.0) + value
    return found


def summarise(run, config, dataset, digital, curves, slopes) -> None:
    """The finding in one paragraph."""
    sums = {point: by_group(slopes, point) for point in ("equal", "stated")}
    first = {
        point: f"{max(sums[point], key=sums[point].__getitem__)} (the largest single one: "
        f"{largest(slopes, point)[0].replace('_', ' ')})"
        for point in sums
    }
    widths = {a: tolerated(config, curves["physics"][f"{a}_clean"]) for a in AXES}
    run.summary(
        f"{config.network.name} on {dataset.name}, {100 * digital:.2f} % digital, written "
        f"open loop into filaments, stays within one point over {widths['set']:.2g} mV of SET and "
        f"{widths['reset']:.2g} mV of RESET voltage. A model that counts pulses does not see this; "
        "one with a voltage law sees it as well as it was fitted at several voltages. To improve "
        f"first: at equal relative spread {first['equal']}, at the stated spreads "
        f"{first['stated']}."
    )
