"""Accuracy of 10 chips at 9 bit depths against 90 plain forward passes of the same network.

The MLP 784-256-10 on 10,000 images (random ones: the time does not depend on them), one call of
`analogjax.networks.accuracy_over_chips` against 90 calls of the jitted digital network with argmax
and comparison. Write errors are drawn from level tables of 512, 128 and 32 levels, 10 repeats and
4 later readings (made up), from the other families, or not at all.

    python experiments/benchmarks/chips_and_bits.py --out FILE
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from _measure import interleaved, judged, parser, save, table, versions
from flax import nnx

BITS = range(1, 10)
LIMIT = 3.0


def made_up_tables(crossbar, rng):
    """Return level tables of the shapes that programming gives."""
    return [
        crossbar.LevelErrors(
            2e-3 * rng.standard_normal((5, 10, levels)),
            r_low=1.0e5,
            r_high=1.19e5,
            space="R",
            times=(0.0, 1.0, 60.0, 3600.0, 1e5),
        )
        for levels in (512, 128, 32)
    ]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--images", type=int, default=10_000)
    options.add_argument("--chips", type=int, default=10)
    options = options.parse_args()

    from analogjax import crossbar, data, networks

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (options.images, 28, 28, 1), dtype=np.uint8)
    y = rng.integers(0, 10, options.images, dtype=np.int32)
    split = data.Split(x, y)
    model = networks.MLP(rngs=nnx.Rngs(0))
    passes = len(BITS) * options.chips

    graph, state = nnx.split(model)
    images, labels = jax.block_until_ready((data.to_float(x), jnp.asarray(y)))

    @jax.jit
    def plain(state, images, labels):
        return jnp.mean(jnp.argmax(nnx.merge(graph, state)(images), axis=-1) == labels)

    def forward_passes():
        return [plain(state, images, labels) for _ in range(passes)]

    tables = made_up_tables(crossbar, rng)

    def over_chips(error, **mapping):
        mapping = crossbar.WeightMapping(**mapping)
        hardware = crossbar.Hardware.from_tables(tables, bits=1, error=error, mapping=mapping)
        return lambda: networks.accuracy_over_chips(
            model, hardware, split, bits=BITS, chips=options.chips, key=jax.random.key(0)
        )

    channel = {"per": "channel", "clip": "least_squares"}
    contestants = {
        "empirical, pair per layer by maximum": over_chips("empirical"),
        "empirical, offset per layer by maximum": over_chips("empirical", scheme="offset"),
        "empirical, pair per channel by least squares": over_chips("empirical", **channel),
        "gaussian, pair per layer by maximum": over_chips("gaussian"),
        "student_t, pair per layer by maximum": over_chips("student_t"),
    }
    times = interleaved({"plain": forward_passes} | contestants, options.rounds)
    ratios = {name: times[name] / times["plain"] for name in contestants}

    device = jax.devices()[0]
    print(f"{device.platform}: {device.device_kind}; {options.chips} chips, {len(BITS)} bit depths")
    print(f"{passes} plain forward passes of {options.images} images: {times['plain']:.2f} s\n")
    rows = [(name, f"{times[name]:.2f}", f"{ratios[name]:.2f}") for name in contestants]
    print(table(rows, ("write error and mapping", "time [s]", "over plain")) + "\n")
    worst = max(ratios.values())
    print(judged([("chips and bits / plain forward passes, worst", worst, "", LIMIT, False)]))
    numbers = {"times_s": times, "ratios": ratios, "versions": versions("jax", "jaxlib", "flax")}
    save(options.out, numbers)


if __name__ == "__main__":
    main()
