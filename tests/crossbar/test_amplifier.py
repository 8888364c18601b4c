"""The amplifier of a bit line: against published numbers, circuits solved here, time stepping."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from analogjax.crossbar import LoadResistor, Transimpedance
from analogjax.crossbar.amplifier import TYPICAL_GAIN, TYPICAL_GBW

KEY = jax.random.key(0)
R_F = 1e4


def make(**options):
    """Return an amplifier with float64 numbers."""
    amplifier = Transimpedance(jnp.asarray(options.pop("r_f", R_F)), **options)
    return jax.tree.map(lambda leaf: leaf.astype(float), amplifier)


run = eqx.filter_jit(lambda amplifier, *args, **options: amplifier(*args, **options))


@pytest.mark.parametrize(("gain", "load", "want"), [(1e3, 12.8, 0.986388), (1e4, 32, 0.996711)])
def test_d2_gain_of_a_finite_amplifier(gain, load, want):
    i = jnp.asarray([[1e-5]])
    v = run(make(gain=gain), i, jnp.asarray([load / R_F]))
    np.testing.assert_allclose(v / (-R_F * i), want, atol=5e-7)  # printed digits


def test_gain_and_offset_solve_the_circuit():
    # Unknowns: inverting input v and output V. Kirchhoff at the input, cells to inputs at V_in,
    # and V = A_0 (V_os - v).
    g = np.asarray([[2e-5, 5e-5], [4e-5, 1e-5], [3e-5, 8e-5]])
    v_in = np.asarray([0.2, -0.1, 0.15])
    amplifier = make(gain=200.0, offset_std=3e-3)
    drawn = jnp.asarray([0.7, -1.2], jnp.float32)
    want = []
    for j, v_os in enumerate(3e-3 * np.asarray(drawn, float)):
        matrix = [[g[:, j].sum() + 1 / R_F, -1 / R_F], [200.0, 1.0]]
        want.append(np.linalg.solve(matrix, [g[:, j] @ v_in, 200 * v_os])[1])
    got = run(amplifier, jnp.asarray(v_in @ g), jnp.asarray(g.sum(0)), drawn)
    # The formula gives the offset the noise gain of an ideal amplifier: 1 % more here.
    signal = run(amplifier, jnp.asarray(v_in @ g), jnp.asarray(g.sum(0)))
    n = 1 + R_F * g.sum(0)
    exact = np.asarray(signal) + 3e-3 * np.asarray(drawn) * n / (1 + n / 200)
    np.testing.assert_allclose(exact, want, rtol=1e-7)
    np.testing.assert_allclose(got - signal, 3e-3 * np.asarray(drawn) * n, rtol=1e-6)


def test_an_ideal_amplifier_is_its_resistor():
    i = jax.random.normal(KEY, (4, 3)) * 1e-5
    ideal = make()
    assert ideal.draw(KEY, 3) is None
    assert len(jax.tree.leaves(ideal)) == 2  # the resistor, and the exponent of rails it has not
    np.testing.assert_allclose(run(ideal, i, jnp.ones(3) * 1e-3, key=KEY), -R_F * i, rtol=1e-15)
    typical = Transimpedance.typical(R_F)
    assert (typical.gain, typical.gbw) == (TYPICAL_GAIN, TYPICAL_GBW)


@pytest.mark.parametrize("slew_rate", [None, 2e6, 2e7])
def test_settling_is_that_of_the_circuit_in_time(slew_rate):
    g_sum, gbw, t = 8e-4, 1e7, 1.2e-7
    rate = 2 * np.pi * gbw / (1 + R_F * g_sum)
    amplifier = make(gbw=gbw, settle_time=t, slew_rate=slew_rate)
    currents = np.asarray([-1e-4, -2e-5, 0.0, 3e-6, 5e-5])
    got = run(amplifier, jnp.asarray(currents)[:, None], jnp.asarray([g_sum]))[:, 0]
    limit = np.inf if slew_rate is None else slew_rate
    final = -R_F * currents

    def slope(_, v):
        return np.clip(rate * (final - v), -limit, limit)

    want = solve_ivp(slope, (0, t), np.zeros(5), rtol=1e-9, atol=1e-13, max_step=t / 200).y[:, -1]
    np.testing.assert_allclose(got, want, rtol=2e-7, atol=1e-12)


def test_without_a_bandwidth_the_slew_rate_alone_limits():
    amplifier = make(settle_time=1e-7, slew_rate=1e6)
    v = run(amplifier, jnp.asarray([-2e-5, 1e-6, 5e-5]), jnp.zeros(3))
    np.testing.assert_allclose(v, [0.1, -0.01, -0.1], rtol=1e-7)


def test_rails_are_never_passed_and_small_signals_are_left_alone():
    i = jnp.asarray([1e-3, 1e12, -1.0, 5e-5, 1e-6])
    v = run(make(v_rail=1.0), i, jnp.zeros(5))
    assert (np.abs(v) <= 1).all()
    np.testing.assert_allclose(v[1:3], [-1, 1], rtol=1e-12)
    # (1 + 2^-8)^(-1/8) = 0.9995: what the exponent of 8 takes at half the rail.
    np.testing.assert_allclose(v[3], -0.5 * (1 + 2.0**-8) ** -0.125, rtol=1e-12)
    np.testing.assert_allclose(v[4], -0.01, rtol=1e-15)
    low = make(v_rail=1.0, rail_sharpness=2.0)
    np.testing.assert_allclose(run(low, i, jnp.zeros(5))[3], -0.5 / np.sqrt(1.25), rtol=1e-12)


def test_noise_has_the_variance_of_both_sources():
    g_sum = jnp.asarray([1e-4, 1e-3])
    amplifier = make(gbw=1e8, v_noise=5e-9)
    n = 1 + R_F * np.asarray(g_sum)
    density = 25e-18 * n**2 + 4 * 1.380649e-23 * 350 * R_F
    want = density * np.pi / 2 * 1e8 / n
    variance = amplifier.noise_variance(g_sum, temperature=350.0)
    np.testing.assert_allclose(variance, want, rtol=1e-6)  # 5e-9 in float32
    v = run(amplifier, jnp.zeros((20_000, 2)), g_sum, key=KEY, temperature=350.0)
    np.testing.assert_allclose(np.var(v, axis=0), want, rtol=0.04)  # standard error 1 %
    quiet = make(gbw=1e8, resistor_noise=False)
    np.testing.assert_array_equal(run(quiet, jnp.zeros((2, 2)), g_sum, key=KEY), 0.0)
    np.testing.assert_array_equal(make().noise_variance(g_sum), 0.0)


def test_gradients_are_those_of_difference_quotients():
    amplifier = make(
        gain=300.0, gbw=2e7, slew_rate=3e6, settle_time=1e-7, v_rail=0.5,
        offset_std=4e-3, v_noise=2e-8,
    )  # fmt: skip
    drawn = amplifier.draw(KEY, 2)
    # Settling, slewing, and near the rail.
    i = jnp.asarray([[1e-6, -3e-5], [0.0, 6e-5]])
    g_sum = jnp.asarray([2e-4, 5e-4])

    @eqx.filter_jit
    def loss(arguments):
        amplifier, i, g_sum = arguments
        v = amplifier(i, g_sum, drawn, key=KEY, temperature=320.0)
        return jnp.sum(v * jnp.asarray([[1.0, 2.0], [3.0, 4.0]]))

    arguments = (amplifier, i, g_sum)
    slopes = jax.tree.leaves(eqx.filter_grad(loss)(arguments))
    leaves, tree = jax.tree.flatten(arguments)
    assert len(leaves) == len(slopes) == 11
    for at, leaf in enumerate(leaves):
        for index in np.ndindex(leaf.shape):
            step = 1e-5 * (float(leaf[index]) or 1e-5)

            def moved(sign, at=at, leaf=leaf, index=index, step=step):
                others = [*leaves[:at], leaf.at[index].add(sign * step), *leaves[at + 1 :]]
                return float(loss(jax.tree.unflatten(tree, others)))

            quotient = (moved(1) - moved(-1)) / (2 * step)
            # 1e-5 steps of a loss of 1 in float64: 1e-10 of its size, and a second-order error.
            scale = 1 / abs(float(leaf[index]) or 1e-5)
            np.testing.assert_allclose(slopes[at][index], quotient, rtol=1e-5, atol=1e-9 * scale)
    # At 0 A, settling is still linear.
    by_i = jax.grad(lambda i: loss((amplifier, i, g_sum)))(i)
    assert by_i[1, 0] != 0


def test_float32_stays():
    amplifier = Transimpedance.typical(
        R_F, settle_time=1e-7, slew_rate=1e7, v_rail=1.0, offset_std=1e-3, v_noise=5e-9
    )
    i, g_sum = jnp.ones((3, 2), jnp.float32) * 1e-5, jnp.ones(2, jnp.float32) * 1e-3
    drawn = amplifier.draw(KEY, 2)
    assert drawn.dtype == jnp.float32
    program = jax.make_jaxpr(lambda i: amplifier(i, g_sum, drawn, key=KEY))(i)
    assert "f64" not in str(program)
    double = make(
        gain=TYPICAL_GAIN, gbw=TYPICAL_GBW, settle_time=1e-7, slew_rate=1e7, v_rail=1.0,
        offset_std=1e-3, v_noise=5e-9,
    )  # fmt: skip
    want = run(double, i.astype(float), g_sum.astype(float), drawn)
    np.testing.assert_allclose(run(amplifier, i, g_sum, drawn), want, rtol=1e-5)
    # The noise of float32 is above where it underflows: 1e-16 V^2/Hz.
    variance = amplifier.noise_variance(g_sum)
    np.testing.assert_allclose(variance, double.noise_variance(g_sum.astype(float)), rtol=1e-5)


def test_a_load_is_a_divider():
    g = np.asarray([2e-5, 5e-5, 1e-4])
    v_in = np.asarray([0.2, -0.1, 0.15])
    # Kirchhoff at the bit line: sum g (v_in - V) = V / R_L.
    want = (g @ v_in) / (g.sum() + 1 / 5e3)
    load = LoadResistor(jnp.asarray(5e3))
    got = load(jnp.asarray([[g @ v_in]]), jnp.asarray([g.sum()]))
    np.testing.assert_allclose(got, [[want]], rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Transimpedance(-1.0), "`r_f` must be finite and above 0 ohm, but is -1.0"),
        (lambda: Transimpedance(R_F, gain=0.0), "`gain` must be finite and above 0"),
        (lambda: Transimpedance(R_F, v_noise=1e-9), "`gbw` must be given with `v_noise`"),
        (lambda: Transimpedance(R_F, slew_rate=1e6), "`settle_time` must be given"),
        (lambda: Transimpedance(R_F, offset_std=-1e-3), "`offset_std` must be finite and at least"),
        (lambda: LoadResistor(0.0), "`r_load` must be finite and above 0 ohm, but is 0.0"),
    ],
    ids=range(6),
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
