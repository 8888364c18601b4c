"""Errors of devices against the depth of a network: the same images, the same width, more layers.

The networks of the published comparison differ in depth, but in images and kind, too. Here residual
networks of one width learn one set of images; only the number of blocks changes. Written into
devices, how much of the signal is left after every layer, and how many bits are needed?
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx

import analogjax as aj
from analogjax._checks import check_choice, check_whole
from analogjax.crossbar import Hardware, WeightMapping
from analogjax.data import DataConfig, Dataset, Split, to_float
from analogjax.networks import (
    NetworkConfig,
    analog_layers,
    chip_keys,
    convert_to_analog,
    fewest_bits,
    layer_name,
    program_analog_weights,
    transfer_accuracy,
)
from analogjax.programming import ProgrammingConfig, level_tables
from analogjax.runs import RunFolder
from analogjax.training import TrainingConfig, train_cached

MAPPINGS = {
    "pair": WeightMapping("differential", "channel", "least_squares", space="G"),
    "offset": WeightMapping("offset", "layer", "max", space="G"),
}


@dataclass
class Config:
    """Data, networks, recipe, levels."""

    data: DataConfig = field(default_factory=DataConfig)
    blocks: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16])
    """Residual blocks of each network: it has two layers a block, and two more."""
    width: int = 32
    """Channels of every layer."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    train_images: int | None = None
    """Images to train on; null for all."""
    programming: ProgrammingConfig = field(default_factory=ProgrammingConfig)
    bits: list[int] = field(default_factory=lambda: list(range(1, 9)))
    """Bits per device."""
    mapping: str = "pair"
    """`pair` (least squares, per channel) or `offset` (one device, per layer, maximum)."""
    seeds: int = 2
    """Networks of each depth."""
    chips: int = 3
    """Chips that each is written into."""
    images: int | None = None
    """Test images used; null for all."""
    signal_images: int = 256
    """Test images of the signal-to-noise ratio."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        check_choice("mapping", self.mapping, MAPPINGS)
        for name in ("width", "seeds", "chips", "signal_images"):
            check_whole(name, getattr(self, name))
        for name in ("blocks", "bits"):
            if not getattr(self, name):
                raise ValueError(f"Argument `{name}` must name at least one, but is empty.")
            for value in getattr(self, name):
                check_whole(name, value)


def run(config: Config, run: RunFolder) -> None:
    """Make levels; train, write and compare the networks; report."""
    dataset = some_of(config.data.load(), config.train_images)
    test = Split(dataset.test.x[: config.images], dataset.test.y[: config.images])
    tables = list(level_tables(config.programming, run).values())
    found = {}
    for blocks in config.blocks:
        for seed in range(run.seed, run.seed + config.seeds):
            found[blocks, seed] = run.stage(
                f"blocks_{blocks}_seed_{seed}",
                lambda n=blocks, s=seed: one_network(config, run, dataset, test, tables, n, s),
            )
    report(config, run, dataset, found)


# What is computed.


def some_of(dataset: Dataset, count: int | None) -> Dataset:
    """The data with fewer images to train on."""
    train = Split(dataset.train.x[:count], dataset.train.y[:count])
    return dataclasses.replace(dataset, train=train)


def network(config, blocks: int) -> NetworkConfig:
    """A stem, blocks of one width, a head: ``2 blocks + 2`` layers."""
    return NetworkConfig("resnet", {"blocks": [blocks], "widths": [config.width]})


def one_network(config, run, dataset, test, tables, blocks: int, seed: int) -> dict:
    """Train a network; accuracy over bits and chips, signal-to-noise ratio after every layer."""
    trained = train_cached(
        network(config, blocks), dataset, config.training, seed=seed,
        checkpoints=run.path / f"checkpoints_{blocks}_{seed}", progress=run.progress, log=run.log,
    )  # fmt: skip
    model = trained.model
    hardware = Hardware.from_tables(
        tables, bits=config.bits[0], mapping=MAPPINGS[config.mapping], error="gaussian"
    )
    key = jax.random.fold_in(jax.random.key(seed), 1)
    accuracy = transfer_accuracy(
        model, hardware, test, bits=config.bits, chips=config.chips, key=key
    )
    some = jnp.asarray(test.x[: config.signal_images])
    signal = {
        kind: np.array([signal_to_noise(config, model, devices, b, key, some) for b in config.bits])
        for kind, devices in {"ideal": hardware.ideal(), "written": hardware}.items()
    }
    return {
        "digital": np.array(aj.training.accuracy(model, test)),
        "parameters": np.array(aj.networks.parameter_count(model)),
        "ideal": accuracy["ideal"],
        "chips": accuracy["chips"],
        "signal_ideal": signal["ideal"],
        "signal_written": signal["written"],
    }


def signal_to_noise(config, model, hardware, bits: int, key, images) -> np.ndarray:
    """Mean square of what leaves every layer over that of its error, on one chip."""
    devices = Hardware(hardware.device, hardware.mapping, bits=bits)
    analog = program_analog_weights(convert_to_analog(model, devices), key=chip_keys(key, 1)[0])
    held = {name: layer.weights() for name, layer in analog_layers(analog).items()}
    graph, state = nnx.split(model)
    written = nnx.from_flat_state(
        [
            (path, v.replace(held[layer_name(path[:-1])]) if path[-1] == "kernel" else v)
            for path, v in nnx.to_flat_state(state)
        ]
    )
    return np.asarray(_ratio(graph, state, written, images))


@partial(jax.jit, static_argnums=0)
def _ratio(graph, state, written, images):
    """Power of the signal over that of the error, after the stem, every block and the head."""
    x = to_float(images)
    pairs = zip(
        nnx.merge(graph, state).activations(x), nnx.merge(graph, written).activations(x),
        strict=True,
    )  # fmt: skip
    return jnp.stack([jnp.mean(a**2) / jnp.mean((b - a) ** 2) for a, b in pairs])


# What is reported.


def report(config, run, dataset, found) -> None:
    """Signal-to-noise ratio through the networks, bits needed against depth."""
    seeds = sorted({seed for _, seed in found})
    layers = np.array([2 * blocks + 2 for blocks in config.blocks])
    of = {b: [found[b, seed] for seed in seeds] for b in config.blocks}
    digital = np.array([[float(r["digital"]) for r in of[b]] for b in config.blocks])
    chips = np.stack([[r["chips"] for r in of[b]] for b in config.blocks])
    ideal = np.stack([[r["ideal"] for r in of[b]] for b in config.blocks])
    needed = np.array(
        [
            [fewest_bits(config.bits, c.mean(1), d) for c, d in zip(cs, ds, strict=True)]
            for cs, ds in zip(chips, digital, strict=True)
        ]
    )
    # Of the last activations before the head, in decibel; geometric mean over networks.
    at_end = np.array(
        [np.mean([_decibel(r["signal_written"][:, -2]) for r in of[b]], 0) for b in config.blocks]
    )
    middle = config.bits.index(min(config.bits, key=lambda b: abs(b - 4)))
    shown = config.bits[middle]
    slope, _ = np.polyfit(np.log10(layers), at_end[:, middle], 1) if len(layers) > 1 else (0.0, 0)
    rows = []
    for k, (blocks, n) in enumerate(zip(config.blocks, layers, strict=True)):
        run.metric(f"accuracy_digital_layers_{n}", digital[k].mean())
        run.metric(f"min_bits_layers_{n}", needed[k].mean(), "0: none of them is enough")
        run.metric(f"parameters_layers_{n}", int(of[blocks][0]["parameters"]))
        for b, value in zip(config.bits, at_end[k], strict=True):
            run.metric(f"signal_to_noise_dB_layers_{n}_bits_{b}", value)
        for b, value in zip(config.bits, chips[k].mean((0, 2)), strict=True):
            run.metric(f"accuracy_layers_{n}_bits_{b}", value)
        rows.append(
            [n, int(of[blocks][0]["parameters"]), f"{100 * digital[k].mean():.2f}",
             ", ".join(str(v or "none") for v in needed[k]), f"{at_end[k, middle]:.1f}"]
            + [f"{100 * v:.2f}" for v in chips[k].mean((0, 2))]
        )  # fmt: skip
    run.metric(
        "signal_to_noise_dB_per_decade_of_layers", slope, f"at {shown} bits; -10: errors add up"
    )
    run.summary(
        f"Residual networks of {layers.min()} to {layers.max()} layers of {config.width} channels "
        f"on {dataset.name}: from {needed[0].mean():.1f} to {needed[-1].mean():.1f} bits a device "
        f"to stay within one point of the digital accuracy (means over {len(seeds)} networks). At "
        f"{shown} bits the ratio of signal to noise before the head changes by {slope:.1f} dB per "
        "decade of layers (-10 where errors of the layers are independent and simply add up)."
    )
    run.section(
        "What is compared",
        f"One stem, blocks of two convolutions of {config.width} channels, one head; only the "
        f"number of blocks changes. {len(dataset.train.y):,} images of {dataset.name} to train "
        f"on, the same recipe for all, {len(seeds)} networks of each depth, each written into "
        f"{config.chips} chips with Gaussian write errors as large as those of the level table "
        f"(mapping: {config.mapping}). Batch normalisation stays digital, with the statistics of "
        "the digital network.",
    )
    run.table(
        "Test accuracy [%] by bits per device, mean over networks and chips",
        ["layers", "parameters", "digital", "bits needed", f"SNR at {shown} b [dB]",
         *[f"{b} b" for b in config.bits]],
        rows,
    )  # fmt: skip
    run.figure("signal_to_noise", _ratio_figure(config, layers, of, middle), _RATIO_CAPTION)
    run.figure("bits_needed", _bits_figure(config, layers, digital, chips, needed), _BITS_CAPTION)
    dims = ("layers", "seed", "bits")
    run.dataset(
        "depth",
        xr.Dataset(
            {
                "chips": ((*dims, "chip"), chips, {"units": "1"}),
                "ideal": (dims, ideal, {"units": "1"}),
                "digital": (dims[:2], digital, {"units": "1"}),
                "needed": (dims[:2], needed, {"units": "bit"}),
            },
            {
                "layers": ("layers", layers, {"units": "1"}),
                "seed": ("seed", seeds, {"units": "1"}),
                "bits": ("bits", config.bits, {"units": "bit"}),
            },
        ),
    )


_RATIO_CAPTION = (
    "Ratio of signal to noise after the stem, every block and the head (last point), one chip of "
    "each network, geometric mean over networks. Dashed: quantisation alone."
)
_BITS_CAPTION = (
    "Left: what is lost against the digital network; bars: standard deviation over networks and "
    "chips. Right: fewest bits within one point, every network (0: none is enough)."
)


def _decibel(ratio: np.ndarray) -> np.ndarray:
    return 10 * np.log10(ratio)


def _ratio_figure(config, layers, of, middle: int):
    fig, axis = aj.plotting.figure(width=5.2, height=3.4)
    for blocks, n in zip(config.blocks, layers, strict=True):
        curve = {
            kind: np.mean([_decibel(r[f"signal_{kind}"][middle]) for r in of[blocks]], 0)
            for kind in ("written", "ideal")
        }
        place = np.concatenate([[1], 1 + 2 * np.arange(1, blocks + 1), [n]])
        (line,) = axis.plot(place, curve["written"], "o-", ms=3, label=f"{n} layers")
        axis.plot(place, curve["ideal"], "--", lw=1, color=line.get_color())
    axis.set(xscale="log", xlabel="layer", ylabel="signal / noise [dB]")
    axis.set_title(f"{config.bits[middle]} bits per device")
    axis.legend()
    return fig


def _bits_figure(config, layers, digital, chips, needed):
    fig, (left, right) = aj.plotting.figure(1, 2, width=4.4)
    lost = 100 * (chips - digital[:, :, None, None])
    for n, values in zip(layers, lost, strict=True):
        flat = np.moveaxis(values, 1, 0).reshape(len(config.bits), -1)
        spread = flat.std(1, ddof=min(1, flat.shape[1] - 1))
        left.errorbar(config.bits, flat.mean(1), spread, fmt="o-", ms=3, label=f"{n} layers")
    left.axhline(-1, color="k", lw=0.8, ls=":")
    left.set(xlabel="bits per device", ylabel="change of accuracy [points]", ylim=(-12, 1))
    left.legend()
    for column in range(needed.shape[1]):
        right.plot(layers, needed[:, column], "o-", ms=4, alpha=0.7)
    right.set(xscale="log", xlabel="layers", ylabel="bits needed", ylim=(0, max(config.bits)))
    return fig
