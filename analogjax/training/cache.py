"""Trained weights, kept outside the checkout by what they depend on: trained once, used often."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from .. import sharding
from ..data import Dataset, Split
from ..networks import NetworkConfig
from ..runs import cache_file, cached, from_arrays, is_first, to_arrays
from .config import TrainingConfig
from .digital import History, ShowProgress, TrainedNetwork, check_data, identity, train
from .evaluate import accuracy

if TYPE_CHECKING:
    from ..runs import RunFolder

_KIND = "weights"
_CODE = ("data/_images.py", "networks", "training")


def train_cached(
    network: NetworkConfig,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    seed: int = 0,
    checkpoints: str | os.PathLike[str] | None = None,
    progress: ShowProgress | None = None,
    log: Callable[[str], None] | None = None,
    mesh: Mesh | None = None,
) -> TrainedNetwork:
    """Train a network as `train` does, or return what the same call gave before.

    The weights are the same bit for bit either way. They are kept under the user's cache folder by
    network, contents of the data, recipe, seed, jax's version and backend, and source code.

    Args:
        network: What is trained.
        dataset: Training and validation set.
        config: The recipe.
        seed: Seed of everything drawn.
        checkpoints: Folder for checkpoints, removed when the weights are in the cache.
        progress: Shows progress, as `RunFolder.progress` does.
        log: Told where the weights come from, as `RunFolder.log`.
        mesh: As in `train`.

    Raises:
        ValueError: As `train` does.
    """
    check_data(dataset, config)
    mesh = sharding.chosen(mesh)
    key = identity(network, dataset, config, seed, mesh)
    arrays, found = cached(
        _KIND,
        key,
        lambda: to_stored(
            train(
                network,
                dataset,
                config,
                seed=seed,
                checkpoints=checkpoints,
                # At an epoch of milliseconds the checkpoints would take most of the time.
                checkpoint_every=2.0,
                progress=progress,
                mesh=mesh,
            )
        ),
        code=_CODE,
    )
    if checkpoints is not None and is_first():
        shutil.rmtree(checkpoints, ignore_errors=True)
    if log is not None:
        file = cache_file(_KIND, key, code=_CODE)
        log(f"trained weights: {'read from' if found else 'kept in'} {file}")
    return from_stored(arrays, network, dataset, cached=found)


def train_in_run(
    run: RunFolder,
    network: NetworkConfig,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    test: Split | None = None,
) -> tuple[nnx.Module, float]:
    """Return the trained network of a run (from the cache if possible) and its test accuracy.

    Args:
        run: The run folder: seed, checkpoints, progress; stores the stage ``digital``.
        network: What is trained.
        dataset: The data.
        config: The recipe.
        test: What the accuracy is measured on; the test set of the data if None.

    Raises:
        ValueError: As `train` does.
    """
    trained = train_cached(
        network,
        dataset,
        config,
        seed=run.seed,
        checkpoints=run.path / "checkpoints",
        progress=run.progress,
        log=run.log,
    )
    split = dataset.test if test is None else test
    digital = run.stage("digital", lambda: {"accuracy": accuracy(trained.model, split)})
    return trained.model, float(digital["accuracy"])


def to_stored(trained: TrainedNetwork) -> dict[str, np.ndarray]:
    """Return a trained network as named arrays, for files and stages."""
    return {
        **to_arrays(nnx.state(trained.model)),
        **trained.history._asdict(),
        "epoch": np.asarray(trained.epoch),
    }


def from_stored(
    arrays: dict[str, np.ndarray], network: NetworkConfig, dataset: Dataset, *, cached: bool = False
) -> TrainedNetwork:
    """Return the trained network that `to_stored` took apart.

    Args:
        arrays: What `to_stored` returned.
        network: The network it was.
        dataset: The data set it was trained on.
        cached: What the result says of itself.
    """
    model = network.build(
        input_shape=dataset.input_shape, classes=len(dataset.classes), weights=False
    )
    model.eval()
    graph, state = nnx.split(model)
    history = History(**{name: arrays[name] for name in History._fields})
    others = {*History._fields, "epoch"}
    weights = {name: array for name, array in arrays.items() if name not in others}
    model = nnx.merge(graph, from_arrays(weights, state))
    return TrainedNetwork(model, history, int(arrays["epoch"]), cached)
