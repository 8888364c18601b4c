"""IR drop: where the voltage goes in an array, and what is left of the product.

An array is solved with its wires, driven at one end of its word lines or at both, for sizes, wire
resistances and technology nodes. Cells are ohmic, or follow a hyperbolic sine for comparison. What
a ladder's closed form says of one bit line is drawn over the simulation.

A small network, written into such arrays as it was trained, shows what wires cost its accuracy;
what training through them wins back is shown by `mnist_through_wires`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.crossbar import CurrentDomain, DeviceStatistics, Hardware, Tile, WeightMapping, Wires
from analogjax.data import DataConfig
from analogjax.networks import NetworkConfig, convert_to_analog, keep_arrays
from analogjax.runs import RunFolder
from analogjax.training import TrainingConfig

DRIVES = {"left": "driven at one end", "both": "driven at both ends"}

NODES = {
    "130 nm": (0.314, 0.943),
    "65 nm": (0.601, 1.80),
    "45 nm": (0.974, 2.92),
    "32 nm": (1.47, 4.40),
    "22 nm": (2.12, 6.36),
    "14 nm": (4.06, 12.2),
    "7 nm": (7.06, 21.2),
}
"""Resistance of a word line's and a bit line's segment [ohm]: NeuroSim's resistivity and aspect
ratio of a node's wires, times a 1T1R cell of 4F along word lines and 12F along bit lines."""


@dataclass
class Config:
    """Arrays and what drives them."""

    sizes: list[int] = field(default_factory=lambda: [16, 32, 64, 128, 256])
    """Lines of the square arrays."""
    resistances: list[float] = field(default_factory=lambda: [0.1, 0.3, 1.0, 3.0, 10.0])
    """Of a segment of either kind of line [ohm]."""
    conductance: float = 20e-6
    """Median of the cells [S] (assumed)."""
    spread: float = 0.5
    """Standard deviation of the logarithm of the conductances (assumed)."""
    v_read: float = 0.2
    """Full scale of the inputs [V]."""
    map_size: int = 128
    """Lines of the array whose maps are drawn, and of the nodes' and the nonlinear one."""
    map_resistance: float = 3.0
    """Of its segments [ohm]."""
    vectors: int = 16
    """Random inputs, uniform from 0 to full scale, that errors are taken over."""
    sinh_scale: float = 0.25
    """Voltage scale of the nonlinear cells [V] (illustrative)."""
    sinh_voltages: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2, 0.4])
    """Read voltages at which linear and nonlinear cells are compared [V]."""
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    network_resistances: list[float] = field(default_factory=lambda: [1.0, 3.0, 10.0, 30.0, 100.0])
    """Of a segment of either kind of line of the network's arrays [ohm]; none for no network."""
    r_low: float = 10e3
    """Lowest resistance of the network's cells [ohm] (assumed)."""
    r_high: float = 1e6
    """Highest resistance of the network's cells [ohm] (assumed)."""


def run(config: Config, run: RunFolder) -> None:
    """Maps, sizes and resistances, nodes, nonlinear cells."""
    maps(config, run)
    sizes(config, run)
    nodes(config, run)
    nonlinear(config, run)
    if config.network_resistances:
        network(config, run)


def maps(config: Config, run: RunFolder) -> None:
    """Draw cell voltages and the loss of every bit line with all inputs at full scale."""
    n, r = config.map_size, config.map_resistance
    g = conductances(config, n)
    v = np.full((1, n), config.v_read)
    fig, axes = aj.plotting.figure(1, 3, width=3.6, height=3.1)
    for axis, (drive, name) in zip(axes, DRIVES.items(), strict=False):
        solution = solved(drive)(g, v, r, r)
        cells = np.asarray(solution.voltages.word_line - solution.voltages.bit_line)[0]
        image = axis.imshow(cells / config.v_read, vmin=0, vmax=1)
        axis.set(title=name, xlabel="bit line", ylabel="word line")
        axis.grid(False)
        loss = 1 - np.asarray(solution.currents.output)[0] / (v[0] @ g)
        axes[2].plot(np.arange(n), 100 * loss, label=name)
        run.metric(f"map_least_voltage_{drive}", cells.min() / config.v_read, "of full scale")
        run.metric(f"map_loss_{drive}", loss.mean(), "share of the current, mean of bit lines")
    fig.colorbar(image, ax=axes[1], label="cell voltage / input")
    axes[2].set(title="loss of current", xlabel="bit line", ylabel="loss [%]", ylim=(0, None))
    axes[2].legend()
    run.section(
        "Where the voltage goes",
        f"{n} x {n} cells (lognormal, median {1e6 * config.conductance:g} uS), {r:g} ohm a segment "
        "of either kind of line, all inputs at full scale: the worst case. Word lines are driven "
        "at the left, bit lines sensed at the bottom: the cell at the top right sees least.",
    )
    run.figure("maps", fig, "Voltage of every cell and loss of every bit line's current.")


def sizes(config: Config, run: RunFolder) -> None:
    """Loss and error against size and wire resistance, and the closed form of a ladder."""
    shape = (len(DRIVES), len(config.sizes), len(config.resistances))
    loss, error, ladder, closed = np.zeros(shape), np.zeros(shape), np.zeros(shape[1:]), []
    with run.progress("sizes", len(config.sizes)) as progress:
        for k, n in enumerate(config.sizes):
            g, v = conductances(config, n), inputs(config, n)
            column = np.full((n, 1), config.conductance)
            for m, r in enumerate(config.resistances):
                for d, drive in enumerate(DRIVES):
                    out = np.asarray(solved(drive)(g, v, r, r).currents.output)
                    loss[d, k, m], error[d, k, m] = loss_and_error(out, v @ g)
                full = np.full((1, n), config.v_read)
                out = solved("left")(column, full, 0.0, r).currents.output
                ladder[k, m] = 1 - float(out[0, 0]) / (config.v_read * column.sum())
            closed.append([ladder_loss(n, config.conductance, r) for r in config.resistances])
            progress.advance()
    closed = np.asarray(closed)

    fig, axes = aj.plotting.figure(1, 3, width=3.6, height=3.1)
    fine = np.unique(np.geomspace(config.sizes[0], config.sizes[-1], 60).round().astype(int))
    for m, r in enumerate(config.resistances):
        color = aj.plotting.COLORS[m % len(aj.plotting.COLORS)]
        line = [100 * ladder_loss(n, config.conductance, r) for n in fine]
        axes[0].plot(fine, line, color=color, label=f"{r:g} ohm")
        axes[0].plot(config.sizes, 100 * ladder[:, m], "o", color=color, markersize=4)
        for axis, values in ((axes[1], loss), (axes[2], error)):
            for d, style in enumerate(("-", "--")):
                axis.plot(config.sizes, 100 * values[d, :, m], style, color=color)
    axes[0].set(title="one bit line: closed form, points", ylabel="loss of current [%]")
    axes[1].set(title="array, random inputs", ylabel="loss of current [%]")
    axes[2].set(title="after the best gain", ylabel="error [% of the outputs' spread]")
    for axis in axes:
        axis.set(xscale="log", yscale="log", xlabel="lines")
        axis.set_xticks(config.sizes, [str(n) for n in config.sizes])
        axis.minorticks_off()
    axes[0].legend()
    run.section(
        "Size and resistance",
        "Left: bit lines of equal cells under ideal word lines, all inputs at full scale, against "
        "I = (V/r) [1 - cosh(t (N - 1/2)) / cosh(t (N + 1/2))], cosh t = 1 + r G / 2. Middle and "
        "right: both kinds of wires, driven at one end (solid) or at both (dashed). A loss that is "
        "the same everywhere would be a gain; the right panel shows what is left after the best "
        "single gain, root mean square, relative to the spread of the ideal outputs.",
    )
    run.figure("sizes", fig, "Loss and error against the size of the array.")
    deviation = float(np.abs(ladder / closed - 1).max())
    run.metric("ladder_deviation_max", deviation, "simulated over closed loss of a ladder, less 1")
    for d, drive in enumerate(DRIVES):
        for name, values in (("loss", loss), ("error", error)):
            run.metric(f"{name}_max_{drive}", values[d].max(), "largest size and resistance")
    dims = ("drive", "lines", "resistance")
    run.dataset(
        "sizes",
        xr.Dataset(
            {
                "loss": (dims, loss, {"units": "1"}),
                "error": (dims, error, {"units": "1"}),
                "ladder": (dims[1:], ladder, {"units": "1"}),
            },
            {
                "drive": list(DRIVES),
                "lines": ("lines", config.sizes, {"units": "1"}),
                "resistance": ("resistance", config.resistances, {"units": "ohm"}),
            },
        ),
    )
    run.summary(
        f"Wires of {config.resistances[-1]:g} ohm a cell take {100 * loss[0, -1, -1]:.0f} % of the "
        f"current of {config.sizes[-1]} x {config.sizes[-1]} cells driven at one end and "
        f"{100 * loss[1, -1, -1]:.0f} % driven at both; of a ladder the simulation agrees with the "
        f"closed form to {deviation:.0e}."
    )


def nodes(config: Config, run: RunFolder) -> None:
    """Loss and error of one array in the wires of technology nodes."""
    n = config.map_size
    g, v = conductances(config, n), inputs(config, n)
    rows, values = [], np.zeros((len(NODES), len(DRIVES), 2))
    for k, (node, (r_word, r_bit)) in enumerate(NODES.items()):
        for d, drive in enumerate(DRIVES):
            out = np.asarray(solved(drive)(g, v, r_word, r_bit).currents.output)
            values[k, d] = loss_and_error(out, v @ g)
        shares = [f"{100 * x:.2g} %" for x in values[k].ravel()]
        rows.append([node, f"{r_word:g}", f"{r_bit:g}", *shares])
        run.metric(f"loss_{node.split()[0]}_nm", values[k, 0, 0], "driven at one end")
        run.metric(f"error_{node.split()[0]}_nm", values[k, 0, 1], "driven at one end")
    run.section(
        "Technology nodes",
        f"{n} x {n} 1T1R cells. Resistances of a segment from NeuroSim's resistivity and aspect "
        "ratio of the wires of a node, cells of 4F along word lines and 12F along bit lines.",
    )
    header = ["node", "word line [ohm]", "bit line [ohm]"]
    header += [f"{what}, {how}" for how in ("one end", "both") for what in ("loss", "error")]
    run.table("Wires by node", header, rows)


def nonlinear(config: Config, run: RunFolder) -> None:
    """Loss of ohmic cells and of cells that conduct more than proportionally."""
    n, r = config.map_size, config.map_resistance
    g = conductances(config, n)
    sinh = aj.crossbar.Sinh(config.sinh_scale)
    laws = {"ohmic": None, "sinh": sinh}
    losses = {name: [] for name in laws}
    for v_read in config.sinh_voltages:
        v = np.full((1, n), v_read)
        for name, cell in laws.items():
            output = solved("left")(g, v, r, r, cell).currents.output[0]
            one = partial(jnp.multiply, v_read) if cell is None else partial(cell.current, v_read)
            ideal = np.asarray(jax.vmap(one)(g.ravel()))
            losses[name].append(1 - float(output.sum()) / ideal.sum())
    fig, axis = aj.plotting.figure(1, 1, width=4.6)
    for name, values in losses.items():
        axis.plot(config.sinh_voltages, 100 * np.asarray(values), "o-", label=name)
        run.metric(f"nonlinear_loss_{name}", values[-1], f"at {config.sinh_voltages[-1]:g} V")
    axis.set(xlabel="read voltage [V]", ylabel="loss of current [%]", ylim=(0, None))
    axis.legend()
    run.section(
        "Nonlinear cells",
        f"The array of the maps, of ohmic cells and of cells G v_0 sinh(V / v_0), v_0 = "
        f"{config.sinh_scale:g} V (illustrative), each against itself without wires.",
    )
    run.figure("nonlinear", fig, "Loss of current against the read voltage.")


def network(config: Config, run: RunFolder) -> None:
    """Accuracy of a network that was trained without wires, in arrays that have them."""
    dataset = config.data.load()
    aj.training.check_data(dataset, config.training)
    digital, reached = aj.training.train_in_run(run, config.network, dataset, config.training)

    def on_arrays():
        values = np.zeros((len(DRIVES), len(config.network_resistances)))
        with run.progress("network", values.size) as progress:
            for d, drive in enumerate(DRIVES):
                for k, r in enumerate(config.network_resistances):
                    domain = CurrentDomain(wires=Wires(r, r, drive=drive))
                    tile = Tile(domain, rows=config.map_size, columns=config.map_size)
                    hardware = Hardware(
                        DeviceStatistics(config.r_low, config.r_high),
                        WeightMapping("differential", "channel", "max", space="G"),
                        bits=None,
                        tile=tile,
                    )
                    model = keep_arrays(convert_to_analog(digital, hardware))
                    values[d, k] = aj.training.accuracy(model, dataset.test)
                    progress.advance()
        return {"accuracy": values}

    values = run.stage("network", on_arrays)["accuracy"]
    fig, axis = aj.plotting.figure(1, 1, width=4.6)
    for line, name in zip(values, DRIVES.values(), strict=True):
        axis.plot(config.network_resistances, 100 * line, "o-", label=name)
    axis.axhline(100 * float(reached), color="0.5", linestyle=":", label="digital")
    axis.set(xscale="log", xlabel="resistance of a segment [ohm]", ylabel="accuracy [%]")
    axis.legend()
    run.section(
        "A network in arrays with wires",
        f"{config.network.name} on {config.data.name}, trained without wires and written as it is: "
        f"pairs of cells of {config.r_low:g} to {config.r_high:g} ohm (assumed) without errors and "
        f"levels, arrays of at most {config.map_size} x {config.map_size} cells, wires solved "
        "exactly.",
    )
    run.figure("network", fig, "Accuracy on the test set against the resistance of the wires.")
    run.metric("accuracy_digital", float(reached), "test set")
    for d, drive in enumerate(DRIVES):
        for k, r in enumerate(config.network_resistances):
            run.metric(f"accuracy_{drive}_{r:g}_ohm", values[d, k], "test set")


def conductances(config: Config, n: int) -> np.ndarray:
    """Return lognormal conductances [S]."""
    rng = np.random.default_rng([config.seed, n, 0])
    return config.conductance * np.exp(config.spread * rng.standard_normal((n, n)))


def inputs(config: Config, n: int) -> np.ndarray:
    """Return random inputs [V]."""
    rng = np.random.default_rng([config.seed, n, 1])
    return config.v_read * rng.random((config.vectors, n))


def solved(drive: str):
    """Return the solve of arrays that are driven so."""

    def solve(g, v, r_word, r_bit, cell=None):
        return aj.crossbar.solve_crossbar(
            g, v, r_word_line=r_word, r_bit_line=r_bit, drive=drive, cell=cell
        )

    return solve


def loss_and_error(out: np.ndarray, ideal: np.ndarray) -> tuple[float, float]:
    """Return the share of current lost, and the error left after the best single gain."""
    gain = np.sum(out * ideal) / np.sum(out**2)
    left = np.sqrt(np.mean((gain * out - ideal) ** 2))
    return 1 - out.sum() / ideal.sum(), left / ideal.std()


def ladder_loss(n: int, g: float, r: float) -> float:
    """Share of current that a bit line of `n` equal cells loses under ideal word lines."""
    # The difference of hyperbolic cosines as a product: nothing cancels.
    angle = 2 * np.arcsinh(np.sqrt(r * g) / 2)
    current = 2 * np.sinh(angle * n) * np.sinh(angle / 2) / np.cosh(angle * (n + 0.5))
    return float(1 - current / (r * g * n))
