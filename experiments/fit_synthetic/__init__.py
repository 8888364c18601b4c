"""Fits of data whose parameters are known: do intervals hold what they promise?

Many data sets with noise are simulated of devices with drawn parameters, and all are fitted, side
by side, by one compiled program a device. The true values should lie in the 90 % interval nine
times out of ten, the deviations be as large as the standard errors say.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analogjax._checks import check_choice, check_positive, check_whole
from analogjax.fitting import report_fit
from analogjax.runs import RunFolder

from . import recovery, refusals
from .cases import NAMES, case


@dataclass
class Config:
    """Which devices, how many data sets, how much is measured of each."""

    devices: list[str] = field(default_factory=lambda: list(NAMES))
    sets: dict[str, int] = field(default_factory=lambda: dict(yakopcic=500, tio2=60, jart=60))
    """Data sets of each device."""
    batch: int = 30
    """Data sets side by side."""
    range: float = 1.0
    """How far true parameters are from the start, over what a device is drawn with."""
    noise_factor: float = 1.5
    """Noise of the data over the noise that the fit is told."""
    max_steps: int = 60
    pulses: int = 80
    """Of the Yakopcic device."""
    film_pulses: int = 20
    """Of a train of the TiO2-x device."""
    cells: int = 12
    """Of the TiO2-x film, along a side."""
    sweep_points: int = 60
    """Of the JART device."""
    times: int = 12
    """Switching times of the JART device."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in self.devices:
            check_choice("devices", name, NAMES)
            if name not in self.sets:
                raise ValueError(f"Argument `sets` must hold a number for `{name}`, but has none.")
            check_whole(f"sets.{name}", self.sets[name])
        for name in ("batch", "max_steps"):
            check_whole(name, getattr(self, name))
        for name in ("pulses", "film_pulses", "times"):
            check_whole(name, getattr(self, name), 4)
        check_whole("sweep_points", self.sweep_points, 20)
        for name in ("range", "noise_factor"):
            check_positive(name, getattr(self, name))


def run(config: Config, run: RunFolder) -> None:
    """Make data, fit, compare; one data set of each device in full; refusals."""
    cases = {name: case(name, config) for name in config.devices}
    data, found = {}, {}
    for name, one in cases.items():
        # Each device has draws of its own, whichever others are there.
        seed = 3 * run.seed + NAMES.index(name)
        data[name] = run.stage(
            f"data_{name}",
            lambda one=one, name=name, seed=seed: recovery.made(
                one, config, config.sets[name], seed
            ),
        )
        arrays = run.stage(
            f"recovery_{name}",
            lambda one=one, name=name: recovery.recover(run, name, one, config, data[name]),
        )
        found[name] = recovery.restored(one, arrays)
    film = None
    if "tio2" in cases:
        film = (cases["tio2"].device, recovery.measured(cases["tio2"], data["tio2"], 0))
    said = run.stage("refusals", lambda: refusals.sentences(film, run.seed))

    recovery.report(run, config, cases, found)
    for name, one in cases.items():
        (example,) = recovery.fits(one, config, data[name], [0])
        report_fit(
            run,
            example,
            name=f"example_{name}",
            title=f"One data set: {one.title}",
            truth=dict(zip(one.spread, map(float, data[name]["true"][0]), strict=True)),
        )
    refusals.report(run, said)
    summarise(run, cases, found)


def summarise(run, cases, found) -> None:
    """The finding in one paragraph."""
    parts, beyond = [], []
    for name, one in cases.items():
        kept = found[name].only(found[name].trusted)
        shares = kept.inside(0.9).mean(axis=0)
        beyond.append(np.abs(kept.deviations).ravel() > 3)
        parts.append(
            f"{one.title} {100 * shares.mean():.3g} % ({100 * shares.min():.3g} to "
            f"{100 * shares.max():.3g} % by parameter, {len(kept.true)} data sets)"
        )
    share = 1 - np.mean(np.concatenate(beyond))
    run.summary(
        f"True values lie in the 90 % interval in {'; '.join(parts)}. {100 * share:.4g} % of all "
        "estimates are within three standard errors."
    )
