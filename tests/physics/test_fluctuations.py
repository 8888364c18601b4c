"""Counting noise: its size, its conservation, and its equilibrium."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.devices import FourTerminalTiO2
from analogjax.physics.cosine import diffuse, laplacian_eigenvalues
from analogjax.physics.fluctuations import draw_counts, hop_noise

KEY = jax.random.key(5)


def test_drawn_cells_have_the_variance_of_a_lattice_gas():
    mean = jnp.full((40, 40), 2.0)
    drawn = draw_counts(KEY, mean, jnp.asarray(500.0), jnp.asarray(10.0))
    # c (1 - c / c_max) / per_cell; 1600 cells know a variance to 3.5 % (one sigma).
    assert float(jnp.var(drawn)) == pytest.approx(2.0 * 0.8 / 500, rel=0.12)
    assert float(jnp.mean(drawn)) == pytest.approx(2.0, abs=4 * np.sqrt(1.6 / 500 / 1600))


@pytest.mark.parametrize("filling", [0.0, 10.0])
def test_empty_and_full_cells_have_no_noise(filling):
    c = jnp.full((6, 6), filling)
    args = (jnp.asarray(100.0), jnp.asarray(10.0))
    np.testing.assert_array_equal(draw_counts(KEY, c, *args), c)
    np.testing.assert_array_equal(hop_noise(KEY, c, 0.1, 0.1, *args), 0 * c)


def test_hops_conserve_vacancies():
    c = jax.random.uniform(KEY, (12, 12), minval=0.0, maxval=5.0)
    noise = hop_noise(KEY, c, 0.05, 0.02, jnp.asarray(50.0), jnp.asarray(10.0))
    # A divergence: the sum telescopes to round-off of its terms.
    assert abs(float(noise.sum())) < 1e-12 * float(jnp.abs(noise).sum())
    assert float(jnp.abs(noise).max()) > 0


def test_diffusion_and_hop_noise_settle_at_poisson():
    # Independent: an Ornstein-Uhlenbeck process per mode. From a smooth field, many small steps of
    # exact diffusion and hop noise must arrive at the variance of counting, and stay there.
    n, steps, number, per_cell = 16, 4000, 0.05, 200.0
    mean, c_max = jnp.full((n, n), 1.0), jnp.asarray(1e6)

    def step(c, key):
        c = diffuse(c, jnp.asarray(number))
        c = c + hop_noise(key, c, number, number, jnp.asarray(per_cell), c_max)
        return c, jnp.var(c)

    _, variance = jax.jit(lambda c: jax.lax.scan(step, c, jax.random.split(KEY, steps)))(mean)
    # Exact for this splitting: each mode keeps exp(-x / 2) of itself and gains noise of variance x,
    # x = 2 number eigenvalue, so it settles at x / (1 - exp(-x)); the constant mode has none.
    one = laplacian_eigenvalues(n)
    x = 2 * number * (one[:, None] + one[None, :]).ravel()[1:]
    expected = np.sum(x / (1 - np.exp(-x))) / n**2 / per_cell
    # 3000 steps hold some hundred independent fields of 255 modes: 1 %.
    assert float(jnp.mean(variance[steps // 4 :])) == pytest.approx(expected, rel=0.03)
    # It began without noise: one step gives 0.4 of it.
    assert float(variance[0]) < 0.5 / per_cell


def test_resistance_noise_scales_as_the_square_root_of_the_number():
    # Twice the thickness holds twice the vacancies (and halves R): relative noise / sqrt(2).
    spreads = []
    for thickness in (100e-9, 200e-9):
        film = FourTerminalTiO2(10, thickness=thickness)
        state = film.init_state()
        keys = jax.random.split(KEY, 300)
        read = jax.jit(jax.vmap(lambda k, film=film, s=state: film.read(film.draw_state(s, key=k))))
        r = read(keys)
        spreads.append(float(jnp.std(r) / jnp.mean(r)))
    # The same keys draw the same normal numbers: the ratio is sharp; clipping at zero of the
    # poorest cells differs a little.
    assert spreads[0] / spreads[1] == pytest.approx(np.sqrt(2), rel=0.02)


@pytest.mark.slow
def test_counting_noise_of_the_default_film():
    # Specification, section 11: about 0.08 of a 512-level pitch (3.7e-4) at a side of 10 um.
    film = FourTerminalTiO2(48)
    state = film.init_state()
    keys = jax.random.split(KEY, 400)
    r = jax.lax.map(lambda k: film.read(film.draw_state(state, key=k)), keys, batch_size=50)
    # One digit is printed.
    assert float(jnp.std(r) / jnp.mean(r)) / 3.7e-4 == pytest.approx(0.08, rel=0.2)


def test_pulse_noise_of_a_film_grows_as_its_duration():
    film = FourTerminalTiO2(8)
    state = film.init_state()
    fields = film.initial_fields(state)
    one = film.fluctuate(state, fields, 1.0, key=KEY) - state
    four = film.fluctuate(state, fields, 4.0, key=KEY) - state
    # Variance proportional to time, the same normal numbers: exactly twice the amplitude; the
    # difference of numbers of order one leaves round-off.
    np.testing.assert_allclose(four, 2 * one, rtol=1e-6, atol=1e-12)
