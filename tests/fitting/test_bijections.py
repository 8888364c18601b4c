import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analogjax as aj
from analogjax.fitting.bijections import bijection, free_parameters

BOUNDS = [
    (0.0, np.inf),
    (-np.inf, 0.0),
    (0.0, 1.0),
    (-1e12, 0.0),
    (-1e3, -1e-9),
    (200.0, 500.0),
    (-10.0, 10.0),
    (-np.inf, np.inf),
    (2.0, np.inf),
    (-np.inf, -2.0),
]


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_any_number_gives_an_allowed_value_and_comes_back(low, high):
    one = bijection(low, high, 3.0)
    forward = jax.jit(lambda z: jax.vmap(lambda z: one.forward(z))(z))
    inverse = jax.jit(lambda p: jax.vmap(lambda p: one.inverse(p))(p))

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.floats(-20, 20), min_size=5, max_size=5))
    def check(zs):
        z = jnp.asarray(zs)
        p = np.asarray(forward(z))
        # Closed: at z = 20 a bound is within rounding of the value.
        assert (p >= low).all()
        assert (p <= high).all()
        # Near the far bound 1 - share loses digits: share is known to 2e-16, z to 2e-16 e^z; and
        # next to an anchor that is not zero, to the rounding of the anchor.
        loss = 1e-15 * np.exp(np.abs(z)) * (1 + abs(float(one.anchor / one.span)))
        np.testing.assert_allclose(inverse(jnp.asarray(p)), z, rtol=1e-12, atol=1e-12 + loss.max())

    check()


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_values_move_one_way_and_smoothly(low, high):
    one = bijection(low, high, 3.0)
    z = jnp.linspace(-5, 5, 41)
    forward = jax.vmap(lambda z: one.forward(z))
    p = forward(z)
    steps = np.diff(p)
    assert (steps > 0).all() or (steps < 0).all()
    slope = jax.vmap(jax.grad(lambda z: one.forward(z)))(z)
    h = 1e-5
    difference = (forward(z + h) - forward(z - h)) / (2 * h)
    # Central differences: error h^2 of the third derivative, and rounding of the anchor over h.
    scale = np.abs(p).max()
    np.testing.assert_allclose(slope, difference, rtol=1e-8, atol=1e-9 * scale)


def test_a_small_parameter_moves_by_its_logarithm():
    one = bijection(-1e12, 0.0, -10.0)
    z = one.inverse(jnp.asarray(-10.0))
    np.testing.assert_allclose(one.forward(z + 0.5), -10 * np.exp(0.5), rtol=1e-10)


@pytest.mark.parametrize(
    "device",
    [aj.devices.VTEAM(), aj.devices.Yakopcic(), aj.devices.JartVCM()],
    ids=lambda device: type(device).__name__,
)
def test_the_parameters_of_a_device_are_where_it_starts(device):
    names = [
        name
        for name, p in device.PARAMETERS.items()
        if p.low < float(getattr(device, name)) < p.high
    ]
    parameters, z = free_parameters(device, names)
    values = [float(getattr(device, name)) for name in names]
    # The value over its far bound is rounded, and its distance from the near one.
    np.testing.assert_allclose(parameters.forward(z), values, rtol=1e-9)
    np.testing.assert_allclose(
        parameters.slopes(z), np.diag(jax.jacfwd(lambda z: parameters.forward(z))(z))
    )


@pytest.mark.parametrize(
    ("free", "bounds", "says"),
    [
        ((), None, "`free` must be a tuple"),
        ("mobility", None, "`free` must be a tuple"),
        (("mobilty",), None, "did you mean `mobility`"),
        (("x_0", "x_0"), None, "`x_0` twice"),
        (("x_0",), {"x_0": (0.2, 0.5)}, "start strictly between 0.2 and 0.5"),
        (("x_0",), {"x_0": (0.0, 2.0)}, "must keep `x_0` between 0 and 1"),
        (("x_0",), {"mobility": (0.0, 2.0)}, "names `mobility`"),
    ],
)
def test_wrong_names_and_bounds_get_one_sentence(free, bounds, says):
    with pytest.raises(ValueError, match=says):
        free_parameters(aj.devices.LinearIonDrift(), free, bounds)


@pytest.mark.parametrize("value", [0.35, -12.0, 600.0])
def test_bounds_of_different_signs_move_a_value_by_its_own_size(value):
    # A parameter "between -1000 and 1000" would otherwise move by 250 a step.
    one = bijection(-1e3, 1e3, value)
    z = one.inverse(jnp.asarray(value))
    slope = float(jax.grad(lambda z: one.forward(z))(z))
    # At 600 the logistic curve itself is shorter than the value.
    assert np.isclose(slope, min(abs(value), 320.0), rtol=1e-6)
    assert np.isclose(float(one.forward(z)), value, rtol=1e-9)
