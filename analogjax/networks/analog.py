"""Analog layers: weights held by devices, everything else digital.

An analog layer *is* the digital layer it was made from (same attributes, same parameters, same
forward pass), but multiplies with the weights that its devices hold. Its bias stays digital: it is
added after the read-out, in float32. So do the activations, normalisations and poolings around it.
Inputs and outputs are exact unless the hardware has a tile: then every layer is cut into arrays
with converters, wires and amplifiers of their own (`analogjax.crossbar.Tile`).
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from .. import sharding
from .._types import Array, Float, ScalarLike
from ..crossbar import (
    Arrays,
    Chip,
    Hardware,
    WeightMapping,
    age,
    array_product,
    chip_weights,
    drift_gain,
    keep_reads,
    layer_key,
    prepare_arrays,
    program,
    trainable_chip,
)
from ._layers import largest_seen, patches
from .variables import (
    ArrayState,
    ChipState,
    ConverterRange,
    DeviceParam,
    ReadGain,
    ReadState,
    TileParam,
)

Model = TypeVar("Model", bound=nnx.Module)


class _AnalogLayer(nnx.Module):
    """What analog layers add to a digital one."""

    kernel: nnx.Param
    device: DeviceParam
    tile: TileParam
    chip: ChipState
    arrays: ArrayState
    read: ReadState
    gain: ReadGain
    input_range: ConverterRange
    output_range: ConverterRange
    mapping: WeightMapping
    n_levels: int | None
    probe: Callable[[_AnalogLayer, Array], None] | None
    """Called with the inputs before they are multiplied; see `calibrate_converters`."""

    def __init__(self, layer: nnx.Module, hardware: Hardware, device: DeviceParam, tile: TileParam):
        """Make an analog layer of a digital one; it shares the variables of that layer.

        Args:
            layer: The digital layer.
            hardware: Mapping and bits.
            device: Device statistics, one variable for all layers of a network.
            tile: Its arrays, likewise.
        """
        for name, value in vars(layer).items():
            # Flax's own book-keeping is written anew as the attributes are set.
            if not name.startswith("_pytree__"):
                setattr(self, name, value)
        self.device, self.tile = device, tile
        self.chip, self.arrays, self.read = ChipState(None), ArrayState(None), ReadState(None)
        self.gain = ReadGain(None)
        self.input_range, self.output_range = ConverterRange(None), ConverterRange(None)
        self.probe = None
        self.mapping = hardware.mapping
        self.n_levels = hardware.n_levels

    def prepared(self) -> Arrays:
        """Return what all reads of the layer share now: kept, or found anew."""
        kept = self.arrays.get_value()
        if kept is not None:
            return kept
        return prepare_arrays(
            self.chip.get_value(),
            self.device.get_value(),
            self.tile.get_value(),
            mapping=self.mapping,
            weights=self.kernel[...].astype(jnp.float32),
            n_levels=self.n_levels,
        )

    def weights(self) -> Float[Array, "..."]:
        """Return the weights that the layer's devices hold now, float32.

        Those of its chip; before programming, those of devices without write error.
        """
        return chip_weights(
            self.chip.get_value(),
            self.device.get_value(),
            mapping=self.mapping,
            weights=self.kernel[...].astype(jnp.float32),
            n_levels=self.n_levels,
        )

    def _apply(self, digital: type, inputs: Array, **options: Any) -> Array:
        # The digital layer's own forward pass, on the same attributes with another kernel: nothing
        # of its padding, strides or precision is written a second time.
        weights = self.prepared().weights
        gain = self.gain.get_value()
        weights = weights if gain is None else gain * weights
        layer = types.SimpleNamespace(**(vars(self) | {"kernel": weights}))
        return digital.__call__(layer, inputs, **options)

    def _on_arrays(
        self,
        inputs: Float[Array, "batch inputs"],
        arrays: Arrays,
        key: PRNGKeyArray | None,
        largest: Float[Array, "batch 1"] | None = None,
    ) -> Float[Array, "batch outputs"]:
        y = array_product(
            inputs.astype(jnp.float32),
            arrays,
            self.chip.get_value(),
            self.device.get_value(),
            self.tile.get_value(),
            mapping=self.mapping,
            input_range=self.input_range.get_value(),
            output_range=self.output_range.get_value(),
            largest=largest,
            key=key,
        )
        gain = self.gain.get_value()
        return y if gain is None else gain * y


class AnalogLinear(_AnalogLayer, nnx.Linear):
    """`nnx.Linear` with its kernel in devices and its bias digital; `weights` are what it holds."""

    def __call__(self, inputs: Array, **options: Any) -> Array:
        """Return ``inputs @ weights + bias``, as far as the arrays can."""
        if self.tile.get_value() is None:
            return self._apply(nnx.Linear, inputs, **options)
        vectors = inputs.reshape(-1, inputs.shape[-1])
        if self.probe is not None:
            self.probe(self, vectors.astype(jnp.float32))
        flat = self._on_arrays(vectors, self.prepared(), self.read.get_value())
        y = flat.reshape(*inputs.shape[:-1], flat.shape[-1])
        return y if self.bias is None else y + jnp.broadcast_to(self.bias[...], y.shape)


class AnalogConv(_AnalogLayer, nnx.Conv):
    """`nnx.Conv` with its kernel in devices and its bias digital; `weights` are what it holds."""

    def __call__(self, inputs: Array, **options: Any) -> Array:
        """Return the convolution of the inputs with the weights, plus the bias.

        On arrays every place of the image is a vector of inputs: one line for each place of the
        kernel and channel.
        """
        if self.tile.get_value() is None:
            return self._apply(nnx.Conv, inputs, **options)
        places: dict[str, Any] = {
            "size": self.kernel_size,
            "strides": _pair(self.strides),
            "padding": self.padding if isinstance(self.padding, str) else _padding(self.padding),
            "dilation": _pair(self.kernel_dilation),
        }
        see = partial(patches, **places)
        shape = jax.eval_shape(see, inputs).shape
        if self.probe is not None:
            self.probe(self, see(inputs).reshape(-1, shape[-1]).astype(jnp.float32))
        count = _groups(shape, self.kernel.size)
        groups = inputs.reshape(count, -1, *inputs.shape[1:])
        key = self.read.get_value()
        keys = None if key is None else jax.random.split(key, count)
        # On a CPU one group after another: what the kernels of all images see fits no cache.
        together = None if jax.default_backend() == "cpu" else count
        arrays = self.prepared()

        # A backward pass finds again what the kernels see: kept of all groups it fits no cache.
        @partial(jax.checkpoint, policy=keep_reads, prevent_cse=False)
        def product(group: Array, key: PRNGKeyArray | None) -> Array:
            largest = None
            if self.input_range.get_value() is None:
                largest = largest_seen(group.astype(jnp.float32), **places).reshape(-1, 1)
            return self._on_arrays(see(group).reshape(-1, shape[-1]), arrays, key, largest)

        flat = jax.lax.map(lambda each: product(*each), (groups, keys), batch_size=together)
        y = flat.reshape(*shape[:-1], flat.shape[-1])
        return y if self.bias is None else y + jnp.broadcast_to(self.bias[...], y.shape)


_GROUP = 2**18
"""Most numbers that the kernels of a group of images see: 1 MiB, about a core's cache."""


def _groups(shape: tuple[int, ...], weights: int) -> int:
    """Return the fewest equal groups of images in which kernels see no more than is good.

    Every group reads all weights and adds to all their gradients: it sees no fewer numbers.
    They are two at least: without a loop around it a compiler draws the noise of a layer once more
    for every shift of it that the kernels of the next one see.
    """
    images, each = shape[0], shape[1] * shape[2] * shape[3]
    most = max(_GROUP, weights)
    return next(
        n
        for n in range(min(2, images), images + 1)
        if images % n == 0 and (images // n * each <= most or n == images)
    )


def _pair(value: Any) -> tuple[Any, Any]:
    return (1, 1) if value is None else (value, value) if isinstance(value, int) else tuple(value)


def _padding(padding: Any) -> list[tuple[int, int]]:
    return [(side, side) if isinstance(side, int) else tuple(side) for side in _pair(padding)]


def _check_on_arrays(name: str, layer: nnx.Module) -> None:
    """Raise unless a layer can be cut into arrays."""
    if not isinstance(layer, nnx.Conv):
        return
    wrong = None
    if len(layer.kernel_size) != 2:
        wrong = f"has {len(layer.kernel_size)} dimensions"
    elif layer.feature_group_count != 1:
        wrong = f"has {layer.feature_group_count} groups"
    elif layer.mask is not None:
        wrong = "has a mask"
    elif _pair(layer.input_dilation) != (1, 1):
        wrong = "dilates its inputs"
    elif isinstance(layer.padding, str) and layer.padding not in ("SAME", "VALID"):
        wrong = f"pads by {layer.padding}"
    if wrong is not None:
        raise ValueError(
            "Argument `hardware` must be without a tile for a convolution that is not a plain one "
            f"of images, but the layer {name!r} {wrong}; name it in `exclude`."
        )


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
        ValueError: An excluded name that the model does not have, no layer to convert, or, for
            hardware with a tile, a convolution that is not two-dimensional or has groups, input
            dilation, a mask, or a padding by something else than zeros.
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
    device, tile = DeviceParam(hardware.device), TileParam(hardware.tile)
    if hardware.tile is not None:
        for name, layer in _layers(model, _ANALOG):
            if name in chosen:
                _check_on_arrays(name, layer)

    def convert(path: Sequence[Any], node: Any) -> Any:
        if type(node) in _ANALOG and layer_name(path) in chosen:
            return _ANALOG[type(node)](node, hardware, device, tile)
        return node

    # `recursive_map` copies modules, but not the variables in them.
    return nnx.recursive_map(convert, nnx.clone(model))


def program_analog_weights(analog: Model, *, key: PRNGKeyArray, trainable: bool = False) -> Model:
    """Return a new model: one chip, with the weights written into its devices.

    It reads with the fresh noise of one read, drawn from the same key; see `read_analog_weights`
    for others.

    Args:
        analog: A model of `convert_to_analog` (programmed or not); it is left as it is.
        key: The chip. The same key gives the same chip: each layer draws from the key and its own
            name, so that other layers do not matter.
        trainable: Whether the levels follow the weights at every call, with a gradient that passes
            straight through the rounding: for training on chips. Otherwise they are found now.

    Raises:
        ValueError: If the model has no analog layer.
    """
    held = {}
    for name, layer in analog_layers(analog).items():
        chip = program(
            layer.kernel[...].astype(jnp.float32),
            layer.device.get_value(),
            n_levels=layer.n_levels,
            mapping=layer.mapping,
            key=layer_key(key, name),
            tile=layer.tile.get_value(),
        )
        held[name] = trainable_chip(chip) if trainable else chip
    return with_chips(analog, held, key=key)


def with_chips(analog: Model, held: Mapping[str, Chip], *, key: PRNGKeyArray | None) -> Model:
    """Return a new model that holds these chips, however they were written.

    Args:
        analog: A model of `convert_to_analog`; it is left as it is.
        held: What each of its analog layers holds, by name.
        key: The read, as in `read_analog_weights`.

    Raises:
        ValueError: If the model has no analog layer.
    """
    new = nnx.clone(analog)
    for name, layer in analog_layers(new).items():
        layer.chip.set_value(held[name])
        layer.arrays.set_value(None)
        layer.gain.set_value(None)
    return read_analog_weights(new, key=key)


def read_analog_weights(analog: Model, *, key: PRNGKeyArray | None) -> Model:
    """Return a new model: the same chip, in another read. Its fresh noise is drawn anew.

    Every forward pass of one model sees the same noise (each input its own): a model is a pure
    function. What is frozen or slow does not change.

    Args:
        analog: A model of `convert_to_analog`; it is left as it is.
        key: The read; None for one without fresh noise.

    Raises:
        ValueError: If the model has no analog layer.
    """
    new = nnx.clone(analog)
    for name, layer in analog_layers(new).items():
        layer.read.set_value(None if key is None else read_key(key, name))
    return new


def read_key(key: PRNGKeyArray, name: str) -> PRNGKeyArray:
    """Return the random key of a layer's read; what is frozen is drawn from another."""
    return layer_key(jax.random.fold_in(key, 0), name)


def keep_arrays(analog: Model) -> Model:
    """Return a new model whose arrays are solved once instead of at every forward pass.

    For evaluation: with wires a forward pass is then one matrix product per array. Gradients no
    longer reach weights, devices and wires, and nothing follows a change of them.

    Args:
        analog: A model of `convert_to_analog`, programmed or not; it is left as it is.

    Raises:
        ValueError: If the model has no analog layer.
    """
    new = nnx.clone(analog)
    for layer in analog_layers(new).values():
        layer.arrays.set_value(layer.prepared())
    return new


def split_tiles(analog: Model, mesh: Mesh | None) -> Model:
    """Return a new model whose arrays are split over devices, their outputs added up over them.

    For models that are too large for one device, or whose arrays are many: a forward pass then
    exchanges what the arrays of a layer say. Draws are the same; sums are so to their rounding.

    Args:
        analog: A model, on tiles or not; it is left as it is.
        mesh: A mesh with an axis `tiles` (`analogjax.sharding.make_mesh`); None, or one device
            along it, for arrays that are not split.
    """
    new = nnx.clone(analog)
    mesh = mesh if sharding.shares(mesh, sharding.TILES) > 1 else None
    for _, node in nnx.iter_graph(new):
        tile = node.get_value() if isinstance(node, TileParam) else None
        if tile is not None and tile.mesh != mesh:
            node.set_value(dataclasses.replace(tile, mesh=mesh))
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
        layer.device.get_value().check_time(t)
        layer.chip.set_value(age(chip, t))
        layer.arrays.set_value(None)
    return new


def compensate_drift(
    analog: Model, *, key: PRNGKeyArray, vectors: int = 64, before: nnx.Module | None = None
) -> Model:
    """Return a new model: the same chip, each layer's outputs scaled to what they once were.

    Args:
        analog: A programmed model at some time (`drift_analog_weights`); it is left as it is.
        key: Of the vectors of inputs that are read for it, see `analogjax.crossbar.drift_gain`.
        vectors: How many.
        before: The same devices right after programming, where `analog` does not know them (its
            levels themselves have drifted); None for this chip at time 0.

    Raises:
        ValueError: If a layer is not programmed.
    """
    new = nnx.clone(analog)
    layers = analog_layers(new)
    once = None if before is None else chips(before)
    for name, chip in chips(new).items():
        layer = layers[name]
        gain = drift_gain(
            chip,
            layer.device.get_value(),
            layer.tile.get_value(),
            mapping=layer.mapping,
            key=layer_key(key, name),
            vectors=vectors,
            before=None if once is None else once[name],
            weights=layer.kernel[...].astype(jnp.float32),
            n_levels=layer.n_levels,
        )
        layer.gain.set_value(gain)
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
