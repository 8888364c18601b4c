"""From a folder of measured tables to a network's accuracy, with what the data leave open.

A device is fitted to measurements. Devices that the data allow are drawn from the fit; each carries
out the same open-loop plan (pulses counted on the fitted device), and a trained network is written
into the levels that come out. How far the accuracies differ is what the uncertainty of the
parameters means to the network.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import numpy as np
import yaml

import analogjax as aj
from analogjax._checks import check_choice, check_whole
from analogjax.crossbar import PAIRS_PER_CHANNEL, Hardware
from analogjax.data import DataConfig, MeasurementsConfig, Split
from analogjax.devices import DeviceConfig
from analogjax.fitting import FitError, FittingConfig
from analogjax.networks import NetworkConfig, fewest_bits, transfer_accuracy
from analogjax.programming import plan_counts, write_counted
from analogjax.runs import RunFolder, UsageError
from analogjax.training import TrainingConfig

from . import uncertainty


@dataclass
class PulsesConfig:
    """How levels are written: equal pulses, counted, from one start."""

    v: float = 1.0
    """Amplitude, of the sign that lowers the resistance [V]."""
    width: float = 1e-6
    """[s]"""
    gap: float = 0.0
    """Time between pulses [s]."""
    count: int = 150
    """Pulses from the first level to the last."""
    start: float | None = None
    """Conductance of the first level [S]; null for that of a fresh device."""


@dataclass
class Config:
    """Measurements, the device that is fitted to them, and the network."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    measurements: MeasurementsConfig = field(default_factory=MeasurementsConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    """Where the fit starts."""
    fit: FittingConfig = field(default_factory=FittingConfig)
    pulses: PulsesConfig = field(default_factory=PulsesConfig)
    bits: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5, 6])
    """Bits per device."""
    draws: int = 24
    """Devices drawn from the fit."""
    repeats: int = 10
    """How often a device writes every level."""
    chips: int = 3
    """Chips of each drawn device."""
    images: int | None = None
    """Test images used; null for all."""
    uncertainty: str = "covariance"
    """What devices are drawn from: `covariance` of the fit, its `posterior` (NUTS), or a
    `population`, in which every cell is a device of its own."""
    varying: list[str] = field(default_factory=list)
    """Of the free parameters those that differ in a population; all if empty."""
    warmup: int = 300
    """Of the posterior, each chain."""
    posterior_draws: int = 1000
    """Of the posterior, all chains together."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("draws", "repeats", "chips", "warmup"):
            check_whole(name, getattr(self, name), 2 if name != "chips" else 1)
        check_whole("posterior_draws", self.posterior_draws, max(self.draws, 16))
        check_choice("uncertainty", self.uncertainty, uncertainty.KINDS)
        if not self.bits or min(self.bits) < 1:
            raise ValueError(f"Argument `bits` must be whole numbers above 0, but is {self.bits}.")


def run(config: Config, run: RunFolder) -> None:
    """Fit, draw, write, read, report."""
    measurements = config.measurements.load()
    device = config.device.build()
    dataset = config.data.load()
    aj.training.check_data(dataset, config.training)
    test = Split(dataset.test.x[: config.images], dataset.test.y[: config.images])
    try:
        known = uncertainty.found(config, device, measurements, jax.random.key(run.seed))
    except FitError as error:
        raise UsageError(str(error)) from error
    fit = known.fit
    run.log(str(fit))
    aj.fitting.report_fit(run, fit)
    if known.said:
        run.log(known.said)
        run.section(f"The {config.uncertainty}", f"```text\n{known.said}\n```")
    keep_device(config, run, known)
    model, digital = aj.training.train_in_run(
        run, config.network, dataset, config.training, test=test
    )
    plan = plan_counts(
        known.device,
        2 ** max(config.bits),
        v=config.pulses.v,
        width=config.pulses.width,
        gap=config.pulses.gap,
        pulses=config.pulses.count,
        start=config.pulses.start,
    )
    found = run.stage("accuracy", lambda: accuracies(config, run, known, plan, model, test))
    report(config, run, known, plan, found, digital, dataset.name)


def keep_device(config, run, known) -> None:
    """Write the fitted device as every other configuration spells one."""
    spelled = {
        "kind": config.device.kind,
        "preset": config.device.preset,
        "cells": config.device.cells,
        "options": dict(config.device.options),
        "parameters": {**dict(config.device.parameters), **known.parameters},
    }
    kept = {name: value for name, value in spelled.items() if value not in (None, {})}
    path = run.path / "device.yaml"
    path.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    run.section(
        "The fitted device",
        f"`{path.name}` of this run spells it as every configuration does "
        "(`programming.device` of `weight_transfer`, `device` of the zoo); in Python it is "
        "`fit.device`.",
    )


def accuracies(config, run, known, plan, model, test) -> dict[str, np.ndarray]:
    """Write the network into the device that was found and into every one that is drawn."""
    key_draw, key_write, key_chips = jax.random.split(jax.random.key(run.seed), 3)
    devices = known.draw(key_draw)
    exact, scatter, chips, ideal = [], [], [], None
    with run.progress("devices that the data allow", len(devices)) as progress:
        for k, (device, written) in enumerate(devices):
            key = jax.random.fold_in(key_write, k)
            table = write_counted(plan, written, config.repeats, key=key)
            if table.failed:
                raise UsageError(
                    f"Every train of the plan must be solved, but {table.failed} levels of device "
                    f"{k} were not: use fewer or smaller pulses."
                )
            hardware = Hardware.from_tables(table, bits=min(config.bits), mapping=PAIRS_PER_CHANNEL)
            result = transfer_accuracy(
                model, hardware, test, bits=config.bits, chips=config.chips, key=key_chips
            )
            # What parts the devices, without chance; then what parts the writes of one.
            exact.append(write_counted(plan, device, 1).errors[0])
            scatter.append(table.errors.std(axis=0, ddof=1))
            chips.append(result["chips"])
            ideal = result["ideal"]
            progress.advance()
    return {
        "error": np.stack(exact),
        "scatter": np.stack(scatter),
        "chips": np.stack(chips),
        "ideal": np.asarray(ideal),
    }


def report(config, run, known, plan, found, digital, name) -> None:
    """Levels, accuracy, and the finding in one sentence."""
    mean = found["chips"].mean(axis=2)
    fitted, allowed = mean[0], mean[1:]
    low, middle, high = np.quantile(allowed, [0.05, 0.5, 0.95], axis=0)
    run.metric("accuracy_digital", digital)
    for k, bits in enumerate(config.bits):
        run.metric(f"accuracy_bits_{bits}_fitted", fitted[k], "the fitted device itself")
        run.metric(f"accuracy_bits_{bits}_low", low[k], "5 % of the devices that the data allow")
        run.metric(f"accuracy_bits_{bits}_median", middle[k])
        run.metric(f"accuracy_bits_{bits}_high", high[k], "95 %")
        run.metric(f"accuracy_bits_{bits}_quantisation", found["ideal"][k])
    help = "standard deviation, largest over levels, fraction of the window"
    run.metric("error_from_write_to_write", found["scatter"][0].max(), help)
    run.metric("error_from_the_fit", found["error"][1:].std(axis=0, ddof=1).max(), help)
    run.section(
        "Levels, open loop",
        f"{plan.statement} The same numbers of pulses are applied to {config.draws} more devices. "
        f"{known.meaning}",
    )
    run.figure(
        "levels",
        aj.plotting.open_loop_levels(found["error"], found["scatter"]),
        "Errors of the levels. Left: without chance, of the fitted device (half a pulse at most) "
        "and of devices that the data allow. Right: scatter from write to write of each.",
    )
    run.section(
        "The network",
        f"{config.network.name} on {name}, {100 * digital:.1f} % digital, in pairs of devices, "
        f"scaled per channel, {config.chips} chips of each device.",
    )
    run.figure(
        "accuracy",
        aj.plotting.accuracy_intervals(
            config.bits, {"devices that the data allow (90 %)": allowed},
            digital=digital, ideal=found["ideal"],
        ),
        "Test accuracy; the band holds 90 % of the devices drawn from the fit.",
    )  # fmt: skip
    rows = [
        [bits, *(f"{100 * x[k]:.1f}" for x in (found["ideal"], fitted, low, middle, high))]
        for k, bits in enumerate(config.bits)
    ]
    run.table(
        "Test accuracy [%]",
        ["bits", "quantisation alone", "fitted device", "5 %", "median", "95 %"],
        rows,
    )
    needed = fewest_bits(config.bits, middle, digital)
    best = int(np.argmax(middle))
    run.summary(
        f"{config.device.kind} fitted to {len(known.fit.residuals)} measurements (R^2 "
        f"{known.fit.r_squared:.4f}); {config.network.name} on {name}, {100 * digital:.1f} % "
        f"digital, written into it by counting pulses: "
        + (f"{needed} bits suffice" if needed else "no number of bits stays within one point")
        + f"; best at {config.bits[best]} bits with {100 * middle[best]:.1f} %, 90 % interval "
        f"{100 * low[best]:.1f} to {100 * high[best]:.1f} % from what the data leave open."
    )
