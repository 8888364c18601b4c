"""Filaments that differ, and the loss of what is written into them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax.programming import IdenticalPulses
from analogjax.training import balanced_normals, written_kinds

NAMES = ("radius", "disc_length", "v_set", "v_reset", "width")


def test_draws_are_normal_and_lean_no_way():
    z = np.stack(list(balanced_normals(NAMES, 512, key=jax.random.key(0)).values()))
    np.testing.assert_allclose(z.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(z @ z.T / 512, np.eye(5), atol=1e-12)
    # No third-order bias either: one does not lean with the square of another.
    np.testing.assert_allclose((z**2) @ z.T / 512, 0, atol=1e-12)
    # 16 quantiles of a half normal distribution, its kurtosis of 3 less the missing tail.
    assert 2.3 < np.mean(z[0] ** 4) < 3.0
    again = balanced_normals(NAMES, 512, key=jax.random.key(0))
    np.testing.assert_array_equal(again["radius"], z[0])


@pytest.mark.parametrize(
    ("names", "count", "message"),
    [
        (NAMES, 40, "Argument `count` must be a multiple of 32, but is 40"),
        (tuple("n" * (i + 1) for i in range(32)), 32, "Argument `names` must be at most 31"),
    ],
)
def test_wrong_draws_are_told(names, count, message):
    with pytest.raises(ValueError, match=message):
        balanced_normals(names, count, key=jax.random.key(0))


def test_kinds_are_written_as_their_voltages_and_widths_say():
    """VTEAM without a window is linear in time, so that every kind has a closed form."""
    pulses = IdenticalPulses(bits=4)
    device = aj.devices.VTEAM(
        r_on=1 / 600e-6, r_off=1 / 90e-6, k_on=-1e-6, k_off=1e-9, alpha_off=1.0, v_off=0.5
    )
    plans = {"set": np.arange(16.0) * 40, "reset": np.arange(16.0)[::-1] * 40}
    relative = {
        "v_set": jnp.asarray([0.0, 0.1, 0.0]),
        "width": jnp.asarray([0.0, 0.0, 0.5]),
        "r_on": jnp.asarray([0.0, 0.0, 0.0]),
    }
    found = written_kinds(device, pulses, plans, relative, 0.01, points=201)
    assert found.shape == (2, 3, 16)
    r_on, r_off = 1 / 600e-6, 1 / 90e-6
    for kind in range(3):
        v = (pulses.v_set - 0.01) * (1 + float(relative["v_set"][kind]))
        time = plans["set"] * pulses.width * (1 + float(relative["width"][kind]))
        speed = 1e-6 / 3e-9 * (v / -0.2 - 1) ** 3
        r = np.maximum(1 / pulses.g_min - (r_off - r_on) * speed * time, r_on)
        # The trace ends 1e-4 of its length before the bound.
        np.testing.assert_allclose(found[0, kind], pulses.fraction(1 / r), rtol=1e-3, atol=1e-6)
