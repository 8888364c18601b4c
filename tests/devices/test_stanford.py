"""The Stanford-PKU model against a transcript of its listing, and its dynamic variation."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from analogjax.constants import BOLTZMANN, ELEMENTARY_CHARGE
from analogjax.devices import StanfordPKU
from analogjax.simulation import EulerMaruyama, Rosenbrock, simulate
from analogjax.stimuli import pulse_train, triangle_sweep

TIGHT = Rosenbrock(1e-11, 1e-11)


def listing(v, gap, gate=True):
    """Current [A], temperature [K] and gap velocity [m/s] as the Verilog-A listing has them."""
    current = 1e-3 * np.exp(-gap / 0.25e-9) * np.sinh(v / 0.25)
    t = 298 + abs(v * current * 2.1e3)
    gamma = 16 - 0.8 * (gap / 1e-9) ** 3
    if gate and gamma * abs(v) / 12e-9 < 1.4e9:
        gamma = 0
    kt = BOLTZMANN * t / ELEMENTARY_CHARGE
    return current, t, -10 * np.exp(-0.6 / kt) * np.sinh(gamma * 0.25 / 12 * v / kt)


@pytest.mark.parametrize("v", [-2.0, -1.5, -1.0, 0.1, 1.0, 1.6])
@pytest.mark.parametrize("gap", [0.2e-9, 0.9e-9, 1.7e-9])
def test_current_temperature_and_velocity_are_those_of_the_listing(v, gap):
    device = StanfordPKU(gap_min=0.1e-9, gap_max=2e-9)
    state = device.init_state(gap)
    current, t, motion = listing(v, gap)
    np.testing.assert_allclose(device.current(v, state), current, rtol=1e-12)
    np.testing.assert_allclose(device.temperature(v, state), t, rtol=1e-12)
    velocity = device.velocity(jnp.asarray(v), state)
    # The exponent of the hop is 23: round-off of a few units of the last digit times that.
    np.testing.assert_allclose(velocity * 1e-9, motion, rtol=1e-11)


def test_pulses_agree_with_scipy():
    device = StanfordPKU(gap_init=1e-9)
    volts, widths = [1.5, -1.4, 1.45], [3e-9, 2e-8, 3e-9]
    result = simulate(device, pulse_train(volts, width=jnp.asarray(widths)), solver=TIGHT)
    gap, expected = 1.0, []
    for v, width in zip(volts, widths, strict=True):
        plateau = solve_ivp(
            lambda t, g, v=v: [listing(v, g[0] * 1e-9)[2] * 1e9], (0, width), [gap],
            method="LSODA", rtol=1e-12, atol=1e-12,
        )  # fmt: skip
        gap = plateau.y[0, -1]
        expected.append(gap)
    # LSODA's global error.
    np.testing.assert_allclose(result.state[1:], expected, rtol=1e-8)


def test_reset_ends_where_the_field_threshold_is():
    # At -1.2 V the enhanced field falls to F_min at gamma = 14, 1.357 nm: 1 % below, with the ramp.
    device = StanfordPKU()
    result = simulate(device, pulse_train([-1.2], width=1.0))
    gap = float(result.final_state)
    assert 2.5 ** (1 / 3) < gap < (2.5 + 0.14 / 0.8) ** (1 / 3)


@pytest.mark.parametrize("rate", [1.0, 1e9])
def test_a_sweep_resets_and_sets_at_any_rate(rate):
    # At 1e9 V/s the gap comes back at the last moment: the default tolerance leaves
    # it 2e-4 nm short.
    result = simulate(StanfordPKU(), triangle_sweep(-2.0, rate, 1), solver=Rosenbrock(1e-8, 1e-8))
    r = np.asarray(result.read_resistance)
    # From the smallest gap to 100 times its resistance and back; it is back exactly.
    assert r.max() > 50 * r[0]
    assert r[-1] == r[0]
    # A sliding gap does not cost thousands of steps.
    assert int(result.stats["steps"]) < 1000


def test_without_a_key_or_without_variation_nothing_is_random():
    drive = pulse_train([-1.4, 1.5], width=1e-8)
    quiet = simulate(StanfordPKU(gap_init=1e-9), drive)
    still = simulate(
        StanfordPKU(gap_init=1e-9, variation=0.0),
        drive,
        key=jax.random.key(0),
        solver=EulerMaruyama(4096),
    )
    # First order in the step: 4096 steps of a motion by 0.05 nm.
    np.testing.assert_allclose(still.final_state, quiet.final_state, atol=1e-5)


@pytest.mark.slow
def test_variation_has_the_variance_of_the_listing_whatever_the_step():
    # At 0.1 V nothing else moves the gap, and T is 298 K: F = 1 / (1 + e^0.304).
    device, width = StanfordPKU(gap_init=0.95e-9), 20e-9
    keys = jax.random.split(jax.random.key(1), 2000)
    expected = 0.02 / (1 + np.exp(152 / 500)) * np.sqrt(1e-9 * width) * 1e9
    for steps in (20, 64):
        run = eqx.filter_jit(
            lambda key, steps=steps: (
                simulate(
                    device,
                    pulse_train([0.1], width=width),
                    key=key,
                    solver=EulerMaruyama(steps),
                    throw=False,
                ).final_state
            )
        )
        moved = np.asarray(jax.vmap(run)(keys)) - 0.95
        # A deviation of 2000 draws is known to 1.6 %: four of these.
        np.testing.assert_allclose(moved.std(), expected, rtol=0.064)
        assert abs(moved.mean()) < 4 * expected / np.sqrt(2000)
    # 20 steps of 1 ns are the listing itself.
    rng = np.random.default_rng(0)
    jumps = 0.02 / (1 + np.exp(152 / 500)) * rng.standard_normal((4000, 20)) * 1e-9
    np.testing.assert_allclose(jumps.sum(1).std() * 1e9, expected, rtol=0.045)


def test_variation_stays_within_the_bounds_and_belongs_to_the_key():
    device = StanfordPKU()
    drive = pulse_train(jnp.full(20, 0.1), width=1e-6)
    one, same, other = (simulate(device, drive, key=jax.random.key(n)) for n in (3, 3, 4))
    states = np.asarray(one.state)
    assert states.min() >= 0.2 - 1e-12
    assert states.max() <= 1.7 + 1e-12
    np.testing.assert_array_equal(one.state, same.state)
    assert not np.allclose(one.state, other.state)


def test_what_is_out_of_range_is_named():
    with pytest.raises(ValueError, match="`gap_max` must be larger than `gap_min`"):
        StanfordPKU(gap_max=1e-10)
    with pytest.raises(ValueError, match="did you mean `gap_init`"):
        StanfordPKU(gap_ini=1e-10)
