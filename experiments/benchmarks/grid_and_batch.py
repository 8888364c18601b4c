"""How the cost of a pulse grows with the grid, and what a batch of devices costs.

1. Time per pulse (Heun's method, three steps) and iterations of conjugate gradients per solve, for
   several grids: from zeros, warm (from the potential one stage before, as in a simulation), and
   for the read. The count does not depend on the grid.
2. `jax.vmap` over devices with different parameters against as many runs of one device, one after
   the other. A batch iterates until its slowest member has converged.

    python experiments/benchmarks/grid_and_batch.py
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _measure import interleaved, judged, parser, save, table, versions

import analogjax as aj
from analogjax.physics import elliptic


def simulated(device, drive):
    """Return the read resistance after every pulse."""
    result = aj.simulate(device, drive, solver=aj.simulation.Heun(3), throw=False)
    return result.read_resistance


@contextlib.contextmanager
def counted_iterations() -> Iterator[list[int]]:
    """Collect the number of iterations of every solve outside of `jit`."""
    counts: list[int] = []
    while_loop = jax.lax.while_loop

    def counting(condition, body, start):
        end = while_loop(condition, body, start)
        counts.append(int(end[-1]))
        return end

    def plain(operator, source, solve, **_):
        return solve(operator, source)

    with mock.patch.multiple(elliptic.lax, while_loop=counting, custom_linear_solve=plain):
        yield counts


def iterations(cells: int) -> dict[str, float]:
    """Return mean iterations per solve over one pulse: from zeros, warm, and of the read."""
    device = aj.devices.FourTerminalTiO2(cells=cells)
    work = device.prepare()
    state, fields = device.init_state(), device.initial_fields(device.init_state())
    v, dt = jnp.asarray(5.0), 0.25 / 6
    found: dict[str, list[int]] = {"cold": [], "warm": [], "read": []}

    for step in range(6):
        slope = None
        for kind, start in (("cold", device.initial_fields(state)), ("warm", fields)):
            with counted_iterations() as counts:
                slope, new = device.rate(v, state, start, work, "write")
            if kind == "cold" or step:  # nothing to be warm from in the first step
                found[kind] += counts
        state, fields = state + dt * slope, new
    with counted_iterations() as counts:
        device.read_warm(state, fields, jnp.zeros(()), work)
    found["read"] += counts
    return {kind: float(np.mean(values)) for kind, values in found.items()}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--grids", type=int, nargs="+", default=[32, 48, 64, 128])
    options.add_argument("--pulses", type=int, default=10)
    options.add_argument("--devices", type=int, default=16)
    options.add_argument("--batch-grids", type=int, nargs="+", default=[32, 64])
    options.add_argument("--rounds", type=int, default=5)
    arguments = options.parse_args()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_enable_compilation_cache", False)
    drive = aj.stimuli.pulse_train(jnp.full(arguments.pulses, 5.0), width=0.25)
    numbers = {"grids": {}, "batches": {}, "versions": versions("jax", "jaxlib", "equinox")}

    run = eqx.filter_jit(simulated)
    films = {n: aj.devices.FourTerminalTiO2(cells=n) for n in arguments.grids}
    calls = {str(n): lambda film=film: run(film, drive) for n, film in films.items()}
    times = interleaved(calls, arguments.rounds)
    lines = []
    for n in arguments.grids:
        count = iterations(n)
        per_pulse = times[str(n)] / arguments.pulses
        numbers["grids"][n] = count | {"pulse_s": per_pulse}
        relative = times[str(n)] / times[str(arguments.grids[0])]
        counts = [f"{count[k]:.1f}" for k in ("cold", "warm", "read")]
        lines.append((f"{n} x {n}", f"{per_pulse * 1e3:.1f}", f"{relative:.1f}", *counts))
    header = ("grid", "ms per pulse", "relative", "iterations, cold", "warm", "read")
    print(table(lines, header) + "\n")

    energies = jnp.linspace(0.49, 0.51, arguments.devices)
    rows = []
    for n in arguments.batch_grids:
        film = aj.devices.FourTerminalTiO2(cells=n)

        def one(energy, film=film):
            return simulated(film.replace(activation_energy=energy), drive)

        single, batch = jax.jit(one), jax.jit(jax.vmap(one))
        times = interleaved(
            {
                "single": lambda single=single: [single(energy) for energy in energies],
                "batch": lambda batch=batch: batch(energies),
            },
            arguments.rounds,
        )
        numbers["batches"][n] = times
        name = f"{arguments.devices} devices at {n} x {n}, vmap / one by one"
        rows.append((name, times["batch"] / times["single"], "", 1.0, False))
    print(judged(rows))
    save(arguments.out, numbers)


if __name__ == "__main__":
    main()
