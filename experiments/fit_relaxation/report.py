"""Tables and figures."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analogjax.fitting import LAWS, QUANTILES, coverage, quantile_calibration, report_parameters
from analogjax.plotting import COLORS, figure, label_panels

from .laws import free_of

CELLS = "the other half of the cells itself"


def write(run, config, measured, fits, found) -> None:
    """Report everything."""
    run.metric("cells_fitted", measured.fitted)
    run.metric("cells_predicted", len(measured.level) - measured.fitted)
    run.metric("cells_left_out", measured.left_out, "beyond the last level")
    for task in config.tasks:
        _task(run, config, task, fits, found[task])


def _task(run, config, task, fits, found) -> None:
    times = config.tasks[task]
    run.section(
        task.capitalize(),
        f"Fitted to reads at {', '.join(f'{t:g}' for t in times.fit)} s of one half of the cells, "
        f"predicted at {times.predict:g} s for the other half.",
    )
    rows = []
    for law in (*config.laws, "cells"):
        u = found[f"{law}_probability"]
        by_level = quantile_calibration(u, found["level"])
        chi, freedom, _ = by_level.chi_squared
        inside = {level: coverage(u, level)[0] for level in (0.5, 0.9)}
        crps = float(found[f"{law}_crps"].mean())
        numbers = {
            "crps_uS": crps,
            "coverage_50": inside[0.5],
            "coverage_90": inside[0.9],
            "quantiles_within_2_sigma": by_level.within,
            "probability_excess": by_level.excess,
            "chi2_per_freedom": chi / freedom,
        }
        score = float("nan")
        if law != "cells":
            score = float(found[f"{law}_log_score"].mean())
            numbers["log_score"] = score
        for name, value in numbers.items():
            run.metric(f"{task}_{law}_{name}", value)
        rows.append([
            CELLS if law == "cells" else law, crps, score if np.isfinite(score) else "-",
            f"{100 * inside[0.5]:.1f}", f"{100 * inside[0.9]:.1f}",
            *(f"{100 * x:.1f}" for x in by_level.total), f"{100 * by_level.within:.0f}",
            f"{100 * by_level.excess:.1f}", f"{chi / freedom:.2f}",
        ])  # fmt: skip
    run.table(
        f"Scores at {times.predict:g} s",
        ["law", "CRPS [uS]", "-ln density", "in 50 %", "in 90 %",
         *(f"below {100 * p:g} %" for p in QUANTILES), "within 2 sigma [%]", "excess [%]",
         "chi2 / freedom"], rows,
        "Shares in per cent. 'Within 2 sigma': quantiles of all levels whose share of measured "
        "cells agrees within twice its sampling error; excess: rms error of the probabilities "
        "beyond it.",
    )  # fmt: skip
    run.figure(
        f"{task}_quantiles",
        _quantiles(config, found),
        "Change of conductance of each level: quantiles (5, 25, 50, 75, 95 %) as measured (points) "
        "and as predicted (lines).",
    )
    run.figure(f"{task}_pit", _histograms(config, found), "Predicted probability of what was "
               "measured: flat if predictions are right; grey: two standard errors.")  # fmt: skip
    names = {law: free_of(law) for law in config.laws}
    for law in config.laws:
        fit = fits[task, law]
        run.table(
            f"{law}: parameters",
            ["parameter", "value", "standard error", "robust standard error"],
            [[n, *(float(fit[f"{k}_{n}"]) for k in ("value", "error", "robust"))]
             for n in names[law]],
            str(fit["message"]) or f"BIC {float(fit['bic']):.1f}, {int(fit['reads'])} reads.",
        )  # fmt: skip
        report_parameters(
            run,
            f"{task}_{law}",
            law,
            {n: LAWS[law].PARAMETERS[n].unit for n in names[law]},
            [float(fit[f"value_{n}"]) for n in names[law]],
            fit["covariance"],
            fit["exponents"],
            fit["combination_errors"],
        )
    levels = np.arange(config.levels)
    run.dataset(task, xr.Dataset(
        {f"{law}_quantiles": (("level", "probability"), found[f"{law}_quantiles"], {"units": "uS"})
         for law in (*config.laws, "measured")},
        {"level": ("level", levels, {"units": "1"}),
         "probability": ("probability", np.array(QUANTILES), {"units": "1"})},
    ))  # fmt: skip


def _quantiles(config, found):
    fig, axes = figure(1, len(config.laws), width=3.6, height=3.4, sharey=True, squeeze=False)
    levels = np.arange(config.levels)
    for axis, law in zip(axes[0], config.laws, strict=True):
        for k in range(len(QUANTILES)):
            color = COLORS[abs(k - 2)]
            axis.plot(levels, found["measured_quantiles"][:, k], ".", ms=4, color=color)
            axis.plot(levels, found[f"{law}_quantiles"][:, k], lw=1.1, color=color)
        axis.set_title(law)
        axis.set_xlabel("level")
    axes[0, 0].set_ylabel("change [uS]")
    label_panels(axes)
    return fig


def _histograms(config, found):
    names = (*config.laws, "cells")
    fig, axes = figure(1, len(names), width=2.6, height=2.5, sharey=True, squeeze=False)
    bins = 20
    for axis, law in zip(axes[0], names, strict=True):
        u = found[f"{law}_probability"]
        share = np.histogram(u, bins, (0, 1))[0] / u.size * bins
        reach = 2 * np.sqrt((bins - 1) / u.size)
        axis.axhspan(1 - reach, 1 + reach, color="0.85")
        axis.stairs(share, np.linspace(0, 1, bins + 1), color=COLORS[0])
        axis.set_title("other half" if law == "cells" else law)
        axis.set_xlabel("predicted probability")
    axes[0, 0].set_ylabel("density of cells")
    label_panels(axes)
    return fig
