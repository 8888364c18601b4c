"""Caltech-101: photographs of 101 kinds of objects, decoded to squares of any size.

Source: Li, Andreeto, Ranzato, Perona, CaltechDATA (2022), doi:10.22002/D1.20086, CC BY 4.0.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..runs import UsageError, cache_folder
from ..runs._atomic import write_with
from ..runs._progress import ProgressDisplay
from ._sources import Remote, damaged

TREE = "101_ObjectCategories"
ARCHIVE = f"{TREE}.tar.gz"
BACKGROUND = "BACKGROUND_Google"  # pictures of anything, which is no class
CLASSES = 101

# Checksum as in the record's own list of files.
REMOTE = Remote(
    "caltech-101.zip",
    "3138e1922a9193bfa496528edbbc45d0",
    ("https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",),
    instead=(TREE, ARCHIVE, f"caltech-101/{TREE}", f"caltech-101/{ARCHIVE}"),
)

_MEMBER = re.compile(rf"(?:^|/){TREE}/([^/]+)/image_(\d{{4}})\.jpg$")
_DECODER = 1  # goes up when the same files are decoded to other pixels
_ABOUT = 9144  # pictures of the official tree, for the estimate of the time left


def read(source: Path, size: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return all photographs as squares, decoded once and kept in the user's cache.

    The shorter side is scaled to `size` (bicubic) and the middle is cut out.

    Args:
        source: The unpacked tree, its archive, or the official zip around the archive.
        size: Height and width to scale to [pixels].

    Returns:
        uint8 images (n, size, size, 3), int32 labels (n,), names of the 101 classes.

    Raises:
        UsageError: If the source is incomplete or an image cannot be decoded.
    """
    cache = cache_folder() / "decoded" / f"caltech101-{size}-{_key(source)}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        # Opened here, because np.load leaves a damaged file open.
        with cache.open("rb") as file, np.load(file) as kept:
            return kept["x"], kept["y"], tuple(kept["classes"].tolist())
    x, y, classes = _decode(source, size)
    # A full or read-only disk costs time at the next start, nothing else.
    with contextlib.suppress(OSError):
        write_with(cache, lambda partial: np.savez(partial, x=x, y=y, classes=np.array(classes)))
    return x, y, classes


def _decode(source: Path, size: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    pictures: dict[tuple[str, int], np.ndarray] = {}
    with ProgressDisplay().show("decode caltech101", _ABOUT) as progress:
        for category, number, where, content in _files(source):
            progress.advance()
            if category != BACKGROUND:
                pictures[category, number] = _square(content, size, where)
    classes = tuple(sorted({category for category, _ in pictures}))
    if len(classes) != CLASSES:
        raise damaged(source, f"it holds {len(classes)} categories instead of {CLASSES}")
    keys = sorted(pictures)
    labels = {name: label for label, name in enumerate(classes)}
    y = np.array([labels[category] for category, _ in keys], np.int32)
    for label, name in enumerate(classes):
        # Numbered without gaps from 1, so that a missing picture shows.
        last = [number for category, number in keys if category == name][-1]
        if last != np.sum(y == label):
            raise damaged(source, f"{name} holds {np.sum(y == label)} of {last} images")
    return np.stack([pictures[key] for key in keys]), y, classes


def _square(content: bytes, size: int, where: str) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content)) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError) as error:
        raise damaged(Path(where), f"{error}") from error
    return np.asarray(fitted)


def _files(source: Path) -> Iterator[tuple[str, int, str, bytes]]:
    """Yield category, number, place and content of every picture."""
    if source.is_dir():
        for path in sorted(source.glob("*/image_*.jpg")):
            match = _MEMBER.search(f"{TREE}/{path.parent.name}/{path.name}")
            if match:
                yield match[1], int(match[2]), str(path), path.read_bytes()
        return
    try:
        yield from _members(source)
    except UsageError:
        raise
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise damaged(source, str(error)) from error


def _members(source: Path) -> Iterator[tuple[str, int, str, bytes]]:
    with contextlib.ExitStack() as stack:
        if source.suffix == ".zip":
            outer = stack.enter_context(zipfile.ZipFile(source))
            inner = [name for name in outer.namelist() if name.split("/")[-1] == ARCHIVE]
            if not inner:
                raise damaged(source, f"it holds no {ARCHIVE}")
            packed = stack.enter_context(outer.open(inner[0]))
        else:
            packed = stack.enter_context(source.open("rb"))
        # gzip by itself, since tarfile's streams do not compare the checksum.
        unpacked = stack.enter_context(gzip.GzipFile(fileobj=packed))
        tree = stack.enter_context(tarfile.open(fileobj=unpacked, mode="r|"))
        for member in tree:
            match, file = _MEMBER.search(member.name), tree.extractfile(member)
            if match and file:
                yield match[1], int(match[2]), f"{source}:{member.name}", file.read()
        while unpacked.read(2**20):
            pass  # to the end, where the checksum stands


def _key(source: Path) -> str:
    """Return a short hash that changes with the source's files."""
    files = sorted(source.glob("*/*.jpg")) if source.is_dir() else [source]
    digest = hashlib.sha256(f"{_DECODER} {source}".encode())
    for path in files:
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
