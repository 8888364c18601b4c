"""The cosine transform: V1 (pure diffusion), the screened equation, rest for any time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.physics import cosine
from analogjax.physics.grid import net_outflow

RNG = np.random.default_rng(0)


def laplacian(field):
    """The insulated five-point Laplacian, from face differences (no cosine anywhere)."""
    return -net_outflow(-jnp.diff(field, axis=0), -jnp.diff(field, axis=1))


def mode(cells):
    """V1: ``cos(2 pi x) cos(pi y)`` on the unit square."""
    x = (np.arange(cells) + 0.5) / cells
    return jnp.asarray(np.cos(2 * np.pi * x)[:, None] * np.cos(np.pi * x)[None, :])


@pytest.mark.parametrize("cells", [4, 15, 32])
def test_matrix_is_orthonormal(cells):
    matrix = cosine.cosine_matrix(cells)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(cells), atol=1e-14)


def test_transform_and_inverse_cancel():
    field = jnp.asarray(RNG.normal(size=(16, 16)))
    back = cosine.inverse_transform(cosine.transform(field))
    np.testing.assert_allclose(back, field, atol=1e-14)


def test_eigenvalues_are_those_of_the_insulated_laplacian():
    n = 12
    matrix = jax.jacfwd(lambda f: -laplacian(f[:, None])[:, 0])(jnp.zeros(n))
    np.testing.assert_allclose(
        np.linalg.eigvalsh(matrix), cosine.laplacian_eigenvalues(n), atol=1e-14
    )


@pytest.mark.parametrize("cells", [16, 32, 64])
def test_diffusion_decays_at_the_discrete_rate(cells):
    number = 0.03 * cells**2
    start = 1 + 0.5 * mode(cells)
    end = cosine.diffuse(start, jnp.asarray(number))
    rate = 4 - 2 * np.cos(2 * np.pi / cells) - 2 * np.cos(np.pi / cells)
    # Round-off of four matrix products with numbers of size one.
    np.testing.assert_allclose(end - 1, 0.5 * np.exp(-number * rate) * mode(cells), atol=1e-12)


def test_diffusion_converges_to_the_continuum_with_order_two():
    time = 0.03
    errors = []
    for cells in (16, 32, 64):
        end = cosine.diffuse(mode(cells), jnp.asarray(time * cells**2))
        amplitude = jnp.vdot(end, mode(cells)) / jnp.vdot(mode(cells), mode(cells))
        errors.append(abs(-np.log(amplitude) / time / (5 * np.pi**2) - 1))
    # (2 - 2 cos k) / k^2 = 1 - k^2 / 12 + ..., weighted by k^2 over both axes; next term 1 %.
    leading = [17 / 5 * (np.pi / cells) ** 2 / 12 for cells in (16, 32, 64)]
    np.testing.assert_allclose(errors, leading, rtol=0.01)
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(orders, 2.0, atol=0.01)


def test_diffusion_equals_many_small_explicit_steps():
    start = jnp.asarray(RNG.uniform(0, 3, size=(12, 12)))
    number, steps = 0.5, 64

    @jax.jit
    def march(field):
        def heun(f, _):
            h = number / steps
            k1 = laplacian(f)
            return f + h / 2 * (k1 + laplacian(f + h * k1)), None

        return jax.lax.scan(heun, field, length=steps)[0]

    exact = cosine.diffuse(start, jnp.asarray(number))
    # Heun's error: t h^2 lambda^3 / 6 with lambda <= 8, largest where lambda t is near 3; two
    # resolutions of the same scheme differ by 4 to 2 %.
    error = jnp.abs(march(start) - exact).max()
    assert error < 1e-4


def test_diffusion_along_one_axis_leaves_the_other():
    field = jnp.asarray(RNG.uniform(size=(12, 12)))
    along_x = cosine.diffuse(field, jnp.asarray(0.7), jnp.asarray(0.0))
    np.testing.assert_allclose(along_x.sum(0), field.sum(0), rtol=1e-13)
    along_y = cosine.diffuse(field.T, jnp.asarray(0.0), jnp.asarray(0.7)).T
    np.testing.assert_allclose(along_y, along_x, atol=1e-13)


def test_diffusion_composes_as_a_semigroup():
    field = jnp.asarray(RNG.uniform(size=(16, 16)))
    once = cosine.diffuse(field, jnp.asarray(1.7))
    twice = cosine.diffuse(cosine.diffuse(field, jnp.asarray(0.4)), jnp.asarray(1.3))
    np.testing.assert_allclose(twice, once, atol=1e-13)


def test_diffusion_for_ever_leaves_the_mean():
    field = jnp.asarray(RNG.uniform(size=(16, 16)))
    end = cosine.diffuse(field, jnp.asarray(1e30))
    np.testing.assert_allclose(end, field.mean(), rtol=1e-13)


@pytest.mark.parametrize("number", [0.0, 1e-6, 1.0, 1e4])
def test_diffusion_keeps_mass_and_bounds(number):
    field = jnp.asarray(RNG.uniform(size=(16, 16)))
    end = cosine.diffuse(field, jnp.asarray(number))
    np.testing.assert_allclose(end.sum(), field.sum(), rtol=1e-14 * 16)
    # The maximum principle of the discrete heat equation, up to round-off.
    assert end.min() >= field.min() - 1e-13
    assert end.max() <= field.max() + 1e-13


def test_screened_equation_is_solved_exactly():
    source = jnp.asarray(RNG.normal(size=(16, 16)))
    u = cosine.solve_screened(source, jnp.asarray(3.0), jnp.asarray(0.01))
    # The condition number is 1 + 8 * 3 / 0.01 = 2400.
    np.testing.assert_allclose(-3.0 * laplacian(u) + 0.01 * u, source, atol=2400 * 1e-15 * 10)


def test_screened_equation_with_constant_source_is_constant():
    u = cosine.solve_screened(jnp.full((16, 16), 6.0), jnp.asarray(5.0), jnp.asarray(2.0))
    np.testing.assert_allclose(u, 3.0, rtol=1e-14 * 10)
