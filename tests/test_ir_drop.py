"""The experiment `ir_drop`, small."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analogjax import cli

# One shape and one vector: four programs to compile.
SMALL = ["sizes=[8]", "resistances=[1.0,10.0]", "map_size=8", "vectors=1", "sinh_voltages=[0.4]"]
NETWORK = ["network_resistances=[1.0,10000.0]", "network.options.hidden=[16]"]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    out = tmp_path_factory.mktemp("ir_drop") / "run"
    assert cli.main(["run", "ir_drop", *SMALL, "network_resistances=[]", "--out", str(out)]) == 0
    return json.loads((out / "metrics.json").read_text())


def test_a_ladder_is_the_closed_form(metrics):
    # The loss, 5e-4 of the current at least, is a difference of numbers near 1 that are good to
    # some 1e-12, the tolerance of the solve.
    assert metrics["ladder_deviation_max"] < 1e-8


def test_two_drivers_lose_less_than_one(metrics):
    for name in ("loss_max", "error_max", "map_loss"):
        assert 0 < metrics[f"{name}_both"] < metrics[f"{name}_left"] < 1
    assert metrics["map_least_voltage_left"] < metrics["map_least_voltage_both"] < 1


def test_finer_nodes_lose_more(metrics):
    losses = [metrics[f"loss_{node}_nm"] for node in (130, 65, 45, 32, 22, 14, 7)]
    assert np.all(np.diff(losses) > 0)


def test_cells_that_conduct_more_lose_more(metrics):
    assert metrics["nonlinear_loss_sinh"] > metrics["nonlinear_loss_ohmic"] > 0


@pytest.mark.slow
def test_wires_cost_a_network_accuracy(tmp_path):
    assert cli.main(["run", "ir_drop", *SMALL, *NETWORK, "--out", str(tmp_path / "run")]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["accuracy_digital"] > 0.7
    for drive in ("left", "both"):
        near, far = (metrics[f"accuracy_{drive}_{r}_ohm"] for r in (1, 10000))
        assert abs(near - metrics["accuracy_digital"]) < 0.02
        assert far < near - 0.05
