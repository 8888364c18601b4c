"""Writing of filaments: against `simulate`, plans written back, every derivative, failures."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import truncnorm

import analogjax as aj
from analogjax.devices import JartVCM, Spread
from analogjax.programming import FilamentWriting
from analogjax.simulation import Rosenbrock


@pytest.fixture(scope="module")
def writing():
    return FilamentWriting(trained=("amplitude", "width"))


write = eqx.filter_jit(lambda writing, drives, drawn: writing.write(drives, drawn))


def lanes(writing, count=6):
    drawn = writing.draw(jax.random.key(1), (count,))
    drives = {
        "amplitude": jnp.linspace(0.85, 1.55, count),
        "log_width": jnp.linspace(-0.5, 0.5, count),
    }
    return drives, drawn


def test_written_states_are_those_of_simulate(writing):
    drives, drawn = lanes(writing)

    def simulated(amplitude, log_width, drawn):
        device = writing.device
        device = device.replace(**{k: getattr(device, k) + v for k, v in drawn.items()})
        drive = aj.stimuli.pulse_train(
            amplitude[None], width=writing.width * jnp.exp(log_width), gap=0.0
        )
        result = aj.simulate(
            device,
            drive,
            state=jnp.log(writing.begin),
            solver=Rosenbrock(1e-9, 1e-9),
            throw=False,
        )
        return device.conductance(result.final_state)

    g = eqx.filter_jit(jax.vmap(simulated))(drives["amplitude"], drives["log_width"], drawn)
    low, high = writing.window
    # The tables: polynomials of degree 4 in radius and disc length, 5 in the bound; 1.8e-4 was the
    # largest of 64 other devices.
    np.testing.assert_allclose(
        write(writing, drives, drawn).fractions, (g - low) / (high - low), atol=2e-4
    )


def test_plan_is_the_inverse_of_write(writing):
    fractions = jnp.linspace(0.0, 1.0, 12).reshape(2, 2, 3).astype(jnp.float32)
    drives = writing.plan(fractions)
    assert drives["amplitude"].shape == (2, 2, 3)
    written = writing.write(drives, None)
    # Round-off of the false position.
    np.testing.assert_allclose(written.fractions, fractions, atol=1e-9)
    assert bool(jnp.all(written.ok))


def test_every_derivative():
    # Of a loss by every drive and every parameter of the device, against central differences; the
    # derivative is exact at any accuracy of the tables, and coarse ones are made quickly.
    writing = FilamentWriting(trained=("amplitude", "width"), degrees=(3, 1, 1, 1))
    drives, drawn = lanes(writing, 3)
    names = [n for n in JartVCM.PARAMETERS if n != "n_init"]
    weights = jnp.asarray([0.3, -1.1, 0.7])

    @jax.jit
    def loss(drives, relative):
        changed = writing.changed(relative)
        return jnp.sum(jnp.sin(3 * weights * changed.write(drives, drawn).fractions))

    at = {name: jnp.asarray(0.0) for name in (*names, "width")}
    by_drive, by_name = jax.jit(jax.grad(loss, argnums=(0, 1)))(drives, at)
    for key, values in by_drive.items():
        for k, slope in enumerate(values):
            up, down = (loss({**drives, key: drives[key].at[k].add(s * 1e-5)}, at) for s in (1, -1))
            assert (up - down) / 2e-5 == pytest.approx(float(slope), rel=1e-5)
    checked = {}
    for name, slope in by_name.items():

        def difference(h, name=name):
            up, down = (loss(drives, {**at, name: jnp.asarray(s * h)}) for s in (1, -1))
            return (up - down) / (2 * h)

        # Extrapolated: the loss is far from straight in barriers.
        found = (4 * difference(5e-5) - difference(1e-4)) / 3
        checked[name] = (float(found), float(slope))
    for name, (found, slope) in checked.items():
        # Parameters of the line hardly matter: their differences end in round-off.
        assert found == pytest.approx(slope, rel=1e-5, abs=1e-8), name


def test_failures_are_masked_and_counted(writing):
    drives, drawn = lanes(writing, 4)
    amplitude = jnp.asarray([1.2, 2.5, jnp.nan, -0.5])
    drives = {"amplitude": amplitude, "log_width": jnp.zeros(4)}
    written = write(writing, drives, drawn)
    assert written.ok.tolist() == [True, False, False, False]
    still = {"amplitude": jnp.full(4, 1e-3), "log_width": jnp.zeros(4)}
    begun = write(writing, still, drawn).fractions
    # At the smallest amplitude of the tables a little moves.
    np.testing.assert_allclose(written.fractions[1:], begun[1:], atol=5e-3)
    slope = jax.jit(jax.grad(lambda d: jnp.sum(writing.write(d, drawn).fractions)))(drives)
    assert np.isfinite(slope["amplitude"]).all()
    np.testing.assert_array_equal(slope["amplitude"][1:], 0.0)


def test_a_limited_source_gives_no_more_and_loses_no_device():
    writing = FilamentWriting(limit=1.7, degrees=(3, 1, 1, 1))
    amplitude = jnp.asarray([1.7, 2.5, 0.0, -0.5, jnp.nan])
    written = write(writing, {"amplitude": amplitude}, None)
    assert written.ok.tolist() == [True, True, True, True, False]
    np.testing.assert_array_equal(written.fractions[0], written.fractions[1])
    np.testing.assert_array_equal(written.fractions[2], written.fractions[3])


def test_compiled_is_the_same(writing):
    drives, drawn = lanes(writing, 3)
    eager = writing.write(drives, drawn).fractions
    # Sums in another order.
    np.testing.assert_allclose(write(writing, drives, drawn).fractions, eager, atol=1e-11)


def test_devices_are_drawn_within_their_bounds(writing):
    drawn = writing.draw(jax.random.key(0), (2000,))
    for name, (low, high) in writing.spread.bounds.items():
        nominal = float(getattr(writing.device, name))
        values = np.asarray(nominal + drawn[name])
        assert values.min() >= low
        assert values.max() <= high
        std = float(writing.spread.absolute[name])
        normal = truncnorm((low - nominal) / std, (high - nominal) / std, nominal, std)
        # 2,000 devices: a standard error of 1.6 % of the standard deviation, and of 2.2 % in mean.
        assert values.std() == pytest.approx(normal.std(), rel=0.06)
        assert values.mean() == pytest.approx(normal.mean(), abs=0.09 * normal.std())


def test_wrong_arguments(writing):
    with pytest.raises(ValueError, match="`amplitudes` must ascend"):
        FilamentWriting(amplitudes=(1.6, 0.8))
    with pytest.raises(ValueError, match="`highest` must be"):
        FilamentWriting(highest=1.0)
    with pytest.raises(ValueError, match=r"`limit` must be between 1\.6 and 2 V"):
        FilamentWriting(limit=2.5)
    with pytest.raises(ValueError, match="`spread`"):
        FilamentWriting(spread=Spread(relative={"radius": 0.1}))
    with pytest.raises(ValueError, match="`trained` must hold 'amplitude'"):
        FilamentWriting(trained=("width",))
    with pytest.raises(ValueError, match="no compliance"):
        FilamentWriting(JartVCM(compliance=1e-4))
    with pytest.raises(ValueError, match="`design` must name quantities"):
        writing.changed({"colour": 0.0})
