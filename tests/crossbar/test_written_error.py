"""Errors that depend on the target: their moments, and the slope of their size in the gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.crossbar import WrittenError


def test_moments_and_slope():
    error = WrittenError([0.1, 0.3, 0.2], mean=[0.0, 0.1, 0.0], space="G")
    z = jnp.asarray([-1.0, 0.0, 2.0], jnp.float32)
    u = jnp.asarray([0.25, 0.5, 0.75], jnp.float32)

    def total(u):
        return error.error(z, u, n_levels=8)

    found = total(u)
    assert found.dtype == jnp.float32
    # Linear between knots: mean 0.05, 0.1, 0.05 and standard deviation 0.2, 0.3, 0.25.
    np.testing.assert_allclose(found, [0.05 - 0.2, 0.1, 0.05 + 0.5], rtol=1e-6)
    slope = jax.vmap(jax.grad(lambda u, z: error.error(z, u, n_levels=8)))(u[::2], z[::2])
    np.testing.assert_allclose(slope, [0.2 - 0.4, -0.2 - 0.4], rtol=1e-5)
    drawn = error.draw(jax.random.key(0), (2000,))
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.05)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`targets` must be a whole number of at least 2"):
        WrittenError([0.1])
    with pytest.raises(ValueError, match="`std`"):
        WrittenError([0.1, -0.1])
