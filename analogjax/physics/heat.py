"""Quasi-static Joule heating of a film on a heat sink.

``-div(kappa h grad T) + g_sink (T - T0) = p`` with insulated rim and p the dissipated power per
area. For constant kappa the discrete problem is solved exactly by one cosine transform, and the
heat into the sink equals the electrical power to round-off.
"""

from __future__ import annotations

from .._types import CellField, Scalar
from .cosine import solve_screened


def temperature_rise(
    power: CellField, *, spacing: Scalar, thickness: Scalar, conductivity: Scalar, sink: Scalar
) -> CellField:
    """Return T - T0 per cell [K].

    Args:
        power: Power dissipated in every cell [W].
        spacing: Cell size dx [m].
        thickness: Film thickness h [m].
        conductivity: Thermal conductivity kappa of the film [W/m/K].
        sink: Thermal conductance per area to the sink, g_sink [W/m^2/K].
    """
    return solve_screened(power, conductivity * thickness, sink * spacing**2)
