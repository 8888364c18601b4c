"""Current: resistors, and four corner electrodes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.physics import conduction, elliptic, exact, grid


def resistors(cells: int = 24) -> dict:
    """A square with contacts along two sides: uniform, layered along and across the current."""
    coverage = grid.side_electrodes(cells)
    precondition = elliptic.CosinePreconditioner(coverage)
    x = (np.arange(cells) + 0.5) / cells
    wave = 1 + 0.8 * np.sin(2 * np.pi * x)

    @jax.jit
    def resistance(sheet):
        network = conduction.ConductanceNetwork(sheet, coverage)
        bias = conduction.Bias(jnp.array([1.0, 0.0]))
        potential = conduction.solve_potential(network, bias, precondition)
        return 1 / conduction.terminal_currents(network, bias, potential)[0]

    ones = np.ones((cells, cells))
    return {
        "uniform": resistance(jnp.asarray(7.0 * ones)) * 7.0,
        "parallel": resistance(jnp.asarray(wave[None, :] * ones)) * np.mean(wave),
        "series": resistance(jnp.asarray(wave[:, None] * ones)) / np.mean(1 / wave),
    }


def conformal_map(grids: list[int], arms: list[float]) -> dict:
    """Conductances between four corner electrodes of a uniform square, per sheet conductance."""
    r24 = np.zeros((len(arms), len(grids)))
    symmetry = closure = 0.0
    for column, cells in enumerate(grids):
        film = aj.devices.FourTerminalTiO2(cells)
        sheet = float(film.sigma_background + film.sigma_1) * float(film.thickness)
        for row, arm in enumerate(arms):
            matrix = np.asarray(
                film.replace(electrode_arm=arm).conductance_matrix(jnp.ones((cells, cells)))
            )
            scale = np.abs(matrix).max()
            symmetry = max(symmetry, np.abs(matrix - matrix.T).max() / scale)
            closure = max(closure, np.abs(matrix.sum(0)).max() / scale)
            # T1 and T3, floating, stand at the middle potential: half the drop to either.
            r24[row, column] = sheet / -(matrix[1, 0] + matrix[1, 3])
    adjacent, opposite = np.transpose([exact.corner_conductances(arm) for arm in arms])
    return {
        "r24": r24,
        "exact": 1 / (adjacent + opposite),
        "adjacent": adjacent,
        "opposite": opposite,
        "symmetry": symmetry,
        "closure": closure,
    }


def report(run, ledger, config, resistors, mapped) -> None:
    """Resistors and R24 against closed forms."""
    for name, quantity in (
        ("uniform", "uniform square between two sides, R h sigma"),
        ("parallel", "layers along the current, R over the parallel mean"),
        ("series", "layers across the current, R over the series mean"),
    ):
        ledger.add(f"resistor_{name}", quantity, resistors[name], 1.0, 1e-12, "closed form")
    source = "conformal map (elliptic integrals)"
    for arm, r24, value in zip(config.arms, mapped["r24"], mapped["exact"], strict=True):
        label = f"w/L = {arm:g}"
        key = f"{arm:g}".replace(".", "p")
        ledger.order(f"r24_order_{key}", f"order of R24 in space, {label}", r24 - value, 1.0, 0.2,
                     "r^(1/2) singularity of the tips")  # fmt: skip
        ledger.add(f"r24_finest_{key}", f"R24 h sigma, {label}, {config.grids[-1]} cells",
                   r24[-1], value, 1.5 / config.grids[-1], source,
                   reason="first order")  # fmt: skip
        ledger.add(f"r24_richardson_{key}", f"R24 h sigma, {label}, extrapolated from two grids",
                   2 * r24[-1] - r24[-2], value, 2e-4 if arm >= 0.2 else 1e-3,
                   source)  # fmt: skip
    ledger.zero("reciprocity_error", "G - G^T over the largest entry",
                mapped["symmetry"], 1e-12, "reciprocity")  # fmt: skip
    ledger.zero("kirchhoff_matrix_error", "column sums of G over the largest entry",
                mapped["closure"], 1e-12, "Kirchhoff's current law")  # fmt: skip

    fig, (left, right) = aj.plotting.figure(1, 2, width=4.6)
    n = np.array(config.grids)
    for arm, r24, value in zip(config.arms, mapped["r24"], mapped["exact"], strict=True):
        left.plot(1 / n, r24, "o-", label=f"w/L = {arm:g}")
        left.plot(0, value, "k*", markersize=10)
        right.loglog(n, r24 / value - 1, "o-", label=f"w/L = {arm:g}")
        rich = np.abs((2 * r24[1:] - r24[:-1]) / value - 1)
        right.loglog(n[1:], rich, "s--", color=right.lines[-1].get_color(), markersize=4)
    aj.plotting.order_line(right, n, 0.08, 1)
    left.set(xlabel="1 / cells", ylabel="R24 h sigma", xlim=(-0.003, None))
    left.set_title("towards the conformal map (stars)", loc="left")
    right.set(xlabel="cells along a side", ylabel="relative error")
    right.set_title("dashed: extrapolated from two grids", loc="left")
    left.legend()
    right.legend()
    run.section(
        "Current and terminals",
        "A square between two full-side contacts is exact. Corner electrodes are not: the current "
        "density has an integrable r^(-1/2) singularity at each tip, so resistances and fields "
        "there converge with first order. Quote the number of cells with any number.",
    )
    run.figure("conformal_map", fig, "R24 of a uniform film against the exact value.")


def to_dataset(config, mapped) -> xr.Dataset:
    """Return R24 on every grid, and the exact values, as labelled arrays."""
    one = {"units": "1"}
    return xr.Dataset(
        {"r24": (("arm", "cells"), mapped["r24"], one), "exact": ("arm", mapped["exact"], one)},
        {"arm": ("arm", config.arms, one), "cells": ("cells", config.grids, one)},
    )
