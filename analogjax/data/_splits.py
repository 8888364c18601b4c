"""Stratified splits: every class keeps its share."""

from __future__ import annotations

import numpy as np

from .._types import Float, Int
from ._dataset import Split


def stratified(
    y: Int[np.ndarray, " n"], fraction: float, seed: int
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " held_out"]]:
    """Split indices in two so that each class has the same share in both, to within one sample.

    The seats of the held-out part, round(n x fraction) in all, go to the classes by the method of
    largest remainders; which samples take them is random.

    Args:
        y: Labels.
        fraction: Share to hold out, 0 to below 1. A class of one sample is kept whole.
        seed: Of the shuffle.

    Returns:
        Indices kept and indices held out, both in random order.
    """
    # The legacy generator, because NumPy has frozen its stream: a test set must not change with
    # a version of NumPy, and Generator's streams may.
    random = np.random.RandomState(seed)
    labels, counts = np.unique(y, return_counts=True)
    wish = counts * fraction
    seats = np.floor(wish).astype(np.int64)
    left = round(len(y) * fraction) - int(seats.sum())
    seats[np.argsort(seats - wish, kind="stable")[:left]] += 1
    seats = np.minimum(seats, counts - 1)
    held_out = np.concatenate(
        [
            random.permutation(np.flatnonzero(y == label))[:n]
            for label, n in zip(labels, seats, strict=True)
        ]
    )
    kept = np.setdiff1d(np.arange(len(y)), held_out)
    return random.permutation(kept), random.permutation(held_out)


def standardised_split(
    x: Float[np.ndarray, "n features"], y: Int[np.ndarray, " n"], fraction: float, seed: int
) -> tuple[Split, Split]:
    """Return a random stratified split of features, in units of the kept part's own spread.

    Args:
        x: Features, a row a sample.
        y: Labels.
        fraction: Share to hold out, 0 to below 1.
        seed: Of the shuffle.

    Returns:
        The kept and the held-out part, float32; each feature less its mean over the kept part, over
        its standard deviation there.
    """
    kept, held_out = stratified(y, fraction, seed)
    x = ((x - x[kept].mean(0)) / x[kept].std(0)).astype(np.float32)
    return Split(x[kept], y[kept]), Split(x[held_out], y[held_out])
