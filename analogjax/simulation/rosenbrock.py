"""An adaptive solver for stiff devices of a few state numbers.

Rates of a filament span twenty decades, and switching runs away: an explicit method needs too many
steps, a fully implicit one too many evaluations. A Rosenbrock method solves one linear system per
stage with the exact Jacobian, without Newton iterations. diffrax has none; it does the stepping,
the step-size control and the adjoint.
"""

from __future__ import annotations

from typing import ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._checks import check_positive
from .solvers import AbstractSolver, Motion, device_of, integrate

# RODAS, order 4(3), L-stable and stiffly accurate: E. Hairer and G. Wanner, Solving Ordinary
# Differential Equations II (1996), IV.7 and IV.10, in the form that needs no product with J.
_GAMMA = 0.25
_NODES = np.array([0.0, 0.386, 0.21, 0.63, 1.0, 1.0])
_GAMMAS = np.array([0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0])
_A = np.zeros((6, 6))
_A[1, :1] = [1.544]
_A[2, :2] = [0.9466785280815826, 0.2557011698983284]
_A[3, :3] = [3.314825187068521, 2.896124015972201, 0.9986419139977817]
_A[4, :4] = [1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950]
_A[5, :5] = [*_A[4, :4], 1.0]
_C = np.zeros((6, 6))
_C[1, :1] = [-5.6688]
_C[2, :2] = [-2.430093356833875, -0.2063599157091915]
_C[3, :3] = [-0.1073529058151375, -9.594562251023355, -20.47028614809616]
_C[4, :4] = [7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160]
_C[5, :5] = [
    8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136,
    -6.058818238834054,
]  # fmt: skip
_M = np.array([*_A[5, :5], 1.0])


class _Rodas(diffrax.AbstractSolver):
    """RODAS on a device's motion, handing quasi-static fields from stage to stage."""

    term_structure: ClassVar = Motion
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def order(self, terms):
        return 4

    def error_order(self, terms):
        return 4.0

    def strong_order(self, terms):
        return None

    def init(self, terms, t0, t1, y0, args):
        return args

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
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

        ks = [solve(h * first + _GAMMAS[0] * h**2 * by_time)]
        for i in range(1, 6):
            y = flat + sum(a * k for a, k in zip(_A[i], ks, strict=False) if a)
            slope, fields = f(t0 + _NODES[i] * h, y, fields)
            carried = sum(c * k for c, k in zip(_C[i], ks, strict=False) if c)
            ks.append(solve(h * slope + carried + _GAMMAS[i] * h**2 * by_time))
        y1 = flat + sum(m * k for m, k in zip(_M, ks, strict=True))
        y1 = device_of(terms).project(unravel(y1))
        return y1, unravel(ks[5]), dict(y0=y0, y1=y1), fields, diffrax.RESULTS.successful


class Rosenbrock(AbstractSolver):
    """RODAS (fourth order, L-stable) with step-size control, for devices of few state numbers."""

    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    def __init__(self, rtol: float = 1e-6, atol: float = 1e-6, *, max_steps: int = 4096):
        """Choose tolerances.

        Args:
            rtol: Relative tolerance of a step.
            atol: Absolute tolerance of a step, in units of the state.
            max_steps: Most steps a pulse may take.

        Raises:
            ValueError: A tolerance not above zero or (in float32) too tight.
        """
        check_positive("rtol", rtol)
        check_positive("atol", atol)
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
            rule=_Rodas(),
            dt0=dt0,
            controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol),
            max_steps=self.max_steps,
        )  # fmt: skip
