"""The main job as the command runs it: weight transfer, small; killed, resumed, and told off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import xarray as xr

from analogjax import cli

SMALL = [
    "programming.device.cells=8",
    "programming.device.preset=isothermal",
    "programming.levels=[16]",
    "programming.repeats=2",
    "programming.window_pulses=10",
    "training.epochs=3",
    "network.options.hidden=[16]",
    "bits=[1,3]",
    "delay_bits=[1,3]",
    "chips=2",
]


def read(folder, name="metrics.json"):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run without any cache, and its folder."""
    base = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        assert cli.main(["run", "quickstart", *SMALL, "--out", str(base / "run")]) == 0
    return base / "run"


def test_the_report_has_what_it_must(undisturbed):
    m = read(undisturbed)
    assert 0.5 < m["accuracy_digital"] <= 1
    for b in (1, 3):
        assert 0 <= m[f"accuracy_bits_{b}_mean"] <= 1
        assert m[f"accuracy_bits_{b}_std"] >= 0
    # Quantisation to three bits costs this small network little, to one bit much more.
    assert m["accuracy_bits_3_ideal"] > m["accuracy_bits_1_ideal"]
    assert m["min_bits"] in (0, 1, 3)
    # A pair of devices for each of 64 x 16 + 16 x 10 weights; biases are digital.
    assert m["devices"] == 2 * (64 * 16 + 16 * 10)
    assert m["time_to_program_serial_s"] > m["time_to_program_parallel_s"] > 0
    report = (undisturbed / "report.html").read_text()
    for part in ("Accuracy against bits", "Write error", "Noise:", "Cost of writing"):
        assert part in report
    stored = xr.open_zarr(undisturbed / "results.zarr", group="accuracy")
    assert stored["chips"].dims == ("condition", "bits", "chip")
    first = stored["chips"].sel(condition="differential_channel_lsq_G", bits=3).mean()
    assert m["accuracy_bits_3_mean"] == pytest.approx(float(first))


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_metrics(undisturbed, tmp_path):
    """Really killed, at four moments, with a cold cache of levels and weights."""
    out = tmp_path / "run"
    # Long work is stored after every portion, so that there is something to go on from.
    environment = os.environ | {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "ANALOGJAX_STORE_SECONDS": "0",
    }
    command = [sys.executable, "-m", "analogjax", "run", "quickstart", *SMALL, "--out", str(out)]

    def wait_for(path, process):
        deadline = time.monotonic() + 300
        while not any(out.glob(path)):
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    # In the first stage, half-way through the levels, after them, and between two mappings.
    moments = (
        "timings.json",
        "stages/*part.npz",
        "stages/levels_16G.npz",
        "stages/accuracy_*channel*.npz",
    )
    for moment in moments:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(moment, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (out / "report.html").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(f"run folder: {out}")
    assert (out / "metrics.json").read_bytes() == (undisturbed / "metrics.json").read_bytes()
    assert read(out, "timings.json")["starts"] == 5


@pytest.mark.slow
def test_without_delays_on_tiles(tmp_path):
    out = tmp_path / "run"
    words = ["delay_bits=[]", "error_scale=[]", "hardware=tiles", "hardware.rows=16"]
    assert cli.main(["run", "quickstart", *SMALL, *words, "--out", str(out)]) == 0
    m = read(out)
    assert not [name for name in m if "_after_" in name]
    # Eight-bit converters and noise of the outputs cost a network of three bits less than a tenth.
    assert abs(m["accuracy_bits_3_mean"] - m["accuracy_bits_3_ideal"]) < 0.1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["network.name=lenet"], "did you mean 'lenet5'?"),
        (["bits=[0,3]"], "Argument `bits` must be whole numbers of at least 1, but is [0, 3]"),
        (["bits=[]"], "Argument `bits` must be whole numbers of at least 1, but is []"),
        (["chips=0"], "Argument `chips` must be a whole number of at least 1, but is 0"),
        (["error=exact"], "Argument `error` must be one of empirical, gaussian, student_t"),
        (["programming.levels=[]"], "Argument `levels` must name at least one, but is empty"),
        (["programming.device.preset=volatile"], "must be one of 'isothermal', 'nonvolatile'"),
    ],
)
def test_wrong_configuration_is_told_in_one_sentence(tmp_path, capsys, words, message):
    assert cli.main(["run", "quickstart", *SMALL, *words, "--out", str(tmp_path / "out")]) != 0
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
