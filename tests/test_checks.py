"""Argument checks: one clear sentence each, and silence while a value is traced."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import _checks


def sentence(text):
    """Match the whole message."""
    return "^" + re.escape(text) + "$"


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (_checks.check_finite, np.nan, "Argument `x` must be finite, but is nan."),
        (_checks.check_finite, [1, np.inf], "Argument `x` must be finite, but is inf at index 1."),
        (_checks.check_positive, 0.0, "Argument `x` must be finite and above 0, but is 0.0."),
        (_checks.check_positive, np.inf, "Argument `x` must be finite and above 0, but is inf."),
        (_checks.check_not_negative, -1, "Argument `x` must be finite and at least 0, but is -1."),
        (
            _checks.check_not_negative,
            [[0.0, 2.0], [3.0, -4.0]],
            "Argument `x` must be finite and at least 0, but is -4.0 at index (1, 1).",
        ),
    ],
)
def test_one_sentence(check, value, message):
    with pytest.raises(ValueError, match=sentence(message)):
        check("x", value)


def test_units_are_named():
    message = "Argument `width` must be finite and above 0 s, but is -0.1."
    with pytest.raises(ValueError, match=sentence(message)):
        _checks.check_positive("width", -0.1, "s")
    message = "Argument `arm` must be between 0.01 and 0.49 L, but is 0.5."
    with pytest.raises(ValueError, match=sentence(message)):
        _checks.check_between("arm", 0.5, 0.01, 0.49, "L")


def test_not_a_number_is_outside_every_interval():
    with pytest.raises(ValueError, match="must be between 0 and 1, but is nan"):
        _checks.check_between("x", np.nan, 0.0, 1.0)


@pytest.mark.parametrize("value", [0.0, 1.0, [0.0, 1.0]])
def test_bounds_belong_to_the_interval(value):
    assert _checks.check_between("x", value, 0.0, 1.0) is value


def test_shape():
    array = jnp.zeros((3, 4))
    assert _checks.check_shape("state", array, (3, None)) is array
    message = "Argument `state` must have shape (4, any), but has shape (3, 4)."
    with pytest.raises(ValueError, match=sentence(message)):
        _checks.check_shape("state", array, (4, None))


def test_choice_names_the_nearest():
    message = "Argument `x` must be one of 'muscl', 'sg', but is 'musl' (did you mean 'muscl'?)."
    with pytest.raises(ValueError, match=sentence(message)):
        _checks.check_choice("x", "musl", ("muscl", "sg"))
    with pytest.raises(ValueError, match=r"but is 'zzz'\.$"):
        _checks.check_choice("x", "zzz", ("muscl", "sg"))


def test_traced_values_pass_unchecked():
    checked = jax.jit(lambda x: _checks.check_positive("x", x))(-1.0)
    assert checked == -1.0


def test_single_precision_is_refused_by_name_of_the_setting():
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        _checks.check_float64("`fit`")
    _checks.check_float64("`fit`")
