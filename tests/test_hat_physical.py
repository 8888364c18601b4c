"""The experiments of physical training as the command runs them, tiny: they end, and report."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from analogjax import cli

pytestmark = pytest.mark.slow

FILMS = ["cells=8", "splits=2", "chips=1", "substeps=12", "side_by_side=32"]


def ran(folder, *arguments):
    """Run an experiment; return its metrics, all of them finite."""
    assert cli.main(["run", *arguments, "--out", str(folder)]) == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert all(np.isfinite(value) for value in metrics.values())
    return metrics


def test_films(tmp_path):
    m = ran(
        tmp_path / "out", "hat_physical_pde", *FILMS, "steps=20", "physical_steps=2",
        "tuning_splits=1", "noise_factors=[1.0]", "drift_splits=1", "rests=[60.0]",
    )  # fmt: skip
    assert {"accuracy_physical", "difference_physical_noise", "accuracy_noise_after_60s"} <= set(m)
    assert m["window_ratio"] > 1


def test_filaments(tmp_path):
    m = ran(
        tmp_path / "out", "hat_physical_jart", "data=digits", "images=200", "hidden=4", "seeds=2",
        "chips=2", "digital_steps=20", "steps=2", "batch=32", "multiples=[1.0]",
        "validation_chips=1", "levels=3", "samples=20",
    )  # fmt: skip
    assert {"accuracy_plain", "physical_minus_noise", "failed_devices"} <= set(m)
    # Pooled digits have 4 x 4 pixels.
    assert m["devices"] == 2 * (16 * 4 + 4 * 10)


def test_reduced_films(tmp_path, reduced_device):
    # A hand-made device stands for a distilled one.
    file = tmp_path / "reduced.npz"
    errors = dict.fromkeys(("rms", "max", "pulse_rms"), 0.0)
    np.savez(file, **reduced_device.to_arrays(), **errors)
    m = ran(
        tmp_path / "out", "hat_physical_reduced", f"reduced={file}", "full=12.0", "data=digits",
        "network=mlp_digits", "network.options.hidden=[4]", "training=mlp_digits",
        "training.epochs=2", "seeds=2", "steps=2", "batch=32", "rates=[1.0]", "chips=2",
        "tuning_chips=1", "images=50",
    )  # fmt: skip
    assert {"accuracy_digital", "accuracy_hurts_physical"} <= set(m)


def test_codesign(tmp_path):
    m = ran(
        tmp_path / "out", "hat_codesign", *FILMS, "noise_steps=20", "steps=2", "levels=2",
        "samples=4",
    )  # fmt: skip
    assert {"accuracy_front", "cross_entropy_front_minus_amplitudes", "electrode_arm_found"} <= set(
        m
    )
    found = xr.open_zarr(tmp_path / "out" / "results.zarr", group="designs")["design"]
    moved = np.ptp(found.values, axis=2).max(axis=0) > 0
    # Amplitudes; schedule too; electrodes too; front too: each training moves what it names.
    np.testing.assert_array_equal(moved.sum(1), [0, 3, 4, 6])
    assert not np.isnan(found).any()
