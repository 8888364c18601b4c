"""What decides how well a layer's weights fit on few levels: how far the largest one stands out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from flax import nnx


class WeightStatistics(NamedTuple):
    """Weights of one layer."""

    layer: str
    """Path of the layer within the model, parts joined by dots."""
    count: int
    """Number of weights (biases are none)."""
    rms: float
    """Root mean square."""
    peak: float
    """Largest magnitude over the root mean square: levels are spread over +-peak."""


def weight_statistics(model: nnx.Module) -> list[WeightStatistics]:
    """Return the statistics of every layer with a kernel, ordered by name.

    Args:
        model: The model.
    """
    rows = []
    for path, parameter in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        if path[-1] != "kernel":
            continue
        weights = np.asarray(parameter.get_value(), np.float64)
        rms = float(np.sqrt(np.mean(weights**2)))
        peak = float(np.abs(weights).max()) / rms if rms else 0.0
        rows.append(WeightStatistics(".".join(map(str, path[:-1])), weights.size, rms, peak))
    return rows
