"""Programming: write-verify on a device whose every number is known, and on a small film."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.devices import FourTerminalTiO2
from analogjax.programming import (
    LevelTable,
    ProgrammingNoise,
    Window,
    WriteVerify,
    describe,
    find_window,
    make_programmer,
    no_noise,
    program_levels,
)
from analogjax.programming import program as program_module
from analogjax.programming.targets import condition_and_window
from analogjax.simulation import condition
from analogjax.simulation.result import Status

WINDOW = Window(9.9e4, 8.1e4)
KEY = jax.random.key(3)


def controller(**options):
    return WriteVerify(**{"amplitude": 1.0, "width": 0.2, "longest": 2.0, **options})


# 16 levels three times over, the standard noise or none: tests that ask for the same share what is
# compiled.


def programmer_of(device):
    return make_programmer(
        device, 16, controller=controller(), state=device.init_state(), window=WINDOW
    )


def program(device, n=16, **options):
    options = {"controller": controller(), "repeats": 3, "key": KEY, **options}
    return program_levels(
        device, n, state=device.init_state(), window=options.pop("window", WINDOW), **options
    )


@pytest.mark.parametrize("space", ["R", "G"])
def test_levels_are_linear_in_their_space_and_met(toy_device, space):
    table = program(toy_device(), space=space, noise="none")
    coordinate = table.target if space == "R" else 1 / table.target
    # Equal steps to round-off.
    np.testing.assert_allclose(np.diff(coordinate, 2) / np.ptp(coordinate), 0, atol=1e-12)
    assert table.target[0] == pytest.approx(9.9e4)
    assert table.target[-1] == pytest.approx(8.1e4)
    assert table.met.all()
    assert table.missed == table.failed == 0
    # What write-verify promises: every level within the tolerance (0.25 pitch) of its target.
    assert np.abs(table.errors).max() <= 0.25 * table.pitch
    # The response is linear: once the rate is known a pulse a level is enough.
    assert np.median(table.pulses[:, 4:]) == 1


def test_time_and_energy_of_a_known_device(toy_device):
    device = toy_device()
    noise = ProgrammingNoise(
        pulse_spread=0.0, source_step=0.0, temperature_wander=0.0, thermal=False, counting=False,
        read_bandwidth=50.0,
    )  # fmt: skip
    table = program(device, noise=noise)
    # dx/dt = v / seconds: x from 0 to the last level costs that many seconds at 1 V (no level is
    # overshot by more than the tolerance), plus a read of 10 ms after each pulse and the first.
    x = (1e5 - table.achieved[:, -1]) / 2e4
    reads = table.pulses.sum(1) + 1
    np.testing.assert_allclose(table.time.sum(1), 5.0 * x + 0.01 * reads, rtol=1e-2)
    # P = V^2 / R while a pulse is on; R stays within 8e4 and 1e5 ohm.
    pulse_energy = table.energy.sum(1) - 0.1**2 / table.achieved.mean() * 0.01 * reads
    assert np.all(pulse_energy > 5.0 * x / 1e5)
    assert np.all(pulse_energy < 5.0 * x / 8e4 * 1.01)


def test_cost_of_a_level_counts_from_the_one_before(toy_device):
    table = program(toy_device(), noise="none")
    assert np.all(table.time[:, 0] > 0)
    assert table.pulses.sum() == pytest.approx(table.pulses.mean() * table.pulses.size)
    # Each level but the first needed at least one pulse of its own.
    assert np.all(table.pulses[:, 1:] >= 1)


@pytest.mark.smoke
def test_same_key_same_table_and_repeats_differ(toy_device):
    first, second = program(toy_device()), program(toy_device())
    for name, value in first.to_arrays().items():
        np.testing.assert_array_equal(value, second.to_arrays()[name])
    assert not np.allclose(first.achieved[0], first.achieved[1], rtol=1e-9)


def test_lanes_do_not_depend_on_each_other(toy_device):
    # vmap = loop: a lane alone, with its own key, gives the same row (round-off of fused code).
    device = toy_device()
    programmer = programmer_of(device)
    lanes = programmer.start(3, key=KEY)
    together = programmer.advance(lanes, 1000).record.reading
    alone = jax.tree.map(lambda x: x[1:2], lanes)
    np.testing.assert_allclose(
        programmer.advance(alone, 1000).record.reading[0], together[1], rtol=1e-12
    )


def test_portions_do_not_change_the_result(toy_device):
    device = toy_device()
    programmer = programmer_of(device)
    lanes = programmer.start(3, key=KEY)
    whole = programmer.advance(lanes, 1000)
    for _ in range(200):
        lanes = programmer.advance(lanes, 3)
    np.testing.assert_array_equal(lanes.record.reading, whole.record.reading)
    assert int(programmer.done(lanes).min()) == 16


def test_rereads_follow_the_device_at_rest(toy_device):
    # x decays as exp(-t / retention): the reread resistances are known exactly.
    device = toy_device(retention=100.0)
    table = program(device, noise="none", delays=(1.0, 50.0))
    x = (1e5 - table.achieved) / 2e4
    for delay, read in zip(table.delays, table.reread, strict=True):
        np.testing.assert_allclose(read, 1e5 - 2e4 * x * np.exp(-delay / 100.0), rtol=1e-12)
    assert np.abs(table.errors_after(50.0)).max() > np.abs(table.errors_after(1.0)).max()
    with pytest.raises(ValueError, match=r"must be one of 1, 50 s, but is 2"):
        table.errors_after(2.0)


def test_rereads_know_where_the_device_was_kept(toy_device):
    # Decay goes as (T / 300 K)^2 here: at 600 K, 4 times as fast; written and read at 300 K.
    device = toy_device(retention=100.0, hurry=2.0)
    cold, warm = (
        program(device, noise="none", delays=(50.0,), storage_temperature=t) for t in (None, 600.0)
    )
    np.testing.assert_array_equal(cold.achieved, warm.achieved)
    x = (1e5 - warm.achieved) / 2e4
    np.testing.assert_allclose(
        warm.reread[0], 1e5 - 2e4 * x * np.exp(-4 * 50.0 / 100.0), rtol=1e-12
    )


def test_no_delay_is_no_reread(toy_device):
    table = program(toy_device(), noise="none", delays=())
    assert table.reread.shape == (0, 3, 16)


def test_readings_have_the_thermal_noise_of_their_bandwidth(toy_device):
    # 20 x 64 readings: the standard deviation is known to 2 % (one sigma); 8 % is four of them.
    noise = ProgrammingNoise(
        pulse_spread=0.0, source_step=0.0, temperature_wander=0.0, counting=False,
        read_bandwidth=1e4,
    )  # fmt: skip
    table = program(toy_device(), n=16, repeats=20, noise=noise, delays=(1.0, 2.0, 3.0, 4.0))
    relative = table.reread / table.achieved - 1
    expected = np.sqrt(4 * 1.380649e-23 * 300 * 1e4 * table.target.mean()) / 0.1
    assert np.std(relative) == pytest.approx(expected, rel=0.08)


def test_johnson_noise_of_the_specification():
    # 7.5e-5 at 340 kohm, 10 kHz, 0.1 V (0.20 pitch of 3.7e-4): two digits are printed.
    noise = ProgrammingNoise(read_bandwidth=1e4)
    keys = jax.random.split(KEY, 4000)
    one = jnp.asarray(3.4e5)
    draws = jax.vmap(lambda k: noise.read_error(k, one, jnp.asarray(0.1), jnp.asarray(300.0)))(keys)
    # 4000 draws know a standard deviation to 1.1 %.
    assert float(jnp.std(draws)) == pytest.approx(7.5e-5, rel=0.05)


def test_pulse_jitter_source_and_statement():
    noise = ProgrammingNoise()
    draws = jax.vmap(noise.exposure)(jax.random.split(KEY, 4000))
    # One per cent, known to 1.1 % from 4000 draws; the median of a log-normal is 1.
    assert float(jnp.std(jnp.log(draws))) == pytest.approx(0.01, rel=0.05)
    assert float(jnp.median(draws)) == pytest.approx(1.0, abs=1e-3)
    assert float(noise.source(jnp.asarray(4.99951))) == pytest.approx(5.0, abs=1e-12)
    assert float(no_noise().source(jnp.asarray(4.99951))) == 4.99951
    for part in ("0.01 log-normal", "1000 Hz", "0.001 V", "0.01 K", "counting"):
        assert part in noise.statement()


def test_a_level_that_cannot_be_met_is_counted(toy_device):
    # Two pulses of at most 10 ms move 0.4 % of the window: levels are left outside the tolerance.
    table = program(
        toy_device(), n=4, noise="none", controller=controller(max_pulses=2, longest=0.01)
    )
    assert table.failed == 0
    assert table.missed == np.sum(~table.met) > 0
    assert table.pulses.max() == 2


def test_a_lane_that_fails_is_nan_and_counted(toy_device):
    # States are drawn about 0.03 apart and are invalid beyond 0.93, where the last level is at 0.95
    # for all: lanes that start above it fail, and so does every lane at the end.
    noise = ProgrammingNoise(thermal=False, temperature_wander=0.0)
    with pytest.raises(RuntimeError, match="None of 3 repeats reached all 8 levels; the first"):
        program(toy_device(fails_beyond=0.93), n=8, noise=noise)
    device = toy_device(fails_beyond=0.93)
    programmer = make_programmer(
        device, 8, controller=controller(), noise=noise, state=device.init_state(), window=WINDOW
    )
    lanes = programmer.advance(programmer.start(3, key=KEY), 1000)
    table = programmer.finish(lanes, key=KEY)
    assert table.failed > 0
    assert np.isnan(table.time).sum() == np.isnan(table.pulses).sum() == table.failed
    assert np.all(table.status == Status.OUT_OF_RANGE)
    assert np.isnan(table.achieved).sum() == table.failed
    assert np.isnan(table.reread[0]).sum() == table.failed
    assert np.isfinite(table.achieved[:, 0]).all()
    assert not table.met[np.isnan(table.achieved)].any()


@pytest.mark.parametrize("knob", ["width", "amplitude"])
def test_both_knobs_reach_every_level(toy_device, knob):
    # The toy is linear in v, not exponential: the controller has to find that out.
    options = {"v_scale": 1.0, "v_range": 0.9} if knob == "amplitude" else {}
    table = program(toy_device(), noise="none", controller=controller(knob=knob, **options))
    assert table.met.all()
    assert np.abs(table.errors).max() <= 0.25 * table.pitch


def test_table_round_trip_and_dataset(toy_device):
    table = program(toy_device())
    again = LevelTable.from_arrays(table.to_arrays())
    np.testing.assert_array_equal(again.achieved, table.achieved)
    assert (again.space, again.device, again.noise) == (table.space, table.device, table.noise)
    dataset = table.to_dataset()
    assert dataset["achieved"].attrs["units"] == "ohm"
    assert dataset.attrs["device"].startswith("ToyDevice-")
    assert set(describe(table)) > {"nonlinearity_rms", "monotone_fraction", "resolvable_levels"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(n_levels=1), "`n_levels` must be a whole number of at least 2, but is 1"),
        (dict(n_levels=2.5), "`n_levels` must be a whole number of at least 2, but is 2.5"),
        (dict(space="S"), "`space` must be one of 'R', 'G', but is 'S'"),
        (dict(repeats=0), "`repeats` must be a whole number of at least 1, but is 0"),
        (dict(noise="loud"), "`noise` must be 'standard', 'none'"),
        (dict(controller="best"), "`controller` must be None or a controller"),
        (dict(delays=(-1.0,)), "`delays` must be finite and at least 0 s"),
        (dict(storage_temperature=0.0), "`storage_temperature` must be finite and above 0 K"),
    ],
)
def test_wrong_arguments_get_one_sentence(toy_device, monkeypatch, change, message):
    # As a user runs it: without the type checks that only the tests switch on.
    monkeypatch.setattr(program_module, "make_programmer", inspect.unwrap(make_programmer))
    device = toy_device()
    options = dict(
        n_levels=4, repeats=1, key=KEY, controller=controller(), state=device.init_state(),
        window=WINDOW,
    )  # fmt: skip
    n_levels = change.pop("n_levels", options.pop("n_levels"))
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(program_levels)(device, n_levels, **(options | change))


def test_a_device_must_be_a_device():
    with pytest.raises(ValueError, match=r"`device` must be a device of `analogjax.devices`"):
        inspect.unwrap(make_programmer)("film", 4)


def test_windows():
    with pytest.raises(ValueError, match="`r_low` must be below `r_high` = 100000 ohm"):
        Window(1e5, 2e5)
    window = Window(1.2e5, 1e5)
    assert float(window.ratio) == pytest.approx(1.2)
    u = jnp.linspace(0, 1, 7)
    for space in ("R", "G"):
        # Inverse functions, to round-off.
        np.testing.assert_allclose(window.coordinate(window.resistance(u, space), space), u,
                                   atol=1e-12)  # fmt: skip


def test_window_of_the_toy(toy_device):
    device = toy_device()
    # 10 pulses of 1 V and 0.25 s: x from 0 to 0.5, R from 100 to 90 kohm, 2 % left out.
    window = find_window(device, device.init_state(), v=1.0, pulses=10, width=0.25)
    assert float(window.r_high) == pytest.approx(1e5 - 200)
    assert float(window.r_low) == pytest.approx(9e4 + 200)
    with pytest.raises(ValueError, match="`v` must lower the resistance"):
        find_window(device, device.init_state(), v=-1.0, pulses=2, width=0.25)


@pytest.fixture(scope="module")
def film():
    return FourTerminalTiO2(8)


PROTOCOL = dict(v=5.0, pulses=6, width=0.25)


@pytest.fixture(scope="module")
def conditioned(film):
    """State and window of the film."""
    return condition_and_window(film, **PROTOCOL)


def test_one_run_conditions_and_finds_the_window(film, conditioned):
    state, window = conditioned
    # The same pulses in two runs instead of one: equal to the solver's round-off.
    apart = condition(film, **PROTOCOL)
    np.testing.assert_allclose(state, apart, atol=1e-10)
    other = find_window(film, apart, **PROTOCOL)
    assert float(window.r_low) == pytest.approx(float(other.r_low), rel=1e-10)


def test_a_small_film_is_programmed_and_keeps_its_vacancies(film, conditioned):
    state, window = conditioned
    programmer = make_programmer(film, 6, state=state, window=window)
    lanes = programmer.start(2, key=KEY)
    before = jnp.sum(lanes.state, axis=(1, 2))
    lanes = programmer.advance(lanes, 200)
    table = programmer.finish(lanes, key=KEY)
    assert np.all(np.asarray(lanes.status) == Status.SUCCESS)
    assert table.met.all()
    # Hops conserve vacancies to round-off, noise included; the two draws hold different numbers.
    np.testing.assert_allclose(jnp.sum(lanes.state, axis=(1, 2)), before, rtol=1e-12)
    assert abs(float(before[0] - before[1])) > 1e-6
    # The default film forgets: after a day nothing is left of the levels.
    assert np.abs(table.errors_after(1e5)).max() > 0.5
