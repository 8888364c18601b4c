"""What a reduced model costs and how good it is, against the film it was distilled from.

1. Error on unseen random pulse sequences, open loop, and after controlled writes: the same
   write-verify on both, without chance (difference of what they end at) and under the standard
   noise (two-sample Kolmogorov-Smirnov test of the level errors).
2. Pulses per second: 10,000 reduced devices against ten films, side by side by `vmap`.

    python experiments/benchmarks/reduced_model.py --reduced reduced.npz

The file is read if it exists; else the model is distilled (minutes) and written there.
"""

from __future__ import annotations

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from _measure import interleaved, judged, parser, save, versions

import analogjax as aj
from analogjax import programming as pg
from analogjax.programming.program import writing_solver
from analogjax.simulation import ForwardMode
from analogjax.simulation.solvers import Plateau

WIDTHS, AMPLITUDES = (1e-3, 0.25), (4.6, 5.2)
PULSES = 10


def prepared(cells: int, cache: Path | None):
    """Return film, conditioned state, window and reduced device."""
    film = aj.devices.FourTerminalTiO2(cells, preset="nonvolatile")
    state, window = pg.condition_and_window(film, margin=0.0)
    if cache is not None and cache.exists():
        with np.load(cache) as arrays:
            return film, state, window, pg.ReducedDevice.from_arrays(dict(arrays))
    reduced = pg.distil(
        film, state, key=jax.random.key(0), amplitudes=AMPLITUDES, widths=WIDTHS, window=window
    )
    if cache is not None:
        np.savez(cache, **reduced.to_arrays())
    return film, state, window, reduced


def level_errors(device, state, window, *, levels, repeats, noise, controller, seed):
    """Return level errors as fractions of the window, and the pulses they took."""
    table = pg.program_levels(
        device, levels, repeats=repeats, noise=noise, controller=controller, state=state,
        window=window, key=jax.random.key(seed), delays=(1.0,),
    )  # fmt: skip
    return table.errors, table.pulses


@eqx.filter_jit
def train(device, states, v, width, solver, pulses):
    """Return the resistance after every one of some equal pulses, one row a device."""
    workspace = device.prepare()
    plateau = Plateau(v, v, width)

    def one(state):
        def pulse(carry, _):
            state, fields, guess = carry
            step = solver.advance(device, workspace, state, fields, plateau, ForwardMode())
            _, r, guess = device.observe(v, step.state, step.fields, step.state, guess, workspace)
            return (step.state, step.fields, guess), r

        start = (state, device.initial_fields(state), jnp.zeros_like(state))
        return jax.lax.scan(pulse, start, length=pulses)[1]

    return jax.vmap(one)(states)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--reduced", type=Path, help="arrays of the reduced device (.npz)")
    options.add_argument("--cells", type=int, default=32)
    options.add_argument("--levels", type=int, default=32)
    options.add_argument("--repeats", type=int, default=4)
    options.add_argument("--devices", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=3)
    arguments = options.parse_args()
    jax.config.update("jax_enable_x64", True)
    film, state, window, reduced = prepared(arguments.cells, arguments.reduced)
    start = reduced.init_state()
    numbers: dict = {"versions": versions("jax", "jaxlib", "equinox", "optax")}

    unseen = pg.record_pulses(
        film, state, window, amplitude=5.0, amplitudes=AMPLITUDES, widths=WIDTHS, sequences=8,
        pulses=200, ambient_spread=3.0, key=jax.random.key(2),
    )  # fmt: skip
    error = pg.reduced_error(reduced, unseen)
    numbers["open_loop"] = error
    print("open loop:", error)
    rows = [
        ("open loop, 100 unseen pulses, rms error of R / window", error["rms"], "", 0.01, False),
        ("the same, largest", error["max"], "", 0.01, False),
    ]

    # Accepted within 1e-4 of the window, with a read that has no noise.
    fine = pg.WriteVerify(tolerance=1e-4 * (arguments.levels - 1))
    common = dict(window=window, levels=arguments.levels)
    exact = [
        level_errors(d, s, repeats=1, noise="none", controller=fine, seed=0, **common)
        for d, s in ((film, state), (reduced, start))
    ]
    apart = exact[1][0] - exact[0][0]
    noisy = [
        level_errors(
            d, s, repeats=arguments.repeats, noise="standard", controller=None, seed=seed, **common
        )
        for d, s, seed in ((film, state, 1), (reduced, start, 2))
    ]
    test = scipy.stats.ks_2samp(noisy[0][0].ravel(), noisy[1][0].ravel())
    numbers["closed_loop"] = {
        "rms": float(np.sqrt(np.mean(apart**2))),
        "max": float(np.max(np.abs(apart))),
        "pulses": [float(p.mean()) for _, p in (*exact, *noisy)],
        "std": [float(e.std()) for e, _ in noisy],
        "ks_statistic": float(test.statistic),
        "ks_p": float(test.pvalue),
    }
    closed = numbers["closed_loop"]
    rows += [
        ("controlled write, reduced - film, rms / window", closed["rms"], "", 2e-4, False),
        ("the same, largest", closed["max"], "", 2e-4, False),
    ]
    print("closed loop:", closed)

    single = jax.tree.map(lambda x: x.astype(jnp.float32), reduced)
    counts = {"film": 10, "reduced": arguments.devices, "reduced, float32": arguments.devices}
    calls = {}
    for name, device, one in (
        ("film", film, state), ("reduced", reduced, start), ("reduced, float32", single, None)
    ):  # fmt: skip
        one = device.init_state() if one is None else one
        many = jnp.broadcast_to(one, (counts[name], *one.shape))
        drive = [jnp.asarray(x, one.dtype) for x in (5.0, 0.05)]
        solver = writing_solver(None, device)
        calls[name] = lambda d=device, m=many, x=drive, s=solver: train(d, m, *x, s, PULSES)
    times = interleaved(calls, arguments.rounds)
    rates = {name: counts[name] * PULSES / times[name] for name in calls}
    numbers["pulses_per_second"] = rates
    for name in ("reduced", "reduced, float32"):
        ratio = rates[name] / rates["film"]
        rows.append((f"pulses per second, {name} / film", ratio, "", 1000.0, True))
    print("pulses per second:", {k: f"{v:.3g}" for k, v in rates.items()}, "\n")
    print(judged(rows))
    save(arguments.out, numbers)


if __name__ == "__main__":
    main()
