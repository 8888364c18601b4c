"""Physical training: a step with its gradient over its forward pass alone.

An MLP in pairs of filaments (JART VCM), written by one pulse each: the forward pass writes every
device of a chip through the device's equations and classifies a batch, the step also takes the
gradient in every pulse. Target: a step costs at most 5 times its forward pass.
"""

from __future__ import annotations

import _measure
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

jax.config.update("jax_enable_x64", True)

from analogjax.crossbar import DeviceStatistics, Hardware, WeightMapping  # noqa: E402
from analogjax.networks import MLP, convert_to_analog  # noqa: E402
from analogjax.programming import FilamentWriting  # noqa: E402
from analogjax.training import Physical  # noqa: E402

TARGET, BATCH, HIDDEN, ROUNDS = 5.0, 256, 26, 5


def filaments():
    """Return forward pass and step of the filament network, and its number of devices."""
    writing = FilamentWriting()
    low, high = (float(g) for g in writing.window)
    mapping = WeightMapping("differential", "layer", "max", space="G")
    model = MLP(input_shape=(14, 14, 1), hidden=HIDDEN, rngs=nnx.Rngs(0))
    analog = convert_to_analog(
        model, Hardware(DeviceStatistics(1 / high, 1 / low), mapping, bits=None)
    )
    family = Physical(writing)
    graph, state = nnx.split(analog)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(size=(BATCH, 14, 14, 1)), jnp.float32)
    y = jnp.asarray(rng.integers(0, 10, BATCH), jnp.int32)

    def loss(trained, family, key):
        chip = family.chip(nnx.merge(graph, state), trained, key=key)
        return optax.softmax_cross_entropy_with_integer_labels(chip.model(x), y).mean()

    trained, key = family.start(analog), jax.random.key(0)
    devices = sum(leaf.size for leaf in jax.tree.leaves(trained["drives"]))
    forward, step = eqx.filter_jit(loss), eqx.filter_jit(jax.value_and_grad(loss))
    return (lambda: forward(trained, family, key)), (lambda: step(trained, family, key)), devices


def main() -> None:
    """Measure and print."""
    args = _measure.parser(__doc__).parse_args()
    numbers, rows = {}, []
    for name, make in {"filaments": filaments}.items():
        forward, step, devices = make()
        times = _measure.interleaved({"forward": forward, "step": step}, ROUNDS)
        ratio = times["step"] / times["forward"]
        numbers[name] = {**times, "devices": devices, "ratio": ratio}
        print(f"{name}: {devices} devices, {times['forward']:.3f} s forward, {times['step']:.3f} s")
        rows.append((f"step over forward, {name}", ratio, "", TARGET, False))
    print(_measure.judged(rows))
    _measure.save(args.out, {**numbers, "versions": _measure.versions("jax", "analogjax")})


if __name__ == "__main__":
    main()
