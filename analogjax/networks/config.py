"""How a configuration file spells a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flax import nnx

from ..runs import UsageError
from ._state_files import file_hash
from .build import build
from .resnet import ResNet
from .torch_weights import IMAGENET_MEAN, IMAGENET_STD, load_torch_weights


@dataclass
class NetworkConfig:
    """A network by its name, and options that differ from the network's own defaults."""

    name: str = "mlp"
    """One of `analogjax.networks.NAMES`."""
    options: dict[str, Any] = field(default_factory=dict)
    """For example `hidden` of an MLP or `stem` of a ResNet."""
    weights: str | None = None
    """File of weights to begin with, for a ResNet; see `load_torch_weights`. A last layer of
    another number of classes is drawn anew."""
    input_mean: list[float] | None = None
    """What is subtracted from each channel of a ResNet's input; ImageNet's with `weights`."""
    input_std: list[float] | None = None
    """What the difference is divided by; ImageNet's with `weights`."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        if (self.input_mean is None) != (self.input_std is None):
            raise ValueError(
                "Argument `input_mean` must come with `input_std`, but one of them is missing."
            )

    def build(
        self, *, input_shape: Sequence[int], classes: int, seed: int = 0, weights: bool = True
    ) -> nnx.Module:
        """Return the network with random weights, or those of the file `weights`.

        Args:
            input_shape: Shape of one input, without the batch.
            classes: Number of logits.
            seed: Seed of the weights that are drawn.
            weights: Whether to read the file; False where its values would be replaced anyway.

        Raises:
            ValueError: If there is no such network or option, or the file does not fit.
        """
        options = {key: _plain(value) for key, value in self.options.items()}
        model = build(
            self.name, input_shape=input_shape, classes=classes, rngs=nnx.Rngs(seed), **options
        )
        if self.weights is None and self.input_mean is None:
            return model
        if not isinstance(model, ResNet):
            raise UsageError(
                "Keys `weights` and `input_mean` must come with network.name=resnet18 or resnet34, "
                f"but come with {self.name}."
            )
        model.normalise_inputs(self.input_mean or IMAGENET_MEAN, self.input_std or IMAGENET_STD)
        if weights and self.weights is not None:
            load_torch_weights(model, self.weights, new_head=True)
        return model

    def identity(self) -> dict[str, Any]:
        """Return what decides the network as plain values: of a file its contents, not its name."""
        described = {key: value for key, value in asdict(self).items() if value is not None}
        if self.weights is not None:
            described["weights"] = file_hash(Path(self.weights))
        return described


def _plain(value: Any) -> Any:
    """Return OmegaConf's lists as tuples."""
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return tuple(value) if is_list else value
