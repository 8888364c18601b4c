"""`Rosenbrock`: the order of its method, stiff problems, and the proof of its coefficients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from analogjax.simulation.rosenbrock import Rodasp
from analogjax.simulation.solvers import Motion, Plateau


@pytest.fixture(scope="module")
def run(toy_device):
    """Return a function that takes equal steps of the method over scaled time from 0 to 1."""

    class Equation(toy_device):
        """``dy/ds = slope(s, y)``: the voltage of the drive is the time."""

        slope: object = eqx.field(static=True, default=None)

        def __init__(self, slope):
            super().__init__()
            self.slope = slope

        def rate(self, v, state, fields, workspace, path):
            return self.slope(v, state), fields

    @eqx.filter_jit
    def run(slope, start, count):
        one = jnp.ones(())
        motion, method = Motion(Equation(slope), None, Plateau(0 * one, one, one)), Rodasp()

        def step(y, index):
            s, end = index / count, (index + 1) / count
            y, error, _, _, _ = method.step(motion, s, end, y, None, None, False)
            return y, error

        return jax.lax.scan(step, start, jnp.arange(count, dtype=float))

    return run


def _orders(run, slope, start, exact, counts):
    """Return the observed order between every two numbers of steps."""
    errors = np.array([np.abs(run(slope, start, int(count))[0] - exact).max() for count in counts])
    return np.log(errors[:-1] / errors[1:]) / np.log(np.divide(counts[1:], counts[:-1])), errors


def logistic(_, y):
    return 3 * y * (1 - y)


def pendulum(_, y):
    return jnp.stack([y[1], -4 * jnp.sin(y[0])])


def forced(s, y):
    """Nonlinear in the state and in time, and both together."""
    return -y * jnp.sin(3 * s) + jnp.cos(2 * s) * jnp.exp(-(y**2))


def prothero_robinson(rate):
    def slope(s, y):
        return -rate * (y - jnp.sin(2 * s)) + 2 * jnp.cos(2 * s)

    return slope


def test_fourth_order_where_time_does_not_enter(run):
    exact = 1 / (1 + 9 * np.exp(-3.0))
    orders, _ = _orders(run, logistic, jnp.asarray(0.1), exact, [8, 16, 32, 64])
    # The next order of h is what is left: 5 % of it at these steps.
    assert (np.abs(orders - 4) < 0.3).all(), orders


@pytest.mark.parametrize(("slope", "start"), [(pendulum, [1.0, 0.5]), (forced, [0.3])])
def test_fourth_order_of_systems_and_where_time_enters(run, slope, start):
    exact = solve_ivp(
        lambda s, y: np.atleast_1d(slope(s, y)),
        (0, 1),
        start,
        method="DOP853",
        rtol=1e-13,
        atol=1e-14,
    ).y[:, -1]
    orders, _ = _orders(run, slope, jnp.asarray(start), exact, [8, 16, 32, 64])
    # At least: of one of them the leading terms almost cancel. A wrong coefficient leaves 1 to 3.
    assert (orders > 3.7).all(), orders


@pytest.mark.parametrize("rate", [1e3, 1e5, 1e8])
def test_fourth_order_where_a_stiff_slope_depends_on_time(run, rate):
    # Prothero and Robinson's problem: of a Rosenbrock method in general the error falls like h^2 or
    # slower. Of this one it falls like h^3 / rate, which is h^4 or less for every rate h of 1 and
    # more. Half of the bounds is what the smallest rate measures; 1e-12 is round-off.
    steps = np.array([4, 8, 16])
    _, errors = _orders(run, prothero_robinson(rate), jnp.asarray(0.0), np.sin(2.0), steps)
    assert (errors < 2e-3 / steps**4.0 + 1e-12).all(), errors
    assert (errors < 6e-2 / (rate * steps**3) + 1e-12).all(), errors * rate * steps**3


def test_a_stiff_transient_is_damped_at_once(run):
    # L-stable: the first step takes all of it, whatever its rate (an A-stable method keeps 1).
    final, _ = run(lambda s, y: -1e12 * y, jnp.asarray(1.0), 1)
    assert abs(float(final)) < 1e-9


def test_the_estimate_is_of_third_order(run):
    sizes = []
    for count in (8, 16, 32):
        _, errors = run(logistic, jnp.asarray(0.1), count)
        # The first step: the same state for every step size.
        sizes.append(float(errors[0]))
    # A local error of a method of order 3 falls like h^4.
    orders = np.log2(np.divide(sizes[:-1], sizes[1:]))
    assert (np.abs(orders - 4) < 0.3).all(), orders
