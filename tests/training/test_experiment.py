"""The experiment `train`: the same metrics whether the weights were trained or read back."""

from __future__ import annotations

import json

import pytest
import xarray as xr

from analogjax import cli, data

SHORT = ["training.epochs=3", "training.batch=32", "network.options.hidden=[16]"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    # Its own cache of weights; compiled programs stay where the other tests keep theirs.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(out, *words):
    assert cli.main(["run", "train", *SHORT, *words, "--out", str(out)]) == 0
    return json.loads((out / "metrics.json").read_text())


def test_the_cache_changes_no_metric(tmp_path, capsys):
    first = run(tmp_path / "first")
    assert "trained weights: kept in" in capsys.readouterr().err
    again = run(tmp_path / "again")
    assert "trained weights: read from" in capsys.readouterr().err
    assert first == again
    # Metrics against the stored arrays and the network's arithmetic: 64*16 + 16 + 16*10 + 10.
    assert first["parameters"] == 1210
    counts = xr.open_zarr(tmp_path / "first" / "results.zarr", group="confusion")["count"].values
    assert counts.sum() == len(data.load("digits").test.y)
    assert first["accuracy_digital"] == counts.trace() / counts.sum()
    assert first["accuracy_digital"] > 0.5  # a guess is right once in ten
    assert not (tmp_path / "first" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["network=lenet"], "Group `network` must be one of"),
        (["network.name=lenet"], "did you mean 'lenet5'?"),
        (["network.options.hiden=3"], "Argument `options` must be one of 'hidden'"),
        (["training.optimiser=adam"], "did you mean 'adamw'?"),
        (["data=digit"], "did you mean `digits`?"),
    ],
)
def test_wrong_configuration_is_told_in_one_sentence(tmp_path, capsys, words, message):
    assert cli.main(["run", "train", *words, "--out", str(tmp_path / "out")]) != 0
    assert message in capsys.readouterr().err
