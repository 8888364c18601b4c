"""What a network sees, augmentation, and the checks of labels and shapes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import data

KEY = jax.random.key(0)


def test_bytes_become_float32_between_0_and_1():
    x = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    for function in (data.to_float, jax.jit(data.to_float)):
        made = function(x)
        assert made.dtype == jnp.float32
        # One rounding of float32.
        np.testing.assert_allclose(made, x / 255, rtol=1e-7)
        assert float(made.max()) == 1.0


def test_floats_keep_their_values():
    x = np.array([[5.1, 3.5]], np.float32)
    np.testing.assert_array_equal(data.to_float(x), x)
    assert data.to_float(jnp.ones(3, jnp.float64)).dtype == jnp.float32


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="Argument `x` must hold uint8 or floats, but holds int64"):
        data.to_float(np.arange(3))


def images(n=64, height=8, width=12, channels=3):
    return np.random.RandomState(0).randint(0, 256, (n, height, width, channels), np.uint8)


def test_mirror_only_flips_half_of_the_images():
    x = images(n=1000)
    made = np.asarray(data.augment(KEY, x, padding=0))
    plain = np.asarray(data.to_float(x))
    kept = (made == plain).all(axis=(1, 2, 3))
    flipped = (made == plain[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (kept ^ flipped).all()
    # Binomial of 1000 at 1/2: the standard deviation is 16, four of them are 64.
    assert abs(flipped.sum() - 500) < 64


def test_shift_cuts_a_window_of_the_reflected_image():
    x = images()
    padding = 2
    made = np.asarray(data.augment(KEY, x, flip=False, padding=padding))
    room = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(np.asarray(data.to_float(x)), room, mode="reflect")
    seen = set()
    for image, source in zip(made, padded, strict=True):
        corners = [
            (i, j)
            for i in range(2 * padding + 1)
            for j in range(2 * padding + 1)
            if (source[i : i + 8, j : j + 12] == image).all()
        ]
        assert len(corners) == 1
        seen.update(corners)
    # 64 draws from 25 corners: fewer than 18 different ones would be one in a million.
    assert len(seen) >= 18


def test_augment_is_a_function_of_its_key():
    x = images()
    jitted = jax.jit(data.augment)
    first = np.asarray(data.augment(KEY, x))
    np.testing.assert_array_equal(jitted(KEY, x), first)
    assert (np.asarray(data.augment(jax.random.key(1), x)) != first).any()


def test_augment_draws_no_float64():
    # x64 is on here, where an unstated type would become float64.
    jaxpr = jax.make_jaxpr(lambda key, x: data.augment(key, x))(KEY, images())
    assert "f64" not in str(jaxpr)
    assert "f32" in str(jaxpr)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_augment_lowers_for_accelerators(platform):
    exported = jax.export.export(jax.jit(data.augment), platforms=[platform])(
        jax.random.PRNGKey(0), images()
    )
    assert exported.out_avals[0].dtype == jnp.float32


def test_augment_refuses_what_is_no_batch_of_images():
    with pytest.raises(ValueError, match=r"`x` must have shape \(any, any, any, any\)"):
        data.augment(KEY, images()[0])
    with pytest.raises(ValueError, match="`padding` must be between 0 and 7 pixels, but is 8"):
        data.augment(KEY, images(), padding=8)


def test_labels_out_of_range_are_named():
    y = np.array([0, 9, 3], np.int32)
    assert data.check_labels(y, 10) is y
    assert data.check_labels(y, tuple("0123456789")) is y
    with pytest.raises(ValueError, match="`y` must be between 0 and 2, but is 9 at index 1"):
        data.check_labels(y, ("setosa", "versicolor", "virginica"))
    with pytest.raises(ValueError, match="`y` must be between 0 and 9, but is -1 at index 0"):
        data.check_labels(np.array([-1]), 10)
    with pytest.raises(ValueError, match="`y` must hold integers, but holds float64"):
        data.check_labels(np.array([1.0]), 10)
    # Traced labels cannot be looked at.
    assert jax.jit(lambda y: data.check_labels(y, 3) + 1)(y).shape == (3,)


def test_images_of_another_size_are_refused():
    x = images()
    assert data.check_images(x, (8, 12, 3)) is x
    with pytest.raises(
        ValueError,
        match=r"`x` must have shape \(any, 28, 28, 1\), but has shape \(64, 8, 12, 3\)",
    ):
        data.check_images(x, (28, 28, 1))
