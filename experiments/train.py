"""Digital training: the weights that are written into devices afterwards.

A network is trained on the training set, the epoch with the smallest loss on the validation set is
kept, and the test set is looked at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.data import DataConfig
from analogjax.networks import NetworkConfig
from analogjax.runs import RunFolder
from analogjax.training import TrainingConfig


@dataclass
class Config:
    """What is trained, on what, and how."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = 0


def run(config: Config, run: RunFolder) -> None:
    """Train, or take the weights from the cache; evaluate; report."""
    dataset = config.data.load()
    stored = run.stage("train", lambda: trained_weights(config, run, dataset))
    from_cache = bool(stored.pop("cached"))
    trained = aj.training.from_stored(stored, config.network, dataset)
    answers = run.stage("test", lambda: evaluate(trained.model, dataset))

    y = dataset.test.y
    matrix = aj.training.confusion_matrix(answers["logits"], y)
    accuracy = float(np.trace(matrix) / len(y))
    history = trained.history._asdict()
    kept = trained.epoch
    parameters = aj.networks.parameter_count(trained.model)
    layers = aj.networks.weight_statistics(trained.model)

    run.metric("accuracy_digital", accuracy, "share of the test set that is named right")
    if len(dataset.validation.y):
        loss, right = (history[f"validation_{what}"][kept - 1] for what in ("loss", "accuracy"))
        run.metric("accuracy_validation", right, "of the epoch that was kept")
        run.metric("loss_validation_nat", loss, "cross-entropy of the epoch that was kept")
    run.metric("accuracy_train", history["train_accuracy"][kept - 1], "during that epoch")
    run.metric("parameters", parameters, "trainable numbers")
    run.metric("epochs", len(history["train_loss"]), "trained")
    run.metric("epoch_kept", kept, "smallest loss on the validation set")
    run.metric(
        "weight_peak_max", max(row.peak for row in layers), "largest |w| over rms, any layer"
    )

    run.section(
        "Training",
        f"{config.network.name} ({parameters:,} parameters) on {dataset.name}: "
        f"{len(dataset.train.y):,} inputs to train on, {len(dataset.validation.y):,} to choose the "
        f"epoch by, {len(y):,} to test. The weights were "
        + ("read from the cache of trained weights." if from_cache else "trained by this run."),
    )
    run.figure(
        "learning_curves",
        aj.plotting.learning_curves(history, kept),
        "Loss and error. The training's are running means over the epoch, regularisation included, "
        "so they can lie above the validation's.",
    )
    run.section("Test", f"{100 * accuracy:.2f} % of the test set are named right.")
    run.figure(
        "confusion",
        aj.plotting.confusion(matrix, dataset.classes),
        "Which class is taken for which, in percent of the true class.",
    )
    run.section(
        "Weights",
        "How far the largest weight of a layer stands out of its root mean square decides how "
        "coarse b bits are for the others: levels spread evenly over the largest.",
    )
    run.table(
        "Kernels by layer",
        ["layer", "weights", "rms", "max / rms"],
        [[row.layer, row.count, row.rms, row.peak] for row in layers],
    )
    run.summary(
        f"{config.network.name} with {parameters:,} parameters names {100 * accuracy:.2f} % of the "
        f"test images of {dataset.name} right (epoch {kept} of {len(history['train_loss'])}, "
        "chosen on the validation set)."
    )
    units = {"loss": "nat", "accuracy": "1"}
    epochs = np.arange(1, len(history["train_loss"]) + 1)
    run.dataset(
        "history",
        xr.Dataset(
            {
                name: ("epoch", values, {"units": units[name.split("_")[1]]})
                for name, values in history.items()
            },
            {"epoch": ("epoch", epochs, {"units": "1"})},
        ),
    )
    names = list(dataset.classes)
    run.dataset(
        "confusion",
        xr.Dataset(
            {"count": (("truth", "answer"), matrix, {"units": "1"})},
            {"truth": names, "answer": names},
        ),
    )


def trained_weights(config, run, dataset) -> dict:
    """Train, going on from the last checkpoint if there is one, or read the cache."""
    trained = aj.training.train_cached(
        config.network,
        dataset,
        config.training,
        seed=config.seed,
        checkpoints=run.path / "checkpoints",
        progress=run.progress,
        log=run.log,
    )
    return {**aj.training.to_stored(trained), "cached": np.asarray(trained.cached)}


def evaluate(model, dataset) -> dict:
    """Answers on the test set: the only look at it."""
    return {"logits": aj.training.logits(model, dataset.test.x)}
