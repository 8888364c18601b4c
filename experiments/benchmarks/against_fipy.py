"""The same write pulse by this library and by FiPy, at equal error.

One pulse (5 V, 0.25 s) on the formed film at 64 x 64 cells, float64. FiPy solves the same equations
on the same grid in its own way: current continuity with harmonic face conductivities and contacts
as half-cell conductances on the boundary cells (`ImplicitSourceTerm`), vacancies with an implicit
`DiffusionTerm` and a second-order `VanLeerConvectionTerm`, backward Euler, potential and vacancies
solved in turn in every step. T2 and T4 float at one voltage (the film is symmetric), which a secant
step corrects after each solve; that spares FiPy the two further solves that a film without symmetry
would need. The solvers are SciPy's.

Errors: of R24 (relative) and of the vacancies, against the library with tight tolerances, on a grid
four times finer (total error: R24 by Richardson extrapolation, vacancies by block means) and on the
same grid. FiPy's number of steps is the least whose total errors are no more than those of Heun's
method with three steps (plus one per cent); where none is, the last tried.

    python experiments/benchmarks/against_fipy.py        # needs the extra `benchmarks`
"""

from __future__ import annotations

import importlib.util
import os
import time

import equinox as eqx
import jax
import numpy as np
from _measure import judged, parser, save, table, versions

import analogjax as aj
from analogjax.constants import BOLTZMANN_EV
from analogjax.physics.grid import corner_electrodes, sum_to_cells

VOLTAGE, WIDTH = 5.0, 0.25


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


class Errors:
    """Errors against the same grid and against the continuum, both solved tightly."""

    def __init__(self, cells: int, drive):
        """Solve the references on three grids."""
        tight = aj.simulation.Adaptive(1e-8, 1e-8)
        grids = [cells, 2 * cells, 4 * cells]
        found = [by_library(aj.devices.FourTerminalTiO2(n), drive, tight) for n in grids]
        (self.c_same, self.r_same), (_, r_middle), (c_fine, r_fine) = found
        self.c = block_means(c_fine, cells)
        self.r = 2 * float(r_fine) - float(r_middle)  # electrode tips: first order

    def of(self, c, r) -> dict[str, float]:
        """Return all errors of a solution."""
        c, r = np.asarray(c), float(r)
        same, total = np.abs(c - self.c_same), np.abs(c - self.c)
        return {
            "r_total": abs(r / self.r - 1),
            "c_total_max": float(total.max()),
            "c_total_rms": float(np.sqrt(np.mean(total**2))),
            "r_same": abs(r / float(self.r_same) - 1),
            "c_same_max": float(same.max()),
        }


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--cells", type=int, default=64)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--sweeps", type=int, default=1, help="sweeps in each of FiPy's steps")
    options.add_argument("--scheme", default="VanLeer", help="FiPy's convection scheme")
    options.add_argument("--steps", type=int, nargs="+", default=[1, 2, 3, 4, 6, 8, 12, 16, 32, 64])
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
    errors = Errors(arguments.cells, drive)
    lines = {"library, 3 Heun steps": errors.of(*ours)}
    chosen, equal = arguments.steps[-1], False
    targets = {k: 1.01 * v for k, v in errors.of(*ours).items() if "total" in k}
    for steps in arguments.steps:
        c, r, _ = by_fipy(device, steps, arguments.sweeps, arguments.scheme)
        mine = lines[f"FiPy, {steps} steps"] = errors.of(c, r)
        if not equal and all(mine[k] <= limit for k, limit in targets.items()):
            chosen, equal = steps, True

    # In turns, minima. FiPy's set-up (mesh and terms) counts as little as our compilation.
    times = {"library": np.inf, "FiPy": np.inf}
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        jax.block_until_ready(by_library(device, drive, heun))
        times["library"] = min(times["library"], time.perf_counter() - start)
        *_, duration = by_fipy(device, chosen, arguments.sweeps, arguments.scheme)
        times["FiPy"] = min(times["FiPy"], duration)
    names = ("r_total", "c_total_max", "c_total_rms", "r_same", "c_same_max")
    header = ("", "R24, total", "max|dc|, total", "rms dc, total", "R24, grid", "max|dc|, grid")
    rows = [(key, *(f"{found[k]:.2e}" for k in names)) for key, found in lines.items()]
    print(table(rows, header))
    what = "errors no larger than the library's" if equal else "errors as close as it came"
    print(f"\nFiPy with {chosen} steps ({what}): {times['FiPy']:.3f} s; ", end="")
    print(f"library {times['library'] * 1e3:.1f} ms, its first call {first_call:.1f} s\n")
    many = 100
    with_compilation = first_call + (many - 1) * times["library"]
    ratios = {
        "FiPy / library, compiled": times["FiPy"] / times["library"],
        f"FiPy / library, {many} pulses, compilation counted": many
        * times["FiPy"]
        / with_compilation,
        "FiPy / library, 1 pulse, with compilation": times["FiPy"] / first_call,
    }
    first, *others = ratios.items()
    print(judged([(*first, "", 10.0, True)]))
    for name, value in others:
        print(f"{name}: {value:.3g}")
    save(
        arguments.out,
        {
            "cells": arguments.cells,
            "errors": lines,
            "fipy_steps": chosen,
            "equal": equal,
            "times_s": times | {"library, first call": first_call},
            "ratios": ratios,
            "versions": versions("jax", "fipy", "scipy", "numpy"),
        },
    )


if __name__ == "__main__":
    main()
