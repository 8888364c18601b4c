"""Time stepping of one plateau: explicit Runge-Kutta methods, most of them driven by diffrax.

A solver of ours is a small choice (which method, how many steps); diffrax does the stepping, the
step-size control and the adjoint (equal steps counted beforehand need none of these). The stages
run in an inner scan, so that a device's equations (with an elliptic solver inside) appear once in
the compiled program, and they hand on the device's quasi-static fields: the potential as a
starting value, the temperature of the previous stage.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_choice, check_positive
from .._types import Array, Scalar
from ..devices import AbstractDevice, Path
from .adjoints import Adjoint
from .result import Status


class Plateau(eqx.Module):
    """One stretch of a drive, in units of its own duration: time runs from 0 to 1."""

    start: Scalar
    stop: Scalar
    duration: Scalar
    path: Path = eqx.field(static=True, default="write")

    def voltage(self, s: Any) -> Scalar:
        """Voltage at scaled time s [V]."""
        return self.start + (self.stop - self.start) * s


class Motion(diffrax.AbstractTerm):
    """The device's equations as a diffrax term, over scaled time.

    Its vector field takes the quasi-static fields as `args` and returns the slope and new fields.
    """

    device: AbstractDevice
    workspace: PyTree
    plateau: Plateau

    def vf(self, t, y, args):
        """Return slope by scaled time, and fields."""
        plateau = self.plateau
        v = plateau.voltage(t)
        rate, fields = self.device.rate(v, y, args, self.workspace, plateau.path)
        return jax.tree.map(lambda r: r * plateau.duration, rate), fields

    def contr(self, t0, t1, **kwargs):
        """Return the step."""
        return t1 - t0

    def prod(self, vf, control):
        """Return slope times step."""
        return jax.tree.map(lambda f: control * f, vf[0])


def device_of(terms: Any) -> AbstractDevice:
    """Return the device of a motion, which diffrax may have wrapped."""
    return getattr(terms, "term", terms).device


class DeviceMethod(diffrax.AbstractSolver):
    """A diffrax method for `Motion`, whose own state is the fields that stage hands to stage."""

    term_structure: ClassVar = Motion
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def strong_order(self, terms):
        """None: for deterministic dynamics."""
        return None

    def init(self, terms, t0, t1, y0, args):
        """Return the fields at the start, which diffrax takes for the method's own state."""
        return args

    def func(self, terms, t0, y0, args):
        """Return the slope."""
        return terms.vf(t0, y0, args)


class _RungeKutta(DeviceMethod):
    """An explicit Runge-Kutta method."""

    method: diffrax.AbstractERK = eqx.field(static=True)

    def order(self, terms):
        return self.method.order(terms)

    def error_order(self, terms):
        return self.method.error_order(terms)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        tableau: diffrax.ButcherTableau = self.method.tableau  # pyright: ignore
        stages = tableau.num_stages
        lower = np.zeros((stages, stages))
        for row, weights in enumerate(tableau.a_lower, start=1):
            lower[row, : len(weights)] = weights
        nodes = np.concatenate([[0.0], tableau.c])
        dt = jnp.asarray(t1 - t0)

        def combine(weights, slopes):
            return jax.tree.map(
                lambda k: dt * jnp.tensordot(jnp.asarray(weights, k.dtype), k, 1), slopes
            )

        def stage(carry, inputs):
            slopes, fields = carry
            index, weights, node = inputs
            y = jax.tree.map(jnp.add, y0, combine(weights, slopes))
            slope, fields = terms.vf(t0 + node * dt, y, fields)
            slopes = jax.tree.map(lambda all_, one: all_.at[index].set(one), slopes, slope)
            return (slopes, fields), None

        empty = jax.tree.map(lambda y: jnp.zeros((stages, *y.shape), y.dtype), y0)
        inputs = (
            jnp.arange(stages),
            jnp.asarray(lower, dt.dtype),
            jnp.asarray(nodes, dt.dtype),
        )
        (slopes, fields), _ = jax.lax.scan(stage, (empty, solver_state), inputs)
        y1 = device_of(terms).project(jax.tree.map(jnp.add, y0, combine(tableau.b_sol, slopes)))
        error = combine(tableau.b_error, slopes)
        return y1, error, dict(y0=y0, y1=y1), fields, diffrax.RESULTS.successful


class _FirstStep(diffrax.AbstractStepSizeController):
    """A step-size controller with a traced first step.

    diffrax checks its own `dt0` argument, which for a traced value is a host callback in the
    compiled program; handed over here it is not checked (it is ours, and positive).
    """

    controller: diffrax.AbstractStepSizeController
    dt0: Scalar

    def wrap(self, direction):
        return _FirstStep(self.controller.wrap(direction), self.dt0)

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        return self.controller.init(terms, t0, t1, y0, self.dt0, args, func, error_order)

    def adapt_step_size(self, *args):
        return self.controller.adapt_step_size(*args)


class StepResult(eqx.Module):
    """What became of one plateau."""

    state: PyTree
    fields: PyTree
    status: Array
    steps: Array
    rejected: Array


class AbstractSolver(eqx.Module):
    """A way to step through a plateau."""

    @abc.abstractmethod
    def advance(
        self,
        device: AbstractDevice,
        workspace: PyTree,
        state: PyTree,
        fields: PyTree,
        plateau: Plateau,
        adjoint: Adjoint,
        *,
        key: PRNGKeyArray | None = None,
    ) -> StepResult:
        """Step through one plateau; the key is for stochastic dynamics, None leaves chance out."""


def _settle(device, workspace, state, fields, plateau, v):
    """Return the fields after the voltage has jumped to v; a gradient recomputes them.

    Keeping what they were computed from would double the memory of a gradient.
    """

    @jax.checkpoint
    def settle(device, workspace, state, fields, v):
        return device.settle(v, state, fields, workspace, plateau.path)

    return settle(device, workspace, state, fields, v)


def integrate(
    device, workspace, state, fields, plateau, adjoint, *, rule, dt0, controller, max_steps
):
    """Step through a plateau with diffrax: a rule, a first step, a controller."""
    dt0 = jnp.asarray(dt0, plateau.duration.dtype)
    solution = diffrax.diffeqsolve(
        Motion(device, workspace, plateau),
        rule,
        t0=0.0,
        t1=1.0,
        dt0=None,
        y0=state,
        args=fields,
        saveat=diffrax.SaveAt(t1=True, solver_state=True),
        stepsize_controller=_FirstStep(controller, dt0),
        adjoint=adjoint,
        max_steps=max_steps,
        throw=False,
    )
    finished = solution.result == diffrax.RESULTS.successful
    return StepResult(
        state=jax.tree.map(lambda y: y[-1], solution.ys),
        fields=solution.solver_state,
        status=jnp.where(finished, Status.SUCCESS, Status.MAX_STEPS).astype(jnp.int32),
        steps=solution.stats["num_accepted_steps"],
        rejected=solution.stats["num_rejected_steps"],
    )


def _equal_steps(device, workspace, state, fields, plateau, *, method, count):
    """Step through a plateau in a number of equal steps known beforehand, keeping every state.

    diffrax's loop may stop at any step; one that cannot is a plain scan, quicker to compile.
    """
    motion, rule = Motion(device, workspace, plateau), _RungeKutta(method)
    dt = jnp.asarray(1 / count, plateau.duration.dtype)

    def step(carry, index):
        state, fields = carry
        s = index * dt
        state, _, _, fields, _ = rule.step(motion, s, s + dt, state, None, fields, False)
        return (state, fields), device.fastest(fields)

    indices = jnp.arange(count, dtype=dt.dtype)
    step = jax.checkpoint(step, prevent_cse=False)
    (state, fields), fastest = jax.lax.scan(step, (state, fields), indices)
    zero = jnp.zeros((), jnp.int32)
    # Beyond a Courant number of 1, anywhere on the way, the limiter's bounds no longer hold.
    unstable = jnp.max(fastest) * plateau.duration > 1.0 * count
    status = jnp.where(unstable, Status.UNSTABLE, Status.SUCCESS).astype(jnp.int32)
    return StepResult(state, fields, status, zero + count, zero)


class Heun(AbstractSolver):
    """Heun's method (second order) with equal steps; the default.

    The equations of a film are drift-dominated and not stiff within a pulse, so an explicit method
    whose step obeys the Courant condition is the cheapest.
    """

    substeps: int | None = eqx.field(static=True)
    """Steps per pulse; None counts them for each pulse from the Courant number at its start."""
    courant: float = eqx.field(static=True)
    """Largest Courant number of a counted step."""
    max_steps: int = eqx.field(static=True)
    """Most steps a pulse may take."""

    def __init__(self, substeps: int | None = None, *, courant: float = 0.5, max_steps: int = 4096):
        """Choose the step; see the fields.

        Raises:
            ValueError: `substeps` or `max_steps` below one, `courant` not above zero.
        """
        for name, value in (("substeps", substeps), ("max_steps", max_steps)):
            if value is not None and value < 1:
                raise ValueError(f"Argument `{name}` must be at least 1, but is {value}.")
        check_positive("courant", courant)
        self.substeps, self.courant, self.max_steps = substeps, float(courant), max_steps

    def advance(self, device, workspace, state, fields, plateau, adjoint, *, key=None):
        """Step through one plateau; see `AbstractSolver`."""
        method = diffrax.Heun()
        if self.substeps is not None and adjoint.keeps(self.substeps):
            return _equal_steps(
                device, workspace, state, fields, plateau, method=method, count=self.substeps
            )
        if self.substeps is None:
            fields, count = self._count(device, workspace, state, fields, plateau)
            max_steps = self.max_steps
        else:
            count, max_steps = self.substeps, self.substeps + 1
        result = integrate(
            device, workspace, state, fields, plateau,
            adjoint.to_diffrax(min(self.substeps or 4, max_steps)),
            rule=_RungeKutta(method),
            dt0=1 / count,
            controller=diffrax.ConstantStepSize(),
            max_steps=max_steps,
        )  # fmt: skip
        # Steps were counted at the start of the pulse; the film may have become faster since.
        unstable = device.fastest(result.fields) * plateau.duration > 1.0 * count
        # A plateau that was not finished says so, whatever its steps were.
        unstable &= result.status == Status.SUCCESS
        status = jnp.where(unstable, Status.UNSTABLE, result.status).astype(jnp.int32)
        return eqx.tree_at(lambda r: r.status, result, status)

    def _count(self, device, workspace, state, fields, plateau):
        """Return the fields at the start of a plateau, and how many steps it needs."""
        # The faster end of a ramp decides.
        top = jnp.where(jnp.abs(plateau.start) > jnp.abs(plateau.stop), plateau.start, plateau.stop)
        fields = _settle(device, workspace, state, fields, plateau, top)
        wanted = jnp.ceil(device.fastest(fields) * plateau.duration / self.courant)
        return fields, jax.lax.stop_gradient(jnp.clip(wanted, 1, 2.0 * self.max_steps))


class Adaptive(AbstractSolver):
    """An embedded Runge-Kutta pair with step-size control by the local error.

    For reference solutions, and for writes whose speed changes by orders of magnitude.
    """

    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    METHODS: ClassVar[dict[str, Any]] = {
        "heun": diffrax.Heun,
        "bosh3": diffrax.Bosh3,
        "tsit5": diffrax.Tsit5,
    }

    def __init__(
        self,
        rtol: float = 1e-5,
        atol: float = 1e-5,
        *,
        method: str = "tsit5",
        max_steps: int = 4096,
    ):
        """Choose tolerances and method.

        Args:
            rtol: Relative tolerance of a step.
            atol: Absolute tolerance of a step, in units of the state.
            method: ``"heun"``, ``"bosh3"`` or ``"tsit5"``.
            max_steps: Most steps a pulse may take.

        Raises:
            ValueError: A tolerance not above zero or (in float32) too tight; an unknown method.
        """
        check_positive("rtol", rtol)
        check_positive("atol", atol)
        check_choice("method", method, self.METHODS)
        if not jax.config.read("jax_enable_x64") and rtol < 1e-5:
            raise ValueError(f"Argument `rtol` must be at least 1e-5 in float32, but is {rtol:g}.")
        self.rtol, self.atol, self.method, self.max_steps = rtol, atol, method, max_steps

    def advance(self, device, workspace, state, fields, plateau, adjoint, *, key=None):
        """Step through one plateau; see `AbstractSolver`."""
        # Begin small: after a jump of the voltage the first step knows nothing of the new speed.
        fields = _settle(device, workspace, state, fields, plateau, plateau.start)
        fastest = device.fastest(fields) * plateau.duration
        dt0 = jax.lax.stop_gradient(1 / jnp.clip(10 * fastest, 10.0, 1e4))
        return integrate(
            device, workspace, state, fields, plateau,
            adjoint.to_diffrax(min(16, self.max_steps)),
            rule=_RungeKutta(self.METHODS[self.method]()),
            dt0=dt0,
            controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol),
            max_steps=self.max_steps,
        )  # fmt: skip


class RungeKutta4(AbstractSolver):
    """The classic method of fourth order with a fixed number of equal steps, written out.

    For devices of a few states whose pulses are short beside their dynamics (a reduced model):
    a plateau is a fixed row of operations without any loop, cheap for millions of devices. The
    fields stay what they were at its start, and nothing watches the size of the steps.
    """

    substeps: int = eqx.field(static=True)
    """Steps per pulse."""

    def __init__(self, substeps: int = 1):
        """Choose the number of steps.

        Raises:
            ValueError: `substeps` below one.
        """
        if substeps < 1:
            raise ValueError(f"Argument `substeps` must be at least 1, but is {substeps}.")
        self.substeps = substeps

    def advance(self, device, workspace, state, fields, plateau, adjoint, *, key=None):
        """Step through one plateau; see `AbstractSolver`."""
        motion = Motion(device, workspace, plateau)
        ds = 1 / self.substeps
        still = jax.tree.map(jnp.zeros_like, state)
        for index in range(self.substeps):
            slope, total = still, still
            for node, weight in ((0.0, 1 / 6), (0.5, 1 / 3), (0.5, 1 / 3), (1.0, 1 / 6)):
                at = _moved(state, slope, node * ds)
                slope, fields = motion.vf((index + node) * ds, at, fields)
                total = _moved(total, slope, weight * ds)
            state = device.project(_moved(state, total, 1.0))
        zero = jnp.zeros((), jnp.int32)
        return StepResult(state, fields, zero + Status.SUCCESS, zero + self.substeps, zero)


def _moved(state, slope, by):
    # A state in single precision stays there, whatever the drive is in.
    return jax.tree.map(lambda y, k: (y + by * k).astype(y.dtype), state, slope)
