"""Evaluation on held-out chips: as chip by chip, compiled once, apart from training; statistics."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax.crossbar import (
    CurrentDomain,
    DeviceStatistics,
    GaussianError,
    Hardware,
    Tile,
    WeightMapping,
)
from analogjax.crossbar.nonidealities import PowerLawDrift
from analogjax.data import Split
from analogjax.networks import (
    MLP,
    accuracy_over_chips,
    convert_to_analog,
    program_analog_weights,
    remeasure_statistics,
    with_hardware,
)
from analogjax.training import (
    NoiseInjection,
    Physical,
    Precise,
    accuracy,
    accuracy_on_chips,
    evaluate_on_chips,
    held_out_keys,
    iso_accuracy,
    logits,
    mismatch_matrix,
    paired_difference,
)
from analogjax.training import chips as module

from .test_physical import Charging

MAPPING = WeightMapping("differential", "layer", "max", space="G")
DRIFT = PowerLawDrift(0.2, 0.05)
KEYS = held_out_keys(0, 3)


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(130, 6)).astype(np.float32)
    return Split(x, (x @ rng.normal(size=(6, 3))).argmax(1))


@pytest.fixture(scope="module")
def digital():
    return MLP(input_shape=(6,), classes=3, hidden=(), rngs=nnx.Rngs(0))


def hardware(error=0.15, *, effects=(), noise=0.0):
    written = GaussianError([error, error], times=[0, 1e8], space="G")
    device = DeviceStatistics(1e3, 4e4, written, effects=effects)
    tile = Tile(CurrentDomain(output_noise=noise), 8, 8) if noise else None
    return Hardware(device, MAPPING, bits=4, tile=tile)


@pytest.mark.parametrize(("noise", "t"), [(0.3, 0.0), (0.0, 3e5)])
def test_as_a_weight_transfer(digital, split, noise, t):
    # The same chips by the program of `accuracy_over_chips`, which knows of no families.
    made = hardware(effects=(DRIFT,), noise=noise)
    root = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), jnp.uint32(2**32 - 1)), 0)
    other = accuracy_over_chips(digital, made, split, bits=[4], chips=3, key=root, t=t, batch=50)
    ours = accuracy_on_chips(
        convert_to_analog(digital, made), NoiseInjection(), (), split,
        chips=KEYS, times=[t], batch=50,
    )  # fmt: skip
    assert len(np.unique(ours)) > 1
    np.testing.assert_array_equal(ours, other)


def test_precise_is_the_plain_accuracy(digital, split):
    analog = convert_to_analog(digital, hardware())
    found = evaluate_on_chips(analog, Precise(), (), split, chips=KEYS, times=(0.0, 10.0), batch=50)
    np.testing.assert_array_equal(found.accuracy, np.full((2, 3), accuracy(analog, split)))
    assert found.failed.sum() == 0


def test_compensation_undoes_a_common_drift(digital, split):
    # All devices lose the same share: what is left after compensation is exact.
    alike = convert_to_analog(digital, hardware(effects=(PowerLawDrift(0.3, 0.0),)))
    # Against a bias weights that shrink are wrong.
    alike.head.bias[...] = jnp.asarray([1.0, 0.0, 0.0], jnp.float32)
    split = Split(split.x, np.argmax(logits(alike, split.x), axis=1))
    options = {"chips": KEYS, "times": (0.0, 3e7)}
    plain = accuracy_on_chips(alike, NoiseInjection(), (), split, **options)
    scaled = accuracy_on_chips(alike, NoiseInjection(), (), split, compensate=True, **options)
    assert (plain[1] < plain[0] - 0.05).all()
    # The gain is right to float32: an input on an edge may change sides.
    np.testing.assert_allclose(scaled[1], plain[0], atol=1.01 / len(split.y))


def test_physical_chips_and_their_failures(digital, split):
    made = Hardware(DeviceStatistics(1e3, 4e4), MAPPING, bits=None)
    analog = convert_to_analog(digital, made)
    family = Physical(Charging(jnp.asarray(0.5), limit=1.0))
    trained = family.start(analog)
    found = evaluate_on_chips(analog, family, trained, split, chips=KEYS)
    beyond = sum(int(jnp.sum(d > 1.0)) for d in jax.tree.leaves(trained["drives"]))
    assert found.failed.tolist() == [[beyond] * 3]
    assert len(np.unique(found.accuracy)) > 1


def test_compiled_once(digital, split):
    jax.clear_caches()
    for std in (0.1, 0.2):
        analog = convert_to_analog(digital, hardware(std))
        accuracy_on_chips(
            analog, NoiseInjection(), (), split, chips=KEYS, times=(0.0, 1.0), batch=50
        )
    assert module._on_chips._cached._cache_size() == 1
    assert module._right._cached._cache_size() == 1


def test_mismatch_matrix(digital, split):
    analog = convert_to_analog(digital, hardware())
    puts = [lambda m, s=s: with_hardware(m, hardware(s)) for s in (0.0, 0.4)]
    found = mismatch_matrix([(analog, ())] * 2, NoiseInjection(), puts, split, chips=KEYS)
    assert found.shape == (2, 2, 3)
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0, 0] == found[0, 0, 0]).all()
    own = accuracy_on_chips(puts[1](analog), NoiseInjection(), (), split, chips=KEYS)
    np.testing.assert_array_equal(found[0, 1], own[0])


def test_held_out_keys_are_apart():
    def data(keys):
        return {tuple(row) for row in np.asarray(jax.random.key_data(keys)).tolist()}

    seed, per_epoch = 3, 4
    training = set()
    for count in range(40):
        # As `AnalogTraining.advance` does.
        key = jax.random.fold_in(jax.random.key(seed), count // per_epoch)
        training |= data(jax.random.fold_in(jax.random.fold_in(key, per_epoch), count)[None])
    sets = [
        training, data(held_out_keys(3, 20)), data(held_out_keys(3, 20, role="validation")),
        data(held_out_keys(4, 20)),
    ]  # fmt: skip
    assert len(set().union(*sets)) == sum(len(s) for s in sets) == 100


def test_paired_difference():
    # By hand: differences 1, 2, 3; t_{0.975, 2} = 4.302653, s = 1.
    found = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(2.0)
    assert found.half_width == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert not found.differs
    assert found.pairs == 3
    assert paired_difference([2.0, 2.1, 2.2], [1.0, 1.0, 1.0]).differs
    assert paired_difference([2.0], [1.0]).half_width == np.inf
    with pytest.raises(ValueError, match="one value per pair"):
        paired_difference([1.0, 2.0], [1.0])


def test_iso_accuracy():
    found = iso_accuracy([0.95, 0.1, 0.941], digital=0.95, chance=0.1)
    np.testing.assert_allclose(found, [1.0, 0.0, 1 - 0.009 / 0.85])
    with pytest.raises(ValueError, match="above chance"):
        iso_accuracy(0.5, digital=0.1, chance=0.1)


def test_wrong_arguments(digital, split):
    analog = convert_to_analog(digital, hardware())
    with pytest.raises(ValueError, match="`t` must be at most 1e\\+08 s"):
        accuracy_on_chips(analog, NoiseInjection(), (), split, chips=KEYS, times=(1e9,))
    empty = Split(split.x[:0], split.y[:0])
    with pytest.raises(ValueError, match="at least one input"):
        accuracy_on_chips(analog, NoiseInjection(), (), empty, chips=KEYS)
    with pytest.raises(ValueError, match="role"):
        held_out_keys(0, 3, role="train")


def test_statistics_are_measured_on_every_chip(split):
    class Normalised(nnx.Module):
        def __init__(self, rngs):
            options = {"dtype": jnp.float32, "param_dtype": jnp.float32, "rngs": rngs}
            self.first, self.norm = nnx.Linear(6, 8, **options), nnx.BatchNorm(8, **options)
            self.second = nnx.Linear(8, 3, **options)

        def __call__(self, x):
            return self.second(nnx.relu(self.norm(self.first(x))))

    analog = convert_to_analog(Normalised(nnx.Rngs(0)), hardware(0.3))
    some = split.x[:64]
    found = evaluate_on_chips(analog, NoiseInjection(), (), split, chips=KEYS, measured=some)
    one_by_one = []
    for key in KEYS:
        chip = program_analog_weights(analog, key=key)
        chip.eval()
        one_by_one.append(accuracy(remeasure_statistics(chip, some), split))
    np.testing.assert_allclose(found.accuracy[0], one_by_one, rtol=1e-6)
    plain = evaluate_on_chips(analog, NoiseInjection(), (), split, chips=KEYS)
    assert not np.array_equal(found.accuracy, plain.accuracy)
