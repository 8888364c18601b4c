"""Single precision: refused where it cannot work, close where it can."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import analogjax as aj

drive = aj.stimuli.pulse_train([5.0] * 3, width=0.25)
result = aj.simulate(aj.devices.FourTerminalTiO2(12), drive)
print(result.read_resistance.dtype, float(result.read_resistance[-1]))
try:
    aj.simulate(aj.devices.FourTerminalTiO2(12, preset="nonvolatile"), drive)
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_float32_runs_the_isothermal_film_and_refuses_the_self_heated_one():
    import analogjax as aj

    drive = aj.stimuli.pulse_train([5.0] * 3, width=0.25)
    double = float(aj.simulate(aj.devices.FourTerminalTiO2(12), drive).read_resistance[-1])
    environment = os.environ | {"JAX_ENABLE_X64": "0"}
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    dtype, value = printed[0].split()
    assert dtype == "float32"
    # The solver's tolerance in single precision is 1e-6 in energy; a read is a ratio of such.
    assert abs(float(value) / double - 1) < 2e-5
    assert printed[1].startswith("This FourTerminalTiO2 must run in float64, but 64-bit floats are")
