"""The loss of programmed chips as a function of their hardware's magnitudes: error budgets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_whole
from .._types import Array, Float, ScalarLike
from ..crossbar import Hardware
from ..data import check_images, check_labels, to_float
from .analog import (
    analog_layers,
    convert_to_analog,
    drift_analog_weights,
    program_analog_weights,
)
from .evaluate import chip_keys
from .variables import DeviceParam, TileParam

Model = TypeVar("Model", bound=nnx.Module)


def with_hardware(analog: Model, hardware: Hardware) -> Model:
    """Return the same chip on hardware of other magnitudes: levels and draws stay.

    What the arrays have been solved for is forgotten. The chip must have been programmed on
    hardware of the same parts (a part that is off has the magnitude 0, as a JAX array).

    Args:
        analog: A model of `convert_to_analog`, programmed or not; it is left as it is.
        hardware: The hardware; may hold traced magnitudes.

    Raises:
        ValueError: If it has other parts, another mapping or other bits, or the model has no analog
            layer.
    """
    new = nnx.clone(analog)
    device, tile = DeviceParam(hardware.device), TileParam(hardware.tile)
    parts = jax.tree.structure((hardware.device, hardware.tile))
    for name, layer in analog_layers(new).items():
        theirs = jax.tree.structure((layer.device.get_value(), layer.tile.get_value()))
        if (theirs, layer.mapping, layer.n_levels) != (parts, hardware.mapping, hardware.n_levels):
            raise ValueError(
                "Argument `hardware` must have the parts, mapping and bits of the hardware of "
                f"`analog`, but has not those of its layer {name!r}."
            )
        layer.device, layer.tile = device, tile
        layer.arrays.set_value(None)
    return new


class Losses(NamedTuple):
    """What each chip gives."""

    cross_entropy: Float[np.ndarray, " chips"]
    """Mean over the inputs [nat]."""
    accuracy: Float[np.ndarray, " chips"]
    """Share of inputs classified correctly."""


class ChipLoss:
    """Cross-entropy and accuracy of a set of chips, as a function of magnitudes.

    The chips are programmed once; their draws, and those of one read of each, are kept while the
    magnitudes change, so that the loss is a smooth function of them as far as converters are (their
    gradient passes straight through the rounding).
    """

    def __init__(
        self,
        model: nnx.Module,
        hardware: Callable[[Any], Hardware],
        at: PyTree,
        split: Any,
        *,
        chips: int,
        key: PRNGKeyArray,
        t: ScalarLike = 0.0,
    ):
        """Program the chips.

        Args:
            model: The digital model; it is left as it is.
            hardware: Makes hardware of magnitudes (any tree of numbers); the same parts whatever
                the numbers.
            at: Magnitudes at which the chips are programmed. Where magnitudes shift levels (those
                of the window alone do), levels are those of `at`.
            split: Inputs `x` and labels `y`; all of them in one forward pass.
            chips: Number of chips.
            key: Random key of all chips.
            t: Time since programming [s].

        Raises:
            ValueError: No chips, or inputs and labels that do not fit.
        """
        check_whole("chips", chips)
        check_images(np.asarray(split.x), getattr(model, "input_shape", np.shape(split.x)[1:]))
        self.hardware, self.chips = hardware, chips
        analog = convert_to_analog(model, hardware(_arrays(at)))
        analog.eval()
        self.x, self.y = to_float(jnp.asarray(split.x)), jnp.asarray(split.y, jnp.int32)
        states = []
        for own in chip_keys(key, chips):
            chip = program_analog_weights(analog, key=own)
            self._graph, state = nnx.split(drift_analog_weights(chip, t=t))
            states.append(state)
        self._states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        one = jax.ShapeDtypeStruct(self.x.shape, self.x.dtype)
        classes = jax.eval_shape(nnx.merge(self._graph, states[0]), one).shape[-1]
        check_labels(np.asarray(split.y), classes)
        self._value = jax.jit(partial(self._over_chips, self._one))
        slope = jax.grad(lambda at, state: self._one(at, state)[0])
        self._slope = jax.jit(partial(self._over_chips, slope))

    def __call__(self, at: PyTree) -> Losses:
        """Return the losses of all chips at these magnitudes."""
        return Losses(*(np.asarray(x, np.float64) for x in self._value(_arrays(at), self._states)))

    def gradient(self, at: PyTree) -> PyTree:
        """Return the gradient of each chip's cross-entropy: a tree as `at`, a number per chip."""
        slopes = self._slope(_arrays(at), self._states)
        return jax.tree.map(lambda x: np.asarray(x, np.float64), slopes)

    def _over_chips(self, function: Callable[..., Any], at: PyTree, states: nnx.State) -> Any:
        # One after another: side by side their circuits would fill a core's cache.
        return jax.lax.map(lambda state: function(at, state), states)

    def _one(self, at: PyTree, state: nnx.State) -> tuple[Array, Array]:
        model = with_hardware(nnx.merge(self._graph, state, copy=True), self.hardware(at))
        logits = model(self.x)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, self.y)
        right = jnp.argmax(logits, axis=-1) == self.y
        return jnp.mean(losses), jnp.mean(right, dtype=jnp.float32)


def _arrays(at: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), at)
