"""A whole drive on a device of one state number, made for fits: quick to compile and to derive.

The method and the control of its steps are those of `Rosenbrock`, in one loop over the steps of all
pulses instead of a loop inside of every pulse. The velocity appears once in the compiled program:
the Jacobian is a difference of velocities, so that a derivative of the run by parameters needs
first derivatives only. As in `simulate`, that derivative is of the steps as they were taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_float64
from .._types import Array, Bool, Float, Int, Scalar
from ..devices import AbstractCompactDevice, AbstractDevice
from ..devices._compact import with_velocity
from ..stimuli import Drive
from .result import Status
from .rosenbrock import _A, _C, _GAMMA, _GAMMAS, _M, _NODES, Rosenbrock
from .simulate import verdict

_TRIED = 128
"""Steps between two looks at whether the run has ended (fewer for a short drive)."""

_APART = 1e-6
"""Distance of the points that a step takes its Jacobian from, in units of the state."""

# A step as one list of evaluations: the point itself, two beyond it in the state and two in time
# (for one-sided differences of second order: no bound is crossed), and the five further stages.
_LOOKS = 5
_STAGE = np.array([0] * _LOOKS + [1, 2, 3, 4, 5])
_BY_STATE = np.array([0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
_BY_TIME = np.array([0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0])


class March(eqx.Module):
    """Where a drive leaves a device."""

    plateau: Float[Array, " pulses"]
    """State at the end of each pulse, before its gap."""
    state: Float[Array, " pulses"]
    """State after the gap."""
    ok: Bool[Array, ""]
    """Whether every pulse was solved; states from the first that was not are nan."""
    steps: Int[Array, ""]
    """Steps that were tried."""


class _Run(eqx.Module):
    """How far a run has come."""

    state: Scalar
    pulse: Int[Array, ""]
    share: Scalar
    """Of the pulse that has passed."""
    reach: Scalar
    """Length of the next step [s]."""
    tried: Int[Array, ""]
    """Steps in this pulse."""
    steps: Int[Array, ""]
    status: Int[Array, ""]


def march(
    device: AbstractDevice, drive: Drive, state: Scalar, *, solver: Rosenbrock | None = None
) -> March:
    """Apply a drive to a device of one state number, as `simulate` with `Rosenbrock` does.

    Differentiable in forward mode (`jax.jvp`, `jax.jacfwd`), by device, drive and state.

    Args:
        device: A device of one state number and a velocity; chance is left out.
        drive: What is applied; without a timed read.
        state: Where to start.
        solver: Tolerances; `Rosenbrock()` if None.

    Returns:
        The states at the ends of the pulses.

    Raises:
        ValueError: A device of another kind, a drive with a timed read, single precision.
    """
    device = with_velocity(device)
    if drive.read is not None:
        raise ValueError("Argument `drive` must have no timed read to be marched through.")
    check_float64("`march`")
    return _march(device, drive, state, solver or Rosenbrock())


@eqx.filter_jit
def _march(device: AbstractCompactDevice, drive: Drive, state: Scalar, solver: Rosenbrock) -> March:
    count = min(_TRIED, 16 + 4 * drive.pulses)

    def attempts(carry):
        run, *tables = carry
        run, (pulse, *values) = jax.lax.scan(
            lambda run, _: _attempt(device, drive, solver, run), run, length=count
        )
        put = [t.at[pulse].set(x, mode="drop") for t, x in zip(tables, values, strict=True)]
        return run, *put

    none, zero = jnp.full(drive.pulses, jnp.nan), jnp.zeros((), jnp.int32)
    begin = _Run(state, zero, jnp.zeros(()), jnp.zeros(()), zero, zero, zero)
    run, plateau, after = jax.lax.while_loop(
        lambda carry: _active(drive, carry[0]), attempts, (begin, none, none)
    )
    return March(plateau, after, run.status == Status.SUCCESS, run.steps)


def _active(drive: Drive, run: _Run) -> Bool[Array, ""]:
    return (run.pulse < drive.pulses) & (run.status == Status.SUCCESS)


def _attempt(
    device: AbstractCompactDevice, drive: Drive, solver: Rosenbrock, run: _Run
) -> tuple[_Run, tuple[Array, Scalar, Scalar]]:
    """Try one step; a run that is at its end stays there.

    Returns:
        The run, and the pulse that the step has ended (none: their number) with the states then,
        before and after the gap.
    """
    active = _active(drive, run)
    at = jnp.minimum(run.pulse, drive.pulses - 1)
    width = jax.lax.stop_gradient(drive.width[at])
    # A ramp that goes on where the last one ended goes on with its steps.
    joined = (at > 0) & (drive.start[at] == drive.stop[at - 1])
    joined &= drive.start[at] != drive.stop[at]
    fresh = (run.tried == 0) & ~joined

    def length(slope):
        # At first one that moves the state by some hundredths; at rest the control decides.
        first = jnp.clip(0.03 / (jnp.abs(jax.lax.stop_gradient(slope)) + 1e-30), 1e-12, 1.0)
        return jnp.minimum(jnp.where(fresh, first, run.reach / width), 1 - run.share)

    after, error, h, fields = _step(device, drive, at, run.share, run.state, length)
    rested = after if drive.gap is None else device.rest(after, drive.gap[at])
    size = jnp.maximum(jnp.abs(run.state), jnp.abs(after))
    ratio = jax.lax.stop_gradient(jnp.abs(error) / (solver.atol + solver.rtol * size))
    kept = active & (ratio < 1) & jnp.isfinite(after)
    ends = kept & (run.share + h >= 1)
    factor = jnp.clip(0.9 * jnp.maximum(ratio, 1e-12) ** -0.25, 0.2, 10.0)
    factor = jnp.where(jnp.isfinite(ratio), factor, 0.2)
    factor = jnp.where(kept, factor, jnp.minimum(factor, 0.9))
    # The end of a ramp has cut the step short, not its error.
    reach = jnp.where(ends & ~fresh, jnp.maximum(run.reach, h * width), h * width)
    valid = device.valid(after) & device.valid(rested)
    exhausted = jnp.where(run.tried + 1 < solver.max_steps, Status.SUCCESS, Status.MAX_STEPS)
    status = jnp.where(ends, verdict(device, [], valid, fields), exhausted)
    moved = _Run(
        state=jnp.where(ends, rested, jnp.where(kept, after, run.state)),
        pulse=run.pulse + ends,
        share=jnp.where(ends, 0.0, run.share + jnp.where(kept, h, 0.0)),
        reach=reach * factor,
        tried=jnp.where(ends, 0, run.tried + 1).astype(jnp.int32),
        steps=run.steps + 1,
        status=status.astype(jnp.int32),
    )
    run = jax.tree.map(lambda new, old: jnp.where(active, new, old), moved, run)
    return run, (jnp.where(ends, at, drive.pulses), after, rested)


def _step(
    device: AbstractCompactDevice,
    drive: Drive,
    pulse: Array,
    share: Scalar,
    state: Scalar,
    length: Callable[[Scalar], Scalar],
) -> tuple[Scalar, Scalar, Scalar, Any]:
    """Take one step of RODASP.

    Args:
        device: The device.
        drive: What is applied.
        pulse: In which pulse the step is.
        share: How much of the pulse has passed.
        state: Where the step begins.
        length: Share of the pulse that it takes, as a function of the slope there.

    Returns:
        State after the step, estimate of its error, length, and fields.
    """
    start, width = drive.start[pulse], drive.width[pulse]
    ramp = drive.stop[pulse] - start
    workspace = device.prepare()

    def evaluate(carry, inputs):
        looks, ks, fields = carry
        index, stage, by_state, by_time, a, c, node, gamma = inputs
        h = length(looks[0])
        # Along the motion, that is away from a bound that it may begin at.
        side = jnp.where(looks[0] < 0, -_APART, _APART)
        at = share + node * h + by_time * _APART
        y = state + a @ ks + by_state * side
        rate, fields = device.rate(start + ramp * at, y, fields, workspace, "write")
        slope = rate * width
        looks = jnp.where(jnp.arange(_LOOKS) == index, slope, looks)
        jacobian = (4 * looks[1] - looks[2] - 3 * looks[0]) / (2 * side)
        # Held at a wall: the motion just inside, towards the wall, is none of the state's. At rest
        # where the slope passes through zero it is: a derivative of a step without it would grow.
        smooth = jnp.abs(looks[2] - 2 * looks[1]) <= 0.5 * jnp.abs(looks[1])
        jacobian = jnp.where((looks[0] == 0) & ~smooth, 0.0, jacobian)
        drift = (4 * looks[3] - looks[4] - 3 * looks[0]) / (2 * _APART)
        slope = jnp.where(index < _LOOKS, looks[0], slope)
        k = (h * slope + c @ ks + gamma * h**2 * drift) / (1 / _GAMMA - h * jacobian)
        # The first stage is known with the last of the differences.
        here = (jnp.arange(6) == stage) & (index >= _LOOKS - 1)
        return (looks, jnp.where(here, k, ks), fields), None

    none = jnp.zeros(6)
    steps = (_STAGE, _BY_STATE, _BY_TIME, _A[_STAGE], _C[_STAGE], _NODES[_STAGE], _GAMMAS[_STAGE])
    fields = device.initial_fields(state)
    (looks, ks, fields), _ = jax.lax.scan(
        evaluate, (none[:_LOOKS], none, fields), (np.arange(len(_STAGE)), *steps)
    )
    after = state + _M @ ks
    error = jnp.abs(ks[5]) + jnp.abs(device.overshoot(state, after))
    return device.project(after), error, length(looks[0]), fields
