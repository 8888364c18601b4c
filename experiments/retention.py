"""What retention does to accuracy: three networks, from a second to ten years after programming.

Every device of a chip is programmed at room temperature, kept at 300 or 358 K, and read at room
temperature. How a device moves depends on its level: the level tables of the device's own equations
say how far.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import jax
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax._checks import check_choice, check_whole
from analogjax.crossbar import Hardware, WeightMapping
from analogjax.data import DataConfig, Split
from analogjax.networks import NetworkConfig, accuracy_over_chips
from analogjax.programming import ProgrammingConfig, describe, level_tables
from analogjax.runs import RunFolder
from analogjax.training import TrainingConfig, accuracy, train_cached

YEAR = 31557600.0
MAPPING = WeightMapping("differential", "channel", "least_squares", space="G")


@dataclass
class Trained:
    """A network and what it learnt from."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class Config:
    """Networks, levels, temperatures."""

    mlp_mnist: Trained = field(default_factory=Trained)
    lenet5_fashion_mnist: Trained = field(default_factory=Trained)
    resnet34_caltech101: Trained = field(default_factory=Trained)
    networks: list[str] = field(
        default_factory=lambda: ["mlp_mnist", "lenet5_fashion_mnist", "resnet34_caltech101"]
    )
    """Which of the three."""
    programming: ProgrammingConfig = field(
        default_factory=lambda: ProgrammingConfig(
            delays=[1.0, 3600.0, 86400.0, YEAR, 10 * YEAR], spaces=["G"], levels=[128]
        )
    )
    temperatures: list[float] = field(default_factory=lambda: [300.0, 358.0])
    """At which the chips are kept [K]."""
    bits: int = 6
    """Bits per device."""
    chips: int = 3
    images: int | None = None
    """Test images used; null for all."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in self.networks:
            check_choice("networks", name, [f.name for f in dataclasses.fields(self)][:3])
        for name in ("bits", "chips"):
            check_whole(name, getattr(self, name))
        if self.programming.spaces != ["G"]:
            raise ValueError(
                f"Argument `programming.spaces` must be [G], but is {self.programming.spaces}."
            )


def run(config: Config, run: RunFolder) -> None:
    """Program levels and wait; put networks into them; report."""
    tables = {T: level_tables_at(config, run, T) for T in config.temperatures}
    found = {
        name: run.stage(name, lambda name=name: against_time(config, run, name, tables))
        for name in config.networks
    }
    report(config, run, tables, found)


# What is computed.


def level_tables_at(config: Config, run: RunFolder, temperature: float) -> list:
    """Levels written and read at room temperature, and kept at another one in between."""
    kept = dataclasses.replace(config.programming, storage_temperature=temperature)
    return list(level_tables(kept, run, name=f"levels_{temperature:g}K").values())


def against_time(config: Config, run: RunFolder, name: str, tables: dict) -> dict:
    """Accuracy of the same chips at once and after each delay, at each temperature."""
    chosen = getattr(config, name)
    dataset = chosen.data.load()
    test = Split(dataset.test.x[: config.images], dataset.test.y[: config.images])
    model = train_cached(
        chosen.network, dataset, chosen.training, seed=run.seed,
        checkpoints=run.path / f"checkpoints_{name}", progress=run.progress, log=run.log,
    ).model  # fmt: skip
    times = [0.0, *config.programming.delays]
    key = jax.random.fold_in(jax.random.key(run.seed), 1)
    rows = []
    with run.progress(name, len(tables) * len(times)) as progress:
        for made in tables.values():
            hardware = Hardware.from_tables(made, bits=config.bits, mapping=MAPPING)
            for t in times:
                # One compiled program for all times and temperatures.
                rows.append(
                    accuracy_over_chips(
                        model, hardware, test, bits=[config.bits], chips=config.chips, key=key, t=t
                    )[0]
                )
                progress.advance()
    return {
        "digital": np.array(accuracy(model, test)),
        "parameters": np.array(aj.networks.parameter_count(model)),
        "chips": np.reshape(rows, (len(tables), len(times), config.chips)),
    }


# What is reported.


def report(config: Config, run: RunFolder, tables: dict, found: dict) -> None:
    """Accuracy against time at each temperature, and the errors of the levels behind it."""
    times = np.array([0.0, *config.programming.delays])
    lines, rows = {}, []
    for name, result in found.items():
        digital = float(result["digital"])
        run.metric(f"{name}_accuracy_digital", digital)
        for T, chips in zip(config.temperatures, result["chips"], strict=True):
            for t, value in zip(times, chips.mean(1), strict=True):
                run.metric(f"{name}_accuracy_{T:g}K_after_{t:g}s", value)
            rows.append(
                [name, f"{T:g}", f"{100 * digital:.2f}"]
                + [
                    f"{100 * c.mean():.2f} ± {100 * c.std(ddof=min(1, c.size - 1)):.2f}"
                    for c in chips
                ]
            )
            lines[f"{name}, {T:g} K"] = (times, chips - digital)
    error_rows = []
    for T, made in tables.items():
        table = made[-1]
        rms = [
            (table.n_levels - 1) * np.sqrt(np.nanmean(table.errors_after(t) ** 2))
            for t in config.programming.delays
        ]
        for t, value in zip(config.programming.delays, rms, strict=True):
            run.metric(f"level_error_pitches_{T:g}K_after_{t:g}s", value)
        error_rows.append([f"{T:g}", *[f"{v:.3g}" for v in rms]])
    last = {name: result["chips"][-1, -1].mean() for name, result in found.items()}
    run.summary(
        f"Kept for {times[-1] / YEAR:.3g} years at {config.temperatures[-1]:g} K, with "
        f"{config.bits} bits a device: "
        + "; ".join(
            f"{name} {100 * last[name]:.2f} % (at once "
            f"{100 * found[name]['chips'][-1, 0].mean():.2f}, digital "
            f"{100 * float(found[name]['digital']):.2f})"
            for name in found
        )
        + f". {config.chips} chips, seed {run.seed}."
    )
    device = config.programming.device
    run.section(
        "Accuracy against time",
        f"{device.describe()}: written and read at room temperature, kept at the temperature "
        "named. Each device moves as its level did in the level table; pairs of devices, scaled "
        "by channel for the smallest squared error. Nothing is compensated, and nothing but the "
        "device drifts.",
    )
    headers = ["network", "kept at [K]", "digital", "at once", *(_time(t) for t in times[1:])]
    run.table(f"Test accuracy [%], mean and spread of {config.chips} chips", headers, rows)
    run.figure("accuracy_time", _figure(lines), "Change of accuracy against the digital network.")
    run.section(
        "Errors of the levels",
        f"rms error in pitches of {tables[config.temperatures[0]][-1].n_levels} levels when read "
        f"again, with the noise of a read. {describe_window(tables)}",
    )
    run.table("Level errors [pitch]", ["kept at [K]", *headers[4:]], error_rows)
    run.dataset(
        "retention",
        xr.Dataset(
            {
                name: (("temperature", "time", "chip"), result["chips"], {"units": "1"})
                for name, result in found.items()
            },
            {
                "temperature": ("temperature", config.temperatures, {"units": "K"}),
                "time": ("time", times, {"units": "s"}),
            },
        ),
    )


def describe_window(tables: dict) -> str:
    """The random write error of the finest table, in one sentence."""
    first = next(iter(tables.values()))[-1]
    return (
        f"At writing the random error is {describe(first)['random_error_window']:.2e} of the "
        "window."
    )


def _time(t: float) -> str:
    for unit, size in (("y", YEAR), ("d", 86400.0), ("h", 3600.0)):
        if t >= size:
            return f"{t / size:.3g} {unit}"
    return f"{t:g} s"


def _figure(lines: dict):
    fig, axis = aj.plotting.figure(width=5.6, height=3.6)
    for label, (times, lost) in lines.items():
        spread = lost.std(1, ddof=min(1, lost.shape[1] - 1))
        shown = np.where(times > 0, times, times[1] / 10)
        style = "--" if label.endswith("358 K") else "-"
        axis.errorbar(shown, 100 * lost.mean(1), 100 * spread, fmt="o", ls=style, ms=3, label=label)
    axis.axhline(-1, color="k", lw=0.8, ls=":")
    axis.set(
        xscale="log", xlabel="time since programming [s] (first: at once)",
        ylabel="change of accuracy [points]",
    )  # fmt: skip
    axis.legend()
    return fig
