"""Make data sets of known parameters, fit all of them, compare."""

from __future__ import annotations

from dataclasses import fields

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from analogjax.fitting import Calibration, LevenbergMarquardt, calibration, fit_many
from analogjax.plotting import calibration_ranks, coverage_intervals, coverage_levels

SHOWN = ("true", "found", "errors", "scores", "ranks")
"""Arrays (sets, parameters) of a `Calibration`."""


def made(case, config, sets, seed) -> dict[str, np.ndarray]:
    """Return true parameters and noisy data of every set, one program for all."""
    names = tuple(case.spread)
    keys = jax.random.split(jax.random.key(seed), 1 + len(case.measurements))
    reach = jnp.asarray([config.range * case.spread[name] for name in names])
    off = jax.random.uniform(keys[0], (sets, len(names)), minval=-1.0, maxval=1.0) * reach[None]
    nominal = jnp.asarray([float(getattr(case.device, name)) for name in names])
    true = nominal[None] * jnp.exp(off)

    @eqx.filter_jit
    def shown(measurement, true):
        def one(values):
            return measurement.evaluate(
                case.device.replace(**dict(zip(names, values, strict=True)))
            )

        return jax.lax.map(one, true, batch_size=min(config.batch, sets))

    arrays = {"true": np.asarray(true)}
    for key, measurement in zip(keys[1:], case.measurements, strict=True):
        values, ok = shown(measurement, true)
        if not bool(jnp.all(ok)):
            raise RuntimeError(f"{int(jnp.sum(~ok))} runs of {case.title} could not be simulated.")
        # Every draw scatters `noise_factor` times as much as the fit is told.
        scatter = measurement.noise.draw(values, key=key)
        if measurement.noise.logarithmic:
            drawn = values * (scatter / values) ** config.noise_factor
        else:
            drawn = values + config.noise_factor * (scatter - values)
        arrays[measurement.name] = np.asarray(drawn)
    return arrays


def measured(case, data, k) -> tuple:
    """Return the measurements of one data set."""
    return tuple(
        eqx.tree_at(lambda m: m.observed, m, jnp.asarray(data[m.name][k]))
        for m in case.measurements
    )


def fits(case, config, data, which):
    """Fit some of the data sets."""
    return fit_many(
        case.device,
        [measured(case, data, k) for k in which],
        tuple(case.spread),
        method=LevenbergMarquardt(max_steps=config.max_steps),
        batch=config.batch,
    )


def recover(run, name, case, config, data) -> dict[str, np.ndarray]:
    """Fit every data set, a batch at a time, and compare with what made it."""
    sets, free = data["true"].shape
    state: dict[str, np.ndarray] = {key: np.full((sets, free), np.nan) for key in SHOWN}
    state |= {key: np.zeros(sets) for key in ("trusted", "noise_factors", "evaluations")}
    state |= {"done": np.zeros(())}

    def advance(state):
        done = int(state["done"])
        which = np.arange(done, min(done + config.batch, sets))
        results = fits(case, config, data, which)
        for k, result in zip(which, results, strict=True):
            if result.message:
                run.log(f"{name}, data set {k}: {result.message}")
        found = calibration(results, dict(zip(case.spread, data["true"][which].T, strict=True)))
        state = {key: np.array(value) for key, value in state.items()}
        for field in fields(Calibration):
            if field.name != "names":
                state[field.name][which] = getattr(found, field.name)
        return state | {"done": np.asarray(float(which[-1] + 1))}

    return run.portions(f"recovery_{name}", lambda: state, advance, lambda s: int(s["done"]), sets)


def restored(case, arrays) -> Calibration:
    """Return the comparison as it was stored."""
    stored = {f.name: arrays[f.name] for f in fields(Calibration) if f.name != "names"}
    stored["trusted"] = stored["trusted"] > 0.5
    return Calibration(names=tuple(case.spread), **stored)


def store(run, name, found) -> None:
    """Write every fit of a device to the results."""
    both = ("data_set", "parameter")
    units = dict(units="as the parameter")
    arrays = dict(true=found.true, found=found.found, standard_error=found.errors)
    variables = {key: (both, value, units) for key, value in arrays.items()}
    variables |= {
        key: (both, value, dict(units="1"))
        for key, value in dict(score=found.scores, rank=found.ranks).items()
    }
    variables |= {
        key: ("data_set", value, dict(units="1"))
        for key, value in dict(
            trusted=found.trusted, noise_factor=found.noise_factors, evaluations=found.evaluations
        ).items()
    }
    run.dataset(name, xr.Dataset(variables, dict(parameter=list(found.names))))


def report(run, config, cases, found) -> None:
    """Coverage, deviations, ranks."""
    rows, shares, panels = [], {}, {}
    for name, case in cases.items():
        all_sets = found[name]
        store(run, name, all_sets)
        # What the fit itself refuses is not counted as an answer.
        kept = all_sets.only(all_sets.trusted)
        run.metric(f"sets_{name}", len(all_sets.true), "data sets")
        run.metric(f"refused_{name}", int(np.sum(~all_sets.trusted)), "fits that said so")
        run.metric(
            f"noise_factor_{name}",
            float(np.sqrt(np.mean(kept.noise_factors**2))),
            f"estimated scatter over the assumed one; {config.noise_factor:g} made the data",
        )
        run.metric(f"evaluations_{name}", float(np.median(kept.evaluations)), "median of a fit")
        for parameter in kept.names:
            s = kept.statistics(parameter)
            keys = ("inside", "mean", "std", "within_3", "largest", "uniform")
            rows.append(
                [case.title, parameter, f"{100 * s['error']:.2g} %", *(s[key] for key in keys)]
            )
            run.metric(f"inside_90_{name}_{parameter}", s["inside"], "true value in the interval")
            run.metric(f"score_mean_{name}_{parameter}", s["mean"], "0 if unbiased")
            run.metric(f"score_std_{name}_{parameter}", s["std"], "1 if errors are right")
        inside, off = kept.inside(0.9), np.abs(kept.deviations)
        run.metric(f"inside_90_{name}", float(inside.mean()), "all parameters together")
        run.metric(f"within_3_{name}", float(np.mean(off <= 3)), "within three standard errors")
        run.metric(f"largest_{name}", float(np.max(off)), "standard errors from the true value")
        shares[case.title] = {
            p: (float(np.mean(inside[:, k])), len(inside)) for k, p in enumerate(kept.names)
        }
        panels[case.title] = dict(zip(kept.names, kept.ranks.T, strict=True))
    every = [found[name].only(found[name].trusted) for name in cases]
    off = np.concatenate([np.abs(c.deviations).ravel() for c in every])
    run.metric("within_3", float(np.mean(off <= 3)), "of all estimates of all devices")
    run.metric("inside_90", float(np.mean(np.concatenate([c.inside().ravel() for c in every]))))
    run.section("Recovery", text(config, cases, found, off))
    run.table(
        "Every parameter",
        ["device", "parameter", "median error", "inside 90 %", "mean score", "std of scores",
         "within 3 errors", "largest", "p uniform"],
        rows,
        "Score: (found - true) / standard error; mean 0 and standard deviation 1 if all is right. "
        "Largest: in standard errors. p: of Kolmogorov and Smirnov's test that ranks are uniform.",
    )  # fmt: skip
    run.figure(
        "coverage",
        coverage_intervals(shares, level=0.9, wanted=(0.8, 0.98)),
        "Share of data sets whose 90 % interval holds the true value. Dark band: what chance "
        "leaves open (95 %) at this number of sets if the intervals are right; light: the target.",
    )
    run.figure(
        "levels",
        coverage_levels({t: np.concatenate(list(p.values())) for t, p in panels.items()}),
        "Share inside an interval against its level, all parameters of a device together.",
    )
    run.figure(
        "ranks",
        calibration_ranks(panels),
        "Where the true value lies in what the fit believes: probability below it. Uniform if "
        "errors are right; U-shaped if they are too small, humped if too large, tilted if biased. "
        "Band: 95 % of what chance leaves open, bin by bin.",
    )


def text(config, cases, found, off) -> str:
    """What was done, in words."""
    said = [
        f"True parameters are drawn around the nominal ones (uniform in the logarithm); data are "
        f"simulated and scatter {config.noise_factor:g} times as much as the fit is told; every "
        "fit starts from the nominal device and estimates the factor, so that intervals use "
        "Student's distribution."
    ]
    for name, case in cases.items():
        c = found[name]
        ranges = ", ".join(
            f"`{p}` by {100 * np.expm1(config.range * s):.3g} %" for p, s in case.spread.items()
        )
        said.append(
            f"- **{case.title}**, {len(c.true)} data sets: {case.protocol}. True parameters are "
            f"off by up to: {ranges}. {int(np.sum(~c.trusted))} fits refused themselves and are "
            "left out."
        )
    beyond = int(np.sum(off > 3))
    said.append(
        f"{beyond} of {len(off)} estimates ({100 * beyond / len(off):.2g} %) lie beyond three "
        f"standard errors, the farthest {np.max(off):.2g}. By chance alone 0.27 % would, of normal "
        "errors, and a little more where the noise had to be estimated."
    )
    return "\n\n".join([said[0], "\n".join(said[1:-1]), said[-1]])
