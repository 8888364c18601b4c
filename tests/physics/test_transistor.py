"""The transistor in series with a cell: limits, circuit equation, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.physics.transistor import SeriesTransistor

GATE = SeriesTransistor(4e-4, 0.5, 1.3, 0.05)


def test_current_in_its_limits():
    simple = SeriesTransistor(4e-4, 0.5, 1.3)
    saturated = simple.current(jnp.array(2.5), jnp.array(0.0), jnp.array(3.0))
    # 2 V of overdrive: thermal corrections of exp(-2 / 0.067).
    assert float(saturated) == pytest.approx(4e-4 / 2.6 * 2.0**2, rel=1e-9)
    small = simple.current(jnp.array(2.5), jnp.array(0.0), jnp.array(1e-3))
    # beta (V_G - V_T) V_D, less n V_D / 2 of the overdrive.
    assert float(small) == pytest.approx(4e-4 * 2.0 * 1e-3, rel=1e-3)
    low = [float(simple.current(jnp.array(g), jnp.array(0.0), jnp.array(1.0))) for g in (0.1, 0.2)]
    # Below the threshold exp(V_G / (n U)), U = 25.85 mV at 300 K; 0.1 V away from it.
    assert np.log(low[1] / low[0]) == pytest.approx(0.1 / (1.3 * 0.025852), rel=0.01)
    turned = simple.current(jnp.array(1.0), jnp.array(0.4), jnp.array(0.1))
    assert float(turned) == -float(simple.current(jnp.array(1.0), jnp.array(0.1), jnp.array(0.4)))


@pytest.mark.parametrize("follower", [False, True])
def test_the_cell_carries_the_current_of_the_transistor(follower):
    v, gate, r = (
        jnp.asarray(x.ravel())
        for x in np.meshgrid([0.0, 0.5, 1.5, 3.0], [0.3, 0.7, 3.4], [6e3, 1e5], indexing="ij")
    )
    cell = GATE.cell_voltage(v, gate, r, follower=follower)
    source, drain = (cell, v) if follower else (jnp.zeros_like(v), v - cell)
    current = GATE.current(gate, source, drain)
    # To the last halving of the share, which is multiplied by the circuit's own slope.
    np.testing.assert_allclose(cell, current * r, rtol=1e-9, atol=1e-12)
    assert (cell >= 0).all()
    assert (cell <= v).all()


@pytest.mark.parametrize("follower", [False, True])
def test_first_and_second_derivatives_against_differences(follower):
    @jax.jit
    def cell(x):
        beta, threshold, v, r = x
        t = SeriesTransistor(4e-4 * beta, threshold, 1.3, 0.05)
        return t.cell_voltage(v, jnp.asarray(1.1), 1e4 * r, follower=follower)

    x = jnp.array([1.0, 0.5, 1.4, 0.9])
    slopes = jax.jit(jax.jacfwd(cell))
    curves = jax.jit(jax.jacfwd(jax.grad(cell)))(x)
    h = 1e-5
    for k in range(4):
        step = jnp.zeros(4).at[k].set(h)
        rise = (cell(x + step) - cell(x - step)) / (2 * h)
        # Round-off of 1e-16 over the step, and the third derivative times its square.
        assert float(slopes(x)[k]) == pytest.approx(float(rise), rel=1e-6, abs=1e-8)
        bend = (slopes(x + step) - slopes(x - step)) / (2 * h)
        np.testing.assert_allclose(curves[k], bend, rtol=1e-5, atol=1e-7)
