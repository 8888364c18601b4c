"""A solver for devices whose dynamics are a stochastic differential equation.

The path of the Wiener process is diffrax's `VirtualBrownianTree`: it belongs to the key, not to the
steps, so that more steps refine the same path. The steps are equal and known beforehand, a plain
scan (compare `solvers._equal_steps`).
"""

from __future__ import annotations

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._checks import check_whole
from .result import Status
from .rosenbrock import Rosenbrock
from .solvers import AbstractSolver, Motion, StepResult


class EulerMaruyama(AbstractSolver):
    """Ito's ``dx = f dt + s dW`` by the Euler-Maruyama method, linearly implicit in its damping.

    ``x' = x + (1 - h d)^-1 (h f + s dW)`` with ``d = min(df/dx, 0)``, component by component: a
    fast relaxation is damped instead of overshot, a runaway is left explicit. Strong order 1/2
    (1 where s does not depend on x), weak order 1.

    Hard bounds: the state is put back on the nearest bound (`AbstractDevice.project`) after every
    step and may leave it in the next, which is reflection (the limit of small steps is the
    reflected diffusion), not absorption.

    Without a key, or for a device that is not `stochastic`, it is `Rosenbrock`.
    """

    steps: int = eqx.field(static=True)
    """Steps per plateau."""
    deterministic: Rosenbrock
    """What is used without a key."""

    def __init__(self, steps: int = 256, *, deterministic: Rosenbrock | None = None):
        """Choose the number of steps.

        Args:
            steps: Steps per plateau; they are equal.
            deterministic: The solver without a key; `Rosenbrock()` if None.

        Raises:
            ValueError: `steps` below one.
        """
        self.steps = check_whole("steps", steps)
        self.deterministic = deterministic or Rosenbrock()

    def advance(self, device, workspace, state, fields, plateau, adjoint, *, key=None):
        """Step through one plateau; see `AbstractSolver`."""
        if key is None or not device.stochastic:
            return self.deterministic.advance(
                device, workspace, state, fields, plateau, adjoint, key=key
            )
        fields = device.settle(plateau.start, state, fields, workspace, plateau.path)
        motion = Motion(device, workspace, plateau)
        start, unravel = ravel_pytree(state)
        h = jnp.asarray(1 / self.steps, start.dtype)
        times = jnp.arange(self.steps, dtype=start.dtype) * h
        kicks = self._kicks(key, start)

        def drift(s, flat, fields):
            slope, fields = motion.vf(s, unravel(flat), fields)
            return ravel_pytree(slope)[0], fields

        def step(carry, inputs):
            flat, fields = carry
            s, kick = inputs
            slope, push, new = jax.linearize(lambda y: drift(s, y, fields), flat, has_aux=True)
            damping = jnp.diag(jax.vmap(push)(jnp.eye(flat.size, dtype=flat.dtype)))
            spread = device.diffusion(
                plateau.voltage(s), unravel(flat), new, workspace, plateau.path
            )
            # Per unit of scaled time, as the slope is.
            spread = ravel_pytree(spread)[0] * jnp.sqrt(plateau.duration)
            move = (h * slope + spread * kick) / (1 - h * jnp.minimum(damping, 0.0))
            flat, _ = ravel_pytree(device.project(unravel(flat + move)))
            return (flat, new), None

        step = jax.checkpoint(step, prevent_cse=False)
        (flat, fields), _ = jax.lax.scan(step, (start, fields), (times, kicks))
        zero = jnp.zeros((), jnp.int32)
        return StepResult(unravel(flat), fields, zero + Status.SUCCESS, zero + self.steps, zero)

    def _kicks(self, key, start):
        """Return the increments of the Wiener process over every step, (steps, components)."""
        path = diffrax.VirtualBrownianTree(
            0.0,
            1.0,
            # Finer than a step; the values that two depths share are the same.
            tol=2.0 ** -self.steps.bit_length(),
            shape=jax.ShapeDtypeStruct(start.shape, start.dtype),
            key=key,
        )
        times = jnp.linspace(0.0, 1.0, self.steps + 1, dtype=start.dtype)
        return jnp.diff(jnp.asarray(jax.vmap(path.evaluate)(times)), axis=0)
