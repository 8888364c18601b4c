"""Behavioural models fitted to pulse traces of another device: its response without its physics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx

from .._checks import check_choice
from ..devices import VTEAM, AbstractCompactDevice, ExpStep, LinearStep, SoftBounds, Yakopcic
from .identical_pulses import AXES, IdenticalPulses


def _window(pulses, p) -> dict[str, Any]:
    # The window of the model holds that of the writes.
    span = pulses.g_max - pulses.g_min
    low = pulses.g_min * jax.nn.sigmoid(p[0])
    return {"g_min": low, "g_max": pulses.g_max + span * jnp.exp(p[1])}


def _steps(pulses, p) -> dict[str, Any]:
    fixed = {"c2c": 0.0, "w_min": -1.0, "w_max": 1.0, "w_0": -1.0}
    return fixed | _window(pulses, p) | {"dw_min": jnp.exp(p[2]), "up_down": jnp.tanh(p[3])}


def _linear(pulses, p, volts) -> LinearStep:
    return LinearStep(gamma_up=jnp.exp(p[4]), gamma_down=jnp.exp(p[5]), **_steps(pulses, p))


def _soft(pulses, p, volts) -> SoftBounds:
    return SoftBounds(**_steps(pulses, p))


def _exponential(pulses, p, volts) -> ExpStep:
    shape: dict[str, Any] = {"a": 1.0, "b": 0.0, "a_up": p[4], "a_down": p[6]}
    gammas = {"gamma_up": jnp.exp(p[5]), "gamma_down": jnp.exp(p[7])}
    return ExpStep(**shape, **gammas, **_steps(pulses, p))


def _vteam(pulses, p, volts) -> VTEAM:
    window = _window(pulses, p)
    options: dict[str, Any] = {"read_voltage": 0.2}
    if volts:
        options |= {
            "v_on": 0.95 * pulses.v_set * jax.nn.sigmoid(p[5]),
            "v_off": 0.95 * pulses.v_reset * jax.nn.sigmoid(p[6]),
            "alpha_on": jnp.exp(p[7]), "alpha_off": jnp.exp(p[8]),
        }  # fmt: skip
    device = VTEAM(
        window="joglekar", iv="exponential", r_on=1 / window["g_max"], r_off=1 / window["g_min"],
        window_exponent=jnp.exp(p[2]), **options,
    )  # fmt: skip
    # Speeds at the nominal voltages, so that they do not depend on the thresholds.
    on, _ = device.overdrive(jnp.asarray(pulses.v_set), jnp.zeros(()))
    _, off = device.overdrive(jnp.asarray(pulses.v_reset), jnp.zeros(()))
    length = device.w_off - device.w_on
    return device.replace(
        k_on=-length * jnp.exp(p[3]) / on**device.alpha_on,
        k_off=length * jnp.exp(p[4]) / off**device.alpha_off,
    )


def _yakopcic(pulses, p, volts) -> Yakopcic:
    top = _window(pulses, (0.0, p[0]))["g_max"]
    options: dict[str, Any] = {}
    if volts:
        options = {
            "v_n": -0.95 * pulses.v_set * jax.nn.sigmoid(p[7]),
            "v_p": 0.95 * pulses.v_reset * jax.nn.sigmoid(p[8]),
        }
    # Nearly linear (b of the published set): i = a b x v.
    device = Yakopcic(
        eta=-1, a_1=top / 0.05, a_2=top / 0.05, b=0.05, read_voltage=0.2,
        alpha_p=jnp.exp(p[1]), alpha_n=jnp.exp(p[2]),
        x_p=jax.nn.sigmoid(p[3]), x_n=jax.nn.sigmoid(p[4]), **options,
    )  # fmt: skip
    up = jnp.exp(-pulses.v_set) - jnp.exp(device.v_n)
    down = jnp.exp(pulses.v_reset) - jnp.exp(device.v_p)
    return device.replace(a_n=jnp.exp(p[5]) / up, a_p=jnp.exp(p[6]) / down)


class Behavioural(NamedTuple):
    """A behavioural model: how a vector of numbers becomes a device."""

    label: str
    build: Callable[..., Any]
    start: tuple[float, ...]
    speeds: tuple[int, ...]
    """Where in the vector the logarithms of speeds are, to begin with in units of 1 / (time or
    number of pulses of the whole trace): of SET, and of RESET if it has its own."""
    volts: bool | None = None
    """None: knows no voltage; False: its thresholds are as published; True: fitted, too."""


_YAKOPCIC = (-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
_VTEAM = (2.0, -2.0, 0.0, 0.5, 0.5)

BEHAVIOURAL: dict[str, Behavioural] = {
    "linear_step": Behavioural("linear steps", _linear, (0.0, -1.0, 0.5, 0.0, -2.0, -2.0), (2,)),
    "soft_bounds": Behavioural("soft bounds", _soft, (0.0, -1.0, 1.0, 0.0), (2,)),
    "exp_step": Behavioural(
        "exponential steps", _exponential, (0.0, -1.0, 0.5, 0.0, -1.0, 1.0, -1.0, 1.0), (2,)
    ),
    "yakopcic": Behavioural("Yakopcic", _yakopcic, _YAKOPCIC, (5, 6), False),
    "yakopcic_3v": Behavioural(
        "Yakopcic, 3 voltages", _yakopcic, (*_YAKOPCIC, 2.0, 2.0), (5, 6), True
    ),
    "vteam": Behavioural("VTEAM", _vteam, _VTEAM, (3, 4), False),
    "vteam_3v": Behavioural(
        "VTEAM, 3 voltages", _vteam, (*_VTEAM, 0.0, 0.0, 2.0, 2.0), (3, 4), True
    ),
}
"""Steps that know the number of pulses alone, and models that know a voltage, fitted at one or at
three (their thresholds then with the rest)."""


def fit_to_pulses(
    name: str,
    pulses: IdenticalPulses,
    filament: AbstractCompactDevice,
    *,
    offset: float = 0.03,
    steps: int = 400,
    points: int = 401,
) -> dict[str, np.ndarray]:
    """Fit a behavioural model to pulse traces of another device by least squares.

    Residuals are fractions of the window at 201 numbers of pulses, equally spaced from one end of
    it to the other, of SET and RESET together; for models that know voltages also at the nominal
    voltages less and more `offset`.

    Args:
        name: One of `BEHAVIOURAL`.
        pulses: The pulses and the window.
        filament: What it is fitted to.
        offset: Distance of the three voltages [V].
        steps: Most steps of Levenberg and Marquardt.
        points: Points of a model's trace while it is fitted.

    Returns:
        ``p``, the vector for `behavioural_device`; ``rms_AXIS_MILLIVOLT``, root mean square errors
        over each trace, as fractions of the window.

    Raises:
        ValueError: An unknown model.
    """
    model = BEHAVIOURAL[check_choice("name", name, BEHAVIOURAL)]
    offsets = (-offset, 0.0, offset) if model.volts else (0.0,)
    rows = []
    for axis in AXES:
        for o in offsets:
            n, g = (np.asarray(part) for part in pulses.trace(filament, axis, o))
            end = pulses.numbers(axis, n, g, 1.0 if axis == "set" else 0.0)
            numbers = np.linspace(0.0, end, 201)
            rows.append((axis, o, numbers, pulses.fraction(np.interp(numbers, n, g))))

    start = np.array(model.start)
    for index, axis in zip(model.speeds, AXES, strict=False):
        last = next(numbers[-1] for a, o, numbers, _ in rows if (a, o) == (axis, 0.0))
        start[index] -= np.log(last if model.volts is None else last * pulses.width)

    def curves(p, points=points):
        device = model.build(pulses, p, model.volts)
        found = []
        for axis, o, numbers, _ in rows:
            size = int(numbers[-1]) + 2 if model.volts is None else points
            n, g = pulses.trace(device, axis, o, points=size)
            found.append(pulses.fraction(jnp.interp(numbers, n, g)))
        return found

    def residual(p, _):
        return jnp.concatenate([c - f for c, (*_, f) in zip(curves(p), rows, strict=True)])

    solved = optx.least_squares(
        residual,
        optx.LevenbergMarquardt(rtol=1e-6, atol=1e-8),
        jnp.asarray(start),
        options={"jac": "fwd"},
        throw=False,
        max_steps=steps,
    )
    found = jax.jit(partial(curves, points=1001))(solved.value)
    errors = {
        f"rms_{axis}_{1e3 * o:+.0f}": np.sqrt(np.mean((np.asarray(c) - f) ** 2))
        for c, (axis, o, _, f) in zip(found, rows, strict=True)
    }
    return {"p": np.asarray(solved.value), **errors}


def behavioural_device(name: str, pulses: IdenticalPulses, p: Any) -> Any:
    """Return the device that a fitted vector means."""
    model = BEHAVIOURAL[check_choice("name", name, BEHAVIOURAL)]
    return model.build(pulses, jnp.asarray(p), model.volts)
