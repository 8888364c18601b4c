"""JART VCM: a thousand cells under a sweep against LSODA, and millions of write pulses.

1. Work against precision: cells with drawn parameters under a +-1.3 V sweep at 1 V/s, by
   `simulate` under `vmap`, by SciPy's LSODA with all cells as one banded system (NumPy, vectorised,
   the same equations and the same Newton iteration, started from the last root), and by a loop of
   `solve_ivp` over cells. Errors are the largest of ln N at the ends of half ramps.
   A few cells are solved by all; a thousand by ours, and by LSODA as long as patience lasts.
2. A million cells of one parameter set, 100 write pulses each of their own amplitudes, by the
   tabulated flow; 1e5 cells with every parameter drawn anew, 100 pulses, by time stepping.
"""

from __future__ import annotations

import os
import time

import _measure
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)

import analogjax as aj  # noqa: E402
from analogjax.devices import JartVCM, Spread, sample_devices  # noqa: E402
from analogjax.simulation import FlowMap, Rosenbrock, Save  # noqa: E402

SPREAD = Spread(relative={"radius": 0.03, "disc_length": 0.03, "n_min": 0.1, "n_max": 0.03})
EVERYTHING = Spread(
    relative={name: 0.01 for name in JartVCM.PARAMETERS if name not in ("read_voltage", "n_init")}
)
V_PEAK, RATE, POINTS = -1.3, 1.0, 2


class NumpyCells:
    """The equations in NumPy, for a batch of cells, as a user of SciPy would write them."""

    def __init__(self, devices, index=slice(None), limit=float("inf")):
        """Take the parameters of a batch, or of one cell of it; give up after a time [s]."""
        self.until = time.perf_counter() + limit
        p = {k: np.atleast_1d(np.asarray(v))[index] for k, v in devices.parameters().items()}
        p = {k: np.atleast_1d(v) for k, v in p.items()}
        self.p, self.x, self.polarity, self.calls = p, None, 0, 0
        e = 1.602e-19
        area = np.pi * p["radius"] ** 2
        self.area = area
        self.per = e * p["charge_number"] * p["electron_mobility"] * area * 1e26
        self.plug = (p["cell_length"] - p["disc_length"]) / (self.per * p["n_plug"])
        self.line = p["oxide_resistance"] + p["line_resistance"]
        self.cubic = (
            p["line_resistance"] ** 2
            * p["line_temperature_coefficient"]
            * p["line_thermal_resistance"]
        )
        self.rth = p["thermal_resistance"] * (p["nominal_radius"] / p["radius"]) ** 2

    def log_junction(self, x, t, n, reset):
        """Return ln of the junction's current."""
        p, e, k = self.p, 1.602e-19, 1.3807e-23
        psi = p["barrier_height"] - p["fermi_offset"] + (-x if reset else x)
        s = e / (p["barrier_permittivity"] * 8.854e-12)
        low = s**3 * p["charge_number"] * n * 1e26 * np.maximum(psi, 0) / (8 * np.pi**2)
        phi = np.maximum(p["barrier_height"] - np.sqrt(np.sqrt(low)), 0)
        vt = k * t / e
        if reset:
            log = np.log(self.area * 6.01e5 * t**2) - phi / vt
            fold = vt
        else:
            w = 6.626e-34 / (4 * np.pi)
            w = w * np.sqrt(
                p["charge_number"] * n * 1e26 / (9.10938e-31 * p["permittivity"] * 8.854e-12)
            )
            r = w / vt
            tanh = np.tanh(r)
            fold = w / (r - tanh)
            log = np.log(self.area * 6.01e5 * t * e / k)
            log = log + 0.5 * np.log(np.pi * w * (x + phi * (1 - tanh**2))) - phi * tanh / w
        u = x / fold
        return log + u + np.log(-np.expm1(-u))

    def current(self, drop, ohmic):
        """Return the current that leaves a voltage drop over the series part."""
        i = drop / ohmic
        for _ in range(3):
            f = i * (ohmic + self.cubic * i**2) - drop
            d = ohmic + 3 * self.cubic * i**2
            i = i - f * d / (d**2 - 3 * f * self.cubic * i)
        return i

    def velocity(self, v, y):
        """Return d(ln N)/dt."""
        self.calls += 1
        if time.perf_counter() > self.until:
            raise TimeoutError
        p, a = self.p, abs(v)
        if a < 1e-5:
            return np.zeros_like(y)
        reset, n = v > 0, np.exp(y)
        disc = p["disc_length"] / (self.per * n)
        ohmic = disc + self.plug + self.line
        heat = self.rth * (p["reset_heating"] if reset else 1.0)

        def residual(x):
            i = self.current(a - x, ohmic)
            t = p["ambient_temperature"] + i * (a - i * (self.line + self.cubic * i**2)) * heat
            return np.log(i) - self.log_junction(x, t, n, reset)

        if self.x is None or self.polarity != reset:
            self.x, self.polarity = np.full_like(y, min(1e-3, 0.1 * a)), reset
        x = np.minimum(self.x, 0.5 * a)
        for _ in range(40):
            step = 1e-6 * x
            f = residual(x)
            slope = (residual(x + step) - f) / step
            new = np.clip(x - f / slope, 0.05 * x, 0.1 * x + 0.9 * a)
            done = np.max(np.abs(new - x) / x) < 1e-9
            x = new
            if done:
                break
        self.x = x
        i = self.current(a - x, ohmic)
        oxide = a - i * (self.line + self.cubic * i**2)
        t = p["ambient_temperature"] + i * oxide * heat
        field = oxide / p["cell_length"] if reset else i * disc / p["disc_length"]
        energy = p["charge_number"] * p["hop_distance"] * field
        g = np.minimum(energy / (np.pi * p["activation_energy"]), 0.999)
        vt = 1.3807e-23 * t / 1.602e-19
        barrier = p["activation_energy"] * (np.sqrt(1 - g**2) + g * np.arcsin(g))
        hops = np.exp(energy / (2 * vt) - barrier / vt) * -np.expm1(-energy / vt)
        beyond = np.log(p["n_min"]) - y if reset else y - np.log(p["n_max"])
        limiter = -np.expm1(10 * np.minimum(beyond, 0))
        speed = 0.5 * (p["n_plug"] + n) * p["hop_distance"] * p["attempt_frequency"]
        speed = speed / p["disc_length"] * limiter * hops / n
        return -speed if reset else speed


def sweep_by_scipy(devices, drive, tol, index=slice(None), limit=float("inf")):
    """LSODA over the whole batch as one system with a diagonal Jacobian; states at segment ends."""
    from scipy.integrate import solve_ivp

    cells = NumpyCells(devices, index, limit)
    y = np.log(cells.p["n_init"])
    states = []
    for start, stop, width in zip(
        *map(np.asarray, (drive.start, drive.stop, drive.width)), strict=True
    ):
        solution = solve_ivp(
            lambda t, y, a=start, b=stop, w=width: cells.velocity(a + (b - a) * t / w, y),
            (0.0, width), y, method="LSODA", rtol=tol, atol=tol, lband=0, uband=0,
        )  # fmt: skip
        if not solution.success:
            raise RuntimeError(f"LSODA must finish, but says: {solution.message}")
        y = solution.y[:, -1]
        states.append(y)
    return np.stack(states, axis=-1), cells.calls


def make_sweep(drive, tol):
    """Return our solve of all cells, compiled."""

    def one(device):
        solver = Rosenbrock(tol, tol, max_steps=100000)
        result = aj.simulate(device, drive, throw=False, solver=solver)
        return result.state[1:], result.ok, result.stats

    return eqx.filter_jit(eqx.filter_vmap(one))


def work_and_precision(count: int, tolerances: list[float], rivals: list[float], loop: int) -> dict:
    """Print the table of part 1 and return its numbers."""
    devices = sample_devices(JartVCM(), SPREAD, count, key=jax.random.key(0))
    drive = aj.stimuli.triangle_sweep(V_PEAK, RATE, points=POINTS)
    reference, ok, _ = make_sweep(drive, 1e-9)(devices)
    assert bool(ok.all())
    reference = np.asarray(reference)
    rows, numbers = [], {"ours": [], "lsoda": []}
    for tol in tolerances:
        solve = make_sweep(drive, tol)
        seconds = _measure.interleaved({"ours": lambda solve=solve: solve(devices)}, 2)["ours"]
        state, ok, stats = solve(devices)
        steps = np.asarray(stats["steps"] + stats["rejected"])
        error = np.abs(np.asarray(state) - reference).max()
        numbers["ours"].append((tol, seconds, float(error)))
        rows.append(("simulate, vmap", f"{tol:g}", f"{seconds:.2f}", f"{error:.1e}",
                     f"{steps.mean():.0f} / {steps.max()}"))  # fmt: skip
        assert bool(ok.all())
    for tol in rivals:
        start = time.perf_counter()
        state, calls = sweep_by_scipy(devices, drive, tol)
        seconds = time.perf_counter() - start
        error = np.abs(state - reference).max()
        numbers["lsoda"].append((tol, seconds, float(error)))
        rows.append(("LSODA, one banded system", f"{tol:g}", f"{seconds:.2f}", f"{error:.1e}",
                     f"{calls} calls"))  # fmt: skip
    tol = rivals[0]
    start = time.perf_counter()
    errors = []
    for k in range(loop):
        state, _ = sweep_by_scipy(devices, drive, tol, k)
        errors.append(np.abs(state - reference[k]).max())
    seconds = (time.perf_counter() - start) * count / loop
    numbers["loop"] = (tol, seconds, float(max(errors)))
    rows.append((f"loop of solve_ivp ({loop} cells, scaled)", f"{tol:g}", f"{seconds:.0f}",
                 f"{max(errors):.1e}", ""))  # fmt: skip
    print(
        _measure.table(
            rows, ("solver", "tolerance", "seconds", "largest error", "steps mean / max")
        )
    )

    def at(points, error):
        """Seconds at an error, on the line between two points in logarithms."""
        points = sorted((e, s) for _, s, e in points)
        e, s = np.log([p[0] for p in points]), np.log([p[1] for p in points])
        return float(np.exp(np.interp(np.log(error), e, s)))

    common = max(min(e for *_, e in numbers["ours"]), min(e for *_, e in numbers["lsoda"]))
    numbers["lsoda_over_ours"] = at(numbers["lsoda"], common) / at(numbers["ours"], common)
    print()
    print(_measure.judged([
        (f"LSODA / simulate, error {common:.0e}", numbers["lsoda_over_ours"], "", 3.0, True),
    ]))  # fmt: skip
    return numbers


def at_full_size(count: int, tol: float, rival: float, limit: float, loop: int) -> dict:
    """All cells by ours; LSODA as one system within its time, and cell by cell for a few, scaled.

    Ours takes the tighter tolerance: its error must be at most that of the rival's cells.
    """
    devices = sample_devices(JartVCM(), SPREAD, count, key=jax.random.key(0))
    drive = aj.stimuli.triangle_sweep(V_PEAK, RATE, points=POINTS)
    solve = make_sweep(drive, tol)
    ours = _measure.interleaved({"ours": lambda: solve(devices)}, 2)["ours"]
    state, ok, stats = solve(devices)
    assert bool(ok.all())
    steps = np.asarray(stats["steps"] + stats["rejected"])
    few = jax.tree.map(lambda leaf: leaf[:loop] if jnp.ndim(leaf) else leaf, devices)
    exact, _, _ = make_sweep(drive, 1e-9)(few)
    ours_error = float(np.abs(np.asarray(state)[:loop] - np.asarray(exact)).max())
    start, loop_error = time.perf_counter(), 0.0
    for k in range(loop):
        cell, _ = sweep_by_scipy(devices, drive, rival, k)
        loop_error = max(loop_error, float(np.abs(cell - np.asarray(exact)[k]).max()))
    looped = (time.perf_counter() - start) * count / loop
    start, finished = time.perf_counter(), True
    try:
        sweep_by_scipy(devices, drive, rival, limit=limit)
    except TimeoutError:
        finished = False
    theirs = time.perf_counter() - start
    sign = "" if finished else "more than "
    print(f"\n{count:,} cells: simulate (tolerance {tol:g}) {ours:.1f} s, error {ours_error:.1e} "
          f"(steps: mean {steps.mean():.0f}, max {steps.max()}); LSODA ({rival:g}), one banded "
          f"system, {sign}{theirs:.0f} s: a ratio of {sign}{theirs / ours:.0f}; loop of solve_ivp "
          f"({rival:g}, {loop} cells, scaled) {looped:.0f} s, error {loop_error:.1e}")  # fmt: skip
    print(_measure.judged([
        ("LSODA / simulate, lower bound" if not finished else "LSODA / simulate",
         theirs / ours, "", 3.0, True),
        ("loop of solve_ivp / simulate", looped / ours, "", 100.0, True),
    ]))  # fmt: skip
    assert ours_error <= loop_error
    return {
        "ours": ours, "lsoda": theirs, "lsoda_finished": finished, "loop": looped,
        "ours_error": ours_error, "loop_error": loop_error,
        "steps_mean": float(steps.mean()), "steps_max": int(steps.max()),
    }  # fmt: skip


def pulses_by_flow(count: int, pulses: int) -> dict:
    """A million cells of one parameter set, by tables; returns seconds and throughput."""
    device = JartVCM()
    start = time.perf_counter()
    flow = FlowMap.tabulate(device, jnp.log(device.n_min), jnp.log(device.n_max))
    jax.block_until_ready(flow)
    made = time.perf_counter() - start
    keys = jax.random.split(jax.random.key(1), 3)

    @jax.jit
    def write(state, key):
        def pulse(state, key):
            key_sign, key_size = jax.random.split(key)
            up = jax.random.bernoulli(key_sign, 0.5, (count,))
            u = jax.random.uniform(key_size, (count,))
            v = jnp.where(up, -0.3 - 0.6 * u, 0.6 + 0.8 * u)
            after, good = jax.vmap(lambda y, v: flow.move(y, v, jnp.asarray(1e-6)))(state, v)
            return after, good.all()

        return jax.lax.scan(pulse, state, jax.random.split(key, pulses))

    state = jax.random.uniform(keys[0], (count,), minval=jnp.log(0.0085), maxval=jnp.log(19.5))
    compiled = write.lower(state, keys[1]).compile()
    start = time.perf_counter()
    final, good = jax.block_until_ready(compiled(state, keys[1]))
    seconds = time.perf_counter() - start
    assert bool(good.all())
    assert bool(jnp.isfinite(final).all())
    rate = count * pulses / seconds
    print(f"\nflow tables: made in {made:.1f} s (compilation included)")
    print(
        f"{count:,} cells x {pulses} pulses: {seconds:.1f} s, {rate:.3g} device-pulses per second"
    )
    return {"seconds": seconds, "device_pulses_per_second": count * pulses / seconds}


def pulses_by_stepping(count: int, pulses: int, batch: int) -> dict:
    """Cells with every parameter drawn anew, by time stepping in batches, a part on every device.

    A CPU counts as so many devices as it has cores: what no thread of one program shares well.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("lanes",), axis_types=(AxisType.Auto,))
    drive_key, key = jax.random.split(jax.random.key(2))

    def one(device, key):
        key_sign, key_size = jax.random.split(key)
        up = jax.random.bernoulli(key_sign, 0.5, (pulses,))
        u = jax.random.uniform(key_size, (pulses,))
        v = jnp.where(up, -0.4 - 0.2 * u, 0.7 + 0.3 * u)
        drive = aj.stimuli.pulse_train(v, width=1e-6)
        # Writes move little each: the flow is solved to 1e-5 a pulse.
        result = aj.simulate(
            device, drive, jnp.log(0.5), throw=False, solver=Rosenbrock(1e-5, 1e-5),
            save=Save(states=False),
        )  # fmt: skip
        return result.final_state, result.ok, result.stats["steps"]

    lanes = PartitionSpec("lanes")
    run = jax.jit(
        jax.shard_map(
            jax.vmap(one), mesh=mesh, in_specs=(lanes, lanes), out_specs=lanes, check_vma=False
        )
    )
    devices = sample_devices(JartVCM(), EVERYTHING, batch, key=key)
    keys = jax.random.split(drive_key, batch)
    jax.block_until_ready(run(devices, keys))
    start = time.perf_counter()
    failed, steps = 0, []
    for part in range(count // batch):
        devices = sample_devices(JartVCM(), EVERYTHING, batch, key=jax.random.fold_in(key, part))
        _, ok, taken = run(devices, jax.random.split(jax.random.fold_in(drive_key, part), batch))
        failed += int((~ok).sum())
        steps.append(np.asarray(taken))
    seconds = time.perf_counter() - start
    steps = np.concatenate(steps)
    done = count // batch * batch
    rate = done * pulses / seconds
    print(f"time stepping, {done:,} cells with every parameter drawn x {pulses} pulses:")
    print(f"{seconds:.1f} s, {rate:.3g} device-pulses per second, {failed} failed,")
    print(f"steps of a lane: mean {steps.mean():.0f}, max {steps.max()}")
    return {"seconds": seconds, "device_pulses_per_second": done * pulses / seconds}


def main() -> None:
    """Run all parts."""
    parser = _measure.parser(__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--few", type=int, default=10, help="cells of the work-precision table")
    parser.add_argument("--limit", type=float, default=180.0, help="patience with LSODA [s]")
    parser.add_argument("--flow-cells", type=int, default=1_000_000)
    parser.add_argument("--drawn-cells", type=int, default=100_000)
    parser.add_argument("--only", choices=["sweep", "flow", "drawn"])
    options = parser.parse_args()
    numbers = {"versions": _measure.versions("jax", "jaxlib", "diffrax", "scipy", "numpy")}
    if options.only in (None, "sweep"):
        numbers["sweep"] = work_and_precision(
            options.few, [1e-3, 1e-4, 1e-5, 1e-6], [1e-4, 1e-6], 2
        )
        numbers["full"] = at_full_size(options.cells, 1e-6, 1e-4, options.limit, 5)
    if options.only in (None, "flow"):
        numbers["flow"] = pulses_by_flow(options.flow_cells, 100)
    if options.only in (None, "drawn"):
        numbers["drawn"] = pulses_by_stepping(
            options.drawn_cells, 100, min(5000, options.drawn_cells)
        )
    _measure.save(options.out, numbers)


if __name__ == "__main__":
    main()
