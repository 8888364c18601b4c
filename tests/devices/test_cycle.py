"""Variation from cycle to cycle: what is drawn when, and the rule that follows the state."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import analogjax as aj
from analogjax.devices import JART_SPREAD, CycleToCycle, JartVCM, Spread, sample_devices

FOLLOW = ("radius", "disc_length")


@pytest.fixture(scope="module")
def filament():
    return CycleToCycle(JartVCM(), JART_SPREAD, follow=FOLLOW)


@pytest.fixture(scope="module")
def cycles(filament):
    """Three SET pulses, three RESET pulses, twice, with two keys and without one."""
    amplitudes = [*[-0.5, -0.55, -0.7], *[0.85, 0.95, 1.2]] * 2
    drive = aj.stimuli.pulse_train(amplitudes, width=[*[2e-2] * 3, *[5e-3] * 3] * 2)
    run = eqx.filter_jit(lambda key: aj.simulate(filament, drive, key=key, throw=False))
    keys = jax.random.key(0), jax.random.key(1)
    return [run(key) for key in keys], aj.simulate(filament, drive), drive


def test_without_a_key_it_is_the_device(filament, cycles):
    _, quiet, drive = cycles
    plain = aj.simulate(filament.device, drive)
    # Seven numbers are stepped instead of one, of which one moves: other steps, the same answer
    # within the tolerance of 1e-6, magnified where the filament runs away.
    np.testing.assert_allclose(quiet.read_resistance, plain.read_resistance, rtol=2e-4)


def test_parameters_are_drawn_when_the_polarity_changes(cycles):
    (one, other), _, _ = cycles
    assert bool(one.ok)
    assert bool(other.ok)
    new = np.asarray(one.state.new)
    for half in range(4):
        rows = new[1 + 3 * half : 4 + 3 * half]
        assert np.all(rows == rows[0])  # drawn once a half cycle
        assert np.all(rows[0] != new[3 * half])  # and anew for each
    assert np.all(np.asarray(other.state.new)[1:] != new[1:])
    for column, name in enumerate(JART_SPREAD.names):
        low, high = JART_SPREAD.bounds[name]
        assert np.all((new[1:, column] >= low) & (new[1:, column] <= high))


def test_radius_and_length_move_with_the_state(filament, cycles):
    (one, _), _, _ = cycles
    for k in range(1, 13):
        state = jax.tree.map(lambda leaf, k=k: leaf[k], one.state)
        here = filament.now(state)
        n, begun = np.exp(float(state.inner)), np.exp(float(state.begun))
        n_min, n_max = (float(state.new[JART_SPREAD.names.index(m)]) for m in ("n_min", "n_max"))
        share = (n - begun) / (n_max - begun) if n > begun else (begun - n) / (begun - n_min)
        share = min(max(share, 0.0), 1.0)
        for name in FOLLOW:
            old, new = (float(x[JART_SPREAD.names.index(name)]) for x in (state.old, state.new))
            expected = old + (new - old) * share
            assert float(getattr(here, name)) == pytest.approx(expected, rel=1e-12)
        assert float(here.n_max) == n_max  # jumps


def test_parameters_do_not_jump_where_the_polarity_changes(filament, cycles):
    (one, _), _, _ = cycles
    before = jax.tree.map(lambda leaf: leaf[3], one.state)
    turned = filament.begin(jnp.asarray(0.9), before, key=jax.random.key(5))
    for name in FOLLOW:
        was, now = (float(getattr(filament.now(s), name)) for s in (before, turned))
        assert now == pytest.approx(was, rel=1e-12)
    again = filament.begin(jnp.asarray(0.7), turned, key=jax.random.key(6))
    assert np.array_equal(np.asarray(again.new), np.asarray(turned.new))


def test_cut_off_distributions_are_what_scipy_says():
    devices = sample_devices(JartVCM(), JART_SPREAD, 20000, key=jax.random.key(2))
    for name, spread in JART_SPREAD.absolute.items():
        low, high = JART_SPREAD.bounds[name]
        mean = JartVCM.PARAMETERS[name].default
        law = stats.truncnorm((low - mean) / spread, (high - mean) / spread, mean, spread)
        # One test in a thousand fails by chance; the seed is fixed.
        assert stats.kstest(np.asarray(getattr(devices, name)), law.cdf).pvalue > 1e-3


def test_any_compact_device_takes_it(toy_device):
    device = aj.devices.VTEAM()
    varied = CycleToCycle(device, Spread(relative={"k_on": 0.2}))
    width = 0.3e-9 / 10 * 1e-3
    drive = aj.stimuli.pulse_train([-0.5, 0.5], width=width)
    keys = jax.random.split(jax.random.key(0), 16)
    finals = jax.jit(
        jax.vmap(lambda key: aj.simulate(varied, drive, key=key, throw=False).read_resistance[1])
    )(keys)
    assert np.unique(np.asarray(finals)).size == 16


def test_wrong_arguments_get_one_sentence():
    with pytest.raises(ValueError, match=r"`radus` must be a parameter of JartVCM"):
        CycleToCycle(JartVCM(), Spread(relative={"radus": 0.1}))
    with pytest.raises(ValueError, match="`follow` must name parameters of the spread"):
        CycleToCycle(JartVCM(), Spread(relative={"radius": 0.1}), follow=("n_max",))
    with pytest.raises(ValueError, match="`bounds` must ascend"):
        Spread(relative={"radius": 0.1}, bounds={"radius": (2.0, 1.0)})
    with pytest.raises(ValueError, match="`bounds` must name parameters that have a spread"):
        Spread(bounds={"radius": (1.0, 2.0)})
