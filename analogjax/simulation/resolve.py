"""Solvers by name."""

from __future__ import annotations

from typing import Any

from .._checks import check_choice
from ..devices import AbstractDevice
from .pulse_step import PulseStep
from .rosenbrock import Rosenbrock
from .solvers import AbstractSolver, Adaptive, Heun, RungeKutta4
from .stochastic import EulerMaruyama

SOLVERS: dict[str, type[AbstractSolver]] = {
    "heun": Heun,
    "adaptive": Adaptive,
    "rk4": RungeKutta4,
    "rosenbrock": Rosenbrock,
    "sde": EulerMaruyama,
    "step": PulseStep,
}
"""Solvers by the name used in configurations."""


def resolve_solver(solver: Any, device: AbstractDevice) -> AbstractSolver:
    """Return the solver an argument names (the device's own for None), or say what it must be."""
    solver = device.default_solver if solver is None else solver
    if isinstance(solver, AbstractSolver):
        return solver
    if isinstance(solver, str):
        return SOLVERS[check_choice("solver", solver, SOLVERS)]()
    name = getattr(solver, "__name__", type(solver).__name__)
    raise ValueError(
        "Argument `solver` must be None, a name or a solver of `analogjax.simulation` "
        f"({', '.join(map(repr, SOLVERS))}), but is {name}."
    )
