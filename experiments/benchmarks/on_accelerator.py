"""Throughput of the film on whatever device JAX finds: one film, and batches of films.

The same program runs unchanged on a CPU, GPU or TPU. Prints device-pulses per second (Heun, three
steps per pulse, float64) for single films and for `vmap` over films with different barriers,
forward and gradient, and checks the result against an independent solver's number (printed first).

    python experiments/benchmarks/on_accelerator.py --out FILE
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp

PULSES = 10
REFERENCE = 12.821762665712
"""ln R24 after five pulses of 5 V on 24 x 24 cells, from an independent NumPy solver."""


def best_time(call, repeats: int = 3) -> float:
    """Return the shortest of several timings of a compiled call [s]."""
    jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file")
    parser.add_argument("--cells", type=int, nargs="+", default=[48, 64, 128])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 256])
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    import analogjax as aj

    def log_resistance(cells, barrier, pulses):
        film = aj.devices.FourTerminalTiO2(cells).replace(activation_energy=barrier)
        drive = aj.stimuli.pulse_train(5.0 * jnp.ones(pulses), width=0.25)
        solver = aj.simulation.Heun(3)
        save = aj.simulation.Save(states=False)
        result = aj.simulate(film, drive, solver=solver, save=save, throw=False)
        return jnp.log(result.read_resistance[-1])

    device = jax.devices()[0]
    print(f"{device.platform}: {device.device_kind}, jax {jax.__version__}")
    value = float(jax.jit(lambda e: log_resistance(24, e, 5))(jnp.asarray(0.5)))
    print(f"ln R24 = {value:.12f}, reference {REFERENCE:.12f}, off by {value - REFERENCE:.1e}")
    rows = []
    print(f"{'cells':>6} {'films':>6} {'forward [pulses/s]':>19} {'gradient [pulses/s]':>20}")
    for cells in options.cells:
        for films in options.batches:
            barriers = jnp.linspace(0.49, 0.51, films)

            def one(barrier, cells=cells):
                return log_resistance(cells, barrier, PULSES)

            forward = jax.jit(jax.vmap(one))
            gradient = jax.jit(jax.vmap(jax.grad(one)))
            speed = [
                films * PULSES / best_time(lambda f=f, b=barriers: f(b))
                for f in (forward, gradient)
            ]
            rows.append({"cells": cells, "films": films, "forward": speed[0], "grad": speed[1]})
            print(f"{cells:>6} {films:>6} {speed[0]:>19.1f} {speed[1]:>20.1f}", flush=True)
    if options.out:
        facts = {"device": device.device_kind, "platform": device.platform, "error": value}
        options.out.write_text(json.dumps(facts | {"rows": rows}, indent=2))


if __name__ == "__main__":
    main()
