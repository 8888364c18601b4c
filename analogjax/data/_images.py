"""From stored bytes to the numbers that a network sees, and checks of what a user brings."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_between, check_shape
from .._types import Array, Float


def to_float(x: Array | np.ndarray) -> Float[Array, "..."]:
    """Return what a network takes: float32, images between 0 and 1.

    Works inside `jax.jit` too, so that bytes travel to the device and floats are made there.

    Args:
        x: uint8 images (divided by 255), or floats (which keep their values).

    Returns:
        float32 array of the same shape.

    Raises:
        ValueError: If the entries are of any other type, whose scale would be a guess.
    """
    x = jnp.asarray(x)
    if x.dtype == jnp.uint8:
        return x.astype(jnp.float32) / 255
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(jnp.float32)
    raise ValueError(f"Argument `x` must hold uint8 or floats, but holds {x.dtype}.")


def augment(
    key: jax.Array, x: Array | np.ndarray, *, flip: bool = True, padding: int | None = None
) -> Float[Array, "n height width channels"]:
    """Return images mirrored and shifted at random, each by a draw of its own.

    An image is mirrored left to right with probability 1/2, then a window of the original size is
    cut from it at a random place after its edges were reflected outward by `padding`.

    Args:
        key: Random key: the same key gives the same images.
        x: Images (n, height, width, channels), uint8 or float.
        flip: Whether to mirror; wrong for digits and letters.
        padding: Largest shift [pixels]; by default 1/8 of the shorter side. Static under `jax.jit`.

    Returns:
        float32 images between 0 and 1 (see `to_float`), of the same shape.

    Raises:
        ValueError: If `x` is no batch of images or `padding` is not smaller than they are.
    """
    check_shape("x", x, (None, None, None, None))
    x = to_float(x)
    n, height, width, channels = x.shape
    side = min(height, width)
    padding = side // 8 if padding is None else padding
    check_between("padding", padding, 0.0, float(side - 1), "pixels")
    flip_key, shift_key = jax.random.split(key)
    if flip:
        # A bit, since `bernoulli` passes through scalars of float64 where these are enabled.
        bits = jax.random.bits(flip_key, (n, 1, 1, 1), jnp.uint8)
        x = jnp.where(bits < 128, x[:, :, ::-1], x)
    room = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    shift = jax.random.randint(shift_key, (n, 2), 0, 2 * padding + 1, dtype=jnp.int32)

    def cut(image, corner):
        return jax.lax.dynamic_slice(
            image, (corner[0], corner[1], jnp.int32(0)), (height, width, channels)
        )

    return jax.vmap(cut)(jnp.pad(x, room, mode="reflect"), shift)


def check_labels(y: Array | np.ndarray, classes: int | Sequence[str]) -> Array | np.ndarray:
    """Return the labels, or raise unless each is the index of a class.

    Args:
        y: Labels; while traced they cannot be looked at and pass.
        classes: Names of the classes, or how many there are.

    Raises:
        ValueError: If a label is out of range (the message names the first) or no integer.
    """
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"Argument `y` must hold integers, but holds {y.dtype}.")
    count = classes if isinstance(classes, int) else len(classes)
    return check_between("y", y, 0.0, float(count - 1))


def check_images(
    x: Array | np.ndarray, input_shape: tuple[int, ...], name: str = "x"
) -> Array | np.ndarray:
    """Return the batch, or raise unless its samples have the shape that a network was made for.

    Args:
        x: Samples (n, *input_shape).
        input_shape: Shape of one sample, for example ``dataset.input_shape``.
        name: Name of the argument in the message.

    Raises:
        ValueError: If the shape differs.
    """
    return check_shape(name, x, (None, *input_shape))
