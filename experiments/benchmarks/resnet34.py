"""ResNet-34 on devices and on tiles against the plain Flax network; memory of many chips.

Forward passes at 64 pixels: weights that a chip holds (found anew at each pass, or kept), and tiles
of 512 and 256 rows with 8-bit converters and output noise. Peak memory of evaluating 10 chips
against that of one, each in a process of its own.

    python experiments/benchmarks/resnet34.py --out FILE
"""

from __future__ import annotations

import resource
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from _measure import interleaved, judged, parser, save, table, versions
from flax import nnx

CHIPS = 10


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--no-memory", action="store_true")
    options.add_argument("--chips", type=int, help="only print the peak memory of so many")
    options = options.parse_args()
    if options.chips is not None:
        print(peak_memory(options.chips, options.batch))
        return

    x = jnp.asarray(np.random.default_rng(0).random((options.batch, 64, 64, 3)), jnp.float32)
    times = interleaved(
        {name: forward(model, x) for name, model in models().items()}, options.rounds
    )
    plain = times["plain Flax"]
    print(
        table(
            [(n, f"{1e3 * t:.0f}", f"{t / plain:.2f}") for n, t in times.items()],
            ("forward", "[ms]", "/ plain"),
        )
    )
    print()
    judgements = [
        ("weights of a chip / plain", times["weights of a chip"] / plain, "", 1.5, False),
        ("tiles of 512 rows / plain", times["tiles of 512 rows"] / plain, "", 2.5, False),
        ("tiles of 256 rows / plain", times["tiles of 256 rows"] / plain, "", 2.5, False),
    ]
    numbers = dict(times)
    if not options.no_memory:
        peaks = {n: in_process(n, options.batch) for n in (1, CHIPS)}
        numbers |= {f"peak of {n} chips [MiB]": v for n, v in peaks.items()}
        judgements.append(
            (f"peak memory, {CHIPS} chips / one", peaks[CHIPS] / peaks[1], "", 2.0, False)
        )
    print(judged(judgements))
    save(options.out, {**numbers, "versions": versions("jax", "jaxlib", "flax")})


def hardware(rows: int | None):
    """Pairs of devices of 6 bits with Gaussian write errors, on tiles or not."""
    from analogjax.crossbar import (
        DeviceStatistics,
        GaussianError,
        Hardware,
        HardwareConfig,
        WeightMapping,
    )

    device = DeviceStatistics(1e5, 1.19e5, GaussianError(2e-3))
    mapping = WeightMapping("differential", "channel", "least_squares", space="G")
    if rows is None:
        return Hardware(device, mapping, bits=6)
    circuits = HardwareConfig(
        rows=rows, columns=rows, dac_bits=8, adc_bits=8, output_noise=0.04, output_range=10.0
    )
    return Hardware(device, mapping, bits=6, tile=circuits.tile())


def models() -> dict:
    """The digital network, and the same on one chip of each kind."""
    from analogjax.networks import ResNet34, convert_to_analog, keep_arrays, program_analog_weights

    digital = ResNet34(rngs=nnx.Rngs(0))
    digital.eval()
    found = {"plain Flax": digital}
    for name, rows in {
        "weights of a chip": None,
        "tiles of 512 rows": 512,
        "tiles of 256 rows": 256,
    }.items():
        chip = program_analog_weights(
            convert_to_analog(digital, hardware(rows)), key=jax.random.key(0)
        )
        if rows is None:
            found[name] = chip
            found["the same, kept"] = keep_arrays(chip)
        else:
            found[name] = keep_arrays(chip)
    return found


def forward(model, x):
    """A compiled forward pass."""
    graph, state = nnx.split(model)
    call = jax.jit(lambda state, x: nnx.merge(graph, state)(x))
    return lambda: call(state, x)


def peak_memory(chips: int, images: int) -> float:
    """Peak of this process while it evaluates chips [MiB]."""
    from analogjax.data import Split
    from analogjax.networks import ResNet34, accuracy_over_chips

    rng = np.random.default_rng(0)
    split = Split(
        rng.integers(0, 256, (images, 64, 64, 3), dtype=np.uint8),
        rng.integers(0, 101, images, dtype=np.int32),
    )
    accuracy_over_chips(
        ResNet34(rngs=nnx.Rngs(0)), hardware(None), split,
        bits=[4, 6], chips=chips, key=jax.random.key(0),
    )  # fmt: skip
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(chips: int, images: int) -> float:
    """`peak_memory` in a process of its own."""
    command = [sys.executable, __file__, "--chips", str(chips), "--batch", str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
