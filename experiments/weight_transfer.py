"""Write trained weights into programmed levels and read off how many bits a network needs.

A network is trained digitally; its weights become levels of devices (2^b levels with b bits), each
with the write error that the level tables of the device's model show. Accuracy against bits, with
and without write error, for three mappings fixed beforehand, over many chips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import jax
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax._checks import check_choice, check_whole
from analogjax.crossbar import (
    DeviceStatistics,
    GaussianError,
    Hardware,
    HardwareConfig,
    LevelCost,
    WeightMapping,
    programming_cost,
)
from analogjax.data import DataConfig, Split
from analogjax.devices import DeviceConfig
from analogjax.networks import (
    NetworkConfig,
    accuracy_over_chips,
    convert_to_analog,
    fewest_bits,
    program_analog_weights,
    transfer_accuracy,
)
from analogjax.programming import PUBLISHED_INDEX, ProgrammingConfig, describe, level_tables
from analogjax.runs import RunFolder
from analogjax.training import TrainingConfig

MAPPINGS = {
    "differential_channel_lsq": dict(scheme="differential", per="channel", clip="least_squares"),
    "differential_layer_max": dict(scheme="differential", per="layer", clip="max"),
    "offset_layer_max": dict(scheme="offset", per="layer", clip="max"),
}
"""Fixed before any result was seen."""

DRAWN = {
    "empirical": "Each device draws its error from the table of the fewest levels that suffice.",
    "gaussian": "Each device draws its error from a Gaussian fitted to the table of most levels.",
    "student_t": "Each device draws its error from a Student t fitted to the table of most levels.",
}

NAMES = {
    "differential_channel_lsq": "pair, per channel, least squares",
    "differential_layer_max": "pair, per layer, maximum",
    "offset_layer_max": "offset, per layer, maximum",
}


@dataclass
class Config:
    """Data, network, recipe, levels, and how many chips."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    programming: ProgrammingConfig = field(default_factory=ProgrammingConfig)
    contrast: ProgrammingConfig = field(
        default_factory=lambda: ProgrammingConfig(
            DeviceConfig(preset="isothermal", cells=32), levels=[128], spaces=["G"]
        )
    )
    """A film that forgets, for the accuracy against the delay."""
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    """The arrays that hold the devices."""
    show_contrast: bool = True
    error: str = "empirical"
    """``empirical`` draws errors from the tables; ``gaussian`` and ``student_t`` fit the table
    of the most levels, and so speak for more bits than it has."""
    bits: list[int] = field(default_factory=lambda: list(range(1, 10)))
    """Bits per device."""
    mappings: list[str] = field(default_factory=lambda: list(MAPPINGS))
    """From weights to levels; the first one gives the metrics without a suffix."""
    chips: int = 10
    delay_bits: list[int] = field(default_factory=lambda: [4])
    """Bits at which the accuracy against the delay is shown; empty for none."""
    error_scale: list[float] = field(
        default_factory=lambda: [1e-3, 2e-3, PUBLISHED_INDEX, 1e-2, 2e-2, 5e-2, 0.1]
    )
    """Gaussian write errors [window] for the accuracy against the write error; empty for none."""
    images: int | None = None
    """Test images used; null for all."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("bits", "delay_bits"):
            given = getattr(self, name)
            if any(b < 1 for b in given) or (name == "bits" and not given):
                raise ValueError(
                    f"Argument `{name}` must be whole numbers of at least 1, but is {given}."
                )
        if not self.mappings:
            raise ValueError("Argument `mappings` must name at least one, but is empty.")
        for mapping in self.mappings:
            check_choice("mappings", mapping, MAPPINGS)
        if self.error not in DRAWN:
            raise ValueError(
                f"Argument `error` must be one of {', '.join(DRAWN)}, but is {self.error!r}."
            )
        check_whole("chips", self.chips)
        if self.images is not None:
            check_whole("images", self.images)
        most = max(self.programming.levels)
        if self.error == "empirical" and 2 ** max(self.bits) > most:
            raise ValueError(
                f"Argument `bits` must be such that the largest level table, of {most} levels, has "
                f"2^bits of them, but is {self.bits}."
            )


def run(config: Config, run: RunFolder) -> None:
    """Make levels, train, transfer, and report."""
    dataset = config.data.load()
    # What is wrong with network or recipe is said before the levels are made.
    config.network.build(input_shape=dataset.input_shape, classes=len(dataset.classes))
    aj.training.check_data(dataset, config.training)
    test = Split(dataset.test.x[: config.images], dataset.test.y[: config.images])
    tables = level_tables(config.programming, run)
    model, digital = aj.training.train_in_run(
        run, config.network, dataset, config.training, test=test
    )
    results = {}
    for mapping, space in conditions(config):
        name = f"{mapping}_{space}"
        results[mapping, space] = run.stage(
            f"accuracy_{name}",
            lambda m=mapping, s=space: transfer(config, run, model, test, tables, m, s),
        )
    later = None
    if config.delay_bits:
        later = run.stage("delay", lambda: against_delay(config, run, model, test, tables))
    errors = None
    if config.error_scale:
        errors = run.stage("error_scale", lambda: against_error(config, run, model, test, tables))
    forgetting = None
    if config.show_contrast and later is not None:
        others = level_tables(config.contrast, run, name="contrast")
        forgetting = run.stage(
            "contrast_delay", lambda: against_delay(config, run, model, test, others)
        )

    by_class = run.stage("digital_by_class", lambda: digital_by_class(model, test))
    needed = report_accuracy(run, config, dataset, digital, results)
    run.metric(
        "accuracy_digital_class_mean",
        by_class["accuracy"].mean(),
        "test accuracy of the trained network, mean over classes",
    )
    report_levels(run, config, tables)
    if errors is not None:
        report_error_scale(run, config, digital, errors)
    if later is not None:
        report_delay(run, config, digital, later, forgetting)
    report_cost(run, config, model, tables, needed)
    write_results(run, config, results)


# What is computed.


def conditions(config) -> Iterator[tuple[str, str]]:
    """Every mapping in every space of the tables."""
    for space in sorted(config.programming.spaces):
        for mapping in config.mappings:
            yield mapping, space


def hardware(
    config, tables, mapping: str, space: str, bits: int, *, error: str | None = None
) -> Hardware:
    """Devices with the write errors of the level tables in a space."""
    chosen = [table for (_, s), table in tables.items() if s == space]
    assign = "index" if space == "R" else "nearest"
    return Hardware.from_tables(
        chosen,
        bits=bits,
        mapping=WeightMapping(**MAPPINGS[mapping], space=space, assign=assign),
        error=error or config.error,
        effects=config.hardware.effects(),
        tile=config.hardware.tile(),
    )


def transfer(config, run, model, test, tables, mapping, space) -> dict:
    """Accuracy at every bit depth: one ideal chip, and chips with write error."""
    devices = hardware(config, tables, mapping, space, min(config.bits))
    key = jax.random.fold_in(jax.random.key(run.seed), 1)
    return transfer_accuracy(model, devices, test, bits=config.bits, chips=config.chips, key=key)


def digital_by_class(model, test) -> dict:
    """Accuracy of the trained network on each class that the test images show."""
    matrix = aj.training.confusion_matrix(aj.training.logits(model, test.x), test.y)
    shown = matrix.sum(1) > 0
    return {"accuracy": np.diag(matrix)[shown] / matrix.sum(1)[shown]}


def against_delay(config, run, model, test, tables) -> dict:
    """Accuracy of the same chips read at once and after each delay of the tables."""
    space = min(s for _, s in tables)
    most = max(n for n, s in tables if s == space)
    bits = [b for b in config.delay_bits if 2**b <= most]
    if not bits:
        raise ValueError(
            f"Argument `delay_bits` must hold a depth of at most {most} levels, "
            f"but is {config.delay_bits}."
        )
    # How far a device moves depends on its level: a fitted error would not know.
    devices = hardware(config, tables, config.mappings[0], space, bits[0], error="empirical")
    delays = np.concatenate([[0.0], next(iter(tables.values())).delays])
    key = jax.random.fold_in(jax.random.key(run.seed), 1)
    rows = []
    with run.progress("delays", len(delays)) as progress:
        for t in delays:
            rows.append(
                accuracy_over_chips(
                    model, devices, test, bits=bits, chips=config.chips, key=key, t=float(t)
                )
            )
            progress.advance()
    return {"delays": delays, "bits": np.array(bits), "accuracy": np.stack(rows)}


def against_error(config, run, model, test, tables) -> dict:
    """Accuracy with Gaussian write errors of any size, at a few bit depths."""
    first = hardware(config, tables, config.mappings[0], main_space(config), 1)
    key = jax.random.fold_in(jax.random.key(run.seed), 2)
    bits = sorted({*config.delay_bits, max(config.bits)})
    rows = []
    with run.progress("write errors", len(config.error_scale)) as progress:
        for scale in config.error_scale:
            device = DeviceStatistics(
                first.device.r_low,
                first.device.r_high,
                GaussianError(scale),
                effects=first.device.effects,
            )
            devices = Hardware(device, first.mapping, bits=1, tile=first.tile)
            rows.append(
                accuracy_over_chips(model, devices, test, bits=bits, chips=config.chips, key=key)
            )
            progress.advance()
    return {"scale": np.array(config.error_scale), "bits": np.array(bits), "chips": np.stack(rows)}


def main_space(config) -> str:
    """The space of the metrics without a suffix: conductance, if there are tables of it."""
    return "G" if "G" in config.programming.spaces else config.programming.spaces[0]


# What is reported.


def report_accuracy(run, config, dataset, digital, results) -> int:
    """Accuracy against bits; return the fewest bits of the first mapping in conductance."""
    run.metric("accuracy_digital", digital, "test accuracy of the trained network")
    bits = config.bits
    needed, first = {}, config.mappings[0]
    main = (first, main_space(config))
    for (mapping, space), result in results.items():
        mean, std = result["chips"].mean(1), deviation(config, result["chips"])
        needed[mapping, space] = fewest_bits(bits, mean, digital)
        suffix = "" if (mapping, space) == main else f"_{mapping}_{space}"
        for b, m, s, i in zip(bits, mean, std, result["ideal"], strict=True):
            run.metric(f"accuracy_bits_{b}_mean{suffix}", m)
            run.metric(f"accuracy_bits_{b}_std{suffix}", s)
            run.metric(f"accuracy_bits_{b}_ideal{suffix}", i)
        run.metric(
            f"min_bits{suffix}",
            needed[mapping, space],
            "fewest bits within one point of the digital accuracy (0: none)",
        )
        run.metric(f"min_bits_ideal{suffix}", fewest_bits(bits, result["ideal"], digital))
    run.metric("parameters", aj.networks.parameter_count(
        config.network.build(input_shape=dataset.input_shape, classes=len(dataset.classes))
    ))  # fmt: skip
    curves = {
        f"{NAMES[mapping]} ({space})": (r["chips"], r["ideal"])
        for (mapping, space), r in results.items()
    }
    spaces = sorted({space for _, space in results})
    fig = aj.plotting.accuracy_against_bits(
        bits,
        [
            (
                f"levels linear in {space}",
                {k.rsplit(" (", 1)[0]: v for k, v in curves.items() if k.endswith(f"({space})")},
            )
            for space in spaces
        ],
        digital=digital,
    )
    best = results[main]
    value = needed[main]
    said = f"needs {value} bits" if value else f"does not come so close with {max(bits)} bits"
    depth = value or max(bits)
    run.summary(
        f"{config.network.name} on {dataset.name}: {100 * digital:.2f} % digital. Written into "
        f"devices ({NAMES[main[0]]}, levels linear in {main[1]}) it {said} per device to stay "
        f"within one point: {100 * best['chips'][bits.index(depth)].mean():.2f} % at {depth} bits, "
        f"mean of {config.chips} chips, seed {run.seed}."
    )
    run.section(
        "Accuracy against bits",
        "b bits are 2^b levels per device: a pair of devices then holds 2^(b+1) - 1 weights, zero "
        "among them; one device with an offset 2^b, zero not among them. The mappings were fixed "
        "beforehand; nothing was chosen on test images. Levels linear in resistance are assigned "
        "as if they were linear in conductance: their bend stays in the weights. "
        + config.hardware.describe(),
    )
    run.figure(
        "accuracy_bits",
        fig,
        "Test accuracy; circles and bars: mean and standard deviation over chips with write "
        "error, dashed: quantisation alone, grey line: digital, band: one point below it.",
    )
    rows = []
    for (mapping, space), r in results.items():
        rows.append(
            [f"{NAMES[mapping]} ({space})", needed[mapping, space] or "none"]
            + [
                f"{100 * m:.2f} ± {100 * s:.2f}"
                for m, s in zip(r["chips"].mean(1), deviation(config, r["chips"]), strict=True)
            ]
        )
        rows.append(
            ["... without write error", fewest_bits(bits, r["ideal"], digital) or "none"]
            + [f"{100 * v:.2f}" for v in r["ideal"]]
        )
    run.table(
        "Test accuracy [%]",
        ["mapping (levels linear in)", "bits needed", *[f"{b} b" for b in bits]],
        rows,
        f"Mean ± standard deviation over {config.chips} chips; digital {100 * digital:.2f} %.",
    )
    return needed[main]


def deviation(config, chips) -> np.ndarray:
    """Standard deviation over chips; without the round-off of chips that all agree."""
    return np.round(chips.std(1, ddof=min(1, config.chips - 1)), 12)


def report_levels(run, config, tables) -> None:
    """Where the write errors come from, and whether more levels can hurt."""
    finest = tables[max(tables, key=lambda k: k[0])]
    rows = []
    for (n, space), table in tables.items():
        f = describe(table)
        run.metric(f"random_error_window_{n}{space}", f["random_error_window"])
        rows.append(
            [
                f"{n} ({space})",
                f"{f['random_error_window']:.2e}",
                f"{f['random_error_pitches']:.3f}",
                f"{f['nonlinearity_rms']:.2e}",
                f.get("pulses_mean", "none"),
                f["levels_missed"],
            ]
        )
    what = (
        "Here s_abs is what tolerance and noise of a reading leave, the same for every n; a "
        "tolerance tied to the pitch would make it fall with n. (In the window the tolerance is "
        f"{config.programming.controller.tolerance:g} for every number of levels.)"
        if finest.pulsed
        else "Here s_abs is the measured scatter of programmed devices, the same for every n."
    )
    run.section(
        "Write error",
        f"Level tables of the full model of the device ({config.programming.device.describe()}; "
        f"{finest.repeats} repeats). {finest.controller} {finest.noise}\n\n"
        f"{DRAWN[config.error]} The variance of a weight is that of rounding plus s_abs squared: "
        f"while s_abs does not grow with n, more levels cannot hurt. {what}",
    )
    run.table(
        "Level tables",
        ["levels (linear in)", "s_abs [window]", "[pitch]", "nonlinearity rms [window]",
         "pulses a level", "missed"],
        rows,
    )  # fmt: skip
    if len({n for n, _ in tables}) > 1:
        space = min(s for _, s in tables)
        growth = [
            describe(tables[n, space])["random_error_window"] for n in config.programming.levels
        ]
        run.metric("s_abs_growth", growth[-1] / growth[0], "s_abs(largest n) / s_abs(smallest n)")


def report_error_scale(run, config, digital, errors) -> None:
    """How large the write error may be, the published index marked."""
    curves = {
        f"{b} bits": (errors["scale"], errors["chips"][:, column])
        for column, b in enumerate(errors["bits"])
    }
    for column, b in enumerate(errors["bits"]):
        for scale, chips in zip(errors["scale"], errors["chips"][:, column], strict=True):
            run.metric(f"accuracy_bits_{b}_error_{scale:g}", chips.mean())
    fig = aj.plotting.accuracy_against_error(
        curves, digital=digital, marked={"published index": PUBLISHED_INDEX}
    )
    run.section(
        "How large the write error may be",
        "Gaussian write errors instead of those of the tables. Marked is the published "
        f"nonlinearity index at 512 levels, {PUBLISHED_INDEX:g} of the window, taken for a "
        "standard deviation.",
    )
    run.figure("accuracy_error", fig, "Test accuracy against the standard deviation of writing.")


def report_delay(run, config, digital, later, forgetting) -> None:
    """Accuracy against the time between writing and reading."""
    curves = {}
    sets = [(config.programming, later, "")]
    if forgetting is not None:
        sets.append((config.contrast, forgetting, "contrast_"))
    for which, result, prefix in sets:
        for column, b in enumerate(result["bits"]):
            values = result["accuracy"][:, column]
            curves[f"{which.device.label}, {b} bits"] = (result["delays"], values)
            for t, value in zip(result["delays"], values.mean(1), strict=True):
                run.metric(f"{prefix}accuracy_bits_{b}_after_{t:g}s", value)
    fig = aj.plotting.accuracy_against_delay(curves, digital=digital)
    run.section(
        "Delay between writing and reading",
        "The same chips, each device moved to what its level read at that time. The isothermal "
        "film, where it is shown, follows the published dependence on amplitude but forgets.",
    )
    run.figure("accuracy_delay", fig, "Test accuracy against time; leftmost: at once.")


def report_cost(run, config, model, tables, needed) -> None:
    """Time and energy to write the network once."""
    bits = needed or max(config.bits)
    space = main_space(config)
    key = jax.random.key(run.seed)
    pulsed = all(table.pulsed for table in tables.values())
    rows = []
    for mapping in config.mappings:
        devices = hardware(config, tables, mapping, space, bits)
        chip = program_analog_weights(convert_to_analog(model, devices), key=key)
        if not pulsed:
            count = sum(c.levels.size for c in aj.networks.chips(chip).values())
            run.metric("devices", count)
            break
        fine = [n for n, s in tables if s == space and n >= 2**bits]
        n = min(fine, default=max(n for n, s in tables if s == space))
        cost = programming_cost(aj.networks.chips(chip), LevelCost.from_table(tables[n, space]))
        rows.append(
            [NAMES[mapping], cost.devices, cost.time_serial, cost.time_parallel, cost.energy]
        )
        if mapping == config.mappings[0]:
            run.metric("devices", cost.devices)
            run.metric("time_to_program_serial_s", cost.time_serial)
            run.metric("time_to_program_parallel_s", cost.time_parallel)
            run.metric("energy_to_program_J", cost.energy)
    if not pulsed:
        run.section("Cost of writing", f"{next(iter(tables.values())).controller}")
        return
    run.section(
        "Cost of writing",
        f"At {bits} bits, each device climbing the staircase of the table of {n} levels from the "
        "first one on. "
        "Serial: one device after another; parallel: a row of a layer at a time. Time and energy "
        "scale with the width of a pulse, which is assumed.",
    )
    run.table(
        "To program the network once",
        ["mapping", "devices", "time, serial [s]", "time, row by row [s]", "energy [J]"],
        rows,
    )


def write_results(run, config, results) -> None:
    """Labelled arrays."""
    names = [f"{m}_{s}" for m, s in results]
    dims = ("condition", "bits", "chip")
    run.dataset(
        "accuracy",
        xr.Dataset(
            {
                "chips": (dims, np.stack([r["chips"] for r in results.values()]), {"units": "1"}),
                "ideal": (
                    dims[:2],
                    np.stack([r["ideal"] for r in results.values()]),
                    {"units": "1"},
                ),
            },
            {"condition": names, "bits": ("bits", config.bits, {"units": "1"})},
        ),
    )
