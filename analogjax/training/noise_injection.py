"""Training with noise: every step on a chip of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_between, check_not_negative, check_positive, is_traced
from .._types import ScalarLike
from ..crossbar.scaled import scaled_statistics
from ..networks import (
    DeviceParam,
    analog_layers,
    compensate_drift,
    drift_analog_weights,
    program_analog_weights,
)
from .families import AbstractFamily, OnChip, on_chip

Model = TypeVar("Model", bound=nnx.Module)


class NoiseInjection(AbstractFamily):
    """Training with noise: all write errors, effects and reads of the hardware, drawn anew.

    ``G = mu + sigma(mu) eps`` with eps drawn outside the graph (reparameterisation; Kingma and
    Welling, arXiv:1312.6114): the gradient ``dL/dmu = dL/dG (1 + sigma'(mu) eps)`` keeps the slope
    of sigma where the devices' errors depend on their target.

    Attributes:
        ramp: Share of the training over which write errors and effects rise from 0 to their size;
            0 for none.
        horizon: Shortest and longest time since programming [s] of the steps' chips, log-uniform.
        times: Or times of which each step draws one.
        compensate: Whether drift is compensated at these times, as `compensate_drift` does it.
    """

    ramp: float = eqx.field(static=True)
    horizon: tuple[float, float] | None = eqx.field(static=True)
    times: tuple[float, ...] = eqx.field(static=True)
    compensate: bool = eqx.field(static=True)

    def __init__(
        self,
        *,
        ramp: float = 0.0,
        horizon: tuple[float, float] | None = None,
        times: Sequence[float] = (),
        compensate: bool = False,
    ):
        """Make a family; without arguments each step is on a chip that has just been programmed.

        Args:
            ramp: Share of the training over which write errors and effects rise, 0 to 1.
            horizon: Shortest and longest time [s]: the loss is one over log-uniform times.
            times: Times [s], or this.
            compensate: Whether drift is compensated at these times.

        Raises:
            ValueError: Numbers that are none, a horizon and times, or a compensation of neither.
        """
        check_between("ramp", ramp, 0.0, 1.0)
        if horizon is not None:
            check_positive("horizon", np.asarray(horizon, float), "s")
            check_between("horizon[0]", horizon[0], 0.0, float(horizon[1]), "s")
            if len(times):
                raise ValueError("Argument `times` must be empty with a `horizon`, but is not.")
            horizon = (float(horizon[0]), float(horizon[1]))
        check_not_negative("times", np.asarray(times, float), "s")
        if compensate and horizon is None and not len(times):
            raise ValueError(
                "Argument `compensate` must be False without a `horizon` or `times`, but is True."
            )
        self.ramp, self.horizon = float(ramp), horizon
        self.times, self.compensate = tuple(float(t) for t in times), bool(compensate)

    def start(self, analog: nnx.Module) -> PyTree:
        """Return nothing that is trained, after a look at the times.

        Raises:
            ValueError: A time at which write errors or effects are not known.
        """
        for layer in analog_layers(analog).values():
            for t in self.horizon or self.times:
                layer.device.get_value().check_time(t)
        return ()

    def chip(
        self,
        analog: nnx.Module,
        trained: PyTree,
        *,
        key: PRNGKeyArray,
        progress: ScalarLike = 1.0,
        t: ScalarLike = 0.0,
    ) -> OnChip:
        """Return the network on the chip of a key; the gradient passes through its devices."""
        model = program_analog_weights(self._at(analog, progress), key=key, trainable=True)
        return on_chip(drift_analog_weights(model, t=t))

    def training_chip(
        self, analog: nnx.Module, trained: PyTree, *, key: PRNGKeyArray, progress: ScalarLike
    ) -> OnChip:
        """Return the network on the chip of a key at a time that is drawn from it, too."""
        if self.horizon is None and not self.times:
            return self.chip(analog, trained, key=key, progress=progress)
        when = jax.random.fold_in(key, 2)
        if self.horizon is None:
            t = jax.random.choice(when, jnp.asarray(self.times, jnp.float32))
        else:
            low, high = (jnp.float32(np.log(end)) for end in self.horizon)
            t = jnp.exp(jax.random.uniform(when, (), jnp.float32, low, high))
        found = self.chip(analog, trained, key=key, progress=progress, t=t)
        if not self.compensate:
            return found
        model = compensate_drift(found.model, key=jax.random.fold_in(key, 1))
        return found._replace(model=model)

    def _at(self, analog: Model, progress: ScalarLike) -> Model:
        """Return the model on devices as noisy as they are at this share of the training."""
        if self.ramp == 0 or (not is_traced(progress) and float(progress) >= self.ramp):
            return analog
        share = jnp.minimum(jnp.asarray(progress, jnp.float32) / jnp.float32(self.ramp), 1)
        new = nnx.clone(analog)
        for layer in analog_layers(new).values():
            layer.device = DeviceParam(scaled_statistics(layer.device.get_value(), share))
        return new
