"""What every device offers: a state, its dynamics, and ways to read it."""

from __future__ import annotations

import abc
import difflib
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Bool, Scalar, ScalarLike
from ._parameters import Parameter, declared_parameters

Device = TypeVar("Device", bound="AbstractDevice")

Path = Literal["write", "read"]
"""Which electrodes a voltage is put on; devices with two terminals have one path for both."""


class AbstractDevice(eqx.Module):
    """A device: parameters (leaves), state, dynamics and read-out, for *one* device.

    Batches come from `jax.vmap` over the device, the state or both. A device of the library is a
    final subclass; parameters are differentiable leaves in SI units (barriers in eV).

    The methods without an underscore are for users. Those of the second group are what
    `analogjax.simulate` needs; they share a `workspace` (what depends on parameters only, prepared
    once a simulation) and `fields` (quantities that follow the state without inertia, such as the
    potential and the temperature, handed on as a starting value).
    """

    PARAMETERS: ClassVar[dict[str, Parameter]] = {}

    read_voltage: eqx.AbstractVar[Scalar]

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        cls.PARAMETERS = {**cls.PARAMETERS, **declared_parameters(cls)}

    @abc.abstractmethod
    def init_state(self) -> PyTree:
        """Return the state of the fresh (formed, not yet conditioned) device."""

    @abc.abstractmethod
    def current(self, v: ScalarLike, state: PyTree) -> Scalar:
        """Return the current [A] under a write voltage [V]."""

    @abc.abstractmethod
    def read(self, state: PyTree) -> Scalar:
        """Return the resistance [ohm] at the device's read voltage."""

    def conductance(self, state: PyTree) -> Scalar:
        """Return the reciprocal of `read` [S]."""
        return 1 / self.read(state)

    # What `simulate` needs.

    @property
    def default_solver(self) -> str:
        """Name of the solver that suits the dynamics; see `analogjax.simulation.SOLVERS`."""
        return "heun"

    @property
    def potentiation(self) -> float:
        """Sign of the write voltage that lowers the resistance."""
        return 1.0

    @property
    def responds(self) -> bool:
        """Whether pulses move the state; if not, levels are programmed directly."""
        return True

    @property
    def needs_float64(self) -> bool:
        """Whether the dynamics are too stiff, or too slow, for single precision."""
        return False

    @abc.abstractmethod
    def prepare(self) -> PyTree:
        """Return the workspace: what depends on parameters only."""

    @abc.abstractmethod
    def initial_fields(self, state: PyTree) -> PyTree:
        """Return quasi-static fields to start from, at 0 V."""

    @abc.abstractmethod
    def settle(
        self, v: Scalar, state: PyTree, fields: PyTree, workspace: PyTree, path: Path
    ) -> PyTree:
        """Return the fields right after the voltage has jumped to v, the state as it was."""

    @abc.abstractmethod
    def rate(
        self, v: Scalar, state: PyTree, fields: PyTree, workspace: PyTree, path: Path
    ) -> tuple[PyTree, PyTree]:
        """Return the time derivative of the state [1/s] and the fields that go with it."""

    @abc.abstractmethod
    def fastest(self, fields: PyTree) -> Scalar:
        """Return the rate [1/s] whose inverse is the longest stable explicit step."""

    @abc.abstractmethod
    def rest(self, state: PyTree, duration: ScalarLike) -> PyTree:
        """Return the state after `duration` [s] at 0 V."""

    @abc.abstractmethod
    def read_warm(
        self, state: PyTree, fields: PyTree, elapsed: Scalar, workspace: PyTree
    ) -> Scalar:
        """Return the resistance [ohm] a time [s] after a write that ended with these fields."""

    @abc.abstractmethod
    def observe(
        self,
        v: Scalar,
        plateau: PyTree,
        fields: PyTree,
        after: PyTree,
        guess: PyTree,
        workspace: PyTree,
    ) -> tuple[Scalar, Scalar, PyTree]:
        """Return current at v on the plateau [A], resistance after it [ohm], and a next guess."""

    @abc.abstractmethod
    def valid(self, state: PyTree) -> Bool[Array, ""]:
        """Return whether a state is one the model can be in (finite, within its bounds)."""

    def check_state(self, state: PyTree) -> None:
        """Raise if a (concrete) state is one that the device cannot be in.

        Raises:
            ValueError: It is.
        """

    def project(self, state: PyTree) -> PyTree:
        """Return the nearest state within hard bounds; applied after every time step."""
        return state

    def overshoot(self, before: PyTree, after: PyTree) -> PyTree:
        """Return how far a step has gone beyond a bound that the motion itself never crosses.

        Added to the error of the step, which is then repeated with a shorter one. For bounds that
        the motion runs into, use `project`.
        """
        return jax.tree.map(jnp.zeros_like, after)

    def holds(self, fields: PyTree) -> Bool[Array, ""]:
        """Return whether the equations hold in these fields (not too hot, too strong, too fast)."""
        return jnp.ones((), bool)

    # What chance does to a device; deterministic unless a device says otherwise.

    @property
    def stochastic(self) -> bool:
        """Whether the dynamics are a stochastic differential equation; see `diffusion`."""
        return False

    def diffusion(
        self, v: Scalar, state: PyTree, fields: PyTree, workspace: PyTree, path: Path
    ) -> PyTree:
        """Return s of ``dx = rate dt + s dW`` (Ito, one Wiener process a component) [1/s^(1/2)]."""
        return jax.tree.map(jnp.zeros_like, state)

    def begin(self, v: Scalar, state: PyTree, *, key: PRNGKeyArray) -> PyTree:
        """Return the state at the beginning of a write of this voltage (lifetime: one cycle).

        Where a device draws what differs from cycle to cycle.
        """
        return state

    def read_noise(self, resistance: Scalar, state: PyTree, *, key: PRNGKeyArray) -> Scalar:
        """Return what one read of a resistance [ohm] gives (lifetime: fresh, per read).

        Noise of the device itself; that of the instrument comes on top of it.
        """
        return resistance

    def draw_state(self, state: PyTree, *, key: PRNGKeyArray) -> PyTree:
        """Return one of the states whose mean is `state` (lifetime: frozen, until the next write).

        What makes two devices with equal parameters differ: a finite number of particles.
        """
        return state

    def fluctuate(
        self, state: PyTree, fields: PyTree, duration: ScalarLike, *, key: PRNGKeyArray
    ) -> PyTree:
        """Return the state with the randomness that a write of this duration [s] has added.

        Args:
            state: The state at the end of the write.
            fields: The fields of the write.
            duration: How long it was on [s].
            key: Random key.
        """
        return state

    # Parameters by name.

    def replace(self: Device, **parameters: Any) -> Device:
        """Return a copy with other parameter values, by name.

        Raises:
            ValueError: A name is not a parameter of this device (the nearest is named), or a
                concrete value is outside what the parameter allows.
        """
        checked = check_parameters(type(self), parameters)
        names = tuple(checked)
        if not names:
            return self
        dtype = jnp.result_type(float)
        changed = eqx.tree_at(
            lambda device: tuple(getattr(device, name) for name in names),
            self,
            tuple(jnp.asarray(checked[name], dtype) for name in names),
        )
        changed.check()
        return changed

    def check(self) -> None:
        """Raise unless the (concrete) parameters fit together; nothing to check by default."""
        return

    def parameters(self) -> dict[str, Scalar]:
        """Return every parameter leaf by name, in the order of `PARAMETERS`."""
        return {name: getattr(self, name) for name in self.PARAMETERS}


def check_names(kind: type[AbstractDevice], names: Iterable[str]) -> None:
    """Raise unless every name is a parameter of a device class; the message names the nearest."""
    for name in names:
        if name not in kind.PARAMETERS:
            near = difflib.get_close_matches(name, kind.PARAMETERS, n=1)
            hint = f", did you mean `{near[0]}`?" if near else "."
            raise ValueError(
                f"Argument `{name}` must be a parameter of {kind.__name__}, but it has none of "
                f"that name{hint}"
            )


def check_parameters(kind: type[AbstractDevice], values: dict[str, Any]) -> dict[str, Any]:
    """Check names and (concrete) values of parameters; see `AbstractDevice.replace`."""
    check_names(kind, values)
    for name, value in values.items():
        kind.PARAMETERS[name].check(name, value)
    return values
