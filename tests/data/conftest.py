"""Small stand-ins for the official files."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep the user's cache out of it; return the folder that stands in for it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "analogjax"


@pytest.fixture
def real(monkeypatch):
    """Return a function that gives the real folder of a data set, or skips."""

    def real(name):
        if not os.environ.get("ANALOGJAX_DATA"):
            pytest.skip("ANALOGJAX_DATA is not set: there is no real data to look at")
        root = (ROOT / os.environ["ANALOGJAX_DATA"]).resolve()
        if not (root / name).is_dir():
            pytest.skip(f"{root} holds no {name}/")
        monkeypatch.setenv("ANALOGJAX_DATA", str(root))
        return root / name

    return real


@pytest.fixture
def nowhere(monkeypatch):
    """Forget the real data and fail every download at once; return the addresses tried."""
    pooch = pytest.importorskip("pooch")
    tried = []

    def retrieve(url, **_):
        tried.append(url)
        raise OSError("no route to host")

    monkeypatch.delenv("ANALOGJAX_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    return tried


def idx(array: np.ndarray) -> bytes:
    """Return an idx file of bytes, written down from the description of the format."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path):
    """Return a folder of 200 + 40 images whose first pixel is the label, and a way to break it."""
    folder = tmp_path / "sets"
    random = np.random.RandomState(0)

    class Files:
        root = folder
        train = folder / "mnist" / "train-images-idx3-ubyte.gz"
        train_labels = folder / "mnist" / "train-labels-idx1-ubyte.gz"

        @staticmethod
        def write(path, array):
            path.write_bytes(gzip.compress(idx(array)))

    (folder / "mnist").mkdir(parents=True)
    for part, n in (("train", 200), ("t10k", 40)):
        y = np.arange(n) % 10
        x = random.randint(0, 256, (n, 28, 28))
        x[:, 0, 0] = y
        Files.write(folder / "mnist" / f"{part}-images-idx3-ubyte.gz", x)
        Files.write(folder / "mnist" / f"{part}-labels-idx1-ubyte.gz", y)
    return Files


@pytest.fixture(scope="session")
def photographs():
    """Return {member: JPEG} of 101 categories of 5 plain pictures each, and the background."""
    files = {}
    for label in range(101):
        for number in range(1, 6):
            colour = (2 * label, 255 - 2 * label, 40 * number)
            stream = io.BytesIO()
            Image.new("RGB", (24, 16), colour).save(stream, "JPEG", quality=95)
            files[f"thing_{label:03d}/image_{number:04d}.jpg"] = stream.getvalue()
    files["BACKGROUND_Google/image_0001.jpg"] = files["thing_000/image_0001.jpg"]
    files["BACKGROUND_Google/tmp"] = b"the official archive has such a file"
    return files


@pytest.fixture
def pack():
    """Return a function that packs files as the official archive is packed."""

    def pack(path, files):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"101_ObjectCategories/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    return pack
