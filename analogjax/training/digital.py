"""Digital training: the weights that are written into analog devices afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from .. import sharding
from ..data import Dataset, check_images, check_labels
from ..networks import NetworkConfig
from ..runs import Progress
from ._checkpoints import Checkpoints
from ._steps import State, make_optimiser, make_step
from .config import TrainingConfig
from .evaluate import cross_entropy, logits

ShowProgress = Callable[[str, int], contextlib.AbstractContextManager[Progress]]
"""As `RunFolder.progress`."""


class History(NamedTuple):
    """What each epoch gave, one value per epoch."""

    train_loss: np.ndarray
    """Mean over the epoch's steps [nat], regularisation included, before each step."""
    train_accuracy: np.ndarray
    """Share of right answers over the epoch's steps, before each step."""
    validation_loss: np.ndarray
    """Cross-entropy on the validation set after the epoch [nat]."""
    validation_accuracy: np.ndarray
    """Share of right answers on the validation set after the epoch."""


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """A trained network and how it came about."""

    model: nnx.Module
    """The network with the weights of `epoch`, set to evaluation."""
    history: History
    """All epochs."""
    epoch: int
    """The epoch with the smallest validation loss, counted from 1."""
    cached: bool = False
    """Whether it was read from the cache."""


def train(
    network: NetworkConfig,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    seed: int = 0,
    checkpoints: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 0.0,
    progress: ShowProgress | None = None,
    mesh: Mesh | None = None,
) -> TrainedNetwork:
    """Train a network on the training set; keep the epoch with the smallest validation loss.

    The test set is never looked at. With `checkpoints` the state is kept after every epoch, and a
    training that was killed goes on from there, to the same weights bit for bit: the order of each
    epoch's inputs depends on `seed` and the epoch only.

    Args:
        network: What is trained; drawn from `seed`.
        dataset: Training and validation set. Without a validation set the last epoch is kept.
        config: The recipe.
        seed: Seed of the initial weights, the order of the inputs and the augmentation.
        checkpoints: Folder for checkpoints; None keeps none.
        checkpoint_every: Least time between two checkpoints [s], the last epoch's aside. It does
            not change the result.
        progress: Shows progress, as `RunFolder.progress` does; None shows none.
        mesh: Devices that share each batch (`analogjax.sharding`); None for the surrounding ones.
            The weights are those of one device to the rounding of sums.

    Raises:
        ValueError: If images, labels or the batch do not fit, the folder belongs to another
            training, the loss is no longer finite, or devices get no equal shares of a batch.
    """
    check_data(dataset, config)
    mesh = sharding.chosen(mesh)
    sharding.check_shared(config.batch, mesh)
    model = network.build(input_shape=dataset.input_shape, classes=len(dataset.classes), seed=seed)
    run = _Training(model, dataset, config, seed, mesh)
    if checkpoints is not None:
        store = Checkpoints(checkpoints, identity(network, dataset, config, seed, mesh))
        found = store.restore(run.arrays())
        if found is not None:
            run.resume(*found)
    else:
        store = None
    show = progress or (lambda description, total: contextlib.nullcontext(None))
    with show(f"training {network.name}", config.epochs) as shown:
        if shown is not None and run.epoch:
            shown.advance(run.epoch)
        last = time.monotonic()
        while not run.done:
            run.advance()
            due = run.done or time.monotonic() - last >= checkpoint_every
            if store is not None and due:
                last = time.monotonic()
                store.save(run.epoch, run.arrays(), run.record())
            if shown is not None:
                # Early stopping ends before the last epoch: the rest is done, too.
                shown.advance(config.epochs - run.epoch + 1 if run.done else 1)
    if store is not None:
        store.close()
    return run.result()


def identity(
    network: NetworkConfig,
    dataset: Dataset,
    config: TrainingConfig,
    seed: int,
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Return everything that the trained weights depend on, as plain values."""
    described = {
        "network": network.identity(),
        "training": dataclasses.asdict(config),
        "data": [dataset.name, dataset.fingerprint],
        "seed": seed,
        # Another compiler or processor sums in another order, which changes the last digits.
        "jax": [jax.__version__, jax.default_backend()],
    }
    if mesh is not None:
        # So do several devices.
        described["mesh"] = dict(mesh.shape)
    # Through JSON, so that a list of YAML and a tuple of Python are the same.
    return json.loads(json.dumps(described, default=list))


def check_data(dataset: Dataset, config: TrainingConfig) -> None:
    """Raise unless all inputs have one shape, all labels name classes, and a batch can be filled.

    Raises:
        ValueError: As said.
    """
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        check_images(split.x, dataset.input_shape, f"dataset.{name}.x")
        check_labels(split.y, dataset.classes)
    n = len(dataset.train.y)
    if config.batch > n:
        raise ValueError(
            f"Argument `batch` must be at most the number of training inputs, {n}, "
            f"but is {config.batch}."
        )


class _Training:
    """A training under way; all it needs to go on is in `arrays` and `record`."""

    def __init__(
        self,
        model: nnx.Module,
        dataset: Dataset,
        config: TrainingConfig,
        seed: int,
        mesh: Mesh | None,
    ):
        self.config, self.dataset, self.mesh = config, dataset, mesh
        self.steps = len(dataset.train.y) // config.batch
        optimiser = make_optimiser(config, self.steps)
        model.train()
        graph, parameters, other = nnx.split(model, nnx.Param, ...)
        self.step = make_step(graph, optimiser, config, mesh)
        self.graph = graph
        self.state = sharding.place(State(parameters, other, optimiser.init(parameters)), mesh)
        self.best = (self.state.parameters, self.state.other)
        self.best_epoch = 0
        self.rows: list[list[float]] = []
        self.key = jax.random.key(seed)
        train = jnp.asarray(dataset.train.x), jnp.asarray(dataset.train.y)
        self.x, self.y = sharding.place(train, mesh)

    @property
    def epoch(self) -> int:
        return len(self.rows)

    @property
    def done(self) -> bool:
        patience = self.config.patience
        tired = patience is not None and self.epoch - self.best_epoch >= patience
        return self.epoch >= self.config.epochs or tired

    def advance(self) -> None:
        """Train one epoch and look at the validation set."""
        order_key, augment_key = jax.random.split(jax.random.fold_in(self.key, self.epoch))
        order = np.asarray(
            jax.random.permutation(order_key, jnp.arange(self.x.shape[0], dtype=jnp.int32))
        )
        batches = order[: self.steps * self.config.batch].reshape(self.steps, -1)
        losses, correct = [], []
        state = self.state
        # Not one compiled loop: XLA may run convolutions inside a loop on one core of a CPU.
        for i, chosen in enumerate(batches):
            key = jax.random.fold_in(augment_key, i)
            state, loss, right = self.step(state, self.x, self.y, chosen, key)
            losses.append(loss)
            correct.append(right)
        self.state = state
        train_loss = float(np.mean(np.asarray(jax.device_get(losses), np.float64)))
        train_accuracy = float(np.sum(jax.device_get(correct)) / batches.size)
        if not np.isfinite(train_loss):
            raise ValueError(
                f"Argument `learning_rate` must be small enough for a finite loss, but is "
                f"{self.config.learning_rate} and the loss of epoch {self.epoch + 1} is "
                f"{train_loss}."
            )
        y = self.dataset.validation.y
        if len(y):
            answers = logits(
                self._model(state.parameters, state.other),
                self.dataset.validation.x,
                mesh=self.mesh,
            )
            loss = cross_entropy(answers, y)
            row = [train_loss, train_accuracy, loss, float(np.mean(answers.argmax(axis=1) == y))]
        else:
            row = [train_loss, train_accuracy, np.nan, np.nan]
        self.rows.append(row)
        if not len(y) or self.best_epoch == 0 or row[2] < self.rows[self.best_epoch - 1][2]:
            self.best, self.best_epoch = (state.parameters, state.other), self.epoch

    def arrays(self) -> Any:
        return self.state, self.best

    def record(self) -> dict[str, Any]:
        # As text of the exact value: JSON knows no NaN.
        rows = [[value.hex() for value in row] for row in self.rows]
        return {"rows": rows, "best_epoch": self.best_epoch}

    def resume(self, arrays: Any, record: dict[str, Any]) -> None:
        self.state, self.best = sharding.place(arrays, self.mesh)
        self.best_epoch = record["best_epoch"]
        self.rows = [[float.fromhex(value) for value in row] for row in record["rows"]]

    def _model(self, parameters: nnx.State, other: nnx.State) -> nnx.Module:
        return nnx.merge(self.graph, parameters, other, copy=True)

    def result(self) -> TrainedNetwork:
        model = self._model(*sharding.local(self.best, self.mesh))
        model.eval()
        history = History(*np.asarray(self.rows, np.float64).reshape(-1, 4).T)
        return TrainedNetwork(model, history, self.best_epoch)
