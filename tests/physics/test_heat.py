"""Heat: what flows into the sink is what was put in."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from analogjax.physics.heat import temperature_rise

SPACING, THICKNESS, KAPPA, SINK = (jnp.asarray(x) for x in (10e-6 / 24, 100e-9, 3.0, 1e6))


def rise(power):
    return temperature_rise(
        jnp.asarray(power), spacing=SPACING, thickness=THICKNESS, conductivity=KAPPA, sink=SINK
    )


def test_sink_takes_all_the_power():
    power = np.random.default_rng(0).exponential(1e-7, size=(24, 24))
    into_sink = (SINK * SPACING**2 * rise(power)).sum()
    np.testing.assert_allclose(into_sink, power.sum(), rtol=1e-12)


def test_uniform_power_gives_the_uniform_rise_of_the_sink():
    power = 2e-7
    np.testing.assert_allclose(
        rise(np.full((24, 24), power)), power / (SINK * SPACING**2), rtol=1e-12
    )


def test_heat_spreads_over_the_healing_length():
    # A line source: T falls by the factor q a cell, q + 1/q = 2 + g dx^2 / (kappa h), which is
    # exp(-x / lambda) with lambda = sqrt(kappa h / g) = 0.55 um on a finer grid.
    power = np.zeros((24, 24))
    power[0] = 1e-7
    profile = rise(power)[:, 0]
    ratio = profile[6] / profile[5]
    s = 2 + SINK * SPACING**2 / (KAPPA * THICKNESS)
    q = (s - np.sqrt(s**2 - 4)) / 2
    # The reflection at the far end, q^(2*18), is below 1e-9.
    np.testing.assert_allclose(ratio, q, rtol=1e-8)


def test_maximum_lies_in_the_heated_cell():
    power = np.zeros((24, 24))
    power[7, 3] = 1e-6
    found = rise(power)
    assert np.unravel_index(np.argmax(found), found.shape) == (7, 3)
    assert found.min() > 0
