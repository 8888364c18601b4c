"""What `load` returns: three splits of one data set."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Samples and their labels; unpacks as ``x, y`` (so `len` is 2: count with ``len(split.y)``).

    Attributes:
        x: uint8 images (n, height, width, channels), or float32 features (n, features).
        y: int32 labels (n,), indices into the data set's classes.
    """

    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its official or pinned test set.

    Attributes:
        name: The name it was loaded by.
        classes: Name of each class, in the order of the labels.
        train: What is trained on.
        validation: Carved out of the training set: early stopping and choices are made here.
        test: Looked at once, at the end.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, for example (28, 28, 1)."""
        return self.train.x.shape[1:]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits (SHA-256) of classes and splits, to key caches by."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for array in (*self.train, *self.validation, *self.test):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]
