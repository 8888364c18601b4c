"""A reduced model of a film: a few states in place of a vacancy density, for very many devices.

The first state is the logarithm of the resistance itself (so that a read is exact), the others are
amplitudes of the modes in which the vacancy density varies most. While a pulse lasts they follow
an autonomous flow, a small network fitted to the full model by `distil`:

    dz/dt = A [z, 1] g(T) + exp(lambda_s(v, T)) F(z, s, v) / tau,     s = sign(v).

A is what happens at 0 V, lambda_s how much faster a higher voltage or a warmer substrate makes it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_not_negative, check_shape
from .._types import Array, Bool, Float, Scalar, ScalarLike
from ..devices import AbstractDevice, Parameter, Path

States = Float[Array, " states"]

PARAMETERS: dict[str, Parameter] = {
    "speed": Parameter(1.0, "-", "factor on the effective D t of every pulse", "1: as distilled"),
    "resistance_scale": Parameter(1.0, "-", "factor on every resistance", "1: as distilled"),
    "ambient_temperature": Parameter(300.0, "K", "temperature of the substrate", "as distilled"),
    "read_voltage": Parameter(0.1, "V", "of a read", "as distilled"),
    "thermal_time": Parameter(1e-4, "s", "time constant of cooling", "as distilled", zero=True),
}

MARGIN = 0.25
"""How far beyond the states seen in the fit, in units of their range, a state is believed."""


class Flow(eqx.Module):
    """The motion while writing: a network of one hidden layer, and how fast it runs."""

    inner: Float[Array, "hidden inputs"]
    bias: Float[Array, " hidden"]
    outer: Float[Array, "states hidden"]
    linear: Float[Array, "states inputs"]
    offset: States
    log_rate: Float[Array, "2 terms"]
    """Per polarity (+, -): coefficients of ln(v/v0), u^2, theta and u theta in the log of the rate,
    with u = v/v0 - 1 and theta = T/T0 - 1."""
    time: Scalar
    """Time scale tau [s]: that of the window at the writing amplitude."""

    def __call__(self, z: States, v: Scalar, theta: Scalar) -> States:
        """Return dz/dt [1/s] at a voltage in units of the writing amplitude."""
        one = jnp.ones((), z.dtype)
        sign = jnp.where(v < 0, -one, one)
        size = jnp.abs(v)
        u = size - 1
        positive, negative = self.log_rate
        coefficients = jnp.where(v < 0, negative, positive)
        rate = power(size, coefficients[0]) * jnp.exp(
            coefficients[1:] @ jnp.stack([u**2, theta, u * theta])
        )
        x = jnp.concatenate([z, sign * z, jnp.stack([u, sign, sign * u])])
        hidden = jnp.tanh(self.inner @ x + self.bias)
        return rate / self.time * (self.outer @ hidden + self.linear @ x + self.offset)


class ReducedFields(eqx.Module):
    """What a pulse leaves behind besides the states."""

    fastest: Scalar
    """Largest rate of a state [1/s]."""
    hops: Scalar
    """Rate of the hops of the vacancies over that at the writing amplitude."""


class ReducedDevice(AbstractDevice):
    """A device of a few states, distilled from a device whose state is a field.

    Made by `analogjax.programming.distil`; drops in wherever a device goes. All arrays are leaves:
    `to_arrays` and `from_arrays` store them, and a cast of all leaves to float32 gives a device
    that computes in float32. The state is an array ``(states,)``: the normalised logarithm of the
    resistance, then the amplitudes of the modes.
    """

    PARAMETERS: ClassVar[dict[str, Parameter]] = PARAMETERS

    speed: Scalar
    resistance_scale: Scalar
    ambient_temperature: Scalar
    read_voltage: Scalar
    thermal_time: Scalar

    amplitude: Scalar
    """Writing amplitude of the fit [V]."""
    reference_temperature: Scalar
    """Temperature of the substrate in the fit [K]."""
    log_resistance: Float[Array, "2"]
    """Mean and scale of ln R: ``ln R = mean + scale * z[0]`` at the reference temperature."""
    read_activation: Scalar
    """d ln R / d (T0 / T) with the temperature T of the substrate."""
    start: States
    """State that the device was distilled at."""
    bounds: Float[Array, "2 states"]
    """Lowest and highest value of every state in the fit."""
    flow: Flow
    generator: Float[Array, "states augmented"]
    """A of dz/dt = A [z, 1] [1/s]: the motion at 0 V."""
    rest_activation: Scalar
    """d ln(rate at 0 V) / d ln(T)."""
    log_conductance: Float[Array, " quadratic"]
    """ln(I/v) while writing, as a quadratic polynomial of the states, u and theta."""
    draw_factor: Float[Array, "3 states states"]
    """Cholesky factor of the covariance of a drawn state: quadratic polynomial of z[0]."""
    hop_factor: Float[Array, "3 states states"]
    """The same of the randomness that one second at the writing amplitude adds."""
    hop_exponent: Scalar
    """d ln(that covariance) / d ln|v|."""
    mean: Float[Array, "..."]
    """Mean field of the full device's state."""
    modes: Float[Array, "modes ..."]
    """``field = mean + sum_k z[k + 1] modes[k]``, approximately."""
    projection: Float[Array, "modes ..."]
    """``z[k + 1] = sum(projection[k] * (field - mean))``."""

    # State.

    def init_state(self) -> States:
        """Return the state that the device was distilled at."""
        return self.start

    def encode(self, field: Array, resistance: ScalarLike) -> States:
        """Return the states that stand for a field of the full device.

        Args:
            field: State of the full device.
            resistance: What the full device reads there at the reference temperature [ohm].
        """
        check_shape("field", field, self.mean.shape)
        mean, scale = self.log_resistance
        first = (jnp.log(jnp.asarray(resistance, self.start.dtype)) - mean) / scale
        rest = jnp.tensordot(self.projection, field - self.mean, self.mean.ndim)
        return jnp.concatenate([first[None], rest.astype(self.start.dtype)])

    def decode(self, state: States) -> Array:
        """Return the field of the full device that the modes stand for."""
        return self.mean + jnp.tensordot(state[1:], self.modes, 1)

    def valid(self, state: States) -> Bool[Array, ""]:
        """Return whether a state is among those of the fit, up to `MARGIN` of their range."""
        low, high = self._box()
        return jnp.all((state >= low) & (state <= high))

    # Read-out.

    def current(self, v: ScalarLike, state: States) -> Scalar:
        """Return the current [A] under a write voltage [V]."""
        v = jnp.asarray(v, state.dtype)
        size, theta = self._scaled(v, state)
        x = jnp.concatenate([self._inside(state), jnp.stack([jnp.abs(size) - 1, theta])])
        return v / self.resistance_scale * jnp.exp(quadratic(x) @ self.log_conductance)

    def read(self, state: States) -> Scalar:
        """Return the resistance [ohm] at the temperature of the substrate."""
        mean, scale = self.log_resistance
        warmth = self.read_activation * (self.reference_temperature / self.ambient_temperature - 1)
        logarithm = mean + scale * state[0] + warmth.astype(state.dtype)
        return self.resistance_scale * jnp.exp(logarithm)

    def read_warm(
        self, state: States, fields: ReducedFields, elapsed: Scalar, workspace: PyTree
    ) -> Scalar:
        """Return the resistance [ohm]; that a film may still be warm is left out."""
        return self.read(state)

    def observe(
        self,
        v: Scalar,
        plateau: States,
        fields: ReducedFields,
        after: States,
        guess: States,
        workspace: PyTree,
    ) -> tuple[Scalar, Scalar, States]:
        """Return current at v on the plateau [A], resistance after it [ohm]; no guess is used."""
        return self.current(v, plateau), self.read(after), guess

    # Dynamics.

    @property
    def default_solver(self) -> str:
        """``"rk4"``: one step a pulse, as in the fit."""
        return "rk4"

    def prepare(self) -> None:
        """Return None: nothing to prepare."""
        return

    def initial_fields(self, state: States) -> ReducedFields:
        """Return rates of zero."""
        zero = jnp.zeros((), state.dtype)
        return ReducedFields(zero, zero)

    def settle(
        self, v: Scalar, state: States, fields: ReducedFields, workspace: PyTree, path: Path
    ) -> ReducedFields:
        """Return the rate under v."""
        return self.rate(v, state, fields, workspace, path)[1]

    def rate(
        self, v: Scalar, state: States, fields: ReducedFields, workspace: PyTree, path: Path
    ) -> tuple[States, ReducedFields]:
        """Return dz/dt [1/s] and its fields; on the read path the device rests."""
        z = self._inside(state)
        v, theta = self._scaled(jnp.asarray(v, z.dtype), z)
        slope = self._resting(theta) * (self.generator[:, :-1] @ z + self.generator[:, -1])
        hops = jnp.zeros((), z.dtype)
        if path == "write":
            slope = slope + self.flow(z, v, theta)
            hops = power(jnp.abs(v), self.hop_exponent)
        slope = self.speed * slope
        fastest = jax.lax.stop_gradient(jnp.max(jnp.abs(slope)))
        return slope, ReducedFields(fastest, hops)

    def fastest(self, fields: ReducedFields) -> Scalar:
        """Return the largest rate of a state [1/s]."""
        return fields.fastest

    def rest(self, state: States, duration: ScalarLike) -> States:
        """Return the state after a time [s] at 0 V: a linear flow, solved by its exponential.

        Raises:
            ValueError: A duration that is negative or not finite.
        """
        check_not_negative("duration", duration, "s")
        _, theta = self._scaled(jnp.zeros((), state.dtype), state)
        time = self.speed * self._resting(theta) * jnp.asarray(duration, state.dtype)
        still = jnp.zeros_like(self.generator[:1])
        flow = jax.scipy.linalg.expm(time * jnp.concatenate([self.generator, still]))
        return flow[:-1, :-1] @ state + flow[:-1, -1]

    # Chance.

    def draw_state(self, state: States, *, key: PRNGKeyArray) -> States:
        """Return a state of countable vacancies about a mean one."""
        return state + self._noise(self.draw_factor, state, key)

    def fluctuate(
        self, state: States, fields: ReducedFields, duration: ScalarLike, *, key: PRNGKeyArray
    ) -> States:
        """Return the state with the randomness of the hops of one pulse."""
        time = jnp.asarray(self.speed * fields.hops * duration, state.dtype)
        # A pulse of no duration has no noise, and no infinite gradient.
        spread = jnp.where(time > 0, jnp.sqrt(jnp.where(time > 0, time, 1.0)), 0.0)
        return state + spread * self._noise(self.hop_factor, state, key)

    def _noise(self, factor: Array, state: States, key: PRNGKeyArray) -> States:
        first = self._inside(state)[0]
        factor = factor[0] + factor[1] * first + factor[2] * first**2
        return factor @ jax.random.normal(key, state.shape, state.dtype)

    # Storage.

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return every leaf by name, for an `.npz` file or `RunFolder.stage`."""
        paths = jax.tree_util.tree_leaves_with_path(self)
        return {_name(path): np.asarray(leaf) for path, leaf in paths}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> ReducedDevice:
        """Return the device that `to_arrays` was called on.

        Raises:
            ValueError: An array is missing.
        """
        return _build(cls, arrays, "")

    # Inside.

    def _scaled(self, v: Scalar, state: States) -> tuple[Scalar, Scalar]:
        theta = self.ambient_temperature / self.reference_temperature - 1
        return v / self.amplitude, theta.astype(state.dtype)

    def _resting(self, theta: Scalar) -> Scalar:
        return jnp.exp(self.rest_activation * theta)

    def _box(self) -> tuple[States, States]:
        low, high = self.bounds
        margin = MARGIN * (high - low)
        return low - margin, high + margin

    def _inside(self, state: States) -> States:
        # Beyond what the fit has seen the flow goes on as at the border.
        return jnp.clip(state, *self._box())


def power(size: Scalar, exponent: Scalar) -> Scalar:
    """Return ``size**exponent`` for a size of at least zero, with a gradient at zero too."""
    on = size > 0
    return jnp.where(on, jnp.exp(exponent * jnp.log(jnp.where(on, size, 1.0))), 0.0)


def quadratic(x: Float[Array, " inputs"]) -> Float[Array, " quadratic"]:
    """Return 1, x and all products of two entries."""
    rows, columns = np.triu_indices(x.shape[0])
    return jnp.concatenate([jnp.ones(1, x.dtype), x, x[rows] * x[columns]])


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(entry.name for entry in path)


def _build(kind: type, arrays: dict[str, Any], prefix: str) -> Any:
    """Make a module from its leaves by dotted name."""
    values = {}
    for name in (field.name for field in dataclasses.fields(kind)):
        if name == "flow":
            values[name] = _build(Flow, arrays, f"{name}.")
        elif prefix + name in arrays:
            values[name] = jnp.asarray(arrays[prefix + name])
        else:
            raise ValueError(
                f"Argument `arrays` must hold all arrays of a {kind.__name__}, but has no "
                f"`{prefix}{name}`."
            )
    return kind(**values)
