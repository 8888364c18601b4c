"""Train a network through the exact resistance of the wires of its arrays.

Long wires and cells of low resistance leave little of the current of far cells, and a network that
was trained digitally loses some of what it learnt when it is written into such arrays. Here the
gradient passes through the solution of every array's circuit: the same network is trained on
through it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from flax import nnx

import analogjax as aj
from analogjax._checks import check_whole
from analogjax.crossbar import (
    Arrays,
    CurrentDomain,
    DeviceStatistics,
    GaussianError,
    Hardware,
    Tile,
    WeightMapping,
    Wires,
    effective_conductance,
    hold,
)
from analogjax.data import DataConfig, Split, to_float
from analogjax.networks import (
    NetworkConfig,
    TileParam,
    analog_layers,
    convert_to_analog,
    keep_arrays,
)
from analogjax.runs import RunFolder, from_arrays, to_arrays
from analogjax.training import (
    AnalogTraining,
    NoiseInjection,
    Precise,
    TrainingConfig,
    accuracy,
    tune_in_run,
)

MAPPING = WeightMapping("differential", "layer", "max", space="G")
"""One full scale for a layer: cells lie lower in their window than with one per channel."""

NAMES = {
    "digital": "digital",
    "transferred": "written, as it is",
    "noise": "trained with noise, written",
    "wires": "exact gradient",
    "shares": "shares held between solutions",
    "without_wires": "exact gradient, read without wires",
}

CHOSEN = ("wires", "shares")
"""Evaluated on validation images, too: to choose their settings by."""


@dataclass
class Config:
    """Data, network, arrays, and the training through them."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Of the digital network, from which the training through wires starts."""
    r_low: float = 1e3
    """Lowest resistance of a cell [ohm]."""
    r_high: float = 40e3
    """Highest resistance of a cell [ohm]."""
    r_wire: float = 2.0
    """Resistance of a segment of word line and bit line [ohm]."""
    side: int = 128
    """Most word lines and bit lines of an array."""
    steps: int = 50
    """Steps through wires."""
    batch: int = 1024
    """Inputs per step: the wires are solved once, whatever the batch."""
    learning_rate: float = 3e-3
    """Largest learning rate."""
    rounds: int = 12
    """Solutions of the wires in the training that holds each cell's share in between."""
    round_steps: int = 100
    """Its steps between two solutions."""
    noise: float = 0.05
    """Gaussian error of a device [window] in the training with noise, anew at every step."""
    noise_steps: int = 200
    """Steps with noise."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("side", "steps", "batch", "rounds", "round_steps", "noise_steps"):
            check_whole(name, getattr(self, name))


def run(config: Config, run: RunFolder) -> None:
    """Train digitally, write, train through wires, report."""
    dataset = config.data.load()
    aj.training.check_data(dataset, config.training)
    digital, reached = aj.training.train_in_run(run, config.network, dataset, config.training)
    written = convert_to_analog(digital, hardware(config))
    wires = training(config, run, written, dataset.train)
    noise = training(config, run, noisy(config, digital), dataset.train, with_noise=True)
    tuned = timed(run, "wires", lambda: tune_in_run(run, "wires", wires))
    tuned_noise = timed(run, "noise", lambda: tune_in_run(run, "noise", noise))
    models = {
        "transferred": written,
        "noise": rewired(written, nnx.state(noise.model(tuned_noise), nnx.Param)),
        "wires": wires.model(tuned),
        "shares": timed(run, "shares", lambda: alternate(config, run, written, dataset.train)),
    }
    found = run.stage("accuracy", lambda: accuracies(run, digital, models, dataset))
    found["digital"] = np.asarray(reached)
    for name in CHOSEN:
        run.metric(f"accuracy_{name}_validation", float(found[f"{name}_validation"]))
    maps = run.stage("maps", lambda: first_array(config, written, models["wires"]))
    report(config, run, dataset, found, tuned, tuned_noise, maps)


# What is computed.


def hardware(config) -> Hardware:
    """Cells without errors and levels in arrays of which the wires alone are real."""
    wires = Wires(config.r_wire, config.r_wire)
    tile = Tile(CurrentDomain(wires=wires), rows=config.side, columns=config.side)
    return Hardware(DeviceStatistics(config.r_low, config.r_high), MAPPING, bits=None, tile=tile)


def noisy(config, digital):
    """The network on devices with Gaussian errors, without wires."""
    device = DeviceStatistics(config.r_low, config.r_high, GaussianError(config.noise, space="G"))
    return convert_to_analog(digital, Hardware(device, MAPPING, bits=None))


def training(config, run, analog, train: Split, *, with_noise: bool = False) -> AnalogTraining:
    """The same training through wires and with noise."""
    return AnalogTraining(
        analog,
        train,
        steps=config.noise_steps if with_noise else config.steps,
        batch=min(config.batch, len(train.y)),
        learning_rate=config.learning_rate,
        family=NoiseInjection() if with_noise else Precise(),
        seed=run.seed,
    )


def timed(run, name, train):
    """What a training returns; its processor time (little, where it is read back) is logged."""
    before = time.process_time()
    trained = train()
    run.log(f"{name}: {(time.process_time() - before) / 60:.1f} min of processor")
    return trained


def rewired(analog, weights):
    """The analog model with other weights."""
    new = nnx.clone(analog)
    nnx.update(new, weights)
    return new


def solved(analog, dtype):
    """The model with its wires solved once in this float type."""
    new = nnx.clone(analog)
    for layer in analog_layers(new).values():
        held = hold(
            None, layer.device.get_value(), mapping=layer.mapping, weights=layer.kernel[...]
        )
        g_min, g_max = layer.device.get_value().window
        g = g_min + (g_max - g_min) * held.fractions
        prepared = jax.jit(lambda tile, g: tile.prepare(g))(layer.tile.get_value(), g.astype(dtype))
        prepared = jax.tree.map(lambda x: x.astype(jnp.float32), prepared)
        layer.arrays.set_value(Arrays(None, prepared, held.scale, None, layer.kernel.shape))
    return new


def accuracies(run, digital, models, dataset) -> dict:
    """Test accuracy of every network through its wires, and of the trained one otherwise."""
    found, test = {}, dataset.test
    with run.progress("evaluation", len(models) + 2) as progress:
        for name, model in models.items():
            kept = keep_arrays(model)
            found[name] = accuracy(kept, test)
            if name in CHOSEN:
                found[f"{name}_validation"] = accuracy(kept, dataset.validation)
            progress.advance()
        without = rewired(digital, nnx.state(models["wires"], nnx.Param))
        found["without_wires"] = accuracy(without, test)
        progress.advance()
        if jax.config.jax_enable_x64:
            found["wires_float64"] = accuracy(solved(models["wires"], jnp.float64), test)
        progress.advance()
    return found


def alternate(config, run, analog, train: Split):
    """The model trained on linearised wires: solved once a round, each cell's share held between.

    ``G_eff(g) = G_eff(g_0) + (G_eff(g_0) / g_0) (g - g_0)``, exact at ``g_0``, the conductances of
    the last solution; the current that cells take from one another is held, too.
    """
    graph, weights, other = nnx.split(analog, nnx.Param, ...)
    side, wires = config.side, hardware(config).tile.domain.wires
    exact = Tile(CurrentDomain(wires=wires, subtract="digital"), side, side)
    plain = Tile(_Uncut(subtract="digital"), side, side)

    def cells(layer):
        device = layer.device.get_value()
        held = hold(None, device, mapping=layer.mapping, weights=layer.kernel[...])
        g_min, g_max = device.window
        return g_min + (g_max - g_min) * held.fractions, held.scale

    @jax.jit
    def solve(weights):
        model = nnx.merge(graph, weights, other, copy=True)
        each = {name: cells(layer)[0] for name, layer in analog_layers(model).items()}
        return {name: (plain.prepare(g).g, exact.prepare(g).g) for name, g in each.items()}

    def answers(weights, known, x):
        model = nnx.merge(graph, weights, other, copy=True)
        tile = TileParam(exact)
        for name, layer in analog_layers(model).items():
            (g, scale), (before, seen) = cells(layer), known[name]
            now = plain.prepare(g)
            share = jnp.where(before > 0, seen / jnp.where(before > 0, before, 1.0), 0.0)
            prepared = eqx.tree_at(lambda a: a.g, now, seen + share * (now.g - before))
            layer.arrays.set_value(Arrays(None, prepared, scale, None, layer.kernel.shape))
            layer.tile = tile
        return model(to_float(x))

    steps, size = config.round_steps, min(256, len(train.y))
    schedule = optax.cosine_decay_schedule(1.5e-3, config.rounds * steps)
    optimiser = optax.adam(lambda count: schedule(jnp.asarray(count, jnp.float32)))
    x, y = jnp.asarray(train.x), jnp.asarray(train.y, jnp.int32)
    batches = np.random.default_rng(run.seed).integers(0, len(y), (config.rounds, steps, size))

    @jax.jit
    def step(weights, moments, known, chosen):
        def loss(weights):
            logits = answers(weights, known, x[chosen])
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[chosen]).mean()

        updates, moments = optimiser.update(jax.grad(loss)(weights), moments, weights)
        return optax.apply_updates(weights, updates), moments

    def advance(state):
        weights, moments, done = state
        known = solve(weights)
        for chosen in batches[int(done)]:
            weights, moments = step(weights, moments, known, jnp.asarray(chosen))
        return weights, moments, done + 1

    def compute():
        start = (weights, optimiser.init(weights), jnp.zeros((), jnp.int32))
        trained, _, _ = run.portions(
            "shares", lambda: start, advance, lambda state: int(state[2]), config.rounds
        )
        return to_arrays(trained)

    return rewired(analog, from_arrays(run.stage("shares", compute), weights))


class _Uncut(CurrentDomain):
    """Without wires, but cut as if there were some."""

    @property
    def outputs_apart(self) -> bool:
        """As with wires."""
        return False


def first_array(config, before, after) -> dict:
    """Conductances of one array of the first layer, and what its wires leave of them."""
    maps = {}
    for name, model in {"before": before, "after": after}.items():
        layer = next(iter(v for k, v in analog_layers(model).items() if k.startswith("hidden")))
        device, tile = layer.device.get_value(), layer.tile.get_value()
        held = hold(None, device, mapping=layer.mapping, weights=layer.kernel[...])
        g_min, g_max = device.window
        g = g_min + (g_max - g_min) * held.fractions
        layout = tile.layout(*layer.kernel.shape, 2)
        # In the middle of the image, where the inputs are not dark.
        cells = layout.cut(g)[layout.grid[0] // 2, 0]
        g = cells.reshape(cells.shape[0], -1)
        seen = effective_conductance(g, **tile.domain.wires.options(g.dtype))
        maps[f"g_{name}"], maps[f"left_{name}"] = g, seen / g
        maps[f"share_{name}"] = jnp.sum(seen) / jnp.sum(g)
    return maps


# What is reported.


def report(config, run, dataset, found, tuned, tuned_noise, maps) -> None:
    """Accuracy, learning, and what the wires leave."""
    values = {name: float(found[name]) for name in NAMES}
    for name, value in values.items():
        run.metric(f"accuracy_{name}", value, NAMES[name])
    if "wires_float64" in found:
        value = float(found["wires_float64"])
        run.metric("accuracy_wires_float64", value, "wires solved in float64")
    for name in ("before", "after"):
        run.metric(
            f"current_left_{name}", float(maps[f"share_{name}"]), "of one array, all lines at 1 V"
        )
    sizes = " - ".join(str(n) for n in (np.prod(dataset.input_shape), *_widths(config), 10))
    run.section(
        "Arrays",
        f"{config.network.name} {sizes} on {dataset.name} in pairs of cells of {config.r_low:g} to "
        f"{config.r_high:g} ohm, in arrays of at most {config.side} x {config.side} with "
        f"{config.r_wire:g} ohm a segment of every line. Wires are solved exactly; drivers, "
        "amplifiers and converters are ideal, and the scale of a layer is digital.",
    )
    run.figure("accuracy", _bars(values), "Test accuracy.")
    double = found.get("wires_float64")
    said = (
        ""
        if double is None
        else f" Solved in float64 the same weights give {100 * float(double):.2f} %: the "
        "error of the solver in float32, in which the network is trained, does not matter."
        if abs(float(double) - values["wires"]) < 1e-3
        else f" Solved in float64 the same weights give {100 * float(double):.2f} %."
    )
    run.section(
        "What the network has learnt",
        f"Read without wires, the weights that were trained through them give "
        f"{100 * values['without_wires']:.2f} %.{said} Training with Gaussian noise on the weights "
        f"instead ({config.noise:g} of the window, {config.noise_steps} steps, no wires) and "
        f"writing the result gives {100 * values['noise']:.2f} %, "
        f"{100 * (values['noise'] - values['wires']):+.2f} points. (arXiv:2506.00004 reports that "
        "training with noise does not prepare a network for wires; whether it does here depends on "
        "how much they take, and on the numbers of steps, which differ.)",
    )
    run.figure("learning", _learning(tuned.loss), "Cross-entropy of each step's batch.")
    run.figure(
        "array",
        _maps(maps),
        "One array of the first layer. Above: conductances; below: the share of a cell's current "
        "that the sense amplifier sees when its word line alone is driven. Drivers are at the "
        "left, amplifiers below.",
    )
    run.summary(
        f"{config.network.name} {sizes} on {dataset.name}: {100 * values['digital']:.2f} % "
        f"digital, {100 * values['transferred']:.2f} % when written into arrays of which the wires "
        f"leave {100 * float(maps['share_before']):.0f} % of the current, "
        f"{100 * values['wires']:.2f} % after {config.steps} steps of exact gradient, "
        f"{100 * values['shares']:.2f} % after {config.rounds} exact solutions with "
        f"{config.round_steps} steps between two, in which each cell's share is held. All are "
        "evaluated through the exact wires."
    )
    run.dataset(
        "learning",
        xr.Dataset(
            {
                "loss": ("step", tuned.loss, {"units": "nat"}),
                "loss_noise": ("step_noise", tuned_noise.loss, {"units": "nat"}),
            }
        ),
    )


def _widths(config) -> tuple[int, ...]:
    hidden = config.network.options.get("hidden", 256)
    return (hidden,) if isinstance(hidden, int) else tuple(hidden)


def _bars(values):
    fig, axis = aj.plotting.figure(width=6.2, height=2.6)
    names = list(NAMES)[::-1]
    axis.barh(
        [NAMES[n] for n in names],
        [100 * values[n] for n in names],
        color=[aj.plotting.COLORS[1 if n == "wires" else 0] for n in names],
    )
    for row, name in enumerate(names):
        axis.annotate(
            f"{100 * values[name]:.2f}", (100 * values[name], row), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    axis.set_xlim(0, 108)
    axis.set_xlabel("test accuracy (%)")
    axis.grid(axis="y", visible=False)
    return fig


def _learning(loss):
    fig, axis = aj.plotting.figure(width=5.4)
    axis.plot(np.arange(1, len(loss) + 1), loss)
    axis.set_yscale("log")
    axis.set_xlabel("step through wires")
    axis.set_ylabel("cross-entropy (nat)")
    return fig


def _maps(maps):
    fig, axes = aj.plotting.figure(2, 2, width=4.0, height=3.2)
    for column, name in enumerate(("before", "after")):
        for axis, key, scale, label, top in (
            (axes[0, column], "g", 1e6, "conductance (uS)", None),
            (axes[1, column], "left", 1.0, "share of the current", 1.0),
        ):
            # Of linear size, so that few cells of high conductance do not hide the rest.
            values = scale * maps[f"{key}_{name}"]
            high = np.quantile(maps["g_before"] * scale, 0.99) if top is None else top
            image = axis.imshow(values, aspect="auto", vmin=0.0, vmax=high)
            axis.grid(visible=False)
            axis.set_title(f"{'digital' if name == 'before' else 'trained through wires'}")
            axis.set_xlabel("bit line")
            axis.set_ylabel("word line")
            fig.colorbar(image, ax=axis, label=label)
    return fig
