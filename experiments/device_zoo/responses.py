"""What each device does by itself: sweeps, constant voltages, identical pulses; and how fast."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.devices import AbstractDevice, chance
from analogjax.programming import nonlinearity
from analogjax.simulation import switching_time, throughput
from analogjax.stimuli import pulse_train, triangle_sweep


def sweep_loops(config, run, entry, device: AbstractDevice) -> dict:
    """Current under a triangular sweep at each rate, from the fresh device."""
    peak = entry.sweep.peak * device.potentiation

    @eqx.filter_jit
    def loop(rate):
        drive = triangle_sweep(peak, rate, 2, points=config.points)
        result = aj.simulate(device, drive, throw=False)
        return result.v, result.i, result.ok

    found = [loop(jnp.asarray(rate)) for rate in entry.sweep.rates]
    v, i, ok = (np.stack(x) for x in zip(*found, strict=True))
    # The second cycle: the first one depends on how fresh the device was.
    half = 4 * config.points
    return {"v": v[:, half:], "i": i[:, half:], "ok": ok, "rates": np.array(entry.sweep.rates)}


def switch_times(config, run, entry, device) -> dict:
    """Switching time against voltage, both directions."""
    found = {}
    for name, switch in (("set", entry.set), ("reset", entry.reset)):
        lowest, highest = switch.voltages
        v = jnp.linspace(lowest, highest, config.voltages)
        first, last = switch.states
        timed = jax.jit(jax.vmap(lambda v, a=first, b=last: switching_time(device, v, a, b)))
        found |= {f"v_{name}": v, f"t_{name}": timed(v)}
    return found


def identical_pulses(config, entry, device: AbstractDevice):
    """Return the drive, what it does, and the state half-way up its last cycle."""
    train = [entry.pulses.up] * entry.pulses.count + [-entry.pulses.down] * entry.pulses.count_down
    drive = pulse_train(
        jnp.asarray(train * config.cycles) * device.potentiation, width=entry.pulses.width
    )
    result = aj.simulate(device, drive)
    index = (config.cycles - 1) * len(train) + entry.pulses.count // 2
    return drive, result, jax.tree.map(lambda leaf: leaf[index], result.state)


def pulse_trace(config, run, entry, device: AbstractDevice) -> dict:
    """Conductance after every pulse, without and (where there is any) with chance."""
    drive, result, middle = identical_pulses(config, entry, device)
    found = {"g": 1 / result.read_resistance}
    if chance(device):
        key = jax.random.fold_in(jax.random.key(run.seed), 2)
        found["random"] = 1 / aj.simulate(device, drive, key=key).read_resistance
    if "ambient_temperature" in device.PARAMETERS:
        t = device.parameters()["ambient_temperature"]
        # One kelvin either way, for devices whose read is an iteration.
        up, down = (device.replace(ambient_temperature=t + d).read(middle) for d in (1.0, -1.0))
        found["per_kelvin"] = jnp.log(down / up) / 2
    return found


def speed_of(config, run, entry, device: AbstractDevice) -> dict:
    """Pulses of many devices side by side, each in a state of its own, a second."""
    every, result, _ = identical_pulses(config, entry, device)
    key = jax.random.fold_in(jax.random.key(run.seed), 3)
    draw = jax.random.randint(key, (entry.lanes,), 0, every.pulses)
    starts = jax.tree.map(lambda leaf: leaf[draw], result.state)
    pair = jnp.asarray([entry.pulses.up, -entry.pulses.down]) * device.potentiation
    train = jnp.tile(pair, -(-config.timed_pulses // 2))[: config.timed_pulses]
    found = throughput(device, pulse_train(train, width=entry.pulses.width), starts)
    return {"seconds": found.seconds, "rate": found.rate, "steps": found.steps, "ok": found.ok}


def brief(value: float) -> str:
    """A number for a legend: 1000 as it is, a million as 1e6."""
    return f"{value:g}" if value < 1e4 else f"{value:.0e}".replace("e+0", "e")


def report_loops(run, zoo, loops) -> None:
    """Hysteresis."""
    if not loops:
        return
    curves = {}
    for name, found in loops.items():
        i = np.where(found["ok"][:, None], found["i"], np.nan)
        curves[zoo[name].title] = {
            f"{brief(rate)} V/s": (v, current)
            for rate, v, current, ok in zip(found["rates"], found["v"], i, found["ok"], strict=True)
            if ok
        }
        run.metric(f"loops_unsolved_{name}", int(np.sum(~found["ok"])), "sweeps that failed")
    curves = {title: rates for title, rates in curves.items() if rates}
    run.section(
        "Pinched hysteresis",
        "Triangular sweeps from the fresh device, the second cycle shown, at three rates. The "
        "faster the sweep, the higher the voltage at which a device switches, and the smaller the "
        "loop of one that follows the charge.",
    )
    run.figure("loops", aj.plotting.hysteresis_loops(curves), "Size of the current under sweeps.")


def report_times(run, zoo, times) -> None:
    """Switching times."""
    if not times:
        return
    curves = {}
    for name, t in times.items():
        curves[zoo[name].title] = {d.upper(): (t[f"v_{d}"], t[f"t_{d}"]) for d in ("set", "reset")}
        for d in ("set", "reset"):
            v, seconds = np.abs(t[f"v_{d}"]), t[f"t_{d}"]
            good = np.isfinite(seconds)
            if good.sum() > 1:
                slope = np.polyfit(v[good], np.log10(seconds[good]), 1)[0]
                run.metric(f"decades_per_volt_{d}_{name}", slope, "of the switching time, mean")
    run.section(
        "Switching time against voltage",
        "The integral of dx / velocity between two states (SET: to low resistance). A steep line "
        "is what a memory wants: written fast, read for years.",
    )
    run.figure(
        "switching", aj.plotting.switching_times(curves), "Time from one state to the other."
    )


def report_pulses(run, config, zoo, traces) -> None:
    """Potentiation and depression."""
    if not traces:
        return
    curves, rows = {}, []
    for name, found in traces.items():
        entry, g = zoo[name], found["g"]
        kinds = {"with chance": found["random"]} if "random" in found else {}
        curves[entry.title] = {"without chance": g, **kinds}
        first, second = entry.pulses.count, entry.pulses.count + entry.pulses.count_down
        # The last cycle, which does not depend on how fresh the device was.
        cycle = g[(config.cycles - 1) * second :]
        halves = (cycle[: first + 1], cycle[first : second + 1])
        up, down = (float(nonlinearity(half)["max"]) for half in halves)
        ratio = float(cycle.max() / cycle.min())
        run.metric(f"window_ratio_{name}", ratio, "largest over smallest G of the last cycle")
        run.metric(f"nonlinearity_potentiation_{name}", up, "largest, over the window")
        run.metric(f"nonlinearity_depression_{name}", down)
        rows.append([entry.title, f"{entry.pulses.up:g} / {entry.pulses.down:g} V",
                     f"{entry.pulses.width:g} s", f"{ratio:.3g}", f"{up:.2f}",
                     f"{down:.2f}"])  # fmt: skip
    run.section(
        "Potentiation and depression by identical pulses",
        "What a device does when nobody looks: the bend of these curves is what feedback has to "
        "overcome. The nonlinearity is the largest distance from the straight line between the "
        "ends of a half cycle, over its window.",
    )
    log = tuple(zoo[name].title for name in traces if zoo[name].log)
    run.figure(
        "pulses", aj.plotting.pulse_responses(curves, log=log), "Conductance after every pulse."
    )
    run.table(
        "The last cycle",
        ["device", "pulses up / down", "width", "G max/min", "nonlinearity up", "down"],
        rows,
    )


def report_speed(run, config, zoo, speed) -> None:
    """Device-pulses per second; times are no metrics."""
    if not speed:
        return
    rows = []
    for name, found in speed.items():
        lanes, rate, steps = found["ok"].size, float(found["rate"]), found["steps"]
        rows.append([zoo[name].title, lanes, f"{rate:.3g}", f"{steps.mean():.1f}",
                     int(steps.max()), int(np.sum(~found["ok"]))])  # fmt: skip
        run.log(f"throughput {name}: {rate:.3g} device-pulses per second")
    run.section(
        "Throughput",
        f"{config.timed_pulses} pulses of alternating sign on devices side by side (`vmap`), each "
        "in a state of its own, compiled; the best of three. A batch takes as many time steps as "
        "its slowest lane.",
    )
    run.table(
        "Device-pulses per second",
        ["device", "lanes", "device-pulses / s", "mean steps of a lane", "most", "failed lanes"],
        rows,
    )


def write_results(run, loops, traces) -> None:
    """Labelled arrays."""
    for name, found in loops.items():
        dims = ("rate", "point")
        run.dataset(
            f"loops_{name}",
            xr.Dataset(
                {"v": (dims, found["v"], {"units": "V"}), "i": (dims, found["i"], {"units": "A"})},
                {"rate": ("rate", found["rates"], {"units": "V/s"})},
            ),
        )
    for name, found in traces.items():
        pulse = ("pulse", np.arange(found["g"].size), {"units": "1"})
        values = {k: ("pulse", found[k], {"units": "S"}) for k in ("g", "random") if k in found}
        run.dataset(f"pulses_{name}", xr.Dataset(values, {"pulse": pulse}))
