"""Learning curves and confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .style import COLORS, figure


def learning_curves(history: Mapping[str, np.ndarray], kept: int) -> Any:
    """Return loss and error over the epochs, training and validation.

    Args:
        history: `train_loss`, `train_accuracy`, `validation_loss` and `validation_accuracy`, one
            value per epoch; NaN is not drawn.
        kept: The epoch whose weights were kept, counted from 1.
    """
    fig, (left, right) = figure(1, 2, width=4.0)
    epochs = np.arange(1, len(history["train_loss"]) + 1)
    for split, color in (("train", COLORS[0]), ("validation", COLORS[1])):
        name = {"train": "training (running)"}.get(split, split)
        left.plot(epochs, history[f"{split}_loss"], "o-", ms=3, color=color, label=name)
        error = 100 * (1 - history[f"{split}_accuracy"])
        # An error of zero has no place on a logarithmic axis.
        shown = np.where(error > 0, error, np.nan)
        right.plot(epochs, shown, "o-", ms=3, color=color, label=name)
    for axis in (left, right):
        axis.axvline(kept, color=COLORS[5], lw=1, ls=":", label="kept")
        axis.set_xlabel("epoch")
        axis.set_yscale("log")
    left.set_ylabel("cross-entropy (nat)")
    right.set_ylabel("error (%)")
    left.legend()
    return fig


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Any:
    """Return a picture of a confusion matrix, rows in percent of their class.

    Args:
        matrix: Counts, rows are the truth and columns the answers.
        classes: Name of each class; beyond 20 they are left out, and so are the numbers.
    """
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    small = len(classes) <= 20
    side = max(3.2, 0.42 * len(classes)) if small else 6.0
    fig, axis = figure(width=side + 1.2, height=side)
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axis.grid(visible=False)
    if small:
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axis.set_yticks(range(len(classes)), classes)
        for (row, column), value in np.ndenumerate(share):
            if matrix[row, column]:
                axis.text(
                    column, row, f"{value:.3g}" if value < 10 else f"{value:.1f}",
                    ha="center", va="center", fontsize=6.5,
                    color="white" if value > 50 else "black",
                )  # fmt: skip
    axis.set_xlabel("answer")
    axis.set_ylabel("truth")
    fig.colorbar(image, ax=axis, label="share of the class (%)", shrink=0.85)
    return fig
