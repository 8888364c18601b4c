"""Where configurations and experiments are found, and how an experiment is loaded."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ._errors import UsageError, nearest

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the package `analogjax`."""


@dataclasses.dataclass(frozen=True)
class Library:
    """The folders of configurations and experiments in use."""

    configs: Path
    """Folder with one YAML file per configuration, and sub-folders that are groups."""

    experiments: Path
    """Folder with one Python file per experiment, or a folder of files (a package)."""

    def names(self) -> list[str]:
        """Return the names that `analogjax run` takes, sorted."""
        return sorted(path.stem for path in self.configs.glob("*.yaml"))

    def experiment_names(self) -> list[str]:
        """Return the names that a configuration's key `experiment` takes, sorted."""
        files = {path.stem for path in self.experiments.glob("*.py")}
        folders = {path.parent.name for path in self.experiments.glob("*/__init__.py")}
        return sorted(files | folders)

    def file_of(self, experiment: object) -> Path:
        """Return the Python file of an experiment, whether it exists or not."""
        first = self.experiments / f"{experiment}" / "__init__.py"
        return first if first.is_file() else self.experiments / f"{experiment}.py"

    def config_file(self, name: str) -> Path:
        """Return the YAML file of a configuration.

        Raises:
            UsageError: If there is none of this name; the message names the nearest.
        """
        path = self.configs / f"{name}.yaml"
        if name not in self.names():
            raise UsageError(
                f"Argument `NAME` must be one of {', '.join(self.names()) or '(none found)'}, "
                f"but is {name!r}{nearest(name, self.names())}."
            )
        return path

    def experiment_file(self, config_file: Path, experiment: object) -> Path:
        """Return the Python file that a configuration names by its key `experiment`.

        Raises:
            UsageError: If the key is missing or names no file.
        """
        stems = self.experiment_names()
        where = f"in {shown(config_file)}"
        if not isinstance(experiment, str):
            raise UsageError(
                f"Key `experiment` {where} must name a file of {self.experiments.name}/, "
                f"but is {'missing' if experiment is None else repr(experiment)}."
            )
        path = self.file_of(experiment)
        if not path.is_file():
            raise UsageError(
                f"Key `experiment` {where} must be one of {', '.join(stems) or '(none found)'}, "
                f"but is {experiment!r}{nearest(experiment, stems)}."
            )
        return path


def locate() -> Library:
    """Return the checkout's folders if its `pyproject.toml` stands beside the package.

    Otherwise the copies that travel in the wheel are used.
    """
    root = PACKAGE.parent
    if not (root / "pyproject.toml").is_file():
        root = PACKAGE / "_shipped"
    return Library(configs=root / "configs", experiments=root / "experiments")


def shown(path: Path) -> str:
    """Return a path as messages show it: from the library's root down."""
    root = locate().configs.parent
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def docstring(experiment_file: Path) -> tuple[str, str]:
    """Read the title and the summary of an experiment without importing it.

    Args:
        experiment_file: The experiment's Python file.

    Returns:
        The docstring's first line without its full stop, and its next paragraph ("" if none).
    """
    text = ast.get_docstring(ast.parse(experiment_file.read_text(encoding="utf-8"))) or ""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return paragraphs[0].removesuffix("."), paragraphs[1] if len(paragraphs) > 1 else ""


def descriptions(library: Library) -> dict[str, str]:
    """Return what `analogjax list` prints: each configuration's name and what it shows.

    A configuration that shares its experiment with others may begin with a comment of its own,
    which is then shown in place of the experiment's first line.
    """
    import yaml  # comes with omegaconf; read plainly here, because composing takes longer

    found = {}
    for name in library.names():
        text = library.config_file(name).read_text(encoding="utf-8")
        experiment = (yaml.safe_load(text) or {}).get("experiment")
        path = library.file_of(experiment)
        if not path.is_file():
            found[name] = f"(its experiment {experiment!r} is not here)"
        elif text.startswith("#") and experiment != name:
            found[name] = text.splitlines()[0].lstrip("# ").removesuffix(".")
        else:
            found[name] = docstring(path)[0]
    return found


def load_experiment(path: Path) -> ModuleType:
    """Load an experiment's file as a module of its own, which imports its sections relatively.

    Args:
        path: The experiment's Python file; `__init__.py` if its sections are files beside it.

    Returns:
        The module, which holds a dataclass `Config` and a function `run(config, run)`.

    Raises:
        TypeError: If the file lacks either of them.
    """
    # The folder of experiments is no package. The module is registered because dataclasses look
    # their annotations up in `sys.modules`, and an import of a section its parent.
    sections = path.name == "__init__.py"
    name = f"_analogjax_experiment_{path.parent.name if sections else path.stem}"
    for old in [key for key in sys.modules if key.startswith(f"{name}.")]:
        del sys.modules[old]  # sections of another experiment of this name
    spec = importlib.util.spec_from_file_location(
        name, path, submodule_search_locations=[str(path.parent)] if sections else None
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not dataclasses.is_dataclass(getattr(module, "Config", None)):
        raise TypeError(f"{shown(path)} must define a dataclass `Config`, but does not.")
    if not callable(getattr(module, "run", None)):
        raise TypeError(f"{shown(path)} must define `run(config, run)`, but does not.")
    return module
