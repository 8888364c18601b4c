"""Time stepping of a film with few elliptic solves: the potential is slow, the vacancies are fast.

At the tips of the electrodes vacancies cross a cell in a fraction of a second, so that explicit
steps must be short. The potential follows the conductivity of the whole film, which hardly changes
meanwhile, and costs far more than a step of the vacancies: it is solved for rarely.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import check_whole
from ..devices import FourTerminalTiO2
from .result import Status
from .solvers import AbstractSolver, StepResult


class Multirate(AbstractSolver):
    """The midpoint rule for the potential, Heun's method for the vacancies in between.

    A plateau has `solves` equal stretches. In each the potential at its start moves the vacancies
    to its middle; the potential there then moves them from its start to its end: second order in
    the stretch, two elliptic solves for each. A stretch has `substeps` steps of Heun's method under
    a fixed potential. No state is thrown away for a gradient (5 fields a step are kept): for the
    pulses of a write, not for protocols of hundreds of pulses.
    """

    solves: int = eqx.field(static=True)
    """Stretches per plateau; each solves for the potential twice."""
    substeps: int = eqx.field(static=True)
    """Steps of the vacancies per stretch; half as many, rounded up, to its middle."""

    def __init__(self, solves: int = 2, substeps: int = 8):
        """Choose the steps.

        Raises:
            ValueError: Fewer than one.
        """
        check_whole("solves", solves)
        check_whole("substeps", substeps)
        self.solves, self.substeps = solves, substeps

    def advance(self, device, workspace, state, fields, plateau, adjoint, *, key=None):
        """Step through one plateau; see `AbstractSolver`.

        Raises:
            ValueError: A device that is no film.
        """
        if not isinstance(device, FourTerminalTiO2):
            raise ValueError(
                "Argument `solver` must be another than 'multirate', which is for a film, for a "
                f"{type(device).__name__}."
            )
        part = 1 / self.solves

        def move(state, fields, share, count):
            motion = device.motion(fields)
            dt = plateau.duration * share / count

            def step(c, _):
                first = device.transport(c, motion)
                second = device.transport(c + dt * first, motion)
                return c + 0.5 * dt * (first + second), None

            return jax.lax.scan(step, state, length=count)[0], motion.fastest * dt

        def stretch(carry, begin):
            state, fields = carry
            half, count = 0.5 * part, (self.substeps + 1) // 2
            fields = _fields(device, workspace, plateau, begin * part, state, fields)
            middle, _ = move(state, fields, half, count)
            fields = _fields(device, workspace, plateau, begin * part + half, middle, fields)
            state, courant = move(state, fields, part, self.substeps)
            return (state, fields), courant

        begins = jnp.arange(self.solves, dtype=plateau.duration.dtype)
        (state, fields), courant = jax.lax.scan(stretch, (state, fields), begins)
        zero = jnp.zeros((), jnp.int32)
        # Beyond a Courant number of 1 the limiter's bounds no longer hold.
        status = jnp.where(jnp.max(courant) > 1.0, Status.UNSTABLE, Status.SUCCESS)
        steps = zero + self.solves * self.substeps
        return StepResult(state, fields, status.astype(jnp.int32), steps, zero)


def _fields(device, workspace, plateau, share, state, fields):
    v = plateau.voltage(share)
    return device.settle(v, state, fields, workspace, plateau.path)
