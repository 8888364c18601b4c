"""The measured ramps, and how a model sees them."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from analogjax.data.measurements import load_measured
from analogjax.fitting import Noise, PulseTrain

SIGNS = {"set": 1.0, "reset": -1.0}


def load(config) -> dict[str, np.ndarray]:
    """Return the conductances after every pulse [S], (ramps, pulses), by polarity."""
    measured = load_measured("cross_sim_ramps")
    return {name: measured[name]["conductance"].values for name in SIGNS}


def split(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places of the ramps to fit (of even number, counted from 1) and of those kept back."""
    return np.arange(1, count, 2), np.arange(0, count, 2)


def starts(data) -> dict[str, float]:
    """Return the mean first read of the ramps that are fitted [S], by polarity."""
    return {name: float(g[split(len(g))[0], 0].mean()) for name, g in data.items()}


def trains(config, data, rows, noise=None) -> tuple[PulseTrain, ...]:
    """Return trains from the first read of each ramp on, which says what state it starts in.

    Args:
        config: Of the experiment.
        data: As loaded.
        rows: Which of the ramps.
        noise: How values scatter, by polarity; levels alike if None.
    """
    made = []
    for name, sign in SIGNS.items():
        g = data[name][rows]
        amplitude = np.where(np.isfinite(g[:, 1:]), sign * config.amplitude, np.nan)
        made.append(
            PulseTrain(
                amplitude,
                config.width,
                None,
                g[:, 1:],
                noise=noise[name] if noise else Noise(absolute=config.level_noise),
                read_voltage=0.1,
                initial_conductance=g[:, 0],
                name=name,
            )
        )
    return tuple(made)


def shifted(config, begin):
    """Return how a model sees a train whose window moves from ramp to ramp.

    Every ramp starts in the state of the mean first read, and its own first read says by how much
    all of its conductances are shifted.
    """

    def adapt(train):
        shift = train.initial_conductance - begin[train.name]
        window = {"g_min": config.g_min + shift, "g_max": config.g_max + shift}
        state = jnp.full(train.rows, state_of(config, begin[train.name]))
        return eqx.tree_at(
            lambda t: (t.conditions, t.state, t.initial_conductance),
            train,
            (train.conditions | window, state, None),
            is_leaf=lambda x: x is None,
        )

    return adapt


def state_of(config, conductance: float) -> float:
    """Return the state of a step model, from -1 to 1, of a conductance [S]."""
    return 2 * (conductance - config.g_min) / (config.g_max - config.g_min) - 1


def spread(g: np.ndarray, aligned: bool = True) -> float:
    """Return the spread from cycle to cycle [S].

    Standard deviation over ramps at equal pulse number, as root mean square over pulse numbers that
    at least half of the ramps have; of the rise since the first read where `aligned`.
    """
    if aligned:
        g = g - g[:, :1]
    there = np.isfinite(g).sum(0) >= len(g) / 2
    return float(np.sqrt(np.mean(np.nanvar(g[:, there], axis=0, ddof=1))))
