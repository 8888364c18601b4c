"""A network trained through the reduced model of the TiO2-x film: pulses, not weights, are learnt.

What is trained is how long the SET and the RESET train of each device last; the loss
follows through the states of the device. Set against writing a digitally trained network, and
against training with noise that has the same sigma(G), all on chips that no training has seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import xarray as xr
from flax import nnx

import analogjax as aj
from analogjax._checks import check_whole
from analogjax.crossbar import DeviceStatistics, Hardware, WeightMapping, WrittenError
from analogjax.data import DataConfig, Split
from analogjax.networks import NetworkConfig, analog_layers, convert_to_analog
from analogjax.programming import ProgrammingConfig, ReducedWriting, reduced_model
from analogjax.runs import RunFolder, UsageError
from analogjax.training import (
    AnalogTraining,
    NoiseInjection,
    Physical,
    TrainingConfig,
    evaluate_on_chips,
    held_out_keys,
    paired_difference,
    train_cached,
    tune_in_run,
)

MAPPING = WeightMapping("differential", "layer", "max", space="G")

KINDS = {
    "transfer": "digital, written as planned",
    "noise": "trained with noise, written as planned",
    "physical": "trained through the device",
}


@dataclass
class Spread:
    """How devices differ: standard deviations of logarithms (assumed, not measured)."""

    speed: float = 0.0
    resistance: float = 0.0


@dataclass
class Config:
    """Network, device, how it differs, and both trainings."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Of the digital network, from which all others start."""
    programming: ProgrammingConfig = field(default_factory=ProgrammingConfig)
    """The film, and how it was written to be distilled."""
    reduced: str | None = None
    """File of a reduced model that was distilled before (`stages/reduced.npz` of a run of
    `programming`); null distils it, or takes it from the cache."""
    exclude: list[str] = field(default_factory=list)
    """Layers, or modules around layers, that stay digital."""
    full: float = 16.0
    """SET that brings a nominal device from its start to fraction 1 [s]."""
    mild: Spread = field(default_factory=lambda: Spread(0.05, 0.0005))
    hurts: Spread = field(default_factory=lambda: Spread(0.2, 0.01))
    seeds: int = 3
    steps: int = 400
    """Steps of each training on chips."""
    batch: int = 128
    learning_rate: float = 1e-3
    rates: list[float] = field(default_factory=lambda: [1.0, 3.0])
    """Both trainings are tuned over these factors on the learning rate: that of all parameters with
    noise, that of drives and full scales through the device."""
    tuning_images: int = 2000
    """Validation images for the choice among them."""
    tuning_chips: int = 3
    chips: int = 10
    measured: int = 0
    """Training images on which every chip measures the statistics of its batch normalisations, and
    on whose like it is trained; 0 for those of the digital network in both."""
    images: int | None = None
    """Test images used; null for all."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("seeds", "steps", "batch", "tuning_images", "tuning_chips", "chips"):
            check_whole(name, getattr(self, name))
        check_whole("measured", self.measured, 0)
        if not self.rates:
            raise UsageError("Argument `rates` must hold a number or more, but is empty.")


def run(config: Config, run: RunFolder) -> None:
    """Distil, train digitally, train on chips, evaluate on others, report."""
    dataset = config.data.load()
    aj.training.check_data(dataset, config.training)
    device, error = reduced_model(config.programming, run, file=config.reduced)
    digital = [
        train_cached(
            config.network, dataset, config.training, seed=run.seed + k,
            checkpoints=run.path / f"checkpoints{k}", progress=run.progress, log=run.log,
        ).model
        for k in range(config.seeds)
    ]  # fmt: skip
    test = Split(dataset.test.x[: config.images], dataset.test.y[: config.images])
    reached = run.stage(
        "digital", lambda: {"accuracy": [aj.training.accuracy(m, test) for m in digital]}
    )["accuracy"]
    # Tuned where the noise hurts, and used for both.
    studies = {
        case: Study(config, run, dataset, test, device, case, getattr(config, case))
        for case in ("hurts", "mild")
    }
    chosen = studies["hurts"].tune(digital[0])
    parts = {case: [] for case in studies}
    for seed, model in enumerate(digital):
        for case, study in studies.items():
            parts[case].append(study.results(model, seed, chosen))
    found = {case: collected(own) for case, own in parts.items()}
    report(
        config, run, dataset, error, np.asarray(reached), chosen, found, study.devices(digital[0])
    )


class Study:
    """All trainings for one spread of devices."""

    def __init__(self, config, run, dataset, test, device, case, spread: Spread):
        """Prepare the writing; nothing is computed yet but its table."""
        self.config, self.run, self.case = config, run, case
        self.train, self.test = dataset.train, test
        x, y = dataset.validation
        self.validation = Split(x[: config.tuning_images], y[: config.tuning_images])
        self.writing = ReducedWriting(
            device,
            full=config.full,
            speed_spread=spread.speed,
            resistance_spread=spread.resistance,
        )
        self.physical = Physical(self.writing)
        self._tuned = {}

    def hardware(self, *, noisy: bool = False) -> Hardware:
        """Return devices of the window, with the error of planned writes or without."""
        error = None
        if noisy:
            key = jax.random.fold_in(jax.random.key(self.run.seed), 1)
            error = WrittenError.measure(self.writing, key=key)
        return Hardware(DeviceStatistics(*self.writing.window, error), MAPPING, bits=None)

    def analog(self, model, *, noisy: bool = False):
        """Put a digital network on these devices."""
        return convert_to_analog(model, self.hardware(noisy=noisy), exclude=self.config.exclude)

    def devices(self, model) -> int:
        """Return the number of devices."""
        return sum(2 * v.kernel[...].size for v in analog_layers(self.analog(model)).values())

    def trained(self, kind: str, model, seed: int, option: float):
        """Return the analog model of one training, its drives and losses (stage of its own)."""
        noise = kind == "noise"
        training = AnalogTraining(
            self.analog(model, noisy=noise),
            self.train,
            steps=self.config.steps,
            batch=self.config.batch,
            learning_rate=self.config.learning_rate * (option if noise else 1.0),
            family=NoiseInjection() if noise else self.physical,
            family_rate=1.0 if noise else option,
            statistics="batch" if self.config.measured else "running",
            seed=self.run.seed + seed,
        )
        name = f"{self.case}_{kind}_{seed}_{option:g}"
        # Tuning has trained some that the results need again.
        if name not in self._tuned:
            self._tuned[name] = tune_in_run(self.run, name, training)
        tuned = self._tuned[name]
        trained = training.trained(tuned)
        made = training.model(tuned)
        if noise:
            # Written through the device, whose errors are all there are.
            learnt = nnx.state(made, nnx.Param)
            made = self.analog(model)
            nnx.update(made, learnt)
            trained = self.physical.start(made)
        return made, trained, tuned

    def on_chips(self, model, trained, split, *, role: str, chips: int):
        """Return accuracy and failed devices on held-out chips, written through the device."""
        keys = held_out_keys(self.run.seed, chips, role=role)
        measured = self.train.x[: self.config.measured] if self.config.measured else None
        found = evaluate_on_chips(
            model, self.physical, trained, split, chips=keys, measured=measured
        )
        return found.accuracy[0], found.failed[0]

    def tune(self, model) -> dict[str, float]:
        """Choose the options of both trainings on validation images and chips."""
        config = self.config
        if len(config.rates) == 1:
            return dict.fromkeys(("noise", "physical"), config.rates[0])
        chosen = {}
        for kind in ("noise", "physical"):

            def compute(kind=kind):
                reached = []
                for option in config.rates:
                    made, trained, _ = self.trained(kind, model, 0, option)
                    accuracy, _ = self.on_chips(
                        made, trained, self.validation, role="validation",
                        chips=config.tuning_chips,
                    )  # fmt: skip
                    reached.append(accuracy.mean())
                return {"accuracy": np.asarray(reached)}

            reached = self.run.stage(f"tuning_{kind}", compute)["accuracy"]
            for option, value in zip(config.rates, reached, strict=True):
                self.run.metric(f"validation_{kind}_{option:g}", float(value))
            chosen[kind] = config.rates[int(np.argmax(reached))]
        return chosen

    def results(self, model, seed: int, chosen) -> dict[str, np.ndarray]:
        """Return accuracies and failures (kinds, chips) of a seed, losses, durations."""

        def compute():
            shape = (len(KINDS), self.config.chips)
            kept: dict[str, Any] = {"accuracy": np.zeros(shape), "failed": np.zeros(shape)}
            for k, kind in enumerate(KINDS):
                if kind == "transfer":
                    made = self.analog(model)
                    trained = self.physical.start(made)
                else:
                    made, trained, tuned = self.trained(kind, model, seed, chosen[kind])
                    kept |= {f"{kind}_loss": tuned.loss, f"{kind}_masked": tuned.failed}
                kept["accuracy"][k], kept["failed"][k] = self.on_chips(
                    made, trained, self.test, role="test", chips=self.config.chips
                )
                kept |= {f"{kind}_{n}": v for n, v in self.lasting(trained).items()}
            return kept

        return self.run.stage(f"results_{self.case}_{seed}", compute)

    def lasting(self, trained) -> dict[str, np.ndarray]:
        """Return how long both trains of all devices last [s]."""
        parts = [
            {n: self.writing.duration(x).ravel() for n, x in own.items()}
            for own in trained["drives"].values()
        ]
        return {n: np.concatenate([np.asarray(p[n]) for p in parts]) for n in ("set", "reset")}


def collected(parts) -> dict[str, np.ndarray]:
    """Stack the results of seeds: accuracies (kinds, seeds, chips)."""
    found = {
        name: np.stack([own[name] for own in parts], axis=1) for name in ("accuracy", "failed")
    }
    found["loss"] = np.stack([[own[f"{k}_loss"] for own in parts] for k in ("noise", "physical")])
    found["masked"] = np.asarray([own["physical_masked"].mean() for own in parts])
    trains = [f"{kind}_{train}" for kind in KINDS for train in ("set", "reset")]
    return found | {name: parts[0][name] for name in trains}


# What is reported.


def report(config, run, dataset, error, reached, chosen, found, devices) -> None:
    """Accuracy on held-out chips, differences paired over seeds, drives."""
    rows, differences, said = [], [], {}
    digital = float(reached.mean())
    over_chips = min(1, config.chips - 1)
    run.metric("accuracy_digital", digital, "mean over seeds")
    for case in ("mild", "hurts"):
        own = found[case]
        means = own["accuracy"].mean(axis=2)
        spread = getattr(config, case)
        for k, kind in enumerate(KINDS):
            run.metric(f"accuracy_{case}_{kind}", float(means[k].mean()), KINDS[kind])
            run.metric(
                f"failed_{case}_{kind}", float(own["failed"][k].mean()), "devices of a chip, masked"
            )
            rows.append(
                [
                    f"{case}: {100 * spread.speed:g} % speed, {100 * spread.resistance:g} % R",
                    KINDS[kind],
                    f"{100 * means[k].mean():.2f} %",
                    f"{100 * own['accuracy'][k].std(axis=1, ddof=over_chips).mean():.2f}",
                    f"{own['failed'][k].mean():.1f}",
                ]
            )
        for name, a, b in (
            ("noise - transfer", means[1], means[0]),
            ("physical - transfer", means[2], means[0]),
            ("physical - noise", means[2], means[1]),
            ("noise - digital", means[1], reached),
            ("physical - digital", means[2], reached),
        ):
            d = paired_difference(a, b)
            key = name.replace(" - ", "_minus_")
            run.metric(f"{case}_{key}_points", 100 * d.mean)
            if np.isfinite(d.half_width):
                run.metric(f"{case}_{key}_half_width_points", 100 * d.half_width)
            interval = f" +- {100 * d.half_width:.2f}" if np.isfinite(d.half_width) else ""
            said[case, name] = f"{100 * d.mean:+.2f}{interval}"
            differences.append([case, name, said[case, name]])
        run.metric(f"masked_{case}", float(own["masked"].mean()), "devices masked in a step")
    run.section(
        "What is compared",
        f"{config.network.name} on {dataset.name}, {devices} devices in pairs"
        + (f" (digital: {', '.join(config.exclude)}). " if config.exclude else ". ")
        + "All networks start "
        f"from the same digital ones ({config.training.epochs} epochs; "
        f"{100 * digital:.2f} % in the mean of {config.seeds} seeds, on the "
        f"{'whole test set' if config.images is None else f'first {config.images} test images'}). "
        f"Both trainings take {config.steps} steps of {config.batch} images, a chip of its own "
        f"each, with {chosen['noise']:g} and {chosen['physical']:g} times "
        f"{config.learning_rate:g} for weights with noise and for drives"
        + (
            f", of {len(config.rates)} rates chosen on validation images and chips (seed 0, where "
            "the noise hurts). "
            if len(config.rates) > 1
            else ", tuned for neither. "
        )
        + "Normalisations, where there are any, are digital; their scales and shifts are trained, "
        "their statistics are those of the digital network. The sigma(G) of the noise, with its "
        "slope, is measured from planned writes of the same devices, and all three are written "
        f"through the same devices. Accuracies are of {config.chips} chips that no training or "
        "tuning has seen, the same for all.",
    )
    run.table(
        "Accuracy on held-out chips",
        ["devices differ by", "network", "accuracy", "s.d. over chips (points)", "failed devices"],
        rows,
        "A failed device has left the states that the reduced model knows; it stays where it "
        "began.",
    )
    run.table(
        "Differences (points)",
        ["case", "difference", "mean and 95 % interval"],
        differences,
        f"Of the means over chips, paired over {config.seeds} seeds (Student)."
        if config.seeds > 1
        else "Of the means over chips of one network: how trainings scatter is not known.",
    )
    run.figure("accuracy", _accuracy(found, digital), "Every dot is a chip; seeds side by side.")
    run.figure(
        "drives",
        _drives(found["hurts"]),
        "How long the trains of each device last (seed 0, where the noise hurts).",
    )
    run.figure("learning", _learning(found["hurts"]), "Cross-entropy of each step's batch.")
    run.summary(
        f"{config.network.name} on {dataset.name}, {100 * digital:.2f} % digital, through the "
        f"reduced model of the TiO2-x film (error {100 * error:.2g} % of its window). Where devices"
        f" differ by {100 * config.hurts.speed:g} % in speed and "
        f"{100 * config.hurts.resistance:g} % in resistance, in points against plain transfer: "
        f"{said['hurts', 'noise - transfer']} by training with noise, "
        f"{said['hurts', 'physical - transfer']} by training through the device, "
        f"which is {said['hurts', 'physical - noise']} against noise. Where they hardly differ: "
        f"{said['mild', 'noise - digital']} and {said['mild', 'physical - digital']} against the "
        "digital network."
    )
    for case, own in found.items():
        run.dataset(
            case,
            xr.Dataset(
                {
                    "accuracy": (("kind", "seed", "chip"), own["accuracy"], {"units": "1"}),
                    "failed": (("kind", "seed", "chip"), own["failed"], {"units": "1"}),
                },
                coords={"kind": list(KINDS)},
            ),
        )


def _accuracy(found, digital):
    fig, axes = aj.plotting.figure(1, 2, width=3.6, height=2.8)
    for axis, case in zip(np.ravel(axes), ("mild", "hurts"), strict=True):
        for k in range(len(KINDS)):
            own = 100 * found[case]["accuracy"][k]
            for seed, values in enumerate(own):
                x = k + 0.2 * (seed - (len(own) - 1) / 2)
                axis.plot(
                    np.full(values.shape, x), values, "o", ms=2.5, alpha=0.6,
                    color=aj.plotting.COLORS[k],
                )  # fmt: skip
            axis.plot([k - 0.35, k + 0.35], [own.mean()] * 2, color="k", lw=1.2)
        axis.axhline(100 * digital, color="k", ls="--", lw=1.0)
        axis.set_xticks(range(len(KINDS)), ["transfer", "noise", "physical"])
        axis.set_title({"mild": "little differs", "hurts": "much differs"}[case])
        axis.set_ylabel("test accuracy (%)")
    return fig


def _drives(own):
    fig, axes = aj.plotting.figure(1, 2, width=3.6, height=2.8)
    for axis, train in zip(np.ravel(axes), ("set", "reset"), strict=True):
        top = max(own[f"{kind}_{train}"].max() for kind in KINDS)
        for k, kind in enumerate(KINDS):
            axis.hist(
                own[f"{kind}_{train}"], bins=np.linspace(0, top, 60), histtype="step",
                color=aj.plotting.COLORS[k], label=kind,
            )  # fmt: skip
        axis.set_yscale("log")
        axis.set_xlabel(f"{train.upper()} train (s)")
        axis.set_ylabel("devices")
        axis.legend()
    return fig


def _learning(own):
    fig, axis = aj.plotting.figure(width=5.4)
    for k, kind in enumerate(("noise", "physical")):
        axis.plot(
            np.arange(1, own["loss"].shape[2] + 1), own["loss"][k].mean(axis=0),
            color=aj.plotting.COLORS[k + 1], label=KINDS[kind],
        )  # fmt: skip
    axis.set_xlabel("step")
    axis.set_ylabel("cross-entropy (nat)")
    axis.legend()
    return fig
