"""The solver of stochastic devices: orders and moments against closed forms, reflection, keys."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.devices import AbstractCompactDevice, parameter
from analogjax.simulation import EulerMaruyama, ForwardMode, Rosenbrock, simulate
from analogjax.stimuli import pulse_train


class Walker(AbstractCompactDevice):
    """``dx = (drift v + growth x - pull x) dt + (noise + volatility x) dW``, held above `floor`."""

    drift: jax.Array = parameter(0.0, "1/s", "drift per volt", "test", low=-1e3, high=1e3)
    growth: jax.Array = parameter(0.0, "1/s", "growth", "test", zero=True)
    pull: jax.Array = parameter(0.0, "1/s", "pull to 0", "test", zero=True)
    noise: jax.Array = parameter(0.0, "1/s^(1/2)", "additive noise", "test", zero=True)
    volatility: jax.Array = parameter(0.0, "1/s^(1/2)", "relative noise", "test", zero=True)
    floor: jax.Array = parameter(-1e6, "-", "smallest state", "test", low=-1e6, high=1e6)
    read_voltage: jax.Array = parameter(0.1, "V", "read", "test")

    def init_state(self):
        return jnp.ones(())

    def current(self, v, state):
        return jnp.asarray(v) * (1 + state**2)

    def velocity(self, v, state):
        return self.drift * v + (self.growth - self.pull) * state

    def bounds(self):
        return self.floor, 1e6

    @property
    def stochastic(self):
        return True

    def diffusion(self, v, state, fields, workspace, path):
        return self.noise + self.volatility * state


@eqx.filter_jit
def ends(device, keys, steps, seconds=1.0, start=1.0):
    drive = pulse_train([1.0], width=seconds)
    solver = EulerMaruyama(steps)

    def one(key):
        return simulate(
            device, drive, jnp.asarray(start), key=key, solver=solver, throw=False
        ).final_state

    return jax.vmap(one)(keys)


@eqx.filter_jit
def paths(keys):
    """The Wiener process at the end, which pure noise is equal to."""
    return ends(Walker(noise=1.0), keys, 1, start=0.0)


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def test_the_path_belongs_to_the_key_not_to_the_steps():
    one, many = paths(keys(8)), ends(Walker(noise=1.0), keys(8), 64, start=0.0)
    # 64 increments of one path add up to its end.
    np.testing.assert_allclose(many, one, atol=1e-13)
    assert len(set(np.asarray(one))) == 8


PATHS = 5000
STEPS = np.array([8, 32, 128])


@pytest.fixture(scope="module")
def geometric():
    """Ends of dx = 0.5 x dt + 0.6 x dW by step count, and the exact ones on the same paths."""
    device, own = Walker(growth=0.5, volatility=0.6), keys(PATHS)
    exact = np.exp(0.5 - 0.18 + 0.6 * np.asarray(paths(own)))
    return {int(n): np.asarray(ends(device, own, int(n))) for n in STEPS}, exact


def test_strong_order_is_one_half(geometric):
    found, exact = geometric
    errors = [np.abs(found[int(n)] - exact).mean() for n in STEPS]
    # Errors of 5000 paths are known to 2 %: the slope over a factor of 16 to 0.01.
    assert -np.polyfit(np.log(STEPS), np.log(errors), 1)[0] == pytest.approx(0.5, abs=0.07)


def test_the_mean_converges_with_order_one_to_that_of_ito(geometric):
    found, exact = geometric
    # E x = e^0.5 for Ito (Stratonovich would give e^0.68). The difference to the exact ends of the
    # same paths has little noise; the mean of the scheme is (1 + h/2)^n.
    for n in STEPS:
        bias = (1 + 0.5 / n) ** n - np.exp(0.5)
        noise = (found[int(n)] - exact).std() / np.sqrt(PATHS)
        assert abs((found[int(n)] - exact).mean() - bias) < 5 * noise
    errors = [abs((1 + 0.5 / n) ** n - np.exp(0.5)) for n in STEPS]
    assert -np.polyfit(np.log(STEPS), np.log(errors), 1)[0] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("steps", [32, 128])
def test_an_ornstein_uhlenbeck_process_has_its_mean_and_variance(steps):
    device = Walker(pull=3.0, noise=0.5)
    x = np.asarray(ends(device, keys(PATHS, 1), steps))
    variance = 0.25 / 6 * (1 - np.exp(-6.0))
    # Four standard errors, and a step's share of the pull (3 / steps).
    assert x.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / PATHS) + 3 / steps)
    np.testing.assert_allclose(
        x.mean(), np.exp(-3.0), atol=4 * np.sqrt(variance / PATHS) + 0.5 / steps
    )


def test_a_stiff_pull_is_damped_not_overshot():
    x = np.asarray(ends(Walker(pull=1e5, noise=0.5), keys(PATHS), 32))
    assert np.abs(x).max() < 0.01


def test_a_bound_reflects():
    # Brownian motion above 0 from 0 is |W|, of mean sqrt(2 / pi). In steps it is the maximum of a
    # random walk, 0.5826 sqrt(h) less (Asmussen, Glynn, Pitman, Ann. Appl. Probab. 5, 875, 1995).
    x = np.asarray(ends(Walker(noise=1.0, floor=0.0), keys(PATHS, 2), 128, start=0.0))
    assert x.min() >= 0
    # Four standard errors.
    np.testing.assert_allclose(
        x.mean(), np.sqrt(2 / np.pi) - 0.5826 / np.sqrt(128), atol=4 * 0.6 / np.sqrt(PATHS)
    )
    assert np.mean(x == 0) < 0.1


def test_without_a_key_it_is_the_deterministic_solver():
    device = Walker(pull=2.0, noise=0.5)
    drive = pulse_train([1.0, 1.0], width=0.3)
    ours, theirs = simulate(device, drive), simulate(device, drive, solver=Rosenbrock())
    assert device.default_solver == "sde"
    np.testing.assert_array_equal(ours.state, theirs.state)
    np.testing.assert_allclose(ours.final_state, np.exp(-1.2), rtol=1e-5)


def test_same_key_same_result_and_pulses_are_independent():
    device = Walker(noise=1.0)
    drive = pulse_train(jnp.ones(400), width=1.0)
    one = np.asarray(simulate(device, drive, key=jax.random.key(0), solver=EulerMaruyama(4)).state)
    two = np.asarray(simulate(device, drive, key=jax.random.key(0), solver=EulerMaruyama(4)).state)
    np.testing.assert_array_equal(one, two)
    moves = np.diff(one)
    # Variance and correlation of 400 moves: four standard errors.
    assert moves.var() == pytest.approx(1.0, rel=4 * np.sqrt(2 / 400))
    assert abs(np.corrcoef(moves[1:], moves[:-1])[0, 1]) < 4 / np.sqrt(400)


@pytest.mark.parametrize("adjoint", [None, ForwardMode()], ids=["reverse", "forward"])
def test_gradients_along_a_path(adjoint):
    def end(noise):
        device = Walker(pull=1.0, volatility=0.3).replace(noise=noise)
        return simulate(
            device, pulse_train([1.0], width=0.5), key=jax.random.key(0), adjoint=adjoint,
            solver=EulerMaruyama(32), throw=False,
        ).final_state  # fmt: skip

    at, step = jnp.asarray(0.4), 1e-5
    slope = jax.jit(jax.grad(end) if adjoint is None else jax.jacfwd(end))(at)
    # x is linear in the additive noise: the difference is exact to round-off.
    difference = (end(at + step) - end(at - step)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-8)


def test_wrong_step_counts_are_named():
    with pytest.raises(ValueError, match="`steps` must be a whole number of at least 1, but is 0"):
        EulerMaruyama(0)
