"""Probabilistic families: slopes of sigma, ramps, horizons, learnt sigma and ranges, faults."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax.crossbar import (
    CurrentDomain,
    Dac,
    DeviceStatistics,
    GaussianError,
    Hardware,
    Tile,
    WeightMapping,
    hold,
    layer_key,
    program,
    trainable_chip,
)
from analogjax.crossbar.nonidealities import PowerLawDrift, ProgrammedCells, StuckCells
from analogjax.crossbar.scaled import scaled_statistics
from analogjax.data import Split
from analogjax.devices import PCM
from analogjax.networks import (
    MLP,
    LeNet5,
    analog_layers,
    calibrate_converters,
    chips,
    convert_to_analog,
    program_analog_weights,
)
from analogjax.training import (
    AnalogTraining,
    KnownFaults,
    KullbackLeibler,
    LearntNoise,
    LearntRanges,
    LocalReparameterisation,
    NoiseInjection,
    WritingCost,
    logits,
)
from analogjax.training.evaluate import cross_entropy

MAPPING = WeightMapping("differential", "layer", "max", space="G")
KEY = jax.random.key(3)
OPTIONS = {"batch": 40, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 6)).astype(np.float32)
    return Split(x, (x @ rng.normal(size=(6, 3))).argmax(1))


def analog(device=None, *, bits=None, tile=None):
    model = MLP(input_shape=(6,), classes=3, hidden=(), rngs=nnx.Rngs(0))
    device = DeviceStatistics(1e3, 1e6) if device is None else device
    return convert_to_analog(model, Hardware(device, MAPPING, bits=bits, tile=tile))


def through(training, steps):
    state = training.start()
    for _ in range(steps):
        state = training.advance(state)
    return state


def fractions(model, name="head"):
    layer = analog_layers(model)[name]
    return hold(
        layer.chip.get_value(), layer.device.get_value(), mapping=layer.mapping,
        weights=layer.kernel[...], n_levels=layer.n_levels,
    ).fractions  # fmt: skip


# Reparameterisation.


def test_slope_of_sigma_is_kept_and_stopping_it_is_a_bias():
    # A write error that grows with the target: G = mu + sigma(mu) eps, sigma of PCM.
    pcm = PCM(drift_scale=0.0, read_scale=0.0)
    r_high, r_low = pcm.window
    device = DeviceStatistics(r_low, r_high, effects=(ProgrammedCells(pcm),))
    g_min, g_max = (float(g) for g in device.window)
    weights = jnp.full((8000, 1), 0.5, jnp.float32).at[0].set(1.0)
    options = {"n_levels": None, "mapping": MAPPING}
    chip = trainable_chip(program(weights, device, key=KEY, **options))

    def conductance(w):
        held = hold(chip, device, weights=w, **options)
        return g_min + (g_max - g_min) * held.fractions[0]

    g, slope = jax.jvp(conductance, (weights,), (jnp.ones_like(weights),))
    mu = g_min + 0.5 * (g_max - g_min)
    sigma, rise = jax.value_and_grad(lambda mu: pcm.programming_std(mu))(mu)
    eps = (np.asarray(g)[1:] - mu) / float(sigma)
    expected = (g_max - g_min) * (1 + float(rise) * eps)
    # float32, and sigma' is 3 % at most: 1e-4 of the whole sees 1/300 of the term.
    np.testing.assert_allclose(np.asarray(slope)[1:], expected, rtol=1e-4)
    assert abs(float(rise)) > 0.01
    # The loss E[(G / g_max)^2] = (mu^2 + sigma^2) / g_max^2 has the slope 2 (mu + sigma sigma');
    # with sigma' stopped the second part is missing: by closed form, and by these draws of eps
    # (their own mean square instead of 1).
    kept = np.mean(2 * np.asarray(g)[1:] * (1 + float(rise) * eps))
    stopped = np.mean(2 * np.asarray(g)[1:])
    missing = 2 * float(sigma) * float(rise)
    noise = 4 * abs(float(rise)) * mu / np.sqrt(eps.size)
    assert kept - stopped == pytest.approx(missing, abs=3 * noise)
    # Without the noise of the mean of eps, which both estimates share, it is far from zero.
    centred = np.mean(2 * (np.asarray(g)[1:] - mu) * float(rise) * eps)
    assert centred == pytest.approx(missing, rel=0.05)


def test_ramp():
    device = DeviceStatistics(1e3, 1e6, GaussianError(0.05), effects=(PowerLawDrift(0.1, 0.02),))
    model = analog(device)
    family = NoiseInjection(ramp=0.5)
    t = jnp.float32(0.0)

    def at(progress):
        return fractions(family.chip(model, (), key=KEY, progress=progress, t=t).model)

    full = fractions(NoiseInjection().chip(model, (), key=KEY).model)
    none = np.asarray(at(jnp.float32(0.0)))
    ideal = fractions(program_analog_weights(analog(), key=KEY, trainable=True))
    np.testing.assert_allclose(none, ideal, atol=1e-6)
    np.testing.assert_array_equal(at(jnp.float32(0.5)), full)
    np.testing.assert_array_equal(at(1.0), full)
    # Half way up: half the error (below the window's lower end errors are cut).
    half, inside = np.asarray(at(jnp.float32(0.25))), np.asarray(full) > 0.01
    np.testing.assert_allclose(half[inside], ((full + none) / 2)[inside], atol=1e-6)


def test_scaled_statistics_scale_reads():
    device = DeviceStatistics(4e4, 4e7, effects=(ProgrammedCells(PCM()),))
    half = scaled_statistics(device, 0.5)
    assert half.effects[0].reads_scatter
    g = jnp.full((2, 3), 1e-5, jnp.float32)
    drawn = device.effects[0].draw(KEY, g.shape)
    both = [d.effects[0].read_std(g, drawn, window=d.window, t=1.0) for d in (device, half)]
    np.testing.assert_allclose(both[1], 0.5 * both[0], rtol=1e-6)


def test_horizon(split):
    # All devices drift alike, so that a chip tells its time.
    device = DeviceStatistics(1e3, 1e6, effects=(PowerLawDrift(0.1, 0.0),))
    model = analog(device)
    fresh = np.asarray(fractions(analog(), "head")).max()

    for options in ({"horizon": (1e2, 1e6)}, {"times": (1e2, 1e6), "compensate": True}):
        family = NoiseInjection(**options)

        def exponent(key, family=family):
            found = family.training_chip(model, (), key=key, progress=jnp.float32(0.5))
            gain = found.model.head.gain.get_value()
            return jnp.max(fractions(found.model)), jnp.ones(()) if gain is None else gain

        largest, gains = jax.lax.map(exponent, jax.random.split(KEY, 64))
        later = -np.log10(np.asarray(largest) / fresh) / 0.1
        if "horizon" in options:
            # log10 (t / t_0) is uniform over four decades: sd 1.15, of the mean of 64 0.14.
            assert later.max() - later.min() == pytest.approx(4.0, abs=0.5)
            assert np.std(later) == pytest.approx(4 / np.sqrt(12), abs=0.4)
        else:
            assert len(np.unique(np.round(later, 3))) == 2
            # The window's lower end drifts, too: 1e-3 of the whole.
            np.testing.assert_allclose(np.asarray(gains * largest), fresh, rtol=3e-3)
    plain = NoiseInjection(horizon=(1e2, 1e6))
    # Evaluation is at the time that is asked for.
    now = fractions(plain.chip(model, (), key=KEY).model)
    np.testing.assert_array_equal(now, fractions(program_analog_weights(model, key=KEY)))
    with pytest.raises(ValueError, match="`t` must be at most 0 s"):
        plain.start(analog(DeviceStatistics(1e3, 1e6, GaussianError(0.1))))


# Learnt sigma.


def test_learnt_sigma_collapses_without_a_cost(split):
    found = {}
    for name, cost in {
        "none": None,
        "divergence": KullbackLeibler(len(split.y)),
        "writing": WritingCost(0.02),
    }.items():
        family = LearntNoise(cost, initial=0.3, floor=0.05, per="layer")
        training = AnalogTraining(
            analog(), split, steps=80, family=family, family_rate=8.0, **OPTIONS
        )
        trained = training.trained(through(training, 80))
        found[name] = float(jax.nn.softplus(trained["head"]))
        # The floor of the hardware stays whatever is learnt.
        assert float(family.sigmas(trained)["head"]) >= 0.05
    assert found["none"] < 0.3 / 5
    assert found["divergence"] > 3 * found["none"]
    assert found["writing"] > 3 * found["none"]


def test_learnt_sigma_adds_to_the_hardware():
    model = analog(DeviceStatistics(1e3, 1e6, GaussianError(0.1, space="G")))
    weights = jnp.linspace(0.5, 0.9, 18, dtype=jnp.float32).reshape(6, 3)
    model.head.kernel[...] = weights
    family = LearntNoise(None, initial=0.2, floor=0.1)

    @jax.jit
    def held(key):
        return family.chip(model, family.start(model), key=key).model.head.weights() / 0.9

    drawn = np.asarray(jax.lax.map(held, jax.random.split(KEY, 3000)))
    # The resting device of each pair is cut at 0 (a half normal of variance (1/2 - 1/(2 pi)) s^2).
    rest = (0.5 - 0.5 / np.pi) * 0.1**2
    np.testing.assert_allclose(
        drawn.var(0), 0.1**2 + rest + 0.2**2, rtol=0.12
    )  # 5 sigma of a variance of 3000
    assert family.start(model)["head"].shape == (6, 3)
    np.testing.assert_allclose(family.sigmas(family.start(model))["head"], np.hypot(0.1, 0.2))


def test_divergence_in_closed_form():
    # Against an integral of q log(q / p).
    mean, sigma, prior = 0.4, 0.3, 0.8
    x = np.linspace(-4, 4, 20001)
    q = np.exp(-((x - mean) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    p = np.exp(-(x**2) / (2 * prior**2)) / (prior * np.sqrt(2 * np.pi))
    integral = np.trapezoid(q * (np.log(q + 1e-300) - np.log(p)), x)
    cost = KullbackLeibler(50, beta=2.0, prior_std=prior)
    found = cost(jnp.full((3,), mean), jnp.full((3,), sigma))
    assert float(found) == pytest.approx(3 * 2 / 50 * integral, rel=1e-6)


# Local reparameterisation.


def test_local_reparameterisation_is_exact(split):
    model = analog()
    scale = float(jnp.max(jnp.abs(model.head.kernel[...])))
    family = LocalReparameterisation(0.2)
    x = jnp.asarray(split.x[:4])

    @jax.jit
    def local(key):
        return family.chip(model, (), key=key).model(x)

    @jax.jit
    def sampled(key):
        # One draw of all weights for each input: what the formula stands for.
        noise = 0.2 * scale * jax.random.normal(key, (4, 6, 3), jnp.float32)
        y = jnp.einsum("bi,bij->bj", x, model.head.weights()[None] + noise)
        return y + model.head.bias[...][None]

    keys = jax.random.split(KEY, 4000)
    ours, theirs = (np.asarray(jax.lax.map(f, keys)) for f in (local, sampled))
    exact = 0.2 * scale * np.linalg.norm(x, axis=1)[:, None] * np.ones(3)
    mean = np.asarray(model(x))
    for drawn in (ours, theirs):
        # Five standard errors of 4000 draws.
        assert np.all(np.abs(drawn.mean(0) - mean) < 5 * exact / np.sqrt(4000))
        np.testing.assert_allclose(drawn.std(0), exact, rtol=5 / np.sqrt(8000))
    # Inputs do not share their noise.
    corner = np.corrcoef(ours[:, 0, 0], ours[:, 1, 0])[0, 1]
    assert abs(corner) < 5 / np.sqrt(4000)


def test_local_reparameterisation_has_the_smaller_variance(split):
    # Same mean of the gradient as one draw of the weights for all inputs, less variance (H2).
    x = jnp.asarray(split.x)
    w = jnp.ones(6, jnp.float32)

    def loss(y):
        return jnp.mean(y**2)

    def shared(key):
        noise = 0.5 * jax.random.normal(key, (6,), jnp.float32)
        return jax.grad(lambda w: loss(x @ (w + noise)))(w)[0]

    def own(key):
        noise = 0.5 * jnp.linalg.norm(x, axis=1) * jax.random.normal(key, (120,), jnp.float32)
        return jax.grad(lambda w: loss(x @ w + noise))(w)[0]

    keys = jax.random.split(KEY, 3000)
    a, b = (np.asarray(jax.jit(lambda k, f=f: jax.lax.map(f, k))(keys)) for f in (shared, own))
    exact = float(jax.grad(lambda w: loss(x @ w))(w)[0])
    for drawn in (a, b):
        assert drawn.mean() == pytest.approx(exact, abs=5 * drawn.std() / np.sqrt(3000))
    assert a.var() / b.var() > 1.5


def test_local_reparameterisation_is_refused(split):
    family = LocalReparameterisation(0.1)
    images = LeNet5(input_shape=(8, 8, 1), classes=3, rngs=nnx.Rngs(0))
    convolutions = convert_to_analog(
        images, Hardware(DeviceStatistics(1e3, 1e6), MAPPING, bits=None)
    )
    with pytest.raises(ValueError, match="is a convolution"):
        family.start(convolutions)
    with pytest.raises(ValueError, match="are frozen"):
        family.start(analog(DeviceStatistics(1e3, 1e6, GaussianError(0.1))))
    with pytest.raises(ValueError, match="has a tile"):
        family.start(analog(tile=Tile(CurrentDomain(), 8, 8)))


# Learnt ranges.


def test_learnt_ranges_have_the_gradient_of_a_learned_step(split):
    model = analog(bits=3)
    family = LearntRanges()
    start = family.start(model)
    shrunk = {**start, "weights": {"head": start["weights"]["head"] + jnp.log(0.6)}}
    x = jnp.eye(6, dtype=jnp.float32)

    def weights(log_scale):
        trained = {**start, "weights": {"head": log_scale}}
        return family.chip(model, trained, key=KEY).model(x) - model.head.bias[...][None]

    at = shrunk["weights"]["head"]
    held, slope = jax.jvp(weights, (at,), (jnp.ones_like(at),))
    scale = float(jnp.exp(at).squeeze())
    kernel = np.asarray(model.head.kernel[...])
    inside = np.abs(kernel) <= scale
    assert not inside.all()
    levels = 7
    expected = np.where(
        inside, np.round(np.abs(kernel) / scale * levels) / levels * scale, scale
    ) * np.sign(kernel)
    np.testing.assert_allclose(held, expected, atol=1e-6)
    # d/d ln s: q - w within the range, the full scale beyond.
    rise = np.where(inside, expected - kernel, expected)
    np.testing.assert_allclose(slope, rise, atol=1e-6)


def test_learnt_ranges_of_inputs_are_trained(split):
    tile = Tile(CurrentDomain(dac=Dac(4)), 8, 8)
    plain = analog(tile=tile)
    family = LearntRanges(inputs=True)
    with pytest.raises(ValueError, match="calibrated ranges"):
        family.start(plain)
    model = calibrate_converters(plain, jnp.asarray(split.x), inputs="max")
    training = AnalogTraining(model, split, steps=10, family=family, **OPTIONS)
    before, after = (training.trained(through(training, n)) for n in (0, 10))
    for kind in ("weights", "inputs"):
        a, b = before[kind]["head"], after[kind]["head"]
        assert float(jnp.abs(a - b).max()) > 1e-3
    # As from the calibration at the start.
    np.testing.assert_allclose(
        jnp.exp(before["inputs"]["head"]), model.head.input_range.get_value(), rtol=1e-6
    )


# Faults.


def test_known_faults_stay(split):
    device = DeviceStatistics(
        1e3, 1e6, GaussianError(0.02), effects=(PowerLawDrift(0.1, 0.0), StuckCells(0.15, 0.15))
    )
    model = analog(device)
    family = KnownFaults(KEY)
    one, two = (family.chip(model, (), key=jax.random.key(k)).model for k in (5, 6))
    chip = program_analog_weights(model, key=KEY)
    stuck = {}
    for name, m in {"one": one, "two": two, "chip": chip}.items():
        number = np.asarray(chips(m)["head"].effects[1])
        stuck[name] = (number < 0.15) | (1 - number <= 0.15)
    np.testing.assert_array_equal(stuck["one"], stuck["chip"])
    np.testing.assert_array_equal(stuck["two"], stuck["chip"])
    assert stuck["chip"].any()
    f, g = fractions(one), fractions(two)
    np.testing.assert_array_equal(f[stuck["chip"]], g[stuck["chip"]])
    # Other devices are written anew; a resting one may be cut at 0 twice.
    free = ~stuck["chip"] & (np.asarray(f) > 0)
    assert np.all(f[free] != g[free])
    with pytest.raises(ValueError, match="StuckCells"):
        family.start(analog())


@pytest.mark.slow
def test_knowing_the_faults_helps(split):
    device = DeviceStatistics(1e3, 1e6, effects=(StuckCells(0.1, 0.1),))
    model = analog(device)
    reached = {}
    for name, family in {"known": KnownFaults(KEY), "any": NoiseInjection()}.items():
        training = AnalogTraining(model, split, steps=60, family=family, **OPTIONS)
        state = through(training, 60)
        chip = KnownFaults(KEY).chip(training.model(state), (), key=jax.random.key(8)).model
        reached[name] = cross_entropy(logits(chip, split.x), split.y)
    assert reached["known"] < reached["any"]


def test_clipping(split):
    training = AnalogTraining(analog(), split, steps=5, clip_sigma=1.0, **OPTIONS)
    kernel = np.asarray(training.model(through(training, 5)).head.kernel[...])
    # Clipped at one deviation of what it was, which is more than one of what it is.
    assert np.sum(np.abs(kernel) == np.abs(kernel).max()) > 3


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`ramp` must be between"):
        NoiseInjection(ramp=2.0)
    with pytest.raises(ValueError, match="`times` must be empty"):
        NoiseInjection(horizon=(1.0, 2.0), times=(1.0,))
    with pytest.raises(ValueError, match="`compensate` must be False"):
        NoiseInjection(compensate=True)
    with pytest.raises(ValueError, match="`initial` must be"):
        LearntNoise(None, initial=0.0)
    with pytest.raises(ValueError, match="`weights` must be True"):
        LearntRanges(weights=False)


def test_layer_key_is_what_faults_are_drawn_from():
    # `KnownFaults` draws as `write` does; if that changes, this fails first.
    device = DeviceStatistics(1e3, 1e6, effects=(StuckCells(0.1, 0.1),))
    chip = chips(program_analog_weights(analog(device), key=KEY))["head"]
    own = jax.random.fold_in(layer_key(KEY, "head"), 1)
    np.testing.assert_array_equal(chip.effects[0], device.effects[0].draw(own, chip.drawn.shape))
    assert eqx.is_array(chip.drawn)
