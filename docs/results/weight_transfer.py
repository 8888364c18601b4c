"""Write `weight_transfer.md` from finished runs.

python docs/results/weight_transfer.py PROGRAMMING_RUN NETWORK_RUN [NETWORK_RUN ...]
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from omegaconf import OmegaConf

HERE = Path(__file__).parent
MAPPINGS = {
    "": "pair, per channel, least squares (G)",
    "_differential_layer_max_G": "pair, per layer, maximum (G)",
    "_offset_layer_max_G": "offset, per layer, maximum (G)",
    "_differential_channel_lsq_R": "pair, per channel, least squares (R, bend left in)",
    "_differential_layer_max_R": "pair, per layer, maximum (R, bend left in)",
    "_offset_layer_max_R": "offset, per layer, maximum (R, bend left in)",
}
PUBLISHED = {"mlp_mnist": (3, 0.952), "lenet5_fashion_mnist": (4, 0.869)}


def main(programming: Path, networks: list[Path]) -> None:
    """Read the folders, copy their figures, write the page."""
    parts = [HEAD, *levels(programming)]
    for folder in networks:
        parts += network(folder)
    (HERE / "weight_transfer.md").write_text("\n".join(parts) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[dict, dict, dict]:
    """Metrics, configuration and environment of a run."""
    metrics = json.loads((folder / "metrics.json").read_text())
    environment = json.loads((folder / "environment.json").read_text())
    config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    return metrics, config, environment


def table(headers: list[str], rows: list[list]) -> list[str]:
    """A table in Markdown."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [headers, *rows]]
    return [lines[0], "| " + " | ".join("---" for _ in headers) + " |", *lines[1:], ""]


def figures(folder: Path, name: str, wanted: dict[str, str]) -> list[str]:
    """Copy figures next to the page and show them."""
    lines = []
    for figure, caption in wanted.items():
        target = HERE / f"{name}_{figure}.png"
        shutil.copy(folder / "figures" / f"{figure}.png", target)
        lines += [f"![{caption}]({target.name})", ""]
    return lines


def origin(name: str, config: dict, environment: dict) -> str:
    """Where the numbers come from."""
    commit, _, changed = str(environment["git_commit"]).partition("+")
    return (
        f"`analogjax run {name}` at commit {commit[:7]}{' with changes' if changed else ''}, seed "
        f"{config.get('seed', 0)}, jax {environment['packages']['jax']}, {environment['device']}."
    )


def levels(folder: Path) -> list[str]:
    """The level tables."""
    m, config, environment = load(folder)
    chosen = [
        (n, s) for n in config["programming"]["levels"] for s in config["programming"]["spaces"]
    ]
    rows = [
        [
            f"{n} ({s})",
            f"{m[f'nonlinearity_max_{n}{s}']:.2e} / {m[f'nonlinearity_rms_{n}{s}']:.2e} / "
            f"{m[f'nonlinearity_mean_{n}{s}']:.2e}",
            f"{m[f'bow_rms_pitches_{n}{s}']:.3f}",
            f"{m[f'random_error_pitches_{n}{s}']:.3f}",
            f"{m[f'random_error_window_{n}{s}']:.2e}",
            f"{100 * m[f'monotone_fraction_{n}{s}']:.2f} %",
            m[f"resolvable_levels_{n}{s}"],
            f"{m[f'pulses_mean_{n}{s}']:.2f} ({m[f'pulses_max_{n}{s}']})",
            m[f"levels_missed_{n}{s}"],
        ]
        for n, s in chosen
    ]
    delays = [f"{d:g}" for d in config["programming"]["delays"]]
    later = [
        [n, *(f"{m[f'error_after_{d}s_pitches_{n}']:.3f}" for d in delays)]
        for n in config["programming"]["levels"]
    ]
    later += [
        [
            f"{n}, isothermal",
            *(f"{m[f'contrast_error_after_{d}s_pitches_{n}{s}']:.3g}" for d in delays),
        ]
        for n in config["contrast"]["levels"]
        for s in config["contrast"]["spaces"]
    ]
    device = config["programming"]["device"]
    return [
        "## Levels",
        "",
        f"{origin('programming', config, environment)} Preset `{device['preset']}`, "
        f"{device['cells']} x {device['cells']} cells, {config['programming']['repeats']} repeats, "
        f"HRS/LRS {m['ratio']:.3f}. Errors are those of the device when the level was left.",
        "",
        *table(
            ["levels (linear in)", "nonlinearity max / rms / mean [window]", "bow [pitch]",
             "random [pitch]", "s_abs [window]", "in order", "resolvable at 1 %",
             "pulses mean (max)", "missed"],
            rows,
        ),
        "The published nonlinearity index at 512 levels is 4.95e-3. The controller's tolerance is "
        f"{config['programming']['controller']['tolerance']:g} of the window for every number of "
        "levels, and s_abs is what it and the noise of a reading leave: it does not grow with n, "
        "so that more levels never hurt here (the source's s_abs(n) is not public). One reading "
        f"scatters by {m['read_noise_pitches']:.3f} pitch of 512.",
        "",
        "rms error [pitch] when read again, with the noise of a read:",
        "",
        *table(["levels", *(f"{d} s" for d in delays)], later),
        f"Reduced model (six states): open loop over 100 unseen pulses "
        f"{m['reduced_open_loop_rms']:.2e} of the window rms, {m['reduced_open_loop_max']:.2e} at "
        "most; errors of the finest table against those of the reduced model programmed alike: "
        f"Kolmogorov-Smirnov D = {m['reduced_ks_statistic']:.3f}, p = {m['reduced_ks_p']:.2g}.",
        "",
        *figures(folder, "programming", {
            "staircases": "Resistance against pulse number",
            "error_distributions": "Errors in pitches on a normal scale",
            "resolvable": "Levels resolvable at 1 % overlap over read time and pulse noise",
        }),
    ]  # fmt: skip


def against_bits(m: dict, config: dict, mappings: dict[str, str]) -> list[list]:
    """Rows of accuracy against bits: of each suffix of the metrics by its name, if it is there."""
    rows = []
    for suffix, label in mappings.items():
        if f"min_bits{suffix}" not in m:
            continue
        rows.append(
            [label, m[f"min_bits{suffix}"] or "none"]
            + [
                f"{100 * m[f'accuracy_bits_{b}_mean{suffix}']:.2f} ± "
                f"{100 * m[f'accuracy_bits_{b}_std{suffix}']:.2f}"
                for b in config["bits"]
            ]
        )
        rows.append(
            ["without write error", m[f"min_bits_ideal{suffix}"] or "none"]
            + [f"{100 * m[f'accuracy_bits_{b}_ideal{suffix}']:.2f}" for b in config["bits"]]
        )
    return rows


def network(folder: Path) -> list[str]:
    """Accuracy of one network."""
    m, config, environment = load(folder)
    name = f"{config['network']['name']}_{config['data']['name']}"
    rows = against_bits(m, config, MAPPINGS)
    lines = [
        f"## {config['network']['name']} on {config['data']['name']}",
        "",
        f"{origin(name, config, environment)} {m['parameters']} parameters, digital test accuracy "
        f"**{100 * m['accuracy_digital']:.2f} %**, {config['chips']} chips. Test accuracy in per "
        "cent, mean ± standard deviation over chips; bits needed: the fewest from which on the "
        "mean stays within one point of the digital accuracy. Levels linear in R are assigned by "
        "their index, as if they were linear in G: their bend stays in the weights.",
        "",
        *table(
            ["mapping (levels linear in)", "bits needed", *(f"{b} b" for b in config["bits"])], rows
        ),
    ]
    if name in PUBLISHED:
        bits, accuracy = PUBLISHED[name]
        lines += [
            f"Published point: {100 * accuracy:.1f} % at {bits} bits (mapping and training not "
            "public).",
            "",
        ]
    lines += [
        f"To write it once at {m['min_bits'] or max(config['bits'])} bits, {m['devices']} devices: "
        f"{m['time_to_program_serial_s']:.3g} s one device after another, "
        f"{m['time_to_program_parallel_s']:.3g} s row by row, {m['energy_to_program_J']:.3g} J. "
        "Both scale with an assumed pulse width.",
        "",
        *figures(folder, name, {
            "accuracy_bits": "Accuracy against bits",
            "accuracy_delay": "Accuracy against the delay between writing and reading",
            "accuracy_error": "Accuracy against the write error",
        }),
    ]  # fmt: skip
    return lines


HEAD = """# Programmed levels and weight transfer

Written by the runs named below (`python docs/results/weight_transfer.py`); nothing is typed in.
What is compared: the review and report of Z. Diao et al. (Nanoscale Horiz. 10, 780, 2025), who set
a four-terminal TiO2-x memristor with a resistance ratio of 1.19 to 512 levels and put its write
error into simulated networks. Write error, mapping, training and controller of the source are not
public: agreement here is that of a model with the same ratio and number of levels.
"""

if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(a) for a in sys.argv[2:]])
