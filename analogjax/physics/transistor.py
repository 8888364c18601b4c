"""The transistor in series with a cell (1T1R): what its gate leaves of the applied voltage."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Float, Scalar, ScalarLike
from ..constants import BOLTZMANN_EV

Voltages = Float[Array, "..."]
"""One or many voltages [V]."""

_HALVINGS = 45
# Newton steps after the bisection: they change nothing but carry derivatives up to third order.
_NEWTON = 2


class SeriesTransistor(eqx.Module):
    """An n-channel transistor by the EKV law of long channels.

    ``I = 2 n beta U^2 (F((V_P - V_S) / U) - F((V_P - V_D) / U))`` with ``U = kT/q``, the pinch-off
    voltage ``V_P = (V_G - V_T) / n`` and ``F(x) = ln^2(1 + exp(x/2))``: exponential below the
    threshold, ``beta / (2 n) (V_G - V_T - n V_S)^2`` in saturation, linear at small voltages, and
    the same with drain and source exchanged. The threshold falls by ``d`` times the voltage between
    drain and source (drain-induced barrier lowering). No body effect beyond n.

    Source: C. Enz, F. Krummenacher, E. Vittoz, Analog Integr. Circuits Signal Process. 8, 83
    (1995), doi:10.1007/BF01239381.
    """

    beta: Scalar
    """Current factor [A/V^2]."""
    threshold: Scalar
    """Threshold voltage V_T [V]."""
    slope: Scalar
    """Slope factor n."""
    lowering: Scalar
    """Fall d of the threshold with the voltage between drain and source."""
    temperature: Scalar
    """[K]."""

    def __init__(
        self,
        beta: ScalarLike,
        threshold: ScalarLike,
        slope: ScalarLike = 1.3,
        lowering: ScalarLike = 0.0,
        temperature: ScalarLike = 300.0,
    ):
        """Make a transistor.

        Args:
            beta: Current factor [A/V^2].
            threshold: Threshold voltage [V].
            slope: Slope factor n (1.3: assumed, usual for bulk transistors).
            lowering: Fall of the threshold with the voltage between drain and source.
            temperature: [K] (300 K: assumed).
        """
        dtype = jnp.result_type(float)
        self.beta = jnp.asarray(beta, dtype)
        self.threshold = jnp.asarray(threshold, dtype)
        self.slope = jnp.asarray(slope, dtype)
        self.lowering = jnp.asarray(lowering, dtype)
        self.temperature = jnp.asarray(temperature, dtype)

    def current(self, gate: Voltages, source: Voltages, drain: Voltages) -> Voltages:
        """Return the current [A] from drain to source.

        Args:
            gate: Gate voltage [V], all against the bulk.
            source: Source voltage [V].
            drain: Drain voltage [V].
        """
        thermal = BOLTZMANN_EV * self.temperature
        threshold = self.threshold - self.lowering * jnp.abs(drain - source)
        pinch = (gate - threshold) / self.slope

        def forward(v: Voltages) -> Voltages:
            return jax.nn.softplus((pinch - v) / (2 * thermal)) ** 2

        scale = 2 * self.slope * self.beta * thermal**2
        return scale * (forward(source) - forward(drain))

    def cell_voltage(
        self, v: Voltages, gate: Voltages, resistance: Voltages, *, follower: bool
    ) -> Voltages:
        """Return the voltage [V] over an ohmic cell in series.

        Args:
            v: Voltage over both, at least 0 V.
            gate: Gate voltage [V], of the shape of `v`.
            resistance: Of the cell [ohm], likewise.
            follower: Whether the cell hangs on the source, as when the source line drives (the
                transistor is a follower and takes at least ``V - V_P``); otherwise on the drain.
        """

        def excess(transistor: SeriesTransistor, ends: tuple, share: Voltages) -> Voltages:
            v, gate, resistance = ends
            cell = v * share
            if follower:
                return cell - resistance * transistor.current(gate, cell, v)
            return cell - resistance * transistor.current(gate, jnp.zeros_like(v), v - cell)

        given = (v, gate, resistance)
        fixed = jax.lax.stop_gradient((self, given))

        def halve(_: int, ends: tuple[Voltages, Voltages]) -> tuple[Voltages, Voltages]:
            low, high = ends
            middle = 0.5 * (low + high)
            above = excess(*fixed, middle) > 0
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        shape = jnp.shape(v)
        low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.zeros(shape), jnp.ones(shape)))
        share = jax.lax.stop_gradient(0.5 * (low + high))
        for _ in range(_NEWTON):
            value, slope = jax.jvp(lambda s: excess(self, given, s), (share,), (jnp.ones(shape),))
            # No voltage: any share is right.
            share = share - jnp.where(slope > 0, value / jnp.where(slope > 0, slope, 1.0), 0.0)
        return v * share
