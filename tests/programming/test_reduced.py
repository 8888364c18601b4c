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
    program_levels,
    record_pulses,
    reduced_error,
)
from analogjax.programming._fit_reduced import Stage, fit_factor, fit_generator, modes_of
from analogjax.simulation import ForwardMode, RungeKutta4
from analogjax.simulation.solvers import Plateau

CELLS, PER_CELL = 16, 1e5
AMPLITUDES, WIDTHS = (4.0, 6.0), (2e-4, 0.02)
STAGES = (Stage(1, 256, 600, 1e-2), Stage(20, 32, 300, 5e-3), Stage(100, 8, 100, 2e-3))


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
        push = 0.25 * v * self._activation() if path == "write" else jnp.zeros(())
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
            widths=WIDTHS, sequences=8, pulses=200, ambient_spread=2.0,
            key=jax.random.key(seed),
        )  # fmt: skip

    return record(0), record(1)


@pytest.fixture(scope="module")
def reduced(line, recorded):
    return distil(
        line, line.init_state(), key=jax.random.key(2), amplitudes=AMPLITUDES,
        widths=WIDTHS, states=5, hidden=16, record=recorded[0], stages=STAGES,
    )  # fmt: skip


@pytest.fixture(scope="module")
def span(window):
    return float(window.r_high - window.r_low)


# Against the full device.


def test_open_loop_on_unseen_sequences(reduced, recorded):
    error = reduced_error(reduced, recorded[1])
    # A hundred pulses after a training that is kept short; the benchmark has the film's figures.
    assert error["rms"] <= 1e-2
    assert error["max"] <= 3e-2
    # Long pulses move by a twentieth of the window: a hundredth of that.
    assert error["pulse_rms"] <= 5e-4
    assert error["end_rms"] <= error["max"]


def test_a_train_through_the_window(line, reduced, span):
    # Down the window and part of the way back (which is quicker).
    signs = jnp.concatenate([jnp.ones(50), -jnp.ones(10)])
    drive = aj.stimuli.pulse_train(5.0 * signs, width=0.02)
    full, small = aj.simulate(line, drive), aj.simulate(reduced, drive)
    apart = np.abs(full.read_resistance - small.read_resistance) / span
    assert np.max(apart) <= 2e-2
    # The current follows a quadratic polynomial in its logarithm; the line's own law is another.
    np.testing.assert_allclose(small.i[1:], full.i[1:], rtol=5e-3)


def test_encoding_keeps_the_resistance(line, reduced, recorded):
    field = recorded[1].state[0, 50]
    state = reduced.encode(field, line.read(field))
    assert float(reduced.read(state)) == pytest.approx(float(line.read(field)), rel=1e-12)
    assert bool(reduced.valid(state))
    # Four modes hold the front up to a few hundredths of the density.
    np.testing.assert_allclose(reduced.decode(state), field, atol=0.1)


def test_rest(line, reduced, recorded, span):
    field = recorded[1].state[0, 50]
    state = reduced.encode(field, line.read(field))
    for duration in (0.1, 1.0):
        truth = line.read(line.rest(field, duration))
        moved = abs(float(truth - line.read(field)))
        error = abs(float(reduced.read(reduced.rest(state, duration)) - truth))
        # A linear flow fitted to the whole window; small steps of time say most of it.
        assert error <= 0.3 * moved + 1e-3 * span
    assert np.array_equal(reduced.rest(state, 0.0), state)


def test_a_warmer_substrate(line, reduced):
    drive = aj.stimuli.pulse_train(jnp.full(10, 5.0), width=0.02)
    cold, warm = (
        [aj.simulate(d.replace(ambient_temperature=t), drive).read_resistance for t in (300, 301.5)]
        for d in (line, reduced)
    )
    for full, small in zip(cold, warm, strict=True):
        np.testing.assert_allclose(small, full, rtol=2e-3)
    moved = [float(x[0] - x[-1]) for x in (*cold, *warm)]
    # 1.5 K make the line 10 % faster; four of the eight sequences say by how much, while the state
    # says more: the short training knows it to a third.
    assert moved[3] / moved[2] == pytest.approx(moved[1] / moved[0], abs=0.035)


def test_counting_noise(line, reduced):
    keys = jax.random.split(jax.random.key(5), 4000)
    field, state = line.init_state(), reduced.init_state()
    fields = [d.settle(jnp.asarray(5.0), s, d.initial_fields(s), None, "write")
              for d, s in ((line, field), (reduced, state))]  # fmt: skip

    def spread(device, noisy):
        return float(jnp.std(jax.vmap(lambda k: jnp.log(device.read(noisy(k))))(keys)))

    drawn = [spread(d, lambda k, d=d, s=s: d.draw_state(s, key=k))
             for d, s in ((line, field), (reduced, state))]  # fmt: skip
    hopped = [spread(d, lambda k, d=d, s=s, f=f: d.fluctuate(s, f, 0.01, key=k))
              for d, s, f in ((line, field, fields[0]), (reduced, state, fields[1]))]  # fmt: skip
    # 1 % from 4000 draws, 4 % from those of the fit, the rest its polynomial along the window.
    assert drawn[1] == pytest.approx(drawn[0], rel=0.1)
    assert hopped[1] == pytest.approx(hopped[0], rel=0.1)
    still = reduced.fluctuate(state, fields[1], 0.0, key=keys[0])
    assert np.array_equal(still, state)


def test_closed_loop(line, reduced, window, span):
    """Write-verify ends where it would have ended on the full device."""
    fine = WriteVerify(width=0.005, longest=0.02, tolerance=2e-4 * 7, max_pulses=20)
    tables = [
        program_levels(
            d, 8, repeats=1, controller=fine, noise="none", state=d.init_state(),
            window=Window(window.r_high - 0.1 * span, window.r_low + 0.1 * span),
            key=jax.random.key(0), delays=(1.0,),
        )
        for d in (line, reduced)
    ]  # fmt: skip
    # Both are within 2e-4 of the target, so that they differ by at most twice that; the issue's
    # 2e-4 holds for the rms.
    apart = tables[1].errors - tables[0].errors
    assert all(table.met.all() for table in tables)
    assert np.sqrt(np.mean(apart**2)) <= 2e-4


def test_closed_loop_errors_under_the_standard_noise(line, reduced, window, span):
    controller = WriteVerify(width=0.005, longest=0.02)
    errors = [
        program_levels(
            d, 8, repeats=16, controller=controller, state=d.init_state(),
            window=Window(window.r_high - 0.1 * span, window.r_low + 0.1 * span),
            key=jax.random.key(seed), delays=(1.0,),
        ).errors.ravel()
        for seed, d in enumerate((line, reduced))
    ]  # fmt: skip
    assert scipy.stats.ks_2samp(*errors).pvalue > 0.01


# As a device.


def test_a_pulse_is_a_fixed_row_of_cheap_operations(reduced):
    def pulse(state, v, width):
        plateau = Plateau(v, v, width)
        step = RungeKutta4().advance(
            reduced, None, state, reduced.initial_fields(state), plateau, ForwardMode()
        )
        return step.state, reduced.read(step.state)

    state, v, width = reduced.init_state(), jnp.asarray(5.0), jnp.asarray(0.01)
    text = str(jax.make_jaxpr(pulse)(state, v, width))
    assert "while" not in text
    assert "scan" not in text
    # A few thousand operations: 10^4 pulses take as many as a single one of a film.
    compiled = jax.jit(pulse).lower(state, v, width).compile()
    assert compiled.cost_analysis()["flops"] < 1e4


def test_the_solver_is_of_fourth_order(reduced):
    # Long enough for the error to stand above rounding, short enough for the order to show.
    plateau = Plateau(jnp.asarray(4.5), jnp.asarray(5.5), jnp.asarray(0.1))
    state = reduced.init_state()

    def end(steps):
        solver, fields = RungeKutta4(steps), reduced.initial_fields(state)
        return solver.advance(reduced, None, state, fields, plateau, ForwardMode()).state

    exact = end(32)
    errors = [float(jnp.linalg.norm(end(n) - exact)) for n in (1, 2, 4)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    # Not yet asymptotic at one step.
    assert orders[-1] == pytest.approx(4.0, abs=0.6)


def test_single_precision(reduced):
    single = jax.tree.map(lambda x: x.astype(jnp.float32), reduced)
    drive = aj.stimuli.pulse_train(jnp.full(20, 5.0), width=0.02)
    drive = jax.tree.map(lambda x: x.astype(jnp.float32), drive)
    rough = aj.simulate(single, drive)
    assert rough.read_resistance.dtype == rough.final_state.dtype == jnp.float32
    exact = aj.simulate(reduced, drive)
    # 24 bits, and twenty pulses of rounding.
    np.testing.assert_allclose(rough.read_resistance, exact.read_resistance, rtol=1e-5)
    noisy = single.draw_state(single.init_state(), key=jax.random.key(0))
    assert noisy.dtype == jnp.float32


def test_a_batch_is_its_members(reduced):
    widths = jnp.linspace(1e-3, 0.02, 64)

    def end(width):
        drive = aj.stimuli.pulse_train(jnp.array([5.0, -5.0]), width=width)
        return aj.simulate(reduced, drive, throw=False).read_resistance[-1]

    batch = jax.jit(jax.vmap(end))(widths)
    np.testing.assert_allclose(batch[::21], [end(w) for w in widths[::21]], rtol=1e-12)


def test_gradients(reduced):
    def end(v, width, speed):
        device = reduced.replace(speed=speed)
        drive = aj.stimuli.pulse_train(v * jnp.ones(5), width=width)
        return jnp.log(aj.simulate(device, drive, throw=False).read_resistance[-1])

    at = [jnp.asarray(x) for x in (5.0, 0.01, 1.0)]
    slopes = jax.grad(end, argnums=(0, 1, 2))(*at)
    for k, slope in enumerate(slopes):
        h = 1e-5 * at[k]
        up, down = (end(*[x + (s * h if j == k else 0) for j, x in enumerate(at)]) for s in (1, -1))
        # Central differences of a smooth function in double precision.
        assert float(slope) == pytest.approx(float((up - down) / (2 * h)), rel=1e-6)
    # Speed and width are one and the same, but for what happens at 0 V (nothing here).
    assert float(slopes[2]) == pytest.approx(float(slopes[1] * at[1]), rel=1e-9)
    assert np.isfinite(jax.grad(lambda v: end(v, at[1], at[2]))(0.0))


def test_spread_between_devices(reduced):
    spread = aj.devices.Spread(relative={"speed": 0.05, "resistance_scale": 0.02})
    many = aj.devices.sample_devices(reduced, spread, 500, key=jax.random.key(0))

    def read(speed, scale):
        own = reduced.replace(speed=speed, resistance_scale=scale)
        return own.read(reduced.init_state())

    read = jax.vmap(read)(many.speed, many.resistance_scale)
    assert float(jnp.std(jnp.log(read))) == pytest.approx(0.02, rel=0.1)


def test_outside_of_what_was_seen(reduced):
    low, high = reduced.bounds
    assert bool(reduced.valid(0.5 * (low + high)))
    assert not bool(reduced.valid(high + 0.5 * (high - low)))
    assert not bool(reduced.valid(high * jnp.nan))
    # The flow goes on as at the border: no runaway.
    fields = reduced.initial_fields(high)
    far = [reduced.rate(jnp.asarray(5.0), high + k * (high - low), fields, None, "write")[0]
           for k in (1.0, 100.0)]  # fmt: skip
    np.testing.assert_array_equal(*far)


def test_storage(reduced, tmp_path):
    np.savez(tmp_path / "reduced.npz", **reduced.to_arrays())
    with np.load(tmp_path / "reduced.npz") as arrays:
        again = ReducedDevice.from_arrays(dict(arrays))
    assert eqx.tree_equal(again, reduced)
    arrays = reduced.to_arrays()
    del arrays["flow.outer"]
    with pytest.raises(ValueError, match=r"a Flow, but has no `flow.outer`\."):
        ReducedDevice.from_arrays(arrays)


# Parts of the fit.


def test_modes_of_a_plane():
    """Fields on a plane of two directions are their two modes, exactly."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2, 3, 4))
    fields = 1.0 + np.tensordot(rng.normal(size=(50, 2)), directions, 1)
    mean, modes, projection = modes_of(fields, 2)
    amplitudes = np.tensordot(fields - mean, projection, ((1, 2), (1, 2)))
    np.testing.assert_allclose(mean + np.tensordot(amplitudes, modes, 1), fields, atol=1e-12)
    np.testing.assert_allclose(amplitudes.T @ amplitudes / 50, np.eye(2), atol=1e-10)


def test_the_generator_of_a_linear_flow():
    rng = np.random.default_rng(1)
    square, offset = np.array([[-1.0, 0.5], [-0.2, -2.0]]), np.array([0.3, -0.1])
    z = rng.normal(size=(20, 2))
    found = fit_generator(jnp.asarray(z), jnp.asarray(z @ square.T + offset))
    np.testing.assert_allclose(found, np.column_stack([square, offset]), atol=1e-12)
    # A mode that grows is held.
    found = fit_generator(jnp.asarray(z), jnp.asarray(z @ np.diag([0.5, -1.0])))
    assert np.linalg.eigvals(np.asarray(found)[:, :-1]).real.max() <= 1e-12


def test_no_noise_is_no_noise():
    factor = fit_factor(jnp.linspace(-1.0, 1.0, 5), jnp.zeros((5, 3, 3)))
    assert float(jnp.max(jnp.abs(factor))) < 1e-9


# Wrong arguments.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(amplitudes=(5.5, 6.0)), "must hold the writing amplitude of 5 V, but is (5.5, 6.0)."),
        (dict(widths=(0.2, 0.1)), "Argument `widths` must ascend, but is (0.2, 0.1)."),
        (dict(sequences=1), "Argument `sequences` must be at least 2, but is 1."),
        (dict(pulses=20), "must be at least 100, the longest row of the training, but is 20."),
        (dict(states=1), "Argument `states` must be at least 2, but is 1."),
        (dict(ambient_spread=-1.0), "`ambient_spread` must be finite and at least 0 K, but is -1"),
    ],
)
def test_wrong_arguments_of_distil(line, window, change, message):
    good = dict(amplitudes=AMPLITUDES, widths=WIDTHS, window=window)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        distil(line, line.init_state(), key=jax.random.key(0), **(good | change))
    assert message in str(error.value)


def test_wrong_arguments(reduced, recorded):
    with pytest.raises(ValueError, match="`pulses` must be between 1 and 200, but is 0"):
        reduced_error(reduced, recorded[1], pulses=0)
    with pytest.raises(ValueError, match="`field` must have shape"):
        reduced.encode(jnp.zeros(3), 1.0)
    with pytest.raises(ValueError, match="one array for a state, but ReducedDevice has 2"):
        distil(reduced, (jnp.zeros(3), jnp.zeros(3)), key=jax.random.key(0))
    with pytest.raises(ValueError, match="`substeps` must be at least 1"):
        RungeKutta4(0)


# The film.


@pytest.mark.slow
def test_a_film():
    film = aj.devices.FourTerminalTiO2(12)
    start = film.init_state()
    # About what twenty of the longest pulses do to the formed film.
    window = Window(film.read(start), 0.95 * film.read(start))
    options = dict(amplitude=5.0, amplitudes=(4.0, 6.0), widths=(2e-3, 0.25), sequences=6,
                   pulses=150, ambient_spread=2.0)  # fmt: skip
    seen, unseen = (
        record_pulses(film, start, window, key=jax.random.key(k), **options) for k in (0, 1)
    )
    reduced = distil(
        film, start, key=jax.random.key(2), amplitudes=(4.0, 6.0), widths=(2e-3, 0.25),
        states=8, record=seen,
    )  # fmt: skip
    error = reduced_error(reduced, unseen)
    # Few sequences and a coarse grid; the benchmark holds the full-size figures.
    assert error["rms"] <= 2e-2
    keys = jax.random.split(jax.random.key(3), 500)
    spreads = [
        float(jnp.std(jax.vmap(lambda k, d=d, s=s: jnp.log(d.read(d.draw_state(s, key=k))))(keys)))
        for d, s in ((film, start), (reduced, reduced.init_state()))
    ]
    # 3 % from 500 draws each, 4 % from the fit's own, the rest the polynomial along the window.
    assert spreads[1] == pytest.approx(spreads[0], rel=0.15)
