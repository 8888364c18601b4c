"""Spectra: fitted to the first half of a trace, tried on the second."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from scipy import stats

from analogjax.fitting import (
    NoiseSpectrum,
    allan_deviation,
    maximum_likelihood,
    report_parameters,
    spectrum,
)
from analogjax.plotting import COLORS, figure, label_panels, residual_panels

BASE = ("flicker", "exponent", "white")
CORNERS = (0.3, 3.0, 30.0)
"""Where a search for a telegraph process starts [Hz] (assumed)."""


def fitted(config, first, second, level, rate) -> dict[str, np.ndarray]:
    """Fit the spectrum of each level, with none, one or two telegraph processes by BIC."""
    found: dict[str, np.ndarray] = {}
    keys = jax.random.split(jax.random.key(config.seed), len(level))
    for k, seen, unseen, key in zip(level, first, second, keys, strict=True):
        here, later = (
            spectrum(x, rate, segment=config.segment, bins=config.bins) for x in (seen, unseen)
        )
        # The covariance of what a trial leaves undetermined is infinite; such trials are dropped.
        with np.errstate(invalid="ignore"):
            best, bic = _chosen(here)
        model = best.model
        for name in best.free:
            found[f"value_{name}_{k}"] = np.array(best.parameters[name])
            found[f"error_{name}_{k}"] = np.array(best.standard_errors[name])
        found[f"names_{k}"] = np.array(best.free)
        found[f"message_{k}"] = np.array(best.message)
        found[f"bic_{k}"] = np.array(bic)
        combinations = best.identifiability.combinations
        found[f"covariance_{k}"] = best.covariance
        found[f"exponents_{k}"] = np.array(
            [[c.exponents[name] for name in best.free] for c in combinations]
        )
        found[f"combination_errors_{k}"] = np.array([c.standard_error for c in combinations])
        f = jnp.asarray(here.frequency)
        density = np.asarray(model.density(f))
        found |= {f"frequency_{k}": here.frequency, f"model_{k}": density}
        found |= {f"seen_{k}": here.density, f"unseen_{k}": later.density}
        found[f"averages_{k}"] = here.averages
        found[f"inside_fitted_{k}"] = np.array(_inside(here, density))
        found[f"inside_held_{k}"] = np.array(_inside(later, density))
        # What the halves alone make of each other, without a model.
        ratio = later.density / here.density
        low, high = (stats.f.ppf(p, 2 * later.averages, 2 * here.averages) for p in (0.025, 0.975))
        found[f"inside_halves_{k}"] = np.array(np.mean((ratio >= low) & (ratio <= high)))
        n = len(seen) // 2 * 2
        draws = jax.vmap(lambda key, model=model, n=n: model.draw(n, rate, key=key))(
            jax.random.split(key, config.draws)
        )
        draws = np.asarray(draws)
        again = spectrum(draws[0] * 1e-6, rate, segment=config.segment, bins=config.bins)
        found[f"inside_drawn_{k}"] = np.array(_inside(again, density))
        found[f"std_drawn_{k}"] = draws.std(axis=1)
        found[f"fast_drawn_{k}"] = _fast(draws, rate)
        for name, x in (("seen", seen), ("unseen", unseen)):
            found[f"std_{name}_{k}"] = np.array(1e6 * x.std())
            found[f"fast_{name}_{k}"] = _fast(1e6 * x[None], rate)[0]
    return found


def _chosen(here):
    """Return the estimate of the lowest BIC, and the BIC of each number of processes."""
    data = tuple(jnp.asarray(x) for x in (here.frequency, here.density, here.averages))
    one = here.density[np.argmin(np.abs(here.frequency - 1.0))]
    start = NoiseSpectrum(flicker=one, exponent=1.2, white=0.3 * here.density[-5:].min())
    best = maximum_likelihood(start, data, BASE, throw=False)
    bic = [best.bic]
    free = list(BASE)
    for number in (1, 2):
        size = float(best.model.flicker) * 0.3
        free += [f"variance_{number}", f"corner_{number}"]
        trials = []
        for corner in CORNERS:
            values = {f"variance_{number}": size * max(corner, 1.0), f"corner_{number}": corner}
            model = best.model.replace(**values)
            trials.append(maximum_likelihood(model, data, free, throw=False))
        # One that cannot be trusted has a process that the data do not hold.
        trials = [t for t in trials if t.ok]
        if not trials:
            break
        again = min(trials, key=lambda t: t.bic)
        bic.append(again.bic)
        if again.bic >= best.bic:
            break
        best = again
    return best, np.resize(np.array([*bic, np.nan, np.nan]), 3)


def _inside(here, density) -> float:
    """Share of a spectrum within the band of 95 % around a density."""
    k = here.averages
    ratio = here.density / density
    low, high = (stats.gamma.ppf(p, k, scale=1 / k) for p in (0.025, 0.975))
    return float(np.mean((ratio >= low) & (ratio <= high)))


def _residuals(found, level):
    """Return residuals of the fitted halves by level, for `residual_panels`."""
    residuals = {}
    for k in level:
        averages = found[f"averages_{k}"]
        ratio = found[f"seen_{k}"] / found[f"model_{k}"]
        share = stats.gamma.cdf(ratio, averages, scale=1 / averages)
        residuals[f"level {k}"] = (found[f"frequency_{k}"], stats.norm.ppf(share), "f [Hz]")
    return residuals, list(residuals)


def _fast(traces, rate):
    """Standard deviation within tenths of a second [uS]: without slow changes."""
    n = max(int(0.1 * rate), 2)
    parts = traces[:, : traces.shape[1] // n * n].reshape(len(traces), -1, n)
    return np.sqrt(parts.var(axis=2, ddof=1).mean(axis=1))


def report(run, config, found, level, first, interval) -> None:
    """Spectra, parameters, what the generator gives."""
    rows, data = [], {}
    fig, axes = figure(1, len(level), width=3.0, height=3.0, squeeze=False)
    for axis, k in zip(axes[0], level, strict=True):
        f, model = found[f"frequency_{k}"], found[f"model_{k}"]
        low, high = (
            stats.gamma.ppf(p, found[f"averages_{k}"], scale=1 / found[f"averages_{k}"])
            for p in (0.025, 0.975)
        )
        axis.fill_between(f, model * low, model * high, color="0.85", lw=0)
        axis.loglog(f, found[f"seen_{k}"], ".", ms=4, color=COLORS[0], label="first half")
        axis.loglog(f, found[f"unseen_{k}"], "+", ms=4, color=COLORS[1], label="second half")
        axis.loglog(f, model, color=COLORS[0], lw=1)
        axis.set_title(f"level {k}")
        axis.set_xlabel("f [Hz]")
        for name in map(str, found[f"names_{k}"]):
            value, error = (float(found[f"{x}_{name}_{k}"]) for x in ("value", "error"))
            run.metric(f"level_{k}_{name}", value)
            unit = NoiseSpectrum.PARAMETERS[name].unit
            meaning = NoiseSpectrum.PARAMETERS[name].meaning
            rows.append([int(k), name, value, error, unit, meaning])
        for name in ("fitted", "held", "halves", "drawn"):
            run.metric(f"level_{k}_inside_{name}", found[f"inside_{name}_{k}"])
        data[f"density_{k}"] = ("frequency", model, {"units": "uS^2/Hz"})
        data[f"seen_{k}"] = ("frequency", found[f"seen_{k}"], {"units": "uS^2/Hz"})
        data[f"unseen_{k}"] = ("frequency", found[f"unseen_{k}"], {"units": "uS^2/Hz"})
    axes[0, 0].set_ylabel("S [uS^2 / Hz]")
    axes[0, 0].legend()
    label_panels(axes)
    run.section(
        "Spectra",
        "1/f noise, white noise and up to two telegraph processes (Lorentzians), as many as the "
        "information criterion BIC takes, fitted by maximum likelihood to the first half of each "
        "trace. The grey band holds 95 % of what an estimate of the same length would give.",
    )
    run.figure("spectra", fig, "Points: estimated; line: fitted to the first half.")
    residuals, log = _residuals(found, level)
    run.figure(
        "spectra_residuals",
        residual_panels(residuals, log=log),
        "Estimated over fitted, of the half that was fitted to: the normal deviation that is as "
        "rare as this ratio is among averaged periodograms (a gamma distribution).",
    )
    run.table("Parameters", ["level", "name", "value", "standard error", "unit", "meaning"], rows)
    for k in level:
        names = list(map(str, found[f"names_{k}"]))
        report_parameters(
            run,
            f"level_{k}",
            f"Level {k}",
            {n: NoiseSpectrum.PARAMETERS[n].unit for n in names},
            [float(found[f"value_{n}_{k}"]) for n in names],
            found[f"covariance_{k}"],
            found[f"exponents_{k}"],
            found[f"combination_errors_{k}"],
        )
    run.dataset("spectra", xr.Dataset(
        data, {"frequency": ("frequency", found[f"frequency_{level[0]}"], {"units": "Hz"})}
    ))  # fmt: skip
    rows = []
    for k in level:
        std = found[f"std_drawn_{k}"]
        fast = found[f"fast_drawn_{k}"]
        rows.append([
            int(k), *(f"{100 * float(found[f'inside_{x}_{k}']):.0f}"
                      for x in ("fitted", "drawn", "held", "halves")),
            float(found[f"std_seen_{k}"]), float(found[f"std_unseen_{k}"]),
            f"{std.mean():.3g} +- {std.std():.2g}",
            float(found[f"fast_seen_{k}"]), float(found[f"fast_unseen_{k}"]),
            f"{fast.mean():.3g} +- {fast.std():.2g}",
        ])  # fmt: skip
    run.section(
        "The generator",
        "Traces of the fitted spectrum, drawn with normal numbers. Shares of the spectrum within "
        "the band: of the half it was fitted to, of a drawn trace, of the half that was held out; "
        "and of the held-out half in a band about the other half itself, without a model. "
        "Standard deviations are of the whole half, and within tenths of a second.",
    )
    run.table(
        "Spectrum within the band of 95 % [%], and standard deviations [uS]",
        ["level", "fitted half", "drawn", "held-out half", "held-out about the other half",
         "std fitted", "std held out", "std drawn", "fast fitted", "fast held out", "fast drawn"],
        rows,
    )  # fmt: skip
    fig, axis = figure(width=4.6, height=3.4)
    for color, k, trace in zip(COLORS, level, first, strict=False):
        tau, deviation = allan_deviation(trace, 1 / interval)
        axis.loglog(tau, deviation, ".-", ms=4, color=color, label=f"level {k}")
    axis.set_xlabel("averaging time [s]")
    axis.set_ylabel("Allan deviation [uS]")
    axis.legend()
    run.figure("allan", fig, "Averaging longer does not help: the noise is 1/f or worse.")
