"""What training LeNet-5 through the reduced model costs, against noise injection.

1. Steps per second of both trainings, same network, batch and trainer.
2. A physical training step over its forward pass.
3. Writing 123,000 devices by the table of the flow: its time, and that of integrating every device
   by itself (8 Runge-Kutta steps); its error against fine integration.

    python experiments/benchmarks/physical_training_reduced.py --reduced reduced.npz

The file holds the arrays of a reduced device, `stages/reduced.npz` of a run of `programming`.
"""

from __future__ import annotations

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _measure import interleaved, judged, parser, save, versions
from flax import nnx

from analogjax.crossbar import DeviceStatistics, Hardware, WeightMapping, WrittenError
from analogjax.data import Split
from analogjax.networks import LeNet5, analog_layers, convert_to_analog
from analogjax.programming import ReducedDevice, ReducedWriting
from analogjax.training import AnalogTraining, NoiseInjection, Physical

MAPPING = WeightMapping("differential", "layer", "max", space="G")


def followed(device, first, second, steps):
    """Return ln R of one device that is integrated through both trains by itself."""
    still = device.initial_fields(device.start)

    def train(z, v, time):
        v, h = jnp.asarray(v, z.dtype), (time / steps).astype(z.dtype)

        def slope(z):
            return device.rate(v, z, still, None, "write")[0]

        def step(z, _):
            k1 = slope(z)
            k2 = slope(z + h / 2 * k1)
            k3 = slope(z + h / 2 * k2)
            k4 = slope(z + h * k3)
            return z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

        return jax.lax.scan(step, z, length=steps)[0]

    z = train(device.start, 5.0, first)
    return jnp.log(device.read(z if second is None else train(z, -5.0, second)))


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--reduced", type=Path, required=True, help="arrays of the device (.npz)")
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--rounds", type=int, default=8)
    arguments = options.parse_args()
    jax.config.update("jax_enable_x64", True)
    with np.load(arguments.reduced) as arrays:
        device = ReducedDevice.from_arrays(dict(arrays))
    writing = ReducedWriting(device, speed_spread=0.2, resistance_spread=0.01)
    error = WrittenError.measure(writing, key=jax.random.key(0))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2048, 28, 28, 1)).astype(np.uint8)
    data = Split(images, rng.integers(0, 10, 2048).astype(np.int32))
    model = LeNet5(variant="classic", rngs=nnx.Rngs(0))
    trainings, state = {}, {}
    for name, own, family in (
        ("noise", error, NoiseInjection()),
        ("physical", None, Physical(writing)),
    ):
        hardware = Hardware(DeviceStatistics(*writing.window, own), MAPPING, bits=None)
        analog = convert_to_analog(model, hardware)
        trainings[name] = AnalogTraining(
            analog, data, steps=1000, batch=arguments.batch, learning_rate=1e-3, family=family
        )
        state[name] = trainings[name].start()
    physical = trainings["physical"]
    weights, trained = physical.start().state.parameters
    other = physical.start().state.other

    @eqx.filter_jit
    def forward(family, weights, trained, x, key):
        model = nnx.merge(physical.graph, weights, other, copy=True)
        return family.chip(model, trained, key=key).model(x)

    x = jnp.asarray(images[: arguments.batch], jnp.float32) / 255
    key = jax.random.key(1)
    devices = sum(2 * v.kernel[...].size for v in analog_layers(analog).values())
    drives = writing.plan(jax.random.uniform(key, (devices,), jnp.float32))
    drawn = writing.draw(key, (devices,))

    @eqx.filter_jit
    def write(writing, drives, drawn):
        def total(drives):
            return jnp.sum(writing.write(drives, drawn).fractions)

        return jax.value_and_grad(total)(drives)

    single = jax.tree.map(lambda a: a.astype(jnp.float32), device)

    @jax.jit
    def alone(device, lasting):
        def total(lasting):
            return jnp.sum(jax.vmap(lambda t: followed(device, t, None, 8))(lasting))

        return jax.value_and_grad(total)(lasting)

    def step(name):
        state[name] = trainings[name].advance(state[name])
        return state[name].loss

    times = interleaved(
        {
            "noise": lambda: step("noise"),
            "physical": lambda: step("physical"),
            "forward": lambda: forward(physical.family, weights, trained, x, key),
            "write": lambda: write(writing, drives, drawn),
            "alone": lambda: alone(single, writing.duration(drives["set"])),
        },
        arguments.rounds,
    )
    first, second = (jnp.asarray(rng.uniform(0, top, 500)) for top in (20.0, 6.0))
    fine = jax.jit(jax.vmap(lambda a, b: followed(device, a, b, 400)))(first, second)
    exact = ReducedWriting(device, dtype=jnp.float64)
    landed = exact.table(first, second)
    span = float((exact.g_max - exact.g_min) * jnp.exp(device.log_resistance[0]))
    astray = np.asarray(landed.q - jnp.exp(device.log_resistance[0] - fine))[landed.ok] / span
    rows = [
        ("steps per second, physical / noise", times["noise"] / times["physical"], "", 0.5, True),
        ("physical step / its forward pass", times["physical"] / times["forward"], "", 5.0, False),
        ("every device by itself / table, value and gradient", times["alone"] / times["write"], "",
         1.0, True),
        ("error of the table, rms / window", float(np.sqrt(np.mean(astray**2))), "", 1e-4, False),
        ("the same, largest", float(np.max(np.abs(astray))), "", 1e-3, False),
    ]  # fmt: skip
    print({name: f"{1e3 * value:.1f} ms" for name, value in times.items()}, devices, "devices\n")
    print(judged(rows))
    save(arguments.out, {"times": times, "devices": devices, "versions": versions("jax", "flax")})


if __name__ == "__main__":
    main()
