"""Ranges of converters from data: what drives the lines of each layer, and what comes out."""

from __future__ import annotations

from typing import TypeVar

import equinox as eqx
import jax.numpy as jnp
from flax import nnx

from .._types import Inputs, ScalarLike
from ..crossbar import array_shares
from ..crossbar.converters import calibrate_range
from .analog import analog_layers

Model = TypeVar("Model", bound=nnx.Module)


def calibrate_converters(
    analog: Model,
    x: Inputs,
    *,
    inputs: str | None = "max",
    outputs: str | None = None,
    percentile: ScalarLike = 99.9,
) -> Model:
    """Return a new model whose converters have fixed ranges, found on a batch of inputs.

    Without calibration every vector of inputs is scaled by its own largest value, and the range of
    outputs is that of the domain. Layer after layer is calibrated in one forward pass, so that
    later layers see what converters of earlier ones make of the batch. The ranges are variables of
    their own (`ConverterRange`), so that they can be trained.

    Args:
        analog: A model of `convert_to_analog` on tiles, programmed or not; it is left as it is.
        x: Inputs of the model; none of test data.
        inputs: ``"max"``, ``"percentile"`` or ``"mse"``, as in
            `analogjax.crossbar.converters.calibrate_range`; None for a scaling of every vector.
        outputs: Likewise of the outputs of the arrays; None for the domain's own range.
        percentile: For ``"percentile"``.

    Raises:
        ValueError: A model without tiles, or an unknown method.
    """
    new = nnx.clone(analog)
    layers = analog_layers(new)
    if any(layer.tile.get_value() is None for layer in layers.values()):
        raise ValueError("Argument `analog` must be a model on tiles, but its hardware has none.")

    def calibrate(layer, seen):
        domain = layer.tile.get_value().domain
        if inputs is not None:
            bits = getattr(domain.dac, "bits", None)
            layer.input_range.set_value(
                calibrate_range(seen, inputs, bits=bits or 8, percentile=percentile)
            )
        if outputs is not None:
            bits = getattr(domain.adc, "bits", None)
            shares = array_shares(
                seen,
                layer.prepared(),
                layer.chip.get_value(),
                layer.device.get_value(),
                eqx.tree_at(lambda t: t.domain, layer.tile.get_value(), domain.unconverted()),
                mapping=layer.mapping,
                input_range=layer.input_range.get_value(),
            )
            layer.output_range.set_value(
                calibrate_range(shares, outputs, bits=bits or 8, percentile=percentile)
            )

    for layer in layers.values():
        layer.probe = calibrate
    new(jnp.asarray(x))
    for layer in layers.values():
        layer.probe = None
    return new
