"""The published sets, where they are, against the plain arrays of their files."""

from __future__ import annotations

import gzip
import re
import time

import numpy as np
import pytest

from analogjax import data
from analogjax.runs import UsageError


def plain(path):
    """Read a file of numbers without any of our code."""
    return np.loadtxt(gzip.open(path, "rt"), delimiter="\t")


def test_ramps(real):
    folder = real("measured") / "cross-sim_pulse_ramps"
    ramps = data.load_measured("cross_sim_ramps")
    assert ramps.names == ("set", "reset")
    for name, rows in (("set", 192), ("reset", 153)):
        # Nothing between two commas becomes nan.
        expected = np.genfromtxt(folder / f"{name}.csv", delimiter=",", skip_header=1).T
        part = ramps[name]
        assert expected.shape == (30, rows)
        np.testing.assert_allclose(part["conductance"], expected / 0.1, rtol=1e-15)
        np.testing.assert_array_equal(part["pulses"], np.isfinite(expected).sum(axis=1))
        assert part["conductance"].attrs["missing"] == np.isnan(expected).sum()
        assert part["amplitude"].attrs["missing"] == part["amplitude"].size
        assert "missing_means" in part.attrs
    first, last = ramps["set"]["conductance"].values[:, [0, 180]].T
    assert np.all(first < last)


def test_relaxation(real):
    path = real("measured") / "levy_rram_relaxation/techC/relaxdata.min.tsv.gz"
    start = time.perf_counter()
    (cells,) = data.load_measured("levy_relaxation", parts=["relaxation"])
    assert time.perf_counter() - start < 20  # about 1 s; the rest is for a busy machine
    rows = plain(path)
    assert cells.sizes == {"device": 16292, "read": 6}
    np.testing.assert_array_equal(cells["nominal_time"], [0, 0.01, 0.1, 1, 4, 1e5])
    # One cell after another, by a loop over a sample of the rows.
    device = {address: i for i, address in enumerate(cells["device"].values)}
    nominal = list(cells["nominal_time"].values)
    for address, t, _, g, g0, level, timept in rows[::500]:
        place = device[address], nominal.index(timept)
        assert float(cells["conductance"].values[place]) == g
        assert float(cells["time"].values[place]) == t
        assert cells["level"].values[place[0]] == level
        assert cells["conductance"].values[place[0], 0] == g0  # what column 5 repeats
    assert np.isfinite(cells["conductance"]).sum() == len(rows)
    assert cells["conductance"].attrs["missing"] == 16292 * 6 - len(rows)
    # The levels are bins of the first reading, as the note says.
    bins = np.floor(cells["conductance"].values[:, 0] / (40e-6 / 32))
    np.testing.assert_array_equal(bins, cells["level"])
    assert np.sum(cells["level"] > 31) == 69
    levels = data.level_distribution(cells, -1)
    assert levels.sizes["sample"] == 16292


def test_noise_and_bake(real):
    folder = real("measured") / "levy_rram_relaxation/techA"
    noise, *bakes = data.load_measured("levy_relaxation", parts=["noise", "bake"])
    np.testing.assert_array_equal(noise["level"], [0, 8, 16, 24, 31])
    assert noise["conductance"].shape == (5, 100_000)
    assert float(noise["time"][1]) == 1 / 400
    assert float(noise["time"][-1]) == pytest.approx(250, abs=0.01)
    np.testing.assert_array_equal(noise["conductance"], plain(folder / "tsdata.min.tsv.gz")[:, 2:])
    rows = plain(folder / "bake.tsv.gz")
    assert [float(bake["temperature"][0]) for bake in bakes] == pytest.approx(
        [373.15, 413.15, 453.15, 493.15, 533.15]
    )
    for bake, celsius in zip(bakes, (100, 140, 180, 220, 260), strict=True):
        before = rows[(rows[:, 4] == celsius) & (rows[:, 1] == 0)]
        order = np.argsort(before[:, 0])
        np.testing.assert_array_equal(bake["device"], before[order, 0])
        np.testing.assert_array_equal(bake["conductance"][:, 0], before[order, 3])
        assert bake["time"].values[:, 1].min() > 4000


def test_switching(real):
    folder = real("measured") / "wei_rram_pulses"
    loaded = data.load_measured("wei_pulses")
    for name, sign in (("set", 1), ("reset", -1)):
        rows, cells = plain(folder / f"{name}_sweep.tsv.gz"), loaded[name]
        np.testing.assert_array_equal(cells["device"], rows[:, 0])
        np.testing.assert_array_equal(cells["width"], rows[:, 1])
        np.testing.assert_array_equal(cells["gate_voltage"], rows[:, 2])
        np.testing.assert_array_equal(cells["voltage"], sign * rows[:, 3])
        np.testing.assert_array_equal(cells["resistance_before"], rows[:, 4])
        np.testing.assert_array_equal(cells["resistance_after"], rows[:, 5])
        assert len(np.unique(cells["width"])) == 7
    bake = loaded["bake_130_degC"]
    np.testing.assert_array_equal(
        1 / bake["conductance"].values[:, 1], 1 / (1 / plain(folder / "postbake130.tsv.gz")[:, 1])
    )
    assert bake["time"].attrs["missing"] == 16384
    assert loaded["sweep"].sizes == {"sweep": 1024, "point": 36}
    np.testing.assert_allclose(loaded["sweep"]["voltage"], np.tile(np.arange(36) / 100, (1024, 1)))


def test_cycling(real):
    folder = real("measured") / "radway_rram_cycling"
    endurance, cells = data.load_measured("radway_cycling")
    rows = plain(folder / "1us_endurance.tsv.gz")
    np.testing.assert_array_equal(endurance["cycle"], rows[:, 3])
    np.testing.assert_array_equal(endurance["resistance_low"][0], rows[:, 1])
    np.testing.assert_array_equal(endurance["resistance_high"][0], rows[:, 2])
    # SET makes the resistance low: so it is in all but a few of a million cycles.
    low = endurance["resistance_low"].values < endurance["resistance_high"].values
    assert low.mean() > 0.999
    assert cells.sizes == {"device": 1024, "cycle": 2}


@pytest.mark.parametrize("name", data.MEASURED_SETS)
def test_a_set_that_is_not_there(name, nowhere, tmp_path, cache):
    with pytest.raises(UsageError) as error:
        data.load_measured(name)
    message = str(error.value)
    assert re.match(
        f"Data set '{name}' must have .* in {re.escape(str(cache))}.*, but has not: get", message
    )
    assert message.endswith("/.")
    with pytest.raises(UsageError, match=re.escape(f"put it into {tmp_path / 'own'}")):
        data.load_measured(name, folder=tmp_path / "own")


def test_wrong_names():
    with pytest.raises(ValueError, match="did you mean 'wei_pulses'"):
        data.load_measured("wei_pulse")
    with pytest.raises(ValueError, match="`parts` must be one of 'set', 'reset', but is 'sett'"):
        data.load_measured("cross_sim_ramps", parts=["sett"])


def test_damaged_sets(tmp_path):
    folder = tmp_path / "levy_rram_relaxation/techA"
    folder.mkdir(parents=True)
    (folder / "tsdata.min.tsv").write_text("0\t0\t1\t2\n8\t0\t1\n")
    with pytest.raises(UsageError, match="but line 2 has 3 and line 1 has 4"):
        data.load_measured("levy_relaxation", parts=["noise"], folder=tmp_path)
    (folder / "bake.tsv").write_text("5\t0\t1\t1\t100\n6\t0\t1\t1\t100\n6\t9\t1\t1\t100\n")
    with pytest.raises(UsageError, match="at 100 degC, but cell 5 has 1"):
        data.load_measured("levy_relaxation", parts=["bake"], folder=tmp_path)
