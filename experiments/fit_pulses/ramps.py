"""The measured ramps, as what a fit compares a device with."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from analogjax.data.measurements import load_measured
from analogjax.fitting import Noise, PulseTrain

SIGNS = {"set": 1.0, "reset": -1.0}


def load(config) -> dict[str, np.ndarray]:
    """Return the conductances after every pulse [S], (ramps, pulses), by polarity."""
    measured = load_measured("cross_sim_ramps").assume(
        amplitude={name: sign * config.amplitude for name, sign in SIGNS.items()},
        width=config.width,
    )
    return {name: measured[name]["conductance"].values for name in SIGNS}


def split(config, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places of the ramps to fit (of even number, counted from 1) and of those kept back."""
    return np.arange(1, count, 2), np.arange(0, count, 2)


def objectives(config, ramps, rows, start: str, noise=None) -> tuple[PulseTrain, ...]:
    """Return trains from the first read of each ramp on.

    Args:
        config: Of the experiment.
        ramps: As loaded.
        rows: Which of them.
        start: ``"state"``: the first read says which state a ramp starts in. ``"offset"``: all
            start in the same state (that of the mean first read of the ramps to fit), and the first
            read says by how much the conductance is shifted, from ramp to ramp.
        noise: How values scatter, by polarity.
    """
    trains = []
    for name, sign in SIGNS.items():
        g = ramps[name]
        nominal = g[split(config, len(g))[0], 0].mean()
        g = g[rows]
        amplitude = np.where(np.isfinite(g[:, 1:]), sign * config.amplitude, np.nan)
        train = PulseTrain(
            amplitude,
            config.width,
            None,
            g[:, 1:],
            noise=(noise or {}).get(name) or Noise(absolute=7e-6),
            read_voltage=0.1,
            initial_conductance=g[:, 0] if start == "state" else nominal,
            name=name,
        )
        if start == "offset":
            shift = jnp.asarray(g[:, 0] - nominal)
            window = {"g_min": config.g_min + shift, "g_max": config.g_max + shift}
            state = (nominal - config.g_min) / (config.g_max - config.g_min) * 2 - 1
            train = eqx.tree_at(
                lambda t: (t.conditions, t.state, t.initial_conductance),
                train,
                (train.conditions | window, jnp.full(len(g), state), None),
                is_leaf=lambda x: x is None,
            )
        trains.append(train)
    return tuple(trains)


def spread(g: np.ndarray, aligned: bool = True) -> float:
    """Return the spread from cycle to cycle [S].

    Standard deviation over ramps at equal pulse number, as root mean square over pulse numbers that
    at least half of the ramps have; of the rise since the first read where `aligned`.
    """
    if aligned:
        g = g - g[:, :1]
    there = np.isfinite(g).sum(0) >= len(g) / 2
    return float(np.sqrt(np.mean(np.nanvar(g[:, there], axis=0, ddof=1))))


def score(observed: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Return the RMS error [S] and R^2 of predictions."""
    known = np.isfinite(observed)
    error = (predicted - observed)[known]
    return float(np.sqrt(np.mean(error**2))), float(
        1 - np.sum(error**2) / np.sum((observed[known] - observed[known].mean()) ** 2)
    )
