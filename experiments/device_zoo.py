"""Every kind of device side by side, from its hysteresis to the bits that a network needs.

Filament, interface and bulk devices (and behavioural models, and arrays known by statistics) under
the same sweeps, pulses, write-verify and weight transfer: loops at three rates, switching time
against voltage, potentiation and depression by identical pulses, levels, throughput, and the same
small network in each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax._checks import check_choice, check_whole
from analogjax.crossbar import Hardware, WeightMapping
from analogjax.data import DataConfig
from analogjax.devices import AbstractDevice, chance
from analogjax.networks import (
    NetworkConfig,
    accuracy_over_chips,
    fewest_bits,
    transfer_accuracy,
)
from analogjax.programming import ProgrammingConfig, describe, level_tables, nonlinearity
from analogjax.runs import RunFolder
from analogjax.simulation import switching_time, throughput
from analogjax.stimuli import pulse_train, triangle_sweep
from analogjax.training import TrainingConfig

MAPPING = WeightMapping(scheme="differential", per="channel", clip="least_squares", space="G")
"""A pair of devices, scaled per channel: the main one of `weight_transfer`."""

MECHANISMS = ("filament", "interface", "bulk", "phase change", "behavioural", "statistics")


@dataclass
class Sweep:
    """Triangular sweeps."""

    peak: float = 0.0
    """[V]"""
    rates: list[float] = field(default_factory=list)
    """[V/s]; none for no sweeps."""


@dataclass
class Switch:
    """From one state to another at constant voltage."""

    states: list[float] = field(default_factory=list)
    """First and last, as the device keeps it; none for no such time."""
    voltages: list[float] = field(default_factory=list)
    """Range [V]."""


@dataclass
class Pulses:
    """Identical pulses."""

    up: float = 0.0
    """Size of those that lower the resistance [V]."""
    down: float = 0.0
    """Size of those that raise it [V]."""
    width: float = 0.0
    """[s]; zero for no pulses."""
    count: int = 100
    count_down: int = 100


@dataclass
class ZooDevice:
    """One device, and what is done to it."""

    title: str = ""
    mechanism: str = ""
    """One of `MECHANISMS`."""
    state: str = ""
    source: str = ""
    drive: str = ""
    """What it was published for."""
    programming: ProgrammingConfig = field(default_factory=ProgrammingConfig)
    sweep: Sweep = field(default_factory=Sweep)
    set: Switch = field(default_factory=Switch)
    reset: Switch = field(default_factory=Switch)
    pulses: Pulses = field(default_factory=Pulses)
    lanes: int = 1000
    """Devices side by side whose pulses are counted per second."""
    log: bool = False
    """Whether its conductance spans decades (axis of a figure)."""


@dataclass
class Config:
    """The devices, and the network that goes into all of them."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    devices: dict[str, ZooDevice] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """Which of them, in this order; empty for all."""
    cycles: int = 2
    """Cycles of identical pulses."""
    points: int = 40
    """Read-out points per quarter of a sweep."""
    voltages: int = 61
    """Voltages at which switching is timed."""
    timed_pulses: int = 10
    """Pulses of each device whose throughput is measured."""
    error: str = "gaussian"
    """How write errors are drawn, from the table of the most levels; as in `weight_transfer`."""
    bits: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5, 6])
    chips: int = 10
    delay: float = 1e5
    """When the network is read again [s]; one of the delays of the tables."""
    delay_bits: int = 4

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in self.names:
            check_choice("names", name, sorted(self.devices))
        for name, device in self.devices.items():
            check_choice(f"devices.{name}.mechanism", device.mechanism, MECHANISMS)
        check_whole("chips", self.chips)
        if self.delay_bits not in self.bits:
            raise ValueError(
                f"Argument `delay_bits` must be one of `bits`, but is {self.delay_bits}."
            )

    def chosen(self) -> dict[str, ZooDevice]:
        """The devices to show."""
        return {name: self.devices[name] for name in self.names or self.devices}


def run(config: Config, run: RunFolder) -> None:
    """One device after the other, then the network in each of them."""
    dataset = config.data.load()
    aj.training.check_data(dataset, config.training)
    zoo = config.chosen()
    built = {name: entry.programming.device.build() for name, entry in zoo.items()}
    loops, times, traces, speed, tables = {}, {}, {}, {}, {}

    def stages(kind: str, into: dict, compute: Callable[..., Any], wanted: Callable[..., Any]):
        with run.progress(kind, len(zoo)) as progress:
            for name, entry in zoo.items():
                if wanted(entry):
                    into[name] = run.stage(
                        f"{kind}_{name}",
                        lambda name=name, entry=entry: compute(config, run, entry, built[name]),
                    )
                progress.advance()

    stages("loops", loops, sweep_loops, lambda entry: entry.sweep.rates)
    stages("times", times, switch_times, lambda entry: entry.set.states)
    stages("pulses", traces, pulse_trace, lambda entry: entry.pulses.width)
    stages("speed", speed, speed_of, lambda entry: entry.pulses.width)
    for name, entry in zoo.items():
        tables[name] = level_tables(entry.programming, run, name=f"levels_{name}")
    model, digital = aj.training.train_in_run(run, config.network, dataset, config.training)
    results = {
        name: run.stage(f"network_{name}", lambda n=name: network(config, run, model, dataset.test,
                                                                  tables[n]))
        for name in zoo
    }  # fmt: skip

    report_cards(run, zoo, built, traces)
    report_loops(run, zoo, loops)
    report_times(run, zoo, times)
    report_pulses(run, config, zoo, traces)
    report_levels(run, zoo, tables)
    report_network(run, config, zoo, dataset.name, digital, results)
    report_speed(run, config, zoo, speed)
    write_results(run, loops, traces)


# What is computed.


def sweep_loops(config, run, entry, device: AbstractDevice) -> dict:
    """Current under a triangular sweep at each rate, from the fresh device."""
    peak = entry.sweep.peak * device.potentiation

    @eqx.filter_jit
    def loop(rate):
        drive = triangle_sweep(peak, rate, 2, points=config.points)
        result = aj.simulate(device, drive, throw=False)
        return result.v, result.i, result.ok

    found = [loop(jnp.asarray(rate)) for rate in entry.sweep.rates]
    v, i, ok = (np.stack(x) for x in zip(*found, strict=True))
    # The second cycle: the first one depends on how fresh the device was.
    half = 4 * config.points
    return {"v": v[:, half:], "i": i[:, half:], "ok": ok, "rates": np.array(entry.sweep.rates)}


def switch_times(config, run, entry, device) -> dict:
    """Switching time against voltage, both directions."""
    found = {}
    for name, switch in (("set", entry.set), ("reset", entry.reset)):
        lowest, highest = switch.voltages
        v = jnp.linspace(lowest, highest, config.voltages)
        first, last = switch.states
        timed = jax.jit(jax.vmap(lambda v, a=first, b=last: switching_time(device, v, a, b)))
        found |= {f"v_{name}": v, f"t_{name}": timed(v)}
    return found


def identical_pulses(config, entry, device: AbstractDevice):
    """Return the drive, what it does, and the state half-way up its last cycle."""
    train = [entry.pulses.up] * entry.pulses.count + [-entry.pulses.down] * entry.pulses.count_down
    drive = pulse_train(
        jnp.asarray(train * config.cycles) * device.potentiation, width=entry.pulses.width
    )
    result = aj.simulate(device, drive)
    index = (config.cycles - 1) * len(train) + entry.pulses.count // 2
    return drive, result, jax.tree.map(lambda leaf: leaf[index], result.state)


def pulse_trace(config, run, entry, device: AbstractDevice) -> dict:
    """Conductance after every pulse, without and (where there is any) with chance."""
    drive, result, middle = identical_pulses(config, entry, device)
    found = {"g": 1 / result.read_resistance}
    if chance(device):
        key = jax.random.fold_in(jax.random.key(run.seed), 2)
        found["random"] = 1 / aj.simulate(device, drive, key=key).read_resistance
    if "ambient_temperature" in device.PARAMETERS:
        t = device.parameters()["ambient_temperature"]
        # One kelvin either way, for devices whose read is an iteration.
        up, down = (device.replace(ambient_temperature=t + d).read(middle) for d in (1.0, -1.0))
        found["per_kelvin"] = jnp.log(down / up) / 2
    return found


def speed_of(config, run, entry, device: AbstractDevice) -> dict:
    """Pulses of many devices side by side, each in a state of its own, a second."""
    every, result, _ = identical_pulses(config, entry, device)
    key = jax.random.fold_in(jax.random.key(run.seed), 3)
    draw = jax.random.randint(key, (entry.lanes,), 0, every.pulses)
    starts = jax.tree.map(lambda leaf: leaf[draw], result.state)
    pair = jnp.asarray([entry.pulses.up, -entry.pulses.down]) * device.potentiation
    train = jnp.tile(pair, -(-config.timed_pulses // 2))[: config.timed_pulses]
    found = throughput(device, pulse_train(train, width=entry.pulses.width), starts)
    return {"seconds": found.seconds, "rate": found.rate, "steps": found.steps, "ok": found.ok}


def network(config, run, model, test, tables) -> dict:
    """Accuracy at every bit depth, at once and after the delay."""
    chosen = [table for (_, space), table in tables.items() if space == "G"]
    devices = Hardware.from_tables(
        chosen, bits=min(config.bits), mapping=MAPPING, error=config.error
    )
    key = jax.random.fold_in(jax.random.key(run.seed), 1)
    found = transfer_accuracy(model, devices, test, bits=config.bits, chips=config.chips, key=key)
    later = accuracy_over_chips(
        model, devices, test, bits=config.bits, chips=config.chips, key=key, t=config.delay
    )
    return {**found, "later": later}


# What is reported.


def brief(value: float) -> str:
    """A number for a legend: 1000 as it is, a million as 1e6."""
    return f"{value:g}" if value < 1e4 else f"{value:.0e}".replace("e+0", "e")


def report_cards(run, zoo, built, traces) -> None:
    """What each device is."""
    rows = []
    for name, entry in zoo.items():
        device = built[name]
        slope = traces.get(name, {}).get("per_kelvin")
        warm = "no" if "ambient_temperature" not in device.PARAMETERS else "yes"
        if slope is not None:
            warm = f"{100 * float(slope):+.2f} %/K"
            run.metric(f"conductance_per_kelvin_{name}", slope, "d ln G / dT, half-way up")
        rows.append([entry.title, entry.mechanism, entry.state, entry.source, entry.drive, warm,
                     ", ".join(chance(device)) or "no"])  # fmt: skip
    run.section(
        "The devices",
        "Three mechanisms are told apart by where conduction changes: in a **filament** (fast and "
        "of a large ratio; what is between on and off is hard to hold, since a filament forms by "
        "chance), at an **interface** (smooth and repeatable; a small ratio, and the temperature "
        "matters), in the **bulk** (even along the window, many levels; slower, at higher "
        "voltages). These are expectations of the field; what follows is what the models do.",
    )
    run.table(
        "Devices",
        ["device", "mechanism", "state", "source", "drive it was published for",
         "conductance against temperature", "chance in"],
        rows,
        "Temperature: relative change of the read conductance half-way up, at the state as it is.",
    )  # fmt: skip


def report_loops(run, zoo, loops) -> None:
    """Hysteresis."""
    if not loops:
        return
    curves = {}
    for name, found in loops.items():
        i = np.where(found["ok"][:, None], found["i"], np.nan)
        curves[zoo[name].title] = {
            f"{brief(rate)} V/s": (v, current)
            for rate, v, current, ok in zip(found["rates"], found["v"], i, found["ok"], strict=True)
            if ok
        }
        run.metric(f"loops_unsolved_{name}", int(np.sum(~found["ok"])), "sweeps that failed")
    curves = {title: rates for title, rates in curves.items() if rates}
    run.section(
        "Pinched hysteresis",
        "Triangular sweeps from the fresh device, the second cycle shown, at three rates. The "
        "faster the sweep, the higher the voltage at which a device switches, and the smaller the "
        "loop of one that follows the charge.",
    )
    run.figure("loops", aj.plotting.hysteresis_loops(curves), "Size of the current under sweeps.")


def report_times(run, zoo, times) -> None:
    """Switching times."""
    if not times:
        return
    curves = {}
    for name, t in times.items():
        curves[zoo[name].title] = {d.upper(): (t[f"v_{d}"], t[f"t_{d}"]) for d in ("set", "reset")}
        for d in ("set", "reset"):
            v, seconds = np.abs(t[f"v_{d}"]), t[f"t_{d}"]
            good = np.isfinite(seconds)
            if good.sum() > 1:
                slope = np.polyfit(v[good], np.log10(seconds[good]), 1)[0]
                run.metric(f"decades_per_volt_{d}_{name}", slope, "of the switching time, mean")
    run.section(
        "Switching time against voltage",
        "The integral of dx / velocity between two states (SET: to low resistance). A steep line "
        "is what a memory wants: written fast, read for years.",
    )
    run.figure(
        "switching", aj.plotting.switching_times(curves), "Time from one state to the other."
    )


def report_pulses(run, config, zoo, traces) -> None:
    """Potentiation and depression."""
    if not traces:
        return
    curves, rows = {}, []
    for name, found in traces.items():
        entry, g = zoo[name], found["g"]
        kinds = {"with chance": found["random"]} if "random" in found else {}
        curves[entry.title] = {"without chance": g, **kinds}
        first, second = entry.pulses.count, entry.pulses.count + entry.pulses.count_down
        # The last cycle, which does not depend on how fresh the device was.
        cycle = g[(config.cycles - 1) * second :]
        halves = (cycle[: first + 1], cycle[first : second + 1])
        up, down = (float(nonlinearity(half)["max"]) for half in halves)
        ratio = float(cycle.max() / cycle.min())
        run.metric(f"window_ratio_{name}", ratio, "largest over smallest G of the last cycle")
        run.metric(f"nonlinearity_potentiation_{name}", up, "largest, over the window")
        run.metric(f"nonlinearity_depression_{name}", down)
        rows.append([entry.title, f"{entry.pulses.up:g} / {entry.pulses.down:g} V",
                     f"{entry.pulses.width:g} s", f"{ratio:.3g}", f"{up:.2f}",
                     f"{down:.2f}"])  # fmt: skip
    run.section(
        "Potentiation and depression by identical pulses",
        "What a device does when nobody looks: the bend of these curves is what feedback has to "
        "overcome. The nonlinearity is the largest distance from the straight line between the "
        "ends of a half cycle, over its window.",
    )
    log = tuple(zoo[name].title for name in traces if zoo[name].log)
    run.figure(
        "pulses", aj.plotting.pulse_responses(curves, log=log), "Conductance after every pulse."
    )
    run.table(
        "The last cycle",
        ["device", "pulses up / down", "width", "G max/min", "nonlinearity up", "down"],
        rows,
    )


def report_levels(run, zoo, tables) -> None:
    """What write-verify reaches."""
    histograms, rows = {}, []
    for name, found in tables.items():
        coarse = found[min(found)]
        histograms[f"{zoo[name].title}"] = (
            np.linspace(0, 1, coarse.n_levels), coarse.coordinate(coarse.achieved)
        )  # fmt: skip
        for (n, space), table in found.items():
            f = describe(table)
            run.metric(f"levels_missed_{n}_{name}", table.missed + table.failed, "of all repeats")
            run.metric(f"random_error_window_{n}_{name}", f["random_error_window"])
            pulses, seconds, energy = "none", "unknown", "unknown"
            if table.pulsed:
                run.metric(f"pulses_mean_{n}_{name}", f["pulses_mean"])
                pulses = f"{f['pulses_mean']:.2f} ({f['pulses_max']})"
                seconds = f"{f['time_per_level_s']:.2e}"
                energy = f"{f['energy_per_level_J']:.2e}"
            rows.append(
                [zoo[name].title, f"{n} ({space})",
                 f"{table.missed + table.failed} of {table.achieved.size}",
                 f"{f['random_error_window']:.1e}", f.get("resolvable_levels", "none"), pulses,
                 seconds, energy, f"{float(table.window.ratio):.3g}"]
            )  # fmt: skip
    run.section(
        "Levels",
        "Write-verify with the same controller in all of them (amplitudes, widths and feedback: "
        "`configs/programming`), under the same noise, at most 20 pulses a level. PCM and arrays "
        "known by their statistics are written as a whole, with the scatter they were measured to "
        "have. A level is missed when the pulses run out.",
    )
    run.figure(
        "levels",
        aj.plotting.level_histograms(histograms),
        "What came out (dark) of the levels that were asked for (lines), all repeats.",
    )
    run.table(
        "Level tables",
        ["device", "levels (linear in)", "missed", "random error [window]",
         "resolvable at 1 % overlap", "pulses a level (most)", "time a level [s]",
         "energy a level [J]", "window ratio"],
        rows,
        "Time includes a read of 0.5 ms, far more than the pulses of a fast device.",
    )  # fmt: skip


def report_network(run, config, zoo, dataset, digital, results) -> None:
    """Bits needed, side by side."""
    run.metric("accuracy_digital", digital, "test accuracy of the trained network")
    rows, needed, kinds = [], {}, {}
    at = config.bits.index(config.delay_bits)
    for name, found in results.items():
        entry, mean = zoo[name], found["chips"].mean(1)
        needed[name] = fewest_bits(config.bits, mean, digital)
        ideal = fewest_bits(config.bits, found["ideal"], digital)
        run.metric(f"min_bits_{name}", needed[name], "within one point of digital (0: none)")
        run.metric(f"min_bits_ideal_{name}", ideal, "by quantisation alone")
        for b, value in zip(config.bits, mean, strict=True):
            run.metric(f"accuracy_bits_{b}_{name}", value)
        kept = fewest_bits(config.bits, found["later"].mean(1), digital)
        run.metric(f"min_bits_later_{name}", kept, f"{config.delay:g} s after writing")
        later = found["later"].mean(1)[at]
        run.metric(f"accuracy_bits_{config.delay_bits}_later_{name}", later,
                   f"{config.delay:g} s after writing")  # fmt: skip
        kind = entry.mechanism if entry.mechanism in MECHANISMS[:3] else "others"
        kinds.setdefault(kind, {})[entry.title] = (found["chips"], found["ideal"])
        count = (value or "none" for value in (needed[name], ideal, kept))
        rows.append([entry.title, entry.mechanism, *count, *(f"{100 * m:.1f}" for m in mean),
                     f"{100 * later:.1f}"])  # fmt: skip
    said = ", ".join(
        f"{zoo[name].title} ({zoo[name].mechanism}) {needed[name] or 'more than'}"
        f"{'' if needed[name] else f' {max(config.bits)}'}"
        for name in results
    )
    run.summary(
        f"Bits per device that {config.network.name} on {dataset} ({100 * digital:.1f} % digital) "
        f"needs to stay within one point: {said}. Mean of {config.chips} chips, seed {run.seed}."
    )
    run.section(
        "The same network in every device",
        "Weights in pairs of devices, scaled per channel, levels linear in conductance; each "
        "device draws a Gaussian write error as wide as that of its table of most levels. Where "
        "feedback works, all devices are alike to the network: what differs is what the feedback "
        "cost, and what becomes of the levels afterwards.",
    )
    run.figure(
        "bits",
        aj.plotting.accuracy_against_bits(
            config.bits, list(kinds.items()), digital=digital, columns=2
        ),
        "Test accuracy by mechanism; bars: standard deviation over chips, dashed: quantisation "
        "alone, grey: digital and one point below it.",
    )
    run.table(
        "Test accuracy [%]",
        ["device", "mechanism", "bits needed", "by quantisation alone",
         f"after {config.delay:g} s", *(f"{b} b" for b in config.bits),
         f"{config.delay_bits} b after {config.delay:g} s"],
        rows,
    )  # fmt: skip


def report_speed(run, config, zoo, speed) -> None:
    """Device-pulses per second; times are no metrics."""
    if not speed:
        return
    rows = []
    for name, found in speed.items():
        lanes, rate, steps = found["ok"].size, float(found["rate"]), found["steps"]
        rows.append([zoo[name].title, lanes, f"{rate:.3g}", f"{steps.mean():.1f}",
                     int(steps.max()), int(np.sum(~found["ok"]))])  # fmt: skip
        run.log(f"throughput {name}: {rate:.3g} device-pulses per second")
    run.section(
        "Throughput",
        f"{config.timed_pulses} pulses of alternating sign on devices side by side (`vmap`), each "
        "in a state of its own, compiled; the best of three. A batch takes as many time steps as "
        "its slowest lane.",
    )
    run.table(
        "Device-pulses per second",
        ["device", "lanes", "device-pulses / s", "mean steps of a lane", "most", "failed lanes"],
        rows,
    )


def write_results(run, loops, traces) -> None:
    """Labelled arrays."""
    for name, found in loops.items():
        dims = ("rate", "point")
        run.dataset(
            f"loops_{name}",
            xr.Dataset(
                {"v": (dims, found["v"], {"units": "V"}), "i": (dims, found["i"], {"units": "A"})},
                {"rate": ("rate", found["rates"], {"units": "V/s"})},
            ),
        )
    for name, found in traces.items():
        pulse = ("pulse", np.arange(found["g"].size), {"units": "1"})
        values = {k: ("pulse", found[k], {"units": "S"}) for k in ("g", "random") if k in found}
        run.dataset(f"pulses_{name}", xr.Dataset(values, {"pulse": pulse}))
