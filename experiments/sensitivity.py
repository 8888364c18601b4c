"""Which constants set the resistance: derivatives by every parameter from one reverse pass.

The logarithm of the read resistance after a train of pulses is differentiated, through the solver,
by every physical parameter and by the pulses themselves, and each derivative is confirmed by
central differences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.devices import FilmConfig
from analogjax.runs import RunFolder

DRIVE = {"pulse_amplitude": "V", "pulse_width": "s"}


@dataclass
class Config:
    """Protocol: pulses of one polarity on the formed film."""

    device: FilmConfig = field(default_factory=FilmConfig)
    pulses: int = 20
    amplitude: float = 5.0
    """Amplitude of the pulses [V]."""
    width: float = 0.25
    """Duration of a pulse [s]."""
    substeps: int | None = 4
    """Time steps per pulse (fixed, so that differences see the same steps as derivatives); null
    takes the device's own solver, as the self-heating film needs."""


def run(config: Config, run: RunFolder) -> None:
    """Differentiate once in reverse mode, confirm by differences, rank by elasticity."""
    device = config.device.build()
    names = [*device.PARAMETERS, *DRIVE]
    units = {n: p.unit for n, p in device.PARAMETERS.items()} | DRIVE
    at = device.parameters() | {
        "pulse_amplitude": jnp.asarray(config.amplitude),
        "pulse_width": jnp.asarray(config.width),
    }
    at = {name: jnp.asarray(value, float) for name, value in at.items()}
    observable = partial(log_resistance, config, device)

    derivatives = run.stage("reverse", lambda: one_reverse_pass(observable, at))
    differences = run.stage("differences", lambda: central_differences(run, observable, at))

    slope = {name: float(derivatives[name]) for name in names}
    check = {name: float(differences[name]) for name in names}
    elasticity = {name: slope[name] * float(at[name]) for name in names}
    # A parameter that does nothing has a difference of pure round-off: compare those absolutely.
    scale = {name: abs(float(at[name])) or _SCALE_AT_ZERO[name] for name in names}
    moving = [name for name in names if abs(slope[name]) * scale[name] > 1e-12]
    errors = {name: abs(slope[name] / check[name] - 1) for name in moving}
    for name in moving:
        if elasticity[name]:
            run.metric(f"elasticity_{name}", elasticity[name], "d ln R24 / d ln parameter")
        else:
            run.metric(f"derivative_{name}", slope[name], "d ln R24 / d parameter, at zero")
        run.metric(f"difference_error_{name}", errors[name], "derivative over difference, less 1")
    run.metric("difference_error_max", max(errors.values()))
    run.metric("log_resistance", float(derivatives["value"]), "ln of R24 [ohm] after the train")
    run.metric("parameters", len(names))

    bars = {name: elasticity[name] for name in moving if elasticity[name] != 0}
    fig = aj.plotting.elasticity_bars(bars, "|d ln R24 / d ln p|")
    run.section(
        "Elasticities",
        f"R24 after {config.pulses} pulses of {config.amplitude:g} V and {config.width:g} s on the "
        f"formed film ({device.cells} x {device.cells} cells). An elasticity of -0.5 means that "
        "1 % more of the parameter lowers the resistance by 0.5 %.",
    )
    run.figure(
        "elasticity", fig, "Elasticity of the read resistance by every parameter that has one."
    )
    rows = [
        [
            name,
            f"{float(at[name]):.4g} {units[name]}",
            f"{slope[name]:+.6g}",
            f"{check[name]:+.6g}",
            f"{errors[name]:.1e}" if name in errors else "no effect",
        ]
        for name in sorted(names, key=lambda n: -abs(elasticity[n]))
    ]
    run.section(
        "Confirmation",
        "Derivatives of ln R24 by reverse mode (one pass for all of them) against central "
        "differences extrapolated from three steps. Where a parameter is zero by default, the "
        "difference is one-sided.",
    )
    run.table(
        "Derivatives", ["parameter", "value", "reverse mode", "difference", "relative error"], rows
    )
    top = max(bars, key=lambda n: abs(bars[n]))
    run.summary(
        f"One reverse pass gives the derivative of the read resistance by all {len(names)} "
        f"parameters; the largest elasticity is that of {top} ({bars[top]:+.3g}). Central "
        f"differences agree to {max(errors.values()):.1e}."
    )
    run.dataset(
        "sensitivity",
        xr.Dataset(
            {
                "value": ("parameter", [float(at[n]) for n in names], {"units": "unit"}),
                "derivative": ("parameter", [slope[n] for n in names], {"units": "1/unit"}),
                "difference": ("parameter", [check[n] for n in names], {"units": "1/unit"}),
            },
            {"parameter": names, "unit": ("parameter", [units[n] for n in names])},
        ),
    )


def log_resistance(config, device, values):
    """Logarithm of the read resistance after the train, as a function of every parameter."""
    values = dict(values)
    ones = jnp.ones(config.pulses)
    drive = aj.stimuli.pulse_train(
        values.pop("pulse_amplitude") * ones, width=values.pop("pulse_width") * ones
    )
    result = aj.simulate(
        device.replace(**values),
        drive,
        solver=None if config.substeps is None else aj.simulation.Heun(config.substeps),
        save=aj.simulation.Save(states=False),
        throw=False,
    )
    # A failed pulse must not pass for a number.
    return jnp.where(result.ok, jnp.log(result.read_resistance[-1]), jnp.nan)


def one_reverse_pass(observable, at) -> dict:
    """Value and all derivatives."""
    value, slope = jax.jit(jax.value_and_grad(observable))(at)
    if not np.isfinite(value):
        raise ValueError(
            "Argument `substeps` must be large enough for a stable step, but the pulses failed."
        )
    return {"value": value, **slope}


def central_differences(run, observable, at) -> dict:
    """Central differences, extrapolated from three steps; one-sided at zero."""
    compiled = jax.jit(observable)
    slopes = {}
    with run.progress("differences", len(at)) as progress:
        for name, value in at.items():
            slopes[name] = _difference(compiled, at, name, float(value))
            progress.advance()
    return slopes


def _difference(compiled, at, name, value) -> float:
    def f(x):
        return float(compiled({**at, name: jnp.asarray(x, float)}))

    if value == 0.0:
        # A parameter that must not be negative and has no scale: one-sided, second order.
        h = _SCALE_AT_ZERO.get(name, 1e-4)
        return (-3 * f(0.0) + 4 * f(h) - f(2 * h)) / (2 * h)
    h = 1e-5 * abs(value)
    one, two, four = ((f(value + s) - f(value - s)) / (2 * s) for s in (h, 2 * h, 4 * h))
    # Removes the errors of order h^2 and of order h. The latter is there for the electrode arm: it
    # ends on a face boundary, where the two one-sided derivatives differ and the derivative is
    # their mean.
    return 8 / 3 * one - 2 * two + four / 3


_SCALE_AT_ZERO = {"ambipolar_factor": 1e-4, "contact_resistivity": 1e-14}
