"""Spread between devices."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax.devices import FILM_SPREAD, Spread, sample_devices


@pytest.fixture(scope="module")
def nominal():
    return aj.devices.FourTerminalTiO2(8)


def test_statistics_of_the_draw(nominal):
    spread = Spread(relative={"side": 0.1}, absolute={"activation_energy": 0.02})
    batch = sample_devices(nominal, spread, 20_000, key=jax.random.key(0))
    logs = np.log(batch.side / nominal.side)
    # Standard errors: 0.1 / sqrt(20000) = 7e-4 of the mean, 0.5 % of the deviation; five of each.
    assert abs(logs.mean()) < 3.5e-3
    assert logs.std() == pytest.approx(0.1, rel=0.025)
    assert batch.activation_energy.std() == pytest.approx(0.02, rel=0.025)
    assert np.all(batch.thickness == nominal.thickness)


def test_same_key_same_devices_and_streams_are_independent(nominal):
    key = jax.random.key(1)
    one = sample_devices(nominal, FILM_SPREAD, 5, key=key)
    fewer = sample_devices(nominal, Spread(relative={"side": 0.01}), 5, key=key)
    assert eqx.tree_equal(one, sample_devices(nominal, FILM_SPREAD, 5, key=key))
    # Drawing fewer parameters must not change those that are still drawn.
    np.testing.assert_array_equal(one.side, fewer.side)
    assert not np.allclose(
        one.side, sample_devices(nominal, FILM_SPREAD, 5, key=jax.random.key(2)).side
    )


def test_a_batch_runs_under_vmap(nominal):
    batch = sample_devices(nominal, FILM_SPREAD, 3, key=jax.random.key(0))
    r = eqx.filter_vmap(lambda d: d.read(d.init_state()))(batch)
    one = jax.tree.map(lambda leaf: leaf[1], batch)
    # The batch iterates until its slowest lane has converged: the same to the solver's tolerance.
    np.testing.assert_allclose(r[1], one.read(one.init_state()), rtol=1e-12)


def test_the_spread_is_differentiable(nominal):
    def mean_side(width):
        spread = Spread(relative={"side": width})
        return jnp.mean(jnp.log(sample_devices(nominal, spread, 7, key=jax.random.key(0)).side))

    slope = jax.grad(mean_side)(jnp.asarray(0.1))
    # Exactly linear in the width: the difference is exact to round-off.
    difference = (mean_side(jnp.asarray(0.2)) - mean_side(jnp.asarray(0.1))) / 0.1
    assert float(slope) == pytest.approx(float(difference), rel=1e-9)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda d: Spread(relative={"side": -0.1}), "`side` must be finite and at least 0, but is"),
        (
            lambda d: Spread(relative={"side": 0.1}, absolute={"side": 0.1}),
            "must not name a parameter of `relative`, but names side",
        ),
        (
            lambda d: sample_devices(d, Spread(relative={"sides": 0.1}), 2, key=jax.random.key(0)),
            "did you mean `side`",
        ),
        (
            lambda d: sample_devices(d, FILM_SPREAD, 0, key=jax.random.key(0)),
            "`count` must be at least 1, but is 0",
        ),
    ],
)
def test_wrong_input_gets_one_sentence(nominal, make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(nominal)
