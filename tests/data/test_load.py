"""`load`: names, splits, options, and where files are looked for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

import analogjax as aj
from analogjax import data


def splits(ds):
    return {"train": ds.train, "validation": ds.validation, "test": ds.test}


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "shape", "dtype", "sizes"),
    [
        ("digits", (8, 8, 1), np.uint8, (1294, 144, 359)),
        ("iris", (4,), np.float32, (108, 12, 30)),
    ],
)
def test_embedded_sets_have_pinned_sizes(name, shape, dtype, sizes, nowhere):
    ds = aj.data.load(name)
    assert (ds.name, ds.input_shape) == (name, shape)
    assert tuple(len(split.y) for split in splits(ds).values()) == sizes
    for x, y in splits(ds).values():
        assert x.dtype == dtype
        assert x.shape == (len(y), *shape)
        assert y.dtype == np.int32
        assert set(y) == set(range(len(ds.classes)))
    assert not nowhere


def test_every_sample_of_a_set_is_in_one_split():
    x, _ = datasets.load_iris(return_X_y=True)
    ds = data.load("iris")
    together = np.concatenate([split.x for split in splits(ds).values()])
    np.testing.assert_array_equal(np.unique(together, axis=0), np.unique(np.float32(x), axis=0))
    assert len(together) == len(x)
    # Classes stand in scikit-learn's order.
    assert ds.classes == tuple(datasets.load_iris().target_names)


def test_digits_keep_their_grey_values():
    x, y = datasets.load_digits(return_X_y=True)
    ds = data.load("digits")
    ours = np.concatenate([split.x for split in splits(ds).values()])
    labels = np.concatenate([split.y for split in splits(ds).values()])
    back = np.rint(ours.astype(float) * 16 / 255).reshape(-1, 64)
    both = np.column_stack([back, labels]), np.column_stack([x, y])
    first, second = (rows[np.lexsort(rows.T)] for rows in both)
    np.testing.assert_array_equal(first, second)
    assert ours.max() == 255


def test_the_test_set_does_not_change_with_seed_or_validation():
    first, second = data.load("digits"), data.load("digits", seed=1, validation=0.25)
    np.testing.assert_array_equal(first.test.x, second.test.x)
    assert first.fingerprint != second.fingerprint
    # Pins the splits for good: NumPy has frozen this generator.
    assert first.fingerprint == data.load("digits").fingerprint == "8e68458467b3debc"
    assert data.load("iris").fingerprint == "2b3514d215736aa0"


def test_no_validation_set():
    ds = data.load("iris", validation=0)
    assert len(ds.validation.y) == 0
    assert ds.validation.x.shape == (0, 4)
    assert len(ds.train.y) == 120


def test_official_test_set_stays_in_order(mnist):
    ds = data.load("mnist", folder=mnist.root)
    assert ds.input_shape == (28, 28, 1)
    assert ds.classes == tuple("0123456789")
    np.testing.assert_array_equal(ds.test.y, np.arange(40) % 10)
    assert [len(split.y) for split in splits(ds).values()] == [180, 20, 40]
    # Two of each class, and images keep their labels.
    np.testing.assert_array_equal(np.bincount(ds.validation.y), np.full(10, 2))
    for x, y in splits(ds).values():
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(x[:, 0, 0, 0], y)


def test_relative_folder_in_the_environment(mnist, monkeypatch, nowhere):
    monkeypatch.chdir(mnist.root.parent)
    monkeypatch.setenv("ANALOGJAX_DATA", mnist.root.name)
    assert data.load("mnist").fingerprint == data.load("mnist", folder=mnist.root).fingerprint
    assert not nowhere


def test_the_cache_is_looked_into_after_the_environment(mnist, cache, monkeypatch, nowhere):
    cache.mkdir(parents=True)
    mnist.root.rename(cache / "data")
    monkeypatch.setenv("ANALOGJAX_DATA", str(cache / "nothing here"))
    assert len(data.load("mnist").test.y) == 40
    assert not nowhere


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "minst"}, "Argument `name` must be one of 'mnist', .* \\(did you mean 'mnist'"),
        ({"name": "iris", "validation": 0.6}, "`validation` must be between 0 and 0.5, but is 0.6"),
        ({"name": "iris", "validation": -0.1}, "`validation` must be between 0 and 0.5, but is -0"),
        ({"name": "iris", "validation": float("nan")}, "`validation` must be between 0 and 0.5"),
        (
            {"name": "iris", "seed": -1},
            "`seed` must be a whole number from 0 to 4294967295, but is -1",
        ),
        ({"name": "iris", "seed": True}, "`seed` must be a whole number from .* but is True"),
        (
            {"name": "mnist", "image_size": 32},
            "must be 28 \\(or left out\\) for 'mnist', but is 32",
        ),
        ({"name": "iris", "image_size": 4}, "`image_size` must be left out for 'iris', but is 4"),
        (
            {"name": "caltech101", "image_size": 4},
            "`image_size` must be a whole number from 8 to .* is 4",
        ),
    ],
)
def test_wrong_arguments_get_one_sentence(arguments, sentence, nowhere):
    with pytest.raises(ValueError, match=sentence):
        data.load(**arguments)
    assert not nowhere


def test_importing_the_package_is_light():
    # scikit-learn alone takes seconds; only the sets that need them load these.
    code = (
        "import sys; from analogjax import data;"
        "print([name for name in ('sklearn', 'pooch', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
