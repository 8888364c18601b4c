"""Programmed-state devices: known by the states they are left in, not by how pulses move them.

What is published of large arrays is the scatter about a target conductance after programming, and
what becomes of it. Such a device is written as a whole (`program`), rests, and is read. The three
lifetimes of its randomness are apart: the write error is *frozen* (drawn by `program`), what drifts
is *slow* (a function of the time since programming and of what `program` drew), the noise of a read
is *fresh* (`read_noise`).
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_between, check_not_negative, is_traced
from .._types import Array, Bool, Scalar, ScalarLike
from ._base import Path
from ._presets import AbstractPresetDevice


class ProgrammedState(eqx.Module):
    """What `program` leaves behind."""

    conductance: Scalar
    """Right after programming, write error included [S]."""
    character: Scalar
    """What was drawn for the drift of this device; what it means is the device's affair."""
    elapsed: Scalar
    """Time since programming [s]."""


class AbstractProgrammedDevice(AbstractPresetDevice):
    """A device that is programmed to a conductance as a whole, and is ohmic.

    A subclass declares its parameters, among them those below, and defines `program`,
    `conductance_of` and `read_std`.
    """

    read_voltage: eqx.AbstractVar[Scalar]
    g_min: eqx.AbstractVar[Scalar]
    """Smallest conductance that is programmed [S]."""
    g_max: eqx.AbstractVar[Scalar]
    """Largest conductance that is programmed [S]."""
    floor: eqx.AbstractVar[Scalar]
    """Where every conductance ends below [S], so that resistances are finite."""

    # What a subclass says.

    @abc.abstractmethod
    def program(
        self, conductance: ScalarLike, *, key: PRNGKeyArray | None = None
    ) -> ProgrammedState:
        """Return the state after programming to a conductance [S].

        Args:
            conductance: The target [S], up to `g_max`.
            key: Random key of the write error; None leaves chance out.
        """

    @abc.abstractmethod
    def drawn(
        self, conductance: ScalarLike, write: ScalarLike, slow: ScalarLike
    ) -> ProgrammedState:
        """Return the state that `program` leaves behind when it draws these two numbers.

        So that statistics of many devices follow by quadrature, without drawing.

        Args:
            conductance: The target [S], not checked.
            write: Standard normal number of the write error; the conductance rises with it.
            slow: Likewise of what drifts.
        """

    @abc.abstractmethod
    def conductance_of(self, state: ProgrammedState) -> Scalar:
        """Return the conductance [S] at the state's time, without the noise of a read."""

    def read_std(self, state: ProgrammedState) -> Scalar:
        """Return the standard deviation [S] of what single reads give; none by default."""
        return jnp.zeros_like(state.conductance)

    # What follows.

    @property
    def window(self) -> tuple[Scalar, Scalar]:
        """Highest and lowest resistance that are programmed [ohm]."""
        return 1 / jnp.maximum(self.g_min, self.floor), 1 / self.g_max

    @property
    def responds(self) -> bool:
        """False: no response to pulses is known."""
        return False

    def check(self) -> None:
        """Raise unless (concrete) window and floor lie below `g_max`."""
        for name in ("g_min", "floor"):
            value = getattr(self, name)
            if is_traced(value) or is_traced(self.g_max):
                continue
            if np.any(np.asarray(value) >= np.asarray(self.g_max)):
                raise ValueError(
                    f"Argument `{name}` must be below `g_max` = {float(self.g_max):g} S, "
                    f"but is {float(value):g}."
                )

    def check_target(self, conductance: Any) -> None:
        """Raise unless a (concrete) target [S] lies within 0 and `g_max`."""
        if not is_traced(self.g_max):
            # Round-off of a reciprocal resistance is let pass.
            check_between("conductance", conductance, 0.0, float(self.g_max) * (1 + 1e-6), "S")

    def init_state(self) -> ProgrammedState:
        """Return the state of the smallest conductance, as if just programmed without error."""
        return self.program(self.g_min)

    def current(self, v: ScalarLike, state: ProgrammedState) -> Scalar:
        """Return the current [A]: ohmic."""
        return v * self._limited(self.conductance_of(state))

    def read(self, state: ProgrammedState) -> Scalar:
        """Return the resistance [ohm]."""
        return 1 / self._limited(self.conductance_of(state))

    def read_noise(
        self, resistance: Scalar, state: ProgrammedState, *, key: PRNGKeyArray
    ) -> Scalar:
        """Return what one read gives [ohm]: normal in the conductance, by `read_std`."""
        normal = jax.random.normal(key, resistance.shape, resistance.dtype)
        return 1 / self._limited(1 / resistance + self.read_std(state) * normal)

    def rest(self, state: ProgrammedState, duration: ScalarLike) -> ProgrammedState:
        """Return the state later: time passes, and what drifts follows from it."""
        check_not_negative("duration", duration, "s")
        return eqx.tree_at(lambda s: s.elapsed, state, state.elapsed + duration)

    def valid(self, state: ProgrammedState) -> Bool[Array, ""]:
        """Return whether the state is finite and of a conductance above zero."""
        finite = [jnp.isfinite(leaf) for leaf in jax.tree.leaves(state)]
        return jnp.all(jnp.stack(finite)) & (state.conductance > 0)

    def written(
        self, conductance: ScalarLike, deviation: ScalarLike, character: ScalarLike
    ) -> ProgrammedState:
        """Return the state at a target with a write error, both [S], cut off at the floor."""
        g = self._limited(jnp.asarray(conductance + deviation, self.g_max.dtype))
        return ProgrammedState(g, jnp.asarray(character, g.dtype), jnp.zeros_like(g))

    def _limited(self, conductance: Scalar) -> Scalar:
        return jnp.maximum(conductance, self.floor)

    # What `simulate` needs: time passes, and nothing else happens. The fields are the voltage.

    def prepare(self) -> PyTree:
        """Return nothing: there is nothing to prepare."""
        return ()

    def initial_fields(self, state: ProgrammedState) -> Scalar:
        """Return 0 V."""
        return jnp.zeros_like(state.conductance)

    def settle(
        self, v: Scalar, state: ProgrammedState, fields: PyTree, workspace: PyTree, path: Path
    ) -> Scalar:
        """Return the voltage."""
        return jnp.asarray(v, state.conductance.dtype)

    def rate(
        self, v: Scalar, state: ProgrammedState, fields: PyTree, workspace: PyTree, path: Path
    ) -> tuple[ProgrammedState, Scalar]:
        """Return what a read does: time passes."""
        zero = jnp.zeros_like(state.conductance)
        moved = ProgrammedState(zero, zero, jnp.ones_like(zero))
        return moved, self.settle(v, state, fields, workspace, path)

    def fastest(self, fields: PyTree) -> Scalar:
        """Return zero: one step is exact."""
        return jnp.zeros(())

    def holds(self, fields: Scalar) -> Bool[Array, ""]:
        """Return whether the voltage is at most that of a read (more would write)."""
        return jnp.abs(fields) <= self.read_voltage * (1 + 1e-6)

    def read_warm(
        self, state: ProgrammedState, fields: PyTree, elapsed: Scalar, workspace: PyTree
    ) -> Scalar:
        """Return the resistance [ohm]."""
        return self.read(state)

    def observe(
        self,
        v: Scalar,
        plateau: ProgrammedState,
        fields: PyTree,
        after: ProgrammedState,
        guess: PyTree,
        workspace: PyTree,
    ) -> tuple[Scalar, Scalar, PyTree]:
        """Return the current at v on the plateau [A] and the resistance after it [ohm]."""
        return self.current(v, plateau), self.read(after), guess
