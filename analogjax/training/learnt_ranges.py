"""Learnt ranges: full scales of weights and of inputs that are trained with the network."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from flax import nnx
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, ScalarLike
from ..crossbar import trainable_chip, weight_scale
from ..networks import analog_layers, chips
from .families import AbstractFamily, OnChip
from .noise_injection import NoiseInjection


class LearntRanges(AbstractFamily):
    """A family whose layers learn their full scale of weights, of inputs, or both.

    With levels or converters this is quantisation with a learned step (LSQ: Esser et al., ICLR
    2020, arXiv:1902.08153): within the range the gradient passes straight through the rounding,
    beyond it is zero, and the range has the gradient ``q / s - u``, or plus or minus 1 beyond
    (`analogjax.crossbar.converters.quantise`). Logarithms of the ranges are trained, so that a
    learning rate is a relative one. Learnt ranges of weights are also learnt clips of weights:
    what lies beyond is written as full scale, and all others get more of the window.

    Attributes:
        family: How the network is put on a chip otherwise.
        weights: Whether full scales of weights are learnt.
        inputs: Whether full scales of inputs are learnt (from those of `calibrate_converters`).
    """

    family: AbstractFamily
    weights: bool = eqx.field(static=True)
    inputs: bool = eqx.field(static=True)

    def __init__(
        self, family: AbstractFamily | None = None, *, weights: bool = True, inputs: bool = False
    ):
        """Make a family; arguments as its attributes, `family` None for `NoiseInjection`.

        Raises:
            ValueError: Neither weights nor inputs.
        """
        if not (weights or inputs):
            raise ValueError("Argument `weights` must be True without `inputs`, but is False.")
        self.family = NoiseInjection() if family is None else family
        self.weights, self.inputs = bool(weights), bool(inputs)

    def start(self, analog: nnx.Module) -> PyTree:
        """Return ``{"family": ..., "weights": {layer: log}, "inputs": {layer: log}}``.

        Raises:
            ValueError: A model whose inputs have not been calibrated.
        """
        scales: dict[str, Array] = {}
        ranges: dict[str, Array] = {}
        for name, layer in analog_layers(analog).items():
            if self.weights:
                scale = weight_scale(
                    layer.kernel[...].astype(jnp.float32),
                    n_levels=layer.n_levels,
                    ratio=layer.device.get_value().ratio,
                    mapping=layer.mapping,
                )
                scales[name] = jnp.log(scale)
            if self.inputs:
                full = layer.input_range.get_value()
                if full is None:
                    raise ValueError(
                        "Argument `analog` must have calibrated ranges of inputs (see "
                        f"`calibrate_converters`), but its layer {name!r} has not."
                    )
                ranges[name] = jnp.log(jnp.asarray(full, jnp.float32))
        return {"family": self.family.start(analog), "weights": scales, "inputs": ranges}

    def chip(
        self,
        analog: nnx.Module,
        trained: PyTree,
        *,
        key: PRNGKeyArray,
        progress: ScalarLike = 1.0,
        t: ScalarLike = 0.0,
    ) -> OnChip:
        """Return the network on the chip of the family, at the learnt ranges."""
        found = self.family.chip(
            self._ranged(analog, trained), trained["family"], key=key, progress=progress, t=t
        )
        return self._scaled(found, trained)

    def training_chip(
        self, analog: nnx.Module, trained: PyTree, *, key: PRNGKeyArray, progress: ScalarLike
    ) -> OnChip:
        """Return the network on the family's chip of a step, at the learnt ranges."""
        found = self.family.training_chip(
            self._ranged(analog, trained), trained["family"], key=key, progress=progress
        )
        return self._scaled(found, trained)

    def _ranged(self, analog: nnx.Module, trained: PyTree) -> nnx.Module:
        new = nnx.clone(analog)
        for name, layer in analog_layers(new).items():
            if self.inputs:
                layer.input_range.set_value(jnp.exp(trained["inputs"][name]))
        return new

    def _scaled(self, found: OnChip, trained: PyTree) -> OnChip:
        if not self.weights:
            return found
        held = chips(found.model)
        for name, layer in analog_layers(found.model).items():
            if held[name].levels is not None:
                raise ValueError(
                    "Argument `family` must write the weights themselves (as `NoiseInjection`) "
                    "for learnt ranges of weights, but writes levels of its own."
                )
            scale = jnp.exp(trained["weights"][name])
            layer.chip.set_value(trainable_chip(held[name], scale=scale))
        return found
