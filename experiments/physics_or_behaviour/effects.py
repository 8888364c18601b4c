"""What to improve first: the loss by the spread of each quantity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import analogjax as aj
from analogjax.devices import JartVCM
from analogjax.programming.identical_pulses import AXES
from analogjax.training import changed_device, changed_pulses, expected_write_loss

from .spread import QUANTITIES, draws, few
from .traces import compiled_trace


def at(spread) -> dict[str, dict[str, Any]]:
    """Nominal centres, and these relative spreads."""
    return {
        "centre": {name: jnp.zeros(()) for name in QUANTITIES},
        "log_spread": {name: jnp.log(jnp.asarray(spread[name], float)) for name in QUANTITIES},
    }


def spreads_of(config) -> dict[str, dict[str, float]]:
    """Two working points: every quantity alike, and a share of what is stated of each."""
    return {
        "equal": dict.fromkeys(QUANTITIES, config.equal_spread),
        "stated": {name: config.spread * sigma for name, (_, sigma, _) in QUANTITIES.items()},
    }


def loss_of(config, network, split, plans) -> Callable[..., Any]:
    """Return the expected loss of filaments that differ in every quantity."""
    options = dict(chips=config.chips, points=few(config))
    return expected_write_loss(JartVCM(), config.pulses, plans, network, *split, **options)


def draw_of(config, seed, repeat) -> tuple[Any, Any]:
    """Return drawn filaments and the key of the chips they are put on."""
    return draws(config, seed, repeat), jax.random.fold_in(jax.random.key(seed), 5 + repeat)


def gradients(config, run, network, split, plans) -> dict[str, np.ndarray]:
    """Reverse mode through network, read-out and filaments; and what moves switching times."""
    loss = jax.jit(jax.value_and_grad(loss_of(config, network, split, plans)))
    found: dict[str, list] = {}
    with run.progress("gradients", 2 * config.repeats) as progress:
        for point, spread in spreads_of(config).items():
            for repeat in range(config.repeats):
                value, slope = loss(at(spread), *draw_of(config, run.seed, repeat))
                found.setdefault(f"{point}_loss", []).append(float(value))
                for part, each in slope.items():
                    for name, x in each.items():
                        found.setdefault(f"{point}_{part}_{name}", []).append(float(x))
                progress.advance()
    for name in QUANTITIES:
        for axis in AXES:
            found[f"time_{axis}_{name}"] = [log_time_slope(config, axis, name)]
    return {name: np.array(values) for name, values in found.items()}


def log_time_slope(config, axis, name) -> float:
    """Return d ln(pulses to half of the window) / d ln quantity, by a central difference."""
    step, logs = 1e-4, []
    for sign in (1, -1):
        x = {name: jnp.asarray(sign * step)}
        start, v, width = (p[AXES.index(axis)] for p in changed_pulses(config.pulses, x))
        n, g = compiled_trace(changed_device(JartVCM(), x), start, v, width, points=config.points)
        logs.append(np.log(config.pulses.numbers(axis, n, g, 0.5)))
    return float(logs[0] - logs[1]) / (2 * step)


def confirmed(config, run, network, split, plans, slopes) -> dict[str, np.ndarray]:
    """Central differences of the three largest effects, the network in double precision.

    In single precision the loss has too few digits for a difference.
    """
    compiled = jax.jit(loss_of(config, network, split, plans))
    drawn = draw_of(config, run.seed, 0)
    spread = spreads_of(config)["equal"]

    def difference(name, step):
        values = []
        for sign in (1, -1):
            changed_by = spread | {name: spread[name] * np.exp(sign * step)}
            values.append(float(compiled(at(changed_by), *drawn)))
        return (values[0] - values[1]) / (2 * step)

    found = {}
    for name in largest(slopes)[:3]:
        # Extrapolated: removes the error of second order. Steps that stay within a cell of the
        # interpolated traces nearly everywhere.
        found[name] = (4 * difference(name, 1e-5) - difference(name, 2e-5)) / 3
    return found


def effects(slopes, point) -> dict[str, float]:
    """Loss that the spread of each quantity makes, mean of the sets of drawn devices."""
    return {name: float(slopes[f"{point}_log_spread_{name}"].mean()) for name in QUANTITIES}


def largest(slopes, point="equal") -> list[str]:
    """Quantities by the loss that their spread makes, the largest first."""
    found = effects(slopes, point)
    return sorted(QUANTITIES, key=lambda name: -abs(found[name]))


def standard_error(values) -> float:
    """Standard error of a mean; 0 of a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def by_group(slopes, point) -> dict[str, float]:
    """Sum of the effects of each group of quantities."""
    found: dict[str, float] = {}
    for name, value in effects(slopes, point).items():
        group = QUANTITIES[name][0]
        found[group] = found.get(group, 0.0) + value
    return found


def report(run, config, slopes, checks) -> None:
    """What to improve first."""
    groups = {name: group for name, (group, *_) in QUANTITIES.items()}
    found = {point: effects(slopes, point) for point in spreads_of(config)}
    error = {
        point: {n: standard_error(slopes[f"{point}_log_spread_{n}"]) for n in QUANTITIES}
        for point in found
    }
    times = {n: [float(slopes[f"time_{a}_{n}"][0]) for a in AXES] for n in QUANTITIES}
    for point, each in found.items():
        run.metric(f"loss_{point}", slopes[f"{point}_loss"].mean(), "expected loss [nat]")
        for name, value in each.items():
            run.metric(f"loss_by_spread_{point}_{name}", value,
                       "derivative of the expected loss by ln of the spread [nat]")  # fmt: skip
            run.metric(f"loss_by_spread_{point}_{name}_error", error[point][name])
            run.metric(f"loss_by_centre_{point}_{name}", slopes[f"{point}_centre_{name}"].mean())
        for group, value in by_group(slopes, point).items():
            run.metric(f"loss_by_spread_{point}_group_{group}", value)
    for name, both in times.items():
        for axis, value in zip(AXES, both, strict=True):
            run.metric(f"log_time_{axis}_{name}", value,
                       "d ln(pulses to half of the window) / d ln quantity")  # fmt: skip
    distances = {
        name: abs(float(slopes[f"equal_log_spread_{name}"][0] / difference - 1))
        for name, difference in checks.items()
    }
    for name, distance in distances.items():
        run.metric(f"difference_error_{name}", distance, "derivative over difference, less 1")
    run.metric("difference_error_max", max(distances.values()))
    run.section(
        "What to improve first",
        "The accuracy falls to either side of what the pulses were planned for, so that close to "
        "an optimum the derivative by a nominal value ranks nothing. What is differentiated is the "
        "expected loss of chips whose every device differs in every quantity, by the spread of "
        "each: what a smaller one would save. Reverse mode through network, read-out and filament; "
        f"mean and standard error of {config.repeats} sets of drawn devices. Once all quantities "
        f"have the same relative spread, {config.equal_spread:g}, which needs no assumption about "
        f"tolerances; once {config.spread:g} of what is stated of each (published for radius, disc "
        "length, N_min and N_max, 1 % assumed for the others: only the place of those four is "
        "evidence). Voltages and width differ from device to device like the others, as they do "
        "where wires take their share. Nearly all of it is the switching time: the last columns "
        "of the table.",
    )
    panels = [
        (f"d loss / d ln spread [nat], {what}", found[point], error[point])
        for point, what in (
            ("equal", f"all {config.equal_spread:g}"),
            ("stated", f"{config.spread:g} of the stated"),
        )
    ]
    run.figure(
        "effects",
        aj.plotting.ranked_effects(panels, groups),
        "Derivative of the expected loss by the spread of each quantity; lines: standard errors.",
    )
    run.table(
        "Ranked by the loss that their spread makes (equal relative spread)",
        ["quantity", "group", "d loss / d ln spread [1e-3 nat]", "same, stated spread",
         "d ln pulses / d ln q, SET", "RESET", "stated spread", "source", "difference"],
        [
            [
                name, groups[name],
                *(f"{1e3 * found[p][name]:+.2f} ± {1e3 * error[p][name]:.2f}" for p in found),
                *(f"{value:+.2f}" for value in times[name]),
                f"{100 * QUANTITIES[name][1]:.3g} %", QUANTITIES[name][2],
                f"{distances[name]:.0e}" if name in distances else "",
            ]
            for name in largest(slopes)
        ],
        "Difference: relative distance of a central difference (first set of devices, network in "
        "double precision) from the derivative.",
    )  # fmt: skip
