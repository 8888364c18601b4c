"""A tiny project with a configuration folder and two experiments, for tests of the command."""

from __future__ import annotations

from pathlib import Path

DECAY = '''"""How a charge decays.

The voltage of a leaking capacitor falls to 1/e within the time constant.

A third paragraph that no summary needs.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import signal

import numpy as np


class Shape(enum.Enum):
    STEP = 1
    RAMP = 2


@dataclasses.dataclass
class Device:
    resistance: float = 1e3
    capacitance: float = 1e-6


@dataclasses.dataclass
class Config:
    seed: int = 0
    points: int = 16
    label: str = "plain"
    shape: Shape = Shape.STEP
    times: list[float] = dataclasses.field(default_factory=lambda: [1.0, 2.0])
    limit: float | None = None
    device: Device = dataclasses.field(default_factory=Device)

    def __post_init__(self):
        if self.points < 2:
            raise ValueError(f"Argument `points` must be at least 2, but is {self.points}.")


def die_before(stage):
    if os.environ.get("DIE_BEFORE") == stage:
        os.kill(os.getpid(), signal.SIGKILL)


def run(config, run):
    def solve():
        random = np.random.default_rng(config.seed)
        time = np.linspace(0.0, 5e-3, config.points)
        tau = config.device.resistance * config.device.capacitance
        noise = random.normal(size=config.points)
        return {"time": time, "voltage": np.exp(-time / tau) + 1e-3 * noise}

    if config.label == "broken":
        raise RuntimeError("the capacitor exploded")
    if config.label == "refused":
        raise ValueError("Argument `label` must be harmless, but is 'refused'.")
    first = run.stage("solve", solve)
    die_before("fit")
    died = run.path / "died"
    if config.label == "dies" and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    logarithm = np.log(first["voltage"].clip(1e-9))
    second = run.stage("fit", lambda: {"rate": -np.polyfit(first["time"], logarithm, 1)[0]})
    die_before("metrics")
    run.metric("rate_per_s", second["rate"], help="fitted rate of decay")
    die_before("report")
    run.metrics({"points": config.points})
    run.section("What was done", "A charge *decays*.\\n\\n- one `R`\\n- one C < 2")
'''

CONFIGS = {
    "decay.yaml": "experiment: decay\npoints: 12\ndefaults:\n  - device: small\n  - _self_\n",
    "decay_slow.yaml": (
        "# The same with a large capacitor.\nexperiment: decay\ndevice:\n  capacitance: 1e-5\n"
    ),
    "plain.yaml": "experiment: plain\n",
    "device/small.yaml": "resistance: 500.0\n",
    "device/large.yaml": "resistance: 5000.0\n",
}

PLAIN = '''"""Nothing but a number."""

import dataclasses


@dataclasses.dataclass
class Config:
    value: float = 1.0


def run(config, run):
    run.metric("value", config.value)
    run.metric("seed", run.seed)
'''


def make(root: Path) -> Path:
    """Write the project below `root` and return the folder that stands for the package."""
    for name, text in CONFIGS.items():
        file = root / "configs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (root / "experiments").mkdir()
    (root / "experiments" / "decay.py").write_text(DECAY)
    (root / "experiments" / "plain.py").write_text(PLAIN)
    (root / "pyproject.toml").write_text("")
    (root / "analogjax").mkdir()
    return root / "analogjax"
