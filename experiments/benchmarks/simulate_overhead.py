"""What `analogjax.simulate` costs more than a scan written by hand.

Both contestants simulate the same pulses of the four-terminal film with Heun's method, three steps
a pulse, and return current and read resistance after every pulse. The hand-written one (`bare`) is
a scan over pulses, steps and stages around the device's own equations, checkpointed once a pulse.
It has no step counting, no stability check, no failure handling and no choice of solver.

Run times: contestants interleaved, minima. Compile times (tracing, lowering and compilation): a
fresh process each, interleaved, persistent cache off, minima.

    python experiments/benchmarks/simulate_overhead.py
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
from _measure import interleaved, judged, parser, save, table, versions

import analogjax as aj

SUBSTEPS = 3


def ours(device, drive):
    """Return current and read resistance after every pulse, by the library."""
    result = aj.simulate(device, drive, solver=aj.simulation.Heun(SUBSTEPS), throw=False)
    return result.i[1:], result.read_resistance[1:]


def bare(device, drive):
    """Return current and read resistance after every pulse, by a scan written out."""
    workspace = device.prepare()

    @jax.checkpoint
    def pulse(carry, segment):
        c, fields, guess = carry
        v, width = segment
        dt = width / SUBSTEPS

        def substep(carry, _):
            def stage(carry, first):
                y, c_next, fields = carry
                rate, fields = device.rate(v, y, fields, workspace, "write")
                return (jnp.where(first, y + dt * rate, y), c_next + 0.5 * dt * rate, fields), None

            c, fields = carry
            (_, c, fields), _ = jax.lax.scan(stage, (c, c, fields), jnp.array([True, False]))
            return (c, fields), None

        (c, fields), _ = jax.lax.scan(substep, (c, fields), length=SUBSTEPS)
        i, r, guess = device.observe(v, c, fields, c, jax.lax.stop_gradient(guess), workspace)
        return (c, fields, guess), (i, r)

    c = device.init_state()
    start = (c, device.initial_fields(c), jnp.zeros_like(c))
    return jax.lax.scan(pulse, start, (drive.stop, drive.width))[1]


CONTESTANTS = {"ours": ours, "bare": bare}


def jitted(name: str, kind: str, device, drive):
    """Return the jitted function of one contestant and its argument (all parameters).

    Args:
        name: ``"ours"`` or ``"bare"``.
        kind: ``"forward"``, or ``"gradient"`` of ln R after the last pulse.
        device: The device.
        drive: The drive.
    """
    leaves, rest = eqx.partition((device, drive), eqx.is_inexact_array)

    def forward(leaves):
        return CONTESTANTS[name](*eqx.combine(leaves, rest))

    def gradient(leaves):
        return jax.grad(lambda leaves: jnp.log(forward(leaves)[1][-1]))(leaves)

    return jax.jit({"forward": forward, "gradient": gradient}[kind]), leaves


def make(cells: int, pulses: int):
    """Return the device and the drive."""
    device = aj.devices.FourTerminalTiO2(cells=cells)
    return device, aj.stimuli.pulse_train(jnp.full(pulses, 5.0), width=0.25)


def compile_once(name: str, kind: str, cells: int, pulses: int) -> dict[str, float]:
    """Return CPU and wall time [s] of tracing with lowering, and of compilation."""
    function, leaves = jitted(name, kind, *make(cells, pulses))
    # Start the runtime, and import what is imported on first use: neither is compilation.
    jax.block_until_ready(jnp.linalg.solve(jnp.eye(2), jnp.ones(2)))
    importlib.import_module("analogjax.simulation")
    clocks = [(time.process_time(), time.perf_counter())]
    lowered = function.lower(leaves)
    clocks.append((time.process_time(), time.perf_counter()))
    lowered.compile()
    clocks.append((time.process_time(), time.perf_counter()))
    return {
        "lower_cpu": clocks[1][0] - clocks[0][0],
        "compile_cpu": clocks[2][0] - clocks[1][0],
        "cpu": clocks[2][0] - clocks[0][0],
        "wall": clocks[2][1] - clocks[0][1],
    }


def compile_times(cells: int, pulses: int, repeats: int) -> dict[str, dict[str, float]]:
    """Return the least compile times of every contestant and kind, each in fresh processes."""
    found: dict[str, list[dict[str, float]]] = {}
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    for _ in range(repeats):
        for kind in ("forward", "gradient"):
            for name in CONTESTANTS:
                command = [sys.executable, __file__, "--compile-only", name, kind]
                command += ["--cells", str(cells), "--pulses", str(pulses)]
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, check=True
                )
                found.setdefault(f"{name} {kind}", []).append(json.loads(done.stdout))
    return {key: {k: min(r[k] for r in runs) for k in runs[0]} for key, runs in found.items()}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--cells", type=int, default=64)
    options.add_argument("--pulses", type=int, default=100)
    options.add_argument("--rounds", type=int, default=5, help="batches per contestant")
    options.add_argument("--compile-repeats", type=int, default=3, help="0 leaves them out")
    options.add_argument("--compile-only", nargs=2, metavar=("CONTESTANT", "KIND"))
    arguments = options.parse_args()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_enable_compilation_cache", False)
    if arguments.compile_only:
        print(json.dumps(compile_once(*arguments.compile_only, arguments.cells, arguments.pulses)))
        return

    compiled, calls = {}, {}
    for kind in ("forward", "gradient"):
        for name in CONTESTANTS:
            function, leaves = jitted(name, kind, *make(arguments.cells, arguments.pulses))
            compiled[f"{name} {kind}"] = program = function.lower(leaves).compile()
            calls[f"{name} {kind}"] = lambda program=program, leaves=leaves: program(leaves)
    currents, resistances = (calls[f"{name} forward"]()[1] for name in CONTESTANTS)
    difference = float(jnp.max(jnp.abs(currents / resistances - 1)))

    run = interleaved({k: c for k, c in calls.items() if "forward" in k}, 2 * arguments.rounds)
    run |= interleaved({k: c for k, c in calls.items() if "gradient" in k}, arguments.rounds)
    memory = {k: p.memory_analysis().temp_size_in_bytes / 2**20 for k, p in compiled.items()}
    rows = [
        ("forward, ours / bare", run["ours forward"] / run["bare forward"], "", 1.3, False),
        ("gradient, ours / bare", run["ours gradient"] / run["bare gradient"], "", 2.0, False),
        ("ours, gradient / forward", run["ours gradient"] / run["ours forward"], "", 5.0, False),
        ("temporary memory of our gradient", memory["ours gradient"], " MiB", 64, False),
    ]
    compiling = {}
    if arguments.compile_repeats:
        compiling = compile_times(arguments.cells, arguments.pulses, arguments.compile_repeats)
        for kind in ("forward", "gradient"):
            for clock in ("cpu", "wall"):
                ratio = compiling[f"ours {kind}"][clock] / compiling[f"bare {kind}"][clock]
                rows.append((f"compile {kind}, ours / bare, {clock} time", ratio, "", 1.3, False))

    print(f"{arguments.pulses} pulses at {arguments.cells} x {arguments.cells}, float64;", end=" ")
    print(f"resistances of the two differ by {difference:.1e} at most\n")
    print(judged(rows))
    print()
    lines = []
    for key in calls:
        cost = compiling.get(key, {})
        clocks = [f"{cost[k]:.1f}" if cost else "-" for k in ("lower_cpu", "compile_cpu", "wall")]
        lines.append((key, f"{run[key]:.2f}", f"{memory[key]:.1f}", *clocks))
    header = ("", "run [s]", "memory [MiB]", "trace, lower [CPU s]", "compile [CPU s]", "both [s]")
    print(table(lines, header))
    save(
        arguments.out,
        {
            "cells": arguments.cells,
            "pulses": arguments.pulses,
            "difference": difference,
            "ratios": {name: value for name, value, *_ in rows},
            "run_s": run,
            "temporary_MiB": memory,
            "compile_s": compiling,
            "versions": versions("jax", "jaxlib", "diffrax", "equinox"),
        },
    )


if __name__ == "__main__":
    main()
