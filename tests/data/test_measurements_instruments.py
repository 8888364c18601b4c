"""Exports of parameter analysers, written here after their description."""

from __future__ import annotations

import re

import numpy as np
import pytest

from analogjax import data
from analogjax.runs import UsageError

KEYSIGHT = """\
SetupTitle, I/V Sweep
PrimitiveTest, I/V Sweep
TestParameter, Channel.UnitType, SMU, SMU
TestParameter, Channel.Unit, SMU1:HR, SMU2:HR
TestParameter, Channel.IName, Itop, Ibottom
TestParameter, Channel.VName, Vtop, Vbottom
TestParameter, Channel.Func, VAR1, CONST
MetaData, TestRecord.RecordTime, 01/02/2024 14:00:22
Dimension1, 3, 3, 3, 3
Dimension2, 2, 2, 2, 2
DataName, Time, Vtop, Itop, Ibottom
DataValue, 0, 0, 1E-9, -1E-9
DataValue, 0.1, 0.5, 2E-9, -2E-9
DataValue, 0.2, 1, 9.91E+37, -3E-9
DataValue, 0, 0, 1E-9, -1E-9
DataValue, 0.1, -0.5, -2E-9, 2E-9
DataValue, 0.2, -1, -3E-9, 3E-9

SetupTitle, Short
DataName, V1, I1 (uA)
DataValue, 0, 0
DataValue, 1, 2
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text):
        (tmp_path / "x.csv").write_text(text, encoding="utf-8")
        return "x.csv"

    return write


def test_keysight(write):
    sweeps = data.read_keysight(write(KEYSIGHT), constants={"temperature": "25 degC"})
    assert sweeps.names == ("I_V_Sweep", "Short")
    first, second = sweeps
    # The swept channel, not the grounded one; two steps of the second variable are two sweeps.
    np.testing.assert_array_equal(first["voltage"], [[0, 0.5, 1], [0, -0.5, -1]])
    np.testing.assert_array_equal(first["current"], [[1e-9, 2e-9, np.nan], [1e-9, -2e-9, -3e-9]])
    np.testing.assert_array_equal(first["time"], [[0, 0.1, 0.2]] * 2)
    assert first["current"].attrs["missing"] == 1
    assert first.attrs["recorded"] == "01/02/2024 14:00:22"
    np.testing.assert_array_equal(second["current"], [[0, 2e-6]])
    assert "time" not in second.variables
    np.testing.assert_array_equal(second["temperature"], [298.15])


def test_keysight_by_name(write):
    first, _ = data.read_keysight(
        write(KEYSIGHT.partition("SetupTitle, Short")[0] * 2), current="Ibottom"
    )
    assert float(first["current"][0, 2]) == -3e-9


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "DataValue",
            "Value",
            "File x.csv must hold lines `DataValue` after line 11, but has none.",
        ),
        (
            "DataName",
            "Names",
            "File x.csv must be an export of EasyEXPERT with lines `DataName` and `DataValue`, but "
            "has none: read it by `read_table` with a mapping of its columns.",
        ),
        (
            "Dimension2, 2",
            "Dimension2, 3",
            "File x.csv (line 11) must hold Dimension1 x Dimension2 = 3 x 3 lines `DataValue`, but "
            "has 6.",
        ),
        (
            "VAR1",
            "CONST",
            "Argument `current` must name the column of the current in x.csv (line 11), one of "
            "'Itop', 'Ibottom', because it has several.",
        ),
        (
            "0.1, 0.5",
            "0.1, half",
            "File x.csv must hold finite numbers in column `Vtop`, but line 13 has 'half'.",
        ),
        (
            "0.1, -0.5",
            "0, -0.5",
            "File x.csv must hold `time` that increases, but line 16 has 0 s after 0 s in line 15 "
            "(say which device or cycle a row belongs to, or leave it out and give `constants: "
            "sweep_rate`).",
        ),
    ],
)
def test_what_is_wrong_with_an_export(old, new, message, write):
    with pytest.raises(UsageError, match="^" + re.escape(message) + "$"):
        data.read_keysight(write(KEYSIGHT.replace(old, new)))


def test_keithley_4200(write):
    text = (
        "Sample 7\n"
        "Time(1),AnodeV(1),AnodeI(1),Time(2),AnodeV(2),AnodeI(2)\n"
        "0,0,1e-9,0,0,2e-9\n0.1,1,2e-9,0.1,1,3e-9\n0.2,2,3e-9,,,\n"
    )
    (sweeps,) = data.read_keithley(write(text))
    nan = np.nan
    np.testing.assert_array_equal(sweeps["voltage"], [[0, 1, 2], [0, 1, nan]])
    np.testing.assert_array_equal(sweeps["current"], [[1e-9, 2e-9, 3e-9], [2e-9, 3e-9, nan]])
    np.testing.assert_array_equal(sweeps["time"], [[0, 0.1, 0.2], [0, 0.1, nan]])


def test_keithley_4200_with_one_voltage_for_all_sweeps(write):
    text = "DrainV\tDrainI(1)\tDrainI(2)\n0\t1e-9\t2e-9\n1\t3e-9\t4e-9\n"
    (sweeps,) = data.read_keithley(write(text))
    np.testing.assert_array_equal(sweeps["voltage"], [[0, 1], [0, 1]])
    np.testing.assert_array_equal(sweeps["current"], [[1e-9, 3e-9], [2e-9, 4e-9]])


def test_keithley_2400(write):
    text = "Voltage (mV);Current (uA);Resistance;Time (s);Status\n1;5;0;6;0.1\n2;9.91e37;3;7;0.2\n"
    (sweeps,) = data.read_keithley(write(text))
    np.testing.assert_array_equal(sweeps["voltage"], [[1e-3, 2e-3]])
    np.testing.assert_array_equal(sweeps["current"], [[5e-6, np.nan]])
    np.testing.assert_array_equal(sweeps["time"], [[6, 7]])


def test_keithley_2450(write):
    text = (
        "Index,Reading,Unit,Range Digits,Value,Unit,Date,Time\n"
        "1,1e-6,Amp DC,6,0.1,Volt DC,01/02/2024,10:00:01\n"
        "2,2e-6,Amp DC,6,0.2,Volt DC,01/02/2024,10:00:01\n"
    )
    (sweeps,) = data.read_keithley(write(text))
    np.testing.assert_array_equal(sweeps["voltage"], [[0.1, 0.2]])
    np.testing.assert_array_equal(sweeps["current"], [[1e-6, 2e-6]])
    assert "time" not in sweeps.variables  # a time of day


def test_keithley_by_name(write):
    path = write("DrainV,GateV,DrainI\n0,5,1e-9\n1,5,2e-9\n")
    (sweeps,) = data.read_keithley(path, voltage="DrainV")
    np.testing.assert_array_equal(sweeps["voltage"], [[0, 1]])
    message = (
        "Argument `voltage` must name the column of the voltage in x.csv (line 1), one of "
        "'DrainV', 'GateV', because it has several."
    )
    with pytest.raises(UsageError, match="^" + re.escape(message) + "$"):
        data.read_keithley(path)
    message = (
        "File x.csv must have a row of names with Drain and a current, but has none in its first "
        "500 lines: give the arguments `voltage` and `current`, or read it by `read_table`."
    )
    with pytest.raises(UsageError, match="^" + re.escape(message) + "$"):
        data.read_keithley(path, voltage="Drain")
