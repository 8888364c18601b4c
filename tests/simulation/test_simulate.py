"""`simulate`: what it returns, what it conserves, how it fails, what it refuses."""

from __future__ import annotations

import inspect
import re

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax.physics import conduction, elliptic, grid, transport
from analogjax.simulation import Heun, Save, Status, condition, simulate
from analogjax.simulation.simulate import _simulate
from analogjax.stimuli import ReadPulse, pulse_train, triangle_sweep

# One grid, one number of pulses and one solver wherever possible: they share one compilation.
N = 12
HEUN = Heun(3)
DEVICE = aj.devices.FourTerminalTiO2(cells=N)
AMPLITUDES = [5.0, 5.0, -3.0, -5.0]


def run(amplitudes=AMPLITUDES, state=None, *, width=0.25, device=DEVICE, throw=True, **drive):
    return simulate(
        device, pulse_train(amplitudes, width=width, **drive), state, solver=HEUN, throw=throw
    )


@pytest.fixture(scope="module")
def result():
    return run()


# What it returns.


@pytest.mark.smoke
def test_every_time_axis_has_one_entry_more_than_pulses(result):
    assert result.t.shape == result.v.shape == result.i.shape == (5,)
    assert result.read_resistance.shape == (5,)
    assert result.state.shape == (5, N, N)
    np.testing.assert_allclose(result.t, [0.0, 0.25, 0.5, 0.75, 1.0], rtol=1e-14)
    np.testing.assert_array_equal(result.v, [0.0, *AMPLITUDES])
    assert bool(result.ok)
    assert Status(int(result.status)) is Status.SUCCESS
    assert int(result.stats["failed_pulse"]) == -1
    assert int(result.stats["steps"]) == 12


def test_first_entry_is_the_start(result):
    np.testing.assert_array_equal(result.state[0], DEVICE.init_state())
    assert result.i[0] == 0.0
    np.testing.assert_allclose(result.read_resistance[0], DEVICE.read(result.state[0]), rtol=1e-12)


def test_each_entry_is_what_the_device_says_of_its_state(result):
    np.testing.assert_array_equal(result.final_state, result.state[-1])
    for v, i, r, state in zip(
        result.v, result.i, result.read_resistance, result.state, strict=True
    ):
        np.testing.assert_allclose(i, DEVICE.current(v, state), rtol=1e-11, atol=1e-18)
        np.testing.assert_allclose(r, DEVICE.read(state), rtol=1e-11)


@pytest.mark.smoke
def test_positive_pulses_lower_the_resistance_and_negative_ones_raise_it(result):
    r = np.asarray(result.read_resistance)
    assert r[2] < r[1] < r[0]
    assert r[4] > r[3] > r[2]
    # The current has the sign of the voltage.
    assert (np.sign(result.i[1:]) == np.sign(result.v[1:])).all()


@pytest.mark.smoke
def test_vacancies_are_conserved(result):
    mass = np.asarray(result.state.sum((1, 2)))
    np.testing.assert_allclose(mass, mass[0], rtol=1e-13)


def test_numbers_of_the_small_film_stay_what_they_were(result):
    # Pinned from this program at N = 12: a change here is a change of every result. (The physics
    # of the same protocol at N = 48 is checked against another solver, marked slow.)
    np.testing.assert_allclose(
        result.read_resistance,
        [396734.039292, 396173.774976, 395613.691263, 395873.690459, 396320.661948],
        rtol=1e-11,
    )
    np.testing.assert_allclose(
        1e5 * result.i,
        [0.0, 1.49028406307, 1.49128705884, -0.894430512655, -1.48976722809],
        rtol=1e-11,
    )


def test_states_can_be_left_out(result):
    lean = simulate(
        DEVICE, pulse_train(AMPLITUDES, width=0.25), solver=HEUN, save=Save(states=False)
    )
    assert lean.state is None
    np.testing.assert_allclose(lean.final_state, result.final_state, rtol=1e-13)


def test_text_is_one_line(result):
    text = str(result)
    assert text.startswith("SimulationResult: 4 pulses in 1 s, 12 steps (0 rejected), R ")
    assert text.endswith("ohm, success")
    assert "\n" not in text


def test_a_simulation_can_be_continued(result):
    second = run([*AMPLITUDES[2:], 1.0, 1.0], result.state[2])
    np.testing.assert_allclose(second.state[2], result.state[4], rtol=1e-12)


# V7: symmetries over several pulses.


def test_a_symmetric_film_stays_symmetric(result):
    np.testing.assert_allclose(result.final_state, result.final_state.T, atol=1e-13)


def test_mirrored_state_under_opposite_drive_ends_mirrored(result):
    mirrored = run([-v for v in AMPLITUDES], DEVICE.init_state()[::-1, ::-1])
    np.testing.assert_allclose(
        mirrored.final_state[::-1, ::-1], result.final_state, atol=1e-13 * 10
    )
    np.testing.assert_allclose(mirrored.i, -result.i, rtol=1e-12)
    np.testing.assert_allclose(mirrored.read_resistance, result.read_resistance, rtol=1e-12)


# Compilation.


def test_trains_of_equal_pulse_count_share_one_compilation():
    run()
    before = _simulate._cached._cache_size()
    run([1.0, -1.0, 2.0, 0.3], width=0.1)
    run(width=np.array([0.1, 0.2, 0.3, 0.4]), device=DEVICE.replace(c_hi=2.0, sigma_1=30.0))
    run(state=DEVICE.init_state() * 0.9)
    assert _simulate._cached._cache_size() == before


@jax.jit
@jax.vmap
def batch(v, barrier):
    return run(v, device=DEVICE.replace(activation_energy=barrier), throw=False)


def test_batch_equals_one_by_one():
    amplitudes = jnp.asarray([AMPLITUDES, [0.3, 7.0, -0.3, -7.0], [0.0, 0.0, 1e-3, 0.0]])
    barriers = jnp.asarray([0.5, 0.48, 0.6])
    together = batch(amplitudes, barriers)
    assert together.ok.all()
    for k in range(3):
        alone = run(amplitudes[k], device=DEVICE.replace(activation_energy=barriers[k]))
        # Lanes that have converged wait for the slowest: nothing but round-off differs.
        np.testing.assert_allclose(together.final_state[k], alone.final_state, atol=1e-12 * 10)
        np.testing.assert_allclose(together.read_resistance[k], alone.read_resistance, rtol=1e-11)


def test_jit_equals_op_by_op():
    # Every operation compiled on its own, for one grid and all that a right-hand side is made of
    # (except the iteration, which is one operation either way).
    cells = 8

    def pieces(c):
        coverage = grid.corner_electrodes(cells, jnp.asarray(0.3))
        network = conduction.ConductanceNetwork(40.0 + 42.0 * c, coverage)
        potential = elliptic.CosinePreconditioner(coverage)(network.contact[0], network.weight)
        velocity = -jnp.diff(potential, axis=0)
        ones = jnp.ones_like(velocity)
        fluxes = [flux(c, velocity, ones, 0.1, 10.0) for flux in transport.SCHEMES.values()]
        return network.apply(potential), *fluxes

    c = jnp.asarray(np.random.default_rng(0).uniform(0, 9, size=(cells, cells)))
    for eager, compiled in zip(pieces(c), jax.jit(pieces)(c), strict=True):
        np.testing.assert_allclose(eager, compiled, atol=1e-12 * abs(compiled).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jit_equals_eager_large_batch(dtype):
    # https://github.com/jax-ml/jax/issues/39103: from 16,385 rows (float64) or 32,769 (float32)
    # jax 0.10.2 gave wrong sums here. If this fails, it is the installed jax, not this package.
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(8, 8)).astype(dtype)
    rows = rng.normal(size=(40_000, 8)).astype(dtype)
    found = jax.jit(jax.vmap(lambda r: jnp.sum((jnp.asarray(matrix) @ r) ** 2)))(rows)
    expected = ((rows.astype("float64") @ matrix.astype("float64").T) ** 2).sum(1)
    eps = np.finfo(dtype).eps
    # 16 roundings of a sum of positive numbers, products of 8 terms with signs.
    np.testing.assert_allclose(found, expected, rtol=200 * eps, atol=200 * eps)


# Gaps and reads that take time: one program with both, values traced.


def timed(delay, duration, gap, device=DEVICE):
    return run([5.0, 5.0], device=device, gap=gap, read=ReadPulse(delay, duration))


def test_a_gap_is_a_rest():
    result = run(gap=100.0)
    plain = run([5.0] * 4)
    np.testing.assert_allclose(result.state[1], DEVICE.rest(plain.state[1], 100.0), atol=1e-12 * 3)
    # The current belongs to the end of the plateau, the resistance to the end of the gap.
    np.testing.assert_allclose(result.i[1], plain.i[1], rtol=1e-12)
    np.testing.assert_allclose(result.read_resistance[1], DEVICE.read(result.state[1]), rtol=1e-11)


def test_a_read_that_takes_time_disturbs_what_it_reads():
    rested = timed(5.0, 1e-9, 1e-9)
    read = timed(1e-9, 5.0, 1e-9)
    # Both spend 5 s at 0 V or at 0.1 V; the film itself relaxes by some per mille.
    np.testing.assert_allclose(read.read_resistance, rested.read_resistance, rtol=5e-3)
    disturbed = abs(read.read_resistance / rested.read_resistance - 1)[1:]
    # The read's own share: 0.07 % for 10 s at N = 48, in the potentiated state.
    assert (disturbed > 1e-5).all()
    assert (disturbed < 1e-3).all()
    assert abs(read.final_state - rested.final_state).max() > 1e-5


def test_a_vanishing_read_is_the_ideal_one():
    read = timed(1e-9, 1e-9, 1e-9)
    ideal = run([5.0] * 4)
    # 3 ns of a film that moves by percents a second.
    np.testing.assert_allclose(read.read_resistance[1:], ideal.read_resistance[1:3], rtol=1e-8)
    np.testing.assert_allclose(read.t, [0.0, 0.25, 0.5], rtol=1e-7)


def test_a_film_that_is_still_warm_reads_low():
    # Heat that decays in 1e-4 s: read at once, after one time constant, and long after.
    warm_film = aj.devices.FourTerminalTiO2(cells=N, self_heating=True)
    warm, later, cold = (
        timed(delay, 1e-9, 1e-9, warm_film).read_resistance[1] for delay in (1e-9, 1e-4, 2e-3)
    )
    assert warm < later < cold
    # First order in the rise (0.5 %), so the deficit decays as the heat does.
    np.testing.assert_allclose((cold - later) / (cold - warm), np.exp(-1), rtol=0.02)


def test_a_triangle_sweep_traces_a_loop():
    result = simulate(DEVICE, triangle_sweep(5.0, 2.0, points=1), solver=HEUN)
    np.testing.assert_allclose(result.v, [0.0, 5.0, 0.0, -5.0, 0.0], atol=1e-14)
    np.testing.assert_allclose(result.t, [0.0, 2.5, 5.0, 7.5, 10.0], rtol=1e-14)
    # Pinched: no voltage, no current.
    np.testing.assert_allclose(result.i[jnp.array([2, 4])], 0.0, atol=1e-12 * result.i[1])
    r = result.read_resistance
    assert r[2] < r[0]
    assert r[4] > r[2]


# Failure.


def assert_keeps_last_good_state(result, good):
    assert not bool(result.ok)
    for k in range(good + 1, result.state.shape[0]):
        np.testing.assert_array_equal(result.state[k], result.state[good])
    np.testing.assert_array_equal(result.final_state, result.state[good])
    for leaf in jax.tree.leaves(result):
        assert np.isfinite(leaf).all()


UNSTABLE = [1.0, 1.0, 500.0, 1.0]


def test_failed_pulse_keeps_the_last_good_state():
    result = run(UNSTABLE, throw=False)
    assert_keeps_last_good_state(result, good=2)
    assert Status(int(result.status)) is Status.UNSTABLE
    assert int(result.stats["failed_pulse"]) == 2


def test_failed_pulse_raises_one_sentence():
    message = (
        "Pulse 3 of 4 (500 V for 0.25 s) could not be solved: its time steps were longer than the "
        "fastest motion allows; try more `substeps`, or `substeps=None`, which counts them itself."
    )
    with pytest.raises(RuntimeError, match="^" + re.escape(message) + "$"):
        run(UNSTABLE)


def test_one_failed_lane_leaves_the_others_alone():
    v = jnp.asarray([AMPLITUDES, UNSTABLE, AMPLITUDES])
    together = batch(v, jnp.asarray([0.5, 0.5, 0.5]))
    np.testing.assert_array_equal(together.ok, [True, False, True])
    np.testing.assert_allclose(together.final_state[0], run().final_state, atol=1e-12 * 10)
    assert np.isfinite(together.read_resistance).all()


def test_a_state_out_of_range_is_reported():
    broken = DEVICE.init_state().at[3, 3].set(20.0)
    result = run(state=broken, throw=False)
    assert not bool(result.ok)
    assert Status(int(result.status)) is Status.OUT_OF_RANGE
    np.testing.assert_array_equal(result.final_state, broken)
    with pytest.raises(RuntimeError, match="left its physical range"):
        run(state=broken)


def test_too_few_steps_are_reported():
    drive = pulse_train([1.0, 7.0], width=jnp.array([1e-3, 10.0]))
    result = simulate(DEVICE, drive, solver=Heun(max_steps=4), throw=False)
    assert Status(int(result.status)) is Status.MAX_STEPS
    assert int(result.stats["failed_pulse"]) == 1
    assert_keeps_last_good_state(result, good=1)
    with pytest.raises(RuntimeError, match=r"^Pulse 2 of 2 \(7 V for 10 s\) .* larger `max_steps`"):
        simulate(DEVICE, drive, solver=Heun(max_steps=4))


# Conditioning.


def test_conditioning_is_one_cycle_from_the_formed_state():
    conditioned = condition(DEVICE, v=4.0, pulses=2, width=0.2, solver=HEUN)
    expected = run([4.0, 4.0, -4.0, -4.0], width=0.2).final_state
    np.testing.assert_allclose(conditioned, expected, rtol=1e-12)


# Arguments.


def as_user(function):
    """Return a function without the run-time type checks that only this test suite switches on."""
    return inspect.unwrap(function)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda d, p: as_user(simulate)("device", p),
            "Argument `device` must be a device of `analogjax.devices`, but is str.",
        ),
        (
            lambda d, p: as_user(simulate)(d, [5.0]),
            "Argument `drive` must come from `analogjax.stimuli` (such as `pulse_train`), but is "
            "list.",
        ),
        (
            lambda d, p: as_user(simulate)(d, p, jnp.zeros((5, 5))),
            "Argument `state` must have shape (12, 12), but has shape (5, 5).",
        ),
        (
            lambda d, p: as_user(simulate)(d, p, solver="huen"),
            "Argument `solver` must be one of 'heun', 'multirate', 'adaptive', 'rk4', "
            "'rosenbrock', 'sde', "
            "'step', but is 'huen' (did you mean 'heun'?).",
        ),
        (
            lambda d, p: as_user(simulate)(d, p, solver=diffrax.Tsit5()),
            "Argument `solver` must be None, a name or a solver of `analogjax.simulation` "
            "('heun', 'multirate', 'adaptive', 'rk4', 'rosenbrock', 'sde', 'step'), but is Tsit5.",
        ),
        (
            lambda d, p: as_user(simulate)(d, p, adjoint=diffrax.BacksolveAdjoint()),
            "Argument `adjoint` must be None, `simulation.ReverseMode()` or "
            "`simulation.ForwardMode()`, but is BacksolveAdjoint (integrating dissipative dynamics "
            "backwards in time gives wrong gradients).",
        ),
        (
            lambda d, p: as_user(condition)(d, pulses=0),
            "Argument `pulses` must be at least 1, but is 0.",
        ),
        (
            lambda d, p: as_user(condition)(d, width=-1.0),
            "Argument `width` must be finite and above 0 s, but is -1.0.",
        ),
        (
            lambda d, p: as_user(condition)(d, v=float("nan")),
            "Argument `amplitudes` must be finite, but is nan at index 0.",
        ),
    ],
)
def test_bad_argument_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        call(DEVICE, pulse_train(AMPLITUDES, width=0.25))


def test_adjoints_of_diffrax_are_understood():
    resolve = aj.simulation.adjoints.resolve_adjoint
    assert isinstance(resolve(diffrax.ForwardMode()), aj.simulation.ForwardMode)
    assert resolve(diffrax.RecursiveCheckpointAdjoint(checkpoints=3)).checkpoints == 3
    assert resolve(None) == aj.simulation.ReverseMode()


def test_a_device_is_not_changed_by_a_simulation():
    before = jax.tree.leaves(DEVICE)
    run()
    assert eqx.tree_equal(before, jax.tree.leaves(DEVICE))
