"""What a simulation returns."""

from __future__ import annotations

import enum
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from .._checks import is_traced
from .._types import Array, Bool, Float, Int


class Status(enum.IntEnum):
    """How a simulation ended."""

    SUCCESS = 0
    MAX_STEPS = 1
    UNSTABLE = 2
    OUT_OF_RANGE = 3
    BEYOND_MODEL = 4
    NO_FLOW = 5

    @property
    def sentence(self) -> str:
        """What happened, and what to try."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.SUCCESS: "solved",
    Status.MAX_STEPS: (
        "it needed more time steps than `max_steps` allows; try a larger `max_steps`, a shorter "
        "pulse or a smaller amplitude"
    ),
    Status.UNSTABLE: (
        "its time steps were longer than the fastest motion allows; try more `substeps`, or "
        "`substeps=None`, which counts them itself"
    ),
    Status.OUT_OF_RANGE: (
        "the state became infinite or left its physical range; try `substeps=None` or more "
        "`substeps`, a tighter tolerance or a smaller amplitude"
    ),
    Status.BEYOND_MODEL: (
        "field or temperature left the range in which the equations of the device hold; try a "
        "smaller amplitude or a current compliance"
    ),
    Status.NO_FLOW: (
        "the tabulated flow holds for rectangular pulses within its range of voltages and states "
        "and for the device it was made of; try a wider range, or the device's own solver"
    ),
}


class SimulationResult(eqx.Module):
    """Result of `simulate`: every time axis has one entry more than the drive has pulses.

    Entry 0 is the start (0 V, 0 A); entry k + 1 belongs to pulse k.
    """

    t: Float[Array, " times"]
    """End of each plateau [s]."""
    v: Float[Array, " times"]
    """Voltage at the end of each plateau [V]."""
    i: Float[Array, " times"]
    """Current at the end of each plateau [A]."""
    read_resistance: Float[Array, " times"]
    """Resistance after each gap [ohm]."""
    state: PyTree | None
    """State after each gap, stacked along the first axis; None if it was not to be kept."""
    final_state: PyTree
    """State after the last gap."""
    ok: Bool[Array, ""]
    """Whether every pulse was solved."""
    status: Int[Array, ""]
    """A `Status` as an integer."""
    stats: dict[str, Int[Array, ""]]
    """``steps`` and ``rejected`` steps in all; ``failed_pulse``, -1 if none."""

    def __str__(self) -> str:
        """One line: pulses, steps, first and last resistance, outcome."""
        if is_traced(self.ok) or np.ndim(self.ok):
            return f"SimulationResult({self.t.shape})"
        status = Status(int(self.status))
        r = np.asarray(self.read_resistance)
        return (
            f"SimulationResult: {r.size - 1} pulses in {float(self.t[-1]):.4g} s, "
            f"{int(self.stats['steps'])} steps ({int(self.stats['rejected'])} rejected), "
            f"R {r[0]:.6g} -> {r[-1]:.6g} ohm, {status.name.lower()}"
        )


def raise_if_failed(result: SimulationResult, drive: Any) -> None:
    """Raise on the host if a finished simulation failed; under a transformation do nothing.

    Raises:
        RuntimeError: One sentence that says which pulse failed, why, and what to try.
    """
    if is_traced(result.ok) or np.all(np.asarray(result.ok)):
        return
    pulse = int(result.stats["failed_pulse"])
    status = Status(int(result.status))
    raise RuntimeError(
        f"Pulse {pulse + 1} of {drive.pulses} ({float(drive.stop[pulse]):g} V for "
        f"{float(drive.width[pulse]):g} s) could not be solved: {status.sentence}."
    )
