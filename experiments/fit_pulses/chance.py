"""How levels scatter along a ramp: a walk from pulse to pulse, read with an error."""

from __future__ import annotations

import numpy as np
from scipy import stats

from analogjax import plotting
from analogjax.fitting import estimate_walk, fit, report_fit

from . import ramps
from .levels import predicted

BANDS = (0.5, 0.9)


def report(run, config, data, best):
    """Find the noise, fit again under it, check one-step predictions; return fit and noise."""
    seen, kept = ramps.split(len(data["set"]))
    walks, rows = {}, []
    for name, (train, shown) in predicted(config, data, best, seen).items():
        observed = np.asarray(train.observed)
        off = (shown - observed)[np.asarray(train.known)]
        white = -0.5 * off.size * (np.log(2 * np.pi * np.mean(off**2)) + 1)
        for feedback in (False, True):
            noise, likelihood = estimate_walk(shown, observed, feedback=feedback)
            lags = correlations(np.asarray(noise.residual(shown, train.observed, train.known)),
                                np.asarray(train.known))  # fmt: skip
            rows.append([
                name, "carried on by the law" if feedback else "plain walk",
                1e6 * float(noise.step), 1e6 * float(noise.absolute), likelihood - white, *lags,
            ])  # fmt: skip
        walks[name] = noise
        run.metric(f"walk_{name}_nS", 1e9 * float(noise.step), "of one step")
        run.metric(f"reading_{name}_nS", 1e9 * float(noise.absolute))
    run.section(
        "How levels scatter along a ramp",
        "The steps of a ramp add up, and with them what is random about each: residuals of levels "
        "are not independent, and an error of the level is carried on by the law itself (steps of "
        "SET grow with the conductance: errors do; those of RESET shrink). `RandomWalk` describes "
        "this by a step of the walk and an error of reading; its residuals are the innovations of "
        "a Kalman filter. What remains of correlation is what the model misses.",
    )
    run.table(
        "Noise of the fitted ramps about the best model",
        ["ramps", "noise", "walk [uS]", "reading [uS]", "ln likelihood gained over equal levels",
         "correlation at lag 1", "lag 2", "lag 10"],
        rows,
    )  # fmt: skip
    careful = fit(
        best.fit.device,
        [train for train, _ in predicted(config, data, best, seen, walks).values()],
        (*best.candidate.free, "gamma_down"),
        bounds=best.candidate.bounds,
        throw=False,
    )
    report_fit(
        run, careful, name="walk", title="The fit under this noise",
        text="All parameters of the steps are free: increments tell what levels leave open, how "
        "fast the first steps after a reversal grow. Steps count here, not where a ramp ends.",
        rows=2,
    )  # fmt: skip
    levels_error = best.fit.standard_errors
    ratio = {n: careful.standard_errors[n] / levels_error[n] for n in best.candidate.free}
    run.section("", "Standard errors from levels taken as independent would be too small by "
                + ", ".join(f"{r:.2g} ({n})" for n, r in ratio.items()) + " times.")  # fmt: skip
    _calibration(run, config, data, best, careful, kept)
    return careful, walks


def correlations(residual, known, lags=(1, 2, 10)) -> list[float]:
    """Return the correlation of residuals some points apart."""
    r = np.where(known, residual, np.nan)
    r = r - np.nanmean(r)
    return [float(np.nanmean(r[:, k:] * r[:, :-k]) / np.nanmean(r**2)) for k in lags]


def innovations(config, data, best, device, rows, fitted):
    """Return standardised one-step errors of some ramps under the noise of a fit, by polarity."""
    found = {}
    factor = fitted.noise_factor
    for objective in fitted.problem.objectives:
        train, _ = predicted(config, data, best, rows)[objective.name]
        shown = train.predict(device)
        noise = type(objective.noise)(
            factor * objective.noise.step, factor * objective.noise.absolute, like=shown
        )
        found[objective.name] = (train, np.asarray(shown), noise)
    return found


def _calibration(run, config, data, best, careful, kept) -> None:
    """Coverage of bands for the next value, given all before it."""
    figure, axes = plotting.figure(1, 2, width=4.2, height=3.2)
    rows = []
    for axis, (name, (train, shown, noise)) in zip(
        axes, innovations(config, data, best, careful.device, kept, careful).items(), strict=True
    ):
        known = np.asarray(train.known)
        residual = np.asarray(noise.residual(shown, train.observed, known))[known]
        share = [float(np.mean(np.abs(residual) < stats.norm.ppf(0.5 + b / 2))) for b in BANDS]
        for band, value in zip(BANDS, share, strict=True):
            run.metric(f"next_step_coverage_{name}_{100 * band:.0f}", value)
        lags = correlations(np.asarray(noise.residual(shown, train.observed, known)), known)
        rows.append([name, *(f"{100 * s:.1f} %" for s in share), float(residual.std()), *lags])
        expected = np.sort(stats.norm.cdf(residual))
        axis.plot(expected, np.linspace(0, 1, expected.size))
        axis.plot([0, 1], [0, 1], "k--", lw=0.8)
        axis.set_title(name.upper())
        axis.set_xlabel("predicted quantile of the next value")
    axes[0].set_ylabel("share of the ramps kept back")
    run.table(
        "The next value, from all values before, of ramps kept back",
        ["ramps", *(f"in the {100 * b:.0f} % band" for b in BANDS), "standard deviation / sigma",
         "correlation at lag 1", "lag 2", "lag 10"],
        rows,
    )  # fmt: skip
    run.figure("next_step", figure, "A calibrated prediction lies on the dashed line.")
