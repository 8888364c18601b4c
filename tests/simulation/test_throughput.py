"""Throughput: what is counted, and what a batch costs."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import simulate
from analogjax.devices import NbSrTiO3
from analogjax.simulation import throughput
from analogjax.stimuli import pulse_train


def test_throughput():
    device, drive = NbSrTiO3(), pulse_train([1.0, -1.0, 1.0], width=0.1)
    states = jnp.asarray([0.1, 0.5])
    found = throughput(device, drive, states, rounds=1)
    assert found.pulses == 3
    assert found.rate == pytest.approx(6 / found.seconds)
    assert np.all(np.asarray(found.ok))
    # A lane takes the steps that it takes alone.
    alone = [int(simulate(device, drive, x).stats["steps"]) for x in states]
    np.testing.assert_array_equal(found.steps, alone)
    with pytest.raises(ValueError, match="`rounds` must be a whole number of at least 1"):
        throughput(device, drive, states, rounds=0)
