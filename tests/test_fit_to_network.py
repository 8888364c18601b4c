"""The experiment `fit_to_network`, small: one table of pulses, a step device, digits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from analogjax import cli

MAPPING = """\
protocol: pulse_train
columns: {train: ramp, amplitude: V (V), width: w (us), conductance: G (uS)}
"""
SMALL = [
    "measurements=folder", "device=soft_bounds", "device.kind=LinearStep",
    "fit.free=[dw_min,gamma_up]", "pulses.start=null",
    "network.options.hidden=[16]", "training.epochs=5", "bits=[1,3]", "draws=3", "repeats=3",
    "chips=1", "images=100", "pulses.count=40",
]  # fmt: skip


def ramps(step: float) -> str:
    """Two noisy ramps of 40 pulses of a LinearStep with gamma_up = 0.3, in conductance."""
    rng = np.random.default_rng(0)
    lines = ["ramp,V (V),w (us),G (uS)"]
    for ramp in range(2):
        w = 0.0
        for _ in range(40):
            w += step * (1 - 0.3 * w)
            g = 1 + 24 * (w + 1) / 2
            lines.append(f"{ramp},1,1,{g * rng.normal(1, 0.003):.6g}")
    return "\n".join(lines) + "\n"


def devices(spread: float) -> str:
    """One ramp of each of eight devices whose steps differ."""
    rng = np.random.default_rng(1)
    lines = ["chip,V (V),w (us),G (uS)"]
    for chip in range(8):
        w, step = 0.0, 0.02 * np.exp(spread * rng.standard_normal())
        for _ in range(40):
            w += step * (1 - 0.3 * w)
            lines.append(f"{chip},1,1,{(1 + 12 * (w + 1)) * rng.normal(1, 0.003):.6g}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "ramps.csv").write_text(ramps(0.02))
    (folder / "ramps.yaml").write_text(MAPPING)
    return folder


def test_from_a_table_to_an_interval(tables, tmp_path):
    out = tmp_path / "out"
    small = [*SMALL, f"measurements.folder={tables}"]
    assert cli.main(["run", "fit_to_network", *small, "--out", str(out)]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    for bits in (1, 3):
        low, middle, high = (
            metrics[f"accuracy_bits_{bits}_{name}"] for name in ("low", "median", "high")
        )
        assert 0 <= low <= middle <= high <= 1
    # 80 values with 0.3 % of noise; within five standard errors.
    for name, true in (("dw_min", 0.02), ("gamma_up", 0.3)):
        assert abs(metrics[f"fit_{name}"] - true) < 5 * metrics[f"fit_{name}_error"]
    kept = yaml.safe_load((out / "device.yaml").read_text())
    assert kept["kind"] == "LinearStep"
    assert kept["parameters"]["dw_min"] == pytest.approx(metrics["fit_dw_min"], rel=1e-12)


def test_a_fit_that_cannot_work_ends_the_run_with_its_sentence(tables, tmp_path, capsys):
    (tables / "ramps.csv").write_text(ramps(0.02).replace(",1,1,", ",-1,1,"))
    small = [*SMALL, f"measurements.folder={tables}"]
    assert cli.main(["run", "fit_to_network", *small, "--out", str(tmp_path / "out")]) == 2
    assert "only with the other sign" in capsys.readouterr().err


def read(out):
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.slow
def test_cells_of_a_population_differ_as_its_devices_do(tables, tmp_path):
    (tables / "ramps.csv").write_text(devices(0.15))
    (tables / "ramps.yaml").write_text(MAPPING.replace("train: ramp", "device: chip"))
    out = tmp_path / "out"
    small = [*SMALL, f"measurements.folder={tables}", "uncertainty=population", "repeats=12",
             "varying=[dw_min]", "draws=2", "bits=[1]"]  # fmt: skip
    assert cli.main(["run", "fit_to_network", *small, "--out", str(out)]) == 0
    # After 40 steps w = (1 - (1 - 0.3 step)^40) / 0.3 = 0.71, of which 15 % of the step are 13 %;
    # the window reaches from w = 0 to there. Eight devices and twelve cells know a spread to some
    # 35 %, and a step device without variation has no other scatter.
    assert 0.05 < read(out)["error_from_write_to_write"] < 0.25
    assert "device to device" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_devices_drawn_from_the_posterior(tables, tmp_path):
    pytest.importorskip("numpyro")
    small = [*SMALL, f"measurements.folder={tables}", "uncertainty=posterior", "warmup=100",
             "posterior_draws=400"]  # fmt: skip
    out = tmp_path / "out"
    assert cli.main(["run", "fit_to_network", *small, "--out", str(out)]) == 0
    metrics = read(out)
    assert 0 < metrics["error_from_the_fit"] < 0.05
    assert "effective" in (out / "report.html").read_text(encoding="utf-8")


def test_a_population_takes_no_priors(tables, tmp_path, capsys):
    small = [*SMALL, f"measurements.folder={tables}", "uncertainty=population", "fit.loss=huber"]
    assert cli.main(["run", "fit_to_network", *small, "--out", str(tmp_path / "out")]) == 2
    assert "no `fit.loss`" in capsys.readouterr().err
