"""Caltech-101: archive, tree and zip give the same; what is incomplete is named."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from analogjax import data, runs
from analogjax.data import _caltech


@pytest.fixture
def archive(tmp_path, photographs, pack):
    return pack(tmp_path / "sets" / "caltech101" / "101_ObjectCategories.tar.gz", photographs)


def load(tmp_path, **options):
    return data.load("caltech101", image_size=8, folder=tmp_path / "sets", **options)


def test_labels_belong_to_their_pictures(archive, tmp_path):
    ds = load(tmp_path)
    assert ds.input_shape == (8, 8, 3)
    assert ds.classes == tuple(f"thing_{label:03d}" for label in range(101))
    # 505 pictures: one of five of every class is for the test, without the background's.
    np.testing.assert_array_equal(np.bincount(ds.test.y), np.ones(101))
    assert len(ds.train.y) + len(ds.validation.y) == 404
    for x, y in (ds.train, ds.validation, ds.test):
        assert x.dtype == np.uint8
        # Red is twice the label; JPEG rounds colours by up to a few steps.
        np.testing.assert_allclose(x[..., 0].mean(axis=(1, 2)), 2 * y, atol=4)


def test_default_size(archive, tmp_path):
    assert data.load("caltech101", folder=tmp_path / "sets").input_shape == (64, 64, 3)


def test_shorter_side_is_scaled_and_the_middle_kept(tmp_path):
    # 80 x 40: black, grey and white bands; the middle 40 columns are grey.
    bands = np.repeat(np.array([0, 128, 128, 255], np.uint8), 20)
    stream = io.BytesIO()
    Image.fromarray(np.tile(bands, (40, 1))).save(stream, "PNG")
    square = _caltech._square(stream.getvalue(), 20, "here")
    assert square.shape == (20, 20, 3)
    # Bicubic weights reach two pixels over the edge between bands.
    np.testing.assert_array_equal(square[:, 2:-2], 128)


@pytest.mark.parametrize("place", ["101_ObjectCategories", "caltech-101/101_ObjectCategories"])
def test_unpacked_tree(archive, tmp_path, photographs, place):
    expected = load(tmp_path).fingerprint
    archive.unlink()
    for name, content in photographs.items():
        path = archive.parent / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert load(tmp_path).fingerprint == expected
    broken = archive.parent / place / "thing_007" / "image_0003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(runs.UsageError, match=f"{broken} must be whole, but is damaged"):
        load(tmp_path)
    broken.unlink()
    with pytest.raises(runs.UsageError, match="thing_007 holds 4 of 5 images"):
        load(tmp_path)


def test_official_zip(archive, tmp_path):
    expected = load(tmp_path).fingerprint
    with zipfile.ZipFile(archive.parent / "caltech-101.zip", "w") as outer:
        outer.writestr("__MACOSX/caltech-101/._101_ObjectCategories.tar.gz", b"")
        outer.write(archive, "caltech-101/101_ObjectCategories.tar.gz")
    archive.unlink()
    assert load(tmp_path).fingerprint == expected


def test_decoded_once(archive, tmp_path, monkeypatch, cache):
    expected = load(tmp_path).fingerprint
    (kept,) = (cache / "decoded").iterdir()
    monkeypatch.setattr(_caltech, "_square", None)
    assert load(tmp_path).fingerprint == expected
    monkeypatch.undo()
    # A cache that was cut short is made again.
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    kept.write_bytes(kept.read_bytes()[:1000])
    assert load(tmp_path).fingerprint == expected
    assert len(kept.read_bytes()) > 1000


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.9999])
def test_truncated_archive_is_named(archive, tmp_path, keep, cache):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(runs.UsageError, match=f"{archive} must be whole, but is damaged"):
        load(tmp_path)
    assert not (cache / "decoded").exists()


def test_wrong_checksum_at_the_end_is_noticed(archive, tmp_path):
    content = bytearray(archive.read_bytes())
    content[-6] ^= 1  # within the CRC of gzip's last eight bytes
    archive.write_bytes(content)
    with pytest.raises(runs.UsageError, match="CRC check failed"):
        load(tmp_path)


def test_missing_category_is_noticed(tmp_path, photographs, pack):
    rest = {name: file for name, file in photographs.items() if "thing_050" not in name}
    pack(tmp_path / "sets" / "caltech101" / "101_ObjectCategories.tar.gz", rest)
    with pytest.raises(runs.UsageError, match="it holds 100 categories instead of 101"):
        load(tmp_path)


def test_zip_without_archive(tmp_path):
    path = tmp_path / "sets" / "caltech101" / "caltech-101.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("readme.txt", "nothing")
    with pytest.raises(runs.UsageError, match=r"it holds no 101_ObjectCategories\.tar\.gz"):
        load(tmp_path)
