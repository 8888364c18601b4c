"""Yakopcic's model and the Nb:SrTiO3 interface device, against a transcript solved by scipy."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from analogjax.devices import NbSrTiO3, PulseLaw, Yakopcic
from analogjax.simulation import Rosenbrock, simulate
from analogjax.stimuli import piecewise, pulse_train

TIGHT = Rosenbrock(1e-11, 1e-11, max_steps=65536)


def transcript(p, knee_n):
    """The published equations in plain Python."""

    def f(v, x):
        g = 0.0
        if v > p["v_p"]:
            g = p["a_p"] * (np.exp(v) - np.exp(p["v_p"]))
        elif v < -p["v_n"]:
            g = -p["a_n"] * (np.exp(-v) - np.exp(p["v_n"]))
        if v > 0:
            if x < p["x_p"]:
                return g
            w = (p["x_p"] - x) / (1 - p["x_p"]) + 1
            return g * np.exp(-p["alpha_p"] * (x - p["x_p"])) * w
        if x > knee_n:
            return g
        return g * np.exp(p["alpha_n"] * (x - knee_n)) * x / knee_n

    return f


@pytest.mark.parametrize(
    ("device", "top", "bottom", "quarter"),
    [
        (Yakopcic("oblea"), 0.45, -0.45, 2.5e-3),
        (Yakopcic("miao"), 0.75, -1.25, 0.25),
        (Yakopcic("jo"), 4.0, -2.0, 1.0),
        (NbSrTiO3(), 2.0, -2.0, 2.0),
    ],
    ids=["oblea", "miao", "jo", "Nb:SrTiO3"],
)
def test_a_triangle_agrees_with_scipy(device, top, bottom, quarter):
    ends = np.array([0.0, top, 0.0, bottom, 0.0])
    drive = piecewise(ends[:-1], ends[1:], width=quarter)
    result = simulate(device, drive, solver=TIGHT)
    p = {name: float(value) for name, value in device.parameters().items()}
    f = transcript(p, 1 - p["x_n"] if isinstance(device, Yakopcic) else p["x_n"])
    x, expected = p["x_0"], []
    for a, b in itertools.pairwise(ends):
        ramp = solve_ivp(
            lambda t, x, a=a, b=b: [f(a + (b - a) * t / quarter, x[0])],
            (0, quarter), [x], rtol=1e-12, atol=1e-13, max_step=quarter / 200,
        )  # fmt: skip
        x = ramp.y[0, -1]
        expected.append(x)
    # Steps over the kinks of threshold and knee cost both solvers some digits.
    np.testing.assert_allclose(result.state[1:], expected, atol=1e-8)


def test_constant_voltage_below_the_knee_is_linear_in_time():
    device = Yakopcic("miao", x_0=0.1)
    result = simulate(device, pulse_train([0.5], width=0.02), solver=TIGHT)
    expected = 0.1 + 7.5 * (np.exp(0.5) - np.exp(0.09)) * 0.02
    np.testing.assert_allclose(result.final_state, expected, rtol=1e-10)


def test_currents_have_their_published_form():
    device = Yakopcic("jo")
    np.testing.assert_allclose(
        [device.current(v, jnp.asarray(0.4)) for v in (2.0, -2.0)],
        [3.7e-7 * 0.4 * np.sinh(1.4), -4.35e-7 * 0.4 * np.sinh(1.4)],
        rtol=1e-12,
    )
    interface = NbSrTiO3()
    np.testing.assert_allclose(
        [interface.current(v, jnp.asarray(0.25)) for v in (1.0, -1.0)],
        [
            0.25 * 9e-5 * np.sinh(4.96) + 0.75 * 1.5e-5 * np.sinh(6.91),
            -0.25 * 1.7e-4 * np.sinh(3.23) - 0.75 * 4.4e-7 * np.sinh(2.6),
        ],
        rtol=1e-12,
    )


def test_a_device_turned_round_moves_the_other_way():
    state = jnp.asarray(0.4)
    plain, turned = Yakopcic(), Yakopcic(eta=-1)
    assert float(plain.velocity(jnp.asarray(0.4), state)) > 0
    assert float(turned.velocity(jnp.asarray(0.4), state)) < 0
    assert turned.potentiation == -1.0


def test_the_pulse_law_has_its_published_values():
    law = PulseLaw()
    # R_0 + R_1, and R_0 + R_1 10^-0.146.
    np.testing.assert_allclose(law.resistance(1), 200 + 2.3e8, rtol=1e-15)
    np.testing.assert_allclose(law.resistance(10.0), 200 + 2.3e8 * 10**-0.146, rtol=1e-13)
    np.testing.assert_allclose(PulseLaw.at_voltage(0.1).exponent, -0.146, rtol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.floats(1, 1e4), st.integers(1, 20))
def test_pulses_one_by_one_are_pulses_at_once(n, more):
    law = PulseLaw()
    one_by_one = law.resistance(n)
    for _ in range(more):
        one_by_one = law.pulse(one_by_one)
    # An inversion multiplies a relative error by 1 / 0.146, twenty times in a row.
    np.testing.assert_allclose(one_by_one, law.resistance(n + more), rtol=1e-9)
    np.testing.assert_allclose(law.count(law.resistance(n)), n, rtol=1e-11)


def test_fifteen_percent_of_noise_on_the_law():
    keys = jax.random.split(jax.random.key(0), 20_000)
    laws, first = jax.vmap(lambda key: PulseLaw().draw(1e8, key=key))(keys)
    for drawn, nominal in (
        (laws.r_0, 200.0),
        (laws.r_1, 2.3e8),
        (laws.exponent, -0.146),
        (first, 1e8),
    ):
        # Five standard errors of 20 000 draws: of the mean 0.15 / 141, of the deviation 0.5 %.
        np.testing.assert_allclose(np.mean(drawn), nominal, rtol=5 * 0.15 / 141)
        np.testing.assert_allclose(np.std(drawn), 0.15 * abs(nominal), rtol=0.025)
