"""A sweep's folder: what was asked, a folder for each run, their logs, a table over all."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import _atomic
from ._compose import compose, sweep, swept_keys, value_of
from ._errors import UsageError
from ._job import Job

ASKED = "sweep.yaml"
"""What was asked; a folder that holds it is a sweep's."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Runs of one configuration, in folders side by side."""

    folder: Path
    """The parent of the run folders."""

    configuration: str
    """Name of the configuration."""

    swept: list[str]
    """Keys that vary."""

    fixed: list[str]
    """Overrides that all runs share."""

    overrides: dict[str, list[str]]
    """Plain overrides of each run, by the name of its folder."""

    @property
    def jobs(self) -> list[Job]:
        """The runs, as jobs."""
        folder = self.folder.resolve()
        return [
            Job(name, self.configuration, tuple(words), folder)
            for name, words in self.overrides.items()
        ]

    def values(self, name: str) -> dict[str, Any]:
        """Return the values of the swept keys in one run, typed as Hydra reads them."""
        words = {word.partition("=")[0]: word for word in self.overrides[name]}
        return {key: value_of(words[key]) for key in self.swept}

    def write(self) -> None:
        """Write `sweep.yaml`."""
        import yaml

        asked = {
            "configuration": self.configuration,
            "swept": self.swept,
            "fixed": self.fixed,
            "runs": self.overrides,
        }
        text = yaml.safe_dump(asked, sort_keys=False, allow_unicode=True, width=10_000)
        _atomic.write_text(self.folder / ASKED, text)


def is_sweep(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a sweep's."""
    return (Path(folder) / ASKED).is_file()


def read_sweep(folder: str | os.PathLike[str]) -> Sweep:
    """Read what was asked of a sweep.

    Raises:
        UsageError: If the folder is none of a sweep.
    """
    import yaml

    file = Path(folder) / ASKED
    try:
        asked = yaml.safe_load(file.read_text(encoding="utf-8"))
        return Sweep(
            Path(folder), asked["configuration"], asked["swept"], asked["fixed"], asked["runs"]
        )
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise UsageError(
            f"Argument `SWEEP_FOLDER` must hold a readable {ASKED}, "
            f"but {str(folder)!r} does not ({type(error).__name__})."
        ) from None


def ask(
    configuration: str, overrides: Sequence[str], folder: str | os.PathLike[str], *, here: bool
) -> Sweep:
    """Make a sweep's folder, or go on with it; every typo is told before the first run.

    Args:
        configuration: Name of the configuration.
        overrides: Hydra overrides, of which some sweep.
        folder: The parent of the run folders. One of the same sweep is gone on with, also with
            further values of the same keys.
        here: Whether this process will run them.

    Raises:
        UsageError: If a key or value is wrong, or the folder holds something else.
    """
    folder = Path(folder)
    if (folder / "config.yaml").is_file():
        raise UsageError(
            f"Argument `--out` must be the parent of a sweep's run folders, "
            f"but {str(folder)!r} is a run folder itself."
        )
    varied = swept_keys(overrides)
    runs, fixed = {}, []
    for words in sweep(overrides):
        compose(configuration, words, here=here)
        own = [word for word in words if word.partition("=")[0] in varied]
        fixed = [word for word in words if word not in own]
        runs[job_name(own)] = words
    asked = Sweep(folder, configuration, varied, fixed, runs)
    if is_sweep(folder):
        held = read_sweep(folder)
        if (held.configuration, held.swept, sorted(held.fixed)) != (
            configuration,
            asked.swept,
            sorted(fixed),
        ):
            rest = f" with {', '.join(held.fixed)}" if held.fixed else ""
            raise UsageError(
                f"Argument `--out` must be a new folder or that of the same sweep, but "
                f"{str(folder)!r} holds one of {held.configuration} over "
                f"{', '.join(held.swept) or 'nothing'}{rest}."
            )
        # Further values of the same keys join the runs that are there.
        asked = dataclasses.replace(asked, overrides=held.overrides | runs)
    asked.write()
    return dataclasses.replace(asked, overrides=runs)


def job_name(overrides: list[str]) -> str:
    """Return the name of a job's folder: its swept overrides, made fit for a file system."""
    text = ",".join(overrides) or "run"
    name = re.sub(r"[^A-Za-z0-9._=,+-]", "_", text)
    if name != text or len(name) > 100:
        # Two different jobs must never share a folder.
        name = f"{name[:90]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return name
