"""Physical training: what is trained is what is written, the loss follows through the device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_not_negative
from .._types import Array, ScalarLike
from ..crossbar import age, assign_levels, layer_key, write
from ..fitting.bijections import Bijection, bijection
from ..networks import analog_layers, with_chips
from ..programming.writing import AbstractWriting, Written
from .families import AbstractFamily, OnChip


class Physical(AbstractFamily):
    """Training of drives: pulses through the equations of devices to the network's loss.

    Besides the network's digital parameters (biases, normalisations) it trains the drives of all
    devices, the digital full scale of each layer, and on request quantities that all devices share.
    The kernels of the analog layers are where the drives were planned from; they change no more.

    Attributes:
        writing: From drives to conductances.
        design: Names of shared quantities to train, as `AbstractWriting.changed` knows them, each
            with the bijection from an unbounded number to its relative change.
        design_rates: Learning rate of each, over that of drives.
    """

    writing: AbstractWriting
    design: dict[str, Bijection]
    design_rates: dict[str, Array]

    def __init__(
        self,
        writing: AbstractWriting,
        *,
        design: Sequence[str] | Mapping[str, tuple[float, float]] = (),
        design_rates: ScalarLike | Mapping[str, ScalarLike] = 1.0,
    ):
        """Make a family of physical training.

        Args:
            writing: From drives to conductances.
            design: Names of shared quantities (material, geometry, pulses) to train too; with the
                bounds of the relative change of each, below and above 0, or without bounds.
            design_rates: Learning rate of these or each, over that of drives: of relative changes
                without bounds, of the logarithm of the odds between them. What has the rate 0 stays
                as it is, in the same compiled program.

        Raises:
            ValueError: A name that the writing cannot change, bounds that do not enclose 0, or a
                negative rate.
        """
        bounds = design if isinstance(design, Mapping) else dict.fromkeys(design)
        maps = {}
        for name, ends in bounds.items():
            low, high = (-math.inf, math.inf) if ends is None else ends
            if not low < 0.0 < high:
                raise ValueError(
                    f"Argument `design` must bound the change of {name!r} below and above 0, "
                    f"but has ({low:g}, {high:g})."
                )
            maps[name] = bijection(low, high, 0.0)
        rates = design_rates
        if not isinstance(rates, Mapping):
            rates = dict.fromkeys(maps, rates)
        if set(rates) != set(maps):
            raise ValueError(
                "Argument `design_rates` must have one for each name of `design`, "
                f"but has {sorted(rates)}."
            )
        for rate in rates.values():
            check_not_negative("design_rates", rate)
        self.writing, self.design = writing, maps
        self.design_rates = {name: jnp.asarray(rates[name], float) for name in maps}
        writing.changed(dict.fromkeys(maps, 0.0))

    def start(self, analog: nnx.Module) -> PyTree:
        """Return planned drives and full scales of each layer, and the changes of the design.

        ``{"drives": {layer: ...}, "log_scale": {layer: ...}, "design": {name: 0.0}}``; the numbers
        of the design are unbounded, see `changes`.

        Raises:
            ValueError: A mapping of weights that is not in conductance.
        """
        drives, scales = {}, {}
        for name, layer in analog_layers(analog).items():
            if layer.mapping.space != "G":
                raise ValueError(
                    "Argument `analog` must have weights mapped in the space 'G' for physical "
                    f"training, but has them in {layer.mapping.space!r}."
                )
            fractions, scale = assign_levels(
                layer.kernel[...].astype(jnp.float32),
                layer.device.get_value(),
                n_levels=None,
                mapping=layer.mapping,
            )
            drives[name] = self.writing.plan(fractions)
            scales[name] = jnp.log(scale)
        return {
            "drives": drives,
            "log_scale": scales,
            "design": {name: jnp.zeros(()) for name in self.design},
        }

    def changes(self, trained: PyTree) -> dict[str, Array]:
        """Return the relative change of each quantity of the design, by name."""
        found = {}
        for name, own in self.design.items():
            start = own.inverse(jnp.zeros_like(own.anchor))
            found[name] = own.forward(start + self.design_rates[name] * trained["design"][name])
        return found

    def chip(
        self,
        analog: nnx.Module,
        trained: PyTree,
        *,
        key: PRNGKeyArray,
        progress: ScalarLike = 1.0,
        t: ScalarLike = 0.0,
    ) -> OnChip:
        """Return the network on devices that were written by their drives."""
        writing = self.writing.changed(self.changes(trained))
        layers = analog_layers(analog)
        keys = {name: layer_key(key, name) for name in layers}
        drawn = {
            name: writing.draw(keys[name], (layer.mapping.devices, *layer.kernel[...].shape))
            for name, layer in layers.items()
        }
        all_written = _write(writing, trained["drives"], drawn, layers, t)
        held, failed = {}, []
        for name, layer in layers.items():
            own, written = keys[name], all_written[name]
            failed.append(jnp.sum(~written.ok, dtype=jnp.int32))
            # What else the hardware's devices and arrays do comes on top.
            chip = write(
                written.fractions.astype(jnp.float32),
                jnp.exp(trained["log_scale"][name]),
                layer.device.get_value(),
                n_levels=None,
                mapping=layer.mapping,
                key=jax.random.fold_in(own, 0),
                tile=layer.tile.get_value(),
            )
            held[name] = age(chip, t)
        model = with_chips(analog, held, key=key)
        return OnChip(model, jnp.zeros((), jnp.float32), jax.tree.reduce(jnp.add, failed))


def _write(writing, drives, drawn, layers, t) -> dict[str, Written]:
    """Write the devices of all layers, in one call where the writing would rather have that."""
    if not writing.together:
        return {name: writing.write(drives[name], drawn[name], t=t) for name in layers}
    shapes = {n: (layer.mapping.devices, *layer.kernel[...].shape) for n, layer in layers.items()}

    def flat(tree, axes):
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[axes:]), tree)

    def joined(trees):
        flat_trees = [flat(trees[name], len(shape)) for name, shape in shapes.items()]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *flat_trees)

    written = writing.write(joined(drives), joined(drawn), t=t)
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]
    parts = zip(*(jnp.split(x, ends) for x in written), strict=True)
    return {
        name: Written(*(x.reshape(shape) for x in part))
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
