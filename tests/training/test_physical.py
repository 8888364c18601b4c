"""Physical training on writing in closed form: every drive has a gradient, failures are masked."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jaxtyping import Array, Float

from analogjax.crossbar import DeviceStatistics, Hardware, WeightMapping
from analogjax.crossbar.nonidealities import PowerLawDrift
from analogjax.data import Split
from analogjax.networks import MLP, convert_to_analog
from analogjax.programming import AbstractWriting, Written
from analogjax.training import AnalogTraining, Physical, accuracy

MAPPING = WeightMapping("differential", "layer", "max", space="G")


class Charging(AbstractWriting):
    """A fraction 1 - exp(-gain u) after a pulse of length u; devices differ in their gain."""

    spread: Float[Array, ""]
    limit: float = eqx.field(static=True, default=np.inf)

    def plan(self, fractions):
        return -jnp.log1p(-jnp.minimum(0.9 * fractions, 0.9)).astype(float)

    def draw(self, key, shape):
        return jnp.exp(self.spread * jax.random.normal(key, shape, float))

    def write(self, drives, drawn, *, t=0.0):
        gain = 1.0 if drawn is None else drawn
        ok = drives <= self.limit
        fractions = -jnp.expm1(-gain * jnp.where(ok, drives, 0.0)) / 0.9
        return Written(jnp.where(ok, fractions, 0.0), ok)

    def changed(self, relative):
        known = {"spread": lambda x: eqx.tree_at(lambda w: w.spread, self, (1 + x) * self.spread)}
        if not set(relative) <= set(known):
            return super().changed({k: v for k, v in relative.items() if k not in known})
        return known["spread"](relative["spread"]) if relative else self


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 6)).astype(np.float32)
    return Split(x, (x @ rng.normal(size=(6, 3))).argmax(1))


def analog():
    model = MLP(input_shape=(6,), classes=3, hidden=(), rngs=nnx.Rngs(0))
    return convert_to_analog(model, Hardware(DeviceStatistics(1e3, 4e4), MAPPING, bits=None))


def test_planned_drives_are_a_weight_transfer(split):
    # On devices that do not differ the planned drives give the weights of the model again.
    model, family = analog(), Physical(Charging(jnp.asarray(0.0)))
    chip = family.chip(model, family.start(model), key=jax.random.key(0))
    # Logits of some units in float32.
    np.testing.assert_allclose(
        chip.model(jnp.asarray(split.x)), model(jnp.asarray(split.x)), atol=2e-5
    )
    assert int(chip.failed) == 0


def test_drives_learn(split):
    family = Physical(Charging(jnp.asarray(0.05)), design=("spread",))
    training = AnalogTraining(
        analog(), split, steps=60, batch=40, learning_rate=0.15, family=family
    )
    state = begin = training.start()
    for _ in range(60):
        state = training.advance(state)
    held_out = jax.random.key(99)

    def reached(at):
        model = training.model(at)
        return accuracy(family.chip(model, training.trained(at), key=held_out).model, split)

    assert reached(state) > 0.85 > reached(begin)
    # Kernels are only where the drives came from.
    np.testing.assert_array_equal(
        training.model(state).head.kernel[...], training.model(begin).head.kernel[...]
    )
    # Devices that differ cost accuracy: the design makes them differ less.
    assert float(training.trained(state)["design"]["spread"]) < 0


def test_gradient_of_every_drive(split):
    # Central differences of a loss in float32 see 1e-3 of it at best: the logits' derivative in
    # float64 is checked where the physics is (tests of the writing).
    model, family = analog(), Physical(Charging(jnp.asarray(0.05)))
    trained = family.start(model)
    # A single bias after the layer leaves the answers linear in each device: few steps suffice.
    name = next(iter(trained["drives"]))
    key = jax.random.key(1)

    def total(drives):
        at = trained | {"drives": {name: drives}}
        return jnp.sum(family.chip(model, at, key=key).model(jnp.asarray(split.x[:8])))

    drives = trained["drives"][name] + 0.3
    gradient = jax.jit(jax.grad(total))(drives)
    assert np.all(np.asarray(gradient) != 0)
    at, step = (0, 2, 1), 1e-2
    both = [float(jax.jit(total)(drives.at[at].add(s * step))) for s in (1, -1)]
    # A sum of some units in float32 over a step of 1e-2; the third order adds 1e-4.
    assert (both[0] - both[1]) / (2 * step) == pytest.approx(float(gradient[at]), rel=5e-3)


def test_failed_devices_are_masked_and_counted(split):
    family = Physical(Charging(jnp.asarray(0.05), limit=1.0))
    training = AnalogTraining(analog(), split, steps=3, batch=40, learning_rate=0.05, family=family)
    state = training.advance(training.start())
    drives = jax.tree.leaves(training.trained(training.start())["drives"])
    beyond = sum(int(jnp.sum(d > 1.0)) for d in drives)
    assert beyond > 0
    assert state.failed.tolist() == [beyond, 0, 0]
    assert np.isfinite(float(state.loss[0]))


def test_design_stays_within_its_bounds(split):
    family = Physical(
        Charging(jnp.asarray(0.05)), design={"spread": (-0.25, 1.0)}, design_rates=20.0
    )
    training = AnalogTraining(
        analog(), split, steps=40, batch=40, learning_rate=0.15, family=family
    )
    start = training.start()
    # Unchanged at first, to the rounding of a sigmoid and its inverse.
    assert float(family.changes(training.trained(start))["spread"]) == pytest.approx(0, abs=1e-12)
    found = family.changes(training.trained(training.all_steps()))["spread"]
    # Devices that differ less are better: as far as it may go, and no farther.
    assert -0.25 <= float(found) < -0.2
    # With the rate 0 it stays; the family differs in numbers alone.
    still = Physical(Charging(jnp.asarray(0.05)), design={"spread": (-0.25, 1.0)}, design_rates=0.0)
    kept = training.again(analog(), split, seed=0, family=still)
    state = kept.all_steps()
    assert float(still.changes(kept.trained(state))["spread"]) == pytest.approx(0, abs=1e-12)
    assert jax.tree.structure(still) == jax.tree.structure(family)


def test_wrong_arguments():
    writing = Charging(jnp.asarray(0.0))
    with pytest.raises(ValueError, match=r"`design` must bound .*'spread'.* but has \(0, 1\)"):
        Physical(writing, design={"spread": (0.0, 1.0)})
    with pytest.raises(ValueError, match="`design_rates` must be"):
        Physical(writing, design=("spread",), design_rates=-1.0)
    with pytest.raises(ValueError, match="`design_rates` must have one for each"):
        Physical(writing, design=("spread",), design_rates={"gain": 1.0})
    with pytest.raises(ValueError, match=r"`design` must name quantities .* .colour."):
        Physical(Charging(jnp.asarray(0.0)), design=("colour",))
    model = MLP(input_shape=(6,), classes=3, hidden=(), rngs=nnx.Rngs(0))
    other = convert_to_analog(
        model, Hardware(DeviceStatistics(1e3, 4e4), WeightMapping(space="R"), bits=None)
    )
    with pytest.raises(ValueError, match="space 'G'"):
        Physical(Charging(jnp.asarray(0.0))).start(other)


def test_all_steps_in_one_program_and_again(split):
    family = Physical(Charging(jnp.asarray(0.05)))
    training = AnalogTraining(
        analog(), split, steps=4, batch=40, learning_rate=0.05, family=family, seed=3
    )
    state = training.start()
    for _ in range(4):
        state = training.advance(state)
    at_once = training.all_steps()
    # The same operations in another program: round-off of float32.
    np.testing.assert_allclose(at_once.loss, state.loss, rtol=1e-4)
    assert int(at_once.count) == 4
    # Other data and another seed, then back: the same training.
    other = training.again(analog(), Split(split.x[::-1], split.y[::-1]), seed=5)
    assert not np.allclose(other.all_steps().loss, at_once.loss)
    back = other.again(analog(), split, seed=3)
    np.testing.assert_array_equal(back.all_steps().loss, at_once.loss)
    with pytest.raises(ValueError, match="`split` must"):
        training.again(analog(), Split(split.x[:50], split.y[:50]), seed=0)
    wider = convert_to_analog(
        MLP(input_shape=(6,), classes=3, hidden=(4,), rngs=nnx.Rngs(0)),
        Hardware(DeviceStatistics(1e3, 4e4), MAPPING, bits=None),
    )
    with pytest.raises(ValueError, match="same structure"):
        training.again(wider, split, seed=0)


class Together(Charging):
    """The same, all layers in one row of devices."""

    together = True


def test_layers_in_one_row_are_written_the_same():
    model = convert_to_analog(
        MLP(input_shape=(6,), classes=3, hidden=(4,), rngs=nnx.Rngs(0)),
        Hardware(DeviceStatistics(1e3, 4e4), MAPPING, bits=None),
    )
    x = jnp.ones((2, 6), jnp.float32)
    answers = []
    for kind in (Charging, Together):
        family = Physical(kind(jnp.asarray(0.05), limit=1.0))
        chip = family.chip(model, family.start(model), key=jax.random.key(2))
        answers.append((chip.model(x), int(chip.failed)))
    np.testing.assert_allclose(answers[0][0], answers[1][0], rtol=1e-6)
    assert answers[0][1] == answers[1][1] > 0


def test_effects_of_the_hardware_come_on_top_and_age(split):
    # A power law G(t) = G (1 + t)^-nu of every device, pairs: all weights shrink by one factor.
    model = MLP(input_shape=(6,), classes=3, hidden=(), rngs=nnx.Rngs(0))
    device = DeviceStatistics(1e3, 1e9, effects=(PowerLawDrift(0.1, t_0=1.0),))
    drifting = convert_to_analog(model, Hardware(device, MAPPING, bits=None))
    family = Physical(Charging(jnp.asarray(0.05)))
    trained, key = family.start(drifting), jax.random.key(3)
    x = jnp.asarray(split.x[:5])
    new, old = (family.chip(drifting, trained, key=key, t=t).model(x) for t in (0.0, 9999.0))
    bias = drifting.head.bias[...][None]
    # Float32, and the cells' own lowest conductance, a millionth of the highest.
    np.testing.assert_allclose(old - bias, (new - bias) * 10**-0.4, rtol=1e-3, atol=1e-5)
