"""Three devices: what is measured of each, which parameters are wanted, how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import analogjax as aj
from analogjax.fitting import AbstractObjective, Noise, PulseTrain, Sweep, SwitchingTimes

NAMES = ("yakopcic", "tio2", "jart")


@dataclass(frozen=True)
class Case:
    """One device and its measurements; their values are placeholders until they are made."""

    title: str
    protocol: str
    device: aj.devices.AbstractDevice
    """Nominal parameters: where every fit starts, and around which the true ones are drawn."""
    spread: dict[str, float]
    """Free parameters, and by what share at most (as a logarithm) each may be off."""
    measurements: tuple[AbstractObjective, ...]


def case(name: str, config) -> Case:
    """Return a case by name; every voltage, duration and noise is assumed."""
    return {"yakopcic": yakopcic, "tio2": tio2, "jart": jart}[name](config)


def yakopcic(config) -> Case:
    """Five parameters of a TaOx device from growing pulses of both polarities."""
    half = config.pulses // 2
    v = np.concatenate([np.linspace(0.12, 0.7, half), -np.linspace(0.8, 1.4, half)])
    pulses = PulseTrain(v, 0.8 / config.pulses, 1e-3, np.ones(2 * half), noise=Noise(0.02))
    return Case(
        "Yakopcic",
        f"one train of {2 * half} pulses growing from 0.12 to 0.7 V and from -0.8 to -1.4 V, "
        "noise of a conductance 2 %",
        aj.devices.Yakopcic("miao"),
        dict(a_p=0.2, a_n=0.2, v_p=0.2, v_n=0.2, x_0=0.2),
        (pulses,),
    )


def tio2(config) -> Case:
    """Three parameters of the film from identical pulses of two amplitudes."""
    half = config.film_pulses // 2
    v = np.array([3.0, 6.0])[:, None] * np.repeat([1.0, -1.0], half)
    pulses = PulseTrain(v, 3.0, 0.05, np.ones(v.shape), noise=Noise(0.002))
    return Case(
        "TiO2-x",
        f"two trains of {half} pulses up and {half} down, of 3 and 6 V, 3 s long, noise of a "
        f"conductance 0.2 %, {config.cells} x {config.cells} cells",
        aj.devices.FourTerminalTiO2(cells=config.cells),
        dict(activation_energy=0.02, sigma_1=0.2, front_position=0.2),
        (pulses,),
    )


def jart(config) -> Case:
    """Six parameters of the filament from one sweep and switching times of both directions.

    N_max is not among them: these data know it to 15 % only, and have a second optimum in it.
    """
    t = np.linspace(0.0, 4.6, config.sweep_points)
    v = np.interp(t, [0.0, 1.0, 2.0, 3.3, 4.6], [0.0, -1.0, 0.0, 1.3, 0.0])
    fresh, on, full, off = np.log([0.01, 1.0, 15.0, 0.1])
    # A current below 0.1 uA is not resolved.
    sweep = Sweep(t, v, np.ones(t.size), noise=Noise(0.02, 1e-7), state=0.01)
    half = config.times // 2
    voltages = np.concatenate([np.linspace(-0.5, -1.0, half), np.linspace(0.8, 1.3, half)])
    first, last = np.repeat([fresh, full], half), np.repeat([on, off], half)
    times = SwitchingTimes(voltages, np.ones(2 * half), first, last, noise=Noise(log=0.1))
    return Case(
        "JART VCM v1b",
        f"one sweep of {config.sweep_points} points to -1 and 1.3 V at 1 V/s from N = 0.01, noise "
        f"of a current 2 % and 0.1 uA; {half} SET times at -0.5 to -1 V (N from 0.01 to 1) and "
        f"{half} RESET times at 0.8 to 1.3 V (15 to 0.1), noise of a logarithm 0.1",
        aj.devices.JartVCM(),
        dict(
            activation_energy=0.02,
            oxide_resistance=0.15,
            n_min=0.15,
            radius=0.1,
            thermal_resistance=0.15,
            reset_heating=0.15,
        ),
        (sweep, times),
    )
