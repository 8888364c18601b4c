"""Training for hardware: the loss of a network on chips, its gradient in all that is trained."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import PyTree

from .. import sharding
from .._checks import check_between, check_choice, check_positive, check_whole
from .._types import Array, Float, Int
from ..data import Split, to_float
from ..networks import split_tiles
from ._steps import State, clip_kernels
from .families import AbstractFamily, Precise


class Tuned(NamedTuple):
    """A training under way: a tree of arrays, all that is needed to go on."""

    state: State
    """What is trained (the network's parameters, and what its family trains), other variables,
    moments."""
    loss: Float[Array, " steps"]
    """Loss of each step's batch before the step [nat], nan for steps to come."""
    failed: Int[Array, " steps"]
    """Devices of each step whose equations could not be solved, and that were masked."""
    count: Int[Array, ""]
    """Steps done."""


class AnalogTraining:
    """Gradient descent on an analog model, whose forward pass has everything its hardware has.

    One trainer for all families (`AbstractFamily`): each step is on the chip that the family makes.
    Wires are solved once a step, whatever the batch, so that a few steps of large batches are
    cheaper than epochs of small ones. Adam; the learning rate rises linearly over a tenth of all
    steps and falls to zero as half a cosine. Batch normalisations train on the statistics that
    `statistics` names: those of a batch are the chip's own and hide what it does to a channel,
    which an evaluation with running ones then meets unprepared.
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
        family: AbstractFamily | None = None,
        family_rate: float = 1.0,
        clip_sigma: float | None = None,
        statistics: str = "batch",
        seed: int = 0,
        mesh: Mesh | None = None,
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
            family: What the network is while it learns; None for `Precise`: on devices without
                errors.
            family_rate: Learning rate of what the family trains, over that of the parameters.
            clip_sigma: After each step every kernel is clipped to this many of its own standard
                deviations, as in `TrainingConfig`; None does not clip.
            statistics: Of batch normalisations: ``"batch"``, which running ones follow, or
                ``"running"``: those that the model comes with, in training as in evaluation.
            seed: Of the batches and chips.
            mesh: Devices that share each batch, and the arrays of a layer if the mesh has more than
                one along `tiles` (`analogjax.sharding`); None for the surrounding ones. Draws are
                those of one device, sums are so to their rounding.

        Raises:
            ValueError: A number that is no such, a batch larger than the split, or one of which
                devices get no equal shares.
        """
        check_whole("steps", steps)
        check_whole("batch", batch)
        check_positive("learning_rate", learning_rate)
        check_positive("family_rate", family_rate)
        if clip_sigma is not None:
            check_positive("clip_sigma", clip_sigma)
        check_choice("statistics", statistics, ("batch", "running"))
        self.clip_sigma, self.statistics = clip_sigma, statistics
        check_between("batch", float(batch), 1.0, float(len(split.y)))
        self.steps, self.batch, self.seed = steps, batch, seed
        self.mesh = sharding.chosen(mesh)
        sharding.check_shared(batch, self.mesh)
        self.x, self.y = self._inputs(split)
        model = split_tiles(analog, self.mesh)
        self._set(model)
        self.family = Precise() if family is None else family
        self._family = sharding.place(self.family, self.mesh)
        trained = self.family.start(model)
        self.graph, parameters, other = nnx.split(model, nnx.Param, ...)
        schedule = optax.warmup_cosine_decay_schedule(
            learning_rate / 10, learning_rate, max(steps // 10, 1), steps + 1
        )

        def rate(count: Any) -> Any:
            # An int32 count would make a float64 rate where 64-bit floats are on.
            return schedule(jnp.asarray(count, jnp.float32))

        kernels = (jax.tree.map(lambda p: p.ndim > 1, parameters), jax.tree.map(_no, trained))
        theirs = (jax.tree.map(_no, parameters), jax.tree.map(lambda _: True, trained))
        self.optimiser = optax.chain(
            optax.scale_by_adam(),
            optax.add_decayed_weights(weight_decay, mask=kernels),
            optax.masked(optax.scale(family_rate), theirs),
            optax.scale_by_learning_rate(rate),
        )
        both = (parameters, trained)
        self._start = self._placed(State(both, other, self.optimiser.init(both)))
        self._step, self._scan = eqx.filter_jit(self._one), eqx.filter_jit(self._all)
        self._kept: tuple[int, tuple[Array, Array]] | None = None

    def start(self) -> Tuned:
        """Return the state before the first step."""
        return Tuned(
            self._start,
            jnp.full(self.steps, jnp.nan, jnp.float32),
            jnp.zeros(self.steps, jnp.int32),
            jnp.zeros((), jnp.int32),
        )

    def again(
        self,
        analog: nnx.Module,
        split: Split,
        *,
        seed: int,
        family: AbstractFamily | None = None,
    ) -> AnalogTraining:
        """Return the same training of other weights on other data: its step is compiled once.

        Args:
            analog: A model of the same structure.
            split: What it is trained on, as many inputs.
            seed: Of the batches and chips.
            family: One that differs from this training's in numbers alone; None for the same.

        Raises:
            ValueError: A model of another structure, or another number of inputs.
        """
        check_between("split", float(len(split.y)), float(len(self.y)), float(len(self.y)))
        model = split_tiles(analog, self.mesh)
        self._set(model)
        family = self.family if family is None else family
        trained = family.start(model)
        graph, parameters, other = nnx.split(model, nnx.Param, ...)
        if graph != self.graph:
            raise ValueError("Argument `analog` must be a model of the same structure, but is not.")
        new, both = copy.copy(self), (parameters, trained)
        new.family, new._family = family, sharding.place(family, self.mesh)
        new.seed, (new.x, new.y) = seed, self._inputs(split)
        new._start, new._kept = self._placed(State(both, other, self.optimiser.init(both))), None
        return new

    def advance(self, tuned: Tuned) -> Tuned:
        """Return the state after one more step.

        Raises:
            ValueError: If the loss is no longer finite.
        """
        count = int(tuned.count)
        epoch = count // self._per_epoch
        if self._kept is None or self._kept[0] != epoch:
            # Drawn once an epoch: a permutation of all inputs costs more than many a step.
            self._kept = epoch, self._epoch(epoch)
        state, loss, failed = self._step(
            self._family,
            self._placed(tuned.state),
            self.x,
            self.y,
            *self._drawn(count, *self._kept[1]),
            jnp.float32(count / self.steps),
        )
        if not np.isfinite(float(loss)):
            raise ValueError(
                "Argument `learning_rate` must be small enough for a finite loss, "
                f"but that of step {count + 1} is {float(loss)}."
            )
        # A state that was stored comes back as NumPy arrays.
        loss, failed = sharding.local((loss, failed), self.mesh)
        return Tuned(
            state,
            jnp.asarray(tuned.loss).at[count].set(loss),
            jnp.asarray(tuned.failed).at[count].set(failed),
            tuned.count + 1,
        )

    def all_steps(self) -> Tuned:
        """Return the state after all steps, of one compiled program: for small networks.

        Raises:
            ValueError: If the loss is no longer finite.
        """
        chosen, keys = jax.lax.map(
            lambda count: self._drawn(count, *self._epoch(count // self._per_epoch)),
            jnp.arange(self.steps),
        )
        shares = jnp.asarray(np.arange(self.steps) / self.steps, jnp.float32)
        start = self.start()
        state, loss, failed = self._scan(
            self._family, start.state, self.x, self.y, chosen, keys, shares
        )
        loss, failed = sharding.local((loss, failed), self.mesh)
        if not np.all(np.isfinite(loss)):
            raise ValueError("Argument `learning_rate` must be small enough for a finite loss.")
        return Tuned(state, loss, failed, jnp.asarray(self.steps, start.count.dtype))

    def model(self, tuned: Tuned) -> nnx.Module:
        """Return the analog model with the parameters of a state, set to evaluation."""
        state = sharding.local(tuned.state, self.mesh)
        model = nnx.merge(self.graph, state.parameters[0], state.other, copy=True)
        model.eval()
        return split_tiles(model, None)

    def trained(self, tuned: Tuned) -> PyTree:
        """Return what the family has trained, as `AbstractFamily.chip` takes it."""
        return sharding.local(tuned.state.parameters[1], self.mesh)

    def _set(self, model: nnx.Module) -> None:
        """Have a model compute as its training does."""
        if self.statistics == "batch":
            model.train()
        else:
            model.eval()

    def _inputs(self, split: Split) -> tuple[Array, Array]:
        """Return inputs and labels, whole on every device."""
        return sharding.place((jnp.asarray(split.x), jnp.asarray(split.y)), self.mesh)

    def _placed(self, state: State) -> State:
        """Return a state that is whole on every device."""
        return sharding.place(state, self.mesh)

    @property
    def _per_epoch(self) -> int:
        return len(self.y) // self.batch

    def _epoch(self, epoch: Any) -> tuple[Array, Array]:
        """Return the key of an epoch and the order of its inputs."""
        key = jax.random.fold_in(jax.random.key(self.seed), epoch)
        return key, jax.random.permutation(key, jnp.arange(len(self.y), dtype=jnp.int32))

    def _drawn(self, count: Any, key: Array, order: Array) -> tuple[Array, Array]:
        """Return the inputs of a step, of an epoch's key and order, and the key of its chip."""
        first = (count % self._per_epoch) * self.batch
        chip = jax.random.fold_in(jax.random.fold_in(key, self._per_epoch), count)
        return jax.lax.dynamic_slice_in_dim(order, first, self.batch), chip

    def _all(
        self, family: AbstractFamily, state: State, x, y, chosen, keys, shares
    ) -> tuple[State, Array, Array]:
        """Return the state after all steps, with the loss and the failed devices of each."""

        def step(state, drawn):
            state, *found = self._one(family, state, x, y, *drawn)
            return state, found

        state, (loss, failed) = jax.lax.scan(step, state, (chosen, keys, shares))
        return state, loss, failed

    def _one(
        self, family: AbstractFamily, state: State, x, y, chosen, key, progress
    ) -> tuple[State, Array, Array]:
        x, y = sharding.split((x[chosen], y[chosen]), self.mesh)
        inputs, labels = to_float(x), y.astype(jnp.int32)

        def loss(both) -> tuple[Array, Any]:
            parameters, trained = both
            model = nnx.merge(self.graph, parameters, state.other, copy=True)
            chip = family.training_chip(model, trained, key=key, progress=progress)
            answers = chip.model(inputs)
            losses = optax.softmax_cross_entropy_with_integer_labels(answers, labels)
            # The rest belongs to the chip of this step.
            seen = nnx.state(chip.model, nnx.BatchStat)
            return jnp.mean(losses) + chip.penalty, (seen, chip.failed)

        (value, (seen, failed)), gradient = jax.value_and_grad(loss, has_aux=True)(state.parameters)
        updates, moments = self.optimiser.update(gradient, state.optimiser, state.parameters)
        both: Any = optax.apply_updates(state.parameters, updates)
        if self.clip_sigma is not None:
            both = (clip_kernels(both[0], self.clip_sigma), both[1])
        after = State(both, nnx.merge_state(state.other, seen), moments)
        return sharding.whole((after, value, failed), self.mesh)


def _no(leaf: Any) -> bool:
    return False
