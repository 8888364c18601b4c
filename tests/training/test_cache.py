"""The weight cache: the same weights whether they were trained or read."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from analogjax import data, training
from analogjax.networks import NetworkConfig
from analogjax.training import TrainingConfig

NETWORK = NetworkConfig("mlp", {"hidden": [8]})
RECIPE = TrainingConfig(epochs=2, batch=16, learning_rate=1e-2)


@pytest.fixture(scope="module")
def iris():
    return data.load("iris")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "analogjax"


def test_read_back_bit_for_bit(tmp_path, cache, iris):
    said = []
    options = {"checkpoints": tmp_path / "checkpoints"}
    first = training.train_cached(NETWORK, iris, RECIPE, **options, log=said.append)
    again = training.train_cached(NETWORK, iris, RECIPE, **options, log=said.append)
    assert (first.cached, again.cached) == (False, True)
    assert "kept in" in said[0]
    assert "read from" in said[1]
    assert first.epoch == again.epoch
    for a, b in zip(first.history, again.history, strict=True):
        np.testing.assert_array_equal(a, b)
    states = (nnx.state(trained.model) for trained in (first, again))
    for a, b in zip(*(jax.tree.leaves(state) for state in states), strict=True):
        np.testing.assert_array_equal(a, b)
    accuracy = {training.accuracy(t.model, iris.test) for t in (first, again)}
    assert len(accuracy) == 1
    assert len(list(cache.glob("weights/*.npz"))) == 1
    # Checkpoints are of no use any more.
    assert not options["checkpoints"].exists()


def test_everything_that_changes_the_weights_changes_the_identity(iris):
    def key(network=NETWORK, dataset=iris, recipe=RECIPE, seed=0):
        return str(training.identity(network, dataset, recipe, seed))

    other = dataclasses.replace(iris, test=iris.validation)
    keys = [
        key(),
        key(seed=1),
        key(network=NetworkConfig("mlp", {"hidden": [9]})),
        key(recipe=dataclasses.replace(RECIPE, clip_sigma=2.0)),
        key(dataset=other),
    ]
    assert len(set(keys)) == len(keys)
    # How the options are spelt (a list of YAML, a tuple of Python) changes nothing.
    assert key(network=NetworkConfig("mlp", {"hidden": (8,)})) == key()
