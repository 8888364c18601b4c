"""Write `resnet34_caltech101.md` from finished runs and from `weight_transfer.md`.

python docs/results/resnet34_caltech101.py TRAIN NETWORK RETENTION DEPTH TILES [TILES ...]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from weight_transfer import HERE, against_bits, figures, load, origin, table

NAME = "resnet34_caltech101"
# Weight layers from input to output (shortcuts not counted).
LAYERS = {"mlp on mnist": 2, "lenet5 on fashion_mnist": 4, "resnet34 on caltech101": 34}
PUBLISHED = {
    "mlp on mnist": "3 (95.2 %)",
    "lenet5 on fashion_mnist": "4 (86.9 %)",
    "resnet34 on caltech101": "8 (95.5 %, from ImageNet weights)",
}
PAIR, OFFSET = "pair, per channel, least squares (G)", "offset, per layer, maximum (G)"


def main(train: Path, network: Path, retention: Path, depth: Path, *tiles: Path) -> None:
    """Read the folders, copy their figures, write the page."""
    parts = [HEAD, *trained(train), *bits(network), *on_tiles(tiles), *TUNED]
    parts += [*side_by_side(network), *through_time(retention), *with_depth(depth)]
    (HERE / f"{NAME}.md").write_text("\n".join(parts) + "\n", encoding="utf-8")


def trained(folder: Path) -> list[str]:
    """The digital network."""
    m, config, environment = load(folder)
    seconds = json.loads((folder / "timings.json").read_text())
    recipe = config["training"]
    hours = seconds["total"] / 3600
    return [
        "## Digital",
        "",
        f"{origin('train network=resnet34 data=caltech101 training=' + NAME, config, environment)} "
        f"{m['parameters']:,} parameters, 64 x 64 pixels, from scratch: {recipe['epochs']} epochs "
        f"of {recipe['optimiser']}, batch {recipe['batch']}, learning rate "
        f"{recipe['learning_rate']:g}, decay {recipe['weight_decay']:g}, labels smoothed by "
        f"{recipe['label_smoothing']:g}, mirrored and shifted by up to {recipe['shift']} pixels; "
        f"{hours:.1f} hours on two shared cores. Epoch {m['epoch_kept']} was kept: training "
        f"{100 * m['accuracy_train']:.1f} %, validation {100 * m['accuracy_validation']:.1f} %, "
        f"test **{100 * m['accuracy_digital']:.2f} %**. The published 95.5 % needs ImageNet "
        "weights, which are not here; [how to import them](../guide/training.md).",
        "",
        *figures(folder, NAME, {"learning_curves": "Loss and error against epochs"}),
    ]


def bits(folder: Path) -> list[str]:
    """Accuracy against bits."""
    m, config, environment = load(folder)
    rows = against_bits(m, config, suffixes(config))
    return [
        "## Bits per device",
        "",
        f"{origin(NAME, config, environment)} Digital {100 * m['accuracy_digital']:.2f} % of "
        f"{config['images'] or 'all'} test images, mean over classes "
        f"{100 * m['accuracy_digital_class_mean']:.2f} %; {config['chips']} chips, Gaussian write "
        "errors as large as those of the level table. Batch normalisation is digital, with the "
        "statistics of the digital network.",
        "",
        *table(
            ["mapping (levels linear in)", "bits needed", *(f"{b} b" for b in config["bits"])], rows
        ),
        f"To write it once at {m['min_bits'] or max(config['bits'])} bits, {m['devices']:,} "
        f"devices: {m['time_to_program_serial_s']:.3g} s one device after another, "
        f"{m['time_to_program_parallel_s']:.3g} s row by row, {m['energy_to_program_J']:.3g} J. "
        "All scale with an assumed pulse width.",
        "",
        *figures(folder, NAME, {
            "accuracy_bits": "Accuracy against bits",
            "accuracy_error": "Accuracy against the write error",
        }),
    ]  # fmt: skip


def on_tiles(folders: tuple[Path, ...]) -> list[str]:
    """Accuracy with converters and noise, beside the exact read-out of the same images."""
    rows = []
    for folder in folders:
        m, config, environment = load(folder)
        given = config["hardware"]
        for b in config["bits"]:
            mean, std = m[f"accuracy_bits_{b}_mean"], m[f"accuracy_bits_{b}_std"]
            rows.append(
                [f"{given['rows']} x {given['columns']}", f"{given['output_range']:g}", b,
                 config["images"] or "all",
                 f"{100 * m['accuracy_digital']:.2f}", f"{100 * m[f'accuracy_bits_{b}_ideal']:.2f}",
                 f"{100 * mean:.2f} ± {100 * std:.2f} ({config['chips']})",
                 str(environment["git_commit"])[:7]]
            )  # fmt: skip
    return [
        "## On tiles",
        "",
        f"`analogjax run {NAME} hardware=tiles hardware.rows=... hardware.columns=... "
        f"hardware.output_range=... bits=[6] "
        f"mappings=[differential_channel_lsq]`: {PAIR}; every layer is cut into arrays with DACs "
        f"of {given['dac_bits']} bits, every vector of inputs scaled by its own largest value, "
        f"ADCs of {given['adc_bits']} bits that end at a fixed number of currents of a full cell, "
        f"and fresh noise of {given['output_noise']:g} of this current at every output; outputs of arrays are added digitally. No range is calibrated. Per cent; "
        "*exact* is without converters, noise and write error:",
        "",
        *table(
            [
                "arrays",
                "ADCs end at",
                "bits",
                "test images",
                "digital",
                "exact",
                "on tiles (chips)",
                "commit",
            ],
            rows,
        ),
        *TILES,
        "",
    ]


def suffixes(config: dict) -> dict[str, str]:
    """Suffix of the metrics of every mapping, and its name."""
    names = {"differential_channel_lsq": PAIR, "offset_layer_max": OFFSET}
    first, *others = config["mappings"]
    return {"": names[first]} | {f"_{name}_G": names[name] for name in others}


def side_by_side(folder: Path) -> list[str]:
    """Bits needed by the three networks of the main job."""
    m, config, _ = load(folder)
    found = published_rows()
    labels = {label: suffix for suffix, label in suffixes(config).items()}
    found["resnet34 on caltech101"] = (
        m["parameters"],
        f"{100 * m['accuracy_digital']:.2f}",
        *(str(m[f"min_bits{labels[k]}"] or "none") for k in (PAIR, OFFSET)),
    )
    rows = [[name, LAYERS[name], *values, PUBLISHED[name]] for name, values in found.items()]
    return [
        "## Three networks side by side",
        "",
        "Bits needed to stay within one point of the digital network; the first two from "
        "[weight transfer](weight_transfer.md), whose devices draw their errors from three level "
        "tables. They differ in data and kind as well as in depth (see below).",
        "",
        *table(["network", "layers", "parameters", "digital [%]", PAIR, OFFSET, "published"], rows),
    ]


def published_rows() -> dict[str, tuple]:
    """Parameters, accuracy and bits needed that `weight_transfer.md` says."""
    text = (HERE / "weight_transfer.md").read_text(encoding="utf-8")
    found = {}
    for name in list(LAYERS)[:2]:
        section = text.split(f"## {name}\n")[1].split("\n## ")[0]
        count = re.search(r"(\d+) parameters, digital test accuracy \*\*([\d.]+) %", section)
        needed = [
            re.search(rf"^\| {re.escape(k)} \| (\w+) ", section, re.M) for k in (PAIR, OFFSET)
        ]
        assert count is not None, name
        assert all(needed), name
        found[name] = (int(count[1]), count[2], *(n[1] for n in needed if n is not None))
    return found


def through_time(folder: Path) -> list[str]:
    """Accuracy after years."""
    m, config, environment = load(folder)
    times = [0.0, *config["programming"]["delays"]]
    rows = [
        [name, f"{T:g}", f"{100 * m[f'{name}_accuracy_digital']:.2f}"]
        + [f"{100 * m[f'{name}_accuracy_{T:g}K_after_{t:g}s']:.2f}" for t in times]
        for name in config["networks"]
        for T in config["temperatures"]
    ]
    errors = [
        [f"{T:g}", *(f"{m[f'level_error_pitches_{T:g}K_after_{t:g}s']:.3g}" for t in times[1:])]
        for T in config["temperatures"]
    ]
    labels = [said(t) for t in times[1:]]
    return [
        "## From a second to ten years",
        "",
        f"{origin('retention', config, environment)} {config['bits']} bits a device, "
        f"{config['chips']} chips; written and read at room temperature, kept at the temperature "
        "named; nothing is compensated. Test accuracy in per cent:",
        "",
        *table(["network", "kept at [K]", "digital", "at once", *labels], rows),
        f"rms error of {config['programming']['levels'][-1]} levels [pitch]:",
        "",
        *table(["kept at [K]", *labels], errors),
        *figures(folder, "retention", {"accuracy_time": "Change of accuracy against time"}),
    ]


def said(t: float) -> str:
    """A time in a unit that suits it."""
    for unit, size in (("a", 31557600.0), ("d", 86400.0), ("h", 3600.0)):
        if t >= size:
            return f"{t / size:.3g} {unit}"
    return f"{t:g} s"


def with_depth(folder: Path) -> list[str]:
    """Networks that differ in depth alone."""
    m, config, environment = load(folder)
    shown = min(config["bits"], key=lambda b: abs(b - 4))
    given = f"depth seeds={config['seeds']} images={config['images']}"
    rows = []
    for blocks in config["blocks"]:
        n = 2 * blocks + 2
        rows.append(
            [n, m[f"parameters_layers_{n}"], f"{100 * m[f'accuracy_digital_layers_{n}']:.2f}",
             f"{m[f'min_bits_layers_{n}']:.1f}",
             f"{m[f'signal_to_noise_dB_layers_{n}_bits_{shown}']:.1f}"]
            + [f"{100 * m[f'accuracy_layers_{n}_bits_{b}']:.2f}" for b in config["bits"]]
        )  # fmt: skip
    return [
        "## Depth alone",
        "",
        f"{origin(given, config, environment)} Networks of each depth: {config['seeds']}, of "
        f"{config['width']} channels, {config['train_images'] or 'all'} images to train on, "
        f"{config['images'] or 'all'} to test; {config['chips']} chips each. Signal to noise is that before the "
        f"head at {shown} bits; over all depths it changes by "
        f"{m['signal_to_noise_dB_per_decade_of_layers']:.1f} dB per decade of layers (-10 where "
        "independent errors add up).",
        "",
        *table(
            ["layers", "parameters", "digital [%]", "bits needed", "SNR [dB]",
             *(f"{b} b" for b in config["bits"])],
            rows,
        ),
        *figures(folder, "depth", {
            "signal_to_noise": "Signal to noise after every layer",
            "bits_needed": "Change of accuracy against bits, bits needed against depth",
        }),
    ]  # fmt: skip


TILES = [
    "Arrays of 512 rows lose 1.5 points where ADCs end at 10 currents, because these end too low: at 32, or with 256 rows, "
    "0.2 are left (on 300 images, of which 4 are 1.3 points: a strong hint, no proof). Of 16 validation images, devices of other resistances without error, "
    "exact outputs: in the last convolution 3.0 % of what arrays of 512 rows say lies beyond 10 (largest 27.8; 256 rows "
    "0.17 %, 18.2), in the head 0.56 % (20.2), which is 0.57 of the 101 logits of an image (256 rows 0.03 %, 10.6), in "
    "the stem 0.5 %, elsewhere at most 0.2 %. Noise is 0.7 to 3 % of what a layer says (standard deviations). "
    "`calibrate_converters` finds ranges from data; the experiment does not use it."
]
TUNED = [
    "## Fine-tuned for devices",
    "",
    "With noise and through the reduced model of the film: [a page of its own](hat_resnet34.md), "
    "also on what the statistics of batch normalisations do there.",
    "",
]

HEAD = """# ResNet-34 on Caltech-101, depth and retention

Written by the runs named below (`python docs/results/resnet34_caltech101.py`); nothing is typed in.
The third network of the published comparison (Z. Diao et al., Nanoscale Horiz. 10, 780, 2025), which
reports 95.5 % at 8 bits; mapping and training of the source are not public.
"""

if __name__ == "__main__":
    main(*(Path(a) for a in sys.argv[1:]))
