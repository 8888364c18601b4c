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

import analogjax as aj
from analogjax._checks import check_choice, check_whole
from analogjax.data import DataConfig
from analogjax.devices import chance
from analogjax.networks import NetworkConfig
from analogjax.programming import ProgrammingConfig, level_tables
from analogjax.runs import RunFolder
from analogjax.training import TrainingConfig

from . import responses, transfer

MECHANISMS = (*transfer.MECHANISMS, "phase change", "behavioural", "statistics")


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

    stages("loops", loops, responses.sweep_loops, lambda entry: entry.sweep.rates)
    stages("times", times, responses.switch_times, lambda entry: entry.set.states)
    stages("pulses", traces, responses.pulse_trace, lambda entry: entry.pulses.width)
    stages("speed", speed, responses.speed_of, lambda entry: entry.pulses.width)
    for name, entry in zoo.items():
        tables[name] = level_tables(entry.programming, run, name=f"levels_{name}")
    model, digital = aj.training.train_in_run(run, config.network, dataset, config.training)
    results = {
        name: run.stage(
            f"network_{name}",
            lambda n=name: transfer.network(config, run, model, dataset.test, tables[n]),
        )
        for name in zoo
    }

    report_cards(run, zoo, built, traces)
    responses.report_loops(run, zoo, loops)
    responses.report_times(run, zoo, times)
    responses.report_pulses(run, config, zoo, traces)
    transfer.report_levels(run, zoo, tables)
    transfer.report_network(run, config, zoo, dataset.name, digital, results)
    responses.report_speed(run, config, zoo, speed)
    responses.write_results(run, loops, traces)


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
