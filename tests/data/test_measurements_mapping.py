"""Mappings from columns to quantities: the sentence for everything that is wrong in one."""

from __future__ import annotations

import re

import pytest

from analogjax import data
from analogjax.runs import UsageError

ROWS = "t,V1,I1\n0,0,0.1\n1,500,0.2\n2,1000,0.7\n"


YAML = """\
protocol: iv_sweep
columns:
  voltage: {column: V1, unit: mV}
  current:
    column: I1
    unit: uA
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes a file where the test stands, so that its name is short."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="x.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


def refused(path, mapping, message):
    with pytest.raises(UsageError, match="^" + re.escape(message) + "$"):
        data.read_table(path, mapping)


def with_columns(**columns):
    return {"protocol": "iv_sweep", "columns": columns}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "unit: uA",
            "unit: kohm",
            "The unit of `current` in m.yaml (line 4) must be a unit of current, but 'kohm' is one "
            "of resistance (such as `A`).",
        ),
        (
            "unit: uA",
            "unit: ua",
            "The unit of `current` in m.yaml (line 4) must be a unit of current, but is 'ua' (did "
            "you mean `uA`?).",
        ),
        (
            "    unit: uA\n",
            "",
            "Key `columns: current` in m.yaml (line 4) must say the unit of column `I1` (such as "
            "`unit: A`), but does not, and neither does the column's name.",
        ),
        (
            "current",
            "curent",
            "Key `curent` in m.yaml (line 4) must be one of time, voltage, current, device, "
            "temperature, read_voltage, label, cycle, sweep, but is none (did you mean "
            "`current`?).",
        ),
        (
            "    column: I1",
            "    colum: I1",
            "Key `colum` in m.yaml (line 5) must be one of column, columns, unit, factor, missing, "
            "each, but is none (did you mean `column`?).",
        ),
        (
            "    column: I1\n",
            "",
            "Key `columns: current` in m.yaml (line 4) must have `column`, or `columns` for "
            "several, and not both.",
        ),
        (
            "columns:",
            "colums:",
            "Key `colums` in m.yaml (line 2) must be one of protocol, name, source, licence, file, "
            "columns, constants, missing, missing_means, but is none (did you mean `columns`?).",
        ),
        (
            "protocol: iv_sweep",
            "protocol: iv_swep",
            "Key `protocol` in m.yaml (line 1) must be one of iv_sweep, pulse_train, single_pulse, "
            "retention, level_distribution, read_noise, cycling, but is 'iv_swep' (did you mean "
            "`iv_sweep`?).",
        ),
        (
            "  voltage: {column: V1, unit: mV}\n",
            "",
            "Key `columns` in m.yaml (line 2) must name a column for `voltage` (voltage across the "
            "device), but has `current`.",
        ),
        (
            "columns:",
            "constants: {temperature: 300}\ncolumns:",
            "Key `constants: temperature` in m.yaml (line 2) must be a number and a unit of "
            "temperature (such as `K`), but is 300.",
        ),
        (
            "columns:",
            "constants: {voltage: 1 V}\ncolumns:",
            "Key `constants: voltage` in m.yaml (line 2) must be left out, because `columns: "
            "voltage` gives it for each row.",
        ),
        (
            "columns:",
            "constants: {sweep: 1}\ncolumns:",
            "Key `sweep` in m.yaml (line 2) must be one of time, voltage, current, device, "
            "temperature, read_voltage, label, cycle, sweep_rate, but is none (did you mean "
            "`sweep_rate`?).",
        ),
        (
            "columns:",
            "file: {skip: some}\ncolumns:",
            "Key `file: skip` in m.yaml (line 2) must be a number of lines, but is 'some'.",
        ),
        (
            "columns:",
            "missing: nan\ncolumns:",
            "Key `missing` in m.yaml (line 2) must be a list, but is 'nan'.",
        ),
        (
            "    unit: uA",
            "    unit: uA\n    factor: 0",
            "Key `columns: current` in m.yaml (line 4) must have a number other than 0 as `factor`,"
            " but has 0.",
        ),
        (
            "    unit: uA",
            "    unit: uA\n    each: cycle",
            "Key `columns: current` in m.yaml (line 4) must have `each: device` or `each: cycle`, "
            "beside `columns`, but has 'cycle'.",
        ),
        (
            "column: V1",
            "column: 9",
            "File x.csv must have a column 9 for `voltage`, but has 3 columns.",
        ),
    ],
)
def test_what_is_wrong_in_a_mapping(old, new, message, write):
    assert old in YAML
    refused(write(ROWS), write(YAML.replace(old, new), "m.yaml"), message)


def test_the_same_as_a_dictionary(write):
    mapping = with_columns(
        voltage={"column": "V1", "unit": "mV"}, current={"column": "I1", "unit": "kohm"}
    )
    refused(
        write(ROWS),
        mapping,
        "The unit of `current` in the mapping must be a unit of current, but 'kohm' is one of "
        "resistance (such as `A`).",
    )


def test_the_unit_of_a_name_is_held_against_the_quantity_too(write):
    mapping = with_columns(voltage={"column": "V1", "unit": "mV"}, current="I1 (kohm)")
    refused(
        write(ROWS.replace("I1", "I1 (kohm)")),
        mapping,
        "The unit of `current` in column `I1 (kohm)` of x.csv (line 1) must be a unit of current, "
        "but 'kohm' is one of resistance (such as `A`).",
    )


def test_a_current_needs_its_read_voltage(write):
    mapping = {
        "protocol": "pulse_train",
        "columns": {"current": {"columns": "r*", "unit": "A"}},
    }
    refused(
        write("r1,r2\n1,1\n"),
        mapping,
        "Key `columns: current` in the mapping must come with a `read_voltage` (a column or a "
        "constant), which turns a current into a conductance.",
    )


def test_no_yaml(write):
    path = write("protocol: [iv_sweep\n", "m.yaml")
    with pytest.raises(UsageError, match=r"^File m\.yaml \(line 2\) must be YAML, but is not: "):
        data.read_table(write(ROWS), path)
    refused(
        write(ROWS),
        "n.yaml",
        "Argument `mapping` must be a dictionary or a YAML file, but 'n.yaml' cannot be read (No "
        "such file or directory).",
    )


def test_two_names_for_one_quantity(write):
    mapping = {
        "protocol": "retention",
        "columns": {
            "time": {"column": "t", "unit": "s"},
            "conductance": {"column": "g", "unit": "S"},
            "resistance": {"column": "r", "unit": "ohm"},
        },
    }
    refused(
        write("t,g,r\n1,0,1\n"),
        mapping,
        "Key `columns: resistance` in the mapping must be the only one that gives `conductance`, "
        "but `conductance` does, too.",
    )
