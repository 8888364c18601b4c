"""The part of a report that every fit has alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .._checks import check_choice
from .identifiability import LOOSE
from .panels import axis_of, outlines, panels_of, standardised
from .uncertainty import count, degrees, quantile, unbounded_covariance

if TYPE_CHECKING:
    from ..runs import RunFolder
    from .result import FitResult


def report_fit(
    run: RunFolder,
    fit: FitResult,
    *,
    name: str = "fit",
    title: str = "Fit",
    text: str = "",
    truth: Mapping[str, float] | None = None,
    samples: np.ndarray | None = None,
    profiles: Sequence[str] = (),
    rows: int = 6,
    metrics: bool = True,
) -> None:
    """Write a fit into the report of a run: a section, its figures, a table, and metrics.

    Figures `NAME_data`, `NAME_residuals`, `NAME_corner` (unless a combination of parameters is left
    open), `NAME_identifiability` and, if asked for, `NAME_profiles`; metrics `NAME_PARAMETER`,
    `NAME_PARAMETER_error`, `NAME_noise_factor`, `NAME_r_squared`, `NAME_evaluations` and, of each
    measurement, `NAME_rms_MEASUREMENT` in standard deviations as assumed.

    Args:
        run: The run folder.
        fit: The fit.
        name: What files and metrics begin with; new for every fit of a run.
        title: The heading of the section.
        text: Paragraphs that open it.
        truth: True values of parameters, where they are known.
        samples: Draws of the parameters in their own units, (draws, free), for the corner plot
            (such as `Posterior.array`).
        profiles: Parameters whose profile likelihood is computed and shown.
        rows: Most runs of one measurement that have a panel of their own.
        metrics: Whether metrics are recorded.

    Raises:
        ValueError: `profiles` names a parameter that is not free.
    """
    for parameter in profiles:
        check_choice("profiles", parameter, fit.free)
    truth = dict(truth or {})
    kind = type(fit.device).__name__
    run.section(title, "\n\n".join(part for part in (text, _sentences(fit)) if part))
    _table(run, fit, kind, truth)
    figures = fit_figures(fit, truth=truth, samples=samples, rows=rows)
    for part, figure in figures.items():
        run.figure(f"{name}_{part}", figure, _caption(part, fit, samples is not None))
    if profiles:
        _profiles(run, fit, name, profiles)
    if metrics:
        _metrics(run, fit, name)


def report_parameters(
    run: RunFolder,
    name: str,
    title: str,
    units: Mapping[str, str],
    values: Sequence[float],
    covariance: np.ndarray,
    exponents: np.ndarray,
    errors: np.ndarray,
) -> None:
    """Show how sure the estimate of a statistical model is: `NAME_corner`, `NAME_identifiability`.

    By numbers, as a stage of a run keeps them; of a `FitResult` `report_fit` shows more.

    Args:
        run: The run folder.
        name: What files begin with.
        title: What captions call the model.
        units: Units of the free parameters by name, in order.
        values: Where they are estimated.
        covariance: Theirs, (free, free); where it is not finite there is no corner plot.
        exponents: Of the free parameters in each combination, (combinations, free).
        errors: Standard errors of the logarithms of the combinations.
    """
    from ..plotting import corner, identifiability_bars

    if np.isfinite(covariance).all():
        draws = np.random.default_rng(0).multivariate_normal(values, covariance, 1500)
        run.figure(
            f"{name}_corner",
            corner(dict(units), list(values), samples=draws, samples_label="covariance"),
            f"{title}: parameters, drawn from their covariance.",
        )
    run.figure(
        f"{name}_identifiability",
        identifiability_bars(list(units), exponents, list(map(float, errors)), limit=LOOSE),
        f"{title}: products of powers of the parameters, the worst determined on top.",
    )


def fit_figures(
    fit: FitResult,
    *,
    truth: Mapping[str, float] | None = None,
    samples: np.ndarray | None = None,
    rows: int = 6,
) -> dict[str, Any]:
    """Return the figures of a fit by what they show.

    Args:
        fit: The fit.
        truth: True values of parameters, where they are known.
        samples: Draws of the parameters in their own units, (draws, free), for the corner plot.
        rows: Most runs of one measurement that have a panel of their own.

    Returns:
        Matplotlib figures ``data`` (with the model and its bands), ``residuals``, ``corner``
        (parameters in pairs; left out where the covariance is infinite), ``identifiability``.
    """
    from ..plotting import corner, data_and_model, identifiability_bars, residual_panels

    objectives = fit.problem.objectives
    panels = [panel for o in objectives for panel in panels_of(fit, o, fit.band(o), max(rows, 2))]
    residuals, log = {}, []
    for objective in objectives:
        axis = axis_of(objective)
        values = standardised(fit, objective)
        residuals[objective.name] = (axis.values.ravel(), values.ravel(), axis.label)
        if axis.log:
            log.append(objective.name)
    figures = {"data": data_and_model(panels), "residuals": residual_panels(residuals, log=log)}
    covariance = unbounded_covariance(fit.optimum, fit.noise_factor)
    # Where a combination is left open there is nothing to draw.
    if np.isfinite(covariance).all() and not fit.identifiability.undetermined:
        densities, curves = outlines(fit)
        figures["corner"] = corner(
            {n: fit.device.PARAMETERS[n].unit for n in fit.free},
            [fit.parameters[n] for n in fit.free],
            densities=densities,
            outlines=curves,
            samples=samples,
            truth=dict(truth or {}),
        )
    combinations = fit.identifiability.combinations
    figures["identifiability"] = identifiability_bars(
        fit.free,
        np.array([[c.exponents[n] for n in fit.free] for c in combinations]),
        [c.standard_error for c in combinations],
        limit=LOOSE,
    )
    return figures


def _caption(part: str, fit: FitResult, drawn: bool) -> str:
    """Return what to see in a figure of `fit_figures`."""
    noise = "" if fit.known_noise else f" (as assumed, times {fit.noise_factor:.3g})"
    return {
        "data": f"Measured values and the fitted {type(fit.device).__name__}. Dark band: 90 % "
        "interval of the model, for all that is known of its parameters (to first order); light "
        "band: of a new measured value, which scatters besides.",
        "residuals": f"Measured less predicted in standard deviations of the noise{noise}. A model "
        "that describes everything leaves no trend on the left and a straight line on the right.",
        "corner": "Parameters alone (density) and in pairs (regions that hold the true pair with "
        "68 and 95 %), by the covariance"
        + (", and draws from the posterior distribution." if drawn else "."),
        "identifiability": "Products of powers of the parameters, the worst determined on top, and "
        "the standard error of their logarithm. Beyond the dashed line (a factor of ten) the data "
        "say nothing of one.",
    }[part]


def _sentences(fit: FitResult) -> str:
    """Return how good the fit is, and what speaks against it."""
    scatter = (
        "The noise was taken as known."
        if fit.known_noise
        else f"The data scatter {fit.noise_factor:.3g} times as much as assumed."
    )
    parts = [
        f"{count(fit.optimum)} values of {fit.problem.runs} runs, {len(fit.free)} free parameters, "
        f"R^2 = {fit.r_squared:.5f}. {scatter} {fit.stats['evaluations']} evaluations; "
        f"{fit.stats['optimum']} of {fit.stats['ended']} starts ended at this optimum."
    ]
    worst = fit.identifiability.combinations[0]
    parts.append(
        f"Least determined: `{worst}`, whose logarithm has a standard error of "
        f"{worst.standard_error:.2g}."
    )
    if fit.message:
        parts.append(f"**Not to be trusted:** {fit.message}")
    return "\n\n".join(parts)


def _table(run: RunFolder, fit: FitResult, kind: str, truth: Mapping[str, float]) -> None:
    interval = fit.interval()
    rows = []
    for name in fit.free:
        parameter = fit.device.PARAMETERS[name]
        low, high = interval[name]
        row = [f"`{name}`", fit.parameters[name], f"{fit.standard_errors[name]:.2g}"]
        row += [f"{low:.4g} to {high:.4g}", parameter.unit, parameter.meaning]
        if truth:
            row.insert(1, truth.get(name, ""))
        rows.append(row)
    heads = ["parameter", "fitted", "standard error", "90 % interval", "unit", "meaning"]
    if truth:
        heads.insert(1, "true")
    run.table(f"Parameters of {kind}", heads, rows)


def _profiles(run: RunFolder, fit: FitResult, name: str, names: Sequence[str]) -> None:
    from ..plotting import ProfilePanel, profile_likelihoods
    from ..plotting.corner import with_power

    covariance = unbounded_covariance(fit.optimum, fit.noise_factor)
    z, free, panels = fit.optimum.z, fit.problem.free, []
    for parameter in names:
        profile = fit.profile(parameter)
        k, unit = fit.free.index(parameter), fit.device.PARAMETERS[parameter].unit
        label, power = with_power(parameter, unit, abs(fit.parameters[parameter]))
        steps = np.linspace(-3, 3, 61)
        along = np.tile(np.asarray(z), (steps.size, 1))
        along[:, k] += steps * np.sqrt(covariance[k, k])
        values = np.asarray(jax.vmap(lambda z: free.forward(z))(along))[:, k]
        low, high = profile.interval()
        panels.append(
            ProfilePanel(
                label=label,
                values=profile.values / power,
                rise=profile.rise,
                fitted=fit.parameters[parameter] / power,
                normal=(values / power, steps**2) if np.isfinite(values).all() else None,
                interval=(low / power, high / power),
            )
        )
    limit = quantile(0.9, degrees(fit.optimum), fit.known_noise) ** 2
    run.figure(
        f"{name}_profiles",
        profile_likelihoods(panels, limit=limit),
        "By how much the sum of squares rises (in variances of a residual) when one parameter is "
        "held and all others are fitted again. Shaded: the 90 % interval by the profile.",
    )


def _metrics(run: RunFolder, fit: FitResult, name: str) -> None:
    for parameter in fit.free:
        about = fit.device.PARAMETERS[parameter]
        says = f"{about.meaning} [{about.unit}]"
        run.metric(f"{name}_{parameter}", fit.parameters[parameter], says)
        error = fit.standard_errors[parameter]
        if np.isfinite(error):
            run.metric(f"{name}_{parameter}_error", error, f"standard error of `{parameter}`")
    run.metric(f"{name}_noise_factor", fit.noise_factor, "scatter of the data over that assumed")
    run.metric(f"{name}_r_squared", fit.r_squared, "share of the variance that is explained")
    run.metric(f"{name}_evaluations", fit.stats["evaluations"], "evaluations of all measurements")
    for objective in fit.problem.objectives:
        values = standardised(fit, objective) * fit.noise_factor
        known = values[np.isfinite(values)]
        if known.size:
            run.metric(
                f"{name}_rms_{objective.name.replace(' ', '_')}",
                float(np.sqrt(np.mean(known**2))),
                f"rms residual of {objective.name} in standard deviations as assumed",
            )
