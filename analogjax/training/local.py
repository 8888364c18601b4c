"""Local reparameterisation: fresh noise of weights drawn at the outputs, one number per output."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_not_negative
from .._types import Array, Float, Scalar, ScalarLike
from ..crossbar import NoError, weight_scale
from ..crossbar.nonidealities._base import safe_sqrt
from ..networks import AnalogLinear, analog_layers, program_analog_weights
from .families import AbstractFamily, OnChip, on_chip


class _Sampled(nnx.Module):
    """A dense layer whose weights have fresh noise, drawn at its outputs."""

    def __init__(self, layer: AnalogLinear, sigma: Float[Array, "1 #outputs"]):
        self.layer, self.sigma = layer, nnx.Variable(sigma)

    def __call__(self, inputs: Array, **options: Any) -> Array:
        y = self.layer(inputs, **options)
        key = self.layer.read.get_value()
        if key is None:
            return y
        power = jnp.sum(inputs**2, axis=-1, keepdims=True)
        sigma = self.sigma[...].reshape(-1)
        spread = safe_sqrt(power) * jnp.broadcast_to(sigma, y.shape)
        return y + spread * jax.random.normal(key, y.shape, y.dtype)


class LocalReparameterisation(AbstractFamily):
    r"""Fresh read noise of all weights of dense layers, drawn where it arrives.

    If each read of a weight is ``N(w_ij, sigma_j^2)``, independent of all others, then

    .. math:: y_{bj} \sim N(\sum_i x_{bi} w_{ij},\; \sigma_j^2 \sum_i x_{bi}^2)

    exactly, and its gradient varies less than with one draw of the weights for a whole batch
    (Kingma, Salimans and Welling, arXiv:1506.02557). It holds for *fresh* noise alone: frozen write
    errors are shared by all inputs, and a convolution shares a read among the places of an image.
    Reads of arrays with a tile draw their noise in this way already.

    Attributes:
        std: Standard deviation of a read of a weight, in full scales of the weights.
    """

    std: Scalar

    def __init__(self, std: ScalarLike):
        """Make a family.

        Args:
            std: Standard deviation of a read of a weight, in full scales of the weights.

        Raises:
            ValueError: A negative standard deviation.
        """
        self.std = jnp.asarray(check_not_negative("std", std), jnp.float32)

    def start(self, analog: nnx.Module) -> PyTree:
        """Return nothing that is trained, after a look at the layers.

        Raises:
            ValueError: A convolution, frozen errors or effects, or a tile.
        """
        for name, layer in analog_layers(analog).items():
            device = layer.device.get_value()
            wrong = None
            if not isinstance(layer, AnalogLinear):
                wrong = "is a convolution, whose places share each read of a weight"
            elif layer.tile.get_value() is not None:
                wrong = "has a tile, which draws the noise of its reads itself"
            elif not isinstance(device.write_error, NoError) or device.effects:
                wrong = "has write errors or effects, which are frozen and shared by all inputs"
            if wrong is not None:
                raise ValueError(
                    "Argument `analog` must be of dense layers with fresh noise alone for local "
                    f"reparameterisation, but its layer {name!r} {wrong}."
                )
        return ()

    def chip(
        self,
        analog: nnx.Module,
        trained: PyTree,
        *,
        key: PRNGKeyArray,
        progress: ScalarLike = 1.0,
        t: ScalarLike = 0.0,
    ) -> OnChip:
        """Return the network in one read, each input with noise of its own; time does not matter.

        Raises:
            ValueError: As `start` does.
        """
        self.start(analog)
        model = program_analog_weights(analog, key=key, trainable=True)

        def sampled(path: Any, node: Any) -> Any:
            if type(node) is not AnalogLinear:
                return node
            device, weights = node.device.get_value(), node.kernel[...].astype(jnp.float32)
            scale = weight_scale(
                weights, n_levels=node.n_levels, ratio=device.ratio, mapping=node.mapping
            )
            return _Sampled(node, self.std * jax.lax.stop_gradient(scale))

        return on_chip(nnx.recursive_map(sampled, model))
