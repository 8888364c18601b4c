"""From a weight to the levels of its devices, and back.

A device has a window of resistances, `r_high` to `r_low`, and `n` levels in it, equally spaced
either in resistance or in conductance; level 0 is `r_high`, as in a level table. Everything here
speaks of two fractions of that window:

* the *position* ``u`` in the space of the levels, 0 at `r_high` and 1 at `r_low`; the levels are at
  ``u_k = k / (n - 1)``;
* the *conductance fraction* ``g = (G - g_min) / (g_max - g_min)``, which is what multiplies.

In the space G they are the same. In the space R, with ``r = r_high / r_low``,

    g = u / (r - (r - 1) u),    u = r g / (1 + (r - 1) g),

which bends away from the straight line ``g = u`` by at most ``(sqrt(r) - 1) / (sqrt(r) + 1)`` of
full scale, at ``R = sqrt(r_low r_high)``.

Every function is pure and takes a traced number of levels, so that all bit depths share one
compilation.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_between, check_choice, check_whole, is_traced
from .._types import Array, Float, Int, ScalarLike

MAX_BITS = 16
"""Most bits of one device: level indices are stored in 16 bits."""


@dataclasses.dataclass(frozen=True)
class WeightMapping:
    """How a weight becomes levels of devices.

    With ``b`` bits a *device* has ``n = 2^b`` levels. Then

    * ``scheme="differential"``: a weight is a pair, ``w = w_m (g+ - g-)``, of which one device
      always rests at ``g = 0``: ``2^(b+1) - 1`` weights, zero among them;
    * ``scheme="offset"``: a weight is one device, ``w = w_m (2 g - 1)``, read against a reference
      column of fixed resistors at ``g = 1/2`` (assumed free of error): ``2^b`` weights, zero not
      among them.

    With `slices` S above 1 each of these devices is S devices of lines of their own, the digits of
    a number to the base n: ``g = sum_s c_s g_s``, ``c_s = n^s (n - 1) / (n^S - 1)``, added up
    behind the read-out. A weight then has ``S b`` bits where a device has b.

    Attributes:
        scheme: ``"differential"`` or ``"offset"``.
        per: One full scale ``w_m`` per ``"layer"`` or per output ``"channel"`` (the last axis).
        clip: ``w_m`` is the largest ``|w|`` (``"max"``), a percentile of ``|w|``
            (``"percentile"``), or what minimises the squared quantisation error of these weights at
            this number of levels (``"least_squares"``).
        percentile: The percentile, 0 to 100; used with ``clip="percentile"`` only.
        space: The space in which the levels are equally spaced, ``"R"`` or ``"G"``. The array
            multiplies by conductance in either case.
        assign: ``"nearest"`` takes the level of the nearest conductance; ``"index"`` takes the
            index linear in the weight, which in the space R suffers the bend.
        slices: Number of slices of a weight; with more than one, levels in the space G.
    """

    scheme: str = "differential"
    per: str = "layer"
    clip: str = "max"
    percentile: float = 99.9
    space: str = "R"
    assign: str = "nearest"
    slices: int = 1

    def __post_init__(self):
        """Check the choices.

        Raises:
            ValueError: An unknown choice, a percentile outside 0..100, no slices, or several in the
                space R.
        """
        check_choice("scheme", self.scheme, ("differential", "offset"))
        check_choice("per", self.per, ("layer", "channel"))
        check_choice("clip", self.clip, ("max", "percentile", "least_squares"))
        check_between("percentile", self.percentile, 0.0, 100.0)
        check_choice("space", self.space, ("R", "G"))
        check_choice("assign", self.assign, ("nearest", "index"))
        check_whole("slices", self.slices)
        if self.slices > 1 and self.space != "G":
            raise ValueError(
                "Argument `space` must be 'G' for a weight of several slices, whose digits are "
                f"conductances, but is {self.space!r}."
            )

    @property
    def lines(self) -> int:
        """Number of devices per slice of a weight: two for a pair, else one."""
        return 2 if self.scheme == "differential" else 1

    @property
    def devices(self) -> int:
        """Number of devices per weight, slice after slice."""
        return self.lines * self.slices


PAIRS_PER_CHANNEL = WeightMapping("differential", "channel", "least_squares", space="G")
"""Pairs of devices, a full scale per output channel where it rounds best, levels linear in
conductance: what experiments compare devices by."""


def level_count(bits: Any) -> Any:
    """Return the number of levels of a device with this many bits, ``2^b``.

    Args:
        bits: A whole number of at least 1, or an array of such.

    Raises:
        ValueError: Less than 1, more than `MAX_BITS`, or not whole (concrete values only).
    """
    if not is_traced(bits):
        value = np.asarray(bits)
        whole = value.dtype != bool and np.issubdtype(value.dtype, np.number)
        bad = value[(value < 1) | (value > MAX_BITS) | (value != np.round(value))] if whole else 1
        if not whole or np.size(bad):
            shown = np.asarray(bad).flat[0] if whole else bits
            raise ValueError(
                f"Argument `bits` must be a whole number between 1 and {MAX_BITS}, but is {shown}."
            )
        levels = 2 ** value.astype(np.int32)
        return int(levels) if levels.ndim == 0 else levels
    return 2 ** jnp.asarray(bits, jnp.int32)


def conductance_fraction(
    position: Float[Array, "*shape"], *, ratio: ScalarLike, space: str
) -> Float[Array, "*shape"]:
    """Return the conductance fraction ``g`` of devices at these positions.

    A write error can put a device outside its window. Its resistance is then kept between half of
    `r_low` and twice `r_high` (assumed: no error turns a resistor into a short or an open end).

    Args:
        position: Place of the device in the window, in its space (0 to 1 within the window).
        ratio: ``r_high / r_low``, above 1.
        space: ``"R"`` or ``"G"``.
    """
    r = jnp.asarray(ratio, position.dtype)
    if space == "R":
        # R / r_low from 2 r to 1/2, as a position.
        u = jnp.clip(position, -r / (r - 1), (r - 0.5) / (r - 1))
        return u / (r - (r - 1) * u)
    # G / g_min from 1/2 to 2 r.
    return jnp.clip(position, -0.5 / (r - 1), (2 * r - 1) / (r - 1))


def _nearest_level(
    fraction: Float[Array, "*shape"],
    *,
    n_levels: Any,
    ratio: ScalarLike,
    mapping: WeightMapping,
) -> Float[Array, "*shape"]:
    """Return the index (as a real number) of the level for a conductance fraction in [0, 1].

    That of a weight of several slices counts the levels of all of them together.
    """
    last = jnp.asarray(n_levels, fraction.dtype) ** mapping.slices - 1
    if mapping.space == "G" or mapping.assign == "index":
        return jnp.round(fraction * last)
    r = jnp.asarray(ratio, fraction.dtype)
    # The fraction lies between two levels; where they meet is the mean of their conductances, not
    # of their resistances.
    position = r * fraction / (1 + (r - 1) * fraction)
    below = jnp.clip(jnp.floor(position * last), 0, last - 1)
    first = conductance_fraction(below / last, ratio=ratio, space="R")
    second = conductance_fraction((below + 1) / last, ratio=ratio, space="R")
    return jnp.where(fraction < (first + second) / 2, below, below + 1)


def _fractions(signed: Float[Array, "*shape"], mapping: WeightMapping) -> Float[Array, "d *shape"]:
    """Return the conductance fractions that a weight in [-1, 1] asks of its devices."""
    if mapping.scheme == "offset":
        return (signed[None] + 1) / 2
    # One expression for both devices, which a compiler vectorises; it does not for a stack of two.
    signs = jnp.asarray([1, -1], signed.dtype).reshape(2, *(1,) * signed.ndim)
    return jnp.maximum(signs * signed[None], 0)


def weights_to_levels(
    weights: Float[Array, "*shape"],
    scale: Float[Array, "..."],
    *,
    n_levels: Any,
    ratio: ScalarLike,
    mapping: WeightMapping,
) -> Int[Array, "devices *shape"]:
    """Return the level of each device of each weight.

    Args:
        weights: Weights.
        scale: Full scale ``w_m`` of `weight_scale`, which broadcasts against them.
        n_levels: Levels per device, at least 2; may be traced.
        ratio: ``r_high / r_low``.
        mapping: The map.

    Returns:
        Indices 0 (`r_high`) to ``n - 1`` (`r_low`), with a leading axis of the devices of a weight
        (two for a pair: plus and minus, or one).
    """
    fractions = _fractions(jnp.clip(weights / scale, -1, 1), mapping)
    levels = _nearest_level(fractions, n_levels=n_levels, ratio=ratio, mapping=mapping)
    return _digits(levels, n_levels, mapping).astype(jnp.int32)


def weights_to_positions(
    weights: Float[Array, "*shape"],
    scale: Float[Array, "..."],
    *,
    n_levels: Any,
    ratio: ScalarLike,
    mapping: WeightMapping,
) -> Float[Array, "devices *shape"]:
    """Return the place in the window of each device's level, with a gradient to the weights.

    The value is ``level / (n - 1)``. The gradient is that of devices without levels
    (straight-through): zero beyond the full scale, and for the device of a pair that rests.
    Arguments as `weights_to_levels`; `n_levels` None for devices without levels.
    """
    fractions = _fractions(jnp.clip(weights / scale, -1, 1), mapping)
    smooth = fractions
    if mapping.space == "R" and mapping.assign == "nearest":
        r = jnp.asarray(ratio, weights.dtype)
        smooth = r * fractions / (1 + (r - 1) * fractions)
    if n_levels is None:
        _check_sliced(n_levels, mapping)
        return smooth
    levels = _nearest_level(fractions, n_levels=n_levels, ratio=ratio, mapping=mapping)
    position = _digits(levels, n_levels, mapping) / (jnp.asarray(n_levels, weights.dtype) - 1)
    # All slices move as their sum does: the significances add up to 1.
    smooth = jnp.concatenate([smooth] * mapping.slices)
    return smooth + jax.lax.stop_gradient(position - smooth)


def _digits(
    levels: Float[Array, "lines *shape"], n_levels: Any, mapping: WeightMapping
) -> Float[Array, "devices *shape"]:
    """Return the digits of levels to the base of `n_levels`, lowest first; whole real numbers."""
    if mapping.slices == 1:
        return levels
    base = jnp.asarray(n_levels, levels.dtype)
    # Exact: levels are below 2^24.
    return jnp.concatenate([jnp.floor(levels / base**s) % base for s in range(mapping.slices)])


def _check_sliced(n_levels: Any, mapping: WeightMapping) -> None:
    if n_levels is None and mapping.slices > 1:
        raise ValueError(
            "Argument `bits` must be a number for a weight of several slices, but is None."
        )


def check_slices(n_levels: Any, mapping: WeightMapping) -> None:
    """Raise unless a weight of several slices has levels, and at most 24 bits of them.

    Raises:
        ValueError: As said.
    """
    _check_sliced(n_levels, mapping)
    if n_levels is None or is_traced(n_levels):
        return
    bits = mapping.slices * float(np.log2(np.max(np.asarray(n_levels))))
    if mapping.slices > 1 and bits > 24:
        raise ValueError(
            f"Argument `slices` must give weights of at most 24 bits, but gives {bits:g}."
        )


def significances(n_levels: Any, mapping: WeightMapping, dtype: Any) -> Float[Array, " slices"]:
    """Return the share ``c_s`` of each slice of a weight, lowest first; they add up to 1."""
    if mapping.slices == 1:
        return jnp.ones(1, dtype)
    base = jnp.asarray(n_levels, dtype)
    digits = base ** jnp.arange(mapping.slices, dtype=dtype)
    return digits * (base - 1) / (base**mapping.slices - 1)


def sliced_lines(cells: Array, mapping: WeightMapping) -> Array:
    """Return the devices of weights with slices side by side as outputs of their own.

    (devices, ..., outputs) becomes (lines, ..., slices x outputs).
    """
    if mapping.slices == 1:
        return cells
    split = cells.reshape(mapping.slices, mapping.lines, *cells.shape[1:])
    side_by_side = jnp.moveaxis(split, 0, -2)
    return side_by_side.reshape(*side_by_side.shape[:-2], -1)


def levels_to_conductance(
    levels: Int[Array, "*shape"],
    *,
    n_levels: Any,
    r_low: ScalarLike,
    r_high: ScalarLike,
    space: str,
) -> Float[Array, "*shape"]:
    """Return the conductance [S] of devices at these levels without error.

    Args:
        levels: Indices, 0 at `r_high`.
        n_levels: Levels per device; may be traced.
        r_low: Lowest resistance [ohm].
        r_high: Highest resistance [ohm].
        space: ``"R"`` or ``"G"``.
    """
    check_choice("space", space, ("R", "G"))
    dtype = jnp.result_type(float)
    r_low, r_high = jnp.asarray(r_low, dtype), jnp.asarray(r_high, dtype)
    position = levels.astype(dtype) / (jnp.asarray(n_levels, dtype) - 1)
    fraction = conductance_fraction(position, ratio=r_high / r_low, space=space)
    return 1 / r_high + (1 / r_low - 1 / r_high) * fraction


def conductance_to_weights(
    conductance: Float[Array, "devices *shape"],
    scale: Float[Array, "..."],
    *,
    r_low: ScalarLike,
    r_high: ScalarLike,
    mapping: WeightMapping,
    n_levels: Any = None,
) -> Float[Array, "*shape"]:
    """Return the weights that these conductances multiply with.

    The exact inverse of `weights_to_levels` and `levels_to_conductance` for weights that the map
    can represent (with ``assign="index"`` in the space R the bend leaves the ends alone).

    Args:
        conductance: Conductances [S], the devices of a weight along the first axis.
        scale: Full scale ``w_m``.
        r_low: Lowest resistance [ohm].
        r_high: Highest resistance [ohm].
        mapping: The map.
        n_levels: Levels per device, which weights of several slices need.
    """
    g_min, g_max = 1 / jnp.asarray(r_high), 1 / jnp.asarray(r_low)
    fractions = (conductance - g_min) / (g_max - g_min)
    return fractions_to_weights(fractions, scale, mapping=mapping, n_levels=n_levels)


def fractions_to_weights(
    fractions: Float[Array, "devices *shape"],
    scale: Float[Array, "..."],
    *,
    mapping: WeightMapping,
    n_levels: Any = None,
) -> Float[Array, "*shape"]:
    """Return the weights of devices with these conductance fractions.

    Args:
        fractions: Conductance fractions, the devices of a weight along the first axis.
        scale: Full scale ``w_m``.
        mapping: The map.
        n_levels: Levels per device, which weights of several slices need.
    """
    if mapping.slices > 1:
        _check_sliced(n_levels, mapping)
        slices = fractions.reshape(mapping.slices, mapping.lines, *fractions.shape[1:])
        share = significances(n_levels, mapping, fractions.dtype)
        fractions = jnp.tensordot(share, slices, axes=1, precision="highest")
    if mapping.scheme == "offset":
        return (2 * fractions[0] - 1) * scale
    return (fractions[0] - fractions[1]) * scale


def quantise(
    weights: Float[Array, "*shape"],
    scale: Float[Array, "..."],
    *,
    n_levels: Any,
    ratio: ScalarLike,
    mapping: WeightMapping,
) -> Float[Array, "*shape"]:
    """Return the weights as devices without error hold them. Arguments as `weights_to_levels`."""
    levels = weights_to_levels(weights, scale, n_levels=n_levels, ratio=ratio, mapping=mapping)
    position = levels.astype(weights.dtype) / (jnp.asarray(n_levels, weights.dtype) - 1)
    fractions = conductance_fraction(position, ratio=ratio, space=mapping.space)
    return fractions_to_weights(fractions, scale, mapping=mapping, n_levels=n_levels)


_CANDIDATES = np.geomspace(0.02, 1.0, 96)
"""Clips tried by the least-squares search, as fractions of the largest ``|w|``: 4 % apart."""


def weight_scale(
    weights: Float[Array, "*shape"],
    *,
    n_levels: Any,
    ratio: ScalarLike,
    mapping: WeightMapping,
) -> Float[Array, "..."]:
    """Return the full scale ``w_m`` of a layer or of each of its output channels.

    Args:
        weights: Weights; the last axis is the output channel.
        n_levels: Levels per device; may be traced. Matters to the least-squares clip alone, which
            keeps all of the weights where there are no levels (None).
        ratio: ``r_high / r_low``; likewise.
        mapping: The map.

    Returns:
        Full scales with the rank of the weights and length one along every axis that shares one.
        A layer or channel of zeros has full scale 1.
    """
    magnitude = jnp.abs(weights)
    axes = tuple(range(weights.ndim - (mapping.per == "channel")))
    if mapping.clip == "percentile":
        scale = jnp.percentile(magnitude, mapping.percentile, axis=axes, keepdims=True)
        scale = scale.astype(weights.dtype)
    else:
        scale = jnp.max(magnitude, axis=axes, keepdims=True)
    scale = jnp.where(scale > 0, scale, jnp.ones_like(scale))
    if mapping.clip != "least_squares" or n_levels is None:
        return scale

    def squared_error(candidate):
        held = quantise(weights, scale * candidate, n_levels=n_levels, ratio=ratio, mapping=mapping)
        return jnp.sum((weights - held) ** 2, axis=axes, keepdims=True)

    # One candidate at a time: all at once would hold 96 copies of the layer.
    candidates = jnp.asarray(_CANDIDATES, weights.dtype)
    errors = jax.lax.map(squared_error, candidates)
    return scale * candidates[jnp.argmin(errors, axis=0)]
