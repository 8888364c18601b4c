"""The idx format of MNIST: a header of big-endian integers, then bytes; here gzipped.

Format: http://yann.lecun.com/exdb/mnist/ (section "file formats").
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from ..runs import UsageError
from ._sources import damaged


def read_idx(path: Path, rank: int) -> np.ndarray:
    """Read a gzipped idx file of unsigned bytes, whole or not at all.

    Args:
        path: The file.
        rank: Number of axes it must have: 3 for images, 1 for labels.

    Returns:
        uint8 array.

    Raises:
        UsageError: If the file cannot be unpacked, is of another kind, or its length differs from
            what its header says.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()  # to the end, where gzip compares length and checksum
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, str(error)) from error
    length = 4 * (rank + 1)
    if len(content) < length:
        raise damaged(path, f"its header has {len(content)} bytes instead of {length}")
    magic, *shape = struct.unpack(f">{rank + 1}I", content[:length])
    # Two zero bytes, 8 for unsigned bytes, the number of axes.
    if magic != 0x800 + rank:
        raise damaged(path, f"its magic number is {magic} instead of {0x800 + rank}")
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - length != expected:
        raise damaged(
            path, f"its header promises {expected} bytes but {len(content) - length} follow"
        )
    return np.frombuffer(content, np.uint8, offset=length).reshape(shape)


def read_images_and_labels(
    images: Path, labels: Path, side: int, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read a pair of idx files that belong together.

    Args:
        images: File of images.
        labels: File of labels.
        side: Height and width that the images must have [pixels].
        classes: Number of classes; a label must be below it.

    Returns:
        uint8 images (n, side, side, 1) and int32 labels (n,).

    Raises:
        UsageError: If a file is damaged or the two do not fit together.
    """
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if len(x) == 0:
        raise damaged(images, "it holds no images")
    if x.shape[1:] != (side, side):
        raise damaged(images, f"its images have {x.shape[1:]} pixels instead of {(side, side)}")
    if len(x) != len(y):
        raise UsageError(
            f"Files {images} and {labels} must belong together, but hold {len(x)} images and "
            f"{len(y)} labels."
        )
    if y.max() >= classes:
        first = int(np.argmax(y >= classes))
        raise damaged(labels, f"its label {first} is {y[first]}, outside 0..{classes - 1}")
    return x[..., None], y.astype(np.int32)
