"""A trained network whose devices hold what a table says, by level and kind of device."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import PRNGKeyArray

from .._types import Array, Float
from ..crossbar import (
    WeightMapping,
    fractions_to_weights,
    layer_key,
    weight_scale,
    weights_to_levels,
)
from ..data import to_float
from .analog import layer_name


class TableNetwork(NamedTuple):
    """A trained network taken apart, with a level for each device of its kernels."""

    graph: Any
    kernels: list[tuple[Any, Any]]
    """Path and variable of each kernel."""
    rest: Any
    levels: list[Array]
    """Level of each device, (devices of a weight, *kernel)."""
    scales: list[Array]
    """Full scales, in the precision that the network computes in."""
    mapping: WeightMapping

    def logits(self, table: Float[Array, "kinds levels"], key: PRNGKeyArray, x: Array) -> Array:
        """Return the logits (n, classes) of one chip.

        Args:
            table: The fraction of the conductance window that a device of each kind holds, for each
                level it was written to.
            key: The chip: every device is one of the kinds, drawn at random.
            x: Inputs (n, ...), uint8 images or floating-point numbers.
        """
        state = []
        for (path, kernel), levels, scale in zip(
            self.kernels, self.levels, self.scales, strict=True
        ):
            own = layer_key(key, layer_name(path[:-1]))
            kind = jax.random.randint(own, levels.shape, 0, table.shape[0], jnp.int32)
            # The border: devices are double precision, networks single.
            held = table.astype(scale.dtype)[kind, levels]
            weights = fractions_to_weights(
                held, scale, mapping=self.mapping, n_levels=table.shape[-1]
            )
            state.append((path, kernel.replace(weights)))
        return nnx.merge(self.graph, nnx.from_flat_state(state), self.rest)(to_float(x))

    def accuracy(
        self, table: Float[Array, "kinds levels"], key: PRNGKeyArray, x: Array, y: Array
    ) -> Array:
        """Return the share of inputs that one chip puts into their class; y (n,) are labels."""
        return jnp.mean(jnp.argmax(self.logits(table, key, x), axis=1) == y)

    def cross_entropy(
        self, table: Float[Array, "kinds levels"], key: PRNGKeyArray, x: Array, y: Array
    ) -> Array:
        """Return the mean loss [nat] of one chip; y (n,) are labels."""
        log_p = jax.nn.log_softmax(self.logits(table, key, x))
        return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1).astype(float))


def table_network(
    model: nnx.Module,
    *,
    n_levels: int,
    ratio: float,
    mapping: WeightMapping,
    dtype: Any = jnp.float32,
) -> TableNetwork:
    """Assign levels to the kernels of a trained network.

    Args:
        model: The digital model; evaluated as after ``model.eval()``, and left as it is.
        n_levels: Levels per device.
        ratio: Largest over smallest conductance.
        mapping: From weights to levels.
        dtype: Precision of the forward pass of linear layers; double precision is for checking
            derivatives by differences.
    """
    model = nnx.clone(model)
    model.eval()
    for _, layer in nnx.iter_graph(model):
        if isinstance(layer, nnx.Linear):
            layer.dtype = dtype
    graph, kernels, rest = nnx.split(model, lambda path, _: path[-1] == "kernel", ...)
    flat = list(nnx.to_flat_state(kernels))
    weights = [kernel.get_value().astype(jnp.float32) for _, kernel in flat]
    options: dict[str, Any] = dict(
        n_levels=n_levels, ratio=jnp.asarray(ratio, jnp.float32), mapping=mapping
    )
    scales = [weight_scale(w, **options) for w in weights]
    levels = [weights_to_levels(w, s, **options) for w, s in zip(weights, scales, strict=True)]
    return TableNetwork(graph, flat, rest, levels, [s.astype(dtype) for s in scales], mapping)
