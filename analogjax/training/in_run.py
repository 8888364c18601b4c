"""Training for hardware inside a run: in portions, read back after an interruption."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runs import from_arrays, to_arrays
from .analog import AnalogTraining, Tuned

if TYPE_CHECKING:
    from ..runs import RunFolder


def tune_in_run(run: RunFolder, name: str, training: AnalogTraining) -> Tuned:
    """Return the state after all steps of a training.

    Args:
        run: The run folder: stores the stage.
        name: Of the stage.
        training: The training.
    """

    def compute():
        return to_arrays(
            run.portions(
                name, training.start, training.advance, lambda s: int(s.count), training.steps
            )
        )

    return from_arrays(run.stage(name, compute), training.start())
