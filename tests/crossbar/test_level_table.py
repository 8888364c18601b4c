"""What a level table of the programming becomes here."""

from __future__ import annotations

import numpy as np
import pytest

from analogjax.crossbar import GaussianError, Hardware, LevelCost, LevelErrors, WeightMapping
from analogjax.programming import LevelTable, absolute_error


def table(space, *, failed=False):
    rng = np.random.default_rng(0)
    u = np.linspace(0, 1, 16)
    r_high, r_low = 1.19e5, 1.0e5

    def resistance(u):
        if space == "R":
            return r_high + u * (r_low - r_high)
        return 1 / (1 / r_high + u * (1 / r_low - 1 / r_high))

    achieved = resistance(u + 1e-3 * rng.standard_normal((4, 16)))
    time = np.ones((4, 16))
    if failed:
        achieved[2, 9:], time[2, 9:] = np.nan, np.nan
    return LevelTable(
        target=resistance(u),
        achieved=achieved,
        reading=achieved,
        met=np.isfinite(achieved),
        pulses=time,
        time=time,
        energy=1e-9 * time,
        delays=np.asarray([1.0, 60.0]),
        reread=np.stack([achieved * 1.001, achieved * 1.002]),
        status=np.zeros(achieved.shape[0], int),
        r_high=r_high,
        r_low=r_low,
        space=space,
        device="film",
        controller="made up",
        noise="made up",
    )


@pytest.mark.parametrize("space", ["R", "G"])
def test_errors_and_costs_of_a_table(space):
    levels = table(space)
    errors = LevelErrors.from_table(levels)
    np.testing.assert_allclose(errors.errors[0], levels.errors, rtol=0, atol=1e-12)
    np.testing.assert_allclose(errors.errors[2], levels.errors_after(60.0), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(errors.times, [0, 1, 60])
    # The same statistic, written twice: here for every reading, there with its interval.
    assert errors.random_std[0] == pytest.approx(absolute_error(levels)[0], rel=1e-9)
    np.testing.assert_allclose(LevelCost.from_table(levels).time, np.arange(1, 17))
    hardware = Hardware.from_tables(
        levels, bits=4, device="film", mapping=WeightMapping(space=space), error="gaussian"
    )
    assert isinstance(hardware.device.write_error, GaussianError)
    with pytest.raises(ValueError, match="of the device 'other', but holds one of 'film'"):
        Hardware.from_tables(levels, bits=4, device="other")


def test_an_unfinished_repeat_of_a_table():
    levels = table("R", failed=True)
    errors = LevelErrors.from_table(levels)
    assert (errors.repeats, errors.left_out) == (3, 1)
    np.testing.assert_allclose(errors.errors[0], levels.errors[[0, 1, 3]], rtol=0, atol=1e-12)
    np.testing.assert_allclose(LevelCost.from_table(levels).time, np.arange(1, 17))
