"""Programmed-state devices: drawn statistics against the published fits, drift, noise of a read."""

from __future__ import annotations

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from analogjax import devices
from analogjax.devices import PCM, DeviceConfig, StatisticalDevice
from analogjax.simulation import Status, simulate
from analogjax.stimuli import pulse_train

KEY = jax.random.key(7)
DRAWS = 1_000_000


@eqx.filter_jit
def draw(device, conductance, key):
    """A million devices programmed to one conductance [S]."""
    return jax.vmap(lambda k: device.program(conductance, key=k))(jax.random.split(key, DRAWS))


@eqx.filter_jit
def reads(device, state, key):
    """A million reads of one state [ohm]."""
    resistance = device.read(state)
    keys = jax.random.split(key, DRAWS)
    return jax.vmap(lambda k: device.read_noise(resistance, state, key=k))(keys)


def saturating(a, b):
    return lambda g: a / 100 * (1 - np.exp(-100 * g / b))


# The fits as printed, sigma and G in uS, written out here a second time with numpy.
FITS = {
    "pcm_joshi": lambda g: -0.00178767 * g**2 + 0.07585724 * g + 0.28638599,
    "pcm_aihwkit": lambda g: 0.26348 + 1.9650 * (g / 25) - 1.1731 * (g / 25) ** 2,
    "rram_wan_crosssim": lambda g: 1.536e-4 * g**3 - 1.167e-2 * g**2 + 2.374e-1 * g + 1.053,
    "rram_wan_1s": lambda g: np.polyval([-16.815, 45.393, -43.853, 16.030, 0.348], g / 40),
    "rram_wan_1d": lambda g: np.polyval([-16.458, 47.095, -50.773, 22.086, 0.701], g / 40),
    "rram_wan_2d": lambda g: np.polyval([-11.934, 37.062, -43.507, 20.274, 0.782], g / 40),
    "rram_milo": lambda g: 4.782321 - 0.009107 * g,
    "cmo_hfox_fine": lambda g: 8.1107e-4 + 1.06879e-3 * g,
    "cmo_hfox_coarse": lambda g: 1.12185e-2 + 1.12903e-2 * g,
    # 100 nA are 1 uS at 0.1 V.
    "sonos_0d": saturating(19.887, 176.31),
    "sonos_1d": saturating(25.591, 186.86),
    "sonos_2d": saturating(28.728, 193.57),
    "sonos_3d": saturating(31.043, 198.90),
    "sonos_4d": saturating(33.762, 204.77),
}


def test_every_preset_has_its_source_and_its_test():
    presets = StatisticalDevice.PRESETS.keys()
    assert presets == StatisticalDevice.SOURCES.keys() == FITS.keys()


@pytest.mark.parametrize("preset", FITS)
def test_programmed_states_scatter_as_the_fit_says(preset):
    device = StatisticalDevice(preset)
    # From half of the range on, where zero is four and more standard deviations away.
    for number, g in enumerate(np.linspace(0.5, 1.0, 5) * float(device.g_max) * 1e6):
        drawn = np.asarray(draw(device, g * 1e-6, jax.random.fold_in(KEY, number)).conductance)
        ratio = np.var(drawn * 1e6, ddof=1) / FITS[preset](g) ** 2
        # Chi-square: the variance of 1e6 draws is known to sqrt(2e-6) = 0.14 %. Seventy tests: a
        # bound of five standard errors would fail one in 2e4 times (and the seed is fixed).
        assert abs(ratio - 1) < 5 * np.sqrt(2 / DRAWS)
        assert abs(drawn.mean() * 1e6 - g) < 5 * FITS[preset](g) / np.sqrt(DRAWS)


def test_the_write_error_is_normal():
    device = StatisticalDevice("rram_milo")
    drawn = np.asarray(draw(device, 1e-4, KEY).conductance)
    z = (drawn - 1e-4) / float(device.programming_std(1e-4))
    # Kolmogorov-Smirnov, on a part of the draws (the seed is fixed: p is a number).
    assert stats.kstest(z[:20_000], "norm").pvalue > 1e-3


@pytest.mark.parametrize("preset", ["pcm_aihwkit", "rram_wan_1s"])
def test_bias_of_the_floor(preset):
    # E max(f, s xi) = f Phi(f/s) + s phi(f/s), which is s phi(0) = 0.3989 s where f is nothing.
    device = StatisticalDevice(preset)
    s, f = FITS[preset](0.0) * 1e-6, float(device.floor)
    drawn = np.asarray(draw(device, 0.0, KEY).conductance)
    exact = f * stats.norm.cdf(f / s) + s * stats.norm.pdf(f / s)
    # The standard deviation of max(0, s xi) is 0.58 s; five standard errors of the mean.
    assert abs(drawn.mean() - exact) < 5 * 0.58 * s / np.sqrt(DRAWS)
    assert exact == pytest.approx(s * stats.norm.pdf(0), abs=0.6 * f)
    assert drawn.min() == f
    assert np.isfinite(1 / drawn).all()


def test_without_a_key_nothing_is_random():
    for device in (PCM(), StatisticalDevice("cmo_hfox_coarse")):
        state = device.program(2e-5)
        assert float(device.read(state)) == pytest.approx(5e4, rel=1e-12)
    # Nor with one, where all scatter is zero.
    still = PCM(programming_scale=0.0, read_scale=0.0)
    assert float(still.read(still.program(2e-5, key=KEY))) == pytest.approx(5e4, rel=1e-12)


def test_two_fits_of_one_figure_differ_by_fifteen_per_cent():
    ours = [float(StatisticalDevice(p).programming_std(2e-5)) * 1e6
            for p in ("rram_wan_crosssim", "rram_wan_1s")]  # fmt: skip
    # As printed in the reference, to its last digit.
    assert ours[0] == pytest.approx(2.36, abs=0.005)
    assert ours[1] == pytest.approx(2.03, abs=0.01)


@pytest.mark.parametrize(
    ("s", "mean", "variation"),
    [(0.1, 1.005013, 0.100251), (0.3, 1.046028, 0.306878), (0.5, 1.133148, 0.532940)],
)
def test_log_normal_closed_forms(s, mean, variation):
    g = 1e-5
    for distribution, wanted in (("lognormal_median", mean), ("lognormal_mean", 1.0)):
        device = StatisticalDevice(distribution=distribution, log_std=s)
        drawn = np.asarray(draw(device, g, KEY).conductance) / g
        # Six printed digits for the closed form; five standard errors for the draws (that of the
        # deviation of a log-normal is some times larger than that of a normal).
        exact = float(device.programming_std(g)) / g
        assert exact / wanted == pytest.approx(variation, abs=6e-7)
        assert abs(drawn.mean() - wanted) < 5 * exact / np.sqrt(DRAWS)
        assert drawn.std() == pytest.approx(exact, rel=0.02)
        middle = wanted / mean
        assert abs(np.median(drawn) - middle) < 5 * 1.26 * s * middle / np.sqrt(DRAWS)


def test_phase_change_memory_check_values():
    pcm = PCM()
    full, tenth = 25e-6, 2.5e-6
    # Check values of the reference, to their last digit.
    assert float(pcm.programming_std(full)) * 1e6 == pytest.approx(1.0554, abs=5e-5)
    assert [float(x) for x in pcm.drift_exponent(full)] == pytest.approx([0.049, 0.008])
    assert [float(x) for x in pcm.drift_exponent(tenth)] == pytest.approx(
        [0.0601, 0.0229], abs=5e-5
    )
    state = pcm.program(full)
    for seconds, factor in ((3600.0, 0.775129), (86400.0, 0.6635)):
        later = float(pcm.conductance_of(pcm.rest(state, seconds))) / full
        # Half of the last digit printed.
        assert later == pytest.approx(factor, abs=5e-7 if seconds == 3600.0 else 5e-5)
    for g, first, day in ((full, 3.68, 4.48), (tenth, 16.4, 20.0)):
        state = pcm.program(g)
        later = pcm.rest(state, 86400.0)
        for s, wanted in ((state, first), (later, day)):
            percent = 100 * float(pcm.read_std(s) / pcm.conductance_of(s))
            assert percent == pytest.approx(wanted, abs=0.05 if wanted > 10 else 0.005)


def test_drift_exponents_are_drawn_once_and_never_negative():
    pcm = PCM()
    for g in (25e-6, 2.5e-6, 2.5e-8):
        nu = np.asarray(draw(pcm, g, KEY).character)
        mean, spread = (float(x) for x in pcm.drift_exponent(g))
        folded = stats.foldnorm(mean / spread, scale=spread)
        assert nu.min() >= 0
        # Five standard errors of a mean; 0.1 % of a deviation is 1.4 of its.
        assert abs(nu.mean() - folded.mean()) < 5 * spread / np.sqrt(DRAWS)
        assert nu.std() == pytest.approx(folded.std(), rel=5e-3)
    state = pcm.program(1e-5, key=KEY)
    later = pcm.rest(pcm.rest(state, 100.0), 900.0)
    # Slow, not fresh: rest adds up, and the exponent stays.
    assert eqx.tree_equal(later, pcm.rest(state, 1000.0))
    assert float(later.character) == float(state.character)


def test_reads_scatter_afresh():
    pcm = PCM()
    state = pcm.rest(pcm.program(25e-6, key=KEY), 86400.0)
    g = 1 / np.asarray(reads(pcm, state, KEY))
    now = float(pcm.conductance_of(state))
    assert g.std() == pytest.approx(float(pcm.read_std(state)), rel=5 * np.sqrt(0.5 / DRAWS))
    assert abs(g.mean() - now) < 5 * g.std() / np.sqrt(DRAWS)


def test_relaxation_of_cmo_hfox():
    device = StatisticalDevice("cmo_hfox_fine")
    g = 5e-5
    states = draw(device, g, KEY)
    written = np.asarray(states.conductance)
    for t in (1.0, 3600.0, 86400.0):
        later = jax.vmap(lambda s, t=t: device.conductance_of(device.rest(s, t)))(states)
        shift = (np.asarray(later) - written) * 1e6
        spread = 0.04201 * np.log(t) + 0.41183
        # Five standard errors.
        assert abs(shift.mean() + 0.0890 * np.log(t)) < 5 * spread / np.sqrt(DRAWS)
        assert shift.std() == pytest.approx(spread, rel=5 * np.sqrt(0.5 / DRAWS))
    # Of every device on its own: the same number at all times.
    one = jax.tree.map(lambda x: x[0], states)
    hour, day = (device.conductance_of(device.rest(one, t)) for t in (3600.0, 86400.0))
    xi = float(one.character)
    expected = (-0.0890 + 0.04201 * xi) * np.log(24.0) * 1e-6
    assert float(day - hour) == pytest.approx(expected, rel=1e-9)
    state = device.rest(device.program(g), 3600.0)
    now = float(device.conductance_of(state)) * 1e6
    wanted = 0.02773 * np.log10(now) * np.sqrt(np.log((3600 + 1e-6) / 2e-6))
    assert float(device.read_std(state)) * 1e6 == pytest.approx(wanted, rel=1e-9)
    # Just programmed nothing has relaxed and a read has no flicker yet.
    assert float(device.read_std(device.program(g))) == 0.0


def test_gradients_against_central_differences():
    @eqx.filter_jit
    def later(parameters, device):
        device = eqx.tree_at(
            lambda d: [getattr(d, name) for name in parameters], device, list(parameters.values())
        )
        state = device.rest(device.program(1e-5, key=KEY), 3600.0)
        g = device.conductance_of(state)
        return 1e6 * (g + 0.3 * device.read_std(state))

    for device in (PCM(), StatisticalDevice("cmo_hfox_coarse"), StatisticalDevice("rram_wan_1d")):
        # Where zero is the value there is no step on both sides.
        values = {k: v for k, v in device.parameters().items() if float(v) != 0}
        gradient = jax.grad(later)(values, device)
        for name, value in values.items():
            step = 1e-5 * value
            up, down = (later(values | {name: value + s}, device) for s in (step, -step))
            # Both as elasticities. The function is about 10: its round-off of 1e-15 over a step of
            # 1e-5 is 1e-10; the curvature adds 1e-10 relative.
            difference = float((up - down) / 2e-5)
            slope = float(gradient[name] * value)
            assert slope == pytest.approx(difference, rel=1e-6, abs=1e-9), name
        # Just programmed as well, where logarithms and roots begin.
        fresh = jax.grad(
            lambda t, device=device: device.read_std(device.rest(device.program(1e-5), t))
        )(0.0)
        assert np.isfinite(float(fresh))


@pytest.mark.parametrize("device", [PCM(), StatisticalDevice("cmo_hfox_coarse")])
def test_simulate_reads_but_does_not_write(device):
    v = 0.5 * float(device.read_voltage)
    drive = pulse_train(v * jnp.ones(3), width=1.0, gap=99.0)
    state = device.program(1e-5)
    result = simulate(device, drive, state)
    # Ohmic, and time passes: under the read as well as in the gaps.
    np.testing.assert_allclose(result.final_state.elapsed, 300.0, rtol=1e-12)
    now = device.conductance_of(device.rest(state, 300.0))
    np.testing.assert_allclose(1 / result.read_resistance[-1], now, rtol=1e-12)
    np.testing.assert_allclose(
        result.i[1], v * device.conductance_of(device.rest(state, 1.0)), rtol=1e-12
    )
    noisy = simulate(device, drive, state, key=KEY)
    assert not np.allclose(noisy.read_resistance[1:], result.read_resistance[1:], rtol=1e-6)
    with pytest.raises(ValueError, match=r"`drive` must stay within the read voltage .* 1 V"):
        simulate(device, pulse_train(jnp.ones(1), width=1.0))
    # In a batch nothing can be raised: the lane says so.
    batch = jax.vmap(lambda v: simulate(device, pulse_train(v[None], width=1.0), throw=False))
    statuses = batch(jnp.asarray([0.1, 2.0])).status
    assert list(map(int, statuses)) == [Status.SUCCESS, Status.BEYOND_MODEL]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PCM().program(3e-5), "`conductance` must be between 0 and 2.5.*e-05 S"),
        (lambda: PCM(g_min=3e-5), "`g_min` must be below `g_max`"),
        (lambda: StatisticalDevice("rram_mila"), "did you mean 'rram_milo'"),
        (lambda: StatisticalDevice(distribution="log"), "`distribution` must be one of"),
        (lambda: PCM().replace(drift=0.0), "did you mean `drift_scale`"),
    ],
)
def test_wrong_arguments_get_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_configuration_spells_them():
    device = DeviceConfig(
        "StatisticalDevice", "rram_milo", options={"distribution": "lognormal_mean"}
    ).build()
    assert device.distribution == "lognormal_mean"
    assert DeviceConfig("PCM").build().window[1] == pytest.approx(4e4)
    assert {"PCM", "StatisticalDevice"} <= devices.config.device_kinds().keys()
    assert all(p.source for p in StatisticalDevice.PARAMETERS.values())
    assert inspect.isabstract(devices.AbstractProgrammedDevice)
