"""The experiment `mnist_through_wires` as the command runs it, small: digits, few steps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from analogjax import cli

SMALL = [
    "data=digits", "network.options.hidden=[16]", "training.epochs=10", "training.batch=64",
    "side=32", "r_wire=10", "steps=8", "batch=256", "learning_rate=0.01",
    "noise_steps=5", "rounds=2",
    "round_steps=3",
]  # fmt: skip


@pytest.mark.slow
def test_training_through_wires_wins_back_what_they_took(tmp_path):
    out = tmp_path / "out"
    assert cli.main(["run", "mnist_through_wires", *SMALL, "--out", str(out)]) == 0
    m = json.loads((out / "metrics.json").read_text())
    assert m["accuracy_wires"] > m["accuracy_transferred"]
    # Solved to 1e-12 instead of 1e-6: at most one image of 359 may change sides.
    assert m["accuracy_wires_float64"] == pytest.approx(m["accuracy_wires"], abs=1.5 / 359)
    assert 0 < m["current_left_before"] < 1
    loss = xr.open_zarr(out / "results.zarr", group="learning")["loss"].values
    assert loss.shape == (8,)
    assert loss[-1] < loss[0]
    assert np.isfinite(loss).all()
    # Everything is read back: nothing is trained again.
    stages = json.loads((out / "timings.json").read_text())["stages"]
    assert {"wires", "noise", "accuracy", "maps"} <= set(stages)
