"""Write `device_zoo.md` from a finished run.

python docs/results/device_zoo.py RUN
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from weight_transfer import HERE, figures, load, origin, table

FIGURES = {
    "loops": "Current under triangular sweeps at three rates, device by device",
    "switching": "Switching time against voltage",
    "pulses": "Conductance after every one of identical pulses",
    "levels": "Histograms of 32 programmed levels",
    "bits": "Test accuracy against bits per device, by mechanism",
}


def main(folder: Path) -> None:
    """Read the folder, copy its figures, write the page."""
    m, config, environment = load(folder)
    shown = {name: figures(folder, "device_zoo", {name: text}) for name, text in FIGURES.items()}
    for name in FIGURES:
        # Few colours: a third of the size.
        file = HERE / f"device_zoo_{name}.png"
        Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)
    devices = {n: config["devices"][n] for n in config["names"] or config["devices"]}
    where = origin("device_zoo", config, environment)
    parts = [
        HEAD.format(origin=where, digital=f"{100 * m['accuracy_digital']:.1f}"),
        *cards(devices, m),
        LOOPS,
        *shown["loops"],
        *shown["switching"],
        *steepness(devices, m),
        PULSES,
        *shown["pulses"],
        *responses(devices, m),
        AT_BOUND,
        LEVELS,
        *shown["levels"],
        *levels(devices, m),
        NETWORK,
        *shown["bits"],
        *bits(devices, m, config),
        SPEED,
        *speed(devices, folder),
        LIMITS,
    ]
    (HERE / "device_zoo.md").write_text("\n".join(parts) + "\n", encoding="utf-8")


def cards(devices, m) -> list[str]:
    """What each device is."""
    from analogjax.devices import CycleConfig, DeviceConfig, chance

    rows = []
    for name, entry in devices.items():
        spelled = entry["programming"]["device"]
        built = DeviceConfig(**spelled | {"cycle": CycleConfig(**spelled["cycle"])}).build()
        warm = "not in the model"
        if "ambient_temperature" in built.parameters():
            warm = "yes"
        if f"conductance_per_kelvin_{name}" in m:
            warm = f"yes; read {100 * m[f'conductance_per_kelvin_{name}']:+.2f} %/K"
        said = ", ".join(chance(built)) or "no"
        rows.append([entry["title"], entry["mechanism"], entry["state"], entry["source"],
                     entry["drive"], warm, said])  # fmt: skip
    return table(
        ["device", "mechanism", "state", "source", "drive it was published for", "temperature",
         "chance in"],
        rows,
    )  # fmt: skip


def steepness(devices, m) -> list[str]:
    """Decades per volt."""
    rows = [
        [entry["title"], *(f"{-m[f'decades_per_volt_{d}_{name}']:.2g}" for d in ("set", "reset"))]
        for name, entry in devices.items()
        if f"decades_per_volt_set_{name}" in m
    ]
    return table(["device", "SET [decades/V], mean over its range", "RESET"], rows)


def responses(devices, m) -> list[str]:
    """Identical pulses."""
    rows = []
    for name, entry in devices.items():
        if f"window_ratio_{name}" not in m:
            continue
        p = entry["pulses"]
        rows.append([
            entry["title"], f"{p['count']} x {p['up']:g} V, {p['count_down']} x {p['down']:g} V",
            f"{p['width']:g} s", f"{m[f'window_ratio_{name}']:.3g}",
            f"{m[f'nonlinearity_potentiation_{name}']:.2f} / "
            f"{m[f'nonlinearity_depression_{name}']:.2f}",
        ])  # fmt: skip
    return table(["device", "pulses (sizes)", "width", "G max/min",
                  "nonlinearity up / down [window]"], rows)  # fmt: skip


def levels(devices, m) -> list[str]:
    """Level tables."""
    rows = []
    for name, entry in devices.items():
        for n in entry["programming"]["levels"]:
            of = n * entry["programming"]["repeats"]
            pulses = m.get(f"pulses_mean_{n}_{name}")
            rows.append([
                entry["title"], n, f"{m[f'levels_missed_{n}_{name}']} of {of}",
                f"{m[f'random_error_window_{n}_{name}']:.1e}",
                "none" if pulses is None else f"{pulses:.2f}",
            ])  # fmt: skip
    return table(["device", "levels", "missed", "random error [window]", "pulses a level"], rows)


def bits(devices, m, config) -> list[str]:
    """Bits needed."""
    b = config["delay_bits"]
    rows = [
        [entry["title"], entry["mechanism"],
         *(m[f"min_bits{kind}_{name}"] or "none" for kind in ("_ideal", "", "_later")),
         f"{100 * m[f'accuracy_bits_{b}_{name}']:.1f} %",
         f"{100 * m[f'accuracy_bits_{b}_later_{name}']:.1f} %"]
        for name, entry in devices.items()
    ]  # fmt: skip
    later = f"after {config['delay']:g} s"
    return table(
        ["device", "mechanism", "bits by quantisation alone", "bits needed", f"... {later}",
         f"accuracy at {b} bits", f"... {later}"],
        rows,
    )  # fmt: skip


def speed(devices, folder) -> list[str]:
    """Throughput, from the stages (times are no metrics)."""
    rows = []
    for name, entry in devices.items():
        file = folder / "stages" / f"speed_{name}.npz"
        if file.is_file():
            with np.load(file) as found:
                steps = found["steps"]
                rows.append([entry["title"], steps.size, f"{float(found['rate']):.2g}",
                             f"{steps.mean():.1f}", steps.max()])  # fmt: skip
    return table(["device", "lanes", "device-pulses / s", "mean steps of a lane", "most"], rows)


HEAD = """# The device zoo

One page for every kind of device of the library: the same sweeps, pulses, write-verify and
network. Written by `docs/results/device_zoo.py` from {origin}

Three mechanisms are told apart by where conduction changes. In a *filament* the state is a few
vacancies in a nanometre: fast, of a large ratio, and what lies between on and off is hard to
hold, because it forms by chance. At an *interface* it is a barrier: smooth and repeatable, of a
smaller ratio, and the temperature matters. In the *bulk* the whole film changes: even along its
window, many levels, at higher voltages and slower. That is what the field expects; below is what
the models do.
"""

LOOPS = """## Hysteresis and switching time

The second cycle of triangular sweeps from the fresh device. Where a conductance changes by less
than a factor of four the current is shown as it is, not its logarithm.
"""

PULSES = """## Identical pulses

The bend of these curves is what feedback has to overcome: the largest distance from the straight
line between the ends of a half cycle, over its window (second cycle).
"""

AT_BOUND = """Upwards VTEAM, Stanford-PKU and TEAM reach the bound of their state before the half cycle ends (without
chance after 60, 27 and 40 of 100 pulses): their nonlinearity up counts the pulses spent there.
"""

LEVELS = """## Levels

Write-verify, one controller for all, at most 20 pulses a level (1,000 for soft bounds, whose pulses
are small steps), levels linear in conductance, the standard noise. Amplitudes, widths, windows and settings of the feedback (`configs/programming`)
are assumed, but for the window of JART (100 to 543 uS, Z. Yu et al., arXiv:2403.06746). A level
is missed when its pulses run out.
"""

NETWORK = """## The same network in every device

64-64-10 on the digits; weights in pairs of devices, scaled per channel. Each device draws a
Gaussian error as wide as that of its table of most levels.
"""

SPEED = """## Throughput

Ten pulses of alternating sign on devices side by side, each in a state of its own, compiled, on
two shared CPU cores (other work ran beside it: orders of magnitude, not a benchmark). A batch
takes as many time steps as its slowest lane.
"""

LIMITS = """## What this does and does not say

* **Two bits for nearly every device** is a statement about feedback, not about devices:
  write-verify brings each of them close enough to its levels, and the network no longer sees
  which one it is. The digits are easy, and with 359 test images a point is 3.6 images: at two
  bits the network is less than one image inside the limit.
* What tells the mechanisms apart is the price, and what comes after. The filament answers a
  thousand times faster in the middle of its window than at its ends: it takes 3.3
  times the pulses of Nb:SrTiO3 at 32 levels, and feedback that is a little bolder loses it. With
  `largest_factor: 5` and `aim: 0.8` ten of 640 levels were missed, some of them by the whole
  window, and then the quick start needed 8 bits in its first mapping and found no sufficient
  depth in the other two. One vacancy that comes and goes (an option of ours, no part of JART)
  makes the error half a per cent of the window, most of it in the high-resistance half.
* The interface is smooth, but where the temperature is in the model a read changes by 4.5 % per
  kelvin, against 0.4 % for the film: the 0.01 K of the standard noise move it by as much as the
  tolerance.
* The bulk film is the evenest of all under identical pulses, over a window of a few per cent. It
  is solved on 8 x 8 cells here, so that the page takes minutes; window, missed levels and pulses
  are those of that grid. On 32 x 32 cells none of its levels is missed, with 4.4 pulses each and
  an error of 2.8e-4 ([weight_transfer.md](weight_transfer.md)).
* After 1e5 s only PCM has drifted (no compensation is applied). The models of the filaments, of
  Nb:SrTiO3 and of the behavioural devices keep their state at 0 V by construction, and the
  statistics of the RRAM array are those 1 s after writing: for them the later columns say
  nothing.
* JART begins inside its window, because its pulses would take seconds to form a fresh cell. v1b-var
  draws four parameters anew in every half cycle: the pulses of one cycle end elsewhere than those of
  the next, and write-verify, which looks after every pulse, pays nothing for it. Variation between
  devices is not switched on. Stanford-PKU is programmed
  by pulses of a picosecond to 0.1 us that no circuit makes (with longer ones its noise misses
  levels), to a quarter of a pitch; its loops and switching times are without chance.
* Nb:SrTiO3 (a listing fitted to its own loops) is driven at voltages that are assumed, Yakopcic
  within those it was fitted to; VTEAM has the numbers of a simulator, not of a device; the
  Schottky interface is illustrative. Linear ion drift has no threshold: a read moves it, which
  the ideal read of a level table leaves out.
* A device of your own joins by `devices.NAME` in `configs/device_zoo.yaml`, and
  `names=[jart,NAME]` shows a few of them.
"""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
