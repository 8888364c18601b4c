"""What chance has a part in, in words."""

from __future__ import annotations

import pytest

from analogjax.devices import (
    PCM,
    VTEAM,
    ConstantStep,
    CycleToCycle,
    FourTerminalTiO2,
    JartVCM,
    Spread,
    StanfordPKU,
)
from analogjax.devices import chance as chance_of


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (VTEAM(), []),
        (JartVCM(), []),
        (JartVCM(single_vacancy_noise=True), ["reads"]),
        (StanfordPKU(), ["motion"]),
        (ConstantStep(), ["pulses"]),
        (FourTerminalTiO2(8), ["particles", "pulses"]),
        (PCM(), ["programming", "reads"]),
        (CycleToCycle(VTEAM(), Spread({"k_on": 0.1})), ["cycles"]),
    ],
)
def test_chance(device, expected):
    assert chance_of(device) == expected
