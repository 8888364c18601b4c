"""The reduced model against the film it was distilled from, and as a device of its own."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax.programming import (
    ReducedDevice,
    Window,
    distil,
    make_programmer,
    program_levels,
    record_pulses,
    reduced_error,
)
from analogjax.programming._fit_reduced import Stage, fit_generator, modes_of
from analogjax.simulation import ForwardMode, RungeKutta4
from analogjax.simulation.solvers import Plateau

WIDTHS, AMPLITUDES = (2e-3, 0.25), (4.0, 6.0)
SHORT = (Stage(1, 256, 300, 1e-2), Stage(20, 16, 150, 5e-3))


@pytest.fixture(scope="module")
def film():
    return aj.devices.FourTerminalTiO2(12)


@pytest.fixture(scope="module")
def start(film):
    return film.init_state()


@pytest.fixture(scope="module")
def window(film, start):
    # About what twenty of the longest pulses do to the formed film.
    return Window(film.read(start), 0.95 * film.read(start))


@pytest.fixture(scope="module")
def recorded(film, start, window):
    def record(seed):
        return record_pulses(
            film, start, window, amplitude=5.0, amplitudes=AMPLITUDES, widths=WIDTHS,
            sequences=6, pulses=100, ambient_spread=2.0, key=jax.random.key(seed),
        )  # fmt: skip

    return record(0), record(1)


@pytest.fixture(scope="module")
def reduced(film, start, recorded):
    return distil(
        film, start, key=jax.random.key(2), amplitudes=AMPLITUDES, widths=WIDTHS, states=5,
        hidden=12, record=recorded[0], stages=SHORT,
    )  # fmt: skip


def test_times(reduced):
    pass
