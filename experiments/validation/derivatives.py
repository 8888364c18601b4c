"""Derivatives, and a run of the reference solver."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import analogjax as aj

REFERENCE = {
    "activation_energy": (+0.36447, 2e-5),
    "sigma_1": (-0.0050104, 2e-7),
    "sigma_background": (-0.0197391, 2e-7),
    "c_hi": (-0.0569613, 2e-7),
    "front_position": (-1.962044, 2e-5),
    "width": (-0.0376893, 2e-7),
    "amplitude": (-0.00186060, 2e-8),
}
"""d ln R24 after 5 pulses of +5 V and 0.25 s from the formed state, 24 x 24 cells, three Heun steps
a pulse: fourth-order differences of the reference solver, to the digits printed there."""
REFERENCE_LOG_R = 12.821762665712
REFERENCE_R10 = {"heun": 354454.459, "converged": 354454.513}
"""R24 [ohm] after 10 such pulses, 48 x 48 cells: three Heun steps a pulse, and a tight solution."""

UNITS = {"activation_energy": "1/eV", "front_position": "1/L", "width": "1/s", "amplitude": "1/V"}


def derivatives(cells: int, pulses: int) -> dict:
    """Derivatives of ln R24: reverse mode, and fourth-order differences of the same function."""
    film = aj.devices.FourTerminalTiO2(cells)
    names = [name for name in REFERENCE if name not in ("width", "amplitude")]
    point = jnp.array([*(getattr(film, name) for name in names), 0.25, 5.0])

    @jax.jit
    @jax.value_and_grad
    def log_r(values):
        *parameters, width, amplitude = values
        device = film.replace(**dict(zip(names, parameters, strict=True)))
        drive = aj.stimuli.pulse_train(amplitude * jnp.ones(pulses), width=width)
        result = aj.simulate(device, drive, solver=aj.simulation.Heun(3))
        return jnp.log(result.read_resistance[-1])

    value, gradient = log_r(point)
    differences = []
    for k, x in enumerate(np.asarray(point)):
        h = 1e-4 * x
        at = [float(log_r(point.at[k].add(m * h))[0]) for m in (-2, -1, 1, 2)]
        differences.append((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h))
    return {
        "name": np.array([*names, "width", "amplitude"]),
        "log_r": value,
        "gradient": gradient,
        "differences": np.array(differences),
    }


def reference_run(cells: int, pulses: int) -> dict:
    """R24 after pulses of +5 V from the formed state, with the reference's steps and converged."""
    film = aj.devices.FourTerminalTiO2(cells)
    drive = aj.stimuli.pulse_train(5.0 * np.ones(pulses), width=0.25)
    solvers = {"heun": aj.simulation.Heun(3), "converged": aj.simulation.Adaptive(1e-8, 1e-8)}
    return {
        name: aj.simulate(film, drive, solver=solver).read_resistance[-1]
        for name, solver in solvers.items()
    }


def report(run, ledger, config, found, reference) -> None:
    """Derivatives against the reference solver and against differences."""
    protocol = (config.cells, config.pulses) == (24, 5)
    printed = "reference solver, 4th-order differences, digits as printed"
    if protocol:
        ledger.add("log_r24", "ln R24 after 5 pulses (24 cells, 3 Heun steps a pulse)",
                   found["log_r"], REFERENCE_LOG_R, 1e-10, "reference solver")  # fmt: skip
    worst = 0.0
    for name, ad, fd in zip(found["name"], found["gradient"], found["differences"], strict=True):
        worst = max(worst, abs(ad / fd - 1))
        if protocol:
            value, digits = REFERENCE[str(name)]
            unit = f" [{UNITS[str(name)]}]" if str(name) in UNITS else ""
            ledger.add(f"gradient_{name}", f"d ln R24 / d {name}{unit}", ad, value, digits,
                       printed, relative=False)  # fmt: skip
    ledger.zero("gradient_error", "reverse mode against differences, worst of all, relative",
                worst, 1e-7, "differences of the same program")  # fmt: skip
    if (config.reference_cells, config.reference_pulses) == (48, 10):
        for name, value in REFERENCE_R10.items():
            how = "3 Heun steps a pulse" if name == "heun" else "converged in time"
            ledger.add(f"r24_after_10_{name}", f"R24 after 10 pulses [ohm] (48 cells, {how})",
                       reference[name], value, 1e-6, "reference solver")  # fmt: skip
    fig, axis = aj.plotting.figure(width=5.6)
    names = [str(name) for name in found["name"]]
    axis.barh(names[::-1], np.abs(found["gradient"] / found["differences"] - 1)[::-1])
    axis.set(xscale="log", xlabel="reverse mode against 4th-order differences, relative")
    run.section(
        "Derivatives",
        "d ln R24 after a train of pulses, by reverse mode through every time step and every "
        "elliptic solve, against the values printed for the reference solver (which took them by "
        "differences) and against differences of this program.",
    )
    run.figure("derivatives", fig, "Relative difference between both kinds of derivative.")
