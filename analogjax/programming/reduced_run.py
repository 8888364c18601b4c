"""The reduced model of a run: distilled once, kept by what it depends on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import numpy as np

from .config import ProgrammingConfig
from .distil import distil
from .reduced import ReducedDevice
from .reduced_error import reduced_error
from .sequences import record_pulses
from .targets import condition_and_window

if TYPE_CHECKING:
    from ..runs import RunFolder

_CODE = ("physics", "devices", "stimuli", "simulation", "programming")


def reduced_model(
    config: ProgrammingConfig, run: RunFolder, *, file: str | None = None
) -> tuple[ReducedDevice, float]:
    """Return the film of a configuration as a reduced device, and its error.

    Distilled now (some minutes) or read from the cache; stores the stage ``reduced`` and the
    metrics ``reduced_open_loop_*``.

    Args:
        config: The film, its writing amplitude and window.
        run: The run folder.
        file: Arrays of a reduced device that such a run has stored (`.npz`), instead.

    Returns:
        The device, and the rms error of R over the window on unseen pulses, open loop.
    """
    # Late: `runs` is not needed to program.
    from ..runs import cached

    low, high = 0.92 * config.amplitude, 1.04 * config.amplitude
    ranges: dict[str, Any] = dict(
        amplitude=config.amplitude, amplitudes=(low, high), widths=(1e-3, config.window_width)
    )
    unseen_size: dict[str, Any] = dict(sequences=6, pulses=200, ambient_spread=3.0)
    key = {"seed": run.seed, **dataclasses.asdict(config), "fit": ranges, "unseen": unseen_size}

    def compute():
        film = config.device.build()
        run.log("distilling the reduced model: some minutes")
        start, window = condition_and_window(
            film,
            v=config.amplitude,
            pulses=config.window_pulses,
            width=config.window_width,
            margin=config.margin,
        )
        model = distil(film, start, key=jax.random.key(run.seed), window=window, **ranges)
        unseen = record_pulses(
            film, start, window, key=jax.random.key(run.seed + 1), **ranges, **unseen_size
        )
        return {**model.to_arrays(), **reduced_error(model, unseen)}

    def once():
        if file is not None:
            with np.load(file) as arrays:
                return dict(arrays)
        arrays, hit = cached("reduced", key, compute, code=_CODE)
        if hit:
            run.log("stage reduced: from the cache")
        return arrays

    stored = run.stage("reduced", once)
    for name in ("rms", "max", "pulse_rms"):
        run.metric(f"reduced_open_loop_{name}", stored[name], "error of R over the window")
    return ReducedDevice.from_arrays(stored), float(stored["rms"])
