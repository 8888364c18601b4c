"""Pulse-response steps: closed forms of a row of pulses, symmetry points, spreads."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.devices import (
    STEP_SPREADS,
    ConstantStep,
    ExpStep,
    LinearStep,
    SoftBounds,
    sample_devices,
)
from analogjax.simulation import simulate
from analogjax.stimuli import ReadPulse, pulse_train


def train(ups, downs, **options):
    return pulse_train([1.0] * ups + [-1.0] * downs, width=1e-6, **options)


def test_constant_steps_count_pulses_and_stop_at_the_bounds():
    device = ConstantStep(dw_min=0.1, up_down=0.2)
    result = simulate(device, train(12, 3))
    # Positive `up_down`: steps down are smaller.
    expected = [*np.minimum(0.1 * np.arange(13), 1.0), 0.92, 0.84, 0.76]
    np.testing.assert_allclose(result.state, expected, rtol=1e-12)


def test_soft_bounds_approach_their_bound_exponentially():
    device = SoftBounds("reram_array_om")
    result = simulate(device, train(20, 0))
    # w_max - w shrinks by 1 - dw / w_max a pulse.
    np.testing.assert_allclose(result.state, 1 - (1 - 0.0949) ** np.arange(21), rtol=1e-12)


def test_linear_steps_are_an_affine_recursion():
    device = LinearStep("ecram", w_0=0.3)
    result = simulate(device, train(4, 3))
    w, expected = 0.3, [0.3]
    for sign in [1] * 4 + [-1] * 3:
        shape = 1 - 0.1153 * w / 1.1724 if sign > 0 else 1 - 0.5085 * w / -0.8276
        w += sign * 0.002 * shape
        expected.append(w)
    np.testing.assert_allclose(result.state, expected, rtol=1e-12)


def test_exponential_steps_have_their_published_sizes():
    device = ExpStep()
    for w in (-0.8, 0.0, 0.6):
        up = 0.00135 * (1 + 1.18445 * np.exp(5 * (-0.5 * w - 0.5)))
        result = simulate(device, pulse_train([0.7, -3.0], width=1.0), device.init_state(w))
        np.testing.assert_allclose(result.state[1] - w, up, rtol=1e-9)
        z = -0.5 * float(result.state[1]) - 0.5
        down = 0.00135 * (1 - 0.259359) * (1 + 0.081404 * np.exp(-5 * z))
        np.testing.assert_allclose(result.state[1] - result.state[2], down, rtol=1e-9)


@pytest.mark.parametrize("up_down", [-0.4, 0.0, 0.5])
def test_alternating_pulses_end_at_the_symmetry_point(up_down):
    device = SoftBounds(dw_min=0.01, up_down=up_down, w_max=1.25, w_min=-0.75, w_0=0.5)
    star = device.symmetry_point()
    up, down = 0.01 * min(1, 1 + up_down), 0.01 * min(1, 1 - up_down)
    np.testing.assert_allclose(up * (1 - star / 1.25), down * (1 + star / 0.75), rtol=1e-12)
    result = simulate(device, pulse_train(jnp.tile(jnp.asarray([1.0, -1.0]), 2000), width=1.0))
    # The cycle of two: high = low + up (1 - low / 1.25), low = high - down (1 + high / 0.75).
    shrink_up, shrink_down = 1 - up / 1.25, 1 - down / 0.75
    high = (up - down * shrink_up) / (1 - shrink_up * shrink_down)
    np.testing.assert_allclose(result.state[-2], high, rtol=1e-6)
    assert float(result.state[-1]) < float(star) < high


def test_only_the_sign_of_a_pulse_counts_and_a_read_is_no_pulse():
    device = ConstantStep(dw_min=0.1)
    drive = pulse_train([0.1, 5.0, 0.0], width=jnp.asarray([1.0, 1e-9, 1.0]), read=ReadPulse())
    result = simulate(device, drive)
    np.testing.assert_allclose(result.state, [0.0, 0.1, 0.2, 0.2], rtol=1e-12)
    np.testing.assert_allclose(result.read_resistance[0], 1 / 13e-6, rtol=1e-12)


@pytest.mark.parametrize(
    ("device", "spread"),
    [
        # Multiplicative: of the step at w = 0.5; additive: of the step at w = 0.
        (LinearStep("ecram", w_0=0.5), 0.3 * 0.002 * (1 - 0.1153 * 0.5 / 1.1724)),
        (LinearStep("capacitor", w_0=0.5), 0.3 * 0.005),
    ],
    ids=["multiplicative", "additive"],
)
def test_steps_spread_from_cycle_to_cycle(device, spread):
    run = eqx.filter_jit(
        lambda key: simulate(device, train(1, 0), key=key, throw=False).final_state
    )
    keys = jax.random.split(jax.random.key(0), 20_000)
    moved = np.asarray(jax.vmap(run)(keys))
    mean = float(simulate(device, train(1, 0)).final_state)
    # Five standard errors of 20 000 draws.
    np.testing.assert_allclose(moved.std(), spread, rtol=0.025)
    assert abs(moved.mean() - mean) < 5 * spread / np.sqrt(20_000)


def test_a_noisy_device_stays_within_its_bounds():
    device = ExpStep(dw_min=0.05)
    drive = pulse_train(jnp.tile(jnp.asarray([1.0, -1.0]), 50), width=1.0)
    states = np.asarray(simulate(device, drive, key=jax.random.key(1)).state)
    assert states.min() >= -1
    assert states.max() <= 1
    assert np.abs(np.diff(states)).max() > 0.1


def test_every_preset_has_a_spread_between_devices():
    kinds = (ConstantStep, LinearStep, SoftBounds, ExpStep)
    presets = {preset: kind for kind in kinds for preset in kind.PRESETS}
    assert presets.keys() == STEP_SPREADS.keys()
    for preset, kind in presets.items():
        batch = sample_devices(kind(preset), STEP_SPREADS[preset], 3, key=jax.random.key(0))
        assert len(set(np.asarray(batch.dw_min))) == 3
