"""What differs from device to device, and what that does to the accuracy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import analogjax as aj
from analogjax.programming.identical_pulses import AXES
from analogjax.training import balanced_normals

PUBLISHED = "Gaussian spread in a public netlist generator for JART VCM v1b-var (listing read)"
QUANTITIES: dict[str, tuple[str, float, str]] = {
    "v_set": ("voltage", 0.01, "assumed"),
    "v_reset": ("voltage", 0.01, "assumed"),
    "width": ("voltage", 0.01, "assumed"),
    "barrier_height": ("material", 0.01, "assumed"),
    "fermi_offset": ("material", 0.01, "assumed"),
    "activation_energy": ("material", 0.01, "assumed"),
    "attempt_frequency": ("material", 0.01, "assumed"),
    "hop_distance": ("material", 0.01, "assumed"),
    "electron_mobility": ("material", 0.01, "assumed"),
    "permittivity": ("material", 0.01, "assumed"),
    "barrier_permittivity": ("material", 0.01, "assumed"),
    "n_min": ("material", 0.25, PUBLISHED),
    "n_max": ("material", 0.05, PUBLISHED),
    "n_plug": ("material", 0.01, "assumed"),
    "radius": ("structure", 5 / 45, PUBLISHED),
    "disc_length": ("structure", 0.1, PUBLISHED),
    "cell_length": ("structure", 0.01, "assumed"),
    "thermal_resistance": ("structure", 0.01, "assumed"),
    "oxide_resistance": ("structure", 0.01, "assumed"),
    "line_resistance": ("structure", 0.01, "assumed"),
}
"""Group, relative standard deviation from device to device, and where that comes from."""
SPREAD = {name: sigma for name, (_, sigma, source) in QUANTITIES.items() if source == PUBLISHED}
"""What is published to differ between devices."""


def draws(config, seed, repeat=0) -> dict[str, Any]:
    """Return what each kind of filament draws for each quantity."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 3), repeat)
    return balanced_normals(tuple(QUANTITIES), config.kinds, key=key)


def few(config) -> int:
    """Points of the traces of drawn filaments."""
    return config.points // 5 * 2 + 1


def noise(seed, shape) -> np.ndarray:
    """Standard normal numbers for the conductances of devices that know no parameters."""
    key = jax.random.fold_in(jax.random.key(seed), 4)
    return np.asarray(jax.random.normal(key, shape, jnp.float32))


def against_spread(config, run, reader, write, plans) -> dict[str, np.ndarray]:
    """Accuracy at the nominal voltage against the share of the published spread.

    Of filaments, and of devices whose conductances have the same mean and standard deviation at
    every level, but are normally distributed.
    """
    z = draws(config, run.seed)
    found: dict[str, list] = {f"{axis}{kind}": [] for axis in AXES for kind in ("", "_normal")}
    with run.progress("shares of the spread", len(config.shares)) as progress:
        for share in config.shares:
            relative = {name: share * SPREAD[name] * z[name] for name in SPREAD}
            both = np.asarray(write(plans, relative, 0.0), np.float32)
            for axis, table in zip(AXES, both, strict=True):
                normal = table.mean(0) + table.std(0) * noise(run.seed, table.shape)
                found[axis].append(reader.chips(table))
                found[f"{axis}_normal"].append(reader.chips(normal))
            progress.advance()
    return {name: np.array(values) for name, values in found.items()}


def report(run, config, shares) -> None:
    """Accuracy against the spread from device to device."""
    panels = []
    for axis in AXES:
        for kind in ("", "_normal"):
            for share, chips in zip(config.shares, shares[f"{axis}{kind}"], strict=True):
                run.metric(f"accuracy_{axis}_share_{share:g}{kind}", chips.mean())
        panels.append((axis.upper(), {
            "filaments": shares[axis],
            "normal, same mean and deviation": shares[f"{axis}_normal"],
        }))  # fmt: skip
    run.section(
        "Spread from device to device",
        "Radius, disc length, N_min and N_max of every filament are drawn (published Gaussian "
        "spread times a share). A behavioural model knows a spread of conductances only: normal "
        "numbers with the mean and standard deviation that the filaments have at every level. "
        "Filaments end near one or the other end of the window, which is not normal.",
    )
    run.figure(
        "accuracy_spread",
        aj.plotting.accuracy_against_share(config.shares, panels),
        "Test accuracy at the nominal voltage, mean over chips.",
    )
