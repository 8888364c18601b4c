"""Several devices give the numbers of one: 8 virtual ones, and two processes that meet."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from analogjax import runs, sharding
from analogjax.runs import RunFolder, UsageError

from . import sharded

PROGRAM = Path(sharded.__file__)


def environment(devices=1, **more):
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    precision = {"JAX_ENABLE_X64": "1", "JAX_NUMPY_RANK_PROMOTION": "raise"}
    path = {"PYTHONPATH": str(PROGRAM.parents[1])}
    return os.environ | flags | precision | path | more


def free_port():
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


def job(**more):
    """Return the environments of two processes that meet."""
    meet = {"JAX_COORDINATOR_ADDRESS": f"localhost:{free_port()}", "JAX_NUM_PROCESSES": "2"}
    return [environment(JAX_PROCESS_ID=str(k), **meet, **more) for k in range(2)]


def finished(*processes):
    """Wait for processes; show what they said if one of them failed."""
    said = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(said), "\n".join(said)
    return said


def start(*words, **options):
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


@functools.cache
def alone(name):
    """Return the numbers of one device."""
    return sharded.numbers([name])


def same(found, names):
    wanted = {key: value for name in names for key, value in alone(name).items()}
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        if name.startswith(("held_out", "chips")) or name == "tiles_1":
            # Every device computes its own chips as one alone would; draws belong to arrays.
            np.testing.assert_array_equal(value, wanted[name], err_msg=name)
        else:
            # Sums of float32 in another order, through a few steps of Adam, whose first ones
            # divide small gradients by themselves.
            np.testing.assert_allclose(value, wanted[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "names",
    [
        ["digital", "held_out", "tiles"],
        pytest.param(["tuned", "chips"], marks=pytest.mark.slow),
    ],
    ids=",".join,
)
def test_eight_devices_give_the_numbers_of_one(names, tmp_path):
    out = tmp_path / "numbers.npz"
    finished(start(PROGRAM, out, ",".join(names), env=environment(8)))
    same(dict(np.load(out)), names)
    # There was something to see: chips differ, and so do the converters of arrays.
    different = {"held_out": "held_out_0", "tiles": "tiles_1", "chips": "chips_0"}
    for name in set(names) & set(different):
        assert len(np.unique(alone(name)[different[name]])) > 3


def test_two_processes_give_the_numbers_of_one(tmp_path):
    names, out = ["digital", "held_out"], [tmp_path / f"{k}.npz" for k in range(2)]
    both = job()
    finished(*(start(PROGRAM, out[k], ",".join(names), env=both[k]) for k in range(2)))
    assert [path.is_file() for path in out] == [True, False]
    same(dict(np.load(out[0])), names)


SMALL = ["train", "network.options.hidden=[8]", "training.epochs=2", "training.batch=32"]


@pytest.mark.slow
def test_the_command_over_processes_and_devices(tmp_path):
    """The first of two processes writes one folder, and both go on from what it stored."""
    metrics = {}
    for place, count in (("one", "1"), ("virtual", "2"), ("cluster", "cluster")):
        words = ["-m", "analogjax", "run", *SMALL, f"accelerators={count}", "--out"]
        cache = {"XDG_CACHE_HOME": str(tmp_path / f"cache_{place}")}
        if place != "cluster":
            finished(start(*words, tmp_path / place, env=environment(int(count), **cache)))
            metrics[place] = json.loads((tmp_path / place / "metrics.json").read_text())
            continue
        for _ in range(2):
            own, both = [tmp_path / place, tmp_path / "never"], job(**cache)
            said = finished(*(start(*words, own[k], env=both[k]) for k in range(2)))
            assert not own[1].exists()
            metrics[place] = json.loads((own[0] / "metrics.json").read_text())
            # A second time the report is missing, and its stages are read back by the first.
            (own[0] / "report.html").unlink()
        assert "read back" in said[0]
        assert "read back" not in said[1]
    for place in ("virtual", "cluster"):
        assert metrics[place].keys() == metrics["one"].keys()
        # The same network to rounding: at most an input on an edge changes sides.
        assert metrics[place]["accuracy_digital"] == pytest.approx(
            metrics["one"]["accuracy_digital"], abs=0.005
        )


def test_meshes():
    mesh = sharding.make_mesh()
    assert mesh.axis_names == ("data", "tiles")
    assert sharding.shares(mesh) == sharding.shares(None) == 1
    assert sharding.chosen(None) is None
    with sharding.over(mesh):
        assert sharding.chosen(None) == mesh
        with sharding.over(None):
            assert sharding.chosen(None) is None
    explicit = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    mesh = sharding.chosen(explicit)
    assert mesh is not None
    assert mesh.axis_types == (AxisType.Auto,)
    with pytest.raises(ValueError, match="Argument `mesh` must have an axis 'data'"):
        sharding.chosen(jax.make_mesh((1,), ("x",), axis_types=(AxisType.Auto,)))
    with pytest.raises(ValueError, match=r"Argument `devices` must be at least 1 and at most .* 9"):
        sharding.make_mesh(9)
    with pytest.raises(ValueError, match="Argument `tiles` must divide the number of devices, 1"):
        sharding.make_mesh(1, tiles=2)


def test_a_batch_has_equal_shares(monkeypatch):
    monkeypatch.setattr(sharding, "shares", lambda mesh: 8)
    sharding.check_shared(24, None)
    with pytest.raises(ValueError, match=r"Argument `batch` must be a multiple of 8, .* is 100"):
        sharding.check_shared(100, None)


@pytest.mark.parametrize("value", ["0", "many", "2x", "1.5"])
def test_the_key_is_checked(value):
    with pytest.raises(UsageError, match=f"Key `accelerators` must be .* but is '{value}'"):
        runs.set_up(accelerators=value)


def test_too_many_accelerators():
    with (
        pytest.raises(UsageError, match=r"at most what JAX finds here, 1 .* but is 4x2"),
        runs.on_accelerators("4x2"),
    ):
        pass
    with runs.on_accelerators("1"):
        assert sharding.chosen(None) is None
    with runs.on_accelerators("all"):
        # One that is all there is needs no mesh.
        assert sharding.chosen(None) is None


def test_a_folder_from_before_the_key_goes_on(tmp_path):
    RunFolder(tmp_path, {"seed": 3})
    RunFolder(tmp_path, {"seed": 3, "accelerators": "1"})
    with pytest.raises(UsageError, match="its key `accelerators` is '1' and this run's is '2'"):
        RunFolder(tmp_path, {"seed": 3, "accelerators": "2"})
