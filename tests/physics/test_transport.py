"""Vacancy fluxes against exact solutions: V1, V2, V2b, V2c and V2d of the verification plan.

One axis is enough: a field of shape (cells, 1) between two blocking walls. Unit length, D = 1.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from analogjax.physics.grid import net_outflow
from analogjax.physics.transport import (
    SCHEMES,
    bernoulli,
    limited_flux,
    scharfetter_gummel_flux,
    van_albada_slopes,
)

NO_CROWDING = jnp.inf


def centres(cells):
    return (np.arange(cells) + 0.5) / cells


def rate(scheme, c, velocity, diffusivity, c_max):
    """dc/dt of a column of cells on the unit interval; velocity and diffusivity per face."""
    cells = c.shape[0]
    faces = jnp.ones((cells - 1, 1))
    flux = SCHEMES[scheme](c, velocity * faces, diffusivity * faces, 1 / cells, c_max)
    return -net_outflow(flux, jnp.zeros((cells, 0))) * cells


def march(slope, c, time, steps):
    """Kutta's fourth-order method: its error in time is far below the error in space."""

    def step(c, _):
        h = time / steps
        k1 = slope(c)
        k2 = slope(c + h / 2 * k1)
        k3 = slope(c + h / 2 * k2)
        k4 = slope(c + h * k3)
        return c + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return jax.jit(lambda c: jax.lax.scan(step, c, length=steps)[0])(c)


def orders(errors):
    return np.log2(np.divide(errors[:-1], errors[1:]))


# Building blocks.


def test_bernoulli_function():
    x = np.array([-700.0, -30.0, -1.0, -1.001e-3, -0.999e-3, -1e-9, 1e-9, 0.999e-3, 1.001e-3, 2.0])
    np.testing.assert_allclose(bernoulli(jnp.asarray(x)), x / np.expm1(x), rtol=1e-14)
    assert bernoulli(jnp.asarray(0.0)) == 1.0
    assert bernoulli(jnp.asarray(700.0)) > 0.0


def test_bernoulli_function_has_a_smooth_derivative_through_zero():
    slope = jax.vmap(jax.grad(bernoulli))
    x = np.array([-1.01e-3, -0.99e-3, 0.0, 0.99e-3, 1.01e-3])
    # B' = -1/2 + x/6 - x^3/180; beyond the series' range the closed form cancels at 1e-16/x^2.
    np.testing.assert_allclose(slope(jnp.asarray(x)), -0.5 + x / 6 - x**3 / 180, atol=1e-9)


def test_slopes_are_exact_for_a_line_and_vanish_at_extrema():
    line = jnp.arange(8.0)[:, None]
    # The 1e-12 that keeps 0/0 away.
    np.testing.assert_allclose(van_albada_slopes(line)[1:-1], 1.0, rtol=1e-12)
    hat = jnp.asarray([0.0, 1.0, 2.0, 1.0, 0.0])[:, None]
    assert van_albada_slopes(hat)[2, 0] == 0.0


def test_slopes_have_finite_gradients_everywhere():
    for c in (jnp.ones((6, 1)), jnp.zeros((6, 1)), jnp.arange(6.0)[:, None] ** 2):
        jacobian = jax.jacrev(van_albada_slopes)(c)
        assert np.isfinite(jacobian).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fluxes_mirror(scheme):
    rng = np.random.default_rng(0)
    c = jnp.asarray(rng.uniform(0, 5, size=(12, 3)))
    v = jnp.asarray(rng.normal(size=(11, 3)) * 40)
    d = jnp.asarray(rng.uniform(0.5, 1, size=(11, 3)))
    forth = SCHEMES[scheme](c, v, d, 0.1, 10.0)
    back = SCHEMES[scheme](c[::-1], -v[::-1], d[::-1], 0.1, 10.0)
    np.testing.assert_allclose(back[::-1], -forth, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_full_cells_take_nothing_and_empty_cells_give_nothing(scheme):
    c = jnp.asarray([5.0, 5.0, 10.0, 10.0, 0.0, 0.0])[:, None]
    # Diffusion off (or as good as): a full cell is no destination, an empty one no source.
    flux = SCHEMES[scheme](c, jnp.full((5, 1), 1.0), jnp.full((5, 1), 1e-9), 0.1, 10.0)
    assert abs(flux[1, 0]) < 1e-6
    assert abs(flux[4, 0]) < 1e-6


@pytest.mark.parametrize("scheme", SCHEMES)
def test_without_field_both_schemes_are_fick(scheme):
    c = jnp.asarray(np.random.default_rng(0).uniform(0, 9, size=(8, 1)))
    flux = SCHEMES[scheme](c, jnp.zeros((7, 1)), jnp.full((7, 1), 2.0), 0.1, 10.0)
    # Crowding leaves diffusion alone: c_L (1 - c_R) - c_R (1 - c_L) = c_L - c_R.
    np.testing.assert_allclose(flux, -2.0 * np.diff(c, axis=0) / 0.1, rtol=1e-12, atol=1e-12)


# V1: pure diffusion.


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pure_diffusion_has_the_discrete_rate(scheme):
    cells, k = 16, np.pi
    start = jnp.asarray(1 + 0.5 * np.cos(k * centres(cells)))[:, None]
    found = rate(scheme, start, 0.0, 1.0, 10.0)
    expected = (2 - 2 * np.cos(k / cells)) * cells**2
    # A cosine is an eigenvector: no time stepping, so no error but round-off (of N^2 c).
    np.testing.assert_allclose(found, -expected * (start - 1), atol=1e-12 * cells**2)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pure_diffusion_in_time_keeps_to_the_discrete_decay(scheme):
    cells, time, steps = 16, 0.02, 400
    wave = jnp.asarray(np.cos(np.pi * centres(cells)))[:, None]
    end = march(lambda c: rate(scheme, c, 0.0, 1.0, 10.0), 1 + 0.5 * wave, time, steps)
    expected = np.exp(-(2 - 2 * np.cos(np.pi / cells)) * cells**2 * time)
    # Kutta's error, (lambda h)^5 / 120 a step, is 1e-17 * 400.
    np.testing.assert_allclose(end - 1, 0.5 * expected * wave, atol=1e-12)


# V2: equilibria in a uniform field, c_max / (1 + exp(-u (x - x0))).


@pytest.mark.parametrize("peclet", [0.1, 3.7, 33.0, -33.0])
def test_scharfetter_gummel_keeps_boltzmann_at_any_cell_peclet_number(peclet):
    cells = 16
    # Normalised to the largest cell; the others go down to exp(-500).
    c = jnp.asarray(np.exp(peclet * np.arange(cells) - max(peclet * (cells - 1), 0)))[:, None]
    ones = jnp.ones((cells - 1, 1))
    flux = scharfetter_gummel_flux(c, peclet * ones, ones, 1.0, NO_CROWDING)
    hop = np.abs(peclet) * np.maximum(c[1:], c[:-1])
    assert (np.abs(flux) <= 1e-14 * 10 * np.maximum(hop, 1e-300)).all()


@pytest.mark.parametrize("peclet", [0.1, 3.7, 33.0, -33.0])
def test_scharfetter_gummel_keeps_fermi_at_any_cell_peclet_number(peclet):
    cells = 16
    c = jnp.asarray(10.0 * expit(peclet * (np.arange(cells) - 7.3)))[:, None]
    ones = jnp.ones((cells - 1, 1))
    flux = scharfetter_gummel_flux(c, peclet * ones, ones, 1.0, 10.0)
    # The nodal law holds to round-off of the two opposed hops, each up to P c (1 - c/c_max).
    # Full cells store 1 - c/c_max with an absolute error of 1e-16.
    assert np.abs(flux).max() < 1e-14 * 10 * max(abs(peclet), 1.0)


def fermi(x, u, total, c_max):
    """Equilibrium with a given mean: x0 from the closed integral of the Fermi function."""
    # mean = c_max/u log[(1 + e^{u(1-x0)}) / (1 + e^{-u x0})], solved for e^{u x0}.
    m = np.exp(u * total / c_max)
    x0 = np.log((np.exp(u) - m) / (m - 1)) / u
    return c_max * expit(u * (x - x0))


def equilibrium(scheme, cells, u, total, c_max):
    """Newton on the discrete steady state, one row replaced by the total mass."""

    @jax.jit
    def newton(c):
        def residual(c):
            r = rate(scheme, c[:, None], u, 1.0, c_max)[:, 0] / cells**2
            return r.at[0].set(c.mean() - total)

        return c - jnp.linalg.solve(jax.jacfwd(residual)(c), residual(c))

    c = jnp.asarray(fermi(centres(cells), u, total, c_max))
    for _ in range(12):
        c = newton(c)
    return np.asarray(c)


@pytest.mark.parametrize(("c_max", "total"), [(1e9, 1.0), (10.0, 4.0)], ids=["dilute", "crowded"])
def test_scharfetter_gummel_equilibrium_is_fermi_and_normalised_to_order_two(c_max, total):
    u, errors = 6.0, []
    for cells in (16, 32, 64):
        c = equilibrium("sg", cells, u, total, c_max)
        logit = np.log(c / (c_max - c))
        # Neighbours differ by u dx: the discrete law, to the conditioning of Newton's last step.
        np.testing.assert_allclose(np.diff(logit), u / cells, rtol=1e-11)
        errors.append(np.abs(c / fermi(centres(cells), u, total, c_max) - 1).max())
    np.testing.assert_allclose(orders(errors), 2.0, atol=0.05)


@pytest.mark.parametrize(("c_max", "total"), [(1e9, 1.0), (10.0, 4.0)], ids=["dilute", "crowded"])
def test_limited_equilibrium_has_order_two_below_cell_peclet_one(c_max, total):
    u, errors = 4.0, []
    for cells in (16, 32, 64):
        c = equilibrium("muscl", cells, u, total, c_max)
        errors.append(np.abs(c - fermi(centres(cells), u, total, c_max)).mean())
    # In the mean: the boundary cells have no slope, an error of first order in two cells.
    assert orders(errors).min() > 1.8


# V2b: transients in a uniform field, dilute.


def test_scharfetter_gummel_decay_rates_have_order_two():
    v = 5.0
    exact = (np.arange(1, 4) * np.pi) ** 2 + (v / 2) ** 2
    errors = []
    for cells in (16, 32, 64):
        operator = jax.jit(jax.jacfwd(lambda c: -rate("sg", c[:, None], v, 1.0, NO_CROWDING)[:, 0]))
        found = np.sort(np.linalg.eigvals(operator(jnp.zeros(cells))).real)
        # Mass is conserved: one rate is zero.
        assert abs(found[0]) < 1e-9 * cells**2
        errors.append(np.abs(found[1:4] / exact - 1).max())
    np.testing.assert_allclose(orders(errors), 2.0, atol=0.05)


# V2c: the nonlinear transient of crowded drift (Burgers' equation by Cole and Hopf).


def burgers(x, time, v, c_max):
    """Exact solution of c_t + (v c (1 - c/c_max))_x = c_xx without flux through 0 and 1.

    With ``c / c_max = 1/2 + psi_x / (v psi)`` the equation becomes ``psi_t = psi_xx - (v/2)^2 psi``
    and "no flux" becomes "psi constant in time" at both walls: a cosh, and decaying sines.
    """
    k = v / 2
    psi, slope = np.cosh(k * (x - 0.6)), k * np.sinh(k * (x - 0.6))
    for n, amplitude in ((1, 0.6), (2, -0.35), (3, 0.1)):
        now = amplitude * np.exp(-((n * np.pi) ** 2 + k**2) * time)
        psi = psi + now * np.sin(n * np.pi * x)
        slope = slope + now * n * np.pi * np.cos(n * np.pi * x)
    return c_max * (0.5 + slope / (2 * k * psi))


def test_exact_crowded_transient_is_what_it_says():
    # The oracle itself, against finite differences of its own.
    x, v, h, tau = 0.37, 5.0, 1e-3, 1e-4

    def flux(x):
        c = burgers(x, 0.02, v, 10.0)
        gradient = (burgers(x + h, 0.02, v, 10.0) - burgers(x - h, 0.02, v, 10.0)) / (2 * h)
        return v * c * (1 - c / 10.0) - gradient

    c_t = (burgers(x, 0.02 + tau, v, 10.0) - burgers(x, 0.02 - tau, v, 10.0)) / (2 * tau)
    # Central differences: h^2 and tau^2 times third derivatives of a few hundred.
    np.testing.assert_allclose(c_t, -(flux(x + h) - flux(x - h)) / (2 * h), rtol=1e-3)
    np.testing.assert_allclose([flux(0.0), flux(1.0)], 0.0, atol=1e-2)
    profile = burgers(np.linspace(0, 1, 101), 0.0, v, 10.0)
    assert 0 < profile.min() < profile.max() < 10


@pytest.mark.parametrize("scheme", SCHEMES)
def test_crowded_transient_converges_to_the_exact_solution(scheme):
    v, c_max, time, errors = 5.0, 10.0, 0.03, []
    for cells in (16, 32, 64):
        start = jnp.asarray(burgers(centres(cells), 0.0, v, c_max))[:, None]
        # Two steps per diffusion limit dx^2/2 leave the time error below 1e-9.
        end = march(
            lambda c: rate(scheme, c, v, 1.0, c_max), start, time, int(4 * time * cells**2) + 1
        )
        error = np.abs(end[:, 0] - burgers(centres(cells), time, v, c_max))
        errors.append(error.mean())
    assert orders(errors).min() > (1.9 if scheme == "sg" else 1.8)


# V2d: fronts in a film whose conductivity follows the vacancies, current held constant.

SIGMA_B, SIGMA_1, RICH, POOR = 40.0, 42.0, 3.0, 0.05


def front(cells, left, right, distance):
    """Profile after the time in which the shock would travel `distance`; mobility x current = 1."""

    def slope(c):
        sigma = SIGMA_B + SIGMA_1 * c
        # The face carries the harmonic mean, as in the device.
        field = 0.5 * (1 / sigma[1:] + 1 / sigma[:-1])
        # Diffusion well below the grid's own, so that the front is as sharp as it can be.
        faces = limited_flux(c, field, 1e-12 + 0 * field, 1 / cells, NO_CROWDING)
        return -net_outflow(faces, jnp.zeros((cells, 0))) * cells

    shock = SIGMA_B / ((SIGMA_B + SIGMA_1 * RICH) * (SIGMA_B + SIGMA_1 * POOR))
    time = distance / shock
    # The fastest level moves at sig_b / sigma_lo^2 = 0.023: a Courant number of one half.
    steps = int(time * cells * 0.023 / 0.5) + 1
    start = jnp.where(jnp.asarray(centres(cells)) < 0.5, left, right)[:, None]
    return np.asarray(march(slope, start, time, steps))[:, 0]


def level(profile, share):
    """Where the profile crosses a level between poor and rich, counted from the middle."""
    value = POOR + share * (RICH - POOR)
    x = centres(profile.size)
    # Away from the walls, where vacancies pile up and deplete.
    inside = (x > 0.35) & (x < 0.9)
    order = np.argsort(profile[inside], kind="stable")
    return np.interp(value, profile[inside][order], x[inside][order]) - 0.5


def test_poor_film_invades_rich_film_as_a_shock():
    distance = 0.1
    profile = front(200, POOR, RICH, distance)
    # One cell in 20 travelled.
    np.testing.assert_allclose(level(profile, 0.5) / distance, 1.0, atol=0.01)
    # A shock stays as sharp as the scheme can draw it.
    assert (level(profile, 0.9) - level(profile, 0.1)) < 4 / 200


def test_rich_film_expands_as_a_fan():
    distance, shares = 0.1, (0.9, 0.5, 0.1)
    # Each level travels at sig_b / sigma(c)^2: 0.296, 0.645 and 2.35 times the shock; the ends of
    # the fan at 0.25 and 3.94 times.
    ends = (SIGMA_B + SIGMA_1 * RICH) * (SIGMA_B + SIGMA_1 * POOR)
    sigma = [SIGMA_B + SIGMA_1 * (POOR + share * (RICH - POOR)) for share in shares]
    exact = np.array([ends / s**2 for s in sigma])
    errors = []
    for cells in (200, 400, 800):
        profile = front(cells, RICH, POOR, distance)
        errors.append([level(profile, share) / distance for share in shares] - exact)
    # First order: a fan has corners, and starts from a jump.
    assert np.abs(errors[-1]).max() < 0.02
    assert orders(np.abs(errors)).min() > 0.9


@pytest.mark.parametrize(("left", "right"), [(POOR, RICH), (RICH, POOR)])
def test_fronts_conserve_mass(left, right):
    profile = front(200, left, right, 0.1)
    np.testing.assert_allclose(profile.mean(), (left + right) / 2, rtol=1e-13)
