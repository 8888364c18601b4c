"""What a trained network answers: logits, accuracy, confusion matrix."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from .. import sharding
from .._checks import check_whole
from .._types import Array
from ..data import Split, check_images, check_labels, to_float


@partial(jax.jit, static_argnames=("graph", "mesh"))
def _forward(graph: nnx.GraphDef, state: nnx.State, x: Array, mesh: Mesh | None) -> Array:
    return sharding.whole(nnx.merge(graph, state)(to_float(sharding.split(x, mesh))), mesh)


def logits(
    model: nnx.Module, x: Array | np.ndarray, *, batch: int = 1000, mesh: Mesh | None = None
) -> np.ndarray:
    """Return the logits (n, classes) of all inputs, float32.

    Args:
        model: The model; it is evaluated as after `model.eval()`, and left as it is.
        x: Inputs (n, *input_shape), uint8 images or floats (see `analogjax.data.to_float`).
        batch: Inputs per call of the compiled program.
        mesh: Devices that share each batch; None for the surrounding ones, see
            `analogjax.sharding`.

    Raises:
        ValueError: If there are no inputs, they have another shape than the model's, or `batch` is
            below 1.
    """
    check_whole("batch", batch)
    x = np.asarray(x)
    check_images(x, getattr(model, "input_shape", x.shape[1:]))
    n = x.shape[0]
    if n == 0:
        raise ValueError("Argument `x` must hold at least one input, but is empty.")
    evaluated = nnx.clone(model)
    evaluated.eval()
    graph, state = nnx.split(evaluated)
    mesh = sharding.chosen(mesh)
    state = sharding.place(state, mesh)
    # Equal shares for all devices.
    batch = -(-min(batch, n) // sharding.shares(mesh)) * sharding.shares(mesh)
    # The last batch is filled up, so that one compiled program serves all.
    x = np.concatenate([x, np.repeat(x[-1:], -n % batch, axis=0)])
    # Queued one after another, fetched at the end: an accelerator never waits.
    parts = [
        _forward(graph, state, sharding.place(x[i : i + batch], mesh, along=sharding.DATA), mesh)
        for i in range(0, n, batch)
    ]
    return np.concatenate([np.asarray(part) for part in parts])[:n]


def accuracy(
    model: nnx.Module, split: Split, *, batch: int = 1000, mesh: Mesh | None = None
) -> float:
    """Return the share of inputs whose largest logit is that of their label.

    Args:
        model: The model; it is evaluated as after `model.eval()`, and left as it is.
        split: Inputs and labels.
        batch: Inputs per call of the compiled program.
        mesh: As in `logits`.

    Raises:
        ValueError: If the inputs have another shape than the model's, or a label is out of range.
    """
    answers = logits(model, split.x, batch=batch, mesh=mesh)
    check_labels(split.y, answers.shape[1])
    return float(np.mean(answers.argmax(axis=1) == split.y))


def confusion_matrix(answers: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how many inputs of each class (rows) are named as which (columns).

    Args:
        answers: Logits (n, classes).
        y: Labels (n,).

    Raises:
        ValueError: If a label is out of range.
    """
    classes = answers.shape[1]
    check_labels(y, classes)
    flat = np.bincount(y * classes + answers.argmax(axis=1), minlength=classes**2)
    return flat.reshape(classes, classes)


def cross_entropy(answers: np.ndarray, y: np.ndarray) -> float:
    """Return the mean of -log of the probability that is given to the label."""
    answers = answers.astype(np.float64)
    answers -= answers.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(answers, y[:, None].astype(np.int64), axis=1)[:, 0]
    return float(np.mean(np.log(np.exp(answers).sum(axis=1)) - chosen))
