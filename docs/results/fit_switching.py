"""Write `fit_switching.md` from a finished run.

python docs/results/fit_switching.py RUN
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
MODELS = {
    "voltage": "switching voltage alone",
    "shared": "behind the transistor of the SET fit",
    "gate": "behind a transistor",
    "gate_before": "behind a transistor, with the resistance before",
    "rise": "likewise, and a rise of the voltage",
    "vteam": "VTEAM devices",
    "stanford": "Stanford-PKU devices",
    "table": "table of the seen cells (no model)",
}
FIGURES = {
    "maps": "Probabilities over width and voltage, unseen cells",
    "curves": "Probabilities against gate voltage and width, unseen cells",
    "before": "Probability against the resistance before the pulse",
    "reliability": "Calibration on unseen cells",
    "programmed_resistance": "Resistance of unseen cells that switched",
}
HEAD = """# Fit of switching probabilities

Written by the run named below (`python docs/results/fit_switching.py RUN`); nothing is typed in.
Data: one SET pulse on each of 23,044 cells and one RESET pulse on each of 22,944 of a 64k 1T1R
array (A. Wei; `load_measured("wei_pulses")`; the material is not named at the source), over 7
widths, 30 gate (word-line) voltages and 6 bit-line or source-line voltages. A third of the cells,
by a hash of their number that was fixed before anything was looked at, is fitted by maximum
likelihood; all figures below are of the others. The law was chosen looking at seen cells alone.
"""
COLUMNS = (
    "model", "log-likelihood a cell", "largest, width x voltage", "rms", "largest, width x gate",
    "excess, width x gate", "excess, single pulses", "coverage, width x voltage",
    "coverage, single pulses",
)  # fmt: skip


def main(folder: Path) -> None:
    """Read the run, copy its figures, write the page."""
    m = json.loads((folder / "metrics.json").read_text())
    origin = json.loads((folder / "environment.json").read_text())
    lines = [
        HEAD,
        f"`analogjax run fit_switching` at commit {origin['git_commit'][:7]}, seed 0, jax "
        f"{origin['packages']['jax']}, cpu. The two states part at "
        f"{m['threshold_ohm'] / 1e3:.1f} kohm, the deepest point between the two highest modes of "
        "all resistances of seen cells.\n",
    ]
    for polarity in ("set", "reset"):
        name = polarity.upper()
        lines += [
            f"## {name}\n",
            f"Largest deviation over width and voltage of the model of lowest AIC: "
            f"**{m[f'{polarity}_largest']:.3f}** (aim: 0.05); right probabilities would show "
            f"{m[f'{polarity}_chance_width_voltage_largest']:.3f} by chance.\n",
            "| " + " | ".join(COLUMNS) + " |",
            "| " + " | ".join("---" for _ in COLUMNS) + " |",
        ]
        for model, label in MODELS.items():
            p = f"{polarity}_{model}"
            if f"{p}_log_likelihood" not in m:
                continue
            row = [
                label,
                f"{m[f'{p}_log_likelihood']:.5f}",
                f"{m[f'{p}_width_voltage_largest']:.3f}",
                f"{m[f'{p}_width_voltage_rms']:.4f}",
                f"{m[f'{p}_width_gate_largest']:.3f}",
                f"{m[f'{p}_width_gate_excess']:.3f}",
                f"{m[f'{p}_full_excess']:.3f}",
                f"{m[f'{p}_width_voltage_coverage']:.2f}",
                f"{m[f'{p}_full_coverage']:.2f}",
            ]
            lines.append("| " + " | ".join(row) + " |")
        chance = [f"{m[f'{polarity}_chance_{g}_largest']:.3f}" for g in ("width_gate", "full")]
        lines += [
            "",
            f"By chance alone the largest deviation would be {chance[0]} over width and gate and "
            f"{chance[1]} over single pulses (some 12 unseen cells each). Excess: rms beyond "
            "binomial noise. Coverage: of 90 % intervals, at least 0.9 if right.\n",
        ]
        fitted = [k for k in m if k.startswith(f"{polarity}_") and f"{k}_error" in m]
        lines += ["| closed form, with the resistance before | fitted | standard error |",
                  "| --- | --- | --- |"]  # fmt: skip
        lines += [f"| {k.removeprefix(f'{polarity}_')} | {m[k]:.4g} | {m[f'{k}_error']:.2g} |"
                  for k in fitted]  # fmt: skip
        lines.append("")
    for name, text in FIGURES.items():
        source = folder / "figures" / f"{name}.png"
        if not source.exists():
            continue  # a run that was not finished
        shutil.copyfile(source, HERE / f"fit_switching_{name}.png")
        lines.append(f"![{text}](fit_switching_{name}.png)\n")
    lines.append(TAIL)
    (HERE / "fit_switching.md").write_text("\n".join(lines))


TAIL = """## What it does not say

* The RESET fit keeps current factor and barrier lowering of the SET fit's transistor, but needs a
  threshold of its own, below zero: with the same threshold it is worse (row above). The gate acts
  less on RESET than a source follower should; why is not known (a driver, a body effect).
* The data determine voltages (`v_half`, `v_fold`, `v_spread`) at the cell and how long a pulse
  must be, not a prefactor of the switching time at 0 V. Current factor and threshold of the
  transistor, hold voltage and its scatter are determined together, each alone to some tens of per
  cent; slope factor 1.3, temperature 300 K and the ohmic cell are assumed.
* Devices start in the state of their resistance and see the voltage that the transistor leaves at
  the start. VTEAM does not know that cells of lower resistance before the pulse switch at lower
  voltage (beyond their shorter way); Stanford-PKU does, by its gap, with a field enhancement that
  is several times the published one, a barrier of 1.5 eV (assumed) and its published prefactor.
* RESET is partial and rare (one cell in 170, nearly all above 2 V, 400 ns and 2 V of gate): its
  resistances after the pulse, and the law of the width, rest on few cells.
* A log-normal resistance after SET misses the skew of what was measured (ranks).
"""

if __name__ == "__main__":
    main(Path(sys.argv[1]))
