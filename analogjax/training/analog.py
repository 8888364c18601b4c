"""Training through hardware: the loss of what the arrays give, its gradient in the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from .._checks import check_between, check_positive, check_whole
from .._types import Array, Float, Int
from ..data import Split, to_float
from ..networks import program_analog_weights
from ._steps import State


class Tuned(NamedTuple):
    """A training under way: a tree of arrays, all that is needed to go on."""

    state: State
    """Weights, other variables, moments."""
    loss: Float[Array, " steps"]
    """Cross-entropy of each step's batch before the step [nat], nan for steps to come."""
    count: Int[Array, ""]
    """Steps done."""


class AnalogTraining:
    """Gradient descent on an analog model, whose forward pass has everything its hardware has.

    Wires are solved once a step, whatever the batch, so that a few steps of large batches are
    cheaper than epochs of small ones. Adam; the learning rate rises linearly over a tenth of all
    steps and falls to zero as half a cosine.
    """

    def __init__(
        self,
        analog: nnx.Module,
        split: Split,
        *,
        steps: int,
        batch: int,
        learning_rate: float,
        weight_decay: float = 0.0,
        new_chips: bool = False,
        seed: int = 0,
    ):
        """Prepare.

        Args:
            analog: A model of `convert_to_analog`; its weights are where the training starts. It is
                left as it is.
            split: What is trained on.
            steps: Number of steps.
            batch: Inputs per step, drawn without repetition until all had their turn.
            learning_rate: Largest learning rate.
            weight_decay: Decoupled decay of kernels, times the learning rate.
            new_chips: Whether every step is on another chip, with other write errors, other frozen
                draws and another read (training with noise); else on devices without errors.
            seed: Of the batches and chips.

        Raises:
            ValueError: A number that is no such, or a batch larger than the split.
        """
        check_whole("steps", steps)
        check_whole("batch", batch)
        check_positive("learning_rate", learning_rate)
        check_between("batch", float(batch), 1.0, float(len(split.y)))
        self.steps, self.batch, self.seed = steps, batch, seed
        self.x, self.y = jnp.asarray(split.x), jnp.asarray(split.y)
        model = nnx.clone(analog)
        model.train()
        self.graph, parameters, other = nnx.split(model, nnx.Param, ...)
        schedule = optax.warmup_cosine_decay_schedule(
            learning_rate / 10, learning_rate, max(steps // 10, 1), steps + 1
        )

        def rate(count: Any) -> Any:
            # An int32 count would make a float64 rate where 64-bit floats are on.
            return schedule(jnp.asarray(count, jnp.float32))

        kernels = jax.tree.map(lambda p: p.ndim > 1, parameters)
        self.optimiser = optax.chain(
            optax.scale_by_adam(),
            optax.add_decayed_weights(weight_decay, mask=kernels),
            optax.scale_by_learning_rate(rate),
        )
        self._start = State(parameters, other, self.optimiser.init(parameters))
        self._step = jax.jit(lambda *args: self._one(*args, new_chips=new_chips))

    def start(self) -> Tuned:
        """Return the state before the first step."""
        return Tuned(
            self._start, jnp.full(self.steps, jnp.nan, jnp.float32), jnp.zeros((), jnp.int32)
        )

    def advance(self, tuned: Tuned) -> Tuned:
        """Return the state after one more step.

        Raises:
            ValueError: If the loss is no longer finite.
        """
        count = int(tuned.count)
        per_epoch = len(self.y) // self.batch
        key = jax.random.fold_in(jax.random.key(self.seed), count // per_epoch)
        order = jax.random.permutation(key, jnp.arange(len(self.y), dtype=jnp.int32))
        first = (count % per_epoch) * self.batch
        chip = jax.random.fold_in(jax.random.fold_in(key, per_epoch), count)
        state, loss = self._step(
            tuned.state, self.x, self.y, order[first : first + self.batch], chip
        )
        if not np.isfinite(float(loss)):
            raise ValueError(
                "Argument `learning_rate` must be small enough for a finite loss, "
                f"but that of step {count + 1} is {float(loss)}."
            )
        # A state that was stored comes back as NumPy arrays.
        return Tuned(state, jnp.asarray(tuned.loss).at[count].set(loss), tuned.count + 1)

    def model(self, tuned: Tuned) -> nnx.Module:
        """Return the analog model with the weights of a state, set to evaluation."""
        model = nnx.merge(self.graph, tuned.state.parameters, tuned.state.other, copy=True)
        model.eval()
        return model

    def _one(self, state: State, x, y, chosen, chip, *, new_chips: bool) -> tuple[State, Array]:
        inputs, labels = to_float(x[chosen]), y[chosen].astype(jnp.int32)

        def loss(parameters: nnx.State) -> tuple[Array, nnx.State]:
            model = nnx.merge(self.graph, parameters, state.other, copy=True)
            answering = model
            if new_chips:
                answering = program_analog_weights(model, key=chip, trainable=True)
            losses = optax.softmax_cross_entropy_with_integer_labels(answering(inputs), labels)
            _, _, changed = nnx.split(model, nnx.Param, ...)
            return jnp.mean(losses), changed

        (value, other), gradient = jax.value_and_grad(loss, has_aux=True)(state.parameters)
        updates, moments = self.optimiser.update(gradient, state.optimiser, state.parameters)
        parameters: Any = optax.apply_updates(state.parameters, updates)
        return State(parameters, other, moments), value
