"""Missing and damaged files: one sentence that names them; downloads without a network."""

from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest
import requests

from analogjax import data, runs
from analogjax.data import _load, _sources


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_missing_files_are_listed_with_source_and_place(mnist, nowhere):
    mnist.train.unlink()
    mnist.train_labels.unlink()
    with pytest.raises(runs.UsageError) as error:
        data.load("mnist", folder=mnist.root)
    text = one_sentence(error)
    assert "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz in" in text
    assert "t10k" not in text
    assert "no route to host" in text
    assert "https://ossci-datasets.s3.amazonaws.com/mnist/" in text
    assert str(mnist.root / "mnist") in text
    # All addresses of the first file, then no further ones.
    assert len(nowhere) == 3


def test_missing_set_names_environment_and_cache(cache, tmp_path, monkeypatch, nowhere):
    monkeypatch.setenv("ANALOGJAX_DATA", str(tmp_path))
    with pytest.raises(runs.UsageError) as error:
        data.load("caltech101")
    text = one_sentence(error)
    assert f"{tmp_path / 'caltech101'} or {cache / 'data' / 'caltech101'}" in text
    assert "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip" in text


class Response:
    """What `requests.get` returns, as far as pooch asks."""

    def __init__(self, content):
        self.content = content
        self.headers = {"content-length": str(len(content))}

    def raise_for_status(self):
        pass

    def iter_content(self, chunk_size):
        for start in range(0, len(self.content), chunk_size):
            yield self.content[start : start + chunk_size]


@pytest.fixture
def official(mnist, monkeypatch):
    """Serve the stand-ins from the second official address only, under their own checksums."""
    asked = []
    contents = {path.name: path.read_bytes() for path in (mnist.root / "mnist").iterdir()}
    remotes = tuple(
        _sources.Remote(
            remote.name, hashlib.md5(contents[remote.name]).hexdigest(), remote.urls[:2]
        )
        for remote in _load._IDX["mnist"][0]
    )

    def get(url, **_):
        asked.append(url)
        if "ossci" in url:
            raise requests.exceptions.ConnectionError("refused")
        return Response(contents[url.rpartition("/")[2]])

    monkeypatch.setitem(_load._IDX, "mnist", (remotes, _load._IDX["mnist"][1]))
    monkeypatch.setattr(requests, "get", get)
    monkeypatch.delenv("ANALOGJAX_DATA", raising=False)
    return contents, asked


def test_download_into_the_cache_once(official, cache, mnist, capsys):
    _, asked = official
    ds = data.load("mnist")
    assert ds.fingerprint == data.load("mnist", folder=mnist.root).fingerprint
    assert len(asked) == 8
    assert len(list((cache / "data" / "mnist").iterdir())) == 4
    data.load("mnist")
    assert len(asked) == 8
    size = mnist.train.stat().st_size // 1024
    progress = f"download train-images-idx3-ubyte.gz [KiB]: {size}/{size}, in"
    assert capsys.readouterr().err.count(progress) == 1


def test_a_download_with_another_checksum_is_not_kept(official, cache):
    contents, _ = official
    contents["t10k-labels-idx1-ubyte.gz"] = b"an error page"
    with pytest.raises(runs.UsageError, match=r"must have t10k-labels-idx1-ubyte.gz in"):
        data.load("mnist")
    assert len(list((cache / "data" / "mnist").iterdir())) == 3


def test_official_checksums_have_the_form_of_md5():
    # Their values are held against the real files in test_real.py.
    for remotes, _ in _load._IDX.values():
        assert all(len(bytes.fromhex(remote.md5)) == 16 for remote in remotes)


def corrupt(content):
    """Flip one bit in the middle of the compressed bytes."""
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def unpacked(change):
    return lambda content: gzip.compress(change(gzip.decompress(content)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda content: content[:-20], "ended before the end-of-stream"),
        (lambda content: b"<html>not found</html>", "Not a gzipped file"),
        (lambda content: b"", "its header has 0 bytes instead of 16"),
        (corrupt, ""),
        (unpacked(lambda raw: b"\0\0\x0d" + raw[3:]), "its magic number is 3331 instead of 2051"),
        (unpacked(lambda raw: raw[:10]), "its header has 10 bytes instead of 16"),
        (unpacked(lambda raw: raw[:-1]), "promises 156800 bytes but 156799 follow"),
        (unpacked(lambda raw: raw + b"\0"), "promises 156800 bytes but 156801 follow"),
    ],
)
def test_damaged_images_are_named(mnist, change, why):
    mnist.train.write_bytes(change(mnist.train.read_bytes()))
    with pytest.raises(runs.UsageError) as error:
        data.load("mnist", folder=mnist.root)
    text = one_sentence(error)
    assert str(mnist.train) in text
    assert why in text


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.arange(199) % 10, "hold 200 images and 199 labels"),
        (np.arange(200) % 11, "its label 10 is 10, outside 0..9"),
    ],
)
def test_labels_that_do_not_fit_are_named(mnist, labels, why):
    mnist.write(mnist.train_labels, labels)
    with pytest.raises(runs.UsageError) as error:
        data.load("mnist", folder=mnist.root)
    text = one_sentence(error)
    assert str(mnist.train_labels) in text
    assert why in text


@pytest.mark.parametrize(
    ("shape", "why"),
    [((200, 32, 32), r"\(32, 32\) pixels instead of \(28, 28\)"), ((0, 28, 28), "holds no images")],
)
def test_images_of_another_size_are_named(mnist, shape, why):
    mnist.write(mnist.train, np.zeros(shape))
    with pytest.raises(runs.UsageError, match=why):
        data.load("mnist", folder=mnist.root)
