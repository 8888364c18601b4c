"""Which model predicts the levels of ramps it has not seen."""

from __future__ import annotations

import numpy as np

from analogjax import plotting

from . import ramps
from .models import WHAT


def report(run, config, data, ranking) -> dict[str, dict[str, float]]:
    """Show data, ranking and predictions; return the figures of the best model."""
    seen, kept = ramps.split(len(data["set"]))
    best = ranking.best
    figures = {}
    for name, g in data.items():
        own = dict(rms=best.errors[name], r_squared=best.r_squared[name])
        own["spread"] = ramps.spread(g[kept])
        own["raw_spread"] = ramps.spread(g[kept], aligned=False)
        # What no law of the pulse number can undercut: the mean ramp, from the first read.
        rise = np.nanmean((g - g[:, :1])[seen], axis=0)
        floor = (g - g[:, :1])[kept] - rise[None]
        own["floor"] = float(np.sqrt(np.nanmean(floor**2)))
        own["ratio"] = own["rms"] / own["spread"]
        own["raw_ratio"] = own["rms"] / own["raw_spread"]
        figures[name] = own
        run.metrics(
            {f"rms_{name}_uS": 1e6 * own["rms"], f"r_squared_{name}": own["r_squared"]}
            | {f"rms_over_spread_{name}": own["ratio"]}
            | {f"rms_over_raw_spread_{name}": own["raw_ratio"]}
            | {f"spread_{name}_uS": 1e6 * own["spread"]}
            | {f"raw_spread_{name}_uS": 1e6 * own["raw_spread"]}
            | {f"rms_mean_ramp_{name}_uS": 1e6 * own["floor"]}
        )
    for e in ranking.entries:
        label = e.name.replace(",", "").replace(" ", "_")
        run.metrics({f"rms_{label}_{n}_uS": 1e6 * v for n, v in e.errors.items()})
    run.section(
        "Which model predicts ramps it has not seen",
        "Ramps 2, 4, ..., 30 of each polarity are fitted; ramps 1, 3, ..., 29 are predicted from "
        "their first read alone. That choice was made before any fit. The spread from cycle to "
        "cycle is the standard deviation over these ramps at equal pulse number, as root mean "
        "square over pulse numbers; aligned means: of the rise since the first read. "
        + " ".join(
            f"{name.upper()}: {1e6 * f['spread']:.3g} uS aligned, {1e6 * f['raw_spread']:.3g} uS "
            f"not aligned; the mean of the fitted ramps, moved to the first read, misses by "
            f"{1e6 * f['floor']:.3g} uS."
            for name, f in figures.items()
        ),
    )
    run.table(
        "Ranking",
        ["model", "free", "trusted", *(f"rms {n} [uS]" for n in data), *(f"R^2 {n}" for n in data),
         *(f"rms / spread {n}" for n in data)],
        [
            [
                e.name, len(e.candidate.free), "yes" if e.ok else "no",
                *(1e6 * e.errors.get(n, np.nan) for n in data),
                *(e.r_squared.get(n, np.nan) for n in data),
                *(e.errors.get(n, np.nan) / figures[n]["spread"] for n in data),
            ]
            for e in ranking.entries
        ],
        caption="Of ramps kept back. "
        + "; ".join(f"{name}: {what}" for name, what in WHAT.items() if name in config.models)
        + ". Criteria of information are left out here: they count levels as independent, which "
        "along a ramp they are not.",
    )  # fmt: skip
    for e in ranking.entries:
        if e.message:
            run.section("", f"{e.name} is not to be trusted: {e.message}")
    run.figure(
        "ramps",
        _figure(config, data, best),
        "Ramps kept back (points) and their prediction by the best model from the first read "
        "(lines); below the error.",
    )
    run.figure(
        "steps",
        _steps(config, data, best),
        "Mean step of the ramps kept back, and of the best model: what a state of one number does "
        "not know are the first steps after a reversal.",
    )
    return figures


def predicted(config, data, best, rows, noise=None):
    """Return trains of some ramps as a model sees them, and its predictions."""
    adapt = best.candidate.adapt or (lambda train: train)
    trains = [adapt(train) for train in ramps.trains(config, data, rows, noise)]
    return {t.name: (t, np.asarray(t.predict(best.fit.device))) for t in trains}


def _figure(config, data, best):
    kept = ramps.split(len(data["set"]))[1]
    figure, axes = plotting.figure(2, 2, width=4.6, height=2.7, sharex="col")
    for column, (name, (train, shown)) in enumerate(predicted(config, data, best, kept).items()):
        observed = np.asarray(train.observed)
        shown = np.where(np.asarray(train.known), shown, np.nan)
        pulse = np.arange(1, observed.shape[1] + 1)
        for k in range(len(observed)):
            color = plotting.COLORS[0]
            axes[0, column].plot(pulse, 1e3 * observed[k], ".", ms=1.5, color=color, alpha=0.4)
            axes[0, column].plot(pulse, 1e3 * shown[k], color=plotting.COLORS[1], lw=0.5)
            axes[1, column].plot(pulse, 1e6 * (observed - shown)[k], color=color, lw=0.6, alpha=0.6)
        axes[0, column].set_title(name.upper())
        axes[1, column].set_xlabel("pulses since the first read")
    axes[0, 0].set_ylabel("conductance [mS]")
    axes[1, 0].set_ylabel("measured less predicted [uS]")
    return figure


def _steps(config, data, best):
    kept = ramps.split(len(data["set"]))[1]
    figure, axes = plotting.figure(1, 2, width=4.6, height=3.0)
    for axis, (name, (train, shown)) in zip(
        axes, predicted(config, data, best, kept).items(), strict=True
    ):
        observed = np.where(np.asarray(train.known), np.asarray(train.observed), np.nan)
        there = np.isfinite(observed).all(0)
        steps = 1e6 * np.diff(observed[:, there], axis=1)
        pulse = np.arange(2, steps.shape[1] + 2)
        error = steps.std(0) / np.sqrt(len(steps))
        label = "measured, standard error"
        axis.errorbar(pulse, steps.mean(0), error, fmt=".", ms=3, lw=0.5, label=label)
        axis.plot(pulse, 1e6 * np.diff(shown[:, there], axis=1).mean(0), label=best.name)
        axis.set_title(name.upper())
        axis.set_xlabel("pulses since the first read")
    axes[0].set_ylabel("step [uS]")
    axes[0].legend()
    return figure
