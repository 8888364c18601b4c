"""An adaptive solver for stiff devices of a few state numbers.

Rates of a filament span twenty decades, and switching runs away: an explicit method needs too many
steps, a fully implicit one too many evaluations. A Rosenbrock method solves one linear system per
stage with the exact Jacobian, without Newton iterations. diffrax has none; it does the stepping,
the step-size control and the adjoint.
"""

from __future__ import annotations

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._checks import check_positive, check_whole
from .solvers import AbstractSolver, DeviceMethod, Motion, device_of, integrate

# RODASP, order 4(3), L-stable and stiffly accurate, without loss of order where the slope depends
# on time: G. Steinebach (1995), as in E. Hairer and G. Wanner's RODAS, in the form that needs no
# product with the Jacobian.
_GAMMA = 0.25
_NODES = np.array([0.0, 0.75, 0.21, 0.63, 1.0, 1.0])
_GAMMAS = np.array([0.25, -0.5, -0.023504, -0.0362, 0.0, 0.0])
_A = np.zeros((6, 6))
_A[1, :1] = [3.0]
_A[2, :2] = [1.831036793486759, 0.4955183967433795]
_A[3, :3] = [2.304376582692669, -0.05249275245743001, -1.176798761832782]
_A[4, :4] = [-7.170454962423024, -4.741636671481785, -16.31002631330971, -1.062004044111401]
_A[5, :5] = [*_A[4, :4], 1.0]
_C = np.zeros((6, 6))
_C[1, :1] = [-12.0]
_C[2, :2] = [-8.791795173947035, -2.207865586973518]
_C[3, :3] = [10.81793056857153, 6.780270611428266, 19.53485944642410]
_C[4, :4] = [34.19095006749676, 15.49671153725963, 54.74760875964130, 14.16005392148534]
_C[5, :5] = [
    34.62605830930532, 15.30084976114473, 56.99955578662667, 18.40807009793095,
    -5.714285714285717,
]  # fmt: skip
_M = np.array([*_A[5, :5], 1.0])


class Rodasp(DeviceMethod):
    """One step of RODASP on a device's motion."""

    def order(self, terms):
        """4."""
        return 4

    def error_order(self, terms):
        """4: of a local error, which the estimate of third order has."""
        return 4.0

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        """Return the new state, the estimate of its error, and the fields."""
        h = jnp.asarray(t1 - t0)
        flat, unravel = ravel_pytree(y0)

        def f(s, y, fields):
            slope, fields = terms.vf(s, unravel(y), fields)
            return ravel_pytree(slope)[0], fields

        # One linearisation gives the slope, its Jacobian and its derivative by time.
        first, push, fields = jax.linearize(
            lambda s, y: f(s, y, solver_state), t0, flat, has_aux=True
        )
        none = jnp.zeros_like(flat)
        by_time = push(jnp.ones_like(t0), none)
        jacobian = jax.vmap(lambda e: push(jnp.zeros_like(t0), e), out_axes=1)(
            jnp.eye(flat.size, dtype=flat.dtype)
        )
        # h times the equation of a stage: a plateau whose step is tiny divides by nothing.
        matrix = jnp.eye(flat.size, dtype=flat.dtype) / _GAMMA - h * jacobian

        def solve(right):
            if flat.size == 1:
                return right / matrix[0]
            return jnp.linalg.solve(matrix, right)

        def stage(carry, inputs):
            ks, fields = carry
            index, a, c, node, gamma = inputs
            slope, fields = f(t0 + node * h, flat + a @ ks, fields)
            k = solve(h * slope + c @ ks + gamma * h**2 * by_time)
            return (ks.at[index].set(k), fields), None

        ks = jnp.zeros((6, flat.size), flat.dtype)
        ks = ks.at[0].set(solve(h * first + _GAMMAS[0] * h**2 * by_time))
        rest = [jnp.asarray(x[1:], flat.dtype) for x in (_A, _C, _NODES, _GAMMAS)]
        # One copy of the equations for five stages: compiling them is what takes time.
        (ks, fields), _ = jax.lax.scan(stage, (ks, fields), (jnp.arange(1, 6), *rest))
        y1 = flat + jnp.asarray(_M, flat.dtype) @ ks
        y1, device = unravel(y1), device_of(terms)
        excess = device.overshoot(y0, y1)
        error = jax.tree.map(lambda e, x: jnp.abs(e) + jnp.abs(x), unravel(ks[5]), excess)
        y1 = device.project(y1)
        return y1, error, dict(y0=y0, y1=y1), fields, diffrax.RESULTS.successful


class Rosenbrock(AbstractSolver):
    """RODASP (fourth order, L-stable) with step-size control, for devices of few state numbers."""

    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    def __init__(
        self, rtol: float | None = None, atol: float | None = None, *, max_steps: int = 4096
    ):
        """Choose tolerances.

        Args:
            rtol: Relative tolerance of a step; 1e-6 if None, in float32 1e-5.
            atol: Absolute tolerance of a step, in units of the state; likewise.
            max_steps: Most steps a pulse may take.

        Raises:
            ValueError: A tolerance not above zero or (in float32) too tight, `max_steps` below one.
        """
        usual = 1e-6 if jax.config.read("jax_enable_x64") else 1e-5
        rtol, atol = (usual if x is None else x for x in (rtol, atol))
        check_positive("rtol", rtol)
        check_positive("atol", atol)
        check_whole("max_steps", max_steps)
        if not jax.config.read("jax_enable_x64") and rtol < 1e-5:
            raise ValueError(f"Argument `rtol` must be at least 1e-5 in float32, but is {rtol:g}.")
        self.rtol, self.atol, self.max_steps = rtol, atol, max_steps

    def advance(self, device, workspace, state, fields, plateau, adjoint, *, key=None):
        """Step through one plateau; see `AbstractSolver`."""
        fields = device.settle(plateau.start, state, fields, workspace, plateau.path)
        slope, _ = Motion(device, workspace, plateau).vf(jnp.zeros(()), state, fields)
        fastest = jnp.max(jnp.abs(ravel_pytree(slope)[0]))
        # A first step that moves the state by some hundredths; at rest the controller decides.
        dt0 = jax.lax.stop_gradient(jnp.clip(0.03 / (fastest + 1e-30), 1e-12, 1.0))
        return integrate(
            device, workspace, state, fields, plateau,
            adjoint.to_diffrax(min(32, self.max_steps)),
            rule=Rodasp(),
            dt0=dt0,
            controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol),
            max_steps=self.max_steps,
        )  # fmt: skip
