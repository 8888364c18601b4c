"""Tables and figures of the budget."""

from __future__ import annotations

import numpy as np
import xarray as xr

import analogjax as aj

from .parts import PARTS, QUANTISATION, SIZES

_CHECKED = ("slope", "difference")


def report(config, run, dataset, digital, alone, all_on, cubic) -> None:
    """Rank what everything costs, and say what to do."""
    kinds = {**PARTS, "quantisation": QUANTISATION}
    cost = {k: alone[k] - alone["none"] for k in PARTS if k != "nonlinearity"}
    cost["nonlinearity"] = cubic["alone_nonlinearity"] - cubic["none"]
    cost["quantisation"] = all_on["none"] - alone["none"]
    gain = {k: all_on["all"] - all_on[k] for k in PARTS if k != "nonlinearity"}
    gain["nonlinearity"] = cubic["all"] - cubic["nonlinearity"]
    gain["quantisation"] = all_on["all"] - alone["all"]
    sources = {k: cubic if k == "nonlinearity" else all_on for k in PARTS}
    slope = {k: sources[k][f"slope_{k}"] for k in PARTS}
    check = {k: sources[k][f"difference_{k}"] for k in PARTS}

    baseline, everything = alone["none"][1].mean(), all_on["all"][1].mean()
    run.metric("accuracy_digital", digital)
    run.metric("accuracy_none_on", baseline, "everything off but 12-bit converters")
    run.metric("accuracy_all_on", everything)
    run.metric("accuracy_all_on_std", all_on["all"][1].std(ddof=1), "from chip to chip")
    run.metric("cross_entropy_none_on", alone["none"][0].mean())
    run.metric("cross_entropy_all_on", all_on["all"][0].mean())
    for name in kinds:
        run.metric(f"loss_alone_{name}", cost[name][0].mean(), "cross-entropy that it adds alone")
        run.metric(f"points_alone_{name}", -100 * cost[name][1].mean(), "accuracy lost, points")
        run.metric(f"loss_saved_{name}", gain[name][0].mean(), "all on: saved by turning it off")
        run.metric(f"points_saved_{name}", -100 * gain[name][1].mean(), "likewise, points")
    for name in PARTS:
        run.metric(f"elasticity_{name}", slope[name].mean(), "d cross-entropy / d ln size")
        run.metric(f"elasticity_{name}_error", _error(slope[name]), "over chips")
        run.metric(f"difference_{name}", check[name].mean(), "the same by central differences")

    sizes = " - ".join(str(n) for n in (np.prod(dataset.input_shape), *_widths(config), 10))
    run.section(
        "Network and chips",
        f"{config.network.name} {sizes} on {dataset.name}, {100 * digital:.1f} % digital, in pairs "
        f"of cells in arrays of {config.side} x {config.side}, {config.chips} chips, "
        f"{config.magnitudes.t:g} s after programming, no calibration and no training on hardware. "
        "The sizes are illustrative: read the ranking as one of this table, and put your own "
        "technology into `magnitudes`. The cubic cell is judged in arrays without wires (with "
        "both, every input would take a Newton iteration of its own).",
    )
    _ranked(run, config, kinds, cost, gain)
    _elasticities(run, config, kinds, slope, check, alone)
    _table(run, config, kinds, cost, gain, slope, check)
    _advice(run, config, kinds, gain, slope, digital, everything, all_on)
    names = list(kinds)
    run.dataset(
        "budget",
        xr.Dataset(
            {
                "alone": (
                    ("part", "what", "chip"), np.stack([cost[n] for n in names]), {"units": "1"}
                ),
                "saved": (
                    ("part", "what", "chip"), np.stack([gain[n] for n in names]), {"units": "1"}
                ),
            },
            {"part": names, "what": ["cross_entropy", "accuracy"]},
        ),
    )  # fmt: skip


def _ranked(run, config, kinds, cost, gain) -> None:
    groups = {kinds[k][2]: kinds[k][0] for k in kinds}

    def panel(label, values):
        points = {kinds[k][2]: -100 * v[1] for k, v in values.items()}
        return (
            label,
            {k: v.mean() for k, v in points.items()},
            {k: v.std(ddof=1) for k, v in points.items()},
        )

    fig = aj.plotting.ranked_effects(
        [
            panel("alone: accuracy lost (points)", cost),
            panel("all on: accuracy won by turning it off (points)", gain),
        ],
        groups,
    )
    run.section(
        "On and off",
        "On the left everything else is off (devices without levels, 12-bit converters); on the "
        "right everything else is on. What costs little alone may cost much where others have used "
        "up the margin, and what costs much alone may hide behind something else.",
    )
    run.figure("on_off", fig, f"Mean and standard deviation over the same {config.chips} chips.")


def _elasticities(run, config, kinds, slope, check, alone) -> None:
    fig = aj.plotting.ranked_effects(
        [
            (
                "d cross-entropy / d ln size (nat)",
                {kinds[k][2]: v.mean() for k, v in slope.items()},
                {kinds[k][2]: _error(v) for k, v in slope.items()},
            )
        ],
        {kinds[k][2]: kinds[k][0] for k in slope},
    )
    run.section(
        "Gradients",
        "All chips keep their random numbers while a size changes: the gradient is that of the "
        "mean test cross-entropy of these chips, with everything on, and one reverse pass a chip "
        "gives all of them. An elasticity of 0.1 means: 10 % more of it costs 0.01 nat. Converters "
        "are passed straight through; stuck cells have a soft threshold.",
    )
    run.figure("elasticities", fig, "Mean over chips, with its standard error.")
    fine = [k for k in slope if k != "nonlinearity"]
    smooth = [np.array([alone[f"{what}_{k}"].mean() for k in fine]) for what in _CHECKED]
    built = [np.array([v[k].mean() for k in slope]) for v in (slope, check)]
    both = np.concatenate([*smooth, *built])
    fig, axis = aj.plotting.figure(width=4.6, height=4.0)
    axis.plot([both.min(), both.max()], [both.min(), both.max()], color="k", lw=0.6)
    axis.plot(smooth[1], smooth[0], "o", ms=4, label="12-bit converters, no levels")
    axis.plot(built[1], built[0], "x", ms=4, label="as built")
    axis.set_xlabel("central difference (nat)")
    axis.set_ylabel("reverse mode (nat)")
    axis.legend()
    worst = {
        name: np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-12)
        for name, (a, b) in {"fine": smooth, "built": built}.items()
    }
    run.figure(
        "check",
        fig,
        f"Gradients of all magnitudes against central differences of {100 * config.step:g} % on "
        "the same chips. Where rounding is fine the two differ by at most "
        f"{100 * worst['fine']:.1f} % of the largest; as built, by {100 * worst['built']:.1f} %: "
        "a difference sees single codes change, the gradient passes straight through.",
    )
    help = "largest deviation of gradients over the largest difference"
    run.metric("difference_error_fine", worst["fine"], f"{help}, 12-bit converters")
    run.metric("difference_error_built", worst["built"], f"{help}, as built")


def _table(run, config, kinds, cost, gain, slope, check) -> None:
    def size(name):
        field = SIZES.get(name)
        return "" if field is None else f"{getattr(config.magnitudes, field):g}"

    def points(value):
        mean, std = -100 * value[1].mean(), 100 * value[1].std(ddof=1)
        return f"{mean:+.2f} ± {std:.2f}"

    def slopes(name):
        if name not in slope:
            return ["none", "none"]
        v = slope[name]
        return [f"{v.mean():+.4f} ± {_error(v):.4f}", f"{check[name].mean():+.4f}"]

    rows = [
        [
            kinds[k][2], kinds[k][0], kinds[k][1], size(k),
            f"{cost[k][0].mean():+.4f}", points(cost[k]),
            f"{gain[k][0].mean():+.4f}", points(gain[k]), *slopes(k),
        ]
        for k in sorted(kinds, key=lambda k: -gain[k][0].mean())
    ]  # fmt: skip
    run.table(
        "The budget, by what turning it off saves",
        ["non-ideality", "class", "lifetime", "size", "alone [nat]", "alone [points]",
         "saved [nat]", "saved [points]", "elasticity [nat]", "central difference [nat]"],
        rows,
        "Units of the sizes: see `magnitudes`. Points of accuracy: mean ± standard deviation over "
        "chips; elasticity: mean ± standard error.",
    )  # fmt: skip


def _advice(run, config, kinds, gain, slope, digital, everything, all_on) -> None:
    saved = sorted(kinds, key=lambda k: -gain[k][0].mean())
    steep = sorted(slope, key=lambda k: -slope[k].mean())
    name = lambda k: kinds[k][2]  # noqa: E731
    totals = {
        cause: sum(max(slope[k].mean(), 0) for k in slope if kinds[k][0] == cause)
        for cause in ("device", "circuit")
    }
    frozen = [name(k) for k in saved[:6] if kinds[k][1] == "frozen"]
    fresh = [name(k) for k in saved[:6] if kinds[k][1] == "fresh"]
    run.section(
        "Where to spend first",
        f"1. Turn off what saves most: **{name(saved[0])}** "
        f"({gain[saved[0]][0].mean():.3f} nat, {-100 * gain[saved[0]][1].mean():.1f} points), then "
        f"{name(saved[1])} and {name(saved[2])}.\n"
        f"2. If nothing can be turned off, improve what is steepest: 10 % less of "
        f"**{name(steep[0])}** saves {0.1 * slope[steep[0]].mean():.4f} nat, of {name(steep[1])} "
        f"{0.1 * slope[steep[1]].mean():.4f}, of {name(steep[2])} "
        f"{0.1 * slope[steep[2]].mean():.4f}.\n"
        f"3. Of all elasticities that cost, devices have {totals['device']:.3f} nat and circuits "
        f"{totals['circuit']:.3f}.\n"
        + (f"4. Frozen among the first six ({', '.join(frozen)}): can be measured once per chip "
           "and trained or calibrated away.\n" if frozen else "")
        + (f"5. Fresh among them ({', '.join(fresh)}): only averaging over reads, or training for "
           "noise, helps.\n" if fresh else ""),
    )  # fmt: skip
    run.summary(
        f"{config.network.name} on {config.data.name}: {100 * digital:.1f} % digital, "
        f"{100 * everything:.1f} ± {100 * all_on['all'][1].std(ddof=1):.1f} % on {config.chips} "
        f"chips with everything on. Turning off {name(saved[0])} saves most "
        f"({gain[saved[0]][0].mean():.3f} nat); the steepest is {name(steep[0])} "
        f"({slope[steep[0]].mean():+.3f} nat per e-fold)."
    )


def _error(values) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _widths(config) -> tuple[int, ...]:
    hidden = config.network.options.get("hidden", 256)
    return (hidden,) if isinstance(hidden, int) else tuple(hidden)
