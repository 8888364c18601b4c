"""Bit slicing: inputs and weights of many bits from converters and devices of few."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._checks import check_whole, is_traced
from ..._types import Array, Float
from .quantise import quantise, steps_per_unit, straight_through

MAX_LEVEL_BITS = 30
"""Most bits of a weight's magnitude: an int32 holds no more."""


def slice_inputs(
    x: Float[Array, "*shape"], bits: int, slice_bits: int, *, bipolar: bool = True
) -> tuple[Float[Array, "slices *shape"], Float[Array, " slices"]]:
    r"""Quantise inputs and cut their codes into slices of few bits.

    Sign and magnitude: the magnitude of the code, ``b - 1`` bits if bipolar and ``b`` if not, is
    cut into digits ``d_s`` of `slice_bits` bits, lowest first, each with the sign of the input and
    divided by the largest digit ``m = 2^slice_bits - 1``, so that every slice is a signal in
    [-1, 1] for a converter with ``m`` steps. Then

    .. math:: \sum_s c_s\, d_s / m = q, \qquad c_s = m\, 2^{s \cdot slice\_bits} / n

    is the quantised input ``q`` of `quantise` with ``n`` steps: exactly in whole numbers, that is
    up to the last digits of the floating-point numbers here. The gradient by `x` is that of
    `quantise`, shared out over the slices so that they sum to it.

    Args:
        x: Inputs in full scales.
        bits: Number of bits of the inputs.
        slice_bits: Bits of the magnitude per slice.
        bipolar: Whether full scale is from -1 to 1, else from 0 to 1.

    Returns:
        The slices, along a new first axis, and their significances ``c_s``.

    Raises:
        ValueError: Numbers of bits that are none, or more bits in a slice than in the magnitude.
    """
    steps = steps_per_unit(bits, bipolar=bipolar)
    magnitude_bits = bits - 1 if bipolar else bits
    check_whole("slice_bits", slice_bits, 1, magnitude_bits)
    q = quantise(x, bits, bipolar=bipolar)
    code = jnp.round(jax.lax.stop_gradient(q) * steps).astype(jnp.int32)
    digits = _digits(jnp.abs(code), magnitude_bits, slice_bits) * jnp.sign(code)[None]
    largest = 2**slice_bits - 1
    significance = largest * 2.0 ** (slice_bits * np.arange(digits.shape[0])) / steps
    # Every slice moves as q does; with these significances the sum then moves as q.
    moving = jnp.broadcast_to(q / float(significance.sum()), digits.shape)
    slices = straight_through(moving, digits.astype(x.dtype) / largest)
    return slices, jnp.asarray(significance, x.dtype)


def slice_levels(levels: Array, bits: int, slice_bits: int) -> tuple[Array, Array]:
    """Cut whole-number magnitudes of weights into digits for devices of few levels.

    ``sum_s 2^(s slice_bits) d_s = level``, digits from 0 to ``2^slice_bits - 1``, lowest first.

    Args:
        levels: Whole numbers (any integer type) from 0 to ``2^bits - 1``.
        bits: Number of bits of the magnitudes, at most 30.
        slice_bits: Bits per device.

    Returns:
        The digits, int32, along a new first axis, and their significances, int32.

    Raises:
        ValueError: Levels that are no whole numbers or beyond the bits, or bits that are none.
    """
    check_whole("bits", bits, 1, MAX_LEVEL_BITS)
    check_whole("slice_bits", slice_bits, 1, bits)
    levels = jnp.asarray(levels)
    if not jnp.issubdtype(levels.dtype, jnp.integer):
        raise ValueError(f"Argument `levels` must be whole numbers, but is {levels.dtype.name}.")
    if not is_traced(levels) and levels.size:
        low, high = int(jnp.min(levels)), int(jnp.max(levels))
        if low < 0 or high >= 2**bits:
            raise ValueError(
                f"Argument `levels` must be between 0 and {2**bits - 1}, "
                f"but is {low if low < 0 else high}."
            )
    digits = _digits(levels.astype(jnp.int32), bits, slice_bits)
    significance = jnp.asarray(2 ** (slice_bits * np.arange(digits.shape[0])), jnp.int32)
    return digits, significance


def combine(slices: Array, significances: Any) -> Array:
    """Return the sum of slices times significances: digital shift and add.

    Args:
        slices: Slices, or what the array made of each, along the first axis.
        significances: What `slice_inputs` or `slice_levels` returned.
    """
    weights = jnp.asarray(significances, slices.dtype)
    # Digital: exact factors, which accelerators round in products of matrices by default.
    return jnp.tensordot(weights, slices, axes=1, precision="highest")


def _digits(magnitude: Array, bits: int, slice_bits: int) -> Array:
    mask = jnp.int32(2**slice_bits - 1)
    shifts = [slice_bits * s for s in range(math.ceil(bits / slice_bits))]
    return jnp.stack([(magnitude >> jnp.int32(shift)) & mask for shift in shifts])
