"""From a configuration's name and overrides to a typed `Config`, with one sentence per mistake."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import _library, _schema, _setup
from ._errors import UsageError, nearest

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


@dataclasses.dataclass(frozen=True)
class Composed:
    """A configuration that is ready to run."""

    name: str
    """Name of the configuration."""

    module: ModuleType
    """The experiment: `run(config, run)`."""

    config: Any
    """Instance of the experiment's `Config`."""

    resolved: dict[str, Any]
    """Everything that decides the result, as plain values; this is the run's `config.yaml`."""

    title: str
    """The experiment's first line."""

    summary: str
    """The experiment's first paragraph."""


def compose(name: str, overrides: Sequence[str] = (), *, here: bool = True) -> Composed:
    """Compose `configs/NAME.yaml` with overrides onto the experiment's `Config`.

    Precision, platform and compile cache are set on the way, before the experiment is loaded.

    Args:
        name: Name of a configuration.
        overrides: Hydra overrides: `key=value`, `group=option`, `nested.key=value`.
        here: Whether this process will run it; if not, it is only checked.

    Returns:
        The configuration, checked and typed.

    Raises:
        UsageError: If a key, a value or a group's option does not exist; the message names the key,
            where it stands, and the nearest valid one.
    """
    library = _library.locate()
    main = library.config_file(name)
    groups, values = _split(library, _parse(overrides))
    tree, files = _read(library, name, groups)
    assignments = [
        *_leaves(tree, files),
        *(
            (key, value, f"(on the command line, for {_library.shown(main)})")
            for key, value in values
        ),
    ]

    # The common keys first: precision and platform must be known before JAX is imported.
    common = _schema.common()
    known = _schema.keys(common)
    for key, value, where in assignments:
        if key in known:
            _schema.assign(common, key, value, where, "every configuration")
    given = {key for key, _, _ in assignments}
    _setup.set_up(common.precision, common.platform, common.accelerators, here=here)
    file = library.experiment_file(
        main,
        tree.get("experiment") if "experiment" not in dict(values) else dict(values)["experiment"],
    )
    module = _library.load_experiment(file)

    config = _schema.structured(module.Config, _library.shown(file))
    for key in known:
        if key in config:
            # An experiment's own default of a common key holds until someone sets the key.
            if key not in given:
                common[key] = config[key]
            config[key] = common[key]
    for key, value, where in assignments:
        if key not in known:
            _schema.assign(config, key, value, where, _library.shown(file), extra=known)
    typed, resolved = _schema.finish(config, common)
    _setup.set_up(resolved["precision"], resolved["platform"], resolved["accelerators"], here=here)
    title, summary = _library.docstring(file)
    return Composed(name, module, typed, resolved, title, summary)


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Expand `key=a,b`, `key=range(...)` and `key=choice(...)` to all combinations.

    Args:
        overrides: Hydra overrides, of which some sweep.

    Returns:
        One list of plain overrides for each job, the last key varying fastest.
    """
    from hydra.core.override_parser.types import Transformer

    axes = []
    for override in _parse(overrides, sweeping=True):
        if override.is_sweep_override():
            key = override.get_key_element()
            # Encoded as it would be written, so that strings that need quotes keep them.
            axes.append(
                [f"{key}={v}" for v in override.sweep_iterator(transformer=Transformer.encode)]
            )
        else:
            axes.append([override.input_line or ""])
    return [list(job) for job in itertools.product(*axes)]


def swept_keys(overrides: Sequence[str]) -> list[str]:
    """Return the keys that a sweep varies, in order, by which its folders are named."""
    return [
        override.get_key_element()
        for override in _parse(overrides, sweeping=True)
        if override.is_sweep_override()
    ]


def value_of(override: str) -> Any:
    """Return the value of one plain override as Hydra reads it."""
    return _parse([override])[0].value()


def _parse(overrides: Sequence[str], sweeping: bool = False) -> list[Override]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException:
            raise UsageError(
                f"An override must have the form key=value (quote values with spaces or commas), "
                f"but is {text!r}."
            ) from None
        if override.is_sweep_override() and not sweeping:
            raise UsageError(f"Override {text!r} must come with -m, since it names several values.")
        parsed.append(override)
    return parsed


def _split(
    library: _library.Library, overrides: list[Override]
) -> tuple[list[str], list[tuple[str, Any]]]:
    """Part the choices of groups, which Hydra composes, from values, which the schema checks."""
    groups, values = [], []
    for override in overrides:
        # A group of Hydra's is a folder; `key@package=option` is always one.
        folder = library.configs / override.key_or_group
        if folder.is_dir():
            if not override.is_delete() and not isinstance(override.value(), str | list):
                raise UsageError(_no_option(folder, override.key_or_group, override.value()))
            groups.append(override.input_line)
        elif override.is_delete():
            raise UsageError(
                f"An override must set a key, but {override.input_line!r} deletes one."
            )
        else:
            # "+" is Hydra's leave to add a key; here the schema knows every key there is.
            values.append((override.key_or_group, override.value()))
    return groups, values


def _read(
    library: _library.Library, name: str, groups: list[str]
) -> tuple[dict[str, Any], list[tuple[str, Path]]]:
    """Let Hydra compose the YAML files.

    Returns:
        The tree of values, and each group's place in it with the file that was chosen for it.
    """
    import hydra
    import yaml
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    defaults = (_plain(library.configs / f"{name}.yaml") or {}).get("defaults")
    if defaults is not None and "_self_" not in defaults:
        # Without it Hydra warns, since the order in which files overwrite each other is not said.
        raise UsageError(
            f"Key `defaults` in configs/{name}.yaml must hold `_self_` "
            "(last, if the file's own values are to win), but does not."
        )

    # A notebook may have Hydra initialised for itself; its state comes back afterwards.
    kept = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(
            config_dir=str(library.configs.resolve()), version_base="1.3"
        ):
            composed = hydra.compose(name, overrides=groups, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UsageError(_explain(library, name, str(error))) from None
    finally:
        GlobalHydra.instance().hydra = kept
    chosen = {
        group: option
        for group, option in composed.hydra.runtime.choices.items()
        if option is not None and not group.startswith("hydra/")
    }
    files = [("", library.configs / f"{name}.yaml")]
    for group, option in chosen.items():
        folder, _, package = group.partition("@")
        place = (package or folder).replace("/", ".")
        files.append((place, library.configs / folder / f"{option}.yaml"))
    tree = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(tree, dict)
    tree.pop("hydra")
    return {str(key): value for key, value in tree.items()}, files


def _no_option(folder: Path, group: str, option: Any) -> str:
    options = sorted(path.stem for path in folder.glob("*.yaml"))
    return (
        f"Group `{group}` must be one of {', '.join(options)}, "
        f"but is {option!r}{nearest(str(option), options)}."
    )


def _explain(library: _library.Library, name: str, message: str) -> str:
    """Turn Hydra's several lines about a missing option into one sentence."""
    found = re.search(r"Could not find '([^']+)/([^'/]+)'", message)
    if found and (library.configs / found[1]).is_dir():
        return _no_option(library.configs / found[1], found[1], found[2])
    text = " ".join(message.split())
    return f"Configuration configs/{name}.yaml must compose, but Hydra says: {text}"


def _leaves(
    tree: Mapping[str, Any], files: list[tuple[str, Path]]
) -> Iterator[tuple[str, Any, str]]:
    """Yield each value of the composed tree with its dotted key and the file it stands in."""
    contents = [(place, file, _plain(file)) for place, file in files]

    def source(path: tuple[str, ...]) -> str:
        # The last file that sets a key wins in Hydra, but the main file is last if `_self_` is.
        for place, file, content in contents:
            prefix = tuple(place.split(".")) if place else ()
            if path[: len(prefix)] == prefix and _holds(content, path[len(prefix) :]):
                return f"in {_library.shown(file)}"
        return f"in {_library.shown(files[0][1])}"

    def walk(node: Mapping[Any, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any, str]]:
        for key, value in node.items():
            below = (*path, str(key))
            if isinstance(value, Mapping) and value:
                yield from walk(value, below)
            else:
                yield ".".join(below), value, source(below)

    yield from walk(tree, ())


def _plain(file: Path) -> Any:
    import yaml

    if not file.is_file():
        return {}
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        # Its own message tells line and column.
        raise UsageError(
            f"File {_library.shown(file)} must be YAML, but {' '.join(str(error).split())}."
        ) from None


def _holds(content: Any, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(content, Mapping) or key not in content:
            return False
        content = content[key]
    return True
