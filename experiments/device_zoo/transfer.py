"""What the devices are to a network: levels, and the same network in each of them."""

from __future__ import annotations

import jax
import numpy as np

import analogjax as aj
from analogjax.crossbar import PAIRS_PER_CHANNEL, Hardware
from analogjax.networks import accuracy_over_chips, fewest_bits, transfer_accuracy
from analogjax.programming import describe

MECHANISMS = ("filament", "interface", "bulk")
"""With a panel each; others share one."""


def network(config, run, model, test, tables) -> dict:
    """Accuracy at every bit depth, at once and after the delay."""
    chosen = [table for (_, space), table in tables.items() if space == "G"]
    devices = Hardware.from_tables(
        chosen, bits=min(config.bits), mapping=PAIRS_PER_CHANNEL, error=config.error
    )
    key = jax.random.fold_in(jax.random.key(run.seed), 1)
    found = transfer_accuracy(model, devices, test, bits=config.bits, chips=config.chips, key=key)
    later = accuracy_over_chips(
        model, devices, test, bits=config.bits, chips=config.chips, key=key, t=config.delay
    )
    return {**found, "later": later}


def report_levels(run, zoo, tables) -> None:
    """What write-verify reaches."""
    histograms, rows = {}, []
    for name, found in tables.items():
        coarse = found[min(found)]
        histograms[f"{zoo[name].title}"] = (
            np.linspace(0, 1, coarse.n_levels), coarse.coordinate(coarse.achieved)
        )  # fmt: skip
        for (n, space), table in found.items():
            f = describe(table)
            run.metric(f"levels_missed_{n}_{name}", table.missed + table.failed, "of all repeats")
            run.metric(f"random_error_window_{n}_{name}", f["random_error_window"])
            pulses, seconds, energy = "none", "unknown", "unknown"
            if table.pulsed:
                run.metric(f"pulses_mean_{n}_{name}", f["pulses_mean"])
                pulses = f"{f['pulses_mean']:.2f} ({f['pulses_max']})"
                seconds = f"{f['time_per_level_s']:.2e}"
                energy = f"{f['energy_per_level_J']:.2e}"
            rows.append(
                [zoo[name].title, f"{n} ({space})",
                 f"{table.missed + table.failed} of {table.achieved.size}",
                 f"{f['random_error_window']:.1e}", f.get("resolvable_levels", "none"), pulses,
                 seconds, energy, f"{float(table.window.ratio):.3g}"]
            )  # fmt: skip
    run.section(
        "Levels",
        "Write-verify with the same controller in all of them (amplitudes, widths and feedback: "
        "`configs/programming`), under the same noise, at most 20 pulses a level. PCM and arrays "
        "known by their statistics are written as a whole, with the scatter they were measured to "
        "have. A level is missed when the pulses run out.",
    )
    run.figure(
        "levels",
        aj.plotting.level_histograms(histograms),
        "What came out (dark) of the levels that were asked for (lines), all repeats.",
    )
    run.table(
        "Level tables",
        ["device", "levels (linear in)", "missed", "random error [window]",
         "resolvable at 1 % overlap", "pulses a level (most)", "time a level [s]",
         "energy a level [J]", "window ratio"],
        rows,
        "Time includes a read of 0.5 ms, far more than the pulses of a fast device.",
    )  # fmt: skip


def report_network(run, config, zoo, dataset, digital, results) -> None:
    """Bits needed, side by side."""
    run.metric("accuracy_digital", digital, "test accuracy of the trained network")
    rows, needed, kinds = [], {}, {}
    at = config.bits.index(config.delay_bits)
    for name, found in results.items():
        entry, mean = zoo[name], found["chips"].mean(1)
        needed[name] = fewest_bits(config.bits, mean, digital)
        ideal = fewest_bits(config.bits, found["ideal"], digital)
        run.metric(f"min_bits_{name}", needed[name], "within one point of digital (0: none)")
        run.metric(f"min_bits_ideal_{name}", ideal, "by quantisation alone")
        for b, value in zip(config.bits, mean, strict=True):
            run.metric(f"accuracy_bits_{b}_{name}", value)
        kept = fewest_bits(config.bits, found["later"].mean(1), digital)
        run.metric(f"min_bits_later_{name}", kept, f"{config.delay:g} s after writing")
        later = found["later"].mean(1)[at]
        run.metric(f"accuracy_bits_{config.delay_bits}_later_{name}", later,
                   f"{config.delay:g} s after writing")  # fmt: skip
        kind = entry.mechanism if entry.mechanism in MECHANISMS else "others"
        kinds.setdefault(kind, {})[entry.title] = (found["chips"], found["ideal"])
        count = (value or "none" for value in (needed[name], ideal, kept))
        rows.append([entry.title, entry.mechanism, *count, *(f"{100 * m:.1f}" for m in mean),
                     f"{100 * later:.1f}"])  # fmt: skip
    said = ", ".join(
        f"{zoo[name].title} ({zoo[name].mechanism}) {needed[name] or 'more than'}"
        f"{'' if needed[name] else f' {max(config.bits)}'}"
        for name in results
    )
    run.summary(
        f"Bits per device that {config.network.name} on {dataset} ({100 * digital:.1f} % digital) "
        f"needs to stay within one point: {said}. Mean of {config.chips} chips, seed {run.seed}."
    )
    run.section(
        "The same network in every device",
        "Weights in pairs of devices, scaled per channel, levels linear in conductance; each "
        "device draws a Gaussian write error as wide as that of its table of most levels. Where "
        "feedback works, all devices are alike to the network: what differs is what the feedback "
        "cost, and what becomes of the levels afterwards.",
    )
    run.figure(
        "bits",
        aj.plotting.accuracy_against_bits(
            config.bits, list(kinds.items()), digital=digital, columns=2
        ),
        "Test accuracy by mechanism; bars: standard deviation over chips, dashed: quantisation "
        "alone, grey: digital and one point below it.",
    )
    run.table(
        "Test accuracy [%]",
        ["device", "mechanism", "bits needed", "by quantisation alone",
         f"after {config.delay:g} s", *(f"{b} b" for b in config.bits),
         f"{config.delay_bits} b after {config.delay:g} s"],
        rows,
    )  # fmt: skip
