"""Read noise of five levels: spectra, telegraph steps, and a generator tried on unseen time.

Five cells were read 100,000 times each at 400 Hz (A. Levy). Spectra and telegraph processes are
fitted to the first half of each trace; the second half says what they are worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analogjax._checks import check_whole
from analogjax.data.measurements import load_measured
from analogjax.runs import RunFolder

from . import device, spectra, telegraph


@dataclass
class Config:
    """How traces are cut up."""

    seed: int = 0
    folder: str | None = None
    """Folder of the measured sets; null for that of `load_measured`."""
    segment: int = 4096
    """Reads of a window of the spectrum."""
    bins: int = 50
    """Bins of the spectrum."""
    window: int = 1000
    """Reads of a window in which telegraph noise is looked for."""
    draws: int = 40
    """Generated traces."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("segment", "bins", "window", "draws"):
            check_whole(name, getattr(self, name), 4)


def run(config: Config, run: RunFolder) -> None:
    """Spectra, telegraph steps, the generator, the device."""
    dataset = load_measured("levy_relaxation", parts=["noise"], folder=config.folder)["noise"]
    traces, level = dataset["conductance"].values, dataset["level"].values
    interval = float(np.median(np.diff(dataset["time"].values)))
    half = traces.shape[1] // 2
    first, second = traces[:, :half], traces[:, half : 2 * half]
    found = run.stage("spectra", lambda: spectra.fitted(config, first, second, level, 1 / interval))
    steps = run.stage("telegraph", lambda: telegraph.found(config, first, level, interval))
    spectra.report(run, config, found, level, first, interval)
    telegraph.report(run, config, steps, level, first, interval)
    device.report(run, first, second, level, interval)
    held = [float(found[f"inside_held_{k}"]) for k in level]
    run.summary(
        f"1/f noise, white noise and telegraph processes describe the spectra that they are fitted "
        f"to; of the second half of the traces they hold "
        f"{100 * min(held):.0f} to {100 * max(held):.0f} % of the spectrum within a band of 95 %: "
        "single cells do not stay what they were."
    )
