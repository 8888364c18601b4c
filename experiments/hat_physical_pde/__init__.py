"""Train what is written into films: Iris through one two-dimensional vacancy equation per weight.

A network 4-8-3 of differential pairs is 112 films. Each is written open loop by a few pulses, and
their parameters differ. Trained are the amplitudes of every film's own pulses: the loss is
differentiated through every film's drift-diffusion equation, on other films at every step.
Against it stand the digital network, its plain transfer, and a training with noise of the same size
and the same number of steps, all judged on the same films that no training saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analogjax._checks import check_not_negative, check_positive, check_whole
from analogjax.runs import RunFolder

from .cost import measured_cost, measured_error
from .films import make_writing, noise_of, pilot_maps
from .report import report
from .study import Study


@dataclass
class Config:
    """Films, pulses, networks, their training and evaluation."""

    cells: int = 24
    """Cells along each side of a film."""
    film: dict[str, float] = field(
        default_factory=lambda: {
            "sigma_background": 5.0,
            "electrode_arm": 0.4,
            "front_position": -0.35,
        }
    )
    """Parameters of the film other than the device's own; chosen for a wide window (assumed)."""
    widths: list[float] = field(default_factory=lambda: [7.5, 7.5])
    """Of the pulses of a write [s]."""
    amplitude: float = 5.0
    """Of the pulses at both ends of the window [V]."""
    limit: float = 5.0
    """Largest amplitude [V]."""
    differs: list[str] = field(
        default_factory=lambda: ["attempt_frequency", "sigma_1", "thickness"]
    )
    """Parameters in which films differ, each by itself."""
    spread: float = 0.05
    """Standard deviation of the logarithm of each."""
    solves: int = 1
    """Stretches of a pulse, two solutions of the potential each."""
    substeps: int = 36
    """Steps of the vacancies in each."""
    side_by_side: int = 16
    """Films solved side by side."""
    hidden: int = 8
    """Neurons of the hidden layer."""
    splits: int = 50
    """Random stratified splits of the 150 flowers; each has networks and films of its own."""
    held_out: int = 45
    """Flowers held out."""
    steps: int = 200
    """Steps of the digital training and of the training with noise."""
    learning_rate: float = 0.03
    """Largest learning rate of both."""
    weight_decay: float = 0.1
    """Of both, times the learning rate. The best of six recipes of the digital network on splits
    for tuning, other ones than those of the result."""
    physical_steps: int = 15
    """Steps through the equations of the films; as many more with noise for the rival."""
    physical_learning_rate: float = 0.01
    """Their largest learning rate (biases)."""
    drive_rate: float = 4.0
    """Learning rate of amplitudes [V], over that of biases."""
    noise_factors: list[float] = field(default_factory=lambda: [1.0, 2.0, 3.0])
    """Sizes of the noise in training that are tried, over that of films."""
    tuning_splits: int = 3
    """Splits on which the size is chosen, other ones than those of the result."""
    chips: int = 3
    """Chips on which each network is judged."""
    drift_splits: int = 4
    """Splits that are judged after rests, too."""
    rests: list[float] = field(default_factory=lambda: [60.0, 3600.0])
    """Times since writing [s]."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in (
            "held_out", "steps", "physical_steps", "tuning_splits", "chips", "drift_splits",
            "hidden",
        ):  # fmt: skip
            check_whole(name, getattr(self, name))
        # Differences are paired over splits, and one has no interval.
        check_whole("splits", self.splits, 2)
        check_positive("drive_rate", self.drive_rate)
        check_not_negative("spread", self.spread)
        check_not_negative("rests", np.asarray(self.rests), "s")


def run(config: Config, run: RunFolder) -> None:
    """Measure cost and error, choose the noise, train and judge on every split, report."""
    writing = make_writing(config)
    noise = run.stage("noise", lambda: noise_of(writing, run.seed))
    study = Study(config, run.seed, writing, float(noise["std"]), float(noise["mean"]))
    tuning = run.stage("tuning", lambda: study.tune(run))
    factor = config.noise_factors[int(np.argmax(tuning["accuracy"].mean((1, 2))))]
    found = run.stage("splits", lambda: study.all_splits(run, factor))
    cost = run.stage("cost", lambda: measured_cost(study))
    drift = run.stage("drift", lambda: study.all_rests(run, found))
    maps = run.stage("maps", lambda: pilot_maps(config, writing, found))
    error = run.stage("error", lambda: measured_error(config, writing, run.seed))
    report(config, run, writing, noise | error, tuning, factor, cost, found, drift, maps)
