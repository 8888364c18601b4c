"""The labelled form: schemas, missing values, what `fit` looks at, `results.zarr`."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr

from analogjax import data
from analogjax.data import measurements as m
from analogjax.runs import RunFolder

EXAMPLES = {
    "iv_sweep": {"time": [0.0, 1, 2], "voltage": [0.0, 1, 2], "current": [0.0, 1e-6, np.nan]},
    "pulse_train": {
        "amplitude": 1.0,
        "width": 1e-6,
        "gap": 0.0,
        "conductance": [[1e-6, 2e-6, np.nan], [1e-6, np.nan, 3e-6]],
        "initial_conductance": [1e-7, 2e-7],
        "device": ["A", "B"],
        "cycle": [1, 1],
        "read_voltage": 0.1,
    },
    "single_pulse": {
        "voltage": [1.0, -1.0],
        "width": 1e-7,
        "resistance_before": [1e5, 1e4],
        "resistance_after": [1e4, 2e4],
        "temperature": 300.0,
    },
    "retention": {
        "device": [7, 3],
        "time": [[0.0, 1, 10], [0.0, np.nan, 9]],
        "nominal_time": [0.0, 1, 10],
        "conductance": [[1e-6, 2e-6, 3e-6], [1e-6, np.nan, -1e-9]],
        "level": [0, 1],
    },
    "level_distribution": {"level": [0, 0, 1], "conductance": [1e-6, 2e-6, 5e-6]},
    "read_noise": {"time": [0.0, 0.1, 0.2], "conductance": [[1e-6, 2e-6, 1e-6]], "level": 3},
    "cycling": {
        "device": [186],
        "cycle": [100, 200],
        "resistance_low": [1e4, 1.1e4],
        "resistance_high": [3e5, 2e5],
    },
}


@pytest.mark.parametrize("protocol", sorted(m.PROTOCOLS))
def test_every_protocol_has_units_and_counts_what_is_missing(protocol):
    dataset = m.measurement(protocol, **EXAMPLES[protocol])
    spec = m.PROTOCOLS[protocol]
    assert set(dataset.dims) == set(spec.dims)
    for name, array in dataset.variables.items():
        variable = spec.variables[name]
        assert array.dims == variable.dims
        assert array.attrs["units"] == variable.units
        if variable.quantity != "label":
            assert array.attrs["missing"] == np.isnan(np.asarray(array, float)).sum()
            assert variable.meaning == array.attrs["long_name"]


@pytest.mark.parametrize("protocol", sorted(m.PROTOCOLS))
def test_through_results_zarr_and_back(protocol, tmp_path):
    dataset = m.measurement(protocol, **EXAMPLES[protocol], attrs={"name": "mine"})
    run = RunFolder(tmp_path / "run", {"seed": 0})
    run.dataset("mine", dataset)
    with xr.open_zarr(run.path / "results.zarr", group="mine") as store:
        back = store.load()
    (again,) = data.Measurements([back.load()])
    xr.testing.assert_identical(again, dataset)
    assert data.Measurements([again]).fingerprint() == data.Measurements([dataset]).fingerprint()


def test_pulses_are_numbered_and_counted():
    trains = m.measurement("pulse_train", **EXAMPLES["pulse_train"])
    np.testing.assert_array_equal(trains["pulse"], [1, 2, 3])
    # A reading that is missing between two others was a pulse all the same.
    np.testing.assert_array_equal(trains["pulses"], [2, 3])
    # What is the same for every pulse is so for those that were applied.
    np.testing.assert_array_equal(trains["width"], [[1e-6, 1e-6, np.nan], [1e-6] * 3])
    assert trains["amplitude"].attrs["missing"] == 1


def test_every_tenth_pulse():
    trains = m.measurement("pulse_train", pulse=[10, 20, 30], **EXAMPLES["pulse_train"])
    # The others were applied as well, but not read.
    np.testing.assert_array_equal(trains["pulses"], [20, 30])
    np.testing.assert_array_equal(trains["width"], [[1e-6, 1e-6, np.nan], [1e-6] * 3])
    with pytest.raises(ValueError, match="`pulse` of measurement 'pulse_train' must increase"):
        m.measurement("pulse_train", pulse=[10, 30, 20], **EXAMPLES["pulse_train"])


def test_a_part_counts_anew():
    trains = m.measurement("pulse_train", **EXAMPLES["pulse_train"])
    part = trains.isel(train=slice(1, 2), pulse=slice(0, 2))
    assert m.check_measurement(part)["conductance"].attrs["missing"] == 1
    assert trains["conductance"].attrs["missing"] == 2


@pytest.mark.parametrize(
    ("protocol", "change", "message"),
    [
        (
            "iv_sweep",
            lambda d: d.assign_attrs(protocol="iv_sweeps"),
            "Argument `dataset` must have an attribute `protocol`, one of 'iv_sweep', "
            "'pulse_train', 'single_pulse', 'retention', 'level_distribution', 'read_noise', "
            "'cycling', but has 'iv_sweeps' (did you mean `iv_sweep`?).",
        ),
        (
            "iv_sweep",
            lambda d: d.rename(current="curent"),
            "Measurement 'iv_sweep' must have a variable `current` (current through the device), "
            "but has none (did you mean `curent`?).",
        ),
        (
            "iv_sweep",
            lambda d: d.assign(temprature=("sweep", [300.0], {"units": "K"})),
            "Variable `temprature` of measurement 'iv_sweep' must be one of its protocol, but is "
            "none (did you mean `temperature`?).",
        ),
        (
            "iv_sweep",
            lambda d: d.assign(current=("point", [0.0, 1.0, 2.0], {"units": "A"})),
            "Variable `current` of measurement 'iv_sweep' must have the axes (sweep, point), but "
            "has (point); a slice or a list selects and keeps all axes.",
        ),
        (
            "iv_sweep",
            lambda d: d.assign(current=d["current"].assign_attrs(units="uA")),
            "Variable `current` of measurement 'iv_sweep' must be in A, but is in 'uA'.",
        ),
        (
            "iv_sweep",
            lambda d: d.assign(current=d["current"].astype(str)),
            "Variable `current` of measurement 'iv_sweep' must hold numbers, but has the type "
            "<U32.",
        ),
        (
            "iv_sweep",
            lambda d: d.assign(
                current=d["current"].where(d["voltage"] < 1, np.inf).assign_attrs(units="A")
            ),
            "Variable `current` of measurement 'iv_sweep' must be finite or nan, but is inf at "
            "index (0, 1).",
        ),
        (
            "iv_sweep",
            lambda d: d.assign(time=(d["time"] * 0).assign_attrs(units="s")),
            "Variable `time` of measurement 'iv_sweep' must increase along `point`, but is 0.0 at "
            "index 1 after 0.0.",
        ),
        (
            "iv_sweep",
            lambda d: d.assign(
                voltage=d["voltage"].where(d["voltage"] != 1).assign_attrs(units="V")
            ),
            "Variable `voltage` of measurement 'iv_sweep' must be known where `current` is, but is "
            "missing at index (0, 1).",
        ),
        (
            "single_pulse",
            lambda d: d.assign(width=(-d["width"]).assign_attrs(units="s")),
            "Variable `width` of measurement 'single_pulse' must be positive, but is -1e-07 at "
            "index (0,).",
        ),
        (
            "level_distribution",
            lambda d: d.assign_coords(level=(d["level"] + 0.5).assign_attrs(units="1")),
            "Variable `level` of measurement 'level_distribution' must hold whole numbers, but has "
            "the type float64.",
        ),
    ],
)
def test_every_breach_has_its_sentence(protocol, change, message):
    dataset = m.measurement(protocol, **EXAMPLES[protocol])
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        m.check_measurement(change(dataset))


def test_time_may_be_unknown_in_between_but_never_run_back():
    good = {"time": [[0.0, np.nan, 2.0]], "conductance": [[1.0, np.nan, 3.0]]}
    assert m.measurement("retention", **good)["time"].attrs["missing"] == 1
    message = "must increase along `read`, but is 0.0 at index 2 after 0.0"
    with pytest.raises(ValueError, match=re.escape(message)):
        m.measurement("retention", time=[[0.0, np.nan, 0.0]], conductance=1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"curent": 1.0},
            "Argument `curent` must be a variable of protocol 'iv_sweep' (time, voltage, current, "
            "device, temperature, read_voltage, label, cycle), but is none (did you mean "
            "`current`?).",
        ),
        (
            {"voltage": [1.0, 2.0], "current": [1.0, 2.0, 3.0]},
            "Argument `voltage` must have shape (1, 3) (sweep, point), but has shape (2,).",
        ),
    ],
)
def test_wrong_arguments(values, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        m.measurement("iv_sweep", **values)


def test_views_by_protocol():
    parts = [m.measurement(name, **values) for name, values in EXAMPLES.items()]
    everything = data.Measurements(parts) + data.Measurements(parts[:1])
    assert everything.names == (*EXAMPLES, "iv_sweep_2")
    views = {
        "iv_sweep": everything.iv_sweeps,
        "pulse_train": everything.pulse_trains,
        "single_pulse": everything.single_pulses,
        "retention": everything.retentions,
        "level_distribution": everything.level_distributions,
        "read_noise": everything.read_noises,
        "cycling": everything.cyclings,
    }
    assert {name: len(view) for name, view in views.items()} == {
        **dict.fromkeys(EXAMPLES, 1),
        "iv_sweep": 2,
    }
    for name, view in views.items():
        assert all(part.attrs["protocol"] == name for part in view)
    assert everything["retention"] is everything.retentions[0]
    assert "retention: retention, 2 device x 3 read" in repr(everything)
    with pytest.raises(KeyError, match="did you mean `retention`"):
        everything["retension"]


def test_what_the_source_does_not_say_is_assumed_and_noted():
    trains = m.measurement("pulse_train", **{**EXAMPLES["pulse_train"], "amplitude": np.nan})
    sweep = m.measurement("iv_sweep", **EXAMPLES["iv_sweep"])
    filled = data.Measurements([trains, sweep]).assume(amplitude=1.5, temperature=300.0)
    np.testing.assert_array_equal(filled[0]["amplitude"], [[1.5, 1.5, np.nan], [1.5] * 3])
    np.testing.assert_array_equal(filled[0]["temperature"], [300.0, 300.0])
    np.testing.assert_array_equal(filled[1]["temperature"], [300.0])
    assert filled[0].attrs["assumed"] == "amplitude = 1.5, temperature = 300"
    assert filled[1].attrs["assumed"] == "temperature = 300"
    assert "temperature" not in trains.variables  # the original is as it was
    with pytest.raises(ValueError, match=r"`width` must be missing .* but is known everywhere"):
        filled.assume(width=1e-6)
    by_name = data.Measurements([trains, sweep]).assume(temperature={"iv_sweep": 350.0})
    assert "temperature" not in by_name[0].variables
    np.testing.assert_array_equal(by_name[1]["temperature"], [350.0])
    with pytest.raises(ValueError, match=r"must name .*, but names 'sweep'"):
        by_name.assume(width={"sweep": 1.0})
    with pytest.raises(ValueError, match=r"is no variable of them \(did you mean `amplitude`\?\)"):
        filled.assume(amplitud=1e-6)


def test_a_sweep_rate_gives_times():
    sweep = m.measurement("iv_sweep", voltage=[0.0, 1, 0, -0.5], current=0.0)
    timed = data.with_sweep_rate(sweep, 2.0)
    np.testing.assert_array_equal(timed["time"], [[0.0, 0.5, 1.0, 1.25]])
    assert timed.attrs["assumed"] == "sweep rate = 2 V/s"
    still = m.measurement("iv_sweep", voltage=[0.0, 1, 1], current=0.0)
    with pytest.raises(ValueError, match=r"but is 1\.0 V at points 1 and 2 of sweep 0"):
        data.with_sweep_rate(still, 1.0)
    with pytest.raises(ValueError, match="must be above 0 V/s, but is 0"):
        data.with_sweep_rate(sweep, 0.0)


def test_levels_from_retention():
    retention = m.measurement("retention", **EXAMPLES["retention"])
    levels = data.level_distribution(retention, 1)
    np.testing.assert_array_equal(levels["level"], [0])
    np.testing.assert_array_equal(levels["conductance"], [2e-6])
    np.testing.assert_array_equal(levels["time"], [1.0])
    assert levels.attrs["left_out"] == 1
    with pytest.raises(ValueError, match="must be below 3, but is 3"):
        data.level_distribution(retention, 3)
    with pytest.raises(ValueError, match="with a variable `level`, but is of 'retention'"):
        data.level_distribution(retention.drop_vars("level"))


def test_plots_have_units():
    from matplotlib import pyplot as plt

    dataset = m.measurement("iv_sweep", **EXAMPLES["iv_sweep"])
    dataset.isel(sweep=0).plot.scatter(x="voltage", y="current")
    axes = plt.gca()
    assert axes.get_xlabel() == "voltage across the device [V]"
    assert axes.get_ylabel() == "current through the device [A]"
    plt.close("all")
