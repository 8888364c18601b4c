"""One step of training, compiled: optimiser, loss, clipping."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from .. import sharding
from .._types import Array
from ..data import augment, to_float
from .config import TrainingConfig


class State(NamedTuple):
    """Everything that training changes."""

    parameters: Any
    """Weights, and what else is trained."""
    other: nnx.State
    """Running statistics of normalisations."""
    optimiser: Any
    """Moments and the number of steps."""


def make_optimiser(config: TrainingConfig, steps: int) -> optax.GradientTransformation:
    """Return the optimiser for `steps` steps an epoch."""
    total = config.epochs * steps
    warmup = round(config.warmup * steps)
    schedule = optax.join_schedules(
        [
            optax.linear_schedule(
                config.learning_rate / max(warmup, 1), config.learning_rate, warmup
            ),
            optax.cosine_decay_schedule(config.learning_rate, max(total - warmup, 1)),
        ],
        [warmup],
    )

    def rate(count: Any) -> Any:
        # An int32 count would make a float64 rate where 64-bit floats are on.
        return schedule(jnp.asarray(count, jnp.float32))

    def kernels(parameters: Any) -> Any:
        return jax.tree.map(lambda p: p.ndim > 1, parameters)

    decay = optax.add_decayed_weights(config.weight_decay, mask=kernels)
    if config.optimiser == "adamw":
        direction = optax.scale_by_adam()
    else:
        direction = optax.trace(config.momentum, nesterov=True)
    return optax.chain(direction, decay, optax.scale_by_learning_rate(rate))


def make_step(
    graph: nnx.GraphDef,
    optimiser: optax.GradientTransformation,
    config: TrainingConfig,
    mesh: Mesh | None = None,
) -> Callable[..., tuple[State, Array, Array]]:
    """Return the compiled step: (state, x, y, chosen, key) -> (state, loss, correct answers).

    With a mesh each device has its share of the batch. What is said of the whole batch (the mean of
    the loss, the statistics of a batch normalisation) is that of the whole: the compiler adds up.
    """

    def loss(parameters: nnx.State, other: nnx.State, x: Array, y: Array) -> Any:
        model = nnx.merge(graph, parameters, other, copy=True)
        answers = model(x)
        target = jax.nn.one_hot(y, answers.shape[-1], dtype=jnp.float32)
        if config.label_smoothing:
            target = optax.smooth_labels(target, config.label_smoothing)
        value = jnp.mean(optax.softmax_cross_entropy(answers, target))
        _, _, other = nnx.split(model, nnx.Param, ...)
        correct = jnp.sum(jnp.argmax(answers, axis=-1) == y, dtype=jnp.int32)
        return value, (other, correct)

    sigmas = config.clip_sigma

    @jax.jit
    def step(state: State, x: Array, y: Array, chosen: Array, key: Array) -> Any:
        x, y = sharding.split((x[chosen], y[chosen]), mesh)
        if config.flip or config.shift:
            x = augment(key, x, flip=config.flip, padding=config.shift)
        else:
            x = to_float(x)
        (value, (other, correct)), gradient = jax.value_and_grad(loss, has_aux=True)(
            state.parameters, state.other, x, y
        )
        updates, moments = optimiser.update(gradient, state.optimiser, state.parameters)
        parameters: Any = optax.apply_updates(state.parameters, updates)
        if sigmas is not None:
            parameters = clip_kernels(parameters, sigmas)
        return sharding.whole((State(parameters, other, moments), value, correct), mesh)

    return step


def clip_kernels(parameters: Any, sigmas: float) -> Any:
    """Return parameters with each kernel clipped to multiples of its own standard deviation."""
    return jax.tree.map(partial(_clip, sigmas=sigmas), parameters)


def _clip(weights: Array, sigmas: float) -> Array:
    """Return a kernel clipped to multiples of its standard deviation; a bias as it is."""
    if weights.ndim < 2:
        return weights
    bound = jnp.float32(sigmas) * jnp.std(weights)
    return jnp.clip(weights, -bound, bound)
