"""The hardware of the budget: every non-ideality with a strength, 0 for none, 1 as configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from analogjax.crossbar import (
    Adc,
    Cubic,
    CurrentDomain,
    Dac,
    DeviceStatistics,
    GaussianError,
    Hardware,
    SarInl,
    Tile,
    Transimpedance,
    WeightMapping,
    Wires,
)
from analogjax.crossbar import (
    nonidealities as n,
)

MAPPING = WeightMapping("differential", "layer", "max", space="G")

FINE_BITS = 12
"""Of a converter whose quantisation is off: a nonlinearity is a table of codes, and needs some."""


@dataclass
class Magnitudes:
    """Sizes of the non-idealities: illustrative, none of them measured on one technology."""

    r_low: float = 5e3
    """Lowest resistance of a cell [ohm]."""
    r_high: float = 100e3
    """Highest resistance of a cell [ohm]."""
    levels_bits: int = 5
    """Bits of a device."""
    write_error: float = 0.02
    """Standard deviation of the write error [window]."""
    variation: float = 0.05
    """Standard deviation of ln G from cell to cell."""
    drift: float = 0.02
    """Drift exponent, and its standard deviation over cells; counted from 20 s on."""
    t: float = 1e4
    """Time since programming [s]."""
    stuck: float = 2e-3
    """Probability of a cell to be stuck on, and to be stuck off."""
    heating: float = 30.0
    """Temperature above that of programming [K]."""
    metallic: float = 1e-3
    """Temperature coefficient of the resistance [1/K]."""
    activation: float = 0.05
    """Barrier of conduction at the highest resistance [eV]."""
    nonlinearity: float = 1.0
    """Cubic term of a cell's current [1/V^2]."""
    telegraph: float = 0.05
    """Difference of the two conductances of a cell over their mean."""
    flicker: float = 1e-6
    """Relative power density of 1/f noise at 1 Hz; counted from 1 Hz on."""
    fano: float = 0.3
    """Fano factor of shot noise."""
    access: float = 200.0
    """Resistance in series with each cell [ohm]."""
    dac_bits: int = 8
    """Bits of the inputs' converters."""
    dac_gain: float = 0.01
    """Relative standard deviation of the gain."""
    dac_offset: float = 2e-3
    """Standard deviation of the offset [full scale]."""
    unit_capacitor: float = 0.05
    """Relative standard deviation of a unit capacitor, in both converters."""
    r_wire: float = 2.0
    """Segment of a line [ohm]."""
    r_source: float = 50.0
    """Drivers [ohm]."""
    r_f: float = 500.0
    """Feedback resistance of the amplifiers [ohm]."""
    gain: float = 300.0
    """Open-loop gain of the amplifiers."""
    v_rail: float = 0.35
    """Rails of the amplifiers [V]."""
    offset: float = 1e-3
    """Standard deviation of the amplifiers' input offset [V]."""
    v_noise: float = 5e-9
    """Input noise of the amplifiers [V/sqrt(Hz)], of 100 MHz gain-bandwidth product."""
    adc_bits: int = 8
    """Bits of the outputs' converters."""
    output_range: float = 16.0
    """Current at which they end, in currents of one fully driven cell at full scale."""
    adc_gain: float = 0.01
    """Relative standard deviation of the gain."""
    adc_offset: float = 5e-3
    """Standard deviation of the offset [full scale]."""
    output_noise: float = 0.04
    """Fresh noise of an output, in currents of one fully driven cell at full scale."""


PARTS: dict[str, tuple[str, str, str]] = {
    "write_error": ("device", "frozen", "write error"),
    "variation": ("device", n.LogNormalVariation.lifetime, "log-normal variation"),
    "drift": ("device", n.PowerLawDrift.lifetime, "drift, not compensated"),
    "stuck": ("device", n.StuckCells.lifetime, "stuck cells"),
    "temperature": ("device", n.TemperatureCoefficient.lifetime, "temperature"),
    "nonlinearity": ("device", "-", "cubic cell"),
    "telegraph": ("device", n.TelegraphNoise.lifetime, "telegraph noise"),
    "flicker": ("device", n.FlickerNoise.lifetime, "1/f noise"),
    "thermal": ("device", n.ThermalNoise.lifetime, "thermal noise"),
    "shot": ("device", n.ShotNoise.lifetime, "shot noise"),
    "access": (n.AccessResistance.cause, n.AccessResistance.lifetime, "access resistance"),
    "dac_gain": (Dac.cause, "frozen", "DAC gain"),
    "dac_offset": (Dac.cause, "frozen", "DAC offset"),
    "dac_inl": (Dac.cause, SarInl.lifetime, "DAC nonlinearity"),
    "wires": ("circuit", "-", "wires"),
    "drivers": ("circuit", "-", "driver resistance"),
    "amplifier_gain": (Transimpedance.cause, "-", "amplifier gain (1 / A_0)"),
    "amplifier_offset": (Transimpedance.cause, "frozen", "amplifier offset"),
    "amplifier_noise": (Transimpedance.cause, "fresh", "amplifier noise"),
    "rails": (Transimpedance.cause, "-", "rails (1 / V_rail)"),
    "adc_gain": (Adc.cause, "frozen", "ADC gain"),
    "adc_offset": (Adc.cause, "frozen", "ADC offset"),
    "adc_inl": (Adc.cause, SarInl.lifetime, "ADC nonlinearity"),
    "output_noise": ("circuit", "fresh", "output noise"),
}
"""Cause, lifetime and name of what has a strength. Standard deviations and shifts are proportional
to it."""

QUANTISATION = ("device and circuit", "-", "quantisation, all")
"""The same of what rounds, devices and converters together: on or off, without a gradient."""

SIZES = {
    "write_error": "write_error", "variation": "variation", "drift": "drift", "stuck": "stuck",
    "temperature": "heating", "nonlinearity": "nonlinearity", "telegraph": "telegraph",
    "flicker": "flicker", "shot": "fano", "access": "access", "dac_gain": "dac_gain",
    "dac_offset": "dac_offset", "dac_inl": "unit_capacitor", "wires": "r_wire",
    "drivers": "r_source", "amplifier_gain": "gain", "amplifier_offset": "offset",
    "amplifier_noise": "v_noise", "rails": "v_rail", "adc_gain": "adc_gain",
    "adc_offset": "adc_offset", "adc_inl": "unit_capacitor", "output_noise": "output_noise",
}  # fmt: skip
"""Which magnitude a strength multiplies."""


def hardware(
    m: Magnitudes, s: dict[str, Any], *, rounded: bool, side: int, cubic: bool = False
) -> Hardware:
    """Return hardware of all parts, each of the strength that `s` gives.

    Args:
        m: Sizes at strength 1.
        s: Strength of each part; JAX arrays, also traced.
        rounded: Whether devices have levels, and converters their bits.
        side: Lines of an array.
        cubic: Whether cells are nonlinear. Then there are no wires: with both, every input would
            take a Newton iteration of its own on every array.
    """
    device = DeviceStatistics(
        m.r_low,
        m.r_high,
        GaussianError(s["write_error"] * m.write_error, times=[0.0, m.t], space="G"),
        effects=(
            n.LogNormalVariation(s["variation"] * m.variation),
            n.StuckCells(s["stuck"] * m.stuck, s["stuck"] * m.stuck, width=m.stuck / 2),
            n.PowerLawDrift(s["drift"] * m.drift, s["drift"] * m.drift),
            n.TemperatureCoefficient(
                300.0 + s["temperature"] * m.heating,
                metallic=m.metallic,
                activation_hrs=m.activation,
            ),
            n.AccessResistance(s["access"] * m.access),
        ),
    )
    domain = CurrentDomain(
        dac=_converter(Dac, m, s, "dac", rounded),
        adc=_converter(Adc, m, s, "adc", rounded),
        wires=None
        if cubic
        else Wires(
            s["wires"] * m.r_wire, s["wires"] * m.r_wire, r_source=s["drivers"] * m.r_source
        ),
        cell=Cubic(s["nonlinearity"] * m.nonlinearity) if cubic else None,
        noise=(
            n.TelegraphNoise(s["telegraph"] * m.telegraph, shared=True),
            n.FlickerNoise(s["flicker"] ** 2 * m.flicker, f_low=1.0),
            n.ThermalNoise(s["thermal"]),
            n.ShotNoise(s["shot"] ** 2 * m.fano),
        ),
        output_noise=s["output_noise"] * m.output_noise,
        amplifier=Transimpedance(
            m.r_f,
            # Weak, but not without a limit, which would be another circuit.
            gain=m.gain / jnp.maximum(s["amplifier_gain"], 1e-6),
            gbw=1e8,
            v_rail=m.v_rail / jnp.maximum(s["rails"], 1e-3),
            offset_std=s["amplifier_offset"] * m.offset,
            v_noise=s["amplifier_noise"] * m.v_noise,
            resistor_noise=False,
        ),
        output_range=m.output_range,
    )
    bits = m.levels_bits if rounded else None
    return Hardware(device, MAPPING, bits=bits, tile=Tile(domain, rows=side, columns=side))


def _converter(kind, m, s, name, rounded):
    bits = getattr(m, f"{name}_bits")
    sigma = s[f"{name}_inl"] * m.unit_capacitor
    if not rounded:
        # The nonlinearity of the same size in full scales, on finer codes.
        sigma, bits = sigma * 2 ** ((FINE_BITS - bits) / 2), FINE_BITS
    return kind(
        bits,
        gain_std=s[f"{name}_gain"] * getattr(m, f"{name}_gain"),
        offset_std=s[f"{name}_offset"] * getattr(m, f"{name}_offset"),
        inl=SarInl(sigma),
    )
