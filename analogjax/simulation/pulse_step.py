"""The solver of devices whose law is per pulse, not per second."""

from __future__ import annotations

import jax.numpy as jnp

from ..devices import AbstractPulseStepDevice
from .result import Status
from .solvers import AbstractSolver, StepResult


class PulseStep(AbstractSolver):
    """One step of the device per write pulse; the read leaves the state as it is."""

    def advance(self, device, workspace, state, fields, plateau, adjoint, *, key=None):
        """Step through one plateau; see `AbstractSolver`.

        Raises:
            ValueError: The device has no law per pulse.
        """
        if not isinstance(device, AbstractPulseStepDevice):
            raise ValueError(
                "Argument `solver` must be one that integrates in time for a "
                f"{type(device).__name__}, but is 'step'."
            )
        zero = jnp.zeros((), jnp.int32)
        if plateau.path == "read":
            return StepResult(state, fields, zero + Status.SUCCESS, zero, zero)
        moved, fields = device.step(plateau.voltage(0.5), plateau.duration, state)
        return StepResult(moved, fields, zero + Status.SUCCESS, zero + 1, zero)
