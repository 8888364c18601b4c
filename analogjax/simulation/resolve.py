"""Solvers by name."""

from __future__ import annotations

from typing import Any

from .._checks import check_choice
from ..devices import AbstractCompactDevice, AbstractDevice, CycleToCycle
from .multirate import Multirate
from .pulse_step import PulseStep
from .rosenbrock import Rosenbrock
from .solvers import AbstractSolver, Adaptive, Heun, RungeKutta4
from .stochastic import EulerMaruyama

SOLVERS: dict[str, type[AbstractSolver]] = {
    "heun": Heun,
    "multirate": Multirate,
    "adaptive": Adaptive,
    "rk4": RungeKutta4,
    "rosenbrock": Rosenbrock,
    "sde": EulerMaruyama,
    "step": PulseStep,
}
"""Solvers by the name used in configurations."""


def _check_counts(solver: AbstractSolver, device: AbstractDevice) -> None:
    """Raise if a solver would take one step for want of knowing how fast a device may be."""
    compact = isinstance(device, AbstractCompactDevice | CycleToCycle)
    counted = isinstance(solver, Heun) and solver.substeps is None
    if compact and (counted or (isinstance(solver, RungeKutta4) and solver.substeps == 1)):
        raise ValueError(
            f"Argument `solver` must be one that controls its steps for a {type(device).__name__}, "
            f"such as 'rosenbrock', or be given `substeps`, but is {type(solver).__name__}."
        )


def resolve_solver(solver: Any, device: AbstractDevice) -> AbstractSolver:
    """Return the solver an argument names (the device's own for None), or say what it must be."""
    solver = device.default_solver if solver is None else solver
    if isinstance(solver, str):
        solver = SOLVERS[check_choice("solver", solver, SOLVERS)]()
    if isinstance(solver, AbstractSolver):
        _check_counts(solver, device)
        return solver
    name = getattr(solver, "__name__", type(solver).__name__)
    raise ValueError(
        "Argument `solver` must be None, a name or a solver of `analogjax.simulation` "
        f"({', '.join(map(repr, SOLVERS))}), but is {name}."
    )
