"""Statistics of batch normalisations, measured anew: on the chip that a network runs on."""

from __future__ import annotations

from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from flax import nnx

from .._types import Array
from ..data import to_float

Model = TypeVar("Model", bound=nnx.Module)


def remeasure_statistics(model: Model, x: Array | np.ndarray) -> Model:
    """Return a new model whose batch normalisations hold the statistics of these inputs.

    What devices do to all numbers of a channel, a scale and a shift, the digital normalisation
    behind them takes out, once it knows: a calibration of every chip that needs no label. Layer
    after layer in one forward pass, so that later layers see earlier ones calibrated.

    Args:
        model: A model, digital or on a chip; it is left as it is. One without batch normalisations
            is returned as it is.
        x: Inputs of the model, floats or bytes: some hundred, none of test data.
    """
    new = nnx.clone(model)
    found = [node for _, node in nnx.iter_graph(new) if isinstance(node, nnx.BatchNorm)]
    if not found:
        return model
    momenta = [node.momentum for node in found]
    flags = [node.use_running_average for node in found]
    for node in found:
        node.momentum, node.use_running_average = 0.0, False
    new(to_float(jnp.asarray(x)))
    for node, momentum, flag in zip(found, momenta, flags, strict=True):
        node.momentum, node.use_running_average = momentum, flag
    return new
