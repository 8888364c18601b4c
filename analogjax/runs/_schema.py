"""The typed side of a configuration: dataclasses, their keys, and what a wrong value is told."""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from ._errors import UsageError, nearest


@dataclasses.dataclass
class CommonKeys:
    """Keys that every configuration has, whatever its experiment."""

    experiment: str = "???"
    """File of the experiment, without its suffix."""

    seed: int = 0
    """Seed of every random draw."""

    precision: str = "float64"
    """`float64` or `float32`."""

    platform: str = "auto"
    """`auto`, `cpu`, `gpu` or `tpu`."""

    accelerators: str = "1"
    """How many: a number, `all` of this machine, `cluster`, or `4x2` (see `analogjax.sharding`)."""


def common() -> Any:
    """Return the common keys with their defaults, as a typed OmegaConf node."""
    from omegaconf import OmegaConf

    return OmegaConf.structured(CommonKeys)


def keys(node: Any) -> list[str]:
    """Return the keys of an OmegaConf node, those without a value too."""
    return [str(key) for key in node]


def structured(config_class: type, where: str) -> Any:
    """Turn an experiment's `Config` into a typed OmegaConf node.

    Args:
        config_class: The dataclass.
        where: The experiment's file, for messages.

    Raises:
        TypeError: If a field has a type that a configuration cannot have.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.structured(config_class)
    except OmegaConfBaseException as error:
        text = " ".join(str(error).split())
        raise TypeError(f"`Config` of {where} must have plain types, but {text}.") from error


def assign(
    node: Any, key: str, value: Any, where: str, owner: str, extra: Sequence[str] = ()
) -> None:
    """Set one dotted key of a typed node.

    Args:
        node: The node, changed in place.
        key: The dotted key.
        value: The value: plain, or a string with an interpolation.
        where: Where it was written, as in "in configs/x.yaml", for messages.
        owner: Whose keys they are, for messages.
        extra: Further keys to propose for a misspelt one at the top.

    Raises:
        UsageError: If the key does not exist or the value has the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    parts = key.split(".")
    parent = node
    for depth, part in enumerate(parts):
        path = ".".join(parts[: depth + 1])
        if OmegaConf.is_list(parent) or not OmegaConf.is_config(parent):
            raise UsageError(
                f"Key `{key}` {where} must be a key of {owner}, "
                f"but `{'.'.join(parts[:depth])}` has none below it."
            )
        if not _free(parent) and part not in keys(parent):
            choices = [".".join([*parts[:depth], name]) for name in keys(parent)]
            choices += [] if depth else [name for name in extra if name not in choices]
            hint = nearest(path, choices)
            listed = "" if hint else f" (keys: {', '.join(choices)})"
            raise UsageError(
                f"Key `{path}` {where} must be a key of {owner}, "
                f"which has none of this name{hint}{listed}."
            )
        if depth < len(parts) - 1:
            if _free(parent) and part not in parent:
                element = _element(parent)
                if element is None:
                    break
                # A dictionary of dataclasses takes any key, and below it those of the dataclass.
                parent[part] = OmegaConf.structured(element)
            # An Optional part that is None has no keys yet; OmegaConf makes them below.
            child = parent._get_node(part)
            if child is not None and OmegaConf.is_config(child) and child._is_none():
                break
            parent = parent[part]
    if dataclasses.is_dataclass(_type_of(node, parts)) and not isinstance(value, dict | None):
        fields = [f"{key}.{field.name}" for field in dataclasses.fields(_type_of(node, parts))]
        raise UsageError(
            f"Key `{key}` {where} must be set by its own keys ({', '.join(fields)}), "
            f"but is {value!r}."
        )
    try:
        OmegaConf.update(node, key, value, merge=True)
    except OmegaConfBaseException:
        kind = describe(_type_of(node, parts))
        raise UsageError(f"Key `{key}` {where} must be {kind}, but is {value!r}.") from None


def finish(config: Any, common_keys: Any) -> tuple[Any, dict[str, Any]]:
    """Resolve interpolations and make the experiment's dataclass.

    Args:
        config: The typed node of the experiment.
        common_keys: The typed node of the common keys.

    Returns:
        The instance of `Config`, and everything as plain nested dictionaries.

    Raises:
        UsageError: If a value is missing, cannot be resolved, or is refused by `Config` itself.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    for node in (common_keys, config):
        # One by one, because an error from resolving all at once does not name its key.
        for key in flatten(OmegaConf.to_container(node, resolve=False)):
            try:
                OmegaConf.select(node, key, throw_on_missing=True)
            except MissingMandatoryValue:
                raise UsageError(
                    f"Key `{key}` must be given ({key}=VALUE), but has no value."
                ) from None
            except OmegaConfBaseException as error:
                # Only the first line is about the value; the others name OmegaConf's objects.
                text = str(error).partition("\n")[0]
                raise UsageError(f"Key `{key}` must have a value, but has none: {text}.") from None
    try:
        OmegaConf.resolve(config)
        typed = OmegaConf.to_object(config)
    except ValueError as error:
        # Cross-checks in the dataclass's own __post_init__ are sentences for the user already.
        raise UsageError(str(error)) from error
    resolved: dict[str, Any] = {}
    for node in (common_keys, config):
        plain = OmegaConf.to_container(node, resolve=True, enum_to_str=True)
        assert isinstance(plain, dict)
        resolved |= {str(key): value for key, value in plain.items()}
    return typed, resolved


def describe(kind: Any) -> str:
    """Return a type as a sentence says it: `int`, `list[float]`, `one of RED, BLUE`."""
    arguments = [a for a in typing.get_args(kind) if a is not type(None)]
    if type(None) in typing.get_args(kind) and len(arguments) == 1:
        return f"{describe(arguments[0])} or null"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return f"one of {', '.join(kind.__members__)}"
    if isinstance(kind, type) and not arguments:
        return kind.__name__
    return str(kind).replace("typing.", "")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _free(node: Any) -> bool:
    """Whether a node is a plain dictionary field, which takes any key."""
    from omegaconf import OmegaConf

    kind = OmegaConf.get_type(node)
    return not dataclasses.is_dataclass(kind)


def _element(node: Any) -> type | None:
    """Return the dataclass that every value of a dictionary field is; None if it is no such."""
    kind = node._metadata.element_type
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


def _type_of(node: Any, parts: list[str]) -> Any:
    """Return the annotated type of a dotted key, or Any below a dictionary."""
    from omegaconf import OmegaConf

    kind: Any = OmegaConf.get_type(node)
    for part in parts:
        options = [a for a in typing.get_args(kind) if dataclasses.is_dataclass(a)]
        if typing.get_origin(kind) is dict and options:
            kind = options[0]
            continue
        if not dataclasses.is_dataclass(kind) and options:
            kind = options[0]
        if not dataclasses.is_dataclass(kind):
            return Any
        kind = typing.get_type_hints(kind).get(part, Any)
    return kind
