"""Switching populations: closed forms, derivatives, recovery of what made the data, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import analogjax as aj
from analogjax.data.measurements import measurement
from analogjax.fitting import FitError, maximum_likelihood
from analogjax.fitting.statistics.programmed_resistance import ProgrammedResistance
from analogjax.fitting.statistics.switching_check import (
    reliability,
    switching_grid,
    table_probability,
)
from analogjax.fitting.statistics.switching_devices import DevicePopulation, grouped, quasi_normal
from analogjax.fitting.statistics.switching_population import (
    REFERENCE_RESISTANCE,
    VoltagePopulation,
)
from analogjax.fitting.statistics.switching_trials import (
    SwitchingTrials,
    resistance_threshold,
    separated,
    split_cells,
    switching_trials,
)

WIDTHS = np.array([2e-8, 2e-7, 2e-6])
VOLTAGES = np.array([0.8, 1.0, 1.2, 1.6])
GATES = np.array([0.6, 0.8, 1.5, 3.0])
THRESHOLD = 18e3
# A wide-open transistor that limits nothing.
OPEN = dict(gate_factor=1e3, hold_voltage=1e-3, series_resistance=1.0)


def pulses(cells, seed=0):
    """Cells above the threshold under every pulse of the grid, none switched yet."""
    rng = np.random.default_rng(seed)
    v, g, t = (
        np.repeat(x.ravel(), cells) for x in np.meshgrid(VOLTAGES, GATES, WIDTHS, indexing="ij")
    )
    before = np.exp(rng.normal(np.log(8e4), 0.4, len(v))).clip(1.2 * THRESHOLD)
    return SwitchingTrials(
        voltage=jnp.asarray(v),
        width=jnp.asarray(t),
        gate_voltage=jnp.asarray(g),
        resistance_before=jnp.asarray(before),
        resistance_after=jnp.asarray(before),
        switched=jnp.zeros(len(v)),
        threshold=jnp.asarray(THRESHOLD),
        device=np.arange(len(v)),
        polarity="set",
    )


@eqx.filter_jit
def probability(model, trials):
    return model.probability(trials)


def drawn(model, trials, seed=1):
    p = np.asarray(probability(model, trials))
    yes = np.random.default_rng(seed).random(len(p)) < p
    return eqx.tree_at(lambda t: t.switched, trials, jnp.asarray(yes.astype(float)))


TRUE = VoltagePopulation("set", v_half=1.1, v_fold=0.02, v_spread=0.12, v_before=0.1)
FREE = ("v_half", "v_fold", "v_spread", "v_before")


def test_probability_without_a_transistor_is_a_closed_form():
    trials = pulses(3)
    model = TRUE.replace(**OPEN, read_scatter=1e-6)
    v, t, r = (np.asarray(x) for x in (trials.voltage, trials.width, trials.resistance_before))
    excess = v + 0.02 * np.log(t / 1e-6) - 1.1
    excess -= 0.1 * np.log(r / REFERENCE_RESISTANCE["set"])
    # What is left is the voltage drop of a few microvolts over the open transistor.
    np.testing.assert_allclose(probability(model, trials), norm.cdf(excess / 0.12), atol=1e-4)
    shares = model.replace(always=0.1, never=0.2)
    np.testing.assert_allclose(
        probability(shares, trials), 0.1 + 0.7 * norm.cdf(excess / 0.12), atol=1e-4
    )


def test_second_readings_cross_the_threshold_alone():
    trials = pulses(3)
    model = TRUE.replace(v_half=15.0, read_scatter=0.8)
    z = np.log(THRESHOLD / np.asarray(trials.resistance_before)) / 0.8
    np.testing.assert_allclose(probability(model, trials), norm.cdf(z), atol=1e-12)


def test_a_closed_gate_switches_nothing_and_an_open_one_more():
    trials = pulses(1)
    alike = jnp.full(len(trials), 8e4)
    trials = eqx.tree_at(lambda t: t.resistance_before, trials, alike)
    p = np.asarray(probability(TRUE.replace(read_scatter=1e-3), trials))
    by_gate = p.reshape(len(VOLTAGES), len(GATES), len(WIDTHS))
    # More gate voltage never hurts; the first gate lies just above the threshold of 0.4 V.
    assert (np.diff(by_gate, axis=1) >= -1e-9).all()
    assert by_gate[-1, 0].max() < 0.1 < 0.9 < by_gate[-1, -1].min()


def test_derivatives_against_differences():
    trials = drawn(TRUE, pulses(2))
    names = (*FREE, "gate_factor", "gate_threshold", "gate_lowering", "hold_voltage")

    @jax.jit
    def total(x):
        model = TRUE.replace(**dict(zip(names, x, strict=True)))
        return jnp.sum(model.log_likelihood(trials))

    x = jnp.asarray([float(getattr(TRUE, n)) for n in names])
    slopes = jax.jit(jax.grad(total))(x)
    for k in range(len(names)):
        step = 1e-5 * float(x[k])
        ends = [float(total(x.at[k].add(s * step))) for s in (-1, 1)]
        # Central differences: 1e-10 of the third derivative, and round-off over the step.
        assert float(slopes[k]) == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-4)


@pytest.fixture(scope="module")
def recovered():
    trials = drawn(TRUE, pulses(40))
    start = TRUE.replace(v_half=1.3, v_fold=0.05, v_spread=0.2, v_before=0.0)
    return maximum_likelihood(start, trials, FREE), trials


def test_recovery(recovered):
    estimate, trials = recovered
    for name in FREE:
        miss = estimate.parameters[name] - float(getattr(TRUE, name))
        assert abs(miss) < 3 * estimate.standard_errors[name], name
    # The true model made the data, so both standard errors estimate the same.
    for name in FREE:
        ratio = estimate.robust_errors[name] / estimate.standard_errors[name]
        assert 0.8 < ratio < 1.25, name
    assert estimate.log_likelihood >= float(jnp.sum(TRUE.log_likelihood(trials)))


def test_grids_of_unseen_cells(recovered):
    estimate, _ = recovered
    unseen = drawn(TRUE, pulses(40, seed=5), seed=6)
    p = np.asarray(probability(estimate.model, unseen))
    grid = switching_grid(unseen, p, ("width", "voltage"))
    assert grid.count.tolist() == [160] * 12
    first = (np.asarray(unseen.width) == 2e-8) & (np.asarray(unseen.voltage) == 0.8)
    assert grid.measured[0] == pytest.approx(np.mean(np.asarray(unseen.switched)[first]))
    assert grid.predicted[0] == pytest.approx(np.mean(p[first]))
    assert grid.noise[0] == pytest.approx(np.sqrt(np.sum((p * (1 - p))[first])) / 160)
    assert grid.largest <= 0.1  # 160 cells a point: at most 0.04 by chance, 12 points
    assert 0 <= grid.excess < 0.03
    assert grid.coverage() >= 0.75  # 9 of 12 points
    values, maps = grid.table()
    assert [len(v) for v in values] == [3, 4]
    assert maps["measured"][0, 0] == grid.measured[0]
    mean, share, count = reliability(unseen, p, bins=5)
    assert count.sum() == len(unseen)
    assert np.all(np.abs(mean - share) < 5 * np.sqrt(0.25 / count))
    # A table of few cells a point tells less than the model that made the data.
    seen = drawn(TRUE, pulses(2))
    table = table_probability(seen, unseen)
    yes = np.asarray(unseen.switched) > 0.5
    log = [np.mean(np.log(np.where(yes, q, 1 - q).clip(1e-9))) for q in (p, table)]
    assert log[0] > log[1]


def test_switching_times_of_devices():
    """VTEAM with one spread is a closed form: the state is linear in time."""
    device = aj.devices.VTEAM(
        iv="exponential", window="none", r_on=4e3, r_off=1.3e6, v_on=-0.7, k_on=-1e-2
    )
    model = DevicePopulation(
        "set",
        device,
        pace="k_on",
        spread={"k_on": 2.0},
        fitted=("v_on",),
        cells=2,
        **OPEN,
        read_scatter=1e-6,
    )
    trials = pulses(1)
    v, t, r = (np.asarray(x) for x in (trials.voltage, trials.width, trials.resistance_before))
    way = 3e-9 * np.log(r / THRESHOLD) / np.log(1.3e6 / 4e3)
    tau = way / (1e-2 * (v / 0.7 - 1) ** 3)
    np.testing.assert_allclose(
        probability(model, trials), norm.cdf((np.log(t) - np.log(tau)) / 2.0), atol=2e-4
    )
    # Below the threshold nothing moves, and no derivative is lost.
    still = model.replace(v_on=-1.1)
    slope = jax.grad(lambda k: jnp.sum(still.replace(k_on=k).log_likelihood(drawn(TRUE, trials))))(
        jnp.asarray(-1e-2)
    )
    assert np.isfinite(slope)
    assert np.asarray(probability(still, trials))[v <= 1.0].max() < 1e-9


def test_a_population_of_devices_gives_devices():
    device = aj.devices.VTEAM(iv="exponential", window="none", r_on=4e3, r_off=1.3e6, v_on=-0.9)
    model = DevicePopulation(
        "set", device.replace(k_on=-1e-2), pace="k_on", spread={"k_on": 1.0, "v_on": 0.1},
        draws=64, cells=2, **OPEN, read_scatter=1e-6,
    )  # fmt: skip
    assert set(model.spread().names) == {"k_on", "v_on"}
    devices = model.sample(4000, key=jax.random.key(0))
    trials = pulses(1).take(np.flatnonzero(np.asarray(pulses(1).voltage) == 1.2)[-1:])
    start = float(np.log(float(trials.resistance_before[0]) / 4e3) / np.log(1.3e6 / 4e3))
    end = float(np.log(THRESHOLD / 4e3) / np.log(1.3e6 / 4e3))
    speed = np.asarray(
        eqx.filter_vmap(lambda d: d.velocity(jnp.asarray(-1.2), jnp.asarray(start)))(devices)
    )
    fast = (start - end) / np.maximum(-speed, 1e-300) < float(trials.width[0])
    # 4000 devices: 0.008 by chance; 64 quasi-random draws: a percent.
    assert np.mean(fast) == pytest.approx(float(probability(model, trials)[0]), abs=0.03)
    assert model.replace(v_on=-0.8, gate_slope=1.5).parameters()["v_on"] == -0.8
    for wrong, message in (
        (dict(pace="k_of", spread={"k_of": 1.0}), "did you mean `k_off`"),
        (dict(pace="k_on", spread={"v_on": 1.0}), "`pace` must be one of 'v_on'"),
        (dict(pace="alpha_on", spread={"alpha_on": 1.0}), "velocity is proportional to"),
    ):
        with pytest.raises(ValueError, match=message):
            DevicePopulation("set", device, **wrong)


def test_groups_hold_all_cells():
    trials = drawn(TRUE, pulses(20))
    few, counts = grouped(trials, bins=2)
    assert counts.sum() == len(trials)
    assert len(few) <= 4 * 4 * 3 * 2 * 2
    switched = np.asarray(few.switched)
    assert np.sum(counts * switched) == np.sum(np.asarray(trials.switched))
    normals = quasi_normal(64, 2)
    # Even: the mean of 64 is far below the 0.125 of independent ones.
    assert np.abs(normals.mean(axis=0)).max() < 0.02
    assert normals.std(axis=0) == pytest.approx(np.ones(2), abs=0.05)


def test_programmed_resistance_is_recovered():
    true = ProgrammedResistance("set", floor=5e3, limited=3e3, v_closed=0.3)
    gates = np.repeat([0.8, 1.0, 1.5, 3.0], 300)
    ones = jnp.ones(len(gates))
    trials = SwitchingTrials(
        voltage=2.0 * ones,
        width=1e-6 * ones,
        gate_voltage=jnp.asarray(gates),
        resistance_before=8e4 * ones,
        resistance_after=ones,
        switched=ones,
        threshold=jnp.asarray(THRESHOLD),
        device=np.arange(len(gates)),
        polarity="set",
    )
    after = true.sample(trials, key=jax.random.key(3))
    assert float(jnp.max(after)) < THRESHOLD
    trials = eqx.tree_at(lambda t: t.resistance_after, trials, after)
    free = ("floor", "limited", "floor_scatter", "limited_scatter")
    estimate = maximum_likelihood(true.replace(floor=6e3, limited=2e3), trials, free)
    for name in free:
        miss = estimate.parameters[name] - float(getattr(true, name))
        assert abs(miss) < 3 * estimate.standard_errors[name], name
    rank = np.sort(np.asarray(true.rank(trials)))
    # Kolmogorov: 1.63 / sqrt(1200) is exceeded once in a hundred.
    assert np.max(np.abs(rank - (np.arange(1200) + 0.5) / 1200)) < 1.63 / np.sqrt(1200)
    np.testing.assert_allclose(
        true.rank(eqx.tree_at(lambda t: t.resistance_after, trials,
                              true.quantile(0.3 * ones, trials))), 0.3, rtol=1e-9,
    )  # fmt: skip


def labelled(before, after, voltage=1.0, **more):
    count = len(before)
    values = dict(voltage=np.full(count, voltage), width=np.full(count, 1e-6),
                  gate_voltage=np.full(count, 2.0), device=np.arange(count))  # fmt: skip
    values |= more
    return measurement(
        "single_pulse", resistance_before=np.asarray(before, float),
        resistance_after=np.asarray(after, float), **values,
    )  # fmt: skip


def test_which_cells_switched():
    data = labelled([1e5, 1e5, 1e4, 1e5], [1e4, 1e5, 9e3, 2e4])
    trials = switching_trials(data, THRESHOLD)
    assert trials.polarity == "set"
    assert trials.device.tolist() == [0, 1, 3]
    assert trials.switched.tolist() == [1, 0, 0]
    back = switching_trials(labelled([9e3, 9e3, 5e4], [3e4, 1e4, 4e4], -2.0), THRESHOLD)
    assert (back.polarity, back.switched.tolist()) == ("reset", [1, 0])
    assert back.voltage.tolist() == [2.0, 2.0]


def test_refusals():
    high, low = np.full(20, 1e5), np.full(20, 9e3)
    with pytest.raises(FitError, match="but none did"):
        switching_trials(labelled(high, high), THRESHOLD)
    with pytest.raises(FitError, match="but every one did"):
        switching_trials(labelled(high, low), THRESHOLD)
    with pytest.raises(FitError, match=r"positive voltage must lower the resistance.*reverse"):
        switching_trials(labelled(low, high), THRESHOLD)
    with pytest.raises(FitError, match=r"negative voltage must raise the resistance.*reverse"):
        switching_trials(labelled(high, low, -1.0), THRESHOLD)
    with pytest.raises(FitError, match="must be above the threshold before a SET"):
        switching_trials(labelled(low, low), THRESHOLD)
    after = np.where(np.arange(20) < 10, 1e5, 9e3)
    rising = np.linspace(0.5, 1.5, 20)
    with pytest.raises(FitError, match="parts them completely"):
        switching_trials(labelled(high, after, voltage=rising), THRESHOLD)
    overlap = after.copy()
    overlap[[5, 15]] = overlap[[15, 5]]
    assert not separated(switching_trials(labelled(high, overlap, voltage=rising), THRESHOLD))
    with pytest.raises(ValueError, match="voltages of one sign"):
        switching_trials(labelled(high, after, voltage=rising - 1.0), THRESHOLD)
    with pytest.raises(ValueError, match="protocol 'single_pulse'"):
        switching_trials(measurement("retention", time=[0.0], conductance=[[1.0]]), THRESHOLD)


def test_the_threshold_lies_in_the_valley():
    rng = np.random.default_rng(0)
    low, high = (10 ** rng.normal(m, 0.1, n) for m, n in ((3.8, 3000), (5.0, 1000)))
    # Valley between two normal densities: 8 to 10 standard deviations apart, wide and flat.
    assert 10**4.1 < resistance_threshold(np.r_[low, high]) < 10**4.7
    with pytest.raises(FitError, match="only one mode, at 6"):
        resistance_threshold(low)


def test_the_split_is_fixed_and_even():
    cells = np.arange(65536)
    seen = split_cells(cells, 1 / 3)
    assert seen[:12].tolist() == [
        (2654435761 * k) % 2**32 / 2**32 < 1 / 3 for k in range(12)
    ]  # fmt: skip
    assert seen.mean() == pytest.approx(1 / 3, abs=0.001)
    # Even cells alone, as were measured, part as evenly.
    assert seen[::2].mean() == pytest.approx(1 / 3, abs=0.001)
