"""Digital training: it learns, goes on exactly where it was killed, and never sees the test set."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax import data, networks, training
from analogjax.data import Dataset, Split
from analogjax.networks import NetworkConfig
from analogjax.networks.build import _MODELS as MODELS
from analogjax.training import TrainingConfig
from analogjax.training._steps import State, make_optimiser, make_step

SMALL = NetworkConfig("mlp", {"hidden": [16]})
SHORT = TrainingConfig(epochs=3, batch=32, learning_rate=1e-2)


def clouds(n=400, seed=0, classes=3, spread=0.4):
    """Return a data set of `classes` clouds in the plane, far apart for their spread."""
    random = np.random.default_rng(seed)

    def split(n):
        y = random.integers(classes, size=n).astype(np.int32)
        angle = 2 * np.pi * y / classes
        centre = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return Split((centre + spread * random.normal(size=(n, 2))).astype(np.float32), y)

    return Dataset("clouds", tuple("abc"[:classes]), split(n), split(n // 4), split(n // 4))


def weights(trained):
    leaves = jax.tree.leaves(nnx.state(trained.model))
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


def assert_same(first, second):
    np.testing.assert_array_equal(weights(first), weights(second))
    for a, b in zip(first.history, second.history, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.epoch == second.epoch


def test_it_learns_the_best_possible_rule():
    # Three equal round clouds 120 degrees apart: the best rule is the nearest centre.
    dataset = clouds(n=4000)
    trained = training.train(SMALL, dataset, TrainingConfig(epochs=8, batch=64, learning_rate=1e-2))
    centre = np.stack([(np.cos(a), np.sin(a)) for a in 2 * np.pi * np.arange(3) / 3])
    distance = np.linalg.norm(dataset.test.x[:, None] - centre[None], axis=2)
    best = np.mean(distance.argmin(axis=1) == dataset.test.y)
    # 1000 test points: two standard deviations of a share of 0.98 are 0.009.
    assert training.accuracy(trained.model, dataset.test) > best - 0.01
    assert trained.history.train_loss[-1] < 0.5 * trained.history.train_loss[0]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_same_seed_same_weights(optimiser):
    recipe = dataclasses.replace(SHORT, optimiser=optimiser)
    first = training.train(SMALL, clouds(), recipe, seed=1)
    assert_same(first, training.train(SMALL, clouds(), recipe, seed=1))
    other = training.train(SMALL, clouds(), recipe, seed=2)
    assert np.abs(weights(first) - weights(other)).max() > 0


def test_the_kept_epoch_has_the_smallest_validation_loss():
    dataset = clouds(n=64)
    recipe = TrainingConfig(epochs=30, batch=8, learning_rate=0.1, patience=4)
    trained = training.train(NetworkConfig("mlp", {"hidden": [64]}), dataset, recipe)
    loss = trained.history.validation_loss
    assert trained.epoch == loss.argmin() + 1
    # It stopped early, four epochs after the best one.
    assert len(loss) == trained.epoch + 4 < 30
    # The kept weights are those of that epoch: the history's number comes out again.
    answers = training.logits(trained.model, dataset.validation.x)
    own = -np.log(jax.nn.softmax(answers.astype(np.float64)))[np.arange(16), dataset.validation.y]
    # float32 logits, so nothing but the summation in float64 differs.
    assert own.mean() == pytest.approx(loss.min(), rel=1e-6)


def test_without_a_validation_set_the_last_epoch_is_kept():
    dataset = dataclasses.replace(clouds(), validation=Split(*(a[:0] for a in clouds().test)))
    trained = training.train(SMALL, dataset, SHORT)
    assert trained.epoch == 3
    assert np.isnan(trained.history.validation_loss).all()


def test_the_test_set_decides_nothing():
    dataset = clouds()
    spoilt = Split(dataset.test.x[::-1] * 7, (dataset.test.y + 1) % 3)
    assert_same(
        training.train(SMALL, dataset, SHORT),
        training.train(SMALL, dataclasses.replace(dataset, test=spoilt), SHORT),
    )


def test_kernels_are_clipped_to_their_own_spread():
    recipe = dataclasses.replace(SHORT, clip_sigma=1.5)
    model = training.train(SMALL, clouds(), recipe).model
    for row, (_, kernel) in zip(networks.weight_statistics(model), kernels(model), strict=True):
        w = np.asarray(kernel.get_value())
        assert row.peak == pytest.approx(np.abs(w).max() / np.sqrt(np.mean(w**2)))
        # Clipping narrows the spread itself, so the bound is over it by a little.
        assert np.abs(w).max() <= 1.5 * 1.25 * w.std()
    free = training.train(SMALL, clouds(), SHORT).model
    assert max(row.peak for row in networks.weight_statistics(free)) > 1.9


def kernels(model):
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return [(path, kernel) for path, kernel in flat if path[-1] == "kernel"]


def test_schedule_rises_then_falls_to_zero():
    # Plain gradient descent on a constant gradient of one: each step is minus the rate.
    recipe = TrainingConfig(
        epochs=4, optimiser="sgd", momentum=0.0, weight_decay=0.0, learning_rate=0.1, warmup=1.0
    )
    optimiser = make_optimiser(recipe, steps=10)
    p = {"w": jnp.zeros((1, 1), jnp.float32)}
    state, rates = optimiser.init(p), []
    for _ in range(40):
        step, state = optimiser.update(jax.tree.map(jnp.ones_like, p), state, p)
        rates.append(-float(step["w"][0, 0]))
    t = np.arange(40)
    cosine = 0.1 * (1 + np.cos(np.pi * (t - 10) / 30)) / 2
    rising = 0.01 + 0.009 * t
    # float32 rates.
    np.testing.assert_allclose(rates, np.where(t < 10, rising, cosine), rtol=0, atol=1e-7)


def test_decay_spares_biases():
    recipe = TrainingConfig(optimiser="sgd", momentum=0.0, learning_rate=0.1, warmup=0.0)
    recipe = dataclasses.replace(recipe, weight_decay=0.5)
    optimiser = make_optimiser(recipe, steps=10)
    p = {"kernel": jnp.ones((2, 2), jnp.float32), "bias": jnp.ones(2, jnp.float32)}
    step, _ = optimiser.update(jax.tree.map(jnp.zeros_like, p), optimiser.init(p), p)
    np.testing.assert_allclose(step["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(step["bias"], 0.0)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_no_float64_array_in_the_real_step(optimiser):
    recipe = TrainingConfig(optimiser=optimiser, clip_sigma=2.0, shift=1, label_smoothing=0.1)
    model = networks.LeNet5(rngs=nnx.Rngs(0))
    graph, parameters, other = nnx.split(model, nnx.Param, ...)
    rule = make_optimiser(recipe, 10)
    state = State(parameters, other, rule.init(parameters))
    jaxpr = jax.make_jaxpr(make_step(graph, rule, recipe))(
        state,
        jnp.zeros((64, 28, 28, 1), jnp.uint8),
        jnp.zeros(64, jnp.int32),
        jnp.arange(32, dtype=jnp.int32),
        jax.random.key(0),
    )
    assert not re.findall(r"f64\[\d", str(jaxpr))
    assert not [a for a in jaxpr.out_avals if a.dtype == jnp.float64]


class Normed(nnx.Module):
    """The smallest network with running statistics."""

    def __init__(self, *, input_shape, classes, rngs):
        self.input_shape = tuple(input_shape)
        self.norm = nnx.BatchNorm(
            self.input_shape[0], dtype=jnp.float32, param_dtype=jnp.float32, rngs=rngs
        )
        self.head = nnx.Linear(
            self.input_shape[0], classes, dtype=jnp.float32, param_dtype=jnp.float32, rngs=rngs
        )

    def __call__(self, x):
        return self.head(self.norm(x))


def test_running_statistics_are_trained_and_kept(monkeypatch):
    monkeypatch.setitem(MODELS, "normed", (Normed, {}))
    splits = {name: getattr(clouds(), name) for name in ("train", "validation", "test")}
    shifted = {name: Split(split.x * 3 + 5, split.y) for name, split in splits.items()}
    dataset = dataclasses.replace(clouds(), **shifted)
    network = NetworkConfig("normed")
    trained = training.train(network, dataset, dataclasses.replace(SHORT, epochs=40))
    # Momentum 0.99 over at least 20 x 12 steps forgets the start (0) to 9 % of 5; the mean over
    # batches of 32 with a spread of 2.4 adds 0.03.
    assert trained.epoch >= 20
    np.testing.assert_allclose(trained.model.norm.mean[...], dataset.train.x.mean(axis=0), atol=0.5)
    # In evaluation the answers do not depend on the batch.
    whole = training.accuracy(trained.model, dataset.test)
    assert training.accuracy(trained.model, dataset.test, batch=1) == whole
    stored = training.to_stored(trained)
    assert_same(training.from_stored(stored, network, dataset), trained)


# Interruption


@pytest.mark.parametrize("stop", [1, 2])
def test_going_on_gives_the_same_as_never_stopping(tmp_path, stop):
    recipe = dataclasses.replace(SHORT, optimiser="adamw", patience=5)

    class Stopped(Exception):
        pass

    class Meter:
        left = stop

        def advance(self, n=1):
            self.left -= 1
            if self.left == 0:
                raise Stopped

    def show(description, total):
        return contextlib.nullcontext(Meter())

    folder = tmp_path / "checkpoints"
    with pytest.raises(Stopped):
        training.train(SMALL, clouds(), recipe, checkpoints=folder, progress=show)
    resumed = training.train(SMALL, clouds(), recipe, checkpoints=folder)
    assert_same(resumed, training.train(SMALL, clouds(), recipe))
    # A finished one is read back.
    assert_same(training.train(SMALL, clouds(), recipe, checkpoints=folder), resumed)


KILLED = """
import sys
import numpy as np
from analogjax import data, training
from analogjax.networks import NetworkConfig
from analogjax.training import TrainingConfig

recipe = TrainingConfig(epochs=int(sys.argv[2]), batch=64, clip_sigma=2.5, patience=100)
training.train(
    NetworkConfig("mlp", {"hidden": [32]}), data.load("digits"), recipe, checkpoints=sys.argv[1]
)
"""


def test_killed_at_any_moment_it_ends_with_the_same_weights(tmp_path):
    epochs = 24
    folder = tmp_path / "checkpoints"
    command = [sys.executable, "-c", KILLED, str(folder), str(epochs)]
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}
    # Twice: the second kill hits a training that was itself resumed.
    for after in (2, 7):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while not (folder / str(after)).is_dir():
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stderr.close()
    reached = max(int(f.name) for f in folder.iterdir() if f.name.isdigit())
    assert 7 <= reached < epochs

    network, dataset = NetworkConfig("mlp", {"hidden": [32]}), data.load("digits")
    recipe = TrainingConfig(epochs=epochs, batch=64, clip_sigma=2.5, patience=100)
    resumed = training.train(network, dataset, recipe, checkpoints=folder)
    assert_same(resumed, training.train(network, dataset, recipe))


def test_checkpoints_of_another_training_are_refused(tmp_path):
    training.train(SMALL, clouds(), SHORT, checkpoints=tmp_path)
    with pytest.raises(ValueError, match=r"^Argument `checkpoints` must be a folder of this train"):
        training.train(SMALL, clouds(), SHORT, seed=1, checkpoints=tmp_path)


# Wrong input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: {"train": Split(d.train.x, d.train.y + 1)},
            r"Argument `y` must be between 0 and 2, but is 3 at index \d+\.",
        ),
        (
            lambda d: {"test": Split(d.test.x[:, :1], d.test.y)},
            r"Argument `dataset.test.x` must have shape \(any, 2\), but has shape \(100, 1\)\.",
        ),
        (
            lambda d: {"train": Split(d.train.x[:8], d.train.y[:8])},
            r"Argument `batch` must be at most the number of training inputs, 8, but is 32\.",
        ),
    ],
)
def test_wrong_data_is_told_in_one_sentence(change, message):
    dataset = clouds()
    dataset = dataclasses.replace(dataset, **change(dataset))
    with pytest.raises(ValueError, match=f"^{message}$"):
        training.train(SMALL, dataset, SHORT)


def test_a_diverged_training_says_so():
    recipe = TrainingConfig(epochs=5, batch=32, optimiser="sgd", learning_rate=1e20, warmup=0.0)
    with pytest.raises(ValueError, match=r"^Argument `learning_rate` must be small enough"):
        training.train(SMALL, clouds(), recipe)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "Argument `epochs` must be a whole number of at least 1, but is 0."),
        ({"optimiser": "adam"}, "did you mean 'adamw'?"),
        ({"warmup": 20.0}, "Argument `warmup` must be between 0 and 15 epochs, but is 20.0."),
        ({"clip_sigma": 0.0}, "Argument `clip_sigma` must be finite and above 0, but is 0.0."),
    ],
)
def test_wrong_recipe(values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        TrainingConfig(**values)
