"""Families of hardware-aware training: what a network is while it learns.

A family says what else than the network's own parameters is trained, and makes of both a network on
one chip. Training takes another chip at every step; evaluation takes chips that no training saw.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from flax import nnx
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Float, Int, ScalarLike


class OnChip(NamedTuple):
    """A network on one chip."""

    model: nnx.Module
    """The analog model, programmed."""
    penalty: Float[Array, ""]
    """Added to the loss in training [nat]."""
    failed: Int[Array, ""]
    """Devices whose equations could not be solved; they are masked."""


class AbstractFamily(eqx.Module):
    """How a network is trained for hardware."""

    def start(self, analog: nnx.Module) -> PyTree:
        """Return what is trained besides the parameters of a model, a pytree of arrays."""
        return ()

    @abc.abstractmethod
    def chip(
        self,
        analog: nnx.Module,
        trained: PyTree,
        *,
        key: PRNGKeyArray,
        progress: ScalarLike = 1.0,
        t: ScalarLike = 0.0,
    ) -> OnChip:
        """Return the network on one chip.

        Args:
            analog: A model of `convert_to_analog`; it is left as it is.
            trained: What `start` gave, trained.
            key: The chip: the same key gives the same devices.
            progress: Share of the training that is done, 0 to 1.
            t: Time since programming [s].
        """

    def training_chip(
        self, analog: nnx.Module, trained: PyTree, *, key: PRNGKeyArray, progress: ScalarLike
    ) -> OnChip:
        """Return the network on the chip of a step of training; `chip` unless a family differs.

        Args:
            analog: As in `chip`.
            trained: As in `chip`.
            key: The chip.
            progress: Share of the training that is done, 0 to 1.
        """
        return self.chip(analog, trained, key=key, progress=progress)


def on_chip(model: nnx.Module) -> OnChip:
    """Return a network on a chip of which nothing failed and that costs nothing."""
    return OnChip(model, jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))


class Precise(AbstractFamily):
    """Training with what is known beforehand: levels, wires, converters; no device differs."""

    def chip(
        self,
        analog: nnx.Module,
        trained: PyTree,
        *,
        key: PRNGKeyArray,
        progress: ScalarLike = 1.0,
        t: ScalarLike = 0.0,
    ) -> OnChip:
        """Return the network as it is; key and time do not matter."""
        return on_chip(analog)
