"""Several accelerators: the same numbers, and what a training step sends between them.

Weak scaling over 1, 2, 4 and 8 virtual devices of a CPU: each has a batch of its own, and after
three steps the parameters are compared with those of one device on the whole batch. Virtual
devices share the machine's cores, so their times say nothing about real ones. What real ones need
is computed: the collectives of the compiled program in bytes, beside the formula of a ring that
adds up all gradients, 2 (n - 1) / n x 4 bytes x parameters for each device, and the time that
takes on links of stated speeds beside the arithmetic of a step.

    python experiments/benchmarks/scaling.py
"""

from __future__ import annotations

import os
import re
from collections import Counter
from math import prod

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from _measure import interleaved, parser, save, table, versions
from flax import nnx

from analogjax import sharding
from analogjax.crossbar import (
    CurrentDomain,
    DeviceStatistics,
    GaussianError,
    Hardware,
    Tile,
    WeightMapping,
)
from analogjax.data import Split
from analogjax.networks import (
    NetworkConfig,
    convert_to_analog,
    parameter_count,
    program_analog_weights,
    split_tiles,
)
from analogjax.training import AnalogTraining, NoiseInjection, TrainingConfig
from analogjax.training._steps import State, make_optimiser, make_step

DEVICES = (1, 2, 4, 8)
STEPS = 3
CASES = {
    # Network, shape of one image, classes, batch of one device.
    "mlp": (NetworkConfig("mlp", {"hidden": [256]}), (28, 28, 1), 10, 64),
    "lenet5": (NetworkConfig("lenet5"), (28, 28, 1), 10, 32),
}
FORMULA = CASES | {
    "resnet34, 64 px": (NetworkConfig("resnet34"), (64, 64, 3), 101, 64),
    "resnet34, 224 px": (NetworkConfig("resnet34"), (224, 224, 3), 101, 64),
}
# Assumptions, none of them measured here: what links carry in one direction [byte/s] of what their
# data sheets say (NVLink 4: 450e9, PCIe 4.0 x16: 32e9, Ethernet: 12.5e9, 1.25e9), and what an
# accelerator reaches in single precision on matrix units [1/s].
LINKS = {"NVLink": 300e9, "PCIe": 25e9, "100 Gbit/s": 11e9, "10 Gbit/s": 1.1e9}
ARITHMETIC = 50e12
BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1}
COLLECTIVE = re.compile(
    r"= (.+?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)


def images(count, shape, classes):
    """Return images of noise with labels, the same for any number of devices."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return Split(x, rng.integers(0, classes, count).astype(np.int32))


def collectives(text: str | None) -> Counter:
    """Return the bytes of the results of each kind of collective in a compiled program."""
    found = Counter()
    for shapes, kind in COLLECTIVE.findall(text or ""):
        for dtype, sizes in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
            if dtype in BYTES:
                found[kind] += BYTES[dtype] * prod(int(n) for n in sizes.split(",") if n)
    return found


def sent(found: Counter, n: int) -> float:
    """Return what each of n devices sends [byte]: a ring passes a sum round twice, others once."""
    return sum((2 if kind == "all-reduce" else 1) * (n - 1) / n * b for kind, b in found.items())


def training_step(case, mesh, config):
    """Return the step of a network's digital training, its first state, and a dummy for data."""
    network, shape, classes, _ = case
    model = network.build(input_shape=shape, classes=classes)
    model.train()
    graph, parameters, other = nnx.split(model, nnx.Param, ...)
    optimiser = make_optimiser(config, 100)
    state = State(parameters, other, optimiser.init(parameters))
    return make_step(graph, optimiser, config, mesh), state


def weak_scaling(name, case, numbers):
    """Return rows: devices, difference from one device, bytes found and of the formula, time."""
    *_, shape, classes, each = case
    # Plain descent: Adam makes the rounding of a tiny gradient as large as any other.
    config = TrainingConfig(epochs=1, batch=each, optimiser="sgd", learning_rate=0.02, warmup=0)
    rows, calls = [], {}
    for n in DEVICES:
        mesh = sharding.make_mesh(n) if n > 1 else None
        data, chosen = images(each * n, shape, classes), np.arange(each * n, dtype=np.int32)
        ends = []
        for where in [None] if mesh is None else [None, mesh]:
            step, state = training_step(case, where, config)
            placed = sharding.place((state, *map(jnp.asarray, data)), where)
            key = jax.random.key(0)
            compiled = step.lower(*placed, chosen, key).compile()
            for _ in range(STEPS):
                state, *_ = step(placed[0], *placed[1:], chosen, key)
                placed = (state, *placed[1:])
            ends.append(jax.tree.leaves(sharding.local(state.parameters, where)))
            if where is mesh:
                found = collectives(compiled.as_text())
                calls[str(n)] = lambda step=step, p=placed, c=chosen, k=key: step(*p, c, k)
                count = sum(leaf.size for leaf in ends[-1])
        off = max(float(np.abs(a - b).max()) for a, b in zip(ends[0], ends[-1], strict=True))
        formula = 2 * (n - 1) / n * 4 * count
        numbers[f"{name}_{n}"] = {"difference": off, "sent": sent(found, n), "formula": formula}
        rows.append([name, str(n), f"{off:.1e}", f"{sent(found, n):,.0f}", f"{formula:,.0f}"])
        print(f"{name} on {n}: {dict(found)}", flush=True)
    for row, seconds in zip(rows, interleaved(calls, 5).values(), strict=True):
        row.append(f"{1e3 * seconds:.1f}")
    return [tuple(row) for row in rows]


def on_tiles(numbers):
    """Return rows of what an MLP on arrays sends: a step on chips, and a read of split arrays."""
    network, shape, classes, each = CASES["mlp"]
    model = network.build(input_shape=shape, classes=classes)
    device = DeviceStatistics(1e3, 4e4, GaussianError(0.05, space="G"))
    tile, mapping = Tile(CurrentDomain(output_noise=0.1), 64, 128), WeightMapping(space="G")
    hardware = Hardware(device, mapping, bits=None, tile=tile)
    analog, data = convert_to_analog(model, hardware), images(8 * each, shape, classes)
    chip = program_analog_weights(analog, key=jax.random.key(1))
    x = jnp.asarray(data.x, jnp.float32) / 255
    rows, read = [], {}
    for n, tiles in ((1, 1), (8, 1), (8, 8), (8, 2)):
        mesh = sharding.make_mesh(n, tiles=tiles) if n > 1 else None
        training = AnalogTraining(
            analog,
            data,
            steps=1,
            batch=8 * each,
            learning_rate=1e-3,
            family=NoiseInjection(),
            mesh=mesh,
        )
        start = training.start()
        drawn = training._drawn(0, *training._epoch(0))
        given = (training._family, start.state, training.x, training.y, *drawn, jnp.float32(0))
        text = training._step.lower(*given).lowered.compile().as_text()
        _, loss, _ = training._step(*given)
        over = split_tiles(chip, mesh)
        answer = jax.jit(
            lambda x, over=over, mesh=mesh: sharding.whole(over(sharding.split(x, mesh)), mesh)
        )
        placed = sharding.place(x, mesh)
        forward = collectives(answer.lower(placed).compile().as_text())
        read[n, tiles] = np.asarray(answer(placed)), float(loss)
        off = np.abs(read[n, tiles][0] - read[1, 1][0]).max() / np.abs(read[1, 1][0]).max()
        off_loss = abs(read[n, tiles][1] / read[1, 1][1] - 1)
        step = collectives(text)
        numbers[f"mlp_tiles_{n // tiles}x{tiles}"] = {
            "difference_outputs": float(off),
            "difference_loss": off_loss,
            "sent_step": sent(step, n),
            "sent_read": sent(forward, n),
        }
        rows.append(
            (
                f"{n // tiles} x {tiles}",
                f"{off:.1e}",
                f"{off_loss:.1e}",
                f"{sent(step, n):,.0f}",
                f"{sent(forward, n):,.0f}",
            )
        )
        print(f"tiles {n // tiles} x {tiles}: step {dict(step)}, read {dict(forward)}", flush=True)
    return rows


def on_links(n, numbers):
    """Return rows of the formula at n devices against links: arithmetic of a step, times."""
    rows = []
    for name, case in FORMULA.items():
        _, shape, _, each = case
        config = TrainingConfig(epochs=1, batch=each)
        graph, abstract = nnx.split(
            nnx.eval_shape(lambda c=case: c[0].build(input_shape=c[1], classes=c[2]))
        )
        count = parameter_count(nnx.merge(graph, abstract))
        # Lowered only: what it computes is known before it is compiled.
        step, state = training_step(case, None, config)
        x = jax.ShapeDtypeStruct((each, *shape), jnp.uint8)
        y, chosen = (jax.ShapeDtypeStruct((each,), jnp.int32) for _ in range(2))
        cost = step.lower(state, x, y, chosen, jax.random.key(0)).cost_analysis()
        seconds = cost["flops"] / ARITHMETIC
        volume = 2 * (n - 1) / n * 4 * count
        times = {link: volume / speed for link, speed in LINKS.items()}
        numbers[f"links_{name}"] = {"flops": cost["flops"], "sent": volume, "seconds": times}
        shown = (f"{1e3 * t:.2g}" for t in times.values())
        rows.append(
            (name, f"{count:,}", f"{each}", f"{1e3 * seconds:.2g}", f"{volume / 1e6:.3g}", *shown)
        )
    return rows


def main():
    """Print the tables."""
    out = parser(__doc__).parse_args().out
    numbers = {"versions": versions("jax", "jaxlib", "flax")}
    rows = on_links(8, numbers)
    header = ("network", "parameters", "batch each", "arithmetic [ms]", "sent [MB]")
    print(f"\n8 devices at {ARITHMETIC:.0e} operations a second each; time to send [ms] over\n")
    print(table(rows, (*header, *LINKS)), flush=True)
    header = ("network", "devices", "largest difference", "sent [byte]", "formula", "step [ms]")
    for name, case in CASES.items():
        rows = weak_scaling(name, case, numbers)
        print("\nWeak scaling; devices are virtual and share the cores\n")
        print(table(rows, header), flush=True)
    rows = on_tiles(numbers)
    header = ("data x tiles", "outputs off", "loss off", "step sends [byte]", "read sends [byte]")
    print("\nMLP on arrays of 64 rows, batch of 512\n")
    print(table(rows, header), flush=True)
    save(out, numbers)


if __name__ == "__main__":
    main()
