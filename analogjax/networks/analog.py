"""Analog layers: weights held by devices, everything else digital.

An analog layer *is* the digital layer it was made from (same attributes, same parameters, same
forward pass), but multiplies with the weights that its devices hold. Its bias stays digital: it is
added after the read-out, in float32. So do the activations, normalisations and poolings around it.
Inputs and outputs are exact (converters and wires follow).
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import jax.numpy as jnp
from flax import nnx
from jaxtyping import PRNGKeyArray

from .._types import Array, Float, ScalarLike
from ..crossbar import (
    Chip,
    Hardware,
    WeightMapping,
    age,
    chip_weights,
    ideal_weights,
    layer_key,
    program,
)
from .variables import ChipState, DeviceParam

Model = TypeVar("Model", bound=nnx.Module)


class _AnalogLayer(nnx.Module):
    """What analog layers add to a digital one."""

    kernel: nnx.Param
    device: DeviceParam
    chip: ChipState
    mapping: WeightMapping
    n_levels: int

    def __init__(self, layer: nnx.Module, hardware: Hardware, device: DeviceParam):
        """Make an analog layer of a digital one; it shares the variables of that layer.

        Args:
            layer: The digital layer.
            hardware: Mapping and bits.
            device: Device statistics, one variable for all layers of a network.
        """
        for name, value in vars(layer).items():
            # Flax's own book-keeping is written anew as the attributes are set.
            if not name.startswith("_pytree__"):
                setattr(self, name, value)
        self.device = device
        self.chip = ChipState(None)
        self.mapping = hardware.mapping
        self.n_levels = hardware.n_levels

    def weights(self) -> Float[Array, "..."]:
        """Return the weights that the layer multiplies with now, float32.

        Those of its chip; before programming, those of devices without write error.
        """
        device, chip = self.device.get_value(), self.chip.get_value()
        if chip is not None:
            return chip_weights(chip, device, mapping=self.mapping)
        kernel = self.kernel[...].astype(jnp.float32)
        return ideal_weights(kernel, device, n_levels=self.n_levels, mapping=self.mapping)

    def _apply(self, digital: type, inputs: Array, **options: Any) -> Array:
        # The digital layer's own forward pass, on the same attributes with another kernel: nothing
        # of its padding, strides or precision is written a second time.
        layer = types.SimpleNamespace(**(vars(self) | {"kernel": self.weights()}))
        return digital.__call__(layer, inputs, **options)


class AnalogLinear(_AnalogLayer, nnx.Linear):
    """`nnx.Linear` with its kernel in devices and its bias digital; `weights` are what it holds."""

    def __call__(self, inputs: Array, **options: Any) -> Array:
        """Return ``inputs @ weights + bias``."""
        return self._apply(nnx.Linear, inputs, **options)


class AnalogConv(_AnalogLayer, nnx.Conv):
    """`nnx.Conv` with its kernel in devices and its bias digital; `weights` are what it holds."""

    def __call__(self, inputs: Array, **options: Any) -> Array:
        """Return the convolution of the inputs with the weights, plus the bias."""
        return self._apply(nnx.Conv, inputs, **options)


_ANALOG: dict[type, type[_AnalogLayer]] = {nnx.Linear: AnalogLinear, nnx.Conv: AnalogConv}


def layer_name(path: Sequence[Any]) -> str:
    """Return the name of a layer: the path of attributes that leads to it, joined by slashes."""
    return "/".join(str(part) for part in path)


def _layers(model: nnx.Module, kinds: Iterable[type]) -> Iterator[tuple[str, Any]]:
    """Yield name and layer of every layer of exactly these types."""
    kinds = tuple(kinds)
    for path, node in nnx.iter_graph(model):
        if type(node) in kinds:
            yield layer_name(path), node


def analog_layers(model: nnx.Module) -> dict[str, AnalogLinear | AnalogConv]:
    """Return the analog layers of a model by name (the path of attributes, joined by slashes).

    Raises:
        ValueError: If the model has none.
    """
    found = dict(sorted(_layers(model, _ANALOG.values())))
    if not found:
        raise ValueError(
            "Argument `analog` must be a model with analog layers (see `convert_to_analog`), "
            "but has none."
        )
    return cast(dict[str, AnalogLinear | AnalogConv], found)


def _check_names(exclude: Sequence[str], names: list[str]) -> None:
    # A name may also be that of a module around layers.
    known = {"/".join(n.split("/")[:k]) for n in names for k in range(1, n.count("/") + 2)}
    for name in exclude:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(
                f"Argument `exclude` must name layers of the model, but holds {name!r}{hint}."
            )


def convert_to_analog(model: Model, hardware: Hardware, *, exclude: Sequence[str] = ()) -> Model:
    """Return a model whose linear layers and convolutions are analog.

    Every `nnx.Linear` and `nnx.Conv`, however deeply nested, becomes an `AnalogLinear` or
    `AnalogConv` with the same parameters (their count does not change). Other layers and layers of
    other kinds that multiply (attention, embeddings) stay digital. Until it is programmed, the
    model's weights are those of devices without write error.

    Args:
        model: The digital model; it is left as it is.
        hardware: What to convert to.
        exclude: Names of layers, or of modules around layers, that stay digital: the path of
            attributes, joined by slashes, as ``"head"`` or ``"hidden/0"``.

    Raises:
        ValueError: An excluded name that the model does not have, or no layer to convert.
    """
    names = [name for name, _ in _layers(model, _ANALOG)]
    _check_names(exclude, names)
    chosen = {
        name for name in names if not any(f"{name}/".startswith(f"{other}/") for other in exclude)
    }
    if not chosen:
        raise ValueError(
            "Argument `model` must have an `nnx.Linear` or `nnx.Conv` to convert, but has none."
            if not names
            else "Argument `exclude` must leave a layer to convert, but names all of them."
        )
    device = DeviceParam(hardware.device)

    def convert(path: Sequence[Any], node: Any) -> Any:
        if type(node) in _ANALOG and layer_name(path) in chosen:
            return _ANALOG[type(node)](node, hardware, device)
        return node

    # `recursive_map` copies modules, but not the variables in them.
    return nnx.recursive_map(convert, nnx.clone(model))


def program_analog_weights(analog: Model, *, key: PRNGKeyArray) -> Model:
    """Return a new model: one chip, with the weights written into its devices.

    Args:
        analog: A model of `convert_to_analog` (programmed or not); it is left as it is.
        key: The chip. The same key gives the same chip: each layer draws from the key and its own
            name, so that other layers do not matter.

    Raises:
        ValueError: If the model has no analog layer.
    """
    new = nnx.clone(analog)
    for name, layer in analog_layers(new).items():
        chip = program(
            layer.kernel[...].astype(jnp.float32),
            layer.device.get_value(),
            n_levels=layer.n_levels,
            mapping=layer.mapping,
            key=layer_key(key, name),
        )
        layer.chip.set_value(chip)
    return new


def drift_analog_weights(analog: Model, *, t: ScalarLike) -> Model:
    """Return a new model: the same chip, `t` seconds after programming.

    Each device moves to the error that *it* has at this time: what was random about it was drawn at
    programming. The time counts from programming, not from an earlier call.

    Args:
        analog: A programmed model; it is left as it is.
        t: Time since programming [s].

    Raises:
        ValueError: If the model is not programmed, or the write errors are not known at this time.
    """
    new = nnx.clone(analog)
    for name, layer in analog_layers(new).items():
        chip = layer.chip.get_value()
        if chip is None:
            raise ValueError(
                "Argument `analog` must be programmed (see `program_analog_weights`), "
                f"but its layer {name!r} is not."
            )
        layer.device.get_value().write_error.check_time(t)
        layer.chip.set_value(age(chip, t))
    return new


def chips(analog: nnx.Module) -> dict[str, Chip]:
    """Return what each programmed layer of a model holds, by name.

    Raises:
        ValueError: If a layer is not programmed.
    """
    found = {name: layer.chip.get_value() for name, layer in analog_layers(analog).items()}
    missing = [name for name, chip in found.items() if chip is None]
    if missing:
        raise ValueError(
            "Argument `analog` must be programmed (see `program_analog_weights`), "
            f"but its layer {missing[0]!r} is not."
        )
    return found
