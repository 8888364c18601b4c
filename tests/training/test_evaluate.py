"""Accuracy and confusion of a network on a split."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax import networks, training
from analogjax.data import Split

MODEL = networks.MLP(input_shape=(4,), classes=3, hidden=8, rngs=nnx.Rngs(0))
X = np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 5, 23, 100])
def test_logits_do_not_depend_on_the_batch(batch):
    # The same float32 products, summed in another order at most.
    np.testing.assert_allclose(
        training.logits(MODEL, X, batch=batch), MODEL(jnp.asarray(X)), atol=1e-6
    )


def test_accuracy_and_confusion_are_counts():
    named = np.asarray(MODEL(jnp.asarray(X))).argmax(axis=1)
    y = named.astype(np.int32)
    y[:5] = (y[:5] + 1) % 3
    assert training.accuracy(MODEL, Split(X, y), batch=7) == pytest.approx(18 / 23)
    matrix = training.confusion_matrix(training.logits(MODEL, X), y)
    expected = np.zeros((3, 3))
    for truth, answer in zip(y, named, strict=True):
        expected[truth, answer] += 1
    np.testing.assert_array_equal(matrix, expected)


def test_evaluation_leaves_the_mode_and_statistics_alone():
    model = networks.ResNet((1, 1, 1, 1), input_shape=(8, 8, 1), classes=2, rngs=nnx.Rngs(0))
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]
    training.logits(model, np.zeros((4, 8, 8, 1), np.uint8))
    after = jax.tree.leaves(nnx.state(model))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not model.norm.use_running_average


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:, :3], [0] * 23, r"Argument `x` must have shape \(any, 4\), but has shape \(23, 3\)\."),
        (X, [3] * 23, r"Argument `y` must be between 0 and 2, but is 3 at index 0\."),
        (X[:0], [], r"Argument `x` must hold at least one input, but is empty\."),
    ],
)
def test_wrong_input_is_told_in_one_sentence(x, y, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        training.accuracy(MODEL, Split(x, np.asarray(y, np.int32)))
