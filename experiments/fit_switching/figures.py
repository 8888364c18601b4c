"""Sections, tables and figures of the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from analogjax.fitting.identifiability import LOOSE
from analogjax.fitting.statistics.switching_check import reliability, switching_grid
from analogjax.fitting.statistics.switching_trials import resistance_density
from analogjax.plotting.corner import corner
from analogjax.plotting.fits import ProfilePanel, identifiability_bars, profile_likelihoods
from analogjax.plotting.switching import (
    populations,
    probability_curves,
    probability_maps,
    reliability_diagram,
)

from .models import GRIDS, LABELS, LAW, chosen, read_scatter

TARGET = 0.05


def data(run: Any, config: Any, measured: Any, seen: dict, parts: dict, threshold: float) -> None:
    """Say what was measured, who is seen, and what counts as switched."""
    rows = []
    for polarity, part in parts.items():
        for name, trials in part.items():
            mask = seen[polarity] if name == "seen" else ~seen[polarity]
            rows.append([polarity.upper(), name, int(mask.sum()), int(mask.sum()) - len(trials),
                         len(trials), int(np.sum(np.asarray(trials.switched)))])  # fmt: skip
    run.metric("threshold_ohm", threshold, help="resistance that parts the two states")
    for polarity in parts:
        scatter = read_scatter(parts[polarity]["seen"])
        run.metric(f"{polarity}_read_scatter", scatter, help="of ln R, at the lowest voltage")
    run.section(
        "Data",
        "Cells are seen by the fits or not by a hash of their number, fixed before anything was "
        f"looked at ({config.seen:.0%} seen). The threshold is the lowest point of the density of "
        f"all resistances of seen cells between its two highest modes: {threshold / 1e3:.3g} kohm. "
        "A cell beyond it before the pulse already cannot switch and is left out; it has switched "
        "if it is read beyond it afterwards.",
    )
    run.table("Cells", ["pulse", "part", "cells", "switched before", "could switch", "did"], rows)
    panels = {}
    for polarity in parts:
        there = seen[polarity]
        panels[polarity.upper()] = {
            name: resistance_density(
                np.asarray(measured[polarity][f"resistance_{name}"])[there],
                bandwidth=config.bandwidth,
            )
            for name in ("before", "after")
        }
    run.figure(
        "populations",
        populations(panels, threshold),
        caption="Resistances of seen cells before and after the pulse, all pulses together.",
    )


def scores(run: Any, polarity: str, fits: dict, judged: dict) -> None:
    """One row a model."""
    best = chosen(fits)
    rows = []
    for name, found in judged.items():
        pooled, full = found["width_voltage"], found["full"]
        fit = fits.get(name)
        label = LABELS.get(name, "table of seen cells") + (" (chosen)" if name == best else "")
        rows.append([
            label,
            len(fit.free) if fit else "",
            float(fit.arrays["aic"]) if fit else "",
            found["log"],
            pooled.largest, pooled.rms, found["width_gate"].largest, found["width_gate"].excess,
            full.excess, pooled.coverage(), full.coverage(),
        ])  # fmt: skip
    chance = {name: judged[best][name].expected_largest() for name in GRIDS}
    noise = {name: judged[best][name].noise_rms for name in GRIDS}
    for name in GRIDS:
        run.metric(f"{polarity}_chance_{name}_largest", chance[name], help="by chance alone, mean")
        run.metric(f"{polarity}_chance_{name}_rms", noise[name], help="by chance alone")
    grid = judged[best]["width_voltage"]
    run.metric(f"{polarity}_largest", grid.largest, help="chosen model, width x voltage, unseen")
    run.metric(f"{polarity}_reached", int(grid.largest <= TARGET), help="within 0.05")
    wrong = [f"{LABELS[n]}: {f.arrays['message']}" for n, f in fits.items() if not f.ok]
    run.section(
        f"{polarity.upper()}: models on unseen cells",
        f"Chosen by AIC on seen cells: {LABELS[best]}. On unseen cells its largest deviation over "
        f"width and voltage is {grid.largest:.3f} (rms {grid.rms:.3f}; right probabilities would "
        f"show {chance['width_voltage']:.3f} and {noise['width_voltage']:.3f} by chance); over "
        f"width and gate voltage {judged[best]['width_gate'].largest:.3f} (chance "
        f"{chance['width_gate']:.3f}); over single pulses of "
        f"{np.mean(judged[best]['full'].count):.0f} cells each "
        f"{judged[best]['full'].largest:.3f} (chance {chance['full']:.3f}), with an rms of "
        f"{judged[best]['full'].excess:.3f} beyond chance."
        + "".join(f"\n\n{line}" for line in wrong),
    )
    run.table(
        f"Models of {polarity.upper()}",
        ["model", "free", "AIC (seen)", "log-likelihood a cell", "largest, width x V",
         "rms, width x V", "largest, width x gate", "excess, width x gate", "excess, full grid",
         "coverage, width x V", "coverage, full grid"],
        rows,
        caption="Deviations of the share of unseen cells that switched from the predicted one; "
        "excess: rms beyond binomial noise; coverage of 90 % intervals (at least 90 % if right).",
    )  # fmt: skip


def probabilities(run: Any, fits: dict, judged: dict, parts: dict) -> None:
    """Maps, curves and calibration on unseen cells."""
    run.section(
        "Probabilities of unseen cells",
        "Measured on unseen cells and predicted by the chosen model of each polarity.",
    )
    rows, gates, curves, diagrams, logs = [], [], [], {}, []
    for polarity in parts:
        best = chosen(fits[polarity])
        unseen, found = parts[polarity]["unseen"], judged[polarity][best]
        values, maps = found["width_voltage"].table()
        labels = ("width [ns]", "size of the voltage [V]")
        rows.append((polarity.upper(), [values[0] * 1e9, values[1]], maps, labels))
        values, maps = found["gate_voltage"].table()
        gates.append((polarity.upper(), values, maps, ("gate voltage [V]", labels[1])))
        for axis, other, scale, label in (
            ("gate_voltage", "voltage", 1.0, "gate voltage [V]"),
            ("width", "voltage", 1e9, "width [ns]"),
        ):
            grid = switching_grid(unseen, found["p"], (axis, other))
            shown = []
            for value in np.unique(grid.points[:, 1]):
                here = grid.points[:, 1] == value
                shown.append((f"{value:g} V", grid.points[here, 0] * scale, grid.measured[here],
                              grid.noise[here], grid.predicted[here]))  # fmt: skip
            curves.append((f"{polarity.upper()}, {LABELS[best]}", label, shown))
            logs.append(axis == "width")
        names = [n for n in ("gate_before", "vteam", "stanford") if n in judged[polarity]]
        diagrams[polarity.upper()] = {
            LABELS[n]: reliability(unseen, judged[polarity][n]["p"]) for n in names
        }
    run.figure("maps", probability_maps(rows), caption="Pooled over the gate voltages.")
    run.figure("maps_gate", probability_maps(gates, limit=0.3), caption="Pooled over the widths.")
    run.figure(
        "curves", probability_curves(curves, log=logs),
        caption="Shares of unseen cells with the deviation that chance gives (points), model "
        "(lines).",
    )  # fmt: skip
    run.figure("reliability", reliability_diagram(diagrams), caption="Calibration, unseen cells.")
    before(run, fits, judged, parts)


def before(run: Any, fits: dict, judged: dict, parts: dict, bins: int = 8) -> None:
    """What the resistance before the pulse decides, at the voltage where cells differ most."""
    panels = []
    for polarity, part in parts.items():
        unseen = part["unseen"]
        voltage, switched = np.asarray(unseen.voltage), np.asarray(unseen.switched)
        spread = {v: np.mean(switched[voltage == v]) for v in np.unique(voltage)}
        value = min(spread, key=lambda v: abs(spread[v] - (0.2 if polarity == "set" else 1.0)))
        here = voltage == value
        resistance = np.asarray(unseen.resistance_before)[here]
        edges = np.quantile(resistance, np.linspace(0, 1, bins + 1)[1:-1])
        place = np.searchsorted(edges, resistance)
        count = np.bincount(place, minlength=bins)
        x = np.array([np.median(resistance[place == b]) for b in range(bins)]) / 1e3
        measured = np.bincount(place, switched[here], bins) / count
        shown = []
        for name in ("gate", "gate_before", "vteam", "stanford"):
            if name in judged[polarity]:
                p = np.bincount(place, judged[polarity][name]["p"][here], bins) / count
                error = np.sqrt(p * (1 - p) / count)
                shown.append((LABELS[name], x, measured, error, p))
        panels.append((f"{polarity.upper()} at {value:g} V", "resistance before [kohm]", shown))
    run.figure(
        "before", probability_curves(panels, log=[True] * len(panels)),
        caption="Share of unseen cells that switched by their resistance before the pulse "
        "(points, the same for all models), and models (lines).",
    )  # fmt: skip


def parameters(run: Any, config: Any, polarity: str, fits: dict) -> None:
    """Parameters of every model; corner plot, identifiability, profiles of the closed form."""
    rows = []
    for name, fit in fits.items():
        declared = fit.model.declared()
        for k, parameter in enumerate(fit.free):
            value, error, robust = (float(fit.arrays[a][k]) for a in ("values", "errors", "robust"))
            rows.append([LABELS[name], parameter, value, error, robust, declared[parameter].unit,
                         declared[parameter].meaning])  # fmt: skip
            if name == "gate_before":
                run.metric(f"{polarity}_{parameter}", value, help=declared[parameter].unit)
                run.metric(f"{polarity}_{parameter}_error", error, help="standard error")
    fit = fits["gate_before"]
    worst = fit.arrays["combination_errors"][0]
    run.section(
        f"{polarity.upper()}: parameters",
        "Standard errors from the observed Fisher information, and from the scatter of the scores "
        "(right even if the model is not). The data determine voltages: the switching time "
        "`1 us exp((v_half - V) / v_fold)` follows from v_half and v_fold alone, and its prefactor "
        "at 0 V is nothing but their ratio. Least determined combination of the closed form: a "
        f"standard error of {worst:.2g} e-folds.",
    )
    run.table(
        f"Parameters of {polarity.upper()}",
        ["model", "parameter", "fitted", "standard error", "robust error", "unit", "meaning"],
        rows,
    )
    names, arrays = fit.free, fit.arrays
    if "draws" in arrays:
        units = {n: fit.model.declared()[n].unit for n in names}
        samples = _within(arrays["draws"])
        run.figure(
            f"{polarity}_corner",
            corner(
                units,
                list(map(float, arrays["values"])),
                samples=samples,
                samples_label="covariance",
            ),
            caption="Parameters of the closed form, drawn from the covariance.",
        )
        if len(arrays["bootstrap"]) > 2:
            ratio = np.std(arrays["bootstrap"], axis=0, ddof=1) / arrays["errors"]
            run.metric(f"{polarity}_bootstrap_ratio", float(np.median(ratio)),
                       help="bootstrap over Fisher standard errors, median")  # fmt: skip
    run.figure(
        f"{polarity}_identifiability",
        identifiability_bars(
            names, arrays["exponents"], arrays["combination_errors"].tolist(), limit=LOOSE
        ),
        caption="Products of powers of the parameters, the worst determined on top.",
    )
    if f"profile_{LAW[0]}" in arrays:
        panels = []
        for name in LAW:
            k = names.index(name)
            values, rise = arrays[f"profile_{name}"]
            low, high = (float(x) for x in arrays[f"profile_{name}_interval"])
            panels.append(ProfilePanel(f"{name} [V]", values, rise, float(arrays["values"][k]),
                                       interval=(low, high)))  # fmt: skip
        figure = profile_likelihoods(panels, limit=2.706)
        figure.axes[0].set_ylabel("twice the fall of ln L")
        run.figure(f"{polarity}_profiles", figure, caption="Twice the fall of the log-likelihood.")


def _within(draws: np.ndarray) -> np.ndarray:
    """Return draws without the outermost percent of any parameter, which would set the scale."""
    low, high = np.quantile(draws, [0.005, 0.995], axis=0)
    return draws[np.all((draws >= low) & (draws <= high), axis=1)]


def limits(run: Any, fits: dict, judged: dict) -> None:
    """What was reached and what not, in the summary and as the last section."""
    parts, text = [], []
    for polarity in fits:
        best = chosen(fits[polarity])
        grid, full = judged[polarity][best]["width_voltage"], judged[polarity][best]["full"]
        said = "within" if grid.largest <= TARGET else "not within"
        parts.append(
            f"{polarity.upper()} probabilities of unseen cells are {said} {TARGET} of the "
            f"predicted ones over width and voltage (largest {grid.largest:.3f}, "
            f"rms {grid.rms:.3f}; {LABELS[best]})"
        )
        far = np.abs(full.deviation) > TARGET
        text.append(
            f"- {polarity.upper()}: of {len(far)} single pulses (width, voltage, gate voltage) "
            f"{np.sum(far)} deviate by more than {TARGET}; by chance alone "
            f"{_by_chance(full):.0f} would. No model can be seen to do better with so few cells."
        )
    run.section("What no model reaches", "\n".join(text))
    run.summary("; ".join(parts) + ".")


def _by_chance(grid: Any, draws: int = 200) -> float:
    """Return how many points deviate by more than the target if the probabilities are right."""
    rng = np.random.default_rng(0)
    probability = np.clip(grid.predicted, 0, 1)
    shares = rng.binomial(grid.count, probability, (draws, len(probability))) / grid.count
    return float(np.mean(np.sum(np.abs(shares - probability) > TARGET, axis=1)))
