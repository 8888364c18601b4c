"""The films: how they are written, how much they differ, what they look like inside."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from analogjax.devices import FourTerminalTiO2, Spread
from analogjax.programming import VacancyWriting
from analogjax.simulation import Multirate, ReverseMode
from analogjax.simulation.solvers import Plateau


def make_writing(config, **options) -> VacancyWriting:
    """Return the open-loop writing of the configuration's films."""
    chosen = {
        "solver": Multirate(config.solves, config.substeps),
        "batch": config.side_by_side,
        "precision": "float32",
    }
    return VacancyWriting(
        FourTerminalTiO2(config.cells, **config.film),
        widths=list(config.widths),
        low=-config.amplitude,
        high=config.amplitude,
        limit=config.limit,
        spread=Spread({name: config.spread for name in config.differs}),
        **(chosen | options),
    )


def noise_of(writing, seed: int, films: int = 112) -> dict:
    """Return mean and standard deviation of what films hold beside what was planned.

    The wanted fractions are those of a network whose weights are normal and whose largest is 2.5
    standard deviations: half of the films of differential pairs are at 0.
    """
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 77), 2)
    weights = jax.random.normal(keys[0], (films,), jnp.float32) / 2.5
    wanted = jnp.clip(weights, 0.0, 1.0)
    drives = writing.plan(wanted)
    written = writing.write(drives, writing.draw(keys[1], (films,)))
    error = (written.fractions - wanted)[written.ok]
    return {"std": error.std(), "mean": error.mean(), "wanted": wanted, "held": written.fractions}


def pilot_maps(config, writing, found) -> dict:
    """Vacancies of three nominal films after their pulses, and of one that is fresh."""
    film = writing.device
    drives = {
        "low": writing.plan(jnp.zeros(())),
        "middle": writing.plan(jnp.asarray(0.5)),
        "high": writing.plan(jnp.ones(())),
    }

    @eqx.filter_jit
    def after(amplitudes):
        state, workspace = film.init_state(), film.prepare()
        fields = film.initial_fields(state)
        for v, width in zip(amplitudes, writing.widths, strict=True):
            plateau = Plateau(v, v, width)
            step = writing.solver.advance(film, workspace, state, fields, plateau, ReverseMode())
            state, fields = step.state, step.fields
        return state

    maps = {name: after(amplitudes) for name, amplitudes in drives.items()}
    return {"fresh": film.init_state()} | maps
