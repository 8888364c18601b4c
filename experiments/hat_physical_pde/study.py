"""One split after the other: digital network, training with noise, training through films."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import analogjax as aj
from analogjax.crossbar import DeviceStatistics, GaussianError, Hardware, WeightMapping
from analogjax.data import Split, standardised_split
from analogjax.networks import MLP, convert_to_analog
from analogjax.training import (
    AnalogTraining,
    NoiseInjection,
    Physical,
    Precise,
    accuracy,
    evaluate_on_chips,
    held_out_keys,
)

MAPPING = WeightMapping("differential", "layer", "max", space="G")
ARMS = ("transfer", "noise", "physical")
TUNING_SEED = 100_000
"""Splits for tuning begin here."""


class Study:
    """Trainings that are compiled once, and what they give on each split."""

    def __init__(self, config, seed: int, writing, std: float, mean: float):
        """Prepare; `std` and `mean` are those of films [window]."""
        self.config, self.seed, self.writing = config, seed, writing
        self.std, self.mean = std, mean
        data = aj.data.load("iris", validation=0.0)
        self.x = np.concatenate([data.train.x, data.test.x])
        self.y = np.concatenate([data.train.y, data.test.y])
        self.physical = Physical(writing)
        self._kept: dict[str, AnalogTraining] = {}

    # Data and networks.

    def split(self, index: int) -> tuple[Split, Split]:
        """Return training and held-out flowers, in units of the training flowers' spread."""
        config = self.config
        return standardised_split(self.x, self.y, config.held_out / len(self.y), self.seed + index)

    def network(self, index: int, factor: float):
        """Return a network with random weights on devices with so much noise."""
        model = MLP(
            input_shape=(4,), classes=3, hidden=(self.config.hidden,),
            rngs=nnx.Rngs(self.seed + index),
        )  # fmt: skip
        low, high = (float(g) for g in self.writing.window)
        error = GaussianError(factor * self.std, mean=self.mean, space="G")
        return convert_to_analog(
            model, Hardware(DeviceStatistics(1 / high, 1 / low, error), MAPPING, bits=None)
        )

    def films(self, model):
        """Return the model on hardware whose films alone have errors: those of the physics."""
        new = self.network(0, 0.0)
        nnx.update(new, nnx.state(model, nnx.Param))
        for layer in aj.networks.analog_layers(new).values():
            device = layer.device.get_value()
            layer.device.set_value(DeviceStatistics(device.r_low, device.r_high))
        return new

    # Trainings.

    def _train(self, kind, analog, train, seed, **options):
        if kind not in self._kept:
            self._kept[kind] = AnalogTraining(
                analog, train, batch=len(train.y), seed=seed, **options
            )
        training = self._kept[kind].again(analog, train, seed=seed)
        if isinstance(training.family, Physical):
            state = training.start()
            for _ in range(training.steps):
                state = training.advance(state)
            return training, state
        return training, training.all_steps()

    def plain(self, kind, index, analog, train):
        """Train all weights: ``digital`` without noise, ``noise`` with it."""
        family = Precise() if kind == "digital" else NoiseInjection()
        config = self.config
        training, state = self._train(
            kind, analog, train, self.seed + index,
            steps=config.steps, learning_rate=config.learning_rate,
            weight_decay=config.weight_decay, family=family,
        )  # fmt: skip
        return training.model(state)

    def more(self, kind, index, analog, train):
        """Train on for the steps through films, with noise or through films."""
        config = self.config
        options = {"family": NoiseInjection()}
        if kind == "physical":
            options = {"family": self.physical, "family_rate": config.drive_rate}
        return self._train(
            f"more {kind}", analog, train, self.seed + index + 1,
            steps=config.physical_steps, learning_rate=config.physical_learning_rate, **options,
        )  # fmt: skip

    def physical_training(self) -> AnalogTraining:
        """Return the training through films of the first split, untrained (for its cost)."""
        train, _ = self.split(0)
        config = self.config
        if "more physical" not in self._kept:
            self._kept["more physical"] = AnalogTraining(
                self.films(self.network(0, 1.0)), train, batch=len(train.y), seed=self.seed,
                steps=config.physical_steps, learning_rate=config.physical_learning_rate,
                family=self.physical, family_rate=config.drive_rate,
            )  # fmt: skip
        return self._kept["more physical"]

    def judge(self, index, model, trained, split, *, role="test", times=(0.0,), chips=None):
        """Return accuracies and failures on chips that no training saw."""
        keys = held_out_keys(self.seed + index, chips or self.config.chips, role=role)
        return evaluate_on_chips(model, self.physical, trained, split, chips=keys, times=times)

    # Stages.

    def tune(self, run) -> dict:
        """Return accuracies of trainings with noise of several sizes, on validation splits."""
        config = self.config
        found = np.zeros((len(config.noise_factors), config.tuning_splits, config.chips))
        with run.progress("tuning", found.shape[0] * found.shape[1]) as progress:
            for j in range(config.tuning_splits):
                index = TUNING_SEED + j
                train, validation = self.split(index)
                for k, factor in enumerate(config.noise_factors):
                    model = self.plain("noise", index, self.network(index, factor), train)
                    model = self.films(model)
                    start = self.physical.start(model)
                    held = self.judge(index, model, start, validation, role="validation")
                    found[k, j] = held.accuracy[0]
                    progress.advance()
        return {"accuracy": found}

    def all_splits(self, run, factor: float) -> dict:
        """Train and judge on every split."""
        config = self.config
        like = self.films(self.network(0, factor))
        like = jax.tree.map(np.asarray, (nnx.state(like, nnx.Param), self.physical.start(like)))
        width = len(ARMS)
        zeros = {
            "count": np.zeros((), np.int64),
            "digital": np.zeros(config.splits),
            "accuracy": np.zeros((config.splits, width, config.chips)),
            "failed": np.zeros((config.splits, width, config.chips), np.int64),
            "loss": np.zeros((config.splits, config.physical_steps)),
            "loss_noise": np.zeros((config.splits, config.physical_steps)),
            "failed_training": np.zeros((config.splits, config.physical_steps), np.int64),
            "seconds": np.zeros((config.splits, 4)),
        }
        for arm in ARMS:
            for k, leaf in enumerate(jax.tree.leaves(like)):
                zeros[f"{arm}{k}"] = np.zeros((config.splits, *leaf.shape), leaf.dtype)

        def advance(state):
            state = {k: np.array(v) for k, v in state.items()}
            i = int(state["count"])
            for name, value in self._one(i, factor).items():
                state[name][i] = value
            state["count"] += 1
            return state

        return run.portions(
            "splits", lambda: zeros, advance, lambda s: int(s["count"]), config.splits
        )

    def _one(self, i, factor) -> dict:
        train, test = self.split(i)
        clock = [time.perf_counter()]
        digital = self.plain("digital", i, self.network(i, factor), train)
        noisy = self.plain("noise", i, self.network(i, factor), train)
        clock.append(time.perf_counter())
        more, longer = self.more("noise", i, noisy, train)
        clock.append(time.perf_counter())
        through, state = self.more("physical", i, self.films(noisy), train)
        clock.append(time.perf_counter())
        arms = {
            "transfer": self.films(digital),
            "noise": self.films(more.model(longer)),
            "physical": through.model(state),
        }
        trained = {
            arm: through.trained(state) if arm == "physical" else self.physical.start(model)
            for arm, model in arms.items()
        }
        held = [self.judge(i, arms[arm], trained[arm], test) for arm in ARMS]
        clock.append(time.perf_counter())
        found = {
            # Its own devices have noise, which it never used: without a chip there is none.
            "digital": accuracy(self.films(digital), test),
            "accuracy": np.stack([h.accuracy[0] for h in held]),
            "failed": np.stack([h.failed[0] for h in held]),
            "loss": state.loss,
            "loss_noise": longer.loss,
            "failed_training": state.failed,
            "seconds": np.diff(clock),
        }
        for arm in ARMS:
            leaves = jax.tree.leaves((nnx.state(arms[arm], nnx.Param), trained[arm]))
            found |= {f"{arm}{k}": np.asarray(leaf) for k, leaf in enumerate(leaves)}
        return found

    def all_rests(self, run, found) -> dict:
        """Judge some of the trained networks after rests."""
        config = self.config
        count, times = min(config.drift_splits, config.splits), (0.0, *config.rests)
        out = np.zeros((count, len(ARMS), len(times), config.chips))
        like = self.films(self.network(0, 1.0))
        structure = jax.tree.structure((nnx.state(like, nnx.Param), self.physical.start(like)))
        with run.progress("drift", count * len(ARMS)) as progress:
            for i in range(count):
                _, test = self.split(i)
                for j, arm in enumerate(ARMS):
                    leaves = [
                        jnp.asarray(found[f"{arm}{k}"][i]) for k in range(structure.num_leaves)
                    ]
                    parameters, trained = jax.tree.unflatten(structure, leaves)
                    model = nnx.clone(like)
                    nnx.update(model, parameters)
                    out[i, j] = self.judge(i, model, trained, test, times=times).accuracy
                    progress.advance()
        return {"accuracy": out, "times": np.asarray(times)}
