"""Cycle to cycle: parameters drawn anew whenever the polarity of writing changes."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Bool, Float, Scalar, ScalarLike
from ._base import AbstractDevice, Path, check_names
from ._compact import AbstractCompactDevice, with_velocity
from .variability import Spread


class CycleState(eqx.Module):
    """State of the device, and of the parameters that differ from cycle to cycle."""

    inner: Scalar
    """State of the device."""
    begun: Scalar
    """The same, where the polarity last changed."""
    old: Float[Array, " names"]
    """Parameters then, in the order of `Spread.names`."""
    new: Float[Array, " names"]
    """Where they are going."""
    polarity: Scalar
    """Sign of the last write; 0 before the first one."""


class CycleToCycle(AbstractDevice):
    """A compact device whose parameters differ from one half cycle to the next.

    At the first write of a new polarity, parameters are drawn around those of the device. Those
    named by `follow` move there with the state, ``p = p_old + (p_new - p_old) progress``, where the
    progress runs from 0 at the change of polarity to 1 at the end of the range (the rule of JART
    VCM v1b-var: C. Bengel et al., IEEE TCAS-I 67, 4618 (2020), equations 21 to 24); others jump.

    Nothing is drawn unless `simulate` is given a key: without one this is the device itself. Draw
    the device from its own spread with `sample_devices` first for variation between devices.
    """

    device: AbstractCompactDevice
    spread: Spread
    follow: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, device: AbstractDevice, spread: Spread, *, follow: tuple[str, ...] = ()):
        """Make the device.

        Args:
            device: The device, with its nominal parameters.
            spread: Which parameters differ, and by how much.
            follow: Those that move with the state.

        Raises:
            ValueError: A device with more than one state number or with a law per pulse, a spread
                without names, a name that is no parameter of the device or has no spread.
        """
        device = with_velocity(device)
        if not isinstance(spread, Spread) or not spread.names:
            raise ValueError("Argument `spread` must be a `Spread` that names a parameter.")
        check_names(type(device), spread.names)
        for name in follow:
            if name not in spread.names:
                raise ValueError(
                    f"Argument `follow` must name parameters of the spread, but names {name}."
                )
        self.device, self.spread, self.follow = device, spread, tuple(follow)

    def now(self, state: CycleState) -> AbstractCompactDevice:
        """Return the device with the parameters that it has in a state."""
        names = self.spread.names
        moving = jnp.asarray([name in self.follow for name in names])
        done = jnp.clip(self._before(state).progress(state.begun, state.inner), 0.0, 1.0)
        share = jnp.where(moving, done, 1.0)
        values = state.old + (state.new - state.old) * share
        return self._with(values)

    # The rest is the device's own.

    @property
    def read_voltage(self) -> Scalar:
        """Read voltage of the device [V]."""
        return self.device.read_voltage

    @property
    def potentiation(self) -> float:
        """As the device."""
        return self.device.potentiation

    @property
    def needs_float64(self) -> bool:
        """As the device."""
        return self.device.needs_float64

    @property
    def default_solver(self) -> str:
        """As the device."""
        return self.device.default_solver

    @property
    def stochastic(self) -> bool:
        """As the device."""
        return self.device.stochastic

    def __getattr__(self, name: str) -> Any:  # noqa: D105
        # Ambient temperature, thermal time: what some devices have and others do not.
        if name in ("ambient_temperature", "thermal_time"):
            return getattr(self.device, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def parameters(self) -> dict[str, Scalar]:
        """Return the nominal parameters."""
        return self.device.parameters()

    def replace(self, **parameters: Any) -> CycleToCycle:
        """Return a copy with other nominal parameters."""
        return CycleToCycle(self.device.replace(**parameters), self.spread, follow=self.follow)

    def init_state(self, *arguments: Any, **options: Any) -> CycleState:
        """Return the device's initial state (its arguments), with nominal parameters."""
        inner = self.device.init_state(*arguments, **options)
        nominal = self._nominal()
        return CycleState(inner, inner, nominal, nominal, jnp.zeros_like(inner))

    def begin(self, v: Scalar, state: CycleState, *, key: PRNGKeyArray) -> CycleState:
        """Draw new parameters if the polarity changes."""
        sign = jnp.sign(v).astype(state.polarity.dtype)
        turned = (sign != 0) & (sign != state.polarity)
        here = self.now(state)
        names = self.spread.names
        keys = jax.random.split(key, len(names))
        nominal = self.device.parameters()
        drawn = jnp.stack(
            [self.spread.draw(n, nominal[n], key=k) for n, k in zip(names, keys, strict=True)]
        )
        fresh = CycleState(
            state.inner, state.inner, jnp.stack([getattr(here, n) for n in names]), drawn, sign
        )
        return jax.tree.map(lambda a, b: jnp.where(turned, a, b), fresh, state)

    def current(self, v: ScalarLike, state: CycleState) -> Scalar:
        """Return the current [A] under a voltage [V]."""
        return self.now(state).current(v, state.inner)

    def read(self, state: CycleState) -> Scalar:
        """Return the resistance [ohm] at the read voltage."""
        return self.now(state).read(state.inner)

    def read_noise(self, resistance: Scalar, state: CycleState, *, key: PRNGKeyArray) -> Scalar:
        """Return what one read gives [ohm]."""
        return self.now(state).read_noise(resistance, state.inner, key=key)

    def prepare(self) -> PyTree:
        """Prepare the device."""
        return self.device.prepare()

    def initial_fields(self, state: CycleState) -> PyTree:
        """Return the device's fields at 0 V."""
        return self.device.initial_fields(state.inner)

    def settle(
        self, v: Scalar, state: CycleState, fields: PyTree, workspace: PyTree, path: Path
    ) -> PyTree:
        """Return the device's fields right after a jump of the voltage."""
        return self.now(state).settle(v, state.inner, fields, workspace, path)

    def rate(
        self, v: Scalar, state: CycleState, fields: PyTree, workspace: PyTree, path: Path
    ) -> tuple[CycleState, PyTree]:
        """Return the device's rate [1/s]; nothing else moves by itself."""
        rate, fields = self.now(state).rate(v, state.inner, fields, workspace, path)
        still = jax.tree.map(jnp.zeros_like, state)
        return eqx.tree_at(lambda s: s.inner, still, rate), fields

    def diffusion(
        self, v: Scalar, state: CycleState, fields: PyTree, workspace: PyTree, path: Path
    ) -> CycleState:
        """Return the device's diffusion [1/s^(1/2)]."""
        amount = self.now(state).diffusion(v, state.inner, fields, workspace, path)
        return eqx.tree_at(lambda s: s.inner, jax.tree.map(jnp.zeros_like, state), amount)

    def fastest(self, fields: PyTree) -> Scalar:
        """Return the device's fastest rate [1/s]."""
        return self.device.fastest(fields)

    def rest(self, state: CycleState, duration: ScalarLike) -> CycleState:
        """Return the state after a time [s] at 0 V."""
        return self._moved(state, self.now(state).rest(state.inner, duration))

    def read_warm(
        self, state: CycleState, fields: PyTree, elapsed: Scalar, workspace: PyTree
    ) -> Scalar:
        """Return the resistance [ohm] a time [s] after a write."""
        return self.now(state).read_warm(state.inner, fields, elapsed, workspace)

    def observe(
        self,
        v: Scalar,
        plateau: CycleState,
        fields: PyTree,
        after: CycleState,
        guess: PyTree,
        workspace: PyTree,
    ) -> tuple[Scalar, Scalar, PyTree]:
        """Return the current at v on the plateau [A] and the resistance after it [ohm]."""
        return self.current(v, plateau), self.read(after), guess

    def check_state(self, state: CycleState) -> None:
        """Raise if the device cannot be in a (concrete) state."""
        self.device.check_state(state.inner)

    def project(self, state: CycleState) -> CycleState:
        """Return the state within the device's bounds."""
        return self._moved(state, self.now(state).project(state.inner))

    def overshoot(self, before: CycleState, after: CycleState) -> CycleState:
        """Return how far a step has gone beyond the device's bounds."""
        excess = self.now(before).overshoot(before.inner, after.inner)
        return self._moved(jax.tree.map(jnp.zeros_like, after), excess)

    def valid(self, state: CycleState) -> Bool[Array, ""]:
        """Return whether the device's state is valid."""
        return self.device.valid(state.inner)

    def holds(self, fields: PyTree) -> Bool[Array, ""]:
        """Return whether the device's equations hold."""
        return self.device.holds(fields)

    # Inside.

    def _moved(self, state: CycleState, inner: Scalar) -> CycleState:
        return eqx.tree_at(lambda s: s.inner, state, inner)

    def _nominal(self) -> Float[Array, " names"]:
        return jnp.stack([getattr(self.device, name) for name in self.spread.names])

    def _with(self, values: Float[Array, " names"]) -> AbstractCompactDevice:
        names = self.spread.names
        return eqx.tree_at(
            lambda d: tuple(getattr(d, name) for name in names), self.device, tuple(values)
        )

    def _before(self, state: CycleState) -> AbstractCompactDevice:
        """The device with the parameters it is going to have: their bounds end the progress."""
        return self._with(state.new)
