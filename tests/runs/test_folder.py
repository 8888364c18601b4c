"""Run folders: one configuration each, whole files, stages that survive, numbers only."""

from __future__ import annotations

import json
import re

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from analogjax import runs
from analogjax.runs import _atomic

CONFIG = {"experiment": "x", "seed": 3, "device": {"cells": 8, "widths": [1.0, 2.0]}}


@pytest.fixture
def folder(tmp_path):
    return runs.RunFolder(tmp_path / "run", CONFIG, name="x", title="A <b> title")


def dataset():
    return xr.Dataset(
        {"current": (("time", "terminal"), np.arange(6.0).reshape(3, 2), {"units": "A"})},
        coords={"time": ("time", [0.0, 1.0, 2.0], {"units": "s"}), "terminal": ["T1", "T2"]},
    )


@pytest.mark.smoke
def test_everything_lands_in_the_folder(folder):
    folder.stage("solve", lambda: {"x": np.ones(2)})
    folder.metric("energy_J", np.float64(0.5), help="energy")
    folder.metrics({"count": 2})
    folder.dataset("traces", dataset())
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    folder.figure("curve", figure, caption="A *curve*.")
    folder.media("film.gif", b"GIF89a")
    folder.section("Why", "Because.")
    folder.table("Numbers", ["a", "b"], [[1, 2.0]])
    assert not folder.finished
    folder.finish()
    assert folder.finished
    assert set(runs.read(folder.path).files) == {
        "config.yaml",
        "environment.json",
        "figures/curve.png",
        "figures/curve.svg",
        "figures/film.gif",
        "metrics.json",
        "report.html",
        "results.zarr",
        "stages/solve.npz",
        "timings.json",
    }
    assert json.loads((folder.path / "metrics.json").read_text()) == {"count": 2, "energy_J": 0.5}
    environment = json.loads((folder.path / "environment.json").read_text())
    assert environment["seed"] == 3
    assert environment["packages"].keys() >= {"jax", "diffrax", "numpy"}


def test_dataset_comes_back_identical(folder):
    folder.dataset("traces", dataset())
    folder.dataset("again", dataset())
    folder.finish()
    store = folder.path / "results.zarr"
    assert xr.open_zarr(store, group="traces").identical(dataset())
    tree = xr.open_datatree(store, engine="zarr")
    assert set(tree.groups) == {"/", "/traces", "/again"}


def test_dataset_must_have_units(folder):
    bare = xr.Dataset({"current": ("time", [1.0])})
    with pytest.raises(ValueError, match="`current` of group `traces` has none"):
        folder.dataset("traces", bare)


def test_stage_is_computed_once(folder):
    calls = []

    def compute():
        calls.append(1)
        return {"x": np.arange(3), "file": np.float32(0.1), "word": np.array(["a", "bc"])}

    first = folder.stage("solve", compute)
    again = runs.RunFolder(folder.path, CONFIG).stage("solve", compute)
    assert len(calls) == 1
    assert first.keys() == again.keys()
    for name, array in first.items():
        assert array.dtype == again[name].dtype
        np.testing.assert_array_equal(array, again[name])


def test_stage_must_return_arrays(folder):
    with pytest.raises(TypeError, match="must return a dictionary of arrays"):
        folder.stage("a", lambda: np.ones(2))  # type: ignore
    with pytest.raises(TypeError, match="entry 'x' is"):
        folder.stage("b", lambda: {"x": object()})
    assert not (folder.path / "stages").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_metric_must_be_finite(folder, value):
    with pytest.raises(ValueError, match="Metric `m` must be finite, but is"):
        folder.metric("m", value)


@pytest.mark.parametrize("value", ["1", None, True, [1.0], np.ones(1), 1j])
def test_metric_must_be_a_number(folder, value):
    with pytest.raises(ValueError, match="Metric `m` must be a number, but is"):
        folder.metric("m", value)


def test_names_are_used_once_and_fit_a_file_system(folder):
    folder.metric("m", 1)
    with pytest.raises(ValueError, match="must be new for every metric"):
        folder.metric("m", 2)
    with pytest.raises(ValueError, match=r"but is '\.\./m'"):
        folder.stage("../m", dict)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 4}, "its key `seed` is 3 and this run's is 4"),
        (
            {"device": {"cells": 9, "widths": [1.0, 2.0]}},
            "its key `device.cells` is 8 and this run's is 9",
        ),
        ({"new": 1}, "its key `new` is absent and this run's is 1"),
    ],
)
def test_another_configuration_is_refused(folder, change, sentence):
    with pytest.raises(runs.UsageError, match=re.escape(sentence)):
        runs.RunFolder(folder.path, CONFIG | change)


def test_a_key_that_is_not_set_may_be_new(folder):
    """As when a later version knows one more."""
    assert runs.RunFolder(folder.path, CONFIG | {"new": None}).path == folder.path


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(runs.UsageError, match="holds other files"):
        runs.RunFolder(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_same_run_writes_same_bytes(tmp_path):
    written = []
    for name in ("a", "b"):
        folder = runs.RunFolder(tmp_path / name, CONFIG)
        folder.metrics({"z": 0.1 + 0.2, "a": 1})
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        folder.figure("curve", figure)
        folder.finish()
        files = ("config.yaml", "metrics.json", "figures/curve.svg", "figures/curve.png")
        written.append([(folder.path / file).read_bytes() for file in files])
    assert written[0] == written[1]


def test_failed_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "x.json"
    _atomic.write_json(file, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        _atomic.write_json(file, {"a": float("nan")})

    def half(partial):
        partial.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        _atomic.write_with(file, half)
    assert json.loads(file.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_leftovers_of_a_killed_run_are_removed(folder):
    leftover = _atomic.partial_folder(folder.path, "results.zarr")
    (leftover / "chunk").write_text("half")
    runs.RunFolder(folder.path, CONFIG)
    assert not leftover.exists()


def test_finished_figures_are_closed(folder):
    figure = plt.figure()
    folder.figure("empty", figure)
    assert figure.number not in plt.get_fignums()


def test_portions_go_on_where_they_were_stored(tmp_path):
    calls = []

    def advance(state):
        calls.append(int(state["n"]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {"n": state["n"] + 1, "key": jax.random.split(state["key"])[0]}

    def work(run):
        start = {"n": jnp.zeros((), jnp.int32), "key": jax.random.key(0)}
        return run.portions("slow", lambda: start, advance, lambda s: int(s["n"]), 5, every=0.0)

    with pytest.raises(KeyboardInterrupt):
        work(runs.RunFolder(tmp_path / "run", CONFIG))
    calls.append(None)
    run = runs.RunFolder(tmp_path / "run", CONFIG)
    final = run.stage("slow", lambda: {"key": jax.random.key_data(work(run)["key"])})["key"]
    # Two portions were stored before the interruption: they are not done again.
    assert calls == [0, 1, 2, None, 2, 3, 4]
    key = jax.random.key(0)
    for _ in range(5):
        key = jax.random.split(key)[0]
    np.testing.assert_array_equal(final, jax.random.key_data(key))
    assert not list((run.path / "stages").glob("*.part.npz"))
