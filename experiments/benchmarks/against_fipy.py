"""The same write pulse by this library and by FiPy, at equal error.

One pulse (5 V, 0.25 s) on the formed film at 64 x 64 cells, float64. FiPy solves the same equations
on the same grid in its own way: current continuity with harmonic face conductivities and contacts
as half-cell conductances on the boundary cells (`ImplicitSourceTerm`), vacancies with an implicit
`DiffusionTerm` and a second-order `VanLeerConvectionTerm`, backward Euler, potential and vacancies
solved in turn in every step. T2 and T4 float at one voltage (the film is symmetric), which a secant
step corrects after each solve; that spares FiPy the two further solves that a film without symmetry
would need. The solvers are SciPy's.

Errors of R24 (relative) and of the vacancies: the total error, against the library on a grid four
times finer with tight tolerances (R24 by Richardson extrapolation, vacancies by block means), and
the error of the time steps alone, against each program's own limit of small steps on the same grid
(the library with tight tolerances, FiPy by Richardson extrapolation). FiPy's number of steps is the
least with which

* the time steps add no more than 5 % to its total errors, which the grid then dominates, or
* its time errors are no larger than those of the library.

The library takes three Heun steps for both, the fewest that are stable.

    python experiments/benchmarks/against_fipy.py        # needs the extra `benchmarks`
"""

from __future__ import annotations

import importlib.util
import os
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _measure import judged, parser, save, table, versions

import analogjax as aj
from analogjax.constants import BOLTZMANN_EV
from analogjax.physics.grid import corner_electrodes, sum_to_cells

VOLTAGE, WIDTH = 5.0, 0.25

TRAIN = 100
"""Pulses of the train over which the library's preparation (once a simulation) is shared."""


class FiPyFilm:
    """The film in FiPy: lengths in units of the side, indexed ``[x, y]`` outside of FiPy."""

    def __init__(self, device: aj.devices.FourTerminalTiO2, scheme: str):
        """Set up mesh, variables and equations for a device and a convection scheme."""
        import fipy

        values = {name: float(value) for name, value in device.parameters().items()}
        n = device.cells
        mesh = fipy.Grid2D(nx=n, ny=n, dx=1 / n, dy=1 / n)
        self.shape, self.read_voltage = (n, n), values["read_voltage"]
        self.phi = fipy.CellVariable(mesh=mesh, value=0.0)
        self.c = fipy.CellVariable(mesh=mesh, value=self._flat(device.init_state()), hasOld=True)

        # Current continuity, per cell area: div(s grad phi) + g (V - phi) = 0.
        sheet = values["thickness"] * (values["sigma_background"] + values["sigma_1"] * self.c)
        covered = jax.vmap(sum_to_cells)(corner_electrodes(n, values["electrode_arm"]))
        self.contact = [2 * sheet * self._flat(share) * n**2 for share in covered]
        self.volume = 1 / n**2
        self.voltages = [fipy.Variable(0.0) for _ in self.contact]
        total = sum(self.contact[1:], self.contact[0])
        drive = sum(g * v for g, v in zip(self.contact, self.voltages, strict=True))
        self.continuity = (
            fipy.DiffusionTerm(coeff=sheet.harmonicFaceValue)
            - fipy.ImplicitSourceTerm(coeff=total)
            + drive
        )

        # Vacancies: dc/dt = div(D cosh(xi) grad c) - div(v (1 - c/c_max) c), axis by axis.
        thermal = BOLTZMANN_EV * values["ambient_temperature"]
        side, hop = values["side"], values["hop_distance"]
        diffusivity = float(device.diffusivity(device.ambient_temperature))
        xi = -values["charge_number"] * hop / (2 * thermal * side) * self.phi.faceGrad
        normal = (xi * mesh.faceNormals).sum(axis=0)
        velocity = 2 * diffusivity / (hop * side) * fipy.numerix.sinh(xi)
        spread = diffusivity / side**2 * fipy.numerix.cosh(normal)
        room = 1 - self.c.arithmeticFaceValue / values["c_max"]
        convection = getattr(fipy, f"{scheme}ConvectionTerm")
        self.transport = fipy.TransientTerm() == (
            fipy.DiffusionTerm(coeff=spread) - convection(coeff=velocity * room)
        )
        # The fastest of SciPy's solvers for each matrix at these sizes.
        self.solve_phi = fipy.LinearLUSolver(tolerance=1e-10, iterations=10)
        self.solve_c = fipy.LinearLUSolver(tolerance=1e-10, iterations=10)

    def _flat(self, field) -> np.ndarray:
        return np.asarray(field).T.reshape(-1)

    def vacancies(self) -> np.ndarray:
        """Return the vacancies, indexed ``[x, y]``."""
        return self.c.value.reshape(self.shape).T.copy()

    def current(self, k: int) -> float:
        """Return the current into electrode k [A]."""
        g = self.contact[k].value * self.volume
        return float(np.sum(g * (self.voltages[k].value - self.phi.value)))

    def _potential(self, floating: tuple[int, ...], value: float) -> float:
        """Solve for the potential with the floating electrodes at a value; return their current."""
        for k in floating:
            self.voltages[k].value = value
        self.continuity.solve(var=self.phi, solver=self.solve_phi)
        return sum(self.current(k) for k in floating)

    def _float(self, floating: tuple[int, ...], guess: float) -> tuple[float, float]:
        """Return the voltage at which the electrodes carry no current, and their conductance."""
        at_guess = self._potential(floating, guess)
        conductance = self._potential(floating, guess + 1) - at_guess
        return guess - at_guess / conductance, conductance

    def pulse(self, steps: int, sweeps: int) -> None:
        """Apply the write pulse in equal steps."""
        floating = (1, 3)
        self.voltages[0].value, self.voltages[2].value = VOLTAGE, 0.0
        value, conductance = self._float(floating, VOLTAGE / 2)
        for _ in range(steps):
            self.c.updateOld()
            for _ in range(sweeps):
                value -= self._potential(floating, value) / conductance
                self.transport.sweep(var=self.c, dt=WIDTH / steps, solver=self.solve_c)

    def read(self) -> float:
        """Return R24 [ohm]."""
        self.voltages[1].value, self.voltages[3].value = self.read_voltage, 0.0
        value, _ = self._float((0, 2), self.read_voltage / 2)
        self._potential((0, 2), value)
        return self.read_voltage / self.current(1)


def by_fipy(device, steps: int, sweeps: int, scheme: str) -> tuple[np.ndarray, float, float]:
    """Return vacancies, R24 and the time [s] of one pulse and its read (set-up not counted)."""
    film = FiPyFilm(device, scheme)
    start = time.perf_counter()
    film.pulse(steps, sweeps)
    resistance = film.read()
    return film.vacancies(), resistance, time.perf_counter() - start


@eqx.filter_jit
def by_library(device, drive, solver):
    """Return vacancies and R24 after the drive."""
    result = aj.simulate(device, drive, solver=solver, throw=False)
    return result.final_state, result.read_resistance[-1]


def block_means(field: np.ndarray, cells: int) -> np.ndarray:
    """Return a field on a coarser grid."""
    k = field.shape[0] // cells
    return np.asarray(field).reshape(cells, k, cells, k).mean((1, 3))


class Reference:
    """The continuum, as the library solves it on finer grids with tight tolerances."""

    def __init__(self, cells: int, drive):
        """Solve on three grids."""
        tight = aj.simulation.Adaptive(1e-8, 1e-8)
        grids = [cells, 2 * cells, 4 * cells]
        found = [by_library(aj.devices.FourTerminalTiO2(n), drive, tight) for n in grids]
        self.same_grid, (_, r_middle), (c_fine, r_fine) = found
        self.c = block_means(c_fine, cells)
        self.r = 2 * float(r_fine) - float(r_middle)  # electrode tips: first order

    def errors(self, solution, limit) -> dict[str, float]:
        """Return the errors of vacancies and R24, in all and against a limit of small steps."""
        c, r = np.asarray(solution[0]), float(solution[1])
        total = np.abs(c - self.c)
        return {
            "r_total": abs(r / self.r - 1),
            "c_total_max": float(total.max()),
            "c_total_rms": float(np.sqrt(np.mean(total**2))),
            "r_time": abs(r / float(limit[1]) - 1),
            "c_time_max": float(np.abs(c - np.asarray(limit[0])).max()),
        }


def least_steps(errors: dict[int, dict[str, float]], bounds: dict[str, float]) -> int | None:
    """Return the least number of steps from which on all errors keep their bounds, or None."""
    fits = {n: all(found[k] <= b for k, b in bounds.items()) for n, found in errors.items()}
    return next((n for n in fits if all(ok for m, ok in fits.items() if m >= n)), None)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--cells", type=int, default=64)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--sweeps", type=int, default=1, help="sweeps in each of FiPy's steps")
    options.add_argument("--scheme", default="VanLeer", help="FiPy's convection scheme")
    steps = [1, 2, 3, 4, 6, 8, 16, 32, 64, 128, 256]
    options.add_argument("--steps", type=int, nargs="+", default=steps, help="each FiPy run")
    arguments = options.parse_args()
    if importlib.util.find_spec("fipy") is None:
        print("Skipped: FiPy is missing (install the extra `benchmarks`).")
        return
    os.environ.setdefault("FIPY_SOLVERS", "scipy")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_enable_compilation_cache", False)
    device = aj.devices.FourTerminalTiO2(arguments.cells)
    drive = aj.stimuli.pulse_train([VOLTAGE], width=WIDTH)
    heun = aj.simulation.Heun(3)

    start = time.perf_counter()
    ours = jax.block_until_ready(by_library(device, drive, heun))
    first_call = time.perf_counter() - start
    reference = Reference(arguments.cells, drive)
    library = reference.errors(ours, reference.same_grid)

    runs = {n: by_fipy(device, n, arguments.sweeps, arguments.scheme) for n in arguments.steps}
    *_, half, whole = arguments.steps
    limit = [
        fine + (fine - coarse) / (whole / half - 1)  # backward Euler: first order
        for fine, coarse in zip(runs[whole][:2], runs[half][:2], strict=True)
    ]
    found = {n: reference.errors(run, limit) for n, run in runs.items()}
    names = ("r_total", "c_total_max", "c_total_rms", "r_time", "c_time_max")
    header = ("", "R24, total", "max dc, total", "rms dc, total", "R24, time", "max dc, time")
    lines = {"library, 3 steps": library} | {f"FiPy, {n} steps": e for n, e in found.items()}
    print(table([(key, *(f"{e[k]:.1e}" for k in names)) for key, e in lines.items()], header))
    chosen = {
        "total": least_steps(
            found, {k: 1.05 * reference.errors(limit, limit)[k] for k in names if "total" in k}
        ),
        "time": least_steps(found, {k: library[k] for k in names if "time" in k}),
    }

    # In turns, minima. FiPy's set-up (mesh and terms) counts as little as our compilation.
    times = {"library": np.inf, "library, pulse of a long train": np.inf}
    times |= {kind: runs[n or whole][-1] for kind, n in chosen.items()}
    train = aj.stimuli.pulse_train(jnp.full(TRAIN, VOLTAGE), width=WIDTH)
    for kind_drive in (drive, train):
        jax.block_until_ready(by_library(device, kind_drive, heun))
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        jax.block_until_ready(by_library(device, drive, heun))
        middle = time.perf_counter()
        jax.block_until_ready(by_library(device, train, heun))
        end = time.perf_counter()
        times["library"] = min(times["library"], middle - start)
        key = "library, pulse of a long train"
        times[key] = min(times[key], (end - middle) / TRAIN)
        *_, duration = by_fipy(device, chosen["total"] or whole, arguments.sweeps, arguments.scheme)
        times["total"] = min(times["total"], duration)

    rows, informative, ratios = [], [], {}
    for kind, n in chosen.items():
        steps = f"{n} steps" if n else f"{whole} steps, which are too few"
        fipy = times[kind]
        print(f"\nFiPy with {kind} errors as above, {steps}: {fipy:.3f} s", end="")
        ratios[kind] = {
            "one pulse": fipy / times["library"],
            f"per pulse of {TRAIN}": fipy / times["library, pulse of a long train"],
            f"{TRAIN} pulses and compilation": TRAIN
            * fipy
            / (first_call + TRAIN * times["library, pulse of a long train"]),
            "one pulse and compilation": fipy / first_call,
        }
        for name, value in ratios[kind].items():
            if "compilation" in name:
                informative.append((f"equal {kind} error, {name}", f"{value:.3g}"))
            else:
                rows.append((f"equal {kind} error, {name}", value, "", 10.0, True))
    print(
        f"\nlibrary: {times['library'] * 1e3:.1f} ms, each pulse of {TRAIN} "
        f"{times['library, pulse of a long train'] * 1e3:.1f} ms, first call {first_call:.1f} s\n"
    )
    print(judged(rows))
    print()
    print(table(informative, ("figure", "measured")))
    save(
        arguments.out,
        {
            "cells": arguments.cells,
            "errors": lines,
            "fipy_steps": chosen,
            "times_s": times | {"library, first call": first_call},
            "ratios": ratios,
            "versions": versions("jax", "fipy", "scipy", "numpy"),
        },
    )


if __name__ == "__main__":
    main()
