"""The experiment of switching probabilities as the command runs it, on small made-up files."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from analogjax import cli

SMALL = ["seen=0.5", "models=[voltage,gate_before,vteam]", "draws=4", "bins=2", "bootstrap=2",
         "profile=0"]  # fmt: skip


def made(polarity, rng):
    """Made-up cells: normal switching voltages behind a gate, in the columns of the real file."""
    top = 2.0 if polarity == "set" else 3.0
    rows = []
    for width in (2e-8, 2e-7, 2e-6):
        for gate in (0.6, 0.8, 1.0, 2.0, 3.4):
            for v in (0.3 * top, 0.5 * top, 0.7 * top, top):
                rows += [(width, gate, v)] * 8
    width, gate, v = np.array(rows).T
    excess = v + 0.02 * np.log(width / 1e-6) - 0.55 * top
    p = norm.cdf(excess / 0.3) * norm.cdf((gate - 0.75) / 0.15)
    before = np.exp(rng.normal(np.log(8e4 if polarity == "set" else 9e3), 0.2, len(v)))
    other = np.exp(rng.normal(np.log(7e3 if polarity == "set" else 3e4), 0.15, len(v)))
    after = np.where(rng.random(len(v)) < p, other, before * np.exp(rng.normal(0, 0.05, len(v))))
    return np.stack([2.0 * np.arange(len(v)), width, gate, v, before, after], axis=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    base = tmp_path_factory.mktemp("switching")
    rng = np.random.default_rng(0)
    folder = base / "sets" / "wei_rram_pulses"
    folder.mkdir(parents=True)
    for polarity in ("set", "reset"):
        with gzip.open(folder / f"{polarity}_sweep.tsv.gz", "wt") as file:
            np.savetxt(file, made(polarity, rng), delimiter="\t", fmt="%.9g")
    arguments = ["run", "fit_switching", f"folder={base / 'sets'}", *SMALL]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        assert cli.main([*arguments, "--out", str(base / "run")]) == 0
    return base / "run"


@pytest.mark.slow
def test_a_small_run(finished):
    m = json.loads((finished / "metrics.json").read_text())
    # Between 9 and 70 kohm.
    assert 1e4 < m["threshold_ohm"] < 6e4
    for polarity in ("set", "reset"):
        # Some 20 unseen cells a point: 0.11 by chance at most, 12 points.
        assert m[f"{polarity}_gate_before_width_voltage_largest"] < 0.4
        # A model that knows the gate beats one that does not.
        assert m[f"{polarity}_gate_before_log_likelihood"] > m[f"{polarity}_voltage_log_likelihood"]
        assert 0 < m[f"{polarity}_chance_width_voltage_rms"] < 0.15
        assert m[f"{polarity}_vteam_full_coverage"] > 0.5
    page = (finished / "report.html").read_text()
    for part in ("Data", "SET: models on unseen cells", "Programmed resistance", "Devices",
                 "What no model reaches"):  # fmt: skip
        assert part in page
    for name in ("populations", "maps", "curves", "reliability", "programmed_resistance",
                 "set_identifiability"):  # fmt: skip
        assert (finished / "figures" / f"{name}.png").stat().st_size > 1000
    with xr.open_zarr(finished / "results.zarr", group="unseen_set") as unseen:
        assert set(unseen["model"].values) == {"voltage", "gate_before", "vteam", "table"}
        assert float(unseen["probability"].min()) >= 0
