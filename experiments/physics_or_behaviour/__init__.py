"""Accuracy against write voltage: a physical device beside models fitted to the same pulses.

A trained network is written open loop into filaments (JART VCM v1b) with identical pulses, and into
behavioural models that were fitted to the same pulse traces. All meet their targets at the voltage
they were planned for; what another voltage or a spread of devices does, each says for itself. The
gradient of the loss, through network, read-out and device, says what to improve first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp

import analogjax as aj
from analogjax._checks import check_choice, check_whole
from analogjax.crossbar import PAIRS_PER_CHANNEL
from analogjax.data import DataConfig, Split
from analogjax.devices import JartVCM
from analogjax.networks import NetworkConfig, table_network
from analogjax.programming import BEHAVIOURAL, IdenticalPulses
from analogjax.programming.identical_pulses import AXES
from analogjax.runs import RunFolder
from analogjax.training import TrainingConfig, written_kinds

from . import effects, spread, traces, voltage


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
        rising = all(a < b for a, b in pairwise(self.offsets))
        if 0.0 not in self.offsets or not rising:
            raise ValueError(f"Argument `offsets` must rise and hold 0, but is {self.offsets}.")


class Reader:
    """Test accuracy of chips, compiled once."""

    def __init__(self, network, test, seed, chips):
        """Take a `TableNetwork`, test images and how many chips."""
        x, y = jnp.asarray(test.x), jnp.asarray(test.y)
        self.keys = [jax.random.fold_in(jax.random.key(seed), chip) for chip in range(chips)]

        self.right = jax.jit(lambda table, key: network.accuracy(table, key, x, y))

    def chips(self, table) -> list[float]:
        """Return the accuracy of every chip; of one where all devices are alike."""
        keys = self.keys if table.shape[0] > 1 else self.keys[:1]
        return [float(self.right(jnp.asarray(table), key)) for key in keys]


def run(config: Config, run: RunFolder) -> None:
    """Train, plan, fit, write at every voltage, differentiate, report."""
    dataset = config.data.load()
    aj.training.check_data(dataset, config.training)
    test = Split(dataset.test.x[: config.images], dataset.test.y[: config.images])
    model, digital = aj.training.train_in_run(
        run, config.network, dataset, config.training, test=test
    )
    options = dict(
        n_levels=2**config.pulses.bits,
        ratio=config.pulses.g_max / config.pulses.g_min,
        mapping=PAIRS_PER_CHANNEL,
    )
    network = table_network(model, **options)
    reader = Reader(network, test, run.seed, config.chips)
    plans = run.stage(
        "plans", lambda: {axis: traces.planned(config, JartVCM(), axis) for axis in AXES}
    )
    write = jax.jit(partial(written_kinds, JartVCM(), config.pulses, points=spread.few(config)))
    spreads = run.stage("spread", lambda: voltage.filament_spread(config, run, write, plans))
    fits = {
        name: run.stage(f"fit_{name}", lambda n=name: traces.fitted(config, n))
        for name in config.models
    }
    curves = {
        name: run.stage(
            f"accuracy_{name}",
            lambda n=name: voltage.against_voltage(
                config, run, reader, n, plans, spreads, fits.get(n)
            ),
        )
        for name in ("physics", *config.models)
    }
    carried = run.stage("carried", lambda: voltage.carried_out(config, reader, fits))
    shares = run.stage("shares", lambda: spread.against_spread(config, run, reader, write, plans))
    x, y = dataset.validation
    split = Split(jnp.asarray(x[: config.loss_images]), jnp.asarray(y[: config.loss_images]))
    slopes = run.stage("slopes", lambda: effects.gradients(config, run, network, split, plans))
    double = table_network(model, dtype=jnp.float64, **options)
    checks = run.stage(
        "checks", lambda: effects.confirmed(config, run, double, split, plans, slopes)
    )

    traces.report(run, config, plans, fits)
    voltage.report(run, config, digital, curves, carried)
    spread.report(run, config, shares)
    effects.report(run, config, slopes, checks)
    summarise(run, config, dataset, digital, curves, slopes)


def summarise(run, config, dataset, digital, curves, slopes) -> None:
    """The finding in one paragraph."""
    sums = {point: effects.by_group(slopes, point) for point in ("equal", "stated")}
    first = {
        point: f"{max(sums[point], key=sums[point].__getitem__)} (the largest single one: "
        f"{effects.largest(slopes, point)[0].replace('_', ' ')})"
        for point in sums
    }
    widths = {a: voltage.tolerated(config, curves["physics"][f"{a}_clean"]) for a in AXES}
    run.summary(
        f"{config.network.name} on {dataset.name}, {100 * digital:.2f} % digital, written "
        f"open loop into filaments, stays within one point over {widths['set']:.2g} mV of SET and "
        f"{widths['reset']:.2g} mV of RESET voltage. A model that counts pulses does not see this; "
        "one with a voltage law sees it as well as it was fitted at several voltages. To improve "
        f"first: at equal relative spread {first['equal']}, at the stated spreads "
        f"{first['stated']}."
    )
