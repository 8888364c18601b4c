"""Train what is written into filaments: from pulses through JART VCM to the network's loss.

Each weight is a pair of filaments, each written once, open loop, by one RESET pulse, and filaments
differ in radius, disc length, N_min and N_max within their published bounds. On chips that no
training saw: digitally trained weights as they are, training with noise of the same mean and size
at every level, and physical training, whose gradient passes through the pulse, the device's
equation of motion and the read-out to the loss.
"""

from __future__ import annotations

import time
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
from analogjax.runs import RunFolder
from analogjax.training import (
    AnalogTraining,
    NoiseInjection,
    Physical,
    Precise,
    accuracy_on_chips,
    held_out_keys,
    paired_difference,
)

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
    steps: int = 120
    """Steps of each training for hardware."""
    batch: int = 256
    """Inputs per step."""
    learning_rate: float = 3e-3
    """Largest learning rate of weights and biases."""
    drive_rate: float = 2.0
    """That of drives, over that of biases: 1 V a unit."""
    multiples: list[float] = field(default_factory=lambda: [1.0, 2.0])
    """Of the noise in noise injection; the best one on validation chips is taken."""
    validation_chips: int = 2
    """Chips to choose by."""
    width_too: bool = False
    """Whether the pulses' widths are trained beside their amplitudes."""
    levels: int = 17
    """Levels at which the noise is measured."""
    samples: int = 1000
    """Devices per level."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("hidden", "chips", "steps", "batch", "levels", "samples"):
            check_whole(name, getattr(self, name))
        # Differences are paired over networks, and one has no interval.
        check_whole("seeds", self.seeds, 2)


def run(config: Config, run: RunFolder) -> None:
    """Measure the noise, train in all ways, compare."""
    data = {name: pooled(split) for name, split in splits(config.data.load()).items()}
    data["train"] = Split(*(part[: config.images] for part in data["train"]))
    trained = ("amplitude", "width") if config.width_too else ("amplitude",)
    writing = FilamentWriting(trained=trained)
    spread = run.stage("spread", lambda: measured_error(config, writing, run.seed))
    kept = []
    for k in range(config.seeds):
        seed = run.seed + k
        kept.append(
            run.stage(f"seed{k}", lambda s=seed: one_seed(config, run, data, writing, spread, s))
        )
    inputs = data["train"].x[0].size
    report(config, run, writing, spread, kept, inputs)


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


def one_seed(config, run, data, writing, spread, seed) -> dict:
    """Train one network in all ways and put each on chips."""
    clock = {}

    def trained(model, family, steps, name, rate=1.0):
        training = AnalogTraining(
            model,
            data["train"],
            steps=steps,
            batch=config.batch,
            learning_rate=config.learning_rate,
            family=family,
            family_rate=rate,
            seed=seed,
        )
        begun = time.perf_counter()
        state = run.portions(
            f"{name}-{seed}", training.start, training.advance, lambda s: int(s.count), steps
        )
        clock[name] = (time.perf_counter() - begun) / steps
        return training.model(state), training.trained(state), state

    def on_chips(model, family, values, role):
        split = data[role]
        if role == "validation":
            split = Split(split.x[:2000], split.y[:2000])
        count = config.chips if role == "test" else config.validation_chips
        keys = held_out_keys(seed, count, role=role)
        return accuracy_on_chips(model, family, values, split, chips=keys)[0]

    shape = data["train"].x.shape[1:]
    model = MLP(input_shape=shape, hidden=config.hidden, rngs=nnx.Rngs(seed))
    ideal = convert_to_analog(model, hardware(writing))
    digital, _, _ = trained(ideal, Precise(), config.digital_steps, "digital")
    physical = Physical(writing)
    found = {
        "digital": on_chips(digital, Precise(), (), "test")[:1],
        "plain": on_chips(digital, physical, physical.start(digital), "test"),
    }
    validation = []
    candidates = []
    for multiple in config.multiples:
        noisy = convert_to_analog(model, hardware(writing, spread, multiple))
        nnx.update(noisy, nnx.state(digital, nnx.Param))
        tuned, _, _ = trained(noisy, NoiseInjection(), config.steps, f"noise{multiple:g}")
        weights = nnx.clone(digital)
        nnx.update(weights, nnx.state(tuned, nnx.Param))
        drives = physical.start(weights)
        candidates.append((weights, drives))
        validation.append(on_chips(weights, physical, drives, "validation").mean())
    best = int(np.argmax(validation))
    found["noise"] = on_chips(candidates[best][0], physical, candidates[best][1], "test")
    last, drives, state = trained(digital, physical, config.steps, "physical", config.drive_rate)
    found["physical"] = on_chips(last, physical, drives, "test")
    first = physical.start(digital)["drives"]
    name = next(n for n in first if n.startswith("head"))
    for key, value in found.items():
        run.log(f"seed {seed}, {key}: {100 * value.mean():.2f} %")
    run.log(f"seconds a step: { {k: round(v, 3) for k, v in clock.items()} }")
    return {
        **found,
        "validation": np.asarray(validation),
        "loss": state.loss,
        "failed": state.failed,
        "before": first[name]["amplitude"],
        "after": drives["drives"][name]["amplitude"],
        "noise_amplitude": candidates[best][1]["drives"][name]["amplitude"],
    }


# What is reported.


def report(config, run, writing, spread, kept, inputs) -> None:
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
        + f". Both trainings start from the digital network and take {config.steps} steps; the "
        "multiple of the noise is chosen on validation chips among "
        + ", ".join(f"{m:g}" for m in config.multiples)
        + f". Devices masked in physical training: {failed}. Plain transfer has had no "
        "further steps, and learning rates are not tuned: differences are of whole trainings, and "
        "do not say by themselves what the gradient through the device is worth.",
    )
    run.figure("accuracy", _accuracy(mean, kept), "Held-out chips: dots are chips, bars means.")
    run.figure(
        "drives",
        _drives(kept[0]),
        "Amplitudes of the last layer's pulses: planned from digital weights, planned from those "
        "of noise injection, and trained.",
    )
    run.figure("learning", _learning(kept), "Cross-entropy of each step's batch and chip.")
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
        ("before", "planned, digital"),
        ("noise_amplitude", "planned, noise injection"),
        ("after", "trained"),
    ):
        axis.hist(np.ravel(one[key]), edges, histtype="step", label=label)
    axis.set_yscale("log")
    axis.set_xlabel("amplitude (V)")
    axis.set_ylabel("devices")
    axis.legend()
    return fig


def _learning(kept):
    fig, axis = aj.plotting.figure(width=5.2)
    for k, one in enumerate(kept):
        axis.plot(np.arange(1, len(one["loss"]) + 1), one["loss"], label=f"network {k}")
    axis.set_yscale("log")
    axis.set_xlabel("step of physical training")
    axis.set_ylabel("cross-entropy (nat)")
    axis.legend()
    return fig
