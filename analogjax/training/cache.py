"""Trained weights, kept outside the checkout by what they depend on: trained once, used often."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from ..data import Dataset
from ..networks import NetworkConfig
from ..runs import cache_folder, load_arrays, save_arrays
from .config import TrainingConfig
from .digital import History, ShowProgress, TrainedNetwork, check_data, identity, train


def cache_key(network: NetworkConfig, dataset: Dataset, config: TrainingConfig, seed: int) -> str:
    """Return the name of the trained weights in the cache.

    Network, data (their contents), recipe, seed, jax's version and its backend decide it.
    """
    return f"{network.name}-{dataset.name}-{identity(network, dataset, config, seed)}"


def train_cached(
    network: NetworkConfig,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    seed: int = 0,
    checkpoints: str | os.PathLike[str] | None = None,
    progress: ShowProgress | None = None,
    log: Callable[[str], None] | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> TrainedNetwork:
    """Train a network as `train` does, or return what the same call gave before.

    The weights are the same bit for bit either way.

    Args:
        network: What is trained.
        dataset: Training and validation set.
        config: The recipe.
        seed: Seed of everything drawn.
        checkpoints: Folder for checkpoints, removed when the weights are in the cache.
        progress: Shows progress, as `RunFolder.progress` does.
        log: Told where the weights come from, as `RunFolder.log`.
        folder: Where weights are kept; by default `weights` in the user's cache folder.

    Raises:
        ValueError: As `train` does.
    """
    check_data(dataset, config)
    name = cache_key(network, dataset, config, seed)
    file = Path(cache_folder() / "weights" if folder is None else folder) / f"{name}.npz"
    say = log or (lambda text: None)
    if file.is_file():
        say(f"trained weights: read from {file}")
        return _load(file, network, dataset)
    trained = train(network, dataset, config, seed=seed, checkpoints=checkpoints, progress=progress)
    save_arrays(file, _arrays(trained))
    say(f"trained weights: kept in {file}")
    if checkpoints is not None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return trained


def _arrays(trained: TrainedNetwork) -> dict[str, np.ndarray]:
    leaves = jax.tree.leaves(nnx.state(trained.model))
    return {
        **{f"weights_{i:05d}": np.asarray(leaf) for i, leaf in enumerate(leaves)},
        **{f"history_{key}": value for key, value in trained.history._asdict().items()},
        "epoch": np.asarray(trained.epoch),
    }


def _load(file: Path, network: NetworkConfig, dataset: Dataset) -> TrainedNetwork:
    stored = load_arrays(file)
    model = network.build(input_shape=dataset.input_shape, classes=len(dataset.classes))
    model.eval()
    graph, state = nnx.split(model)
    leaves, structure = jax.tree.flatten(state)
    weights = [jax.numpy.asarray(stored[f"weights_{i:05d}"]) for i in range(len(leaves))]
    model = nnx.merge(graph, jax.tree.unflatten(structure, weights))
    history = History(**{key: stored[f"history_{key}"] for key in History._fields})
    return TrainedNetwork(model, history, int(stored["epoch"]), cached=True)
