"""Convolutions of ResNet-34 at 64 pixels: XLA's own against patches and one matrix product.

Forward pass and gradient by image and kernel of every shape of kernel in the network, and the form
that `analogjax.networks` chooses on a CPU; then images per second of whole training steps. On other
devices the network always takes XLA's form.

    python experiments/benchmarks/convolutions.py --out FILE
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from _measure import interleaved, judged, parser, save, table, versions
from flax import nnx

# (pixels before, channels before, channels after, kernel, stride, padding, how many in the network)
SHAPES = [
    (64, 3, 64, 7, 2, 3, 1),
    (16, 64, 64, 3, 1, 1, 6),
    (16, 64, 128, 3, 2, 1, 1),
    (8, 128, 128, 3, 1, 1, 7),
    (8, 128, 256, 3, 2, 1, 1),
    (4, 256, 256, 3, 1, 1, 11),
    (4, 256, 512, 3, 2, 1, 1),
    (2, 512, 512, 3, 1, 1, 5),
    (16, 64, 128, 1, 2, 0, 1),
    (8, 128, 256, 1, 2, 0, 1),
    (4, 256, 512, 1, 2, 0, 1),
]
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--steps", action="store_true", help="whole training steps, too")
    options = options.parse_args()

    rows, numbers, worst, total = [], {}, 0.0, {"XLA": 0.0, "patches": 0.0, "chosen": 0.0}
    for shape in SHAPES:
        times = {name: measured(form, shape, options) for name, form in forms().items()}
        chosen, best = times["chosen"], min(times["XLA"], times["patches"])
        worst = max(worst, chosen / best)
        for name, value in times.items():
            total[name] += shape[-1] * value
        pixels, before, after, kernel, stride, *_ = shape
        name = f"{kernel}x{kernel}/{stride}, {pixels} px, {before} -> {after}"
        numbers[name] = times
        rows.append((name, *(f"{1e3 * v:.1f}" for v in times.values()), f"{chosen / best:.2f}"))
    print(table(rows, ("kernel", *(f"{n} [ms]" for n in times), "chosen / best")))
    print()
    judgements = [
        ("chosen form / the faster one, worst shape", worst, "", 1.5, False),
        ("all kernels of ResNet-34: XLA / chosen", total["XLA"] / total["chosen"], "", 3.0, True),
    ]
    if options.steps:
        rate = options.batch / training_step(options)
        judgements.append(("training, images per second", rate, "", 100.0, True))
        numbers["training images per second"] = rate
    print(judged(judgements))
    save(options.out, {**numbers, "total": total, "versions": versions("jax", "jaxlib", "flax")})


def forms() -> dict:
    """Both forms, and the choice between them."""
    from analogjax.networks import _layers

    return {
        "XLA": jax.lax.conv_general_dilated,
        "patches": _layers._by_products,
        "chosen": _layers._convolve_by_shape,
    }


def measured(form, shape, options) -> float:
    """Time of a forward pass and both gradients [s]."""
    pixels, before, after, kernel, stride, padding, _ = shape
    around = ((padding, padding), (padding, padding))
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(options.batch, pixels, pixels, before)), jnp.float32)
    k = jnp.asarray(rng.normal(size=(kernel, kernel, before, after)), jnp.float32)

    @jax.jit
    def both(x, k):
        def loss(x, k):
            y = form(x, k, (stride, stride), around, dimension_numbers=DIMENSIONS)
            return jnp.sum(y * y)

        # The stem's images need no gradient.
        return jax.grad(loss, argnums=1 if before == 3 else (0, 1))(x, k)

    return interleaved({"": lambda: both(x, k)}, options.rounds)[""]


def training_step(options) -> float:
    """Time of a step of ResNet-34 [s]."""
    from analogjax.networks import ResNet34
    from analogjax.training import TrainingConfig
    from analogjax.training._steps import State, make_optimiser, make_step

    config = TrainingConfig(batch=options.batch, flip=True, shift=8)
    model = ResNet34(rngs=nnx.Rngs(0))
    model.train()
    graph, parameters, other = nnx.split(model, nnx.Param, ...)
    optimiser = make_optimiser(config, 100)
    step = make_step(graph, optimiser, config)
    state = State(parameters, other, optimiser.init(parameters))
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(0, 256, (options.batch, 64, 64, 3), dtype=np.uint8))
    y = jnp.asarray(rng.integers(0, 101, options.batch, dtype=np.int32))
    chosen, key = np.arange(options.batch, dtype=np.int32), jax.random.key(0)
    return interleaved({"": lambda: step(state, x, y, chosen, key)}, options.rounds)[""]


if __name__ == "__main__":
    main()
