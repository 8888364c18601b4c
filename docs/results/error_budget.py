"""Write `error_budget.md` from a finished run.

python docs/results/error_budget.py RUN
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import yaml

from analogjax.runs import compose

HERE = Path(__file__).parent
FIGURES = {
    "on_off": "Accuracy lost by each alone, and won by turning each off",
    "elasticities": "Elasticities",
    "check": "Gradients against central differences",
}
SMALL = 1e-3
"""What moves the cross-entropy by less [nat] does not matter here."""


def main(folder: Path) -> None:
    """Read the run, copy its figures, write the page."""
    m = json.loads((folder / "metrics.json").read_text())
    origin = json.loads((folder / "environment.json").read_text())
    config = yaml.safe_load((folder / "config.yaml").read_text())
    parts = sys.modules[compose("error_budget", []).module.hardware.__module__]
    kinds = {**parts.PARTS, "quantisation": parts.QUANTISATION}
    ranked = sorted(kinds, key=lambda k: -m[f"loss_saved_{k}"])
    pictures = {}
    for name, text in FIGURES.items():
        shutil.copyfile(folder / "figures" / f"{name}.png", HERE / f"error_budget_{name}.png")
        pictures[name] = f"![{text}](error_budget_{name}.png)\n"
    lines = [
        "# Error budget: which non-ideality to spend on first\n",
        f"`analogjax run error_budget`, seed 0, jax {origin['packages']['jax']}, cpu; written by "
        "`python docs/results/error_budget.py RUN`, nothing is typed in. An MLP 64 - 32 - 10 on "
        f"the digits data set ({100 * m['accuracy_digital']:.1f} % digital, 359 test images) in "
        f"pairs of cells in arrays of {config['side']} x {config['side']}, {config['chips']} "
        f"chips, {config['magnitudes']['t']:g} s after programming, without calibration or "
        "training on hardware. **All sizes are illustrative**: the ranking is one of this table, "
        "not of a technology; put your own into `magnitudes`.\n",
        f"With everything on {100 * m['accuracy_all_on']:.1f} ± "
        f"{100 * m['accuracy_all_on_std']:.1f} % remain (mean and standard deviation over "
        "chips).\n",
        pictures["on_off"],
        "## Where to spend first, at these sizes\n",
        *_advice(m, kinds, ranked),
        "",
        "| non-ideality | class | lifetime | size | alone [nat] | alone [points] | saved [nat] | "
        "saved [points] | elasticity [nat] | central difference [nat] |",
        "| " + " | ".join(["---"] * 10) + " |",
        *(_row(k, m, kinds, parts.SIZES, config["magnitudes"]) for k in ranked),
        "",
        "*Alone*: added to a chip without any other (12-bit converters, no levels), points of "
        "accuracy lost. *Saved*: everything on, this one off. *Elasticity*: derivative of the "
        "test cross-entropy by the logarithm of the size, mean over chips and its standard error, "
        "one reverse pass a chip for all of them; beside it the same by central differences of "
        f"{100 * config['step']:g} % on the same chips. The cubic cell is judged without wires. "
        "The standard deviation of the accuracy over chips is one to two points for a single "
        "entry: rank by nats.\n",
        pictures["elasticities"],
        pictures["check"],
        "Gradients and central differences differ by up to "
        f"{100 * m['difference_error_fine']:.1f} % of the largest with fine converters and no "
        f"levels, and by {100 * m['difference_error_built']:.1f} % as built, where a difference "
        "sees single codes change and a gradient passes straight through.\n",
    ]
    (HERE / "error_budget.md").write_text("\n".join(lines))


def _row(k, m, kinds, sizes, magnitudes) -> str:
    label, cause, lifetime = kinds[k][2], *kinds[k][:2]
    size = f"{magnitudes[sizes[k]]:g}" if k in sizes else ""
    slope = difference = "-"
    if f"elasticity_{k}" in m:
        slope = f"{m[f'elasticity_{k}']:+.4f} ± {m[f'elasticity_{k}_error']:.4f}"
        difference = f"{m[f'difference_{k}']:+.4f}"
    found = (
        f"{m[f'loss_alone_{k}']:+.4f}", f"{m[f'points_alone_{k}']:+.2f}",
        f"{m[f'loss_saved_{k}']:+.4f}", f"{m[f'points_saved_{k}']:+.2f}",
    )  # fmt: skip
    return "| " + " | ".join((label, cause, lifetime, size, *found, slope, difference)) + " |"


def _advice(m, kinds, ranked) -> list[str]:
    def named(keys, what):
        return ", ".join(f"{kinds[k][2]} ({m[f'{what}_{k}']:+.3f})" for k in keys)

    sloped = [k for k in ranked if f"elasticity_{k}" in m]
    steep = sorted(sloped, key=lambda k: -m[f"elasticity_{k}"])
    first = ranked[:8]
    frozen = [k for k in first if kinds[k][1] == "frozen"]
    fresh = [k for k in first if kinds[k][1] == "fresh"]
    helps = [k for k in ranked if m[f"loss_saved_{k}"] < -SMALL]
    idle = [
        k for k in sloped
        if max(abs(m[f"{what}_{k}"]) for what in ("loss_saved", "loss_alone", "elasticity")) < SMALL
    ]  # fmt: skip
    lines = [
        f"Turning one off saves most, in nat: {named(ranked[:5], 'loss_saved')}.",
        "What cannot be turned off is best improved where the loss is steepest, in nat per "
        f"e-fold: {named(steep[:5], 'elasticity')}.",
    ]
    if frozen:
        lines.append(
            f"Of the first eight, frozen: {named(frozen, 'loss_saved')}. They part the chips, and "
            "a measurement of each chip can remove them."
        )
    if fresh:
        lines.append(
            f"Fresh: {named(fresh, 'loss_saved')}. Only averaging over reads, or training for "
            "noise, helps."
        )
    if helps:
        lines.append(f"The loss is lower with than without: {named(helps, 'loss_saved')}.")
    if idle:
        lines.append(
            f"Below {SMALL:g} nat alone, saved and per e-fold: "
            f"{', '.join(kinds[k][2] for k in idle)}. Better ones would be money lost."
        )
    return [f"{count}. {line}" for count, line in enumerate(lines, 1)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
