"""How a configuration file spells a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flax import nnx

from .build import build


@dataclass
class NetworkConfig:
    """A network by its name, and options that differ from the network's own defaults."""

    name: str = "mlp"
    """One of `analogjax.networks.NAMES`."""
    options: dict[str, Any] = field(default_factory=dict)
    """For example `hidden` of an MLP or `stem` of a ResNet."""

    def build(self, *, input_shape: Sequence[int], classes: int, seed: int = 0) -> nnx.Module:
        """Return the network with random weights.

        Args:
            input_shape: Shape of one input, without the batch.
            classes: Number of logits.
            seed: Seed of the weights.

        Raises:
            ValueError: If there is no such network or option.
        """
        options = {key: _plain(value) for key, value in self.options.items()}
        return build(
            self.name, input_shape=input_shape, classes=classes, rngs=nnx.Rngs(seed), **options
        )


def _plain(value: Any) -> Any:
    """Return OmegaConf's lists as tuples."""
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return tuple(value) if is_list else value
