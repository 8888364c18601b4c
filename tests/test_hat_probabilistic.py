"""The experiment `hat_probabilistic` as the command runs it, small: digits, few steps."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analogjax import cli

SMALL = [
    "data=digits", "training.epochs=4", "seeds=2", "chips=2", "steps=30",
    "matrix_steps=20", "pcm_steps=5", "batch=64", "levels=[0.0,0.2]", "inputs=100",
]  # fmt: skip


@pytest.mark.slow
def test_training_with_noise_wins_back_what_it_took(tmp_path):
    out = tmp_path / "out"
    assert cli.main(["run", "hat_probabilistic", *SMALL, "--out", str(out)]) == 0
    m = json.loads((out / "metrics.json").read_text())
    assert m["accuracy_window_trained"] > m["accuracy_window_written"]
    assert m["mismatch_0.2_0.2"] > m["mismatch_0_0.2"]
    assert all(np.isfinite(value) for value in m.values())
    assert m["pcm_plain_compensated_1_year"] > 0.3
