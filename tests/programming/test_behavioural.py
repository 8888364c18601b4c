"""Behavioural models fitted to traces: each finds itself again."""

from __future__ import annotations

import numpy as np
import pytest

import analogjax as aj
from analogjax.programming import (
    BEHAVIOURAL,
    IdenticalPulses,
    behavioural_device,
    fit_to_pulses,
)

PULSES = IdenticalPulses()


@pytest.mark.parametrize("name", ["vteam", pytest.param("yakopcic", marks=pytest.mark.slow)])
def test_a_model_fits_its_own_traces(name):
    """What another member of the family does is followed closely."""
    model = BEHAVIOURAL[name]
    p = np.array(model.start) + 0.2 * np.cos(np.arange(len(model.start)))
    for index in model.speeds:
        p[index] -= np.log(100 * PULSES.width)
    truth = behavioural_device(name, PULSES, p)
    found = fit_to_pulses(name, PULSES, truth, points=201)
    # Parameters may trade places; what is left of the residual is less than a level of 8 bits.
    assert max(v for k, v in found.items() if k.startswith("rms_")) < 1 / 255


def test_steps_know_no_voltage_and_vteam_does():
    steps = behavioural_device("linear_step", PULSES, (0.0, -1.0, -4.0, 0.0, -2.0, -2.0))
    traces = [PULSES.trace(steps, "set", offset, points=50)[1] for offset in (0.0, 0.03)]
    np.testing.assert_array_equal(*traces)
    start = np.array(BEHAVIOURAL["vteam"].start)
    start[3:5] += 10
    device = behavioural_device("vteam", PULSES, start)
    slow, fast = (PULSES.trace(device, "set", offset, points=51)[0] for offset in (0.0, 0.03))
    # (v / v_on - 1)^3 with the published threshold, -0.2 V.
    assert float(slow[-1] / fast[-1]) == pytest.approx((0.172 / 0.142) ** 3, rel=1e-9)


def test_unknown_models_are_named():
    with pytest.raises(ValueError, match="Argument `name` must be one of"):
        fit_to_pulses("vteem", PULSES, aj.devices.JartVCM())
