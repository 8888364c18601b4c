"""Check the film against closed forms and an independent solver's numbers.

Every part of the four-terminal film is measured against something that does not share its code:
exact solutions, conservation laws, symmetries, finite differences, and the numbers of a reference
solver (NumPy and SciPy, direct elliptic solves) that was written before this package.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.physics import conduction, elliptic, exact, grid, laws, transport
from analogjax.runs import RunFolder

REFERENCE = {
    "activation_energy": (+0.36447, 2e-5),
    "sigma_1": (-0.0050104, 2e-7),
    "sigma_background": (-0.0197391, 2e-7),
    "c_hi": (-0.0569613, 2e-7),
    "front_position": (-1.962044, 2e-5),
    "width": (-0.0376893, 2e-7),
    "amplitude": (-0.00186060, 2e-8),
}
"""d ln R24 after 5 pulses of +5 V and 0.25 s from the formed state, 24 x 24 cells, three Heun steps
a pulse: fourth-order differences of the reference solver, to the digits printed there."""
REFERENCE_LOG_R = 12.821762665712
REFERENCE_R10 = {"heun": 354454.459, "converged": 354454.513}
"""R24 [ohm] after 10 such pulses, 48 x 48 cells: three Heun steps a pulse, and a tight solution."""


@dataclass
class Config:
    """Grids and protocols."""

    grids: list[int] = field(default_factory=lambda: [16, 32, 64, 128])
    """Grids of the convergence studies in space, each twice the one before."""
    arms: list[float] = field(default_factory=lambda: [0.25, 0.125])
    """Electrode arms of the conformal map, in units of the side."""
    cells: int = 24
    """Grid of the derivatives, the symmetries and the order in time."""
    pulses: int = 5
    """Pulses of the derivatives."""
    reference_cells: int = 48
    reference_pulses: int = 10
    front_cells: int = 400
    """Grid of the one-dimensional fronts."""

    def __post_init__(self) -> None:
        """Check what Richardson extrapolation needs."""
        if len(self.grids) < 2 or any(
            b != 2 * a for a, b in zip(self.grids, self.grids[1:], strict=False)
        ):
            raise ValueError(
                "Argument `grids` must hold at least two grids, each twice the one before, "
                f"but is {self.grids}."
            )


def run(config: Config, run: RunFolder) -> None:
    """Run every check, draw what has a shape, and put all numbers into one table."""
    stages = {
        "diffusion": lambda: diffusion(config.grids),
        "equilibrium": equilibrium,
        "fronts": lambda: fronts(config.front_cells),
        "resistors": resistors,
        "conformal_map": lambda: conformal_map(config.grids, config.arms),
        "heat_balance": lambda: heat_balance(config.cells),
        "time_order": lambda: time_order(config.cells),
        "symmetry": lambda: symmetry(config.cells),
        "derivatives": lambda: derivatives(config.cells, config.pulses),
        "reference_run": lambda: reference_run(config.reference_cells, config.reference_pulses),
    }
    done = {}
    with run.progress("checks", len(stages)) as progress:
        for name, compute in stages.items():
            done[name] = run.stage(name, compute)
            progress.advance()

    ledger = Ledger(run)
    report_transport(run, ledger, config, done["diffusion"], done["equilibrium"], done["fronts"])
    report_current(run, ledger, config, done["resistors"], done["conformal_map"])
    report_dynamics(run, ledger, done["heat_balance"], done["time_order"], done["symmetry"])
    report_derivatives(run, ledger, config, done["derivatives"], done["reference_run"])
    report_drift_law(run, ledger)
    ledger.report()
    write_results(run, config, done)


@dataclass
class Ledger:
    """The one table: every quantity beside its reference, the difference and what is allowed."""

    run: RunFolder
    rows: list[list[str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        quantity: str,
        here: Any,
        reference: float,
        allowed: float,
        source: str,
        *,
        relative: bool = True,
        reason: str = "",
    ) -> None:
        """Record a number, what it should be, and how far it may be off.

        Args:
            name: Of the metric.
            quantity: In words, for the table.
            here: What this package gives.
            reference: What it should be; where that is zero the difference is absolute.
            allowed: Largest difference.
            source: Where the reference comes from.
            relative: Whether the difference is relative to the reference.
            reason: Why so much is allowed.
        """
        here = float(here)
        off = abs(here - reference) / (abs(reference) if relative and reference else 1.0)
        self.run.metric(name, here, quantity)
        within = off <= allowed
        if not within:
            self.failed.append(quantity)
        limit = f"{off:.1e} (allowed {allowed:.0e}{', ' + reason if reason else ''})"
        self.rows.append(
            [
                quantity,
                f"{reference:.10g}",
                f"{here:.10g}",
                limit if within else f"**{limit}**",
                source,
            ]
        )

    def report(self) -> None:
        """Write the table and count what is out of tolerance."""
        self.run.metric("checks", len(self.rows))
        self.run.metric("checks_failed", len(self.failed), "out of tolerance")
        self.run.section("All numbers", "Differences are relative where the reference is not zero.")
        self.run.table("", ["quantity", "reference", "here", "difference", "source"], self.rows)
        verdict = (
            "all within tolerance"
            if not self.failed
            else "out of tolerance: " + "; ".join(self.failed)
        )
        self.run.summary(f"{len(self.rows)} checks, {verdict}.")


def observed_order(errors: np.ndarray) -> np.ndarray:
    """Return the order between successive errors, each at half the spacing of the one before."""
    errors = np.abs(errors)
    return np.log2(errors[:-1] / errors[1:])


# Transport of vacancies.


def diffusion(grids: list[int]) -> dict:
    """Decay rate of ``cos(2 pi x/L) cos(pi y/L)`` between blocking walls: 5 pi^2 D / L^2."""
    errors, discrete = [], []
    for cells in grids:
        film = aj.devices.FourTerminalTiO2(cells)
        x = (np.arange(cells) + 0.5) / cells
        mode = np.cos(2 * np.pi * x)[:, None] * np.cos(np.pi * x)[None, :]
        scale = film.side**2 / film.diffusivity(300.0)
        time = 0.02 * scale
        later = film.rest(jnp.asarray(1 + 0.5 * mode), time)
        rate = -np.log(np.sum((later - 1) * mode) / np.sum(0.5 * mode**2)) / 0.02
        errors.append(rate / (5 * np.pi**2) - 1)
        # The five-point Laplacian decays this mode, exactly, at its own rate.
        k = np.array([2 * np.pi, np.pi]) / cells
        discrete.append(rate / np.sum((2 - 2 * np.cos(k)) * cells**2) - 1)
    return {"error": np.array(errors), "discrete": np.array(discrete)}


def equilibrium(cells: int = 24, drop: float = 10.0, c_max: float = 10.0) -> dict:
    """Steady state and slowest transient in a uniform field, `drop` kT from wall to wall (sg).

    The steady state is found by Newton's method on the divergence of the flux, with the last
    equation replaced by the number of vacancies.
    """
    x = (np.arange(cells) + 0.5) / cells

    def outflow(c, velocity, limit, n):
        one = jnp.ones((n - 1, 1))
        flux = transport.scharfetter_gummel_flux(c[:, None], velocity * one, one, 1 / n, limit)
        return jnp.diff(jnp.pad(flux[:, 0], 1)) * n

    def balance(c, limit, mass):
        return outflow(c, drop, limit, cells).at[-1].set(jnp.mean(c) - mass)

    @jax.jit
    def steady(limit):
        def newton(_, c):
            step = jnp.linalg.solve(jax.jacfwd(balance)(c, limit, 1.0), balance(c, limit, 1.0))
            # Damped: density must stay between empty and full.
            return jnp.clip(c - step, 0.1 * c, c + 0.5 * (limit - c))

        return jax.lax.fori_loop(0, 60, newton, jnp.ones(cells))

    dilute, crowded = steady(1e30), steady(c_max)
    # Nodal laws: Boltzmann, Fermi-Dirac; compared as logarithms, up to the constant.
    boltzmann = np.log(dilute) - drop * x
    fermi = np.log(crowded / (c_max - crowded)) - drop * x

    # Dilute transient: rates D [(k pi / L)^2 + (z q E / 2 k T)^2]; the slowest has k = 1.
    transient = []
    for n in (16, 32, 64):
        operator = jax.jacfwd(lambda c, n=n: outflow(c, 4.0, 1e30, n))(jnp.ones(n))
        rates = np.sort(np.linalg.eigvals(np.asarray(operator)).real)
        transient.append(rates[1] / (np.pi**2 + 4.0) - 1)
    return {
        "x": x,
        "dilute": dilute,
        "crowded": crowded,
        "boltzmann": np.ptp(boltzmann),
        "fermi": np.ptp(fermi),
        "transient": np.array(transient),
    }


def fronts(cells: int, rich: float = 3.0, poor: float = 0.05) -> dict:
    """A front in one dimension at constant current: the shock, and the fan.

    Time is in units in which mobility times current density is one, length in units of the film;
    ``sigma = sig_b + sig_1 c`` of the default device, no crowding, and hardly any diffusion (1e-9).
    """
    background, per_density = 40.0, 42.0
    dx = 1 / cells
    x = (np.arange(cells) + 0.5) * dx
    fastest = 1 / background
    dt = 0.4 * dx / fastest

    def advance(c, duration):
        def rate(c):
            sigma = laws.affine_conductivity(c, background, per_density)
            face = 2 * sigma[1:] * sigma[:-1] / (sigma[1:] + sigma[:-1])
            flux = transport.limited_flux(
                c[:, None], 1 / face[:, None], 1e-9 * jnp.ones((cells - 1, 1)), dx, 1e30
            )[:, 0]
            ends = c[jnp.array([0, -1])] / sigma[jnp.array([0, -1])]
            return -jnp.diff(jnp.concatenate([ends[:1], flux, ends[1:]])) / dx

        def heun(c, _):
            first = rate(c)
            return c + dt / 2 * (first + rate(c + dt * first)), None

        steps = round(duration / dt)
        return jax.lax.scan(heun, c, length=steps)[0], steps * dt

    start = 0.2
    speed = exact.shock_speed(rich, poor, background, per_density)
    step = lambda left, right: jnp.asarray(np.where(x < start, left, right))  # noqa: E731
    before, t_before = advance(step(poor, rich), 0.2 / speed)
    shock, t_shock = advance(step(poor, rich), 0.5 / speed)
    fan_before, t_fan_before = advance(step(rich, poor), 0.09 / speed)
    fan, t_fan = advance(step(rich, poor), 0.18 / speed)

    def position(c, level):
        # Monotone profiles, either way.
        c = np.asarray(c)
        order = slice(None) if c[0] < c[-1] else slice(None, None, -1)
        return np.interp(level, c[order], x[order])

    levels = poor + np.array([0.9, 0.5, 0.1]) * (rich - poor)
    # Between two instants, so that how the step was smeared at the start does not count.
    travelled = position(shock, levels[1]) - position(before, levels[1])
    expanded = position(fan, levels) - position(fan_before, levels)
    return {
        "x": x,
        "shock": shock,
        "fan": fan,
        "shock_ratio": travelled / (t_shock - t_before) / speed,
        "fan_ratio": expanded / (t_fan - t_fan_before) / speed,
        "fan_exact": exact.fan_speed(levels, background, per_density) / speed,
        "shock_at": start + speed * t_shock,
        "fan_time": np.array(t_fan * speed),
    }


# Current.


def resistors(cells: int = 24) -> dict:
    """A square with contacts along two sides: uniform, layered along and across the current."""
    coverage = grid.side_electrodes(cells)
    precondition = elliptic.CosinePreconditioner(coverage)
    x = (np.arange(cells) + 0.5) / cells
    wave = 1 + 0.8 * np.sin(2 * np.pi * x)

    @jax.jit
    def resistance(sheet):
        network = conduction.ConductanceNetwork(sheet, coverage)
        bias = conduction.Bias(jnp.array([1.0, 0.0]))
        potential = conduction.solve_potential(network, bias, precondition)
        return 1 / conduction.terminal_currents(network, bias, potential)[0]

    ones = np.ones((cells, cells))
    return {
        "uniform": resistance(jnp.asarray(7.0 * ones)) * 7.0,
        "parallel": resistance(jnp.asarray(wave[None, :] * ones)) * np.mean(wave),
        "series": resistance(jnp.asarray(wave[:, None] * ones)) / np.mean(1 / wave),
    }


def conformal_map(grids: list[int], arms: list[float]) -> dict:
    """Conductances between four corner electrodes of a uniform square, per sheet conductance."""
    r24 = np.zeros((len(arms), len(grids)))
    symmetry = closure = 0.0
    for column, cells in enumerate(grids):
        film = aj.devices.FourTerminalTiO2(cells)
        sheet = float(film.sigma_background + film.sigma_1) * float(film.thickness)
        for row, arm in enumerate(arms):
            matrix = np.asarray(
                film.replace(electrode_arm=arm).conductance_matrix(jnp.ones((cells, cells)))
            )
            scale = np.abs(matrix).max()
            symmetry = max(symmetry, np.abs(matrix - matrix.T).max() / scale)
            closure = max(closure, np.abs(matrix.sum(0)).max() / scale)
            # T1 and T3, floating, stand at the middle potential: half the drop to either.
            r24[row, column] = sheet / -(matrix[1, 0] + matrix[1, 3])
    adjacent, opposite = np.transpose([exact.corner_conductances(arm) for arm in arms])
    return {
        "r24": r24,
        "exact": 1 / (adjacent + opposite),
        "adjacent": adjacent,
        "opposite": opposite,
        "symmetry": symmetry,
        "closure": closure,
    }


# Dynamics.


def heat_balance(cells: int) -> dict:
    """Heat into the sink against electrical power, at 5 V in the formed state."""
    film = aj.devices.FourTerminalTiO2(cells, self_heating=True)
    state = film.init_state()
    fields = film.fields(jnp.asarray(5.0), state)
    into_sink = jnp.sum(fields.temperature - film.ambient_temperature)
    into_sink = into_sink * film.heat_sink * (film.side / cells) ** 2
    return {"ratio": into_sink / (5.0 * film.current(jnp.asarray(5.0), state))}


def time_order(cells: int, duration: float = 1.0) -> dict:
    """Error of n Heun steps of one pulse of 5 V against an adaptive solution.

    A step is written as a pulse of its own. Pulses at 0 V for no time fill the train up, so that
    every n shares one compilation.
    """
    steps = np.array([5, 10, 20, 40])
    result = {"steps": steps}
    for scheme in ("sg", "muscl"):
        film = aj.devices.FourTerminalTiO2(cells, scheme=scheme)

        def final(n, film=film):
            on = np.arange(steps[-1]) < n
            drive = aj.stimuli.pulse_train(
                np.where(on, 5.0, 0.0), width=np.where(on, duration / n, 1e-15)
            )
            return np.asarray(aj.simulate(film, drive, solver=aj.simulation.Heun(1)).final_state)

        tight = aj.simulation.Adaptive(1e-10, 1e-10)
        drive = aj.stimuli.pulse_train([5.0], width=duration)
        best = np.asarray(aj.simulate(film, drive, solver=tight).final_state)
        result[scheme] = np.array([np.abs(final(n) - best).max() for n in steps])
    return result


def symmetry(cells: int, pulses: int = 10) -> dict:
    """A state symmetric about the T1-T3 diagonal stays so; the mirrored film does the mirrored."""
    film = aj.devices.FourTerminalTiO2(cells)
    signs = np.repeat([1.0, -1.0], pulses // 2)
    solver = aj.simulation.Heun(3)

    def mirror(c):  # about the T2-T4 line
        return c[::-1, ::-1].T

    train = aj.stimuli.pulse_train(5.0 * signs, width=0.25)
    one = aj.simulate(film, train, solver=solver)
    opposite = aj.stimuli.pulse_train(-5.0 * signs, width=0.25)
    two = aj.simulate(film, opposite, mirror(film.init_state()), solver=solver)
    mass = np.asarray(one.state).sum((1, 2))
    currents = np.asarray(film.terminal_currents(jnp.array([5.0, 1.0, 0.0, 2.0]), one.final_state))
    return {
        "transpose": np.abs(one.final_state - one.final_state.T).max(),
        "mirror": np.abs(mirror(two.final_state) - one.final_state).max(),
        "mass": np.abs(mass / mass[0] - 1).max(),
        "kirchhoff": np.abs(currents.sum()) / np.abs(currents).max(),
    }


# Derivatives and the reference solver.


def derivatives(cells: int, pulses: int) -> dict:
    """Derivatives of ln R24: reverse mode, and fourth-order differences of the same function."""
    film = aj.devices.FourTerminalTiO2(cells)
    names = [name for name in REFERENCE if name not in ("width", "amplitude")]
    point = jnp.array([*(getattr(film, name) for name in names), 0.25, 5.0])

    @jax.jit
    @jax.value_and_grad
    def log_r(values):
        *parameters, width, amplitude = values
        device = film.replace(**dict(zip(names, parameters, strict=True)))
        drive = aj.stimuli.pulse_train(amplitude * jnp.ones(pulses), width=width)
        result = aj.simulate(device, drive, solver=aj.simulation.Heun(3))
        return jnp.log(result.read_resistance[-1])

    value, gradient = log_r(point)
    differences = []
    for k, x in enumerate(np.asarray(point)):
        h = 1e-4 * x
        at = [float(log_r(point.at[k].add(m * h))[0]) for m in (-2, -1, 1, 2)]
        differences.append((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h))
    return {
        "name": np.array([*names, "width", "amplitude"]),
        "log_r": value,
        "gradient": gradient,
        "differences": np.array(differences),
    }


def reference_run(cells: int, pulses: int) -> dict:
    """R24 after pulses of +5 V from the formed state, with the reference's steps and converged."""
    film = aj.devices.FourTerminalTiO2(cells)
    drive = aj.stimuli.pulse_train(5.0 * np.ones(pulses), width=0.25)
    solvers = {"heun": aj.simulation.Heun(3), "converged": aj.simulation.Adaptive(1e-8, 1e-8)}
    return {
        name: aj.simulate(film, drive, solver=solver).read_resistance[-1]
        for name, solver in solvers.items()
    }


# What is shown.


def report_transport(run, ledger, config, diffusion, equilibrium, fronts) -> None:
    """Diffusion, equilibria, fronts."""
    closed, spec = "closed form", "Rankine-Hugoniot, closed form"
    ledger.add(
        "diffusion_order",
        "order of the diffusion rate in space",
        observed_order(diffusion["error"])[-1],
        2.0,
        0.2,
        closed,
        relative=False,
    )
    ledger.add(
        "diffusion_discrete_error",
        "decay at rest against the discrete rate, relative",
        np.abs(diffusion["discrete"]).max(),
        0.0,
        1e-11,
        "eigenvalue of the five-point Laplacian",
    )
    ledger.add(
        "boltzmann_error",
        "dilute steady state (sg), spread of ln c - zqEx/kT",
        equilibrium["boltzmann"],
        0.0,
        1e-11,
        "Boltzmann distribution",
    )
    ledger.add(
        "fermi_error",
        "crowded steady state (sg), spread of ln c/(c_max - c) - zqEx/kT",
        equilibrium["fermi"],
        0.0,
        1e-11,
        "Fermi-Dirac distribution",
    )
    ledger.add(
        "transient_order",
        "order of the slowest rate in a uniform field (sg)",
        observed_order(equilibrium["transient"])[-1],
        2.0,
        0.2,
        closed,
        relative=False,
    )
    ledger.add(
        "shock_speed_ratio",
        "shock speed over mu J sig_b / (sig_hi sig_lo)",
        fronts["shock_ratio"],
        1.0,
        5e-3,
        spec,
    )
    for level, here, wanted in zip(
        (90, 50, 10), fronts["fan_ratio"], fronts["fan_exact"], strict=True
    ):
        ledger.add(
            f"fan_speed_ratio_{level}",
            f"fan, speed of the {level} % level over the shock's",
            here,
            float(wanted),
            3e-2,
            "characteristics, closed form",
            reason="the fan begins and ends in a kink",
        )

    fig, (left, middle, right) = aj.plotting.figure(1, 3, width=4.0)
    cells = np.array(config.grids)
    left.loglog(cells, np.abs(diffusion["error"]), "o-", label="diffusion rate")
    left.loglog(
        (16, 32, 64), np.abs(equilibrium["transient"]), "s-", label="slowest rate in a field (sg)"
    )
    left.loglog(cells, 3e-3 * (cells / cells[0]) ** -2.0, "k:", label="order 2")
    left.set(xlabel="cells along a side", ylabel="relative error", ylim=(None, 0.15))
    left.set_title("rates between blocking walls", loc="left")
    left.set_xticks(cells, [str(n) for n in cells])
    left.minorticks_off()
    left.legend(loc="upper right")
    x = equilibrium["x"]
    fine = np.linspace(0, 1, 200)
    for name, label in (("dilute", "dilute"), ("crowded", "crowded, c_max = 10")):
        c = equilibrium[name]
        (dots,) = middle.semilogy(x, c, "o", markersize=4, label=label)
        if name == "dilute":
            law = c[0] * np.exp(10 * (fine - x[0]))
        else:
            odds = c[0] / (10 - c[0]) * np.exp(10 * (fine - x[0]))
            law = 10 * odds / (1 + odds)
        middle.semilogy(fine, law, color=dots.get_color(), linewidth=1)
    middle.set(xlabel="x / L", ylabel="c")
    middle.set_title("steady state in a uniform field", loc="left")
    middle.legend()
    x = fronts["x"]
    right.plot(x, fronts["shock"], label="shock")
    right.axvline(float(fronts["shock_at"]), color="k", linestyle=":", linewidth=1)
    right.plot(x, fronts["fan"], label="fan")
    levels = np.linspace(0.05, 3.0, 60)
    speed = exact.fan_speed(levels, 40.0, 42.0) / exact.shock_speed(3.0, 0.05, 40.0, 42.0)
    right.plot(0.2 + float(fronts["fan_time"]) * speed, levels, "k:", label="closed form")
    right.set(xlim=(0, 1), xlabel="x / L", ylabel="c")
    right.set_title("fronts at constant current", loc="left")
    right.legend(loc="upper left", bbox_to_anchor=(0.28, 1.0))
    run.section(
        "Vacancy transport",
        "At rest the film's cosine transform is exact in time, so only the five-point Laplacian "
        "errs: second order against the continuous decay rate 5 pi^2 D / L^2. The exponential flux "
        "(sg) keeps Boltzmann and Fermi equilibria cell by cell. With sigma = sig_b + sig_1 c at "
        "constant current the drift flux is c / (sig_b + sig_1 c), which is concave: a poor film "
        "that invades a rich one makes a shock, a rich one that expands makes a fan. Without the "
        "immobile background sig_b neither would move.",
    )
    run.figure(
        "transport", fig,
        "Convergence of rates; equilibria (dots) on the exact laws (lines); a shock and a fan, one "
        "started at x = 0.2 each, with the closed forms dotted.",
    )  # fmt: skip


def report_current(run, ledger, config, resistors, mapped) -> None:
    """Resistors, and four corner electrodes."""
    for name, quantity in (
        ("uniform", "uniform square between two sides, R h sigma"),
        ("parallel", "layers along the current, R over the parallel mean"),
        ("series", "layers across the current, R over the series mean"),
    ):
        ledger.add(f"resistor_{name}", quantity, resistors[name], 1.0, 1e-12, "closed form")
    source = "conformal map (elliptic integrals)"
    for arm, r24, value in zip(config.arms, mapped["r24"], mapped["exact"], strict=True):
        label = f"w/L = {arm:g}"
        key = f"{arm:g}".replace(".", "p")
        ledger.add(
            f"r24_order_{key}",
            f"order of R24 in space, {label}",
            observed_order(r24 - value)[-1],
            1.0,
            0.2,
            "r^(1/2) singularity of the tips",
            relative=False,
        )
        ledger.add(
            f"r24_finest_{key}",
            f"R24 h sigma, {label}, {config.grids[-1]} cells",
            r24[-1],
            float(value),
            1.5 / config.grids[-1],
            source,
            reason="first order",
        )
        ledger.add(
            f"r24_richardson_{key}",
            f"R24 h sigma, {label}, extrapolated from two grids",
            2 * r24[-1] - r24[-2],
            float(value),
            2e-4 if arm >= 0.2 else 1e-3,
            source,
        )
    ledger.add(
        "reciprocity_error",
        "G - G^T over the largest entry",
        mapped["symmetry"],
        0.0,
        1e-12,
        "reciprocity",
    )
    ledger.add(
        "kirchhoff_matrix_error",
        "column sums of G over the largest entry",
        mapped["closure"],
        0.0,
        1e-12,
        "Kirchhoff's current law",
    )

    fig, (left, right) = aj.plotting.figure(1, 2, width=4.6)
    n = np.array(config.grids)
    for arm, r24, value in zip(config.arms, mapped["r24"], mapped["exact"], strict=True):
        left.plot(1 / n, r24, "o-", label=f"w/L = {arm:g}")
        left.plot(0, value, "k*", markersize=10)
        right.loglog(n, r24 / value - 1, "o-", label=f"w/L = {arm:g}")
        rich = np.abs((2 * r24[1:] - r24[:-1]) / value - 1)
        right.loglog(n[1:], rich, "s--", color=right.lines[-1].get_color(), markersize=4)
    right.loglog(n, 0.08 * n[0] / n, "k:", label="order 1")
    left.set(xlabel="1 / cells", ylabel="R24 h sigma", xlim=(-0.003, None))
    left.set_title("towards the conformal map (stars)", loc="left")
    right.set(xlabel="cells along a side", ylabel="relative error")
    right.set_title("dashed: extrapolated from two grids", loc="left")
    right.set_xticks(n, [str(k) for k in n])
    right.minorticks_off()
    left.legend()
    right.legend()
    run.section(
        "Current and terminals",
        "A square between two full-side contacts is exact. Corner electrodes are not: the current "
        "density has an integrable r^(-1/2) singularity at each tip, so resistances and fields "
        "there converge with first order. Quote the number of cells with any number.",
    )
    run.figure("conformal_map", fig, "R24 of a uniform film against the exact value.")


def report_dynamics(run, ledger, balance, order, symmetry) -> None:
    """Heat, time stepping, symmetries."""
    ledger.add(
        "heat_balance",
        "heat into the sink over electrical power",
        balance["ratio"],
        1.0,
        1e-6,
        "conservation of energy",
        reason="12 Picard iterations",
    )
    # The limiter's kinks are met at different steps, so its order wavers about 1.9.
    for scheme, allowed in (("sg", 0.2), ("muscl", 0.4)):
        ledger.add(
            f"time_order_{scheme}",
            f"order of Heun's method in time ({scheme})",
            np.mean(observed_order(order[scheme])),
            2.0,
            allowed,
            "design order",
            relative=False,
        )
    ledger.add(
        "transpose_error",
        "departure from c = c^T after 10 pulses",
        symmetry["transpose"],
        0.0,
        1e-11,
        "symmetry of the device",
    )
    ledger.add(
        "mirror_error",
        "mirrored film, opposite drive: departure",
        symmetry["mirror"],
        0.0,
        1e-11,
        "symmetry of the device",
    )
    ledger.add(
        "mass_error",
        "change of the number of vacancies, relative",
        symmetry["mass"],
        0.0,
        1e-13,
        "conservation, blocking walls",
    )
    ledger.add(
        "kirchhoff_error",
        "sum of terminal currents over the largest",
        symmetry["kirchhoff"],
        0.0,
        1e-11,
        "Kirchhoff's current law",
    )
    fig, axis = aj.plotting.figure(width=4.8)
    steps = order["steps"]
    for scheme, marker in (("sg", "o-"), ("muscl", "s-")):
        axis.loglog(steps, order[scheme], marker, label=scheme)
    axis.loglog(steps, order["sg"][0] * 0.5 * (steps / steps[0]) ** -2.0, "k:", label="order 2")
    axis.set_xticks(steps, [str(n) for n in steps])
    axis.minorticks_off()
    axis.set(xlabel="Heun steps of one pulse (5 V, 1 s)", ylabel="largest error of c")
    axis.legend()
    run.section(
        "Time stepping, conservation, symmetry",
        "Errors of one long pulse against an adaptive fifth-order solution with tolerance 1e-10. "
        "The walls block, so the number of vacancies is kept to round-off by construction.",
    )
    run.figure("time_order", fig, "Order of the default time stepping.")


def report_derivatives(run, ledger, config, found, reference) -> None:
    """Derivatives against the reference solver and against differences."""
    protocol = (config.cells, config.pulses) == (24, 5)
    units = {
        "activation_energy": "1/eV",
        "front_position": "1/L",
        "width": "1/s",
        "amplitude": "1/V",
    }
    printed = "reference solver, 4th-order differences, digits as printed"
    if protocol:
        ledger.add(
            "log_r24",
            "ln R24 after 5 pulses (24 cells, 3 Heun steps a pulse)",
            found["log_r"],
            REFERENCE_LOG_R,
            1e-10,
            "reference solver",
        )
    worst = 0.0
    for name, ad, fd in zip(found["name"], found["gradient"], found["differences"], strict=True):
        worst = max(worst, abs(ad / fd - 1))
        if not protocol:
            continue
        value, digits = REFERENCE[str(name)]
        unit = f" [{units[str(name)]}]" if str(name) in units else ""
        ledger.add(
            f"gradient_{name}",
            f"d ln R24 / d {name}{unit}",
            ad,
            value,
            digits,
            printed,
            relative=False,
        )
    ledger.add(
        "gradient_error",
        "reverse mode against differences, worst of all, relative",
        worst,
        0.0,
        1e-7,
        "differences of the same program",
    )
    if (config.reference_cells, config.reference_pulses) == (48, 10):
        for name, value in REFERENCE_R10.items():
            how = "3 Heun steps a pulse" if name == "heun" else "converged in time"
            ledger.add(
                f"r24_after_10_{name}",
                f"R24 after 10 pulses [ohm] (48 cells, {how})",
                reference[name],
                value,
                1e-6,
                "reference solver",
            )
    fig, axis = aj.plotting.figure(width=5.6)
    names = [str(name) for name in found["name"]]
    axis.barh(names[::-1], np.abs(found["gradient"] / found["differences"] - 1)[::-1])
    axis.set(xscale="log", xlabel="reverse mode against 4th-order differences, relative")
    run.section(
        "Derivatives",
        "d ln R24 after a train of pulses, by reverse mode through every time step and every "
        "elliptic solve, against the values printed for the reference solver (which took them by "
        "differences) and against differences of this program.",
    )
    run.figure("derivatives", fig, "Relative difference between both kinds of derivative.")


def report_drift_law(run, ledger) -> None:
    """The drift law over six decades of field."""
    field_ = np.geomspace(1e5, 3e9, 200)
    defaults = {name: p.default for name, p in aj.devices.FourTerminalTiO2.PARAMETERS.items()}
    a, z = defaults["hop_distance"], defaults["charge_number"]
    diffusivity = laws.hopping_diffusivity(
        a, defaults["attempt_frequency"], defaults["activation_energy"], 300.0
    )
    thermal = laws.hop_bias(z, a, field_, 300.0)
    velocity = laws.drift_velocity(diffusivity, a, thermal)
    einstein = z * diffusivity * field_ / (aj.constants.BOLTZMANN_EV * 300.0)
    ledger.add(
        "drift_einstein",
        "drift over Einstein's relation at 1e5 V/m",
        velocity[0] / einstein[0],
        1.0,
        1e-6,
        "Einstein relation",
    )
    # Independent of the package: hops with and against the field.
    forward, backward = np.exp(np.asarray(thermal)), np.exp(-np.asarray(thermal))
    rate = diffusivity / a**2
    ledger.add(
        "drift_hops",
        "drift over a (rate forward - rate backward), worst",
        np.max(np.abs(velocity / (a * rate * (forward - backward)) - 1)),
        0.0,
        1e-9,
        "definition (Mott and Gurney)",
    )
    at_film = float(laws.hop_bias(z, a, 2e6, 300.0))
    run.metric("hop_bias_at_film_field", at_film, "xi at 2e6 V/m, the largest field of the default")
    run.metric("drift_excess_at_film_field", float(np.sinh(at_film) / at_film - 1))
    fig, axis = aj.plotting.figure(width=4.8)
    axis.loglog(field_, velocity, label="v = (2 D / a) sinh(xi)")
    axis.loglog(field_, einstein, "k:", label="Einstein")
    axis.axvspan(1e5, 2e6, alpha=0.12)
    axis.set(xlabel="field [V/m]", ylabel="drift velocity [m/s]")
    axis.legend()
    run.section(
        "Drift law",
        "Shaded: the fields that the default film reaches (2e6 V/m at an electrode tip at 5 V and "
        "48 cells). There the hyperbolic sine differs from a straight line by "
        f"{np.sinh(at_film) / at_film - 1:.0e}; it matters above 1e8 V/m, in gaps of nanometres.",
    )
    run.figure("drift_law", fig, "Drift velocity of a vacancy against field, at 300 K.")


def write_results(run, config, done) -> None:
    """Labelled arrays."""
    one = {"units": "1"}
    run.dataset(
        "conformal_map",
        xr.Dataset(
            {
                "r24": (("arm", "cells"), done["conformal_map"]["r24"], one),
                "exact": ("arm", done["conformal_map"]["exact"], one),
            },
            {"arm": ("arm", config.arms, one), "cells": ("cells", config.grids, one)},
        ),
    )
    run.dataset(
        "fronts",
        xr.Dataset(
            {name: ("x", done["fronts"][name], one) for name in ("shock", "fan")},
            {"x": ("x", done["fronts"]["x"], one)},
        ),
    )
    run.dataset(
        "time_order",
        xr.Dataset(
            {name: ("steps", done["time_order"][name], one) for name in ("sg", "muscl")},
            {"steps": ("steps", done["time_order"]["steps"], one)},
        ),
    )
