import jax
import numpy as np
import pytest

import analogjax as aj
from analogjax.programming import plan_counts, write_counted

PULSE = dict(v=1.0, width=1e-6)


@pytest.fixture(scope="module")
def device():
    # 100 equal steps from the first to the last conductance.
    return aj.devices.ConstantStep(dw_min=0.02, c2c=0.3, w_0=-1.0)


@pytest.fixture(scope="module")
def plan(device):
    return plan_counts(device, 11, pulses=100, **PULSE)


def test_equal_steps_are_counted_exactly(device, plan):
    # Levels equally spaced in conductance, and so are the steps.
    np.testing.assert_array_equal(plan.counts, np.arange(0, 101, 10))
    np.testing.assert_allclose(1 / plan.target, np.linspace(1e-6, 25e-6, 11), rtol=1e-12)
    table = write_counted(plan, device, 3)
    # The same steps added up in another order.
    np.testing.assert_allclose(table.errors, 0.0, atol=1e-12)
    np.testing.assert_array_equal(table.pulses[1], plan.counts)
    assert table.failed == table.missed == 0


def test_a_device_that_moves_further_misses_in_proportion(device, plan):
    # Two per cent more a step; the last level lies beyond the bound.
    table = write_counted(plan, device.replace(dw_min=0.0204), 1)
    share = np.linspace(0, 1, 11)
    np.testing.assert_allclose(table.errors[0, :-1], 0.02 * share[:-1], atol=1e-12)
    assert abs(table.errors[0, -1]) < 1e-12


def test_writes_differ_as_a_sum_of_steps_does(device, plan):
    table = write_counted(plan, device, 400, key=jax.random.key(0))
    # n independent steps of 1 % of the window with 30 % of chance each.
    expected = 0.01 * 0.3 * np.sqrt(plan.counts)
    inner = slice(1, -1)  # the bounds cut the last one off
    # A standard deviation of 400 is known to 3.5 %; nine of them within 4 of those.
    np.testing.assert_allclose(table.errors.std(axis=0)[inner], expected[inner], rtol=0.14)
    again = write_counted(plan, device, 400, key=jax.random.key(0))
    np.testing.assert_array_equal(again.achieved, table.achieved)


def test_a_batch_of_devices_is_written_once_each(device, plan):
    spread = aj.devices.Spread(relative={"dw_min": 0.05})
    batch = aj.devices.sample_devices(device, spread, 4, key=jax.random.key(1))
    table = write_counted(plan, batch, 4)
    for k in range(4):
        one = jax.tree.map(lambda x, k=k: x[k], batch)
        # vmap and a loop add in the same order.
        np.testing.assert_allclose(
            table.achieved[k], write_counted(plan, one, 1).achieved[0], rtol=1e-12
        )


def test_every_write_starts_at_the_same_conductance(device):
    plan = plan_counts(device, 5, pulses=50, start=5e-6, **PULSE)
    assert float(1 / plan.window.r_high) == pytest.approx(5e-6, rel=1e-9)  # bisection
    table = write_counted(plan, device.replace(w_0=0.3), 1)
    np.testing.assert_allclose(table.errors, 0.0, atol=0.01)  # half a pulse of 50


def test_wrong_plans_are_refused(device, plan):
    with pytest.raises(ValueError, match="`pulses` must be at least 63 for 64 levels, but is 10"):
        plan_counts(device, 64, pulses=10, **PULSE)
    with pytest.raises(ValueError, match="`v` must lower the resistance"):
        plan_counts(device, 4, pulses=10, v=-1.0, width=1e-6)
    spread = aj.devices.Spread(relative={"dw_min": 0.05})
    batch = aj.devices.sample_devices(device, spread, 2, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`devices` must be one device or a batch of 3"):
        write_counted(plan, batch, 3)
