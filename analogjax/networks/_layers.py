"""Layers in float32 whatever JAX's default, and the checks all models share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .._checks import check_shape
from .._types import Array, Float, Images
from ..crossbar.tiles import largest_magnitude

# Flax follows the dtype of what it is given: with 64-bit floats on, one float64 array would spread.
_FLOAT32 = {"dtype": jnp.float32, "param_dtype": jnp.float32}
# Variance 2/fan-in keeps the scale of the signal through ReLU (He et al. 2015, arXiv:1502.01852).
_HE = nnx.initializers.he_normal()

linear = partial(nnx.Linear, **_FLOAT32)
relu_linear = partial(linear, kernel_init=_HE)
relu_conv = partial(nnx.Conv, kernel_init=_HE, **_FLOAT32)


def patches(
    x: Images,
    size: Sequence[int],
    *,
    strides: Sequence[int] = (1, 1),
    padding: Any = "VALID",
    dilation: Sequence[int] = (1, 1),
) -> Float[Array, "batch places_y places_x seen"]:
    """Return what a convolution's kernel sees at each place, in the order of the kernel's axes.

    Args:
        x: Images.
        size: Height and width of the kernel.
        strides: Steps between places.
        padding: ``"SAME"``, ``"VALID"`` or pairs of numbers of pixels.
        dilation: Steps between the pixels that a kernel sees.

    Returns:
        (batch, height, width, kernel height * kernel width * channels).
    """
    return jnp.concatenate(_shifts(x, size, strides, padding, dilation), axis=-1)


def largest_seen(
    x: Images,
    size: Sequence[int],
    *,
    strides: Sequence[int] = (1, 1),
    padding: Any = "VALID",
    dilation: Sequence[int] = (1, 1),
) -> Float[Array, "batch places_y places_x 1"]:
    """Return the largest magnitude that a convolution's kernel sees at each place.

    That of `patches`, without them: of each pixel's channels once. Arguments as there.
    """
    seen = _shifts(largest_magnitude(x), size, strides, padding, dilation)
    return functools.reduce(jnp.maximum, seen)


def _shifts(
    x: Images, size: Sequence[int], strides: Sequence[int], padding: Any, dilation: Sequence[int]
) -> list[Array]:
    """Return what each pixel of a kernel sees at all places: shifted images, zeros around."""
    seen = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    around = padding
    if isinstance(padding, str):
        around = jax.lax.padtype_to_pads(x.shape[1:3], seen, strides, padding)
    x = jnp.pad(x, ((0, 0), *around, (0, 0)))
    places = [(n - s) // step + 1 for n, s, step in zip(x.shape[1:3], seen, strides, strict=True)]

    def shifted(*starts):
        rows, columns = (
            slice(start, start + step * (n - 1) + 1, step)
            for start, step, n in zip(starts, strides, places, strict=True)
        )
        return x[:, rows, columns]

    return [
        shifted(i * dilation[0], j * dilation[1]) for i in range(size[0]) for j in range(size[1])
    ]


def _by_products(x: Array, kernel: Array, strides: Any, padding: Any, *_: Any, **__: Any) -> Array:
    """Return a convolution as one product of a matrix of patches with the kernel."""
    seen = patches(x, kernel.shape[:2], strides=strides, padding=padding)
    return seen @ kernel.reshape(-1, kernel.shape[-1])


def _convolve(x: Array, kernel: Array, *args: Any, **options: Any) -> Array:
    """Return `jax.lax.conv_general_dilated` of few channels, where a CPU prefers a product.

    Training steps of LeNet-5 were 1.7 times faster with it, and 3 times inside a compiled loop
    (3 x 3 kernels, two cores under load, jax 0.10.1); with 5 x 5 kernels evaluation was slower.
    """
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, k: _by_products(x, k, *args, **options),
        default=lambda x, k: jax.lax.conv_general_dilated(x, k, *args, **options),
    )


_FEW_PLACES = 16
"""Most places of a kernel on an image at which a CPU prefers a product."""


def _convolve_by_shape(
    x: Array, kernel: Array, strides: Any, padding: Any, *args: Any, **options: Any
) -> Array:
    """Return `jax.lax.conv_general_dilated` of many channels in the form that suits its shape.

    XLA's convolutions on CPUs collapse where a kernel has few places on many channels: 3 x 3
    kernels on 2 x 2 pixels of 512 channels take some fifty times as long as the product of a matrix
    of patches (`experiments/benchmarks/convolutions.py`), which is what a crossbar computes.
    A kernel of one pixel has no patches: it is a product on every shape.
    """
    wide = jax.eval_shape(
        lambda x, k: jax.lax.conv_general_dilated(x, k, strides, padding, *args, **options),
        x,
        kernel,
    )
    places = wide.shape[1] * wide.shape[2]
    if places <= _FEW_PLACES or kernel.shape[:2] == (1, 1):
        return _convolve(x, kernel, strides, padding, *args, **options)
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, *args, **options)


small_conv = partial(relu_conv, conv_general_dilated=_convolve)
wide_conv = partial(relu_conv, conv_general_dilated=_convolve_by_shape)
batch_norm = partial(nnx.BatchNorm, momentum=0.9, epsilon=1e-5, **_FLOAT32)


def flat_size(shape: Sequence[int]) -> int:
    """Return the number of values in one input."""
    size = 1
    for n in shape:
        size *= n
    return size


def check_input_shape(input_shape: Sequence[int], *, images: bool) -> tuple[int, ...]:
    """Return the shape of one input as a tuple.

    Args:
        input_shape: Sizes without the batch.
        images: Whether the model needs (height, width, channels).

    Raises:
        ValueError: If a size is below 1 or the shape is no image's where one is needed.
    """
    shape = tuple(input_shape)
    good = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in shape)
    if not good or not shape or (images and len(shape) != 3):
        wanted = "(height, width, channels)" if images else "sizes"
        raise ValueError(
            f"Argument `input_shape` must be {wanted} of whole numbers of at least 1, "
            f"but is {shape}."
        )
    return shape


def as_input(x: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the batch as float32 after checking its shape and kind.

    Raises:
        ValueError: If the inputs have another size, or are integers: grey values 0..255 would pass
            as numbers 255 times too large.
    """
    check_shape("x", x, (None, *input_shape))
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"Argument `x` must hold floating-point numbers, but has dtype {x.dtype}: "
            "scale images to [0, 1] first (`analogjax.data.to_float`)."
        )
    return x.astype(jnp.float32)


def max_pool(x: Images) -> Array:
    """Return the maximum over blocks of 2 x 2 pixels; an odd last row or column is dropped.

    Two comparisons of slices: on a CPU 1.4 times faster in training than a windowed reduction,
    whose gradient is a scatter (LeNet-5, measured on two cores with jax 0.10.1).
    """
    height, width = (2 * (n // 2) for n in x.shape[1:3])
    rows = jnp.maximum(x[:, 0:height:2], x[:, 1:height:2])
    return jnp.maximum(rows[:, :, 0:width:2], rows[:, :, 1:width:2])
