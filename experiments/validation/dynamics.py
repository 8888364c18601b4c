"""Dynamics: heat, the order in time, conservation, symmetries."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj


def heat_balance(cells: int) -> dict:
    """Heat into the sink against electrical power, at 5 V in the formed state."""
    film = aj.devices.FourTerminalTiO2(cells, self_heating=True)
    state = film.init_state()
    fields = film.fields(jnp.asarray(5.0), state)
    into_sink = jnp.sum(fields.temperature - film.ambient_temperature)
    into_sink = into_sink * film.heat_sink * (film.side / cells) ** 2
    return {"ratio": into_sink / (5.0 * film.current(jnp.asarray(5.0), state))}


def time_order(cells: int, duration: float = 1.0) -> dict:
    """Error of n Heun steps of one pulse of 5 V against an adaptive solution.

    A step is written as a pulse of its own. Pulses at 0 V for no time fill the train up, so that
    every n shares one compilation.
    """
    steps = np.array([5, 10, 20, 40])
    result = {"steps": steps}
    for scheme in ("sg", "muscl"):
        film = aj.devices.FourTerminalTiO2(cells, scheme=scheme)

        def final(n, film=film):
            on = np.arange(steps[-1]) < n
            drive = aj.stimuli.pulse_train(
                np.where(on, 5.0, 0.0), width=np.where(on, duration / n, 1e-15)
            )
            return np.asarray(aj.simulate(film, drive, solver=aj.simulation.Heun(1)).final_state)

        tight = aj.simulation.Adaptive(1e-10, 1e-10)
        drive = aj.stimuli.pulse_train([5.0], width=duration)
        best = np.asarray(aj.simulate(film, drive, solver=tight).final_state)
        result[scheme] = np.array([np.abs(final(n) - best).max() for n in steps])
    return result


def symmetry(cells: int, pulses: int = 10) -> dict:
    """A state symmetric about the T1-T3 diagonal stays so; the mirrored film does the mirrored."""
    film = aj.devices.FourTerminalTiO2(cells)
    signs = np.repeat([1.0, -1.0], pulses // 2)
    solver = aj.simulation.Heun(3)

    def mirror(c):  # about the T2-T4 line
        return c[::-1, ::-1].T

    train = aj.stimuli.pulse_train(5.0 * signs, width=0.25)
    one = aj.simulate(film, train, solver=solver)
    opposite = aj.stimuli.pulse_train(-5.0 * signs, width=0.25)
    two = aj.simulate(film, opposite, mirror(film.init_state()), solver=solver)
    mass = np.asarray(one.state).sum((1, 2))
    currents = np.asarray(film.terminal_currents(jnp.array([5.0, 1.0, 0.0, 2.0]), one.final_state))
    return {
        "transpose": np.abs(one.final_state - one.final_state.T).max(),
        "mirror": np.abs(mirror(two.final_state) - one.final_state).max(),
        "mass": np.abs(mass / mass[0] - 1).max(),
        "kirchhoff": np.abs(currents.sum()) / np.abs(currents).max(),
    }


def report(run, ledger, balance, order, symmetry) -> None:
    """What is conserved, what is symmetric, and the order in time."""
    ledger.add("heat_balance", "heat into the sink over electrical power", balance["ratio"], 1.0,
               1e-6, "conservation of energy", reason="12 Picard iterations")  # fmt: skip
    # The limiter's kinks are met at different steps, so its order wavers about 1.9.
    for scheme, allowed in (("sg", 0.2), ("muscl", 0.4)):
        ledger.order(f"time_order_{scheme}", f"order of Heun's method in time ({scheme})",
                     order[scheme], 2.0, allowed, "design order", mean=True)  # fmt: skip
    for name, quantity, key, allowed, source in (
        ("transpose_error", "departure from c = c^T after 10 pulses", "transpose",
         1e-11, "symmetry of the device"),
        ("mirror_error", "mirrored film, opposite drive: departure", "mirror",
         1e-11, "symmetry of the device"),
        ("mass_error", "change of the number of vacancies, relative", "mass",
         1e-13, "conservation, blocking walls"),
        ("kirchhoff_error", "sum of terminal currents over the largest", "kirchhoff",
         1e-11, "Kirchhoff's current law"),
    ):  # fmt: skip
        ledger.zero(name, quantity, symmetry[key], allowed, source)
    fig, axis = aj.plotting.figure(width=4.8)
    steps = order["steps"]
    for scheme, marker in (("sg", "o-"), ("muscl", "s-")):
        axis.loglog(steps, order[scheme], marker, label=scheme)
    aj.plotting.order_line(axis, steps, 0.5 * order["sg"][0], 2)
    axis.set(xlabel="Heun steps of one pulse (5 V, 1 s)", ylabel="largest error of c")
    axis.legend()
    run.section(
        "Time stepping, conservation, symmetry",
        "Errors of one long pulse against an adaptive fifth-order solution with tolerance 1e-10. "
        "The walls block, so the number of vacancies is kept to round-off by construction.",
    )
    run.figure("time_order", fig, "Order of the default time stepping.")


def to_dataset(order) -> xr.Dataset:
    """Return the errors of both schemes as labelled arrays."""
    one = {"units": "1"}
    return xr.Dataset(
        {name: ("steps", order[name], one) for name in ("sg", "muscl")},
        {"steps": ("steps", order["steps"], one)},
    )
