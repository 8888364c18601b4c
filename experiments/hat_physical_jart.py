"""Train what is written into filaments: from pulses through JART VCM to the network's loss.

Each weight is a pair of filaments, each written once, open loop, by one RESET pulse, and filaments
differ in radius, disc length, N_min and N_max within their published bounds. On chips that no
training saw: digitally trained weights as they are, training with noise of the same mean and size
at every level, and physical training, whose gradient passes through the pulse, the device's
equation of motion and the read-out to the loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import numpy as np
import xarray as xr
from flax import nnx

import analogjax as aj
from analogjax._checks import check_whole
from analogjax.crossbar import DeviceStatistics, Hardware, WeightMapping, WrittenError
from analogjax.data import DataConfig, Split
from analogjax.networks import MLP, convert_to_analog
from analogjax.programming import FilamentWriting
from analogjax.runs import RunFolder, UsageError
from analogjax.training import (
    AnalogTraining,
    NoiseInjection,
    Physical,
    Precise,
    accuracy_on_chips,
    held_out_keys,
    paired_difference,
    tune_in_run,
)

LIMIT = 2.0
"""Of the source [V]."""
NAMES = {
    "digital": "digital",
    "plain": "plain transfer",
    "noise": "tuned noise injection",
    "physical": "physical training",
}


@dataclass
class Config:
    """Data, network, pulses and trainings."""

    data: DataConfig = field(default_factory=DataConfig)
    images: int = 20000
    """Images of the training set that are used."""
    hidden: int = 26
    """Width of the hidden layer."""
    seeds: int = 3
    """Networks, each trained in all ways."""
    chips: int = 10
    """Held-out chips per network."""
    digital_steps: int = 3000
    """Steps of the digital training, from which both trainings start."""
    steps: int = 800
    """Steps of each training for hardware."""
    batch: int = 256
    """Inputs per step."""
    learning_rate: float = 3e-3
    """Largest learning rate of weights and biases, before it is tuned."""
    drive_rate: float = 2.0
    """That of drives, over that of biases: 1 V a unit."""
    rates: list[float] = field(default_factory=lambda: [3.0, 6.0])
    """Both trainings are tuned over these factors on a learning rate: that of weights and biases
    with noise, that of pulses and full scales through the device."""
    multiples: list[float] = field(default_factory=lambda: [1.0, 2.0])
    """Of the noise in noise injection, tuned beside its rates."""
    tuning_images: int = 6000
    """Validation images to choose by, at most."""
    tuning_chips: int = 5
    """Validation chips to choose by."""
    width_too: bool = False
    """Whether the pulses' widths are trained beside their amplitudes."""
    levels: int = 17
    """Levels at which the noise is measured."""
    samples: int = 1000
    """Devices per level."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in (
            "hidden", "chips", "steps", "batch", "tuning_images", "tuning_chips", "levels",
            "samples",
        ):  # fmt: skip
            check_whole(name, getattr(self, name))
        # Differences are paired over networks, and one has no interval.
        check_whole("seeds", self.seeds, 2)
        for name in ("rates", "multiples"):
            if not getattr(self, name):
                raise UsageError(f"Argument `{name}` must hold a number or more, but is empty.")


def run(config: Config, run: RunFolder) -> None:
    """Measure the noise, tune both trainings on one network, train all, compare."""
    data = {name: pooled(split) for name, split in splits(config.data.load()).items()}
    data["train"] = Split(*(part[: config.images] for part in data["train"]))
    data["validation"] = Split(*(part[: config.tuning_images] for part in data["validation"]))
    trained = ("amplitude", "width") if config.width_too else ("amplitude",)
    writing = FilamentWriting(trained=trained, limit=LIMIT)
    spread = run.stage("spread", lambda: measured_error(config, writing, run.seed))
    study = Study(config, run, data, writing, spread)
    chosen = study.tune(run.seed)
    kept = [study.results(run.seed + k, chosen) for k in range(config.seeds)]
    report(config, run, writing, spread, chosen, kept, inputs=data["train"].x[0].size)


# What is computed.


def splits(dataset) -> dict[str, Split]:
    """The three parts."""
    return {n: getattr(dataset, n) for n in ("train", "validation", "test")}


def pooled(split: Split) -> Split:
    """Means of 2 x 2 pixels: 14 x 14 inputs."""
    x = np.asarray(split.x, np.float32)[..., 0]
    n, side, _ = x.shape
    x = x.reshape(n, side // 2, 2, side // 2, 2).mean((2, 4))[..., None]
    return Split(np.round(x).astype(np.uint8), split.y)


def measured_error(config, writing, seed) -> dict:
    """Mean and standard deviation of what planned drives make of sampled devices."""
    key = jax.random.fold_in(jax.random.key(seed), 77)
    error = WrittenError.measure(writing, key=key, targets=config.levels, repeats=config.samples)
    return {"mean": error.mean, "std": error.std}


def hardware(writing, spread=None, multiple: float = 1.0) -> Hardware:
    """Pairs of devices in the window of the writing, with a multiple of its noise or none."""
    error = None
    if spread is not None:
        std = multiple * np.asarray(spread["std"])
        error = WrittenError(std, mean=spread["mean"], space="G")
    low, high = (float(g) for g in writing.window)
    mapping = WeightMapping("differential", "layer", "percentile", 99.5, space="G")
    return Hardware(DeviceStatistics(1 / high, 1 / low, error), mapping, bits=None)


class Study:
    """All trainings of all networks; each is done once."""

    def __init__(self, config, run, data, writing, spread):
        """Nothing is computed yet."""
        self.config, self.run, self.data = config, run, data
        self.writing, self.spread = writing, spread
        self.physical = Physical(writing)
        self._done = {}

    def model(self, seed: int, spread=None, multiple: float = 1.0):
        """Return a network with random weights on devices, with noise or without."""
        shape, hidden = self.data["train"].x.shape[1:], self.config.hidden
        model = MLP(input_shape=shape, hidden=hidden, rngs=nnx.Rngs(seed))
        return convert_to_analog(model, hardware(self.writing, spread, multiple))

    def trained(self, name: str, seed: int, model, **options):
        """Return the network after a training, what its family has trained, and its losses."""
        name = f"{name}_{seed}"
        if name not in self._done:
            config = self.config
            options = {"steps": config.steps, "learning_rate": config.learning_rate} | options
            training = AnalogTraining(
                model, self.data["train"], batch=config.batch, seed=seed, **options
            )
            state = tune_in_run(self.run, name, training)
            self._done[name] = training.model(state), training.trained(state), state
        return self._done[name]

    def digital(self, seed: int):
        """Return a digitally trained network, on devices without errors."""
        steps = self.config.digital_steps
        return self.trained("digital", seed, self.model(seed), steps=steps)[0]

    def noise(self, seed: int, rate: float, multiple: float):
        """Return a network trained with noise and the drives planned from it, and the losses."""
        digital = self.digital(seed)
        noisy = self.model(seed, self.spread, multiple)
        nnx.update(noisy, nnx.state(digital, nnx.Param))
        tuned, _, state = self.trained(
            f"noise_{rate:g}_{multiple:g}", seed, noisy,
            learning_rate=rate * self.config.learning_rate, family=NoiseInjection(),
        )  # fmt: skip
        # Written through the device, whose errors are all there are.
        weights = nnx.clone(digital)
        nnx.update(weights, nnx.state(tuned, nnx.Param))
        return weights, self.physical.start(weights), state

    def through_device(self, seed: int, rate: float):
        """Return a network trained through its devices, its drives and the losses."""
        return self.trained(
            f"physical_{rate:g}", seed, self.digital(seed),
            family=self.physical, family_rate=rate * self.config.drive_rate,
        )  # fmt: skip

    def on_chips(self, model, drives, seed: int, role: str) -> np.ndarray:
        """Return the accuracy on held-out chips that are written by these drives."""
        count = self.config.chips if role == "test" else self.config.tuning_chips
        keys = held_out_keys(seed, count, role=role)
        return accuracy_on_chips(model, self.physical, drives, self.data[role], chips=keys)[0]

    def tune(self, seed: int) -> dict[str, tuple[float, ...]]:
        """Choose the options of both trainings on validation images and chips."""
        config, chosen = self.config, {}
        options = {
            "noise": [(r, m) for r in config.rates for m in config.multiples],
            "physical": [(r,) for r in config.rates],
        }
        for kind, make in (("noise", self.noise), ("physical", self.through_device)):
            reached = []
            for option in options[kind]:
                model, drives, _ = make(seed, *option)
                reached.append(float(self.on_chips(model, drives, seed, "validation").mean()))
                name = "_".join(f"{x:g}" for x in option)
                self.run.metric(f"validation_{kind}_{name}", reached[-1], "seed 0, not of test")
            chosen[kind] = options[kind][int(np.argmax(reached))]
        return chosen

    def results(self, seed: int, chosen) -> dict:
        """Return what each way of training gives on test images and chips, losses and pulses."""
        digital = self.digital(seed)
        ways = {
            "plain": (digital, self.physical.start(digital)),
            "noise": self.noise(seed, *chosen["noise"]),
            "physical": self.through_device(seed, *chosen["physical"]),
        }
        found = {n: self.on_chips(way[0], way[1], seed, "test") for n, way in ways.items()}
        key = held_out_keys(seed, 1, role="test")
        found["digital"] = accuracy_on_chips(digital, Precise(), (), self.data["test"], chips=key)[
            0
        ]
        for name, value in found.items():
            self.run.log(f"seed {seed}, {name}: {100 * value.mean():.2f} %")
        last = next(n for n in ways["plain"][1]["drives"] if n.startswith("head"))
        return found | {
            "loss": {name: np.asarray(ways[name][2].loss) for name in ("noise", "physical")},
            "failed": np.asarray(ways["physical"][2].failed),
            "amplitudes": {n: way[1]["drives"][last]["amplitude"] for n, way in ways.items()},
        }


# What is reported.


def report(config, run, writing, spread, chosen, kept, inputs) -> None:
    """Accuracy, differences, the spread of levels, amplitudes."""
    mean = {n: np.asarray([float(np.mean(k[n])) for k in kept]) for n in NAMES}
    for name, values in mean.items():
        run.metric(f"accuracy_{name}", float(values.mean()), f"{NAMES[name]}, mean of seeds")
    said = []
    for a, b in (("physical", "plain"), ("noise", "plain"), ("physical", "noise")):
        d = paired_difference(mean[a], mean[b])
        run.metric(f"{a}_minus_{b}", d.mean, "difference, mean of seeds")
        run.metric(f"{a}_minus_{b}_half_width", d.half_width, "95 % Student interval over seeds")
        said.append(
            f"{NAMES[a]} minus {NAMES[b]}: {100 * d.mean:+.2f} +- {100 * d.half_width:.2f} points"
        )
    failed = int(sum(np.sum(k["failed"]) for k in kept))
    run.metric("failed_devices", float(failed), "masked, over all steps of physical training")
    devices = 2 * config.hidden * (inputs + 10)
    run.metric("devices", float(devices), "filaments of the network")
    low, high = (1e6 * float(g) for g in writing.window)
    run.section(
        "Devices and writing",
        f"{inputs}-{config.hidden}-10 on {config.data.name}, pooled 2 x 2: {devices} filaments in "
        "pairs. JART VCM v1b, exact current; radius, disc length, N_min and N_max of each filament "
        "are drawn within their published bounds (`JART_SPREAD`). Every write begins at "
        "N = 0.06e26 1/m^3, and is one RESET pulse of 1 us and 0.8 to 1.6 V: nominally "
        f"{low:.1f} to {high:.1f} uS. "
        "The model moves nothing at 0 V, so there is no drift.",
    )
    run.figure(
        "spread",
        _spread(spread),
        "What planned pulses make of devices: mean and standard deviation of the error, by "
        "target; fractions of the window.",
    )
    run.section(
        "Accuracy on held-out chips",
        f"Mean over {config.seeds} networks and {config.chips} chips each, chips that no training "
        f"saw, all written through the device's equations: "
        + "; ".join(f"{NAMES[n]} {100 * v.mean():.2f} %" for n, v in mean.items())
        + ". Paired over networks, with 95 % Student intervals: "
        + "; ".join(said)
        + f". Both trainings start from the digital network and take {config.steps} steps. On "
        "validation images and chips of the first network both were tuned over the factors "
        + ", ".join(f"{r:g}" for r in config.rates)
        + f" on a learning rate: {config.learning_rate:g} with noise, {chosen['noise'][0]:g} times "
        f"that taken (with {chosen['noise'][1]:g} times the noise, of "
        + ", ".join(f"{m:g}" for m in config.multiples)
        + f"); {config.learning_rate * config.drive_rate:g} V for pulses, "
        f"{chosen['physical'][0]:g} times that taken. Devices masked in physical training: "
        f"{failed}. Plain transfer has had no further steps: differences are of whole trainings.",
    )
    run.figure("accuracy", _accuracy(mean, kept), "Held-out chips: dots are chips, bars means.")
    run.figure(
        "drives",
        _drives(kept[0]),
        "Amplitudes of the last layer's pulses: planned from digital weights, planned from those "
        "of noise injection, and trained.",
    )
    run.figure("learning", _learning(kept), "Cross-entropy of batch and chip, means over networks.")
    run.summary("; ".join(said) + ".")
    run.dataset(
        "accuracy",
        xr.Dataset(
            {
                name: (
                    ("seed", f"chip_{name}"),
                    np.stack([k[name] for k in kept]),
                    {"units": "1"},
                )
                for name in NAMES
            }
        ),
    )


def _spread(spread):
    fig, axis = aj.plotting.figure(width=4.6)
    target = np.linspace(0.0, 1.0, spread["mean"].size)
    axis.plot(target, spread["std"], label="standard deviation")
    axis.plot(target, spread["mean"], label="mean")
    axis.set_xlabel("target (fraction of the window)")
    axis.set_ylabel("error (fraction of the window)")
    axis.legend()
    return fig


def _accuracy(mean, kept):
    fig, axis = aj.plotting.figure(width=5.2)
    for row, name in enumerate(NAMES):
        axis.bar(row, 100 * mean[name].mean(), color=aj.plotting.COLORS[row], alpha=0.5)
        for k, one in enumerate(kept):
            values = 100 * np.asarray(one[name])
            place = np.full(values.size, row + 0.2 * (k - (len(kept) - 1) / 2))
            axis.plot(place, values, ".", color=aj.plotting.COLORS[row], markersize=4)
    lowest = 100 * min(np.min(k[n]) for k in kept for n in NAMES)
    axis.set_ylim(max(lowest - 3, 0), 100)
    axis.set_xticks(range(len(NAMES)), [n.replace(" ", "\n") for n in NAMES.values()])
    axis.set_ylabel("test accuracy (%)")
    return fig


def _drives(one):
    fig, axis = aj.plotting.figure(width=5.2)
    edges = np.linspace(0.6, 2.0, 71)
    for key, label in (
        ("plain", "planned, digital"),
        ("noise", "planned, noise injection"),
        ("physical", "trained"),
    ):
        axis.hist(np.ravel(one["amplitudes"][key]), edges, histtype="step", label=label)
    axis.set_yscale("log")
    axis.set_xlabel("amplitude (V)")
    axis.set_ylabel("devices")
    axis.legend()
    return fig


def _learning(kept):
    over = min(20, kept[0]["loss"]["noise"].size)
    fig, axis = aj.plotting.figure(width=5.2)
    for row, name in enumerate(("noise", "physical"), start=2):
        loss = np.mean([one["loss"][name] for one in kept], axis=0)
        # A step's batch and chip scatter: means of so many steps.
        loss = loss[: loss.size // over * over].reshape(-1, over).mean(1)
        steps = over * (np.arange(loss.size) + 0.5)
        axis.plot(steps, loss, color=aj.plotting.COLORS[row], label=NAMES[name])
    axis.set_ylim(0.0)
    axis.set_xlabel("step")
    axis.set_ylabel("cross-entropy (nat)")
    axis.legend()
    return fig
