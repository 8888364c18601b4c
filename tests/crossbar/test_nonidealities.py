"""What every non-ideality owes: identity at zero, gradients, types, lifetimes, reproducibility."""

from __future__ import annotations

import dataclasses
import inspect
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.crossbar import nonidealities
from analogjax.crossbar.nonidealities import (
    AbstractCellEffect,
    AbstractNonideality,
    AbstractReadNoise,
    AccessResistance,
    ArrheniusRetention,
    EnduranceLoss,
    FlickerNoise,
    LogNormalVariation,
    LogRelaxation,
    NeuroSimRetention,
    NormalVariation,
    PowerLawDrift,
    ProgrammedCells,
    ShotNoise,
    StuckCells,
    TelegraphNoise,
    TemperatureCoefficient,
    ThermalNoise,
    WeightNoise,
    lifetimes,
)
from analogjax.devices import PCM, StatisticalDevice

KEY = jax.random.key(3)
WINDOW = (jnp.asarray(2e-6), jnp.asarray(22e-6))
SHAPE = (6, 5)
# An array, so that all times share one compilation.
HOUR = jnp.asarray(3600.0)

SCATTER = ("std_0", "std_1", "relaxation_mean", "relaxation_std", "relaxation_std_growth",
           "read_flicker")  # fmt: skip

# Each with magnitudes at which everything happens, and the same with those magnitudes zero.
CELLS = {
    "variation": (
        LogNormalVariation(0.2, 0.1, gradient=0.1, preserve="mean"),
        LogNormalVariation(0.0),
    ),
    "normal_variation": (NormalVariation(0.2), NormalVariation(0.0)),
    "pcm": (
        ProgrammedCells(PCM()),
        ProgrammedCells(PCM(programming_scale=0.0, drift_scale=0.0, read_scale=0.0)),
    ),
    "cmo_hfox": (
        ProgrammedCells(StatisticalDevice("cmo_hfox_coarse")),
        ProgrammedCells(
            StatisticalDevice(
                "cmo_hfox_coarse",
                std_0=0.0,
                std_1=0.0,
                relaxation_mean=0.0,
                relaxation_std=0.0,
                relaxation_std_growth=0.0,
                read_flicker=0.0,
            )
        ),
    ),
    "weight_noise": (WeightNoise(0.05), WeightNoise(0.0)),
    "power_law": (PowerLawDrift(0.05, 0.02), PowerLawDrift(0.0)),
    "log_relaxation": (LogRelaxation(-0.01, 0.01), LogRelaxation(0.0)),
    "arrhenius": (
        ArrheniusRetention(1e-13, 1.0, 350.0, activation_std=0.02),
        ArrheniusRetention(float("inf"), 1.0),
    ),
    "neurosim": (NeuroSimRetention(0.02), NeuroSimRetention(0.0)),
    "neurosim_target": (NeuroSimRetention(0.02, 0.4), NeuroSimRetention(0.0, 0.4)),
    "stuck": (StuckCells(0.2, 0.3), StuckCells(0.0, 0.0)),
    "stuck_width": (StuckCells(0.3, 0.4, width=0.2), StuckCells(0.0, 0.0, width=0.2)),
    "endurance": (EnduranceLoss(1e7, 1e6, 0.2, spread=0.5), EnduranceLoss(0.0, 1e6, 0.2)),
    "endurance_scale": (
        EnduranceLoss(1e7, 1e6, 0.2, kind="scale"),
        EnduranceLoss(0.0, 1e6, 0.2, kind="scale"),
    ),
    "temperature": (
        TemperatureCoefficient(350.0, metallic=2e-3, activation_hrs=0.05, activation_lrs=0.01),
        TemperatureCoefficient(300.0, metallic=2e-3, activation_hrs=0.05),
    ),
    "access": (AccessResistance(5e3), AccessResistance(0.0)),
}
NOISES = {
    "thermal": (ThermalNoise(), ThermalNoise(0.0)),
    "shot": (ShotNoise(0.5), ShotNoise(0.0)),
    "flicker": (FlickerNoise(1e-4, 1.1, f_low=1.0), FlickerNoise(0.0, f_low=1.0)),
    "telegraph": (TelegraphNoise(0.1, 0.3), TelegraphNoise(0.0)),
    "telegraph_p": (TelegraphNoise(0.1, 0.3, shared=True), TelegraphNoise(0.1, 0.0, shared=True)),
}
# Without a law in time: the temperature is slow because it is neither drawn nor of one read.
STILL = {"temperature"}


def conductances(dtype=jnp.float64):
    low, high = (float(end) for end in WINDOW)
    # From end to end, both ends among them.
    return jnp.linspace(low, high, SHAPE[0] * SHAPE[1], dtype=dtype).reshape(SHAPE)


# Values and slopes in one program: compilation is most of what these tests cost.
@eqx.filter_jit
def evaluate(effect, g, drawn, t):
    """The cells, and the slopes of their sum [10 uS] by the effect and by the time."""

    def total(both):
        out = both[0].apply(g, drawn, window=WINDOW, t=both[1])
        return jnp.sum(out / 1e-5), out

    slopes, out = eqx.filter_grad(total, has_aux=True)((effect, t))
    return out, slopes


def cells(effect, g, drawn, t):
    return evaluate(effect, g, drawn, t)[0]


@eqx.filter_jit
def sample(noise, key, v, g):
    """What a read adds, and the slopes of its sum [uA] by the noise."""

    def total(noise):
        added = noise.sample(key, v, g, v @ g, bandwidth=1e6, temperature=300.0)
        return jnp.sum(added) / 1e-6, added

    slopes, added = eqx.filter_grad(total, has_aux=True)(noise)
    return added, slopes


def read(noise, key, v, g):
    return sample(noise, key, v, g)[0]


def voltages(dtype=jnp.float64):
    return jnp.linspace(-0.2, 0.2, 3 * SHAPE[0], dtype=dtype).reshape(3, SHAPE[0])


def chip(effect, seed=0):
    return effect.draw(jax.random.fold_in(KEY, seed), SHAPE)


def test_every_non_ideality_is_tested_final_and_labelled():
    kinds = {
        kind
        for kind in vars(nonidealities).values()
        if inspect.isclass(kind)
        and issubclass(kind, AbstractNonideality)
        and not kind.__name__.startswith("Abstract")
    }
    assert {type(pair[0]) for pair in (CELLS | NOISES).values()} == kinds
    for kind in kinds:
        assert kind.cause in ("device", "circuit")
        assert kind.lifetime in ("frozen", "slow", "fresh")
        assert not kind.__subclasses__()
        assert "Source:" in kind.__doc__ or "with sources" in kind.__doc__


@pytest.mark.smoke
@pytest.mark.parametrize("name", CELLS)
def test_zero_is_the_identity_with_a_finite_gradient(name):
    effect, none = CELLS[name]
    for dtype in (jnp.float32, jnp.float64):
        g = conductances(dtype)
        # Round-off of a sum that returns to where it was, in a law or two.
        near = {"rtol": 4 * float(jnp.finfo(dtype).eps), "atol": 0}
        for t in (0 * HOUR, HOUR):
            np.testing.assert_allclose(cells(none, g, chip(none), t), g, **near)
        # The same for what lies outside the window by an error before.
        outside = jnp.concatenate([g * 0.5, g * 1.2])[: SHAPE[0]]
        if "cmo" not in name and "pcm" not in name:
            np.testing.assert_allclose(cells(none, outside, chip(none), HOUR), outside, **near)
        # t too: nothing may be infinite right after programming.
        for leaf in jax.tree.leaves(evaluate(none, g, chip(none), 0 * HOUR)[1]):
            assert np.isfinite(leaf)
    assert not np.allclose(cells(effect, g, chip(effect), HOUR), g, rtol=1e-3)


@pytest.mark.parametrize("name", NOISES)
def test_no_noise_is_zero_with_a_finite_gradient(name):
    noise, none = NOISES[name]
    for dtype in (jnp.float32, jnp.float64):
        v, g = voltages(dtype), conductances(dtype)
        assert not np.any(read(none, KEY, v, g))
        slope = sample(none, KEY, v, g)[1]
        assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(slope))
    assert np.all(read(noise, KEY, v, g))


# Where a magnitude decides by a threshold (documented), its gradient is not the slope.
THRESHOLDS = {"stuck": ("p_on", "p_off"), "neurosim_target": ("target",)}
# A parameter of a device that has no effect within this window, or none at all on conductances.
UNUSED = {"read_voltage", "g_min", "floor", "read_scale"}


@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_slopes(name):
    effect, _ = CELLS[name]
    g, drawn = conductances(), chip(effect)
    weights = jax.random.normal(KEY, SHAPE)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(effect):
        return jnp.sum(weights * effect.apply(g, drawn, window=WINDOW, t=HOUR) / 1e-5)

    value, slope = loss(effect)
    slope = jax.tree.leaves(slope)
    leaves, tree = jax.tree.flatten(effect)
    names = [path[-1].name for path, _ in jax.tree_util.tree_flatten_with_path(effect)[0]]
    moved = 0
    for k, (field, leaf) in enumerate(zip(names, leaves, strict=True)):
        if field in THRESHOLDS.get(name, ()) or field in UNUSED:
            continue
        step = 1e-6 * (abs(float(leaf)) or 1e-9)
        up, down = (
            loss(jax.tree.unflatten(tree, [*leaves[:k], leaf + s, *leaves[k + 1 :]]))[0]
            for s in (step, -step)
        )
        difference = (up - down) / (2 * step)
        # Round-off of the loss over the step, and the square of the step.
        round_off = 1e-14 * (1 + abs(float(value))) / step
        assert slope[k] == pytest.approx(float(difference), rel=1e-5, abs=round_off), field
        moved += difference != 0
    assert moved or name in THRESHOLDS


def test_gradients_of_noise_are_slopes():
    v, g = voltages(), conductances()
    for name, (noise, _) in NOISES.items():
        leaves, tree = jax.tree.flatten(noise)

        @jax.jit
        @jax.value_and_grad
        def power(leaves, tree=tree):
            noise = jax.tree.unflatten(tree, leaves)
            return jnp.sum(
                noise.variance(v, g, v @ g, bandwidth=1e6, temperature=300.0) / 1e-18
            )  # in nA^2

        _, slope = power(leaves)
        for k, leaf in enumerate(leaves):
            step = 1e-5 * float(leaf)
            up, down = (power([*leaves[:k], leaf + s, *leaves[k + 1 :]])[0] for s in (step, -step))
            # Central differences: the square of the step, and round-off over the step.
            assert slope[k] == pytest.approx(float((up - down) / (2 * step)), rel=1e-7), name


@pytest.mark.parametrize("name", CELLS)
def test_types_jit_and_vmap(name):
    effect, _ = CELLS[name]
    drawn = chip(effect)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(drawn))
    fine = cells(effect, conductances(), drawn, HOUR)
    coarse = cells(effect, conductances(jnp.float32), drawn, HOUR)
    assert fine.dtype == jnp.float64
    assert coarse.dtype == jnp.float32
    # float32 through a handful of exponentials; relative to the window where a change is added.
    np.testing.assert_allclose(coarse, fine, rtol=3e-5, atol=1e-11)

    eager = effect.apply(conductances(), drawn, window=WINDOW, t=HOUR)
    np.testing.assert_allclose(eager, fine, rtol=1e-12)

    keys = jax.random.split(KEY, 2)
    g = jnp.stack([conductances(), conductances()[::-1]])
    many = jax.vmap(lambda key, g: cells(effect, g, effect.draw(key, SHAPE), HOUR))(keys, g)
    loop = [cells(effect, x, effect.draw(key, SHAPE), HOUR) for key, x in zip(keys, g, strict=True)]
    np.testing.assert_allclose(many, jnp.stack(loop), rtol=1e-12)


@pytest.mark.parametrize("name", CELLS | NOISES)
def test_float64_stays_out_of_float32(name):
    effect = (CELLS | NOISES)[name][0].cast(jnp.float32)
    g, v = conductances(jnp.float32), voltages(jnp.float32)
    window = tuple(end.astype(jnp.float32) for end in WINDOW)

    if isinstance(effect, AbstractCellEffect):

        def everything(effect, key, g):
            drawn = effect.draw(key, SHAPE)
            out = effect.apply(g, drawn, window=window, t=3600.0)
            std = effect.read_std(g, drawn, window=window, t=3600.0)
            return jnp.sum(out) + (0.0 if std is None else jnp.sum(std))
    else:

        def everything(effect, key, g):
            return jnp.sum(effect.sample(key, v, g, v @ g, bandwidth=1e6, temperature=300.0))

    arrays, static = eqx.partition(effect, eqx.is_array)

    def of(arrays, key, g):
        return everything(eqx.combine(arrays, static), key, g)

    for function in (of, jax.grad(of, argnums=(0, 2))):
        jaxpr = str(jax.make_jaxpr(function)(arrays, KEY, g))
        assert "f32[" in jaxpr
        assert "f64[" not in jaxpr


@pytest.mark.parametrize("name", CELLS)
def test_a_chip_keeps_its_draws(name):
    effect, _ = CELLS[name]
    g = conductances()
    first = cells(effect, g, chip(effect), HOUR)
    # The same key makes the same chip, another key another one, and a read draws nothing.
    np.testing.assert_array_equal(first, cells(effect, g, chip(effect), HOUR))
    other = cells(effect, g, chip(effect, 1), HOUR)
    random = bool(jax.tree.leaves(chip(effect)))
    deterministic = {"neurosim_target", "endurance_scale"}
    assert np.any(first != other) == (random and name not in deterministic)
    # Draws do not depend on magnitudes.
    for one, two in zip(*map(jax.tree.leaves, map(chip, CELLS[name])), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", CELLS)
def test_time_moves_what_is_slow_and_nothing_else(name):
    effect, _ = CELLS[name]
    g, drawn = conductances(), chip(effect)
    moved = np.any(cells(effect, g, drawn, HOUR / 60) != cells(effect, g, drawn, HOUR))
    assert moved == (effect.lifetime == "slow" and name not in STILL)
    with pytest.raises(
        ValueError, match=r"Argument `t` must be finite and at least 0 s, but is -1"
    ):
        effect.check_time(-1.0)
    effect.check_time(HOUR)


def test_two_reads_of_a_chip_differ_by_the_noise_alone():
    effect, noise = CELLS["pcm"][0], NOISES["thermal"][0]
    g = cells(effect, conductances(), chip(effect), HOUR)
    v = voltages()
    one, two = (v @ g + read(noise, jax.random.key(k), v, g) for k in (1, 2))
    same = v @ g + read(noise, jax.random.key(1), v, g)
    np.testing.assert_array_equal(one, same)
    assert np.all(one != two)
    # Both have the chip's own conductances: the differences are some nanoampere of microampere.
    np.testing.assert_allclose(one, two, atol=2e-8)


def test_lifetimes_are_a_table():
    collection = {"cells": [pair[0] for pair in CELLS.values()], "reads": (NOISES["shot"][0], 3.0)}
    table = lifetimes(collection)
    assert len(table) == len(CELLS) + 1
    assert [row.name for row in table if row.cause == "circuit"] == ["AccessResistance"]
    order = [row.lifetime for row in table if row.cause == "device"]
    assert order == sorted(order, key=("frozen", "slow", "fresh").index)
    shot = next(row for row in table if row.name == "ShotNoise")
    assert (shot.cause, shot.lifetime, shot.magnitudes) == ("device", "fresh", "fano=0.5")
    assert shot.what.startswith("Shot noise of the current through each cell")
    pcm = next(row for row in table if row.name == "ProgrammedCells")
    assert pcm.magnitudes == "device=PCM, reads=True"
    assert all(dataclasses.asdict(row)["what"].endswith(".") for row in table)
    assert lifetimes([]) == []


WRONG = [
    (lambda: NormalVariation(-0.1), "`std` must be finite and at least 0, but is -0.1"),
    (lambda: LogNormalVariation(-0.1), "`local` must be finite and at least 0, but is -0.1"),
    (
        lambda: LogNormalVariation(0.1, preserve="mode"),
        "`preserve` must be one of 'median', 'mean'",
    ),
    (lambda: PowerLawDrift(float("nan")), "`nu` must be finite, but is nan"),
    (lambda: PowerLawDrift(0.05, t_0=0.0), "`t_0` must be finite and above 0 s, but is 0"),
    (lambda: LogRelaxation(0.0, -1.0), "`std` must be finite and at least 0, but is -1"),
    (lambda: ArrheniusRetention(0.0, 1.0), "`tau_0` must be between 1e-30 and inf s, but is 0"),
    (lambda: ArrheniusRetention(1e-13, 1.0, target=2.0), "`target` must be between 0 and 1"),
    (lambda: NeuroSimRetention(0.1, -1.0), "`target` must be between 0 and 1, but is -1"),
    (lambda: StuckCells(1.5, 0.0), "`p_on` must be between 0 and 1, but is 1.5"),
    (lambda: StuckCells(0.6, 0.6), "`p_on + p_off` must be between 0 and 1, but is 1.2"),
    (lambda: EnduranceLoss(-1.0, 1e6, 0.1), "`cycles` must be finite and at least 0, but is -1"),
    (lambda: TemperatureCoefficient(0.0), "`temperature` must be finite and above 0 K, but is 0"),
    (
        lambda: TemperatureCoefficient(100.0, metallic=0.01),
        "`metallic` must leave the resistance above 0 ohm at 100 K, but is 0.01 per K",
    ),
    (lambda: AccessResistance(-1.0), "`r` must be finite and at least 0 ohm, but is -1"),
    (lambda: ShotNoise(-0.1), "`fano` must be finite and at least 0, but is -0.1"),
    (
        lambda: FlickerNoise(1e-4, f_low=10.0, f_high=1.0),
        "`f_high` must be above `f_low` = 10 Hz, but is 1",
    ),
    (lambda: TelegraphNoise(0.1, 1.1), "`p` must be between 0 and 1, but is 1.1"),
    (
        lambda: ProgrammedCells(PCM()).apply(
            conductances(), chip(CELLS["pcm"][0]), window=(WINDOW[0], jnp.asarray(1e-4)), t=0.0
        ),
        "`window` must end at most at `g_max` of the device, 2.5e-05 S, but ends at 0.0001 S",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), WRONG, ids=range(len(WRONG)))
def test_wrong_magnitudes_get_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=re.escape(f"Argument {sentence}")):
        make()


def test_reads_are_abstract():
    assert all(isinstance(pair[0], AbstractReadNoise) for pair in NOISES.values())
    assert all(pair[0].lifetime == "fresh" for pair in NOISES.values())
