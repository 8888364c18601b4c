"""The experiments `fit_relaxation` and `fit_read_noise`, small, on made-up cells.

Slow because of what they compile.
"""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from analogjax import cli

SET = "levy_rram_relaxation"


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join("\t".join(f"{x:.10g}" for x in row) for row in rows)
    path.write_bytes(gzip.compress(text.encode()))


def metrics_of(name, options, out):
    assert cli.main(["run", name, *options, "--out", str(out)]) == 0
    assert (out / "report.html").is_file()
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.slow
def test_normal_relaxation_is_predicted_with_its_quantiles(tmp_path):
    rng, rows = np.random.default_rng(0), []
    times = (0.0, 0.01, 0.1, 1.0, 4.0, 1e5)
    for cell in range(800):
        start = rng.uniform(5.1, 9.9)
        number = rng.normal()
        for t in times:
            tau = np.log1p(t / 0.005)
            g = 1e-6 * (start + (0.1 * tau * number if t else 0.0))
            rows.append((cell, t, 1 / g, g, 1e-6 * start, int(start / 1.25), t))
    write(tmp_path / SET / "techC/relaxdata.min.tsv.gz", rows)
    options = [f"folder={tmp_path}", "laws=[normal]", "levels=8", "warm_cells=100"]
    metrics = metrics_of("fit_relaxation", options, tmp_path / "out")
    assert metrics["cells_fitted"] + metrics["cells_predicted"] == 800
    for task in ("interpolation", "extrapolation"):
        # Of 400 cells: three standard errors.
        assert metrics[f"{task}_normal_coverage_90"] == pytest.approx(0.9, abs=0.045)
        assert metrics[f"{task}_normal_coverage_50"] == pytest.approx(0.5, abs=0.075)


@pytest.mark.slow
def test_white_noise_with_steps_is_seen_in_both_halves(tmp_path):
    rng = np.random.default_rng(0)
    state = np.cumsum(rng.random(8000) < 0.04) % 2
    traces = [10 + 0.3 * rng.normal(size=8000), 50 + 2.0 * state + 0.3 * rng.normal(size=8000)]
    rows = [(level, 0, *(1e-6 * x)) for level, x in zip((0, 8), traces, strict=True)]
    write(tmp_path / SET / "techA/tsdata.min.tsv.gz", rows)
    options = [f"folder={tmp_path}", "segment=256", "bins=20", "window=500", "draws=4"]
    metrics = metrics_of("fit_read_noise", options, tmp_path / "out")
    assert metrics["level_0_telegraph_windows"] == 0
    assert metrics["level_8_telegraph_windows"] == 1
    assert metrics["level_8_telegraph_step"] == pytest.approx(2.0, abs=0.1)
    assert metrics["level_8_inside_held"] > 0.7
