"""The how-to runs as it is printed, and its device is right."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "your_own_device.md"


@pytest.fixture(scope="module")
def page():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    # Dataclasses look the module of a class up.
    module = sys.modules["your_own_device"] = types.ModuleType("your_own_device")
    for block in blocks:
        exec(block, vars(module))
    return blocks, vars(module)


def test_it_takes_thirty_lines(page):
    blocks, _ = page
    assert len(blocks[0].strip().splitlines()) <= 30


def test_state_is_the_logistic_function(page):
    _, names = page
    x = 0.05 / 0.95 * np.exp(10 * np.sinh(3.0) * 1e-2 * np.arange(11))
    # The solver's tolerance of 1e-6 a step, over ten pulses.
    np.testing.assert_allclose(names["result"].state[:11], x / (1 + x), atol=1e-5)
    # Coming back from near 1, where x moves least, magnifies an error by the ratio of the speeds.
    magnified = (0.05 * 0.95) / (x[10] / (1 + x[10]) ** 2)
    assert float(names["result"].final_state) == pytest.approx(0.05, abs=1e-5 * magnified)


def test_derivative_of_a_resistance(page):
    _, names = page
    x = float(names["result"].state[10])
    device = names["device"]
    conductance = float(device.conductance(jnp.asarray(x)))
    # Of 1/G by g_on: -x / G^2 times the bend of the current at the read voltage.
    exact = -x / conductance**2 * (0.5 / 0.1) * np.sinh(0.1 / 0.5)
    assert float(names["slope"]) == pytest.approx(exact, rel=1e-9)


def test_it_goes_through_levels_to_hardware(page):
    _, names = page
    table = names["table"]
    assert table.failed == 0
    assert np.isfinite(table.error_std).all()
    assert np.all(np.diff(table.achieved.mean(0)) < 0)
    assert names["hardware"].bits == 4


def test_a_typo_is_named(page):
    _, names = page
    with pytest.raises(ValueError, match="did you mean `g_on`"):
        names["SinhBarrier"](g_onn=1.0)


def test_numbers_alone_share_a_compilation(page):
    _, names = page
    kind = names["SinhBarrier"]
    traces = 0

    @jax.jit
    def read(device, state):
        nonlocal traces
        traces += 1
        return device.read(state)

    for device in (kind(), kind("slow"), kind(g_on=3e-4)):
        read(device, jnp.asarray(0.3))
    assert traces == 1
