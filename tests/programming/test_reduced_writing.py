"""Writing through the reduced model: against its integration, in closed form, every derivative.

The reduced device is made by hand (`reduced_device`).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import analogjax as aj
from analogjax.crossbar import DeviceStatistics, Hardware, WeightMapping, WrittenError
from analogjax.networks import MLP, convert_to_analog
from analogjax.programming import ReducedWriting
from analogjax.programming.flow_map import Grid
from analogjax.training import Physical

GRID = Grid((30.0, 6.0), (61, 13))
MAPPING = WeightMapping("differential", "layer", "max", space="G")


@pytest.fixture(scope="module")
def device(reduced_device):
    return reduced_device


def writing_of(device, **options):
    options = {"speed_spread": 0.1, "resistance_spread": 0.01, "grid": GRID} | options
    return ReducedWriting(device, full=12.0, dtype=jnp.float64, **options)


@pytest.fixture(scope="module")
def writing(device):
    return writing_of(device)


@eqx.filter_jit
def written(writing, drives, drawn, t=0.0):
    return writing.write(drives, drawn, t=t)


def drives_of(writing, first, second):
    made = {"set": jnp.asarray(first), "reset": jnp.asarray(second)}
    return {name: jax.vmap(writing._drive)(x) for name, x in made.items()}


def fraction(writing, g):
    return (np.asarray(g) - float(writing.g_min)) / float(writing.g_max - writing.g_min)


FIRST, SECOND = [0.3, 3.0, 8.2, 11.9, 14.1], [0.002, 1.3, 4.4, 0.7, 3.1]


def test_written_states_against_simulate(device, writing):
    # The same trains as 200 pulses each, one Runge-Kutta step a pulse: steps of at most 0.07 s.
    speeds = np.exp(0.1 * np.array([-1.0, 0.5, 1.2, -0.3, 2.0]))
    zeros = jnp.zeros(5)
    drawn = jax.tree.map(lambda x: zeros, writing.draw(jax.random.key(0), (5,)))
    drawn = eqx.tree_at(lambda d: d.speed, drawn, jnp.log(speeds) / 0.1)
    found = written(writing, drives_of(writing, FIRST, SECOND), drawn)
    assert bool(found.ok.all())

    @jax.jit
    def reference(speed, first, second):
        v = jnp.repeat(jnp.asarray([5.0, -5.0]), 200)
        width = jnp.repeat(jnp.stack([first, second]) / 200, 200)
        own = device.replace(speed=speed)
        return aj.simulate(own, aj.stimuli.pulse_train(v, width=width, gap=0.0), throw=False)

    results = [reference(*x) for x in zip(speeds, FIRST, SECOND, strict=True)]
    g = [1 / float(r.read_resistance[-1]) for r in results]
    # Bicubic over cells of half a second: the fourth derivative of a flow of time constants of
    # seconds leaves 1e-6 of the window.
    np.testing.assert_allclose(found.fractions, fraction(writing, g), atol=5e-6)


def test_rest_is_that_of_the_device(device, writing):
    year = 3.15e7
    drives = drives_of(writing, FIRST, SECOND)
    speeds = jnp.asarray([-1.0, 0.0, 1.0, 2.0, 0.5])
    drawn = jax.tree.map(jnp.zeros_like, writing.draw(jax.random.key(0), (5,)))
    drawn = eqx.tree_at(lambda d: d.speed, drawn, speeds)

    @jax.jit
    def reference(speed, first, second):
        own = device.replace(speed=speed)
        v = jnp.repeat(jnp.asarray([5.0, -5.0]), 200)
        width = jnp.repeat(jnp.stack([first, second]) / 200, 200)
        drive = aj.stimuli.pulse_train(v, width=width, gap=0.0)
        return 1 / own.read(own.rest(aj.simulate(own, drive, throw=False).final_state, year))

    rested = written(writing, drives, drawn, jnp.asarray(year)).fractions
    expected = [reference(*x) for x in zip(np.exp(0.1 * speeds), FIRST, SECOND, strict=True)]
    at_once = written(writing, drives, drawn).fractions
    assert float(jnp.abs(rested - at_once).max()) > 0.01
    # Third order of a tenth of a time constant, and bilinear between nodes.
    np.testing.assert_allclose(rested, fraction(writing, expected), atol=5e-5)


@pytest.mark.parametrize("back", [0.0, 2.0])
def test_plan_then_write(writing, back):
    own = eqx.tree_at(lambda w: w.back, writing, jnp.asarray(back))
    wanted = jnp.linspace(0.0, 1.0, 9).reshape(3, 3)
    reached = own.write(own.plan(wanted), None)
    assert bool(reached.ok.all())
    # Linear between 4,097 points of the curve; fraction 0 is a pulse of a millisecond above zero.
    np.testing.assert_allclose(reached.fractions, wanted, atol=2e-4)


SCALES = ("speed", "resistance_scale", "speed_spread", "resistance_spread", "pulse_spread")
SHARED = (*SCALES, "ambient_temperature", "amplitude_set", "amplitude_reset")
WEIGHTS = np.array([1.0, -2.0, 0.5, 3.0, -1.5])


def agree(loss, at, directions, step=1e-5):
    """Compare a gradient with central differences along directions, to 1e-5."""
    loss, gradient = jax.jit(loss), jax.jit(jax.grad(loss))(at)
    for direction in directions:
        ahead, behind = (
            float(loss(jax.tree.map(lambda a, b, s=s: a + s * step * b, at, direction)))
            for s in (1, -1)
        )
        pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
        expected = sum(float(jnp.sum(a * b)) for a, b in pairs)
        # Rounding of a loss of order one over the step leaves 1e-11.
        assert (ahead - behind) / (2 * step) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def units(tree):
    """Yield a direction for each number of a tree of arrays."""
    leaves, structure = jax.tree.flatten(tree)
    for k, leaf in enumerate(leaves):
        for n in range(leaf.size):
            one = jnp.zeros(leaf.size).at[n].set(1.0).reshape(leaf.shape)
            others = [jnp.zeros_like(x) for x in leaves]
            yield jax.tree.unflatten(structure, [*others[:k], one, *others[k + 1 :]])


def test_derivatives_of_drives_and_scales(writing):
    # All drives, and what needs no other table; a drawn chip at rest for four months.
    drawn = writing.draw(jax.random.key(1), (5,))

    def loss(at):
        made = writing.changed(at[1]).write(at[0], drawn, t=jnp.asarray(1e7))
        return jnp.sum(WEIGHTS * made.fractions**2)

    at = (drives_of(writing, FIRST, SECOND), dict.fromkeys(SCALES, jnp.zeros(())))
    agree(loss, at, units(at))


@pytest.mark.slow
def test_derivatives_of_the_device(device, writing):
    # Every leaf of the reduced device that matters, and all shared quantities: through the table.
    drives, drawn = drives_of(writing, FIRST, SECOND), writing.draw(jax.random.key(1), (5,))

    def used(d):
        return (
            d.flow, d.log_resistance, d.start, d.generator, d.draw_factor, d.hop_factor,
            d.hop_exponent, d.read_activation, d.rest_activation,
        )  # fmt: skip

    def loss(at):
        own = eqx.tree_at(lambda w: w.device, writing, eqx.tree_at(used, device, at[0]))
        made = own.changed(at[1]).write(drives, drawn, t=jnp.asarray(1e7))
        return jnp.sum(WEIGHTS * made.fractions**2)

    at = (used(device), dict.fromkeys(SHARED, jnp.zeros(())))
    still = jax.tree.map(jnp.zeros_like, at)
    shared = [(still[0], own) for own in units(at[1])]
    # Leaves have other sizes: each moves by a share of itself, at random.
    rng = np.random.default_rng(0)
    leaves, structure = jax.tree.flatten(at[0])
    moved = []
    for k, leaf in enumerate(leaves):
        others = [jnp.zeros_like(x) for x in leaves]
        own = [*others[:k], leaf * rng.normal(size=leaf.shape), *others[k + 1 :]]
        moved.append((jax.tree.unflatten(structure, own), still[1]))
    agree(loss, at, [*shared, *moved])


def test_counting_noise_against_its_simulation(device, writing):
    # The device's own draws, pulse by pulse, at one place after both trains.
    first, second, pulses, lanes = 8.0, 2.0, 32, 3000
    still = device.initial_fields(device.start)

    def one(key):
        begin, *keys = jax.random.split(key, 2 * pulses + 1)
        z = device.draw_state(device.start, key=begin)

        def pulse(z, drive):
            v, width, key = drive
            slope, fields = device.rate(v, z, still, None, "write")
            middle = device.rate(v, z + width / 2 * slope, still, None, "write")[0]
            return device.fluctuate(z + width * middle, fields, width, key=key), None

        v = jnp.repeat(jnp.asarray([5.0, -5.0]), pulses)
        width = jnp.repeat(jnp.asarray([first, second]) / pulses, pulses)
        return 1 / device.read(jax.lax.scan(pulse, z, (v, width, jnp.stack(keys)))[0])

    g = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), lanes))
    exact = eqx.tree_at(
        lambda w: (w.speed_spread, w.resistance_spread, w.pulse_spread),
        writing,
        (jnp.zeros(()),) * 3,
    )
    drives = drives_of(writing, [first] * lanes, [second] * lanes)
    ours = written(exact, drives, exact.draw(jax.random.key(1), (lanes,))).fractions
    # Standard deviations of 3,000 draws each: 1.3 % apart, three times over.
    assert float(jnp.std(ours)) == pytest.approx(float(np.std(fraction(writing, g))), rel=0.06)


def test_failed_devices_are_masked_and_counted(writing):
    drives = drives_of(writing, [1.0, 100.0, 5.0], [0.1, 0.1, 100.0])
    drives["set"] = jnp.concatenate([drives["set"], jnp.asarray([jnp.nan])])
    drives["reset"] = jnp.concatenate([drives["reset"], jnp.zeros(1)])
    found = written(writing, drives, None)
    assert found.ok.tolist() == [True, False, False, False]
    # Where they began, without a gradient.
    np.testing.assert_allclose(found.fractions[1:], 0.0, atol=1e-12)
    slopes = jax.grad(lambda d: writing.write(d, None).fractions.sum())(drives)
    assert np.all(np.asarray(slopes["set"][1:3]) == 0)
    assert float(slopes["set"][0]) > 0


@pytest.fixture(scope="module")
def single(device):
    return ReducedWriting(device, full=12.0, speed_spread=0.02, grid=GRID)


def test_jit_is_eager_for_many_devices(single):
    # More than the 32,768 rows at which a release of jax went wrong.
    wanted = jax.random.uniform(jax.random.key(0), (2, 20_000), jnp.float32)
    drives, drawn = single.plan(wanted), single.draw(jax.random.key(1), wanted.shape)
    eager, compiled = single.write(drives, drawn), written(single, drives, drawn)
    assert eager.fractions.dtype == jnp.float32
    # Rounding of float32 over the window of 0.2 of the conductance.
    np.testing.assert_allclose(eager.fractions, compiled.fractions, atol=5e-6)
    assert bool((eager.ok == compiled.ok).all())


@pytest.mark.slow
def test_a_network_learns_shared_quantities_too(single):
    model = MLP(input_shape=(4,), classes=3, hidden=(), rngs=nnx.Rngs(0))
    own = single
    analog = convert_to_analog(model, Hardware(DeviceStatistics(*own.window), MAPPING, bits=None))
    family = Physical(own, design=("amplitude_set",))
    trained = family.start(analog)
    x = jax.random.normal(jax.random.key(2), (5, 4), jnp.float32)
    # On nominal devices the planned drives give the weights again.
    still = eqx.tree_at(lambda f: (f.writing.speed_spread, f.writing.pulse_spread,
                                   f.writing.counting), family, (jnp.float32(0),) * 3)  # fmt: skip
    chip = still.chip(analog, trained, key=jax.random.key(0))
    np.testing.assert_allclose(chip.model(x), analog(x), atol=2e-3)

    @jax.jit
    def total(trained):
        return jnp.sum(family.chip(analog, trained, key=jax.random.key(0)).model(x) ** 2)

    gradient = jax.grad(total)(trained)
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in jax.tree.leaves(gradient))
    assert float(gradient["design"]["amplitude_set"]) != 0


def test_written_error_is_that_of_planned_writes(writing):
    error = WrittenError.measure(writing, key=jax.random.key(0), targets=9, repeats=400)
    wanted = jnp.full(4000, 0.55, jnp.float32)
    made = written(writing, writing.plan(wanted), writing.draw(jax.random.key(5), (4000,)))
    ours = error.error(error.draw(jax.random.key(6), (4000,)), wanted, n_levels=None)
    # 400 repeats know a standard deviation to 3.5 %.
    assert float(ours.std()) == pytest.approx(float((made.fractions - wanted).std()), rel=0.1)
    slope = jax.grad(lambda u: error.error(jnp.float32(1.0), u, n_levels=None))(jnp.float32(0.55))
    rise = 8 * (error.mean[5] + error.std[5] - error.mean[4] - error.std[4])
    assert float(slope) == pytest.approx(float(rise), rel=1e-4)


def test_wrong_arguments(device, writing):
    with pytest.raises(ValueError, match="`amplitude_reset` must be of the other sign"):
        ReducedWriting(device, amplitude_reset=5.0)
    with pytest.raises(ValueError, match="`full` must be a duration"):
        ReducedWriting(device, full=1000.0, grid=GRID)
    with pytest.raises(ValueError, match="`speed_spread` must be finite and at least 0"):
        ReducedWriting(device, speed_spread=-0.1)
    with pytest.raises(ValueError, match=r"`design` must name quantities .* 'colour'"):
        writing.changed({"colour": 0.1})
    with pytest.raises(ValueError, match="`std` must have shape"):
        WrittenError(0.1)
