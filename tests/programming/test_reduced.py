"""The reduced model against the device it was distilled from, and as a device of its own.

Most tests distil a line of cells whose equations take a few lines (and compile in seconds); the
film itself is slow.
"""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import analogjax as aj
from analogjax.devices import AbstractDevice, Parameter
from analogjax.programming import (
    ReducedDevice,
    Window,
    WriteVerify,
    distil,
    no_noise,
    program_levels,
    record_pulses,
    reduced_error,
)
from analogjax.programming._fit_reduced import Stage, fit_factor, fit_generator, modes_of
from analogjax.simulation import ForwardMode, RungeKutta4
from analogjax.simulation.solvers import Plateau

CELLS, PER_CELL = 16, 1e5
AMPLITUDES, WIDTHS = (4.0, 6.0), (2e-3, 0.25)
STAGES = (Stage(1, 256, 600, 1e-2), Stage(20, 32, 400, 5e-3), Stage(60, 16, 200, 2e-3))


class Line(AbstractDevice):
    """Vacancies that drift and diffuse along a line; the left end weighs more in R.

    dc/dt = D c'' - (mu v c (1 - c / 4))', blocking ends, both mobilities thermally activated.
    """

    PARAMETERS: ClassVar[dict[str, Parameter]] = {
        "ambient_temperature": Parameter(300.0, "K", "substrate", "illustrative"),
        "read_voltage": Parameter(0.1, "V", "read", "illustrative"),
    }

    ambient_temperature: jax.Array = eqx.field(converter=jnp.asarray)
    read_voltage: jax.Array = eqx.field(converter=jnp.asarray)

    def init_state(self):
        return 0.3 + 1.5 * jax.nn.sigmoid((jnp.arange(CELLS) - 8.0) / 1.5)

    def _activation(self):
        return jnp.exp(20.0 * (self.ambient_temperature / 300.0 - 1))

    def current(self, v, state):
        return v / 2e5 * jnp.mean(0.5 + state**1.2) * (1 + 0.01 * v**2)

    def read(self, state):
        weight = 1 + jnp.linspace(1.0, -1.0, CELLS)
        warmth = jnp.exp(1.2 * (300.0 / self.ambient_temperature - 1))
        return 4e5 * warmth * jnp.mean(weight / (0.5 + state))

    def prepare(self):
        return None

    def initial_fields(self, state):
        return jnp.zeros(())

    def settle(self, v, state, fields, workspace, path):
        return self.rate(v, state, fields, workspace, path)[1]

    def rate(self, v, state, fields, workspace, path):
        push = 1.2 * v * self._activation() if path == "write" else jnp.zeros(())
        left, right = state[:-1], state[1:]
        # Positive voltages drive vacancies to the left.
        flux = 0.02 * self._activation() * (left - right) - jnp.where(
            push > 0, push * right * (1 - left / 4), push * left * (1 - right / 4)
        )
        flux = jnp.concatenate([jnp.zeros(1), flux, jnp.zeros(1)])
        return -jnp.diff(flux), jnp.abs(push) + 0.1

    def fastest(self, fields):
        return fields

    def rest(self, state, duration):
        k = jnp.pi * jnp.arange(CELLS) / CELLS
        basis = jnp.cos(k[:, None] * (jnp.arange(CELLS) + 0.5)[None, :])
        decay = jnp.exp(-0.02 * self._activation() * (2 - 2 * jnp.cos(k)) * duration)
        amplitudes = (basis @ state) / jnp.sum(basis**2, axis=1)
        return (decay * amplitudes) @ basis

    def read_warm(self, state, fields, elapsed, workspace):
        return self.read(state)

    def observe(self, v, plateau, fields, after, guess, workspace):
        return self.current(v, plateau), self.read(after), guess

    def valid(self, state):
        return jnp.all((state > -0.01) & (state < 4.01))

    def draw_state(self, state, *, key):
        return state + jnp.sqrt(state / PER_CELL) * jax.random.normal(key, state.shape, state.dtype)

    def fluctuate(self, state, fields, duration, *, key):
        number = 0.02 * self._activation() * duration
        spread = jnp.sqrt(number * (state[1:] + state[:-1]) / PER_CELL)
        flux = spread * jax.random.normal(key, (CELLS - 1,), state.dtype)
        return state - jnp.diff(jnp.concatenate([jnp.zeros(1), flux, jnp.zeros(1)]))


@pytest.fixture(scope="module")
def line():
    return Line(ambient_temperature=300.0, read_voltage=0.1)


@pytest.fixture(scope="module")
def window(line):
    drive = aj.stimuli.pulse_train(jnp.full(60, 5.0), width=0.02)
    trace = aj.simulate(line, drive).read_resistance
    return Window(trace[0], trace[-1])


@pytest.fixture(scope="module")
def recorded(line, window):
    def record(seed):
        return record_pulses(
            line, line.init_state(), window, amplitude=5.0, amplitudes=AMPLITUDES,
            widths=(2e-4, 0.02), sequences=8, pulses=200, ambient_spread=2.0,
            key=jax.random.key(seed),
        )  # fmt: skip

    return record(0), record(1)


@pytest.fixture(scope="module")
def reduced(line, recorded):
    return distil(
        line, line.init_state(), key=jax.random.key(2), amplitudes=AMPLITUDES,
        widths=(2e-4, 0.02), states=5, hidden=16, record=recorded[0], stages=STAGES,
    )  # fmt: skip


def test_open_loop_on_unseen_sequences(reduced, recorded):
    error = reduced_error(reduced, recorded[1])
    print(error)
    assert error["max"] <= 1e-2
