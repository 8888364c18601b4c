"""Models by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import jax
from flax import nnx

from .._checks import check_choice
from .convnet import ConvNet
from .lenet import LeNet5
from .mlp import MLP
from .resnet import ResNet, ResNet18, ResNet34

_MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "mlp": (MLP, {}),
    "lenet5": (LeNet5, {}),
    "lenet5_5x5": (LeNet5, {"variant": "80k_5x5"}),
    "lenet5_classic": (LeNet5, {"variant": "classic"}),
    "convnet": (ConvNet, {}),
    "resnet": (ResNet, {}),
    "resnet18": (ResNet18, {}),
    "resnet34": (ResNet34, {}),
}
NAMES = tuple(_MODELS)
"""Names that `build` knows."""


def build(
    name: str, *, input_shape: Sequence[int], classes: int, rngs: nnx.Rngs, **options: Any
) -> nnx.Module:
    """Build a model by its name, with random weights.

    Args:
        name: `mlp`, `lenet5`, `lenet5_5x5`, `lenet5_classic`, `convnet`, `resnet` (with its
            `blocks`), `resnet18` or `resnet34`.
        input_shape: Shape of one input, without the batch.
        classes: Number of logits.
        rngs: Source of the initial weights.
        **options: The model's own options, as `hidden` of the MLP.

    Returns:
        The model: takes (batch, *input_shape), returns logits (batch, classes), all float32.

    Raises:
        ValueError: If the name or an option is unknown, or the model refuses a size.
    """
    check_choice("name", name, _MODELS)
    model, fixed = _MODELS[name]
    given = {"self", "input_shape", "classes", "rngs", *fixed}
    known = sorted(set(inspect.signature(model.__init__).parameters) - given)
    for option in options:
        check_choice("options", option, known)
    return model(input_shape=input_shape, classes=classes, rngs=rngs, **fixed, **options)


def parameter_count(model: nnx.Module) -> int:
    """Return the number of trainable numbers (running statistics are none)."""
    leaves = jax.tree.leaves(nnx.state(model, nnx.Param))
    return sum(math.prod(leaf.shape) for leaf in leaves)
