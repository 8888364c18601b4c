"""Residual networks take over weights that were trained with PyTorch, by torchvision's names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..runs import UsageError
from ._state_files import read_state
from .resnet import ResNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""What torchvision's weights expect to be subtracted from red, green and blue in [0, 1]
(`torchvision.models.ResNet34_Weights.IMAGENET1K_V1.transforms()`)."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What they expect the difference to be divided by."""


class _Entry(NamedTuple):
    """Where one tensor goes."""

    variable: Any
    """The variable of the network."""

    shape: tuple[int, ...]
    """The tensor's shape in PyTorch."""

    to_flax: Callable[[np.ndarray], np.ndarray]
    """From PyTorch's order of axes to Flax's."""


def load_torch_weights(
    model: ResNet, path: str | os.PathLike[str], *, new_head: bool = False
) -> list[str]:
    """Put weights that PyTorch trained into a residual network, in place.

    The names are those of torchvision's `resnet18` and `resnet34`. Convolutions are padded as in
    PyTorch, so that the logits are the same up to rounding. Inputs must be normalised as in that
    training: see `ResNet.normalise_inputs`.

    Args:
        model: The network.
        path: A file `.safetensors` (needs the package safetensors), `.npz` (the same names), or
            `.pth` (what `torch.save(model.state_dict(), path)` writes).
        new_head: Whether a last layer of another number of classes is left as it was drawn. If not,
            it is refused.

    Returns:
        Names of the entries that were left out: those of the last layer, or none.

    Raises:
        UsageError: If the file cannot be read, holds anything but tensors, or its entries are not
            those of the network; the message names all of them.
    """
    return put_torch_weights(model, read_state(Path(path)), str(path), new_head=new_head)


def put_torch_weights(
    model: ResNet, state: Mapping[str, np.ndarray], source: str = "state", *, new_head: bool = False
) -> list[str]:
    """Put named arrays into a residual network; see `load_torch_weights`.

    Args:
        model: The network, changed in place; not at all if anything is wrong.
        state: Arrays by torchvision's names, in PyTorch's order of axes.
        source: Where they come from, for messages.
        new_head: As there.
    """
    wanted = _entries(model)
    # How many batches the statistics were taken over plays no part in their use.
    given = {name: x for name, x in state.items() if not name.endswith(".num_batches_tracked")}
    head = [name for name in wanted if name.startswith("fc.")]
    left_out = []
    if new_head and any(given[name].shape != wanted[name].shape for name in head if name in given):
        left_out = head
    expected = {name: entry for name, entry in wanted.items() if name not in left_out}
    wrong = [
        *_named("lacks", (name for name in expected if name not in given)),
        *_named("holds what the network has not:", (name for name in given if name not in wanted)),
        *_named(
            "holds other shapes:",
            (
                f"{name} {given[name].shape} instead of {entry.shape}"
                for name, entry in expected.items()
                if name in given and given[name].shape != entry.shape
            ),
        ),
        *_named(
            "holds what is no finite floating-point number in",
            (name for name in expected if name in given and not _finite(given[name])),
        ),
    ]
    if wrong:
        raise UsageError(
            f"Weights {source!r} must fit the network, but the file {'; '.join(wrong)}."
        )
    for name, entry in expected.items():
        array = entry.to_flax(np.asarray(given[name], np.float32))
        entry.variable.set_value(jnp.asarray(array, jnp.float32))
    return left_out


def _named(what: str, names: Iterable[str]) -> list[str]:
    listed = ", ".join(names)
    return [f"{what} {listed}"] if listed else []


def _finite(x: np.ndarray) -> bool:
    return x.dtype.kind == "f" and bool(np.isfinite(x).all())


def _entries(model: ResNet) -> dict[str, _Entry]:
    """Return where each tensor of torchvision's network goes."""
    found: dict[str, _Entry] = {}

    def convolution(name: str, layer: Any) -> None:
        height, width, inputs, outputs = layer.kernel.shape
        found[f"{name}.weight"] = _Entry(
            layer.kernel, (outputs, inputs, height, width), lambda x: x.transpose(2, 3, 1, 0)
        )

    def norm(name: str, layer: Any) -> None:
        for theirs, ours in (
            ("weight", layer.scale),
            ("bias", layer.bias),
            ("running_mean", layer.mean),
            ("running_var", layer.var),
        ):
            found[f"{name}.{theirs}"] = _Entry(ours, ours.shape, lambda x: x)

    convolution("conv1", model.conv)
    norm("bn1", model.norm)
    group, number = 1, 0
    for block in model.blocks:
        if block.projects:  # as the first of each group but the first does
            group, number = group + 1, 0
        base = f"layer{group}.{number}"
        convolution(f"{base}.conv1", block.conv1)
        norm(f"{base}.bn1", block.norm1)
        convolution(f"{base}.conv2", block.conv2)
        norm(f"{base}.bn2", block.norm2)
        if block.projects:
            convolution(f"{base}.downsample.0", block.shortcut)
            norm(f"{base}.downsample.1", block.shortcut_norm)
        number += 1
    inputs, outputs = model.head.kernel.shape
    found["fc.weight"] = _Entry(model.head.kernel, (outputs, inputs), lambda x: x.T)
    found["fc.bias"] = _Entry(model.head.bias, (outputs,), lambda x: x)
    return found
