"""Transport of vacancies: diffusion, equilibria, fronts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.physics import exact, laws, transport


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


def report(run, ledger, config, diffusion, equilibrium, fronts) -> None:
    """Rates, equilibria, and where the fronts are."""
    closed, spec = "closed form", "Rankine-Hugoniot, closed form"
    ledger.order("diffusion_order", "order of the diffusion rate in space",
                 diffusion["error"], 2.0, 0.2, closed)  # fmt: skip
    ledger.zero("diffusion_discrete_error", "decay at rest against the discrete rate, relative",
                np.abs(diffusion["discrete"]).max(), 1e-11,
                "eigenvalue of the five-point Laplacian")  # fmt: skip
    ledger.zero("boltzmann_error", "dilute steady state (sg), spread of ln c - zqEx/kT",
                equilibrium["boltzmann"], 1e-11, "Boltzmann distribution")  # fmt: skip
    ledger.zero("fermi_error", "crowded steady state (sg), spread of ln c/(c_max - c) - zqEx/kT",
                equilibrium["fermi"], 1e-11, "Fermi-Dirac distribution")  # fmt: skip
    ledger.order("transient_order", "order of the slowest rate in a uniform field (sg)",
                 equilibrium["transient"], 2.0, 0.2, closed)  # fmt: skip
    ledger.add("shock_speed_ratio", "shock speed over mu J sig_b / (sig_hi sig_lo)",
               fronts["shock_ratio"], 1.0, 5e-3, spec)  # fmt: skip
    for level, here, wanted in zip(
        (90, 50, 10), fronts["fan_ratio"], fronts["fan_exact"], strict=True
    ):
        ledger.add(f"fan_speed_ratio_{level}",
                   f"fan, speed of the {level} % level over the shock's", here, wanted, 3e-2,
                   "characteristics, closed form",
                   reason="the fan begins and ends in a kink")  # fmt: skip
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
        "transport",
        drawn(config, diffusion, equilibrium, fronts),
        "Convergence of rates; equilibria (dots) on the exact laws (lines); a shock and a fan, one "
        "started at x = 0.2 each, with the closed forms dotted.",
    )


def drawn(config, diffusion, equilibrium, fronts):
    """Return the figure: rates, equilibria, fronts."""
    fig, (left, middle, right) = aj.plotting.figure(1, 3, width=4.0)
    cells = np.array(config.grids)
    left.loglog(cells, np.abs(diffusion["error"]), "o-", label="diffusion rate")
    left.loglog(
        (16, 32, 64), np.abs(equilibrium["transient"]), "s-", label="slowest rate in a field (sg)"
    )
    aj.plotting.order_line(left, cells, 3e-3, 2)
    left.set(xlabel="cells along a side", ylabel="relative error", ylim=(None, 0.15))
    left.set_title("rates between blocking walls", loc="left")
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
    return fig


def to_dataset(fronts) -> xr.Dataset:
    """Return both fronts as labelled arrays."""
    one = {"units": "1"}
    return xr.Dataset(
        {name: ("x", fronts[name], one) for name in ("shock", "fan")},
        {"x": ("x", fronts["x"], one)},
    )
