"""What each non-ideality of an array costs a network: which one to spend on first.

A trained network is written into several chips of arrays with every non-ideality of devices and
circuits. Each is turned on alone, then off alone; and one reverse pass gives the gradient of the
test cross-entropy in the size of every one of them, on the same chips.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import numpy as np

import analogjax as aj
from analogjax._checks import check_whole
from analogjax.data import DataConfig, Split
from analogjax.networks import ChipLoss, NetworkConfig
from analogjax.runs import RunFolder
from analogjax.training import TrainingConfig

from .parts import PARTS, Magnitudes, hardware
from .report import report


@dataclass
class Config:
    """Data, network, sizes of the non-idealities, chips."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    magnitudes: Magnitudes = field(default_factory=Magnitudes)
    side: int = 64
    """Most word lines and bit lines of an array."""
    chips: int = 8
    images: int | None = None
    """Test images used; null for all."""
    step: float = 0.1
    """Of the central differences, as a share of each size."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        check_whole("chips", self.chips, 2)
        if not 0 < self.step <= 1:
            raise ValueError(f"Argument `step` must be above 0 and at most 1, but is {self.step}.")


def run(config: Config, run: RunFolder) -> None:
    """Train, write, turn on and off, differentiate, report."""
    dataset = config.data.load()
    aj.training.check_data(dataset, config.training)
    test = Split(dataset.test.x[: config.images], dataset.test.y[: config.images])
    model, digital = aj.training.train_in_run(
        run, config.network, dataset, config.training, test=test
    )
    linear = [name for name in PARTS if name != "nonlinearity"]
    # Two circuits: with wires and ohmic cells, and without wires and with nonlinear cells.
    alone = run.stage("alone", lambda: one_on(config, run, model, test, linear))
    all_on = run.stage("all_on", lambda: one_off(config, run, model, test, linear, cubic=False))
    cubic = run.stage(
        "nonlinear", lambda: one_off(config, run, model, test, ["nonlinearity"], cubic=True)
    )
    report(config, run, dataset, digital, alone, all_on, cubic)


def losses(config, run, model, test, *, rounded: bool, cubic: bool = False) -> ChipLoss:
    """The loss of the same chips as a function of strengths."""
    return ChipLoss(
        model,
        lambda s: hardware(config.magnitudes, s, rounded=rounded, side=config.side, cubic=cubic),
        dict.fromkeys(PARTS, 1.0),
        test,
        chips=config.chips,
        key=jax.random.key(run.seed),
        t=config.magnitudes.t,
    )


def one_on(config, run, model, test, names) -> dict:
    """Every non-ideality alone, on devices without levels; arrays (loss and accuracy, chips)."""
    loss = losses(config, run, model, test, rounded=False)
    full, none = dict.fromkeys(PARTS, 1.0), dict.fromkeys(PARTS, 0.0)
    found = {"all": np.stack(loss(full)), "none": np.stack(loss(none))}
    slopes = loss.gradient(full)
    with run.progress("one on", len(names)) as progress:
        for name in names:
            found[name] = np.stack(loss({**none, name: 1.0}))
            found[f"slope_{name}"] = slopes[name]
            found[f"difference_{name}"] = difference(config, loss, full, name)
            progress.advance()
    return found


def difference(config, loss, full, name) -> np.ndarray:
    """Central difference of each chip's loss in one strength."""
    h = config.step
    up, down = (loss({**full, name: 1.0 + sign * h}).cross_entropy for sign in (1, -1))
    return (up - down) / (2 * h)


def one_off(config, run, model, test, names, *, cubic) -> dict:
    """All on, one off; the gradient with all on, and central differences."""
    loss = losses(config, run, model, test, rounded=True, cubic=cubic)
    full, none = dict.fromkeys(PARTS, 1.0), dict.fromkeys(PARTS, 0.0)
    found = {"all": np.stack(loss(full)), "none": np.stack(loss(none))}
    slopes = loss.gradient(full)
    with run.progress("one off", len(names)) as progress:
        for name in names:
            found[name] = np.stack(loss({**full, name: 0.0}))
            found[f"alone_{name}"] = np.stack(loss({**none, name: 1.0}))
            found[f"slope_{name}"] = slopes[name]
            found[f"difference_{name}"] = difference(config, loss, full, name)
            progress.advance()
    return found
