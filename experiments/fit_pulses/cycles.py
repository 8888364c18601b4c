"""How ramps differ: the population of cycles, and its bands against ramps kept back."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np

from analogjax import plotting
from analogjax.fitting import fit_population

from . import ramps
from .chance import BANDS, innovations
from .levels import predicted

VARYING = ("dw_min", "up_down")
"""Step up, and step down against step up; the acceleration of steps up was found not to differ."""


def report(run, config, data, best, careful, walks) -> str:
    """Fit the population, predict whole ramps; return what was found in one sentence."""
    seen, kept = ramps.split(len(data["set"]))
    trains = [train for train, _ in predicted(config, data, best, seen, walks).values()]
    population = fit_population(
        careful.device, trains, careful.free, varying=VARYING, bounds=best.candidate.bounds,
        groups={train.name: {"cycle": seen + 1} for train in trains}, throw=False,
    )  # fmt: skip
    run.section(
        "How cycles differ",
        "One SET and one RESET ramp of equal number are a cycle with parameters of its own "
        f"({', '.join(VARYING)}; the others are shared), beside the walk within a ramp.",
    )
    spread = population.spread["cycle"]
    rows = []
    for name in population.free:
        row = [name, population.parameters[name], population.standard_errors[name]]
        if name in VARYING:
            size = spread.standard_deviations[name]
            low, high = spread.intervals[name]
            share = f"{100 * size / abs(population.parameters[name]):.2g} %"
            row += [size, f"{low:.2g} to {high:.2g}", share]
        else:
            row += ["shared", "", ""]
        rows.append(row)
    head = ["parameter", "mean", "standard error", "cycle to cycle", "90 % interval", "share"]
    run.table("Population of cycles", head, rows, caption=population.message)
    for i, j in zip(*np.triu_indices(len(VARYING), 1), strict=True):
        run.metric(f"correlation_{VARYING[i]}_{VARYING[j]}", spread.correlation[i, j])
    for name in VARYING:
        run.metric(f"cycle_to_cycle_{name}", spread.standard_deviations[name])
        if np.isfinite(spread.standard_errors[name]):
            run.metric(f"cycle_to_cycle_{name}_error", spread.standard_errors[name])
    drawn = population.sample(1500, key=jax.random.key(run.seed))
    run.figure(
        "cycles",
        plotting.corner(
            {name: population.mean.PARAMETERS[name].unit for name in VARYING},
            [population.parameters[name] for name in VARYING],
            samples=np.stack([np.asarray(getattr(drawn, name)) for name in VARYING], axis=1),
            samples_label="cycles drawn from the population",
        ),
        "Spread from cycle to cycle.",
    )
    run.section("", f"```\n{population.describe()}\n```")
    return _bands(run, config, data, best, population, careful, kept)


def _bands(run, config, data, best, population, careful, kept) -> str:
    """Coverage of bands of whole ramps, from the first read."""
    key = jax.random.key(run.seed)
    batch = population.sample(config.draws, key=key)
    rng = np.random.default_rng(run.seed)
    figure, axes = plotting.figure(1, 2, width=4.6, height=3.2)
    rows, said = [], []
    found = innovations(config, data, best, population.mean, kept, careful)
    for axis, (name, (train, shown, noise)) in zip(axes, found.items(), strict=True):
        levels = np.asarray(eqx.filter_vmap(lambda d, t=train: t.evaluate(d)[0])(batch))
        ratio = population.noise_factor / careful.noise_factor
        step, read = ratio * float(noise.step), ratio * float(noise.absolute)
        alone = shown[None] + walk(rng, np.asarray(noise.growth), step, read, config.draws)
        whole = levels + walk(rng, np.asarray(noise.growth), step, read, config.draws)
        observed, known = np.asarray(train.observed), np.asarray(train.known)
        for what, draws in (("walk alone", alone), ("walk and cycles", whole)):
            share = []
            for band in BANDS:
                low, high = np.quantile(draws, [0.5 - band / 2, 0.5 + band / 2], axis=0)
                share.append(float(np.mean(((observed > low) & (observed < high))[known])))
                label = what.replace(" ", "_")
                run.metric(f"ramp_coverage_{name}_{label}_{100 * band:.0f}", share[-1])
            rows.append([name, what, *(f"{100 * s:.1f} %" for s in share)])
        said.append(f"{100 * share[-1]:.0f} % of {name.upper()}")
        _draw(axis, name, observed - shown, whole - shown[None])
    axes[0].set_ylabel("off the mean of the population [uS]")
    run.table(
        "Whole ramps from their first read",
        ["ramps", "what is random", *(f"in the {100 * b:.0f} % band" for b in BANDS)],
        rows,
        caption="Ramps kept back; a share of all values, of which those of a ramp belong together: "
        "fifteen ramps of each polarity count.",
    )
    run.figure("bands", figure, "Ramps kept back and the 50 and 90 % bands of ramps drawn from the "
               "population, from the first read.")  # fmt: skip
    return f"Its 90 % bands for whole ramps hold {' and '.join(said)} levels kept back."


def walk(rng, growth, step, read, draws) -> np.ndarray:
    """Return drawn errors of levels, (draws, rows, points); see `RandomWalk`."""
    rows, points = growth.shape
    level = read * rng.normal(size=(draws, rows))
    off = np.empty((draws, rows, points))
    for k in range(points):
        level = growth[:, k] * level + step * rng.normal(size=(draws, rows))
        off[..., k] = level + read * rng.normal(size=(draws, rows))
    return off


def _draw(axis, name, off, drawn) -> None:
    pulse = np.arange(1, off.shape[1] + 1)
    for band, alpha in zip(BANDS[::-1], (0.2, 0.35), strict=True):
        low, high = 1e6 * np.quantile(drawn, [0.5 - band / 2, 0.5 + band / 2], axis=(0, 1))
        axis.fill_between(pulse, low, high, color=plotting.COLORS[1], alpha=alpha, lw=0,
                          label=f"{100 * band:.0f} % band")  # fmt: skip
    for row in off:
        axis.plot(pulse, 1e6 * row, color=plotting.COLORS[0], lw=0.6)
    axis.set_title(name.upper())
    axis.set_xlabel("pulses since the first read")
    axis.legend()
