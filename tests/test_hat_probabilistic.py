"""The experiment `hat_probabilistic` as the command runs it, small: digits, few steps."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analogjax import cli

SMALL = [
    "data=digits", "training.epochs=4", "seeds=1", "chips=2", "steps=30",
    "matrix_steps=10", "pcm_steps=3", "batch=64", "levels=[0.2]", "inputs=100",
]  # fmt: skip


@pytest.mark.slow
def test_runs_from_end_to_end(tmp_path):
    out = tmp_path / "out"
    assert cli.main(["run", "hat_probabilistic", *SMALL, "--out", str(out)]) == 0
    m = json.loads((out / "metrics.json").read_text())
    assert all(np.isfinite(value) for value in m.values())
    assert {"accuracy_window_trained", "mismatch_0.2_0.2", "pcm_horizon_compensated_1_year"} <= set(
        m
    )
