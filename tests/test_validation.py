"""The experiment `validation` on fewer grids, and without the longer run of the reference solver.

Slow (a minute on idle cores) because of what it compiles; the parts have tests of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from analogjax import cli

SMALL = [
    "grids=[32,64,128]", "arms=[0.25]", "cells=24", "pulses=5",
    "reference_cells=16", "reference_pulses=2", "front_cells=300",
]  # fmt: skip


@pytest.mark.slow
def test_every_number_is_within_its_tolerance(tmp_path):
    out = tmp_path / "out"
    # A process of its own: the experiment hands plain numbers to functions of `physics`, whose
    # annotations, checked at run time in this process, are those of arrays.
    command = [sys.executable, "-m", "analogjax", "run", "validation", *SMALL, "--out", str(out)]
    subprocess.run(command, check=True)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["checks_failed"] == 0
    # All subjects: the numbers of the longer reference run alone belong to its own grid.
    assert metrics["checks"] == 35
    page = (out / "report.html").read_text()
    assert f"{metrics['checks']} checks, all within tolerance." in page
    for name in ("transport", "conformal_map", "time_order", "derivatives", "drift_law"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 10_000


def test_grids_must_double(tmp_path, capsys):
    assert cli.main(["run", "validation", "grids=[16,24]", "--out", str(tmp_path / "out")]) == 2
    assert "Argument `grids` must hold at least two grids" in capsys.readouterr().err
