"""Data sets that scikit-learn brings along: no file is needed."""

from __future__ import annotations

import numpy as np


def digits() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return 1,797 handwritten digits of 8 x 8 pixels (UCI, Alpaydin and Kaynak 1998).

    The original grey values 0..16 are spread over 0..255 as round(255 v / 16), like the images of
    the other data sets; round(16 x / 255) gives them back exactly.
    """
    from sklearn import datasets

    grey, y = datasets.load_digits(return_X_y=True)
    x = np.rint(np.asarray(grey).reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return x, np.asarray(y, np.int32), tuple(str(digit) for digit in range(10))


def iris() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return length and width of sepal and petal [cm] of 150 flowers (Fisher 1936)."""
    from sklearn import datasets

    x, y = datasets.load_iris(return_X_y=True)
    return np.asarray(x, np.float32), np.asarray(y, np.int32), ("setosa", "versicolor", "virginica")
