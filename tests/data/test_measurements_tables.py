"""Tables with a mapping: what is read, and the sentence for everything that cannot be."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analogjax import data
from analogjax.runs import UsageError

SWEEP = {
    "protocol": "iv_sweep",
    "columns": {
        "time": {"column": "t", "unit": "ms"},
        "voltage": {"column": "V1", "unit": "mV"},
        "current": {"column": "I1", "unit": "uA"},
    },
}
ROWS = "t,V1,I1\n0,0,0.1\n1,500,0.2\n2,1000,0.7\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes a file where the test stands, so that its name is short."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="x.csv"):
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(content)
        return name

    return write


def with_columns(**columns):
    return {**SWEEP, "columns": columns}


def check_sweep(dataset):
    np.testing.assert_array_equal(dataset["time"], [[0.0, 1e-3, 2e-3]])
    np.testing.assert_array_equal(dataset["voltage"], [[0.0, 0.5, 1.0]])
    # A fraction is rounded when it is read and again when it becomes SI.
    np.testing.assert_allclose(dataset["current"], [[1e-7, 2e-7, 7e-7]], rtol=4e-16)


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        ROWS.replace(",", "\t"),
        ROWS.replace(",", ";"),
        ROWS.replace(",", "   "),
        ROWS.replace("\n", "\r\n"),
        "\ufeff" + ROWS,
        ROWS.replace(",", " , "),
        "# measured on Monday\n\n" + ROWS + "\n\n# end\n",
        "# t,V1,I1\n0,0,0.1\n1,500,0.2\n2,1000,0.7\n",
        '"t","V1","I1"\n"0","0","0.1"\n1,500,0.2\n2,1000,0.7\n',
        ROWS.replace("V1", "v1"),
        gzip.compress(ROWS.encode(), mtime=0),
        ROWS.encode("utf-16"),
        b"t,V1,I1,note\n0,0,0.1,5 \xb5m\n1,500,0.2,\n2,1000,0.7,\n",
    ],
)
def test_one_table_in_many_forms(text, write):
    check_sweep(data.read_table(write(text), SWEEP))


def test_without_names_by_number(write):
    mapping = with_columns(
        time={"column": 1, "unit": "ms"},
        voltage={"column": 2, "unit": "mV"},
        current={"column": 3, "unit": "uA"},
    )
    check_sweep(data.read_table(write(ROWS.partition("\n")[2]), mapping))


def test_units_from_the_names(write):
    text = "Time / ms;V (mV);I [\u00b5A]\n0;0;0.1\n1;500;0.2\n2;1000;0.7\n"
    mapping = with_columns(time="Time / ms", voltage="V (mV)", current="I [\u00b5A]")
    check_sweep(data.read_table(write(text), mapping))


def test_decimal_comma_factor_skip_and_constants(write):
    text = "Instrument 7\nt;V1;I1\n0;0;-0,1\n1;500;-0,2\n2;1000;-0,7\n"
    mapping = {
        **SWEEP,
        "columns": {**SWEEP["columns"], "current": {"column": "I1", "unit": "uA", "factor": -1}},
        "file": {"decimal": ",", "skip": 1},
        "constants": {"temperature": "25 degC", "device": "A3"},
        "name": "first",
    }
    dataset = data.read_table(write(text), mapping)
    check_sweep(dataset)
    assert float(dataset["temperature"][0]) == 298.15
    assert dataset["device"].values[0] == "A3"
    assert (dataset.attrs["name"], dataset.attrs["file"]) == ("first", "x.csv")


def test_yaml(write):
    mapping = write(
        """
        protocol: iv_sweep
        columns:
          time: {column: t, unit: ms}
          voltage: {column: V1, unit: mV}
          current:
            column: I1
            unit: uA
        missing: ["", nan, 1e99]
        """,
        "m.yaml",
    )
    check_sweep(data.read_table(write(ROWS), mapping))


def test_sweep_rate(write):
    mapping = {
        **with_columns(
            voltage={"column": "V1", "unit": "mV"}, current={"column": "I1", "unit": "uA"}
        ),
        "constants": {"sweep_rate": "500 V/s"},
    }
    check_sweep(data.read_table(write(ROWS), mapping))


def test_a_long_table_falls_into_sweeps(write):
    text = "d,c,t,V1,I1\nB,1,0,0,1\nA,1,0,0,2\nB,1,1,1,3\nA,2,0,0,4\nB,1,2,2,5\nA,1,1,1,\n"
    mapping = {**SWEEP, "columns": {**SWEEP["columns"], "device": "d", "cycle": "c"}}
    dataset = data.read_table(write(text), mapping)
    # In the order in which they appear; what a shorter sweep does not have is missing.
    assert list(dataset["device"].values) == ["B", "A", "A"]
    assert list(dataset["cycle"].values) == [1, 1, 2]
    nan = np.nan
    np.testing.assert_allclose(
        dataset["current"], 1e-6 * np.array([[1, 3, 5], [2, nan, nan], [4, nan, nan]])
    )
    np.testing.assert_allclose(
        dataset["voltage"], 1e-3 * np.array([[0, 1, 2], [0, 1, nan], [0, nan, nan]])
    )
    assert dataset["current"].attrs["missing"] == 4


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_grouping_agrees_with_a_dictionary(tmp_path_factory, keys, random):
    path = tmp_path_factory.mktemp("long") / "x.csv"
    values = [random.uniform(-1, 1) for _ in keys]
    lines = [f"{d},{c},{v!r},1" for (d, c), v in zip(keys, values, strict=True)]
    path.write_text("d,c,v,i\n" + "\n".join(lines) + "\n")
    columns = {"device": "d", "cycle": "c", "voltage": "v", "current": "i"}
    columns = {k: {"column": c} for k, c in columns.items()}
    columns["voltage"]["unit"], columns["current"]["unit"] = "V", "A"
    dataset = data.read_table(path, {"protocol": "iv_sweep", "columns": columns})
    expected = {}
    for key, value in zip(keys, values, strict=True):
        expected.setdefault(key, []).append(value)
    assert list(zip(dataset["device"].values, dataset["cycle"].values, strict=True)) == list(
        expected
    )
    for row, column in zip(dataset["voltage"].values, expected.values(), strict=True):
        np.testing.assert_array_equal(row[: len(column)], column)
        assert np.isnan(row[len(column) :]).all()


def test_wide_ramps_where_nothing_means_no_pulse(write):
    text = "r1,r2,r3\n1e-5,2e-5,3e-5\n1.1e-5,0,3.1e-5\n1.2e-5,,\n"
    mapping = {
        "protocol": "pulse_train",
        "columns": {"current": {"columns": "r*", "unit": "A", "each": "cycle", "missing": ["", 0]}},
        "constants": {"read_voltage": "100 mV"},
        "missing_means": "no pulse",
    }
    dataset = data.read_table(write(text), mapping)
    nan = np.nan
    np.testing.assert_allclose(
        dataset["conductance"],
        [[1e-4, 1.1e-4, 1.2e-4], [2e-4, nan, nan], [3e-4, 3.1e-4, nan]],
        rtol=1e-15,
    )
    np.testing.assert_array_equal(dataset["pulses"], [3, 1, 2])
    np.testing.assert_array_equal(dataset["cycle"], [1, 2, 3])
    assert list(dataset["label"].values) == ["r1", "r2", "r3"]
    assert dataset["conductance"].attrs["missing"] == 3
    assert dataset.attrs["missing_means"] == "no pulse"
    assert dataset["amplitude"].attrs["missing"] == 9  # nobody said


def test_wide_devices_share_their_time(write):
    text = "t,A,B\n0,1,2\n1,3,4\n"
    mapping = {
        "protocol": "retention",
        "columns": {
            "time": {"column": "t", "unit": "s"},
            "resistance": {"columns": ["A", "B"], "unit": "kohm", "each": "device"},
        },
    }
    dataset = data.read_table(write(text), mapping)
    np.testing.assert_array_equal(dataset["time"], [[0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(dataset["conductance"], [[1e-3, 1 / 3e3], [5e-4, 2.5e-4]])
    assert list(dataset["device"].values) == ["A", "B"]


def test_retention_is_lined_up_by_nominal_time(write):
    text = "1 0.0 5 0\n1 0.11 6 0.1\n2 0.0 7 0\n1 1.02 8 1\n2 0.99 9 1\n"
    mapping = {
        "protocol": "retention",
        "columns": {
            "device": 1,
            "time": {"column": 2, "unit": "s"},
            "conductance": {"column": 3, "unit": "uS"},
            "nominal_time": {"column": 4, "unit": "s"},
        },
    }
    dataset = data.read_table(write(text), mapping)
    np.testing.assert_allclose(dataset["conductance"], 1e-6 * np.array([[5, 6, 8], [7, np.nan, 9]]))
    np.testing.assert_array_equal(dataset["nominal_time"], [0, 0.1, 1])
    np.testing.assert_array_equal(dataset["time"], [[0, 0.11, 1.02], [0, np.nan, 0.99]])


def test_single_pulses_from_conductance_and_current(write):
    text = "V,w,g,i\n1,20,10,2\n-1,50,20,1\n"
    mapping = {
        "protocol": "single_pulse",
        "columns": {
            "voltage": {"column": "V", "unit": "V"},
            "width": {"column": "w", "unit": "ns"},
            "conductance_before": {"column": "g", "unit": "uS"},
            "current_after": {"column": "i", "unit": "uA"},
        },
        "constants": {"read_voltage": "0.1 V"},
    }
    dataset = data.read_table(write(text), mapping)
    np.testing.assert_allclose(dataset["resistance_before"], [1e5, 5e4])
    np.testing.assert_allclose(dataset["resistance_after"], [5e4, 1e5])
    np.testing.assert_array_equal(dataset["width"], [20e-9, 50e-9])


def test_noise_and_cycles(write):
    noise = {
        "protocol": "read_noise",
        "columns": {
            "level": "l",
            "time": {"column": "t", "unit": "s"},
            "conductance": {"column": "g", "unit": "S"},
        },
    }
    dataset = data.read_table(write("l,t,g\n0,0,1\n0,1,2\n8,0,3\n8,1,4\n"), noise)
    np.testing.assert_array_equal(dataset["conductance"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(dataset["level"], [0, 8])
    cycling = {
        "protocol": "cycling",
        "columns": {
            "device": 1,
            "cycle": 2,
            "resistance_low": {"column": 3, "unit": "kohm"},
            "resistance_high": {"column": 4, "unit": "kohm"},
        },
    }
    dataset = data.read_table(write("5,10,1,9\n5,20,2,8\n6,10,3,7\n"), cycling)
    np.testing.assert_array_equal(dataset["resistance_high"], [[9e3, 8e3], [7e3, np.nan]])


def refused(path, mapping, message):
    with pytest.raises(UsageError, match="^" + re.escape(message) + "$"):
        data.read_table(path, mapping)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            ROWS.replace("I1", "I_1"),
            "File x.csv (line 1) must have a column 'I1' for `current`, but has 't', 'V1', 'I_1' "
            "(did you mean `I_1`?).",
        ),
        (
            "0,0,0.1\n1,500,0.2\n",
            "File x.csv must have a column 't' for `time`, but has no row of names: give its "
            "number, counted from 1.",
        ),
        (
            ROWS.replace("500", "5OO"),
            "File x.csv must hold finite numbers in column `V1`, but line 3 has '5OO'.",
        ),
        (
            ROWS.replace("500", "5_0"),
            "File x.csv must hold finite numbers in column `V1`, but line 3 has '5_0'.",
        ),
        (
            ROWS.replace("0.2", "inf"),
            "File x.csv must hold finite numbers in column `I1`, but line 3 has 'inf'.",
        ),
        (
            ROWS.replace(",", ";").replace("0.2", "0,2"),
            "File x.csv must hold finite numbers in column `I1`, but line 3 has '0,2' (a decimal "
            "comma is read where the mapping says `decimal: ','`).",
        ),
        (
            ROWS.replace(",500,0.2", ",500"),
            "File x.csv must have a value in column `I1` of every row, but line 3 has 2 columns.",
        ),
        (
            ROWS.replace("\n2,", "\n0.5,"),
            "File x.csv must hold `time` that increases, but line 4 has 0.0005 s after 0.001 s in "
            "line 3 (say which device or cycle a row belongs to, or leave it out and give "
            "`constants: sweep_rate`).",
        ),
        (
            "# a comment\n\n" + ROWS.replace("\n2,", "\n1,"),
            "File x.csv must hold `time` that increases, but line 6 has 0.001 s after 0.001 s in "
            "line 5 (say which device or cycle a row belongs to, or leave it out and give "
            "`constants: sweep_rate`).",
        ),
        (
            "t,V1,I1,V1\n0,0,0,0\n",
            "File x.csv (line 1) must have one column 'V1' for `voltage`, but has 2: give its "
            "number, counted from 1.",
        ),
        ("t,V1,I1\n", "File x.csv must hold rows of numbers, but holds none."),
        (
            ROWS.replace("500", ""),
            "File x.csv: Variable `voltage` of measurement 'iv_sweep' must be known where "
            "`current` is, but is missing at index (0, 1).",
        ),
    ],
)
def test_what_is_wrong_in_a_table(text, message, write):
    refused(write(text), SWEEP, message)


def test_no_such_file(write):
    write(ROWS, "sweep.csv")
    refused(
        "sweeps.csv",
        SWEEP,
        "Argument `path` must be a file, but 'sweeps.csv' does not exist (did you mean "
        "`sweep.csv`?).",
    )


def test_a_cut_file(write):
    write(gzip.compress(ROWS.encode(), mtime=0)[:-6], "x.gz")
    with pytest.raises(UsageError, match=r"^File x\.gz must be readable, but is not \(.*\)\.$"):
        data.read_table("x.gz", SWEEP)


RETENTION = {
    "protocol": "retention",
    "columns": {
        "device": "d",
        "time": {"column": "t", "unit": "s"},
        "conductance": {"column": "g", "unit": "S"},
        "level": "l",
    },
}


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (
            "d,t,g,l\n1,0,1,3\n1,1,1,4\n",
            {},
            "File x.csv must have one `level` for each device, but line 3 has 4.0 after 3.0 in "
            "line 2.",
        ),
        (
            "d,t,g,l\n1,0,1,3.5\n",
            {},
            "File x.csv must hold whole numbers as `level`, but line 2 has 3.5.",
        ),
        (
            "d,t,g,l\n1,-1,1,3\n",
            {},
            "File x.csv must hold `time` that is not negative, but line 2 has -1 s.",
        ),
        (
            "d,t,g,l,n\n1,0,1,3,0\n1,1,1,3,1\n1,2,1,3,1\n",
            {"nominal_time": {"column": "n", "unit": "s"}},
            "File x.csv must give each `nominal_time` of one device once, but lines 3 and 4 give "
            "the same.",
        ),
        (
            "d,t,g,l,n\n" + "".join(f"{i},{i},1,3,{i}\n" for i in range(20)),
            {"nominal_time": {"column": "n", "unit": "s"}},
            "File x.csv must give the same `nominal_time` for every device, but hardly two of 20 "
            "share one.",
        ),
    ],
)
def test_what_is_wrong_in_a_long_table(text, more, message, write):
    mapping = {**RETENTION, "columns": {**RETENTION["columns"], **more}}
    refused(write(text), mapping, message)


def test_a_resistance_of_zero(write):
    mapping = {
        "protocol": "retention",
        "columns": {
            "time": {"column": "t", "unit": "s"},
            "resistance": {"column": "r", "unit": "ohm"},
        },
    }
    refused(
        write("t,r\n0,1\n1,0\n"),
        mapping,
        "File x.csv must hold `resistance` that becomes a conductance, but line 3 would divide "
        "by 0.",
    )
