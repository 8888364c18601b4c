"""`load`: one call for every data set."""

from __future__ import annotations

import numbers
import os

import numpy as np

from .._checks import check_between, check_choice, check_whole
from . import _caltech, _embedded
from ._dataset import Dataset, Split
from ._idx import read_images_and_labels
from ._sources import Remote, fetch
from ._splits import stratified

_TEST_FRACTION, _TEST_SEED = 0.2, 0  # of the sets without an official test set: pinned for good

_DIGITS = tuple(str(digit) for digit in range(10))
# Names as in https://github.com/zalandoresearch/fashion-mnist
_GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def _four_files(urls: tuple[str, ...], checksums: tuple[str, ...]) -> tuple[Remote, ...]:
    names = (
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    )
    return tuple(
        Remote(name, md5, tuple(url + name for url in urls))
        for name, md5 in zip(names, checksums, strict=True)
    )


# Files, checksums, classes. The site of MNIST's authors refuses downloads: two mirrors go first.
_IDX = {
    "mnist": (
        _four_files(
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "http://yann.lecun.com/exdb/mnist/",
            ),
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ),
        _DIGITS,
    ),
    "fashion_mnist": (
        _four_files(
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            ),
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ),
        _GARMENTS,
    ),
}

_SIDES = {"mnist": 28, "fashion_mnist": 28, "digits": 8}
_CALTECH_SIDE = 64

NAMES = ("mnist", "fashion_mnist", "caltech101", "digits", "iris")
"""Names that `load` knows."""


def load(
    name: str,
    *,
    image_size: int | None = None,
    validation: float | int = 0.1,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Load a data set.

    ================= ================= ======================================================
    name              samples           test set
    ================= ================= ======================================================
    ``mnist``         70,000 x 28 x 28  the official 10,000
    ``fashion_mnist`` 70,000 x 28 x 28  the official 10,000
    ``caltech101``    8,677 photographs 20 %, stratified, seed 0 (always)
    ``digits``        1,797 x 8 x 8     20 %, stratified, seed 0 (always)
    ``iris``          150 x 4 [cm]      20 %, stratified, seed 0 (always)
    ================= ================= ======================================================

    ``digits`` and ``iris`` come with scikit-learn. The files of the others are looked for under
    ``$ANALOGJAX_DATA/<name>/`` and in the user's cache, else they are downloaded into the cache.

    Args:
        name: One of `NAMES`.
        image_size: Height and width of the photographs of ``caltech101`` [pixels], 64 by default;
            the other sets have the one size that they have.
        validation: Share of the training set to set apart, stratified, 0 to 0.5.
        seed: Of the choice of the validation set and of the order of the training set.
        folder: Folder with one sub-folder a data set, to look and to download into instead.

    Returns:
        The data set: images as uint8, 0..255, features as float32.

    Raises:
        ValueError: If an argument is wrong.
        UsageError: If files are missing and cannot be downloaded, or are damaged.
    """
    check_choice("name", name, NAMES)
    size = _image_size(name, image_size)
    if isinstance(validation, bool) or not isinstance(validation, numbers.Real):
        raise ValueError(f"Argument `validation` must be a number, but is {validation!r}.")
    check_between("validation", validation, 0.0, 0.5)
    check_whole("seed", seed, 0, 2**32 - 1)

    test = None
    if name in _IDX:
        files, classes = _IDX[name]
        paths = fetch(name, files, folder)
        pairs = [paths[file.name] for file in files]
        x, y = read_images_and_labels(*pairs[:2], side=_SIDES[name], classes=len(classes))
        test = Split(*read_images_and_labels(*pairs[2:], side=_SIDES[name], classes=len(classes)))
    elif name == "caltech101":
        paths = fetch(name, (_caltech.REMOTE,), folder)
        x, y, classes = _caltech.read(paths[_caltech.REMOTE.name], size)
    else:
        x, y, classes = _embedded.digits() if name == "digits" else _embedded.iris()

    rest = np.arange(len(y))
    if test is None:
        rest, held_out = stratified(y, _TEST_FRACTION, _TEST_SEED)
        test = Split(x[held_out], y[held_out])
    kept, held_out = stratified(y[rest], float(validation), seed)
    train, held_out = rest[kept], rest[held_out]
    return Dataset(name, classes, Split(x[train], y[train]), Split(x[held_out], y[held_out]), test)


def _image_size(name: str, image_size: int | None) -> int:
    """Return height and width, or 0 for what is no image."""
    if name == "caltech101":
        size = _CALTECH_SIDE if image_size is None else image_size
        check_whole("image_size", size, 8, 2**15)
        return size
    side = _SIDES.get(name, 0)
    if image_size is not None and image_size != side:
        only = f"{side} (or left out)" if side else "left out"
        raise ValueError(
            f"Argument `image_size` must be {only} for {name!r}, but is {image_size!r}."
        )
    return side
