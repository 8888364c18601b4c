"""Quantisers with straight-through gradients (H1): as a clip's, and unbiased under dither."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from analogjax.crossbar import WeightMapping, weights_to_positions
from analogjax.crossbar.converters import quantise

X = jnp.linspace(-1.7, 1.7, 401)


def test_straight_through_is_the_gradient_of_a_clip():
    for bits in (2, 4, 8):
        ours = jax.vmap(jax.grad(lambda x, b=bits: quantise(x, b)))(X)
        clip = jax.vmap(jax.grad(lambda x: quantise(x, None)))(X)
        np.testing.assert_array_equal(ours, clip)
        np.testing.assert_array_equal(ours, (np.abs(X) <= 1).astype(float))


def test_straight_through_of_weights_is_the_gradient_of_a_clip():
    mapping = WeightMapping("differential", "layer", "max", space="G")
    scale = jnp.ones((1,))

    def pair(x, n):
        options = {"n_levels": n, "ratio": 100.0, "mapping": mapping}
        both = weights_to_positions(x[None], scale, **options)
        return jnp.sum(both[0] - both[1])

    # Not at the ends themselves, where a clip has no slope.
    x = X[(jnp.abs(jnp.abs(X) - 1) > 1e-6) & (X != 0)]
    for n in (4, 16):
        ours = jax.vmap(jax.grad(lambda x, n=n: pair(x, n)))(x)
        np.testing.assert_allclose(ours, (np.abs(x) < 1).astype(float), atol=1e-12)


def test_dithered_rounding_is_unbiased():
    # E[round(x + u)] = x exactly for u uniform over one step: the mean over 1000 equidistant u,
    # the midpoints of as many parts of a step, is off by at most half a part of a step.
    n, x = 7, jnp.linspace(-0.8, 0.8, 37)
    u = (jnp.arange(1000) + 0.5) / 1000 - 0.5
    drawn = quantise(x[:, None] + (u / n)[None, :].repeat(37, 0), 4)
    np.testing.assert_allclose(drawn.mean(1), x, atol=0.5 / 1000 / n + 1e-12)
    # So the mean of the straight-through gradient is the gradient of the mean: 1.
    slope = jax.vmap(jax.grad(lambda x: jnp.mean(quantise(x + u / n, 4))))(x)
    np.testing.assert_allclose(slope, 1.0, rtol=1e-12)


def test_learned_step():
    # Against the three cases of LSQ (arXiv:1902.08153, eq. 3), n steps to full scale s.
    n, s = 7, 0.8
    found = jax.vmap(jax.grad(lambda s, x: quantise(x, 4, scale=s)), (None, 0))(s, X)
    u = np.asarray(X) / s
    expected = np.where(np.abs(u) <= 1, np.round(u * n) / n - u, np.sign(u))
    np.testing.assert_allclose(found, expected, atol=1e-12)
