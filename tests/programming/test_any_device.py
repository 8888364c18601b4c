"""Programming what is no film: two amplitudes, a given window, a response that runs away."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import devices
from analogjax._types import Scalar
from analogjax.devices import AbstractCompactDevice, CycleToCycle, DeviceConfig, parameter
from analogjax.programming import (
    ControllerConfig,
    ProgrammingConfig,
    ProgrammingNoise,
    WriteVerify,
    condition_and_window,
    level_tables,
    program_levels,
)
from analogjax.runs import RunFolder, compose
from analogjax.simulation import condition, simulate
from analogjax.stimuli import pulse_train

KEY = jax.random.key(5)


class Abrupt(AbstractCompactDevice):
    """A caricature of a filament: SET is negative, and its rate grows by five decades."""

    g_min: Scalar = parameter(1e-5, "S", "conductance at x = 0", "test")
    ratio: Scalar = parameter(50.0, "-", "largest over smallest conductance", "test")
    set_rate: Scalar = parameter(1e3, "1/s", "rate at -0.45 V and x = 0", "test")
    reset_rate: Scalar = parameter(1e2, "1/s", "rate at 0.9 V and x = 0", "test")
    decades: Scalar = parameter(5.0, "-", "growth of the rates over x", "test")
    own_noise: Scalar = parameter(0.0, "-", "relative noise of a read", "test", zero=True)
    read_voltage: Scalar = parameter(0.2, "V", "read", "test")

    def init_state(self):
        return jnp.zeros(())

    def current(self, v, state):
        return v * self.g_min * self.ratio**state

    def velocity(self, v, state):
        growth = 10 ** (self.decades * state)
        set_ = self.set_rate * jnp.sinh(-v / 0.05) / jnp.sinh(9.0) * (1 - state)
        reset = -self.reset_rate * jnp.sinh(v / 0.1) / jnp.sinh(9.0) * state
        return growth * jnp.where(v < 0, set_, reset)

    def bounds(self):
        return 0.0, 1.0

    @property
    def potentiation(self):
        return -1.0

    def read_noise(self, resistance, state, *, key):
        return resistance * (1 + self.own_noise * jax.random.normal(key, (), resistance.dtype))


PULSES = dict(amplitude=0.45, amplitude_down=0.9, width=1e-6, shortest=1e-9, longest=0.1)
PROTOCOL = dict(v=0.45, v_down=0.9, pulses=20, width=1e-3)


@pytest.fixture(scope="module")
def prepared():
    device = Abrupt()
    return device, *condition_and_window(device, **PROTOCOL)


def test_each_polarity_has_its_amplitude(prepared):
    device, state, window = prepared
    # The same pulses, written out: SET is negative here.
    v = np.repeat([-0.45, 0.9, -0.45], 20)
    trace = simulate(device, pulse_train(v, width=1e-3)).read_resistance
    span = float(trace[40] - trace[60])
    assert float(window.r_high) == pytest.approx(float(trace[40]) - 0.02 * span, rel=1e-9)
    assert float(window.r_low) == pytest.approx(float(trace[60]) + 0.02 * span, rel=1e-9)
    alone = condition(device, v=0.45, v_down=0.9, pulses=20, width=1e-3)
    # The same equations, apart from the rounding of another compilation.
    assert float(alone) == pytest.approx(float(state), abs=1e-9)


@pytest.mark.parametrize("space", ["R", "G"])
def test_a_response_that_runs_away_is_mastered(prepared, space):
    device, state, window = prepared
    careful = dict(PULSES, max_pulses=60, tolerance=0.2, gain=1.0, largest_factor=10.0, aim=0.5)

    def program(controller):
        return program_levels(
            device, 32, space=space, repeats=3, controller=controller, key=KEY,
            state=state, window=window, delays=(),
        )  # fmt: skip

    table = program(WriteVerify(**careful))
    # What write-verify promises: a reading within 0.2 pitch; noise of the read is far below 0.1.
    assert table.missed == table.failed == 0
    assert np.abs(table.errors).max() < 0.3 * table.pitch
    if space == "G":
        # Where the rate grows forty times from one level to the next, aiming at all of what is
        # missing overshoots again and again.
        assert program(WriteVerify(**careful | {"aim": 1.0})).pulses.sum() > table.pulses.sum()


def test_both_amplitudes_are_chosen_and_said():
    both = WriteVerify(**PULSES)
    memory = both.start(0.1, -1.0)
    up = both.decide(jnp.asarray(0.2), jnp.asarray(0.3), memory)
    down = both.decide(jnp.asarray(0.3), jnp.asarray(0.2), memory)
    assert (float(up.amplitude), float(down.amplitude)) == (-0.45, 0.9)
    assert "0.45 V to lower and 0.9 V to raise the resistance" in both.statement()
    one = WriteVerify(amplitude=5.0)
    assert float(one.amplitude_down) == 5.0
    assert "pulses of 5 V, width" in one.statement()
    knob = WriteVerify(**PULSES, knob="amplitude", v_range=0.1)
    assert "0.35 to 0.55 V to lower and 0.8 to 1 V to raise" in knob.statement()
    far = knob.decide(jnp.asarray(1.0), jnp.asarray(0.0), memory)
    # Ten pitches too far down: the largest amplitude that this polarity may have.
    assert float(far.amplitude) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="`largest_factor` must be above 1, but is 1"):
        WriteVerify(largest_factor=1.0)


def test_the_largest_factor_bounds_what_a_reading_teaches():
    # Nothing moved, well above the tolerance: the rate falls by the factor (gain 1, full trust).
    for factor in (3.0, 10.0):
        controller = WriteVerify(gain=1.0, largest_factor=factor, tolerance=1e-6)
        memory = controller.start(0.1, 1.0)
        pulse = controller.decide(jnp.asarray(0.0), jnp.asarray(0.1), memory)
        after = controller.learn(jnp.asarray(0.0), jnp.asarray(0.0), pulse, memory)
        fall = np.exp(memory.log_rate - after.log_rate)
        # The trust is 1 / (1 + tolerance^2).
        np.testing.assert_allclose(fall, [factor, 1.0], rtol=1e-9)


def test_a_given_window_is_kept_and_must_be_reachable(prepared):
    device, state, found = prepared
    same, window = condition_and_window(device, **PROTOCOL, r_high=5e4)
    assert float(window.r_high) == 5e4
    assert float(window.r_low) == pytest.approx(float(found.r_low))
    # The start does not depend on the window: the high-resistance end of the device.
    assert float(same) == float(state)
    with pytest.raises(ValueError, match=r"`r_high` must be between .* ohm, .* but is 200000"):
        condition_and_window(device, **PROTOCOL, r_high=2e5)
    with pytest.raises(ValueError, match=r"`r_low` must be between .* ohm, .* but is 10"):
        condition_and_window(device, **PROTOCOL, r_low=10.0)


def test_readings_have_the_noise_of_the_device_itself(prepared):
    _, state, window = prepared
    quiet = dict(pulse_spread=0.0, source_step=0.0, temperature_wander=0.0, thermal=False)
    options = dict(
        repeats=20, key=KEY, state=state, window=window, delays=(1.0, 2.0, 3.0, 4.0, 5.0),
        controller=WriteVerify(**PULSES, aim=0.5, gain=1.0, largest_factor=10.0, max_pulses=60),
    )  # fmt: skip
    device = Abrupt(own_noise=1e-3)
    table = program_levels(device, 8, noise=ProgrammingNoise(**quiet), **options)
    relative = table.reread / table.achieved - 1
    # 800 readings know a standard deviation to 2.5 % (one sigma).
    assert np.std(relative) == pytest.approx(1e-3, rel=0.1)
    none = program_levels(device, 8, noise=ProgrammingNoise(**quiet, counting=False), **options)
    # This device rests as it is.
    np.testing.assert_allclose(none.reread, np.broadcast_to(none.achieved, none.reread.shape),
                               rtol=1e-12)  # fmt: skip


def test_a_configuration_programs_any_device(monkeypatch, tmp_path):
    """Twice: the second time the window, with a state of any shape, comes from the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(devices, "Abrupt", Abrupt, raising=False)
    config = ProgrammingConfig(
        DeviceConfig("Abrupt"), levels=[8], spaces=["G"], repeats=2, amplitude=0.45,
        amplitude_down=0.9, window_pulses=20, window_width=1e-3, r_high=5e4, r_low=4e3,
        controller=ControllerConfig(
            **PULSES, max_pulses=60, aim=0.5, gain=1.0, largest_factor=10.0, tolerance=0.01
        ),
    )  # fmt: skip
    tables = []
    for folder in ("one", "two"):
        run = RunFolder(tmp_path / folder, {"seed": 1})
        tables.append(level_tables(config, run)[8, "G"])
    assert tables[0].window.r_high == 5e4
    assert tables[0].missed == 0
    np.testing.assert_array_equal(tables[0].achieved, tables[1].achieved)


CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("name", sorted(f.stem for f in (CONFIGS / "programming").glob("*.yaml")))
def test_every_programming_configuration_composes(name):
    """`analogjax run ... programming=NAME`, up to the device and its controller."""
    # These two hold 32 levels: more bits take the spread of these.
    most = 32 if name in ("stanford", "soft_bounds") else 512
    fitted = ["error=gaussian"] if most < 512 else []
    for experiment in ("quickstart", "mlp_mnist"):
        programming = compose(experiment, [f"programming={name}", *fitted]).config.programming
        # What one device needs does not leak into another's configuration.
        device = programming.device.build()
        inner = device.device if isinstance(device, CycleToCycle) else device
        assert type(inner).__name__ == programming.device.kind
        assert programming.controller.build(32).max_pulses >= 1
    # Enough levels for the bits that the main job asks for.
    assert max(programming.levels) == most


@pytest.mark.parametrize("name", sorted(f.stem for f in (CONFIGS / "device").glob("*.yaml")))
def test_every_device_configuration_composes(name):
    override = f"device@programming.device={name}"
    programming = compose("mlp_mnist", [override]).config.programming
    assert isinstance(programming.device.build(), devices.AbstractDevice)
