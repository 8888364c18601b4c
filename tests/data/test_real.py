"""The real files, where there are any."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from analogjax import data
from analogjax.data import _load


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_official_files(name, real):
    folder = real(name)
    remotes, _ = _load._IDX[name]
    for remote in remotes:
        content = (folder / remote.name).read_bytes()
        assert hashlib.md5(content).hexdigest() == remote.md5, remote.name
    ds = data.load(name)
    assert (ds.train.x.shape, ds.test.x.shape) == ((54000, 28, 28, 1), (10000, 28, 28, 1))
    assert len(ds.validation.y) == 6000
    # The published class counts of the test sets (MNIST's are uneven).
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(
        np.bincount(ds.test.y), counts if name == "mnist" else np.full(10, 1000)
    )
    x = data.to_float(np.concatenate([ds.train.x, ds.validation.x]))
    # Mean and standard deviation of the 60,000 training images, which most tutorials normalise by.
    mean, std = {"mnist": (0.1307, 0.3081), "fashion_mnist": (0.2860, 0.3530)}[name]
    np.testing.assert_allclose([x.mean(), x.std()], [mean, std], atol=1e-4)


@pytest.mark.slow
def test_photographs(real):
    real("caltech101")
    ds = data.load("caltech101", image_size=32)
    assert ds.input_shape == (32, 32, 3)
    assert len(ds.classes) == 101
    assert "BACKGROUND_Google" not in ds.classes
    y = np.concatenate([ds.train.y, ds.validation.y, ds.test.y])
    # The published size of the set: 9,144 with the 467 of the background.
    assert len(y) == 9144 - 467
    assert dict(zip(ds.classes, np.bincount(y), strict=True))["airplanes"] == 800
    np.testing.assert_allclose(np.bincount(ds.test.y), 0.2 * np.bincount(y), atol=1)
