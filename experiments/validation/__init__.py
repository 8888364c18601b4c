"""Check the film against closed forms and an independent solver's numbers.

Every part of the four-terminal film is measured against something that does not share its code:
exact solutions, conservation laws, symmetries, finite differences, and the numbers of a reference
solver (NumPy and SciPy, direct elliptic solves) that was written before this package.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analogjax.runs import Ledger, RunFolder

from . import current, derivatives, drift_law, dynamics, transport


@dataclass
class Config:
    """Grids and protocols."""

    grids: list[int] = field(default_factory=lambda: [16, 32, 64, 128])
    """Grids of the convergence studies in space, each twice the one before."""
    arms: list[float] = field(default_factory=lambda: [0.25, 0.125])
    """Electrode arms of the conformal map, in units of the side."""
    cells: int = 24
    """Grid of the derivatives, the symmetries and the order in time."""
    pulses: int = 5
    """Pulses of the derivatives."""
    reference_cells: int = 48
    reference_pulses: int = 10
    front_cells: int = 400
    """Grid of the one-dimensional fronts."""

    def __post_init__(self) -> None:
        """Check what Richardson extrapolation needs."""
        if len(self.grids) < 2 or any(
            b != 2 * a for a, b in zip(self.grids, self.grids[1:], strict=False)
        ):
            raise ValueError(
                "Argument `grids` must hold at least two grids, each twice the one before, "
                f"but is {self.grids}."
            )


def run(config: Config, run: RunFolder) -> None:
    """Run every check, draw what has a shape, and put all numbers into one table."""
    grids, cells = config.grids, config.cells
    stages = {
        "diffusion": lambda: transport.diffusion(grids),
        "equilibrium": transport.equilibrium,
        "fronts": lambda: transport.fronts(config.front_cells),
        "resistors": current.resistors,
        "conformal_map": lambda: current.conformal_map(grids, config.arms),
        "heat_balance": lambda: dynamics.heat_balance(cells),
        "time_order": lambda: dynamics.time_order(cells),
        "symmetry": lambda: dynamics.symmetry(cells),
        "derivatives": lambda: derivatives.derivatives(cells, config.pulses),
        "reference_run": lambda: derivatives.reference_run(
            config.reference_cells, config.reference_pulses
        ),
    }
    done = {}
    with run.progress("checks", len(stages)) as progress:
        for name, compute in stages.items():
            done[name] = run.stage(name, compute)
            progress.advance()

    ledger = Ledger(run)
    transport.report(
        run, ledger, config, *(done[n] for n in ("diffusion", "equilibrium", "fronts"))
    )
    current.report(run, ledger, config, done["resistors"], done["conformal_map"])
    dynamics.report(run, ledger, *(done[n] for n in ("heat_balance", "time_order", "symmetry")))
    derivatives.report(run, ledger, config, done["derivatives"], done["reference_run"])
    drift_law.report(run, ledger)
    ledger.report()
    run.dataset("conformal_map", current.to_dataset(config, done["conformal_map"]))
    run.dataset("fronts", transport.to_dataset(done["fronts"]))
    run.dataset("time_order", dynamics.to_dataset(done["time_order"]))
