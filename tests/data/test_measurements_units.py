"""Units of measured data: prefixes, spellings, round trips, and what a wrong one is told."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analogjax.data import measurements as m

POWERS = {"f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}
BASES = {
    "V": "voltage", "A": "current", "ohm": "resistance", "S": "conductance", "s": "time",
    "K": "temperature", "Hz": "frequency", "V/s": "voltage ramp",
}  # fmt: skip


@settings(deadline=None)
@given(
    st.integers(-(10**9), 10**9), st.sampled_from(sorted(POWERS)), st.sampled_from(sorted(BASES))
)
def test_a_prefix_is_a_power_of_ten_and_rounded_once(n, prefix, base):
    unit = m.parse_unit(prefix + base)
    assert unit.quantity == BASES[base]
    # The decimal literal is the correctly rounded value; powers beyond 1e22 do not occur here.
    assert unit.to_si(n) == float(f"{n}e{POWERS[prefix]}")


@settings(deadline=None)
@given(
    st.floats(1e-6, 1e6) | st.floats(-1e6, -1e-6),
    st.sampled_from(m.units()),
)
def test_there_and_back(x, symbol):
    unit = m.parse_unit(symbol)
    # Two roundings of a product; with the offset of degrees, 1e-13 of 273 K is left.
    np.testing.assert_allclose(unit.from_si(unit.to_si(x)), x, rtol=1e-14, atol=1e-12)


@settings(deadline=None)
@given(st.sampled_from(m.units()), st.sampled_from(m.units()))
def test_units_of_one_quantity_are_ordered_alike(a, b):
    a, b = m.parse_unit(a), m.parse_unit(b)
    if a.quantity == b.quantity:
        x = np.array([1.0, 2.0, 30.0])
        there = b.from_si(a.to_si(x))
        assert np.all(np.diff(there) > 0)


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("\u00b5A", "uA"),
        ("\u03bcA", "uA"),
        ("k\u03a9", "kohm"),
        ("k\u2126", "kohm"),
        ("MOhm", "Mohm"),
        ("\u00b0C", "degC"),
        ("\u2103", "degC"),
        (" mV ", "mV"),
        ("sec", "s"),
        ("msec", "ms"),
        ("umho", "uS"),
        ("", "1"),
    ],
)
def test_spellings(written, symbol):
    assert m.parse_unit(written).symbol == symbol


def test_temperatures_and_times():
    np.testing.assert_allclose(m.parse_unit("degC").to_si([25.0, -273.15]), [298.15, 0.0])
    # Water freezes and boils.
    np.testing.assert_allclose(m.parse_unit("degF").to_si([32.0, 212.0]), [273.15, 373.15])
    assert m.parse_unit("min").to_si(2) == 120
    assert m.parse_unit("h").to_si(1) == 3600
    assert m.parse_unit("d").to_si(1) == 86400
    assert m.parse_unit("%").to_si(25) == 0.25


@pytest.mark.parametrize(
    ("symbol", "quantity", "message"),
    [
        (
            "kohm",
            "current",
            "must be a unit of current, but 'kohm' is one of resistance (such as `A`)",
        ),
        (
            "us",
            "conductance",
            "must be a unit of conductance, but 'us' is one of time (did you mean `uS`?)",
        ),
        ("S", "time", "must be a unit of time, but 'S' is one of conductance (did you mean `s`?)"),
        ("UA", "current", "must be a unit of current, but is 'UA' (did you mean `uA`?)"),
        ("Kohm", None, "must be a unit, but is 'Kohm' (did you mean `kohm`?)"),
        ("furlong", "time", "must be a unit of time, but is 'furlong' (such as `s`)"),
    ],
)
def test_wrong_units(symbol, quantity, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        m.parse_unit(symbol, quantity)


@pytest.mark.parametrize(
    ("text", "quantity", "value"),
    [
        ("100 mV", "voltage", 0.1),
        ("-1.5e-1V", "voltage", -0.15),
        ("25 degC", "temperature", 298.15),
        (7, "number", 7.0),
        ("1e-3", "number", 1e-3),
        ("20ns", "time", 2e-8),
        ("0.5 V/s", "voltage ramp", 0.5),
    ],
)
def test_values_with_units(text, quantity, value):
    assert m.parse_quantity(text, quantity) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "quantity", "message"),
    [
        (0.1, "voltage", "must be a number and a unit of voltage (such as `V`), but is 0.1"),
        ("warm", "temperature", "must be a number and a unit of temperature, but is 'warm'"),
        (
            "3 uA",
            "voltage",
            "must be a unit of voltage, but 'uA' is one of current (did you mean `uV`?)",
        ),
        (True, "number", "must be a number and a unit of number, but is True"),
    ],
)
def test_wrong_values(text, quantity, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        m.parse_quantity(text, quantity)
