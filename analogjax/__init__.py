"""analogjax: from an oxygen vacancy to a network's accuracy, in one differentiable program."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import crossbar as crossbar
    from . import data as data
    from . import devices as devices
    from . import fitting as fitting
    from . import networks as networks
    from . import physics as physics
    from . import plotting as plotting
    from . import programming as programming
    from . import runs as runs
    from . import sharding as sharding
    from . import simulation as simulation
    from . import stimuli as stimuli
    from . import training as training
    from .simulation import simulate as simulate

try:
    __version__ = metadata.version("analogjax")
except metadata.PackageNotFoundError:
    # Used from a checkout that was never installed.
    __version__ = "0+checkout"

_SUBPACKAGES = (
    "data",
    "crossbar",
    "devices",
    "fitting",
    "networks",
    "physics",
    "plotting",
    "programming",
    "runs",
    "sharding",
    "simulation",
    "stimuli",
    "training",
)


def __getattr__(name: str) -> Any:
    # Sub-packages load on first use: diffrax alone takes seconds, and `analogjax list` needs none.
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "simulate":
        return importlib.import_module(f"{__name__}.simulation").simulate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_SUBPACKAGES, "simulate"]
