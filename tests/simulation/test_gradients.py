"""Gradients of a whole simulation: V8 (published sensitivities), V9 (finite differences)."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj

CELLS, PULSES = 24, 5
LEAVES = (
    "activation_energy", "sigma_1", "sigma_background", "c_hi", "front_position", "electrode_arm"
)  # fmt: skip
NAMES = (*LEAVES, "v", "width")
DEVICE = aj.devices.FourTerminalTiO2(cells=CELLS)


def values(**changed):
    """The point in parameter space: default device, 5 pulses of 5 V and 0.25 s."""
    point = {name: DEVICE.parameters()[name] for name in LEAVES}
    point |= dict(v=5.0, width=0.25, state=np.zeros((CELLS, CELLS))) | changed
    # With a dtype, so that a Python number is no weak type: that would be another compilation.
    return {name: jnp.asarray(value, jnp.float64) for name, value in point.items()}


def log_resistance(point, adjoint=None):
    """ln R24 after the pulses; `state` is what the initial state has more than the formed one."""
    device = DEVICE.replace(**{name: point[name] for name in LEAVES})
    drive = aj.stimuli.pulse_train(point["v"] * jnp.ones(PULSES), width=point["width"])
    result = aj.simulate(
        device,
        drive,
        device.init_state() + point["state"],
        solver=aj.simulation.Heun(3),
        adjoint=adjoint,
        save=aj.simulation.Save(states=False),
        throw=False,
    )
    return jnp.log(result.read_resistance[-1])


forward = jax.jit(log_resistance)
value_and_gradient = jax.jit(jax.value_and_grad(log_resistance))


@jax.jit
def directional(point, direction):
    return jax.jvp(
        lambda p: log_resistance(p, aj.simulation.ForwardMode()), (point,), (direction,)
    )[1]


def unit(name):
    zero = jax.tree.map(jnp.zeros_like, values())
    return zero | {name: jnp.ones((), jnp.float64)}


def along(name, step, **changed):
    point = values(**changed)
    return float(forward(point | {name: point[name] + step}))


def central(name, step, **changed):
    """Sixth-order central difference (Richardson's extrapolation, twice) and its own error."""
    d = [
        (along(name, h, **changed) - along(name, -h, **changed)) / (2 * h)
        for h in (step, step / 2, step / 4)
    ]
    once = [(4 * d[1] - d[0]) / 3, (4 * d[2] - d[1]) / 3]
    twice = (16 * once[1] - once[0]) / 15
    return twice, abs(twice - once[1])


@pytest.fixture(scope="module")
def gradient():
    return value_and_gradient(values())[1]


# V8.


def test_resistance_after_five_pulses_is_the_reference():
    # Another implementation, direct elliptic solver; 13 digits were printed.
    assert float(forward(values())) == pytest.approx(12.821762665712, abs=1e-10)


@pytest.mark.parametrize(
    ("name", "expected", "digit"),
    [
        ("activation_energy", 0.36447, 1e-5),
        ("sigma_1", -0.0050104, 1e-7),
        ("sigma_background", -0.0197391, 1e-7),
        ("c_hi", -0.0569613, 1e-7),
        ("front_position", -1.962044, 1e-6),
        ("width", -0.0376893, 1e-7),
        ("v", -0.00186060, 1e-8),
    ],
)
def test_sensitivity_is_the_reference_to_every_printed_digit(gradient, name, expected, digit):
    # Half a unit of the last printed digit, and the tenth of one that a difference may be off.
    assert float(gradient[name]) == pytest.approx(expected, abs=0.6 * digit)


# V9.

STEPS = {
    # ln R is good to about 1e-14, a difference over h to 1e-14 / h, and after extrapolation the
    # next term is far below. What bounds a step from above is the limiter: its slope is continuous
    # but has a kink where a difference between neighbours changes sign, and a difference across a
    # kink is off by a share of the jump. (Thirty times longer steps are off by 1e-6.)
    "activation_energy": 6e-5,
    "sigma_1": 3e-2,
    "sigma_background": 3e-2,
    "c_hi": 1.5e-3,
    "front_position": 6e-5,
    "electrode_arm": 4e-5,
    "v": 3e-3,
    "width": 1.5e-4,
}


@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_central_differences(name):
    arm = {"electrode_arm": 0.26} if name == "electrode_arm" else {}
    found = float(value_and_gradient(values(**arm))[1][name])
    expected, uncertainty = central(name, STEPS[name], **arm)
    # The difference itself must be good enough to judge by.
    assert uncertainty < 1e-8 * abs(expected)
    assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_forward_mode_equals_reverse_mode(gradient, name):
    found = float(directional(values(), unit(name)))
    assert found == pytest.approx(float(gradient[name]), rel=1e-9)


def test_gradient_by_the_initial_state_equals_a_central_difference(gradient):
    # A smooth direction without symmetry, relative to the density: no cell leaves its bounds.
    x = (np.arange(CELLS) + 0.5) / CELLS
    wave = 0.3 * np.cos(np.pi * x)[:, None] * np.cos(2 * np.pi * x) + 0.2 * np.cos(2 * np.pi * x)
    direction = jnp.asarray(wave) * DEVICE.init_state()
    zero = jax.tree.map(jnp.zeros_like, values())
    tangent = float(directional(values(), zero | {"state": direction}))
    assert tangent == pytest.approx(float(jnp.vdot(gradient["state"], direction)), rel=1e-9)

    def at(step):
        return float(forward(values(state=step * direction)))

    # Round-off 1e-14 / h of a slope of 0.01; few kinks of the limiter lie this near (see STEPS).
    h = 1e-5
    assert (at(h) - at(-h)) / (2 * h) == pytest.approx(tangent, rel=1e-6)


# Where an electrode ends exactly on a face: a kink.


def test_at_a_kink_of_the_arm_the_gradient_is_the_mean_of_both_sides(gradient):
    def one_sided(sign):
        # Richardson's extrapolation of one-sided differences, orders 1, 2 and 3.
        base = along("electrode_arm", 0.0)
        d = [
            (along("electrode_arm", sign * h) - base) / (sign * h) for h in (4e-4, 2e-4, 1e-4, 5e-5)
        ]
        for order in (1, 2, 3):
            d = [(2**order * b - a) / (2**order - 1) for a, b in itertools.pairwise(d)]
        return d[0]

    left, right = one_sided(-1), one_sided(+1)
    # The sides do differ.
    assert abs(left / right - 1) > 0.1
    # Three extrapolations of 1e-13 / 5e-5 leave about 1e-7 of a slope of 1.
    assert float(gradient["electrode_arm"]) == pytest.approx((left + right) / 2, rel=1e-6)


# Other adjoints, batches.


@pytest.mark.slow
def test_fewer_checkpoints_give_the_same_gradient(gradient):
    one = aj.simulation.ReverseMode(checkpoints=1)
    found = jax.jit(jax.grad(lambda p: log_resistance(p, one)))(values())
    for name in NAMES:
        np.testing.assert_allclose(found[name], gradient[name], rtol=1e-10)


@pytest.mark.slow
def test_gradient_of_a_batch_equals_one_by_one(gradient):
    points = [values(), values(c_hi=2.5, v=-7.0), values(activation_energy=0.45, width=0.1)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)
    together = jax.jit(jax.vmap(jax.grad(log_resistance)))(batch)
    for k, point in enumerate(points):
        alone = value_and_gradient(point)[1]
        for name in NAMES:
            # All lanes iterate until the slowest has converged: round-off only.
            np.testing.assert_allclose(together[name][k], alone[name], rtol=1e-9)


# Through adaptive steps and self-heating.

HOT = aj.devices.FourTerminalTiO2(cells=12, preset="nonvolatile")


@eqx.filter_jit
def hot_log_resistance(barrier, adjoint=None):
    result = aj.simulate(
        HOT.replace(activation_energy=barrier),
        aj.stimuli.pulse_train([5.0, 5.0], width=0.25),
        solver=aj.simulation.Adaptive(1e-6, 1e-6),
        adjoint=adjoint,
        save=aj.simulation.Save(states=False),
        throw=False,
    )
    return jnp.log(result.read_resistance[-1])


@pytest.mark.slow
def test_gradient_of_the_hot_preset_equals_a_central_difference():
    reverse = float(jax.grad(hot_log_resistance)(1.1))
    forward_mode = float(
        jax.jvp(lambda e: hot_log_resistance(e, aj.simulation.ForwardMode()), (1.1,), (1.0,))[1]
    )
    assert forward_mode == pytest.approx(reverse, rel=1e-8)
    h = 1e-3
    numeric = float(hot_log_resistance(1.1 + h) - hot_log_resistance(1.1 - h)) / (2 * h)
    # The size of adaptive steps is not differentiated: the gradient is that of the solution up to
    # the local error (1e-6 a step), and the difference carries that error over h.
    assert reverse == pytest.approx(numeric, rel=1e-2)
