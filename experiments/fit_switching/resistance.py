"""What resistance the pulses leave in the cells that switched."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from analogjax.fitting import maximum_likelihood
from analogjax.fitting.statistics.programmed_resistance import ProgrammedResistance
from analogjax.plotting.switching import quantile_curves

SHARES = (0.1, 0.5, 0.9)


def report(run: Any, parts: dict) -> None:
    """Fit the resistances of seen cells, and show those of unseen ones."""
    panels, ranks, rows, text = [], {}, [], []
    for polarity, part in parts.items():
        seen, unseen = (t.take(np.asarray(t.switched) > 0.5) for t in part.values())
        if polarity == "set":
            start, free = ProgrammedResistance("set"), None
        else:
            # Too few cells for a law of the pulse.
            start = ProgrammedResistance("reset", floor=2.5e4, limited=0.0, floor_scatter=0.3)
            free = ("floor", "floor_scatter")
        estimate = maximum_likelihood(start, seen, free, throw=False)
        model = estimate.model
        rank = np.asarray(model.rank(unseen))
        ranks[f"{polarity.upper()}, {len(unseen)} cells"] = rank
        # Kolmogorov's distance from uniform ranks.
        sorted_rank = np.sort(rank)
        steps = np.arange(len(rank) + 1) / len(rank)
        distance = max(np.max(steps[1:] - sorted_rank), np.max(sorted_rank - steps[:-1]))
        run.metric(f"{polarity}_resistance_rank_distance", distance, help="of ranks from uniform")
        inside = np.mean((rank > 0.05) & (rank < 0.95))
        run.metric(f"{polarity}_resistance_coverage", inside, help="within 90 % intervals, unseen")
        for name, value in estimate.parameters.items():
            declared = estimate.model.PARAMETERS[name]
            rows.append([polarity.upper(), name, value, estimate.standard_errors[name],
                         declared.unit, declared.meaning])  # fmt: skip
        if not estimate.ok:
            text.append(f"{polarity.upper()}: {estimate.message}")
        axis = "gate_voltage" if polarity == "set" else "width"
        x = np.asarray(getattr(unseen, axis))
        values = [v for v in np.unique(x) if np.sum(x == v) >= 10]
        measured = [np.quantile(np.asarray(unseen.resistance_after)[x == v], SHARES)
                    for v in values]  # fmt: skip
        # All cells at once: an array of another length is another compilation.
        levels = np.linspace(0.01, 0.99, 49)
        spread = np.stack(
            [np.asarray(model.quantile(jnp.full(len(unseen), s), unseen)) for s in levels]
        )
        shown = [np.quantile(spread[:, x == value], SHARES) for value in values]
        if values:
            scale, label = (
                (1.0, "gate voltage [V]") if axis == "gate_voltage" else (1e9, "width [ns]")
            )
            panels.append((polarity.upper(), label, np.array(values) * scale,
                           np.array(measured), np.array(shown)))  # fmt: skip
    run.section(
        "Programmed resistance",
        "Of the cells that have switched, the resistance is log-normal around a median that the "
        "gate voltage sets (it limits the current), cut off at the threshold. Fitted to seen "
        "cells, shown for unseen ones. " + " ".join(text),
    )
    run.table("Programmed resistance", ["pulse", "parameter", "fitted", "standard error", "unit",
                                        "meaning"], rows)  # fmt: skip
    run.figure(
        "programmed_resistance",
        quantile_curves(panels, ranks, SHARES),
        caption="Quantiles of the resistance of unseen cells that switched (points) and of the "
        "model (lines); ranks are uniform where the distribution is right.",
    )
