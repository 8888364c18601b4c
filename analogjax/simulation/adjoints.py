"""How a simulation is differentiated."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx


class ReverseMode(eqx.Module):
    """Reverse mode with checkpoints: one pass for the gradient by any number of parameters."""

    checkpoints: int | None = eqx.field(static=True, default=None)
    """States kept per pulse; None takes what the solver asks for."""

    def keeps(self, steps: int) -> bool:
        """Return whether the state at every one of so many steps may be kept."""
        return self.checkpoints is None or self.checkpoints >= steps

    def to_diffrax(self, checkpoints: int) -> diffrax.AbstractAdjoint:
        """Return the adjoint of one plateau."""
        return diffrax.RecursiveCheckpointAdjoint(checkpoints=self.checkpoints or checkpoints)


class ForwardMode(eqx.Module):
    """Forward mode: cost grows with the number of parameters, memory does not with the steps."""

    def keeps(self, steps: int) -> bool:
        """Return True: no state is kept, so there is nothing to limit."""
        return True

    def to_diffrax(self, checkpoints: int) -> diffrax.AbstractAdjoint:
        """Return the adjoint of one plateau."""
        return diffrax.ForwardMode()


Adjoint = ReverseMode | ForwardMode


def resolve_adjoint(adjoint: Any) -> Adjoint:
    """Return the adjoint that an argument names, or say what it must be."""
    if adjoint is None:
        return ReverseMode()
    if isinstance(adjoint, ReverseMode | ForwardMode):
        return adjoint
    if isinstance(adjoint, diffrax.ForwardMode):
        return ForwardMode()
    if isinstance(adjoint, diffrax.RecursiveCheckpointAdjoint):
        return ReverseMode(adjoint.checkpoints)
    name = getattr(adjoint, "__name__", type(adjoint).__name__)
    why = ""
    if "Backsolve" in name:
        why = " (integrating dissipative dynamics backwards in time gives wrong gradients)"
    raise ValueError(
        "Argument `adjoint` must be None, `simulation.ReverseMode()` or "
        f"`simulation.ForwardMode()`, but is {name}{why}."
    )
