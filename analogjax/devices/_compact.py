"""Compact devices: a state of one number and a current that follows it without inertia.

What most published models of memristors are. A subclass declares its parameters and says what its
current is and how fast its state moves; reading, resting, stepping and checking are written here.
"""

from __future__ import annotations

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import check_between, check_not_negative, check_not_zero, is_traced
from .._types import Array, Bool, Scalar, ScalarLike
from ._base import AbstractDevice, Path
from ._presets import AbstractPresetDevice


class AbstractCompactDevice(AbstractPresetDevice):
    """A device of one state number x with ``i = current(v, x)`` and ``dx/dt = velocity(v, x)``.

    A subclass declares its parameters as fields (`analogjax.devices.parameter`), among them
    ``read_voltage`` [V], and defines `init_state`, `current` and `velocity`; where they exist also
    `bounds`, `potentiation`, `rest` and `diffusion`. Presets are named sets of parameters.
    """

    # What a subclass says.

    @abc.abstractmethod
    def velocity(self, v: Scalar, state: Scalar) -> Scalar:
        """Return dx/dt [1/s] under a voltage [V]."""

    def bounds(self) -> tuple[ScalarLike, ScalarLike]:
        """Return the smallest and the largest state; a motion beyond them ends there."""
        return -jnp.inf, jnp.inf

    def check_state(self, state: Scalar) -> None:
        """Raise if a (concrete) state lies outside `bounds`, but for round-off.

        Raises:
            ValueError: It does.
        """
        low, high = self.bounds()
        if any(map(is_traced, (state, low, high))):
            return
        # NumPy: inside a compiled function JAX would trace even what is known.
        low, high = np.asarray(low), np.asarray(high)
        if low.ndim or high.ndim:
            return
        slack = 1e-4 * min(float(high - low), 1.0)
        check_between("state", state, float(low) - slack, float(high) + slack)

    def check(self) -> None:
        """Raise for a read voltage of zero, which reads nothing."""
        check_not_zero("read_voltage", self.read_voltage, "V")

    def progress(self, begun: Scalar, state: Scalar) -> Scalar:
        """Return how far a write has come: 0 where it began, 1 at the bound it runs towards."""
        low, high = self.bounds()
        bound = jnp.where(state > begun, high, low)
        span = bound - begun
        # At the bound already there is nowhere to go, and nothing to divide by.
        return (state - begun) / jnp.where(span == 0, 1.0, span)

    # What follows.

    @eqx.filter_jit
    def read(self, state: Scalar) -> Scalar:
        """Return the resistance [ohm] at the read voltage."""
        return self.read_voltage / self.current(self.read_voltage, state)

    @property
    def default_solver(self) -> str:
        """``"rosenbrock"``, or ``"sde"`` where the dynamics are stochastic."""
        return "sde" if self.stochastic else "rosenbrock"

    def prepare(self) -> PyTree:
        """Return nothing: there is nothing to prepare."""
        return ()

    def initial_fields(self, state: Scalar) -> PyTree:
        """Return nothing: the current needs no starting value."""
        return ()

    def settle(
        self, v: Scalar, state: Scalar, fields: PyTree, workspace: PyTree, path: Path
    ) -> PyTree:
        """Return the fields as they are."""
        return fields

    def rate(
        self, v: Scalar, state: Scalar, fields: PyTree, workspace: PyTree, path: Path
    ) -> tuple[Scalar, PyTree]:
        """Return dx/dt [1/s] and the fields as they are."""
        return self.velocity(v, state), fields

    def fastest(self, fields: PyTree) -> Scalar:
        """Return 1/s: nothing is known of the speed beforehand."""
        return jnp.ones(())

    def rest(self, state: Scalar, duration: ScalarLike) -> Scalar:
        """Return the state as it is: non-volatile unless a device says otherwise."""
        check_not_negative("duration", duration, "s")
        return state

    def read_warm(
        self, state: Scalar, fields: PyTree, elapsed: Scalar, workspace: PyTree
    ) -> Scalar:
        """Return the resistance [ohm]; heat follows the voltage without inertia."""
        return self.read(state)

    def observe(
        self,
        v: Scalar,
        plateau: Scalar,
        fields: PyTree,
        after: Scalar,
        guess: PyTree,
        workspace: PyTree,
    ) -> tuple[Scalar, Scalar, PyTree]:
        """Return the current at v on the plateau [A] and the resistance after it [ohm]."""
        return self.current(v, plateau), self.read(after), guess

    def project(self, state: Scalar) -> Scalar:
        """Return the state within `bounds`."""
        low, high = self.bounds()
        return jnp.clip(state, low, high)

    def valid(self, state: Scalar) -> Bool[Array, ""]:
        """Return whether the state is finite and within `bounds`."""
        low, high = self.bounds()
        return jnp.isfinite(state) & (state >= low) & (state <= high)


def with_velocity(device: AbstractDevice) -> AbstractCompactDevice:
    """Return the device if it is one of a state number with a velocity.

    Raises:
        ValueError: It has more than one state number, or a law per pulse instead of per second.
    """
    if isinstance(device, AbstractCompactDevice) and device.default_solver != "step":
        return device
    raise ValueError(
        "Argument `device` must have one state number and a velocity, but is a "
        f"{type(device).__name__}."
    )
