"""Current mirrors: the circuit's equation, its limits, its place in an array."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from analogjax.crossbar import CurrentDomain, CurrentMirror, Tile

G = np.array([1e-5, 4e-5, 2e-5])
V = np.array([0.3, 0.1, 0.5])


def mirror(**options):
    # Numbers in float64, as the currents of these tests.
    made = CurrentMirror(options.pop("beta", 1e-3), **options)
    return jax.tree.map(lambda leaf: leaf.astype(float), made)


@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_solves_the_circuit(threshold):
    beta = 1e-3

    def left(i):
        return i - G @ V + G.sum() * (threshold + np.sqrt(2 * i / beta))

    want = brentq(left, 0, G @ V, xtol=1e-22, rtol=1e-14)
    got = mirror(beta=beta, v_threshold=threshold).line_current(
        jnp.asarray([[G @ V]]), jnp.asarray([G.sum()])
    )
    # beta is kept in float32; 1e-7 of it is less of the current.
    np.testing.assert_allclose(got, [[want]], rtol=2e-7)


def test_limits():
    i, total = jnp.asarray([[1e-5, 0.0, -1e-5]]), jnp.full(3, 7e-5)
    strong = mirror(beta=1e9).line_current(i, total)
    # A transistor without resistance holds the line at 0 V: sqrt(2 I / beta) is 1e-7 V.
    np.testing.assert_allclose(strong, [[1e-5, 0, 0]], rtol=2e-6)
    below = mirror(v_threshold=0.2).line_current(i, total)
    np.testing.assert_array_equal(below, 0.0)
    gradient = jax.grad(lambda i: jnp.sum(mirror().line_current(i, total)))(i)
    assert np.isfinite(gradient).all()


def test_gradient_is_that_of_central_differences():
    total = jnp.asarray([7e-5])

    def current(x):
        made = mirror(v_threshold=0.0)
        return made.line_current(jnp.reshape(x, (1, 1)), total)[0, 0]

    at, h = 1.5e-5, 1e-10
    difference = (current(at + h) - current(at - h)) / (2 * h)
    # Central differences of second order, (h / at)^2, and their round-off, 1e-16 at / h.
    assert float(jax.grad(current)(at)) == pytest.approx(float(difference), rel=1e-8)


def test_mismatch_is_frozen_and_of_its_size():
    made = mirror(mismatch_std=0.02)
    drawn = made.draw(jax.random.key(0), 4000)
    i, total = jnp.full((2, 4000), 1e-5), jnp.full(4000, 7e-5)
    out = made.read_out(i, total, drawn)
    np.testing.assert_array_equal(out[0], out[1])
    # 4,000 mirrors: a standard error of 1.1 %.
    ratio = np.asarray(out[0] / made.line_current(i, total)[0])
    assert ratio.std() == pytest.approx(0.02, rel=0.04)


def test_in_an_array():
    rng = np.random.default_rng(0)
    g = jnp.asarray(rng.uniform(1e-5, 1e-4, (2, 5, 3)))
    x = jnp.asarray(rng.uniform(-1, 1, (4, 5)))
    options = {"subtract": "digital", "signed_inputs": "two_phase"}

    def product(amplifier):
        tile = Tile(CurrentDomain(amplifier=amplifier, **options), rows=8, columns=8)
        layout = tile.layout(5, 3, 2)
        return tile.multiply(x, tile.prepare(g), None, layout, unit=9e-5)

    exact = x @ (g[0] - g[1])
    np.testing.assert_allclose(product(mirror(beta=1e9)), exact, rtol=1e-3, atol=1e-8)
    weak = np.asarray(product(mirror(beta=1e-3)))
    # Each line of each phase carries less than at 0 V: what is left is of the same order.
    assert np.abs(weak).max() < np.abs(np.asarray(exact)).max()
    with pytest.raises(ValueError, match="'digital' and 'two_phase'"):
        CurrentDomain(amplifier=mirror())


def test_refused():
    with pytest.raises(ValueError, match="`beta` must be"):
        CurrentMirror(0.0)
    with pytest.raises(ValueError, match="`v_threshold` must be"):
        CurrentMirror(1e-3, v_threshold=-0.1)
