"""Watch oxygen vacancies move: potentiation, depression, cycles and retention.

A four-terminal TiO2-x film is conditioned, written between T1 and T3 at several amplitudes, cycled,
and left alone, once isothermally (the published dependence on amplitude, but it forgets) and once
with thermally activated writing (keeps its state for years, but does nothing at low voltage).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.devices import FilmConfig
from analogjax.programming import closure, nonlinearity, pearson, rms_difference, window_ratio
from analogjax.runs import RunFolder

TEN_YEARS = 10 * 365.25 * 86400.0
PITCHES = 511
"""Steps between 512 levels over the window, the published number of levels."""


@dataclass
class Config:
    """Protocol."""

    device: FilmConfig = field(default_factory=FilmConfig)
    nonvolatile: FilmConfig = field(default_factory=lambda: FilmConfig(32, "nonvolatile"))
    amplitudes: list[float] = field(default_factory=lambda: [0.3, 1.0, 3.0, 5.0, 7.0])
    amplitude: float = 5.0
    """Amplitude of conditioning, cycles and maps [V]."""
    pulses: int = 100
    """Pulses of each polarity."""
    width: float = 0.25
    """Duration of a pulse [s]."""
    cycles: int = 3
    frames: int = 50
    """Pictures of the animation."""

    def __post_init__(self) -> None:
        """Check what no device checks."""
        for name in ("pulses", "cycles", "frames"):
            if getattr(self, name) < 2:
                raise ValueError(
                    f"Argument `{name}` must be at least 2, but is {getattr(self, name)}."
                )


def run(config: Config, run: RunFolder) -> None:
    """Condition, write at each amplitude, cycle, relax; then draw and measure."""
    film, lasting = config.device.build(), config.nonvolatile.build()

    # Compute. Every drive has the same number of pulses: one compilation a device.
    conditioned = run.stage("conditioning", lambda: cycle(film, config, config.amplitude))["final"]
    sweeps = run.stage("amplitudes", lambda: amplitude_series(film, config, run, conditioned))
    cycles = run.stage("cycles", lambda: repeated_cycles(film, config, run, conditioned))
    rest = run.stage("rest", lambda: relaxation(film, config, conditioned, cycles["mid"]))
    start = run.stage("nonvolatile_conditioning", lambda: cycle(lasting, config, config.amplitude))
    kept = run.stage(
        "nonvolatile", lambda: cycle(lasting, config, config.amplitude, start["final"])
    )
    retention = run.stage("retention", lambda: retention_loss(lasting, config, kept))
    quiet = run.stage(
        "nonvolatile_low_voltage", lambda: cycle(lasting, config, 1.0, start["final"])
    )

    report_pulses(run, config, film, sweeps, rest)
    report_cycles(run, config, film, conditioned, cycles)
    report_maps(run, config, film, lasting, cycles, kept)
    report_currents(run, config, film, sweeps, cycles)
    report_retention(run, config, rest, kept, retention, quiet)
    write_results(run, config, sweeps, cycles, kept)


# What is computed.


def cycle(device, config, amplitude, state=None) -> dict:
    """`pulses` at +amplitude and as many at -amplitude; every state is kept."""
    signs = np.repeat([1.0, -1.0], config.pulses)
    drive = aj.stimuli.pulse_train(amplitude * signs, width=config.width)
    result = aj.simulate(device, drive, None if state is None else jnp.asarray(state))
    return {
        "t": result.t,
        "v": result.v,
        "i": result.i,
        "r": result.read_resistance,
        "states": device.vacancies(result.state).astype(jnp.float32),
        "final": result.final_state,
        "mid": result.state[config.pulses],
        "mass": jnp.sum(result.state, axis=(1, 2)),
        "steps": result.stats["steps"],
    }


def amplitude_series(film, config, run, conditioned) -> dict:
    """One cycle at each amplitude, all from the same conditioned state, and one at 0 V."""
    traces = {"r": [], "i": []}
    with run.progress("amplitudes", len(config.amplitudes) + 1) as progress:
        for amplitude in [0.0, *config.amplitudes]:
            result = cycle(film, config, amplitude, conditioned)
            for name in traces:
                traces[name].append(result[name])
            progress.advance()
    return {name: np.stack(rows) for name, rows in traces.items()}


def repeated_cycles(film, config, run, conditioned) -> dict:
    """Cycles one after the other; states of the first."""
    state, rows, mass = conditioned, [], []
    first = None
    with run.progress("cycles", config.cycles) as progress:
        for _ in range(config.cycles):
            result = cycle(film, config, config.amplitude, state)
            first = first or result
            state = result["final"]
            rows.append(result["r"])
            mass.append(result["mass"])
            progress.advance()
    mass = np.concatenate(mass)
    return {
        "r": np.stack(rows),
        "states": first["states"],
        "i": first["i"],
        "mid": first["mid"],
        "mass_error": np.max(np.abs(mass / mass[0] - 1)),
    }


def relaxation(film, config, conditioned, potentiated) -> dict:
    """Resistance against time at 0 V, and what a long read changes on top of that."""
    times = np.concatenate([[0.0], np.geomspace(0.1, 1e4, 26)])

    @jax.jit
    def read_later(state, time):
        return film.read(film.rest(state, time))

    traces = [
        np.array([read_later(jnp.asarray(state), t) for t in times])
        for state in (conditioned, potentiated)
    ]
    # Ten seconds at the read voltage against ten seconds at 0 V, from the potentiated state.
    hold = aj.stimuli.ReadPulse(delay=0.0, duration=10.0)
    read_on = aj.stimuli.pulse_train([0.0], width=1e-9, read=hold)
    state = jnp.asarray(potentiated)
    disturbed = film.read(aj.simulate(film, read_on, state).final_state)
    alone = read_later(state, 10.0)
    before = film.read(state)
    return {
        "t": times,
        "conditioned": traces[0],
        "potentiated": traces[1],
        "drift_10s": alone / before - 1,
        "read_10s": disturbed / before - 1,
    }


def retention_loss(device, config, kept) -> dict:
    """Change of resistance over the window after 1e5 s and ten years, at 300 and 358 K."""
    states = jnp.asarray(kept["states"], jnp.float64 if jax.config.jax_enable_x64 else jnp.float32)
    chosen = states[np.array([0, config.pulses // 4, config.pulses // 2, config.pulses])]
    window = np.ptp(kept["r"][: config.pulses + 1])
    times = np.concatenate([[0.0], np.geomspace(1e2, 10 * TEN_YEARS, 34), [1e5, TEN_YEARS]])
    temperatures = np.array([300.0, 358.0])

    @jax.jit
    def loss(temperature, state):
        # Kept warm, read at room temperature, as the window was.
        warm = device.replace(ambient_temperature=temperature)
        later = jax.lax.map(lambda t: device.read(warm.rest(state, t)), jnp.asarray(times))
        return (later - later[0]) / window

    table = [[np.asarray(loss(T, state)) for state in chosen] for T in temperatures]
    return {"t": times, "loss": np.array(table), "temperature": temperatures}


# What is shown.


def report_pulses(run, config, film, sweeps, rest) -> None:
    """Resistance against pulse number at every amplitude, with and without the 0 V baseline."""
    baseline = sweeps["r"][0]
    fig, (left, right) = aj.plotting.figure(1, 2, width=4.4)
    pulse = np.arange(baseline.size)
    left.plot(pulse, baseline / 1e3, "k:", label="0 V")
    rows = []
    for amplitude, r in zip(config.amplitudes, sweeps["r"][1:], strict=True):
        left.plot(pulse, r / 1e3, label=f"{amplitude:g} V")
        right.plot(pulse, (r - baseline) / 1e3, label=f"{amplitude:g} V")
        ratio = float(window_ratio(r))
        net = float(window_ratio(r - baseline + baseline[0]))
        run.metric(f"window_ratio_{amplitude:g}V", ratio, "largest over smallest R24 of a cycle")
        run.metric(f"window_ratio_net_{amplitude:g}V", net, "the same less the drift at 0 V")
        rows.append([f"{amplitude:g}", f"{ratio:.4f}", f"{net:.4f}"])
    left.set(xlabel="pulse", ylabel="R24 [kohm]", title="as read")
    right.set(xlabel="pulse", ylabel="R24 - R24(0 V) [kohm]", title="less the drift at 0 V")
    left.legend(title="amplitude", ncols=2, fontsize=8)
    aj.plotting.label_panels((left, right))
    still = float(baseline[-1] / baseline[0] - 1)
    run.metric("baseline_drift", still, "relative change of R24 in a cycle at 0 V")
    run.section(
        "Potentiation and depression",
        f"{config.pulses} pulses of each polarity, {config.width:g} s each, all from the same "
        f"conditioned state, {film.cells} x {film.cells} cells. At 0 V the resistance drifts by "
        f"{100 * still:.2f} % in the same time: changes at low amplitude mean something only "
        "relative to that.",
    )
    run.figure("pulses", fig, "Read resistance against pulse number, for each amplitude.")
    run.table("Window", ["amplitude [V]", "max/min of R24", "less the 0 V drift"], rows)


def report_cycles(run, config, film, conditioned, cycles) -> None:
    """Linearity of a cycle and the difference between cycles."""
    r = cycles["r"]
    halves = {"potentiation": slice(0, config.pulses + 1), "depression": slice(config.pulses, None)}
    for name, half in halves.items():
        for kind, value in nonlinearity(1 / r[0][half]).items():
            run.metric(
                f"nonlinearity_{name}_{kind}", float(value), "of G from the straight line / window"
            )
    run.metric("closure_cycle_1", float(closure(r[0])), "(R_end - R_0) / window")
    rows = []
    for k in range(1, len(r)):
        values = [float(f(r[0], r[k])) for f in (pearson, rms_difference)]
        values.append(float(closure(r[k])))
        for name, value in zip(("pearson", "rms_difference", "closure"), values, strict=True):
            run.metric(f"{name}_cycle_{k + 1}", value)
        rows.append([str(k + 1), f"{values[0]:.5f}", f"{values[1]:.4f}", f"{values[2]:+.4f}"])
    run.metric("mass_error", float(cycles["mass_error"]), "largest relative change of vacancies")

    fig, (left, right) = aj.plotting.figure(1, 2, width=4.4)
    for k, trace in enumerate(r):
        left.plot(trace / 1e3, label=f"cycle {k + 1}")
    left.set(xlabel="pulse", ylabel="R24 [kohm]", title=f"cycles at {config.amplitude:g} V")
    left.legend()
    g = 1e6 / r[0]
    for name, half in halves.items():
        part = g[half]
        (line,) = right.plot(part, label=name)
        right.plot([0, part.size - 1], part[[0, -1]], ":", color=line.get_color())
    right.set(
        xlabel="pulse of the half cycle", ylabel="G24 [uS]", title="against the straight line"
    )
    right.legend()
    aj.plotting.label_panels((left, right))
    run.section(
        "Cycles",
        "The correlation of two cycles is blind to drift, so the rms difference and the closure "
        "(where a cycle ends, relative to where it began, over its window) stand beside it.",
    )
    run.figure("cycles", fig, "Successive cycles, and the linearity of both halves of the first.")
    run.table(
        "Cycle k against cycle 1", ["k", "Pearson", "rms difference / window", "closure"], rows
    )


def report_maps(run, config, film, lasting, cycles, kept) -> None:
    """Vacancies, potential and temperature at chosen pulses; the animation of one cycle."""
    n = config.pulses
    at = np.array([0, n // 2, n, n + n // 2, 2 * n])
    for name, device, states in (
        # What an isothermal film would heat up by is computed, not fed back.
        ("isothermal", film, cycles["states"]),
        ("nonvolatile", lasting, kept["states"]),
    ):
        heated = aj.devices.FourTerminalTiO2(device.cells, self_heating=True, **device.parameters())
        signs = np.where(at <= n, 1.0, -1.0)
        maps = [
            heated.fields(jnp.asarray(s * config.amplitude), jnp.asarray(states[k], float))
            for s, k in zip(signs, at, strict=True)
        ]
        rises = [np.asarray(m.temperature) - float(device.ambient_temperature) for m in maps]
        run.metric(f"{name}_rise_mean", float(rises[0].mean()), "self-heating under the pulse [K]")
        run.metric(f"{name}_rise_max", float(rises[0].max()), "hottest cell [K]")
        # The few cells at the electrode tips must not take the whole colour scale.
        top = float(np.percentile(states[at], 99.5))
        fig = aj.plotting.map_grid(
            [
                ("vacancies c", [states[k] for k in at], {"vmin": 0.0, "vmax": top}),
                ("potential [V]", [m.potential for m in maps], {"cmap": "coolwarm"}),
                ("heating [K]", rises, {"cmap": "inferno", "vmin": 0.0}),
            ],
            [f"after pulse {k}" for k in at],
            float(device.side) * 1e6,
            float(device.electrode_arm),
        )
        heating = "computed afterwards, not fed back" if name == "isothermal" else "fed back"
        run.figure(
            f"maps_{name}",
            fig,
            f"The {name} film, {float(device.side) * 1e6:g} um wide: vacancy density (in units of "
            f"1e26 per m^3), potential and self-heating ({heating}) under +{config.amplitude:g} V "
            f"up to pulse {n}, under -{config.amplitude:g} V after it.",
        )
    frames = np.unique(np.linspace(0, 2 * n, config.frames).astype(int))
    with run.progress("animation", frames.size) as progress:
        gif = aj.plotting.map_animation(
            cycles["states"][frames],
            cycles["r"][0] / 1e3,
            frames,
            side=float(film.side) * 1e6,
            arm=float(film.electrode_arm),
            map_label="vacancies c",
            trace_label="R24 [kohm]",
            title=lambda k: (
                f"pulse {frames[k]}, {'+' if frames[k] <= n else '-'}{config.amplitude:g} V"
            ),
            advance=progress.advance,
        )
    run.media("cycle.gif", gif, "The vacancies during one cycle, and the resistance they make.")


def report_currents(run, config, film, sweeps, cycles) -> None:
    """Currents at the terminals: Kirchhoff, and how the write current follows the state."""
    state = jnp.asarray(cycles["mid"])
    floating = np.nan
    settings = {
        "write": [config.amplitude, floating, 0.0, floating],
        "read": [floating, float(film.read_voltage), floating, 0.0],
        "all driven": [config.amplitude, 1.0, 0.0, 2.0],
    }
    rows, worst = [], 0.0
    for name, voltages in settings.items():
        i = np.asarray(film.terminal_currents(jnp.array(voltages), state))
        worst = max(worst, abs(i.sum()) / np.abs(i).max())
        rows.append([name, *(f"{x * 1e6:+.4f}" for x in i), f"{i.sum() * 1e6:+.1e}"])
    run.metric("current_sum", float(worst), "sum of the terminal currents over the largest")
    fig, axis = aj.plotting.figure(width=5.2)
    for amplitude, i in zip(config.amplitudes, sweeps["i"][1:], strict=True):
        axis.plot(np.arange(1, i.size), np.abs(i[1:]) / amplitude * 1e6, label=f"{amplitude:g} V")
    axis.set(xlabel="pulse", ylabel="|I| / V between T1 and T3 [uS]", title="write conductance")
    axis.legend()
    run.section(
        "Terminal currents",
        "Currents into the film in uA, from the potentiated state; a floating electrode carries "
        "none and shunts the film all the same. They sum to zero (Kirchhoff).",
    )
    run.table("Currents [uA]", ["bias", "T1", "T2", "T3", "T4", "sum"], rows)
    run.figure("currents", fig, "Conductance of the write path during the pulses.")


def report_retention(run, config, rest, kept, retention, quiet) -> None:
    """The voltage-time dilemma: what keeps, and what can be written at low voltage."""
    n = config.pulses
    ratio = float(window_ratio(kept["r"][: n + 1]))
    run.metric("nonvolatile_window_ratio", ratio, f"R24 before over after {n} pulses")
    run.metric("nonvolatile_closure", float(closure(kept["r"])))
    run.metric("nonvolatile_window_ratio_1V", float(window_ratio(quiet["r"])))
    for name in ("drift_10s", "read_10s"):
        run.metric(f"isothermal_{name}", float(rest[name]), "relative change of R24")
    run.metric(
        "isothermal_read_disturb",
        float(rest["read_10s"] - rest["drift_10s"]),
        "what 10 s of reading add to 10 s of rest",
    )
    t = rest["t"]
    window = np.ptp([rest["conditioned"][0], rest["potentiated"][0]])
    first = float(np.interp(1.0, t, rest["conditioned"]) - rest["conditioned"][0]) / window
    run.metric("isothermal_pitches_first_second", abs(first) * PITCHES, "of 512 levels, at 0 V")

    names = ("start", "quarter", "middle", "end")
    rows = []
    for T, table in zip(retention["temperature"], retention["loss"], strict=True):
        for name, loss in zip(names, table, strict=True):
            day, decade = float(loss[-2]), float(loss[-1])
            run.metric(f"retention_{T:g}K_{name}_1e5s", day, "change over the window")
            run.metric(f"retention_{T:g}K_{name}_10y", decade, "change over the window")
            rows.append([f"{T:g}", name, f"{100 * day:+.4f}", f"{100 * decade:+.3f}"])

    fig, (left, middle, right) = aj.plotting.figure(1, 3, width=4.0)
    for name in ("conditioned", "potentiated"):
        left.plot(t[1:], 100 * (rest[name][1:] - rest[name][0]) / window, label=name)
    left.set(xscale="log", xlabel="time at 0 V [s]", ylabel="change / window [%]")
    left.set_title("isothermal preset, 300 K")
    left.legend()
    middle.plot(kept["r"] / 1e3, label=f"{config.amplitude:g} V")
    middle.plot(quiet["r"] / 1e3, label="1 V")
    middle.set(xlabel="pulse", ylabel="R24 [kohm]", title="nonvolatile preset: writing")
    middle.legend()
    times = retention["t"][1:-2]
    for T, table, style in zip(retention["temperature"], retention["loss"], "-:", strict=False):
        for k, (name, loss) in enumerate(zip(names, table, strict=True)):
            label = f"{name}, {T:g} K" if style == "-" else None
            right.plot(times, 100 * loss[1:-2], style, color=aj.plotting.COLORS[k], label=label)
    right.axvline(TEN_YEARS, color="k", linewidth=0.7)
    right.annotate("10 y", (TEN_YEARS, 8), fontsize=8, ha="right")
    right.set(xscale="log", ylim=(-10, 10), xlabel="time at 0 V [s]", ylabel="change / window [%]")
    right.set_title("nonvolatile preset (dotted: 358 K)")
    right.legend()
    aj.plotting.label_panels((left, middle, right))
    run.section(
        "Retention: the voltage-time dilemma",
        "Drift by a voltage V is faster than diffusion over the same length by only zqV/kT, a few "
        "hundred: an isothermal film that is written in seconds forgets within minutes. With a "
        "barrier of 1.1 eV and a film that the write pulse heats by 200 K, writing is faster by "
        "orders of magnitude and the state lasts for years; but then a pulse below about 4 V does "
        "nothing. Neither preset shows both the published series from 0.3 to 7 V and retention.",
    )
    run.figure(
        "retention", fig, "What each preset forgets, and what the nonvolatile one can write."
    )
    run.table(
        "Change of R24 over the window at 0 V, nonvolatile preset [%]",
        ["T [K]", "state", "1e5 s", "10 years"],
        rows,
    )
    run.summary(
        f"A cycle at {config.amplitude:g} V changes R24 by a factor of "
        f"{float(window_ratio(kept['r'][: n + 1])):.3f} in the nonvolatile film, which loses "
        f"{100 * np.max(np.abs(retention['loss'][0, :, -1])):.1f} % of that window in ten years at "
        f"300 K; the isothermal film shows the published dependence on amplitude, but moves by "
        f"{abs(first) * PITCHES:.1f} of 512 level pitches in the first second."
    )


def write_results(run, config, sweeps, cycles, kept) -> None:
    """Labelled arrays."""
    pulse = ("pulse", np.arange(sweeps["r"].shape[1]), {"units": "1"})

    def quantity(dims, values, units, name):
        return (dims, np.asarray(values), {"units": units, "long_name": name})

    run.dataset(
        "amplitudes",
        xr.Dataset(
            {
                "r": quantity(("amplitude", "pulse"), sweeps["r"], "ohm", "read resistance R24"),
                "i": quantity(("amplitude", "pulse"), sweeps["i"], "A", "current into T1"),
            },
            {"amplitude": ("amplitude", [0.0, *config.amplitudes], {"units": "V"}), "pulse": pulse},
        ),
    )
    run.dataset(
        "cycles",
        xr.Dataset(
            {"r": quantity(("cycle", "pulse"), cycles["r"], "ohm", "read resistance R24")},
            {"pulse": pulse},
        ),
    )
    for name, states in (("states", cycles["states"]), ("nonvolatile_states", kept["states"])):
        fields = quantity(("pulse", "x", "y"), states, "1", "vacancies over the reference density")
        run.dataset(name, xr.Dataset({"c": fields}, {"pulse": pulse}))
