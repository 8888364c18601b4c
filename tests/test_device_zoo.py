"""The device zoo as the command runs it, small: two devices that compile quickly."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from analogjax import cli

# Each device compiles programs of its own.
pytestmark = pytest.mark.slow

SMALL = [
    "names=[vteam,pcm]",
    "devices.vteam.programming.levels=[8]",
    "devices.vteam.programming.repeats=2",
    "devices.pcm.programming.levels=[8]",
    "devices.vteam.lanes=10",
    "training.epochs=3",
    "network.options.hidden=[16]",
    "points=20",
    "bits=[1,3]",
    "delay_bits=3",
    "chips=2",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    base = tmp_path_factory.mktemp("zoo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        assert cli.main(["run", "device_zoo", *SMALL, "--out", str(base / "run")]) == 0
    return base / "run"


def test_metrics(finished):
    m = json.loads((finished / "metrics.json").read_text())
    assert m["levels_missed_8_vteam"] == 0
    assert m["pulses_mean_8_vteam"] > 0
    assert "pulses_mean_8_pcm" not in m
    assert m["loops_unsolved_vteam"] == 0
    # From 50 to 1000 ohm at most.
    assert 1 < m["window_ratio_vteam"] <= 20
    # VTEAM does not know the temperature, and nothing of it is claimed.
    assert "conductance_per_kelvin_vteam" not in m
    for name in ("vteam", "pcm"):
        assert m[f"min_bits_{name}"] in (0, 1, 3)
        assert 0 < m[f"accuracy_bits_3_later_{name}"] <= 1
    # A boundary that feedback has placed stays there: a reread adds thermal noise alone, far below
    # the pitch of 8 levels (0.02: a few of the test images).
    later = m["accuracy_bits_3_later_vteam"]
    assert later == pytest.approx(m["accuracy_bits_3_vteam"], abs=0.02)
    assert not any("second" in name or "throughput" in name for name in m)


def test_report_and_results(finished):
    page = (finished / "report.html").read_text()
    for part in ("Pinched hysteresis", "Switching time", "Level tables", "Device-pulses per sec"):
        assert part in page
    loops = xr.open_zarr(finished / "results.zarr", group="loops_vteam")
    v, i = loops["v"].values, loops["i"].values
    # Pinched: no voltage, no current; and a resistance of 50 to 1000 ohm everywhere else.
    np.testing.assert_allclose(i[v == 0], 0)
    some = np.abs(v) > 1e-9
    resistance = v[some] / i[some]
    assert resistance.min() > 49.9
    assert resistance.max() < 1000.1
    # It is a loop: at the same voltage, two resistances.
    assert resistance.max() / resistance.min() > 5


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("names=[jrat]", "did you mean 'jart'?"),
        ("devices.jrat.lanes=3", "`devices.jrat.mechanism` must be one of"),
        ("devices.jart.lans=3", "did you mean `devices.jart.lanes`?"),
        ("delay_bits=7", "Argument `delay_bits` must be one of `bits`, but is 7"),
    ],
)
def test_a_wrong_word_gets_one_sentence(tmp_path, capsys, word, message):
    assert cli.main(["run", "device_zoo", word, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
