"""Experiments `depth` and `retention` at sizes that say nothing but run in a minute each."""

from __future__ import annotations

import json

import pytest
import xarray as xr

from analogjax import cli

FILM = {
    "device.cells": 8,
    "device.preset": "isothermal",
    "levels": "[16]",
    "repeats": 2,
    "window_pulses": 10,
}
SMALL = [f"programming.{key}={value}" for key, value in FILM.items()]
pytestmark = pytest.mark.slow


def run(name, out, *overrides):
    """Metrics and folder of a finished run."""
    assert cli.main(["run", name, *SMALL, *overrides, "--out", str(out)]) == 0
    return json.loads((out / "metrics.json").read_text())


def test_depth(tmp_path):
    m = run(
        "depth", tmp_path / "run", "data=digits", "train_images=400", "images=200", "blocks=[1,2]",
        "width=8", "signal_images=50", "bits=[1,4]", "chips=2", "training.epochs=2",
    )  # fmt: skip
    assert m["parameters_layers_6"] > m["parameters_layers_4"]
    for layers in (4, 6):
        # Three bits more: the error falls by a factor of about eight, 18 dB; half is required.
        gained = (
            m[f"signal_to_noise_dB_layers_{layers}_bits_4"]
            - m[f"signal_to_noise_dB_layers_{layers}_bits_1"]
        )
        assert gained > 9
    stored = xr.open_zarr(tmp_path / "run" / "results.zarr", group="depth")
    assert dict(stored.chips.sizes) == {"layers": 2, "seed": 2, "bits": 2, "chip": 2}


def test_retention(tmp_path):
    m = run(
        "retention", tmp_path / "run", "networks=[mlp_mnist]", "data@mlp_mnist.data=digits",
        "training@mlp_mnist.training=mlp_digits", "mlp_mnist.training.epochs=10", "bits=3",
        "chips=2", "programming.delays=[1.0,1e8]",
    )  # fmt: skip
    # This film forgets: after three years nothing is left of the network, at any temperature.
    for temperature in (300, 358):
        assert m[f"mlp_mnist_accuracy_{temperature}K_after_0s"] > 0.7
        assert m[f"mlp_mnist_accuracy_{temperature}K_after_1e+08s"] < 0.5
    # After a second the warm film has forgotten more.
    assert m["level_error_pitches_358K_after_1s"] > m["level_error_pitches_300K_after_1s"]
