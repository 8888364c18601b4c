"""Levels of devices that are programmed as a whole, from the device to the network's errors."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
import pytest

from analogjax.crossbar import EmpiricalError, Hardware, LevelErrors
from analogjax.devices import PCM, DeviceConfig, StatisticalDevice
from analogjax.programming import (
    ProgrammingConfig,
    ProgrammingNoise,
    Window,
    condition_and_window,
    describe,
    find_window,
    level_tables,
    make_programmer,
    program_levels,
)
from analogjax.runs import RunFolder

KEY = jax.random.key(11)
QUIET = dict(temperature_wander=0.0, thermal=False)


@pytest.fixture(scope="module")
def table():
    return program_levels(PCM(), 16, space="G", repeats=400, key=KEY,
                          noise=ProgrammingNoise(**QUIET))  # fmt: skip


def test_levels_scatter_by_the_programming_noise(table):
    pcm = PCM()
    g = 1 / table.achieved
    target = 1 / table.target
    # Equal steps in conductance from the floor to 25 uS.
    np.testing.assert_allclose(target, np.linspace(1e-9, 25e-6, 16), rtol=1e-9)
    for level in range(6, 16):
        # 400 draws know a standard deviation to 3.5 %.
        expected = float(pcm.programming_std(target[level]))
        assert np.std(g[:, level]) == pytest.approx(expected, rel=5 * 0.036)
        assert abs(g[:, level].mean() - target[level]) < 5 * expected / 20
    # The lowest level cannot go below zero: bias s phi(0), and finite resistances.
    assert np.isfinite(table.achieved).all()
    bias = g[:, 0].mean() / float(pcm.programming_std(0.0))
    assert bias == pytest.approx(0.399, abs=5 * 0.58 / 20)
    assert table.met.all()
    assert table.failed == table.missed == 0


def test_rereads_drift_by_one_exponent_per_device(table):
    quiet = program_levels(PCM(read_scale=0.0), 16, space="G", repeats=50, key=KEY,
                           noise=ProgrammingNoise(**QUIET))  # fmt: skip
    # ln(R_t / R_0) = nu ln((t + 20) / 20) with one nu for all delays of a device.
    nu = [np.log(read / quiet.achieved) / np.log1p(delay / 20.0)
          for delay, read in zip(quiet.delays, quiet.reread, strict=True)]  # fmt: skip
    above = quiet.achieved < 1e8
    for other in nu[1:]:
        # ln of 1 s over 20 s is small: round-off of the resistances counts twentyfold.
        np.testing.assert_allclose(other[above], nu[0][above], atol=1e-12)
    # At the floor of the exponents from r = 0.2045 on.
    assert np.mean(nu[0][:, 4:]) == pytest.approx(0.049, abs=5 * 0.008 / np.sqrt(600))
    # With 1/f noise they scatter about that afresh: 3.68 % at r = 1 (400 draws: five times 3.5 %).
    soon = np.std(np.log(table.reread[0][:, 15] / table.achieved[:, 15]))
    assert soon == pytest.approx(0.0368, rel=0.18)


def test_without_randomness_levels_are_exact():
    table = program_levels(PCM(), 8, space="R", repeats=2, key=KEY, noise="none",
                           window=Window(4e5, 4e4))  # fmt: skip
    np.testing.assert_allclose(table.achieved, np.broadcast_to(table.target, (2, 8)), rtol=1e-12)
    np.testing.assert_allclose(table.reading, table.achieved, rtol=1e-12)


def test_same_key_same_table_and_no_delay():
    options = dict(space="G", repeats=3, key=KEY, delays=())
    one, two = (program_levels(PCM(), 4, **options) for _ in range(2))
    np.testing.assert_array_equal(one.achieved, two.achieved)
    assert one.reread.shape == (0, 3, 4)


def test_what_pulses_would_cost_is_not_known(table):
    assert not table.pulsed
    assert np.isnan(table.pulses).all()
    figures = describe(table)
    assert np.isfinite(list(figures.values())).all()
    assert not {"pulses_mean", "time_per_level_s", "energy_per_level_J"} & figures.keys()
    assert "without pulses" in table.controller


def test_hardware_takes_the_tables_as_any_other(table):
    hardware = Hardware.from_tables([table], bits=4)
    assert float(hardware.device.r_low) == pytest.approx(4e4)
    errors = LevelErrors.from_table(table)
    np.testing.assert_array_equal(errors.times, [0.0, 1.0, 60.0, 3600.0, 1e5])
    assert errors.left_out == 0
    empirical = EmpiricalError.from_table(table)
    assert np.isfinite(empirical.random).all()


def test_window_is_the_devices_own():
    device = StatisticalDevice("rram_milo")
    state, window = condition_and_window(device)
    assert (float(window.r_high), float(window.r_low)) == pytest.approx((2e4, 1 / 225e-6))
    assert eqx.tree_equal(state, device.init_state())
    assert float(find_window(device, state).r_low) == pytest.approx(1 / 225e-6)
    _, given = condition_and_window(device, r_high=1e4)
    assert float(given.r_high) == 1e4
    with pytest.raises(ValueError, match=r"`r_low` must be between 4444.44 and 20000 ohm"):
        condition_and_window(device, r_low=1e3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(space="S"), "`space` must be one of 'R', 'G', but is 'S'"),
        (dict(repeats=0), "`repeats` must be a whole number of at least 1"),
        (dict(n_levels=1), "`n_levels` must be a whole number of at least 2"),
        (dict(delays=(-1.0,)), "`delays` must be finite and at least 0 s"),
        (dict(window=Window(1e5, 1e4)), "`conductance` must be between 0 and 2.5"),
    ],
)
def test_wrong_arguments_get_one_sentence(change, message):
    options = dict(n_levels=4, repeats=2, key=KEY) | change
    with pytest.raises(ValueError, match=message):
        program_levels(PCM(), options.pop("n_levels"), **options)


def test_a_programmer_needs_pulses():
    with pytest.raises(ValueError, match=r"`device` must respond to pulses, but how a PCM does"):
        make_programmer(PCM(), 4)


def test_level_tables_of_a_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = ProgrammingConfig(
        DeviceConfig("PCM"), levels=[8], spaces=["G", "R"], repeats=3, delays=[1.0]
    )
    runs = [RunFolder(tmp_path / name, {"seed": 1}) for name in ("one", "two")]
    first, again = (level_tables(config, run) for run in runs)
    assert set(first) == {(8, "R"), (8, "G")}
    # The second time from the cache.
    np.testing.assert_array_equal(first[8, "G"].reread, again[8, "G"].reread)
    np.testing.assert_array_equal(first[8, "R"].reread, again[8, "R"].reread)
    # One table does not depend on which others are made.
    config.spaces = ["G"]
    alone = level_tables(config, RunFolder(tmp_path / "three", {"seed": 1}))
    np.testing.assert_array_equal(alone[8, "G"].achieved, first[8, "G"].achieved)
