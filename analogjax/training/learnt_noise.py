"""Learnt noise: how precisely each weight has to be written is learnt with it."""

from __future__ import annotations

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_choice, check_not_negative, check_positive
from .._types import Array, Float, ScalarLike
from ..crossbar import layer_key, program, trainable_chip, weight_scale
from ..crossbar.nonidealities import WeightNoise
from ..networks import DeviceParam, analog_layers, drift_analog_weights, with_chips
from .families import AbstractFamily, OnChip, on_chip


class AbstractPrecisionCost(eqx.Module):
    """What it costs to write weights with a small error."""

    @abc.abstractmethod
    def __call__(
        self, mean: Float[Array, "*shape"], sigma: Float[Array, "*shape"]
    ) -> Float[Array, ""]:
        """Return the cost [nat] of the weights of a layer, mean and sigma in full scales."""


class KullbackLeibler(AbstractPrecisionCost):
    r"""``beta / N`` times the divergence from a normal prior, summed over weights.

    :math:`KL(q \| p) = \ln(s_p / s) + (s^2 + m^2) / (2 s_p^2) - 1/2`, so that the loss is the
    negative evidence lower bound per input (Kingma and Welling, arXiv:1312.6114).
    """

    inputs: int = eqx.field(static=True)
    """N, number of inputs of the training set."""
    beta: float = eqx.field(static=True, default=1.0)
    """Factor on the divergence."""
    prior_std: float = eqx.field(static=True, default=1.0)
    """s_p, in full scales of the weights."""

    def __check_init__(self):
        """Check the numbers."""
        for name in ("inputs", "beta", "prior_std"):
            check_positive(name, getattr(self, name))

    def __call__(
        self, mean: Float[Array, "*shape"], sigma: Float[Array, "*shape"]
    ) -> Float[Array, ""]:
        """Return the divergence's share of the loss [nat]."""
        prior = self.prior_std
        each = jnp.log(prior / sigma) + (sigma**2 + mean**2) / (2 * prior**2) - 0.5
        return self.beta / self.inputs * jnp.sum(each)


class WritingCost(AbstractPrecisionCost):
    """A price times the mean of ``1 / sigma``: write and verify takes pulses in proportion."""

    price: float = eqx.field(static=True)
    """Of a weight written with an error of one full scale [nat]."""

    def __check_init__(self):
        """Check the price."""
        check_positive("price", self.price)

    def __call__(
        self, mean: Float[Array, "*shape"], sigma: Float[Array, "*shape"]
    ) -> Float[Array, ""]:
        """Return the cost [nat]."""
        return self.price * jnp.mean(1 / sigma)


class LearntNoise(AbstractFamily):
    r"""Noise injection with a noise of weights whose size is learnt, on top of the hardware's.

    :math:`\sigma_{tot}^2 = \sigma_{hw}^2 + \mathrm{softplus}(\rho)^2`: no weight is more precise
    than the hardware. What is learnt is an independent normal error beside all that the hardware's
    devices do. The loss alone always prefers less noise: *without a cost sigma collapses to 0*.

    Attributes:
        cost: Of precision; None for none.
        initial: softplus(rho) at the start, in full scales of the weights.
        floor: sigma_hw, in full scales of the weights, as the cost counts it; of pairs of devices
            with `GaussianError` of standard deviation s it is ``sqrt(2) s``.
        per: One sigma per ``"weight"`` or per ``"layer"``.
    """

    cost: AbstractPrecisionCost | None
    initial: float = eqx.field(static=True)
    floor: float = eqx.field(static=True)
    per: str = eqx.field(static=True)

    def __init__(
        self,
        cost: AbstractPrecisionCost | None,
        *,
        initial: float = 0.1,
        floor: float = 0.0,
        per: str = "weight",
    ):
        """Make a family; arguments as its attributes.

        Raises:
            ValueError: Numbers that are none, or another choice.
        """
        self.cost, self.initial = cost, float(check_positive("initial", initial))
        self.floor = float(check_not_negative("floor", floor))
        self.per = check_choice("per", per, ("weight", "layer"))

    def start(self, analog: nnx.Module) -> PyTree:
        """Return rho of each layer: ``{layer: ...}``, of the kernel's shape or a number."""
        rho = math.log(math.expm1(self.initial))
        return {
            name: jnp.full(
                layer.kernel[...].shape if self.per == "weight" else (), rho, jnp.float32
            )
            for name, layer in analog_layers(analog).items()
        }

    def sigmas(self, trained: PyTree) -> dict[str, Float[Array, "..."]]:
        """Return sigma_tot of each layer, in full scales of its weights."""
        return {
            name: jnp.sqrt(self.floor**2 + jax.nn.softplus(rho) ** 2)
            for name, rho in trained.items()
        }

    def chip(
        self,
        analog: nnx.Module,
        trained: PyTree,
        *,
        key: PRNGKeyArray,
        progress: ScalarLike = 1.0,
        t: ScalarLike = 0.0,
    ) -> OnChip:
        """Return the network on the chip of a key; the gradient passes to mean and sigma."""
        new, held, penalty = nnx.clone(analog), {}, jnp.zeros((), jnp.float32)
        sigmas = self.sigmas(trained)
        for name, layer in analog_layers(new).items():
            device = layer.device.get_value()
            noise = WeightNoise(jax.nn.softplus(trained[name])).cast(jnp.float32)
            noisy = eqx.tree_at(
                lambda d: d.effects,
                device,
                (*device.effects, noise),
                is_leaf=lambda x, own=device.effects: x is own,
            )
            layer.device = DeviceParam(noisy)
            weights = layer.kernel[...].astype(jnp.float32)
            options = {"n_levels": layer.n_levels, "mapping": layer.mapping}
            chip = program(
                weights, noisy, key=layer_key(key, name), tile=layer.tile.get_value(), **options
            )
            held[name] = trainable_chip(chip)
            if self.cost is not None:
                scale = weight_scale(weights, ratio=device.ratio, **options)
                mean = weights / jax.lax.stop_gradient(scale)
                sigma = jnp.broadcast_to(sigmas[name], mean.shape)
                penalty = penalty + self.cost(mean, sigma).astype(jnp.float32)
        chips = on_chip(drift_analog_weights(with_chips(new, held, key=key), t=t))
        return chips._replace(penalty=penalty)
