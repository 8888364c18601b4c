"""From the fit to devices: drawn ones switch as often as the population says."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import analogjax as aj
from analogjax.fitting.states import state_at

COUNT = 2000


def report(run: Any, fits: dict, parts: dict) -> None:
    """Draw devices of the fitted VTEAM population and let them switch one by one."""
    if "vteam" not in fits["set"]:
        return
    population = fits["set"]["vteam"].model
    trials = parts["set"]["seen"]
    before = float(np.median(np.asarray(trials.resistance_before)))
    threshold = float(trials.threshold)
    devices = population.sample(COUNT, key=jax.random.key(run.seed))
    start, end = (state_at(population.nominal(), jnp.asarray(1 / r)) for r in (before, threshold))
    sign = population.nominal().potentiation
    rows, worst = [], 0.0
    times = eqx.filter_jit(
        eqx.filter_vmap(
            lambda d, v: aj.simulation.switching.switching_time(d, sign * v, start, end, cells=4),
            in_axes=(eqx.if_array(0), None),
        )
    )
    for v in (0.9, 1.0, 1.1, 1.2):
        taken = np.asarray(times(devices, jnp.asarray(v)))
        for width in (2e-8, 2e-6):
            share = float(np.mean(taken < width))
            logs = population.log_times(jnp.array([v]), jnp.array([before]), jnp.asarray(threshold))
            spread = population.values[f"{population.pace}_spread"]
            late = (np.log(width) - np.asarray(logs)) / np.asarray(spread)
            told = float(np.mean(jax.scipy.special.ndtr(late)))
            worst = max(worst, abs(share - told))
            rows.append([v, width * 1e9, share, told])
    run.metric("set_vteam_drawn_largest", worst, help="share of drawn devices less probability")
    run.section(
        "Devices",
        "`DevicePopulation.sample` draws devices (`nominal()` and `spread()` give `sample_devices` "
        f"the same): {COUNT} drawn VTEAM devices at {before / 1e3:.0f} kohm, each with its own "
        "`switching_time`, against the probability that was fitted.",
    )
    run.table("Drawn VTEAM devices", ["voltage over the cell [V]", "width [ns]", "share of devices",
                                      "probability"], rows)  # fmt: skip
