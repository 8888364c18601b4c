"""Laws of cells between a word line and a bit line: the current of one cell from its voltage.

A law is anything with ``current(v, params)`` in ampere, monotone in the voltage `v` of the cell;
`params` is what the array holds of each cell, in most laws its conductance at 0 V. See `cell=` of
`analogjax.crossbar.solve_crossbar`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax

from .._checks import check_not_negative, check_positive
from .._types import Scalar, ScalarLike


class AbstractCell(eqx.Module):
    """The law of a cell."""

    @abc.abstractmethod
    def current(self, v: ScalarLike, params: Any) -> Scalar:
        """Return the current [A] at the voltage `v` [V] of a cell that holds `params`."""


class Ohmic(AbstractCell):
    """Ohm's law, ``I = G v``: as no law at all, for comparison."""

    def current(self, v: ScalarLike, params: ScalarLike) -> Scalar:
        """Return the current [A] of a cell of conductance `params` [S]."""
        return jnp.asarray(params) * v


class Sinh(AbstractCell):
    r"""``I = G v_0 sinh(v / v_0)``, with slope ``G`` at 0 V.

    Attributes:
        v_0: Voltage scale [V].
    """

    v_0: Scalar = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        """Check the parameters."""
        check_positive("v_0", self.v_0, "V")

    def current(self, v: ScalarLike, params: ScalarLike) -> Scalar:
        """Return the current [A] of a cell of conductance `params` [S] at 0 V."""
        return params * self.v_0 * jnp.sinh(v / self.v_0)


class Cubic(AbstractCell):
    r"""``I = G v (1 + k_3 v^2)``, with slope ``G`` at 0 V.

    Attributes:
        k_3: Strength of the cubic term [1/V^2]; ``1 / (6 v_0^2)`` agrees with `Sinh` to this order.
    """

    k_3: Scalar = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        """Check the parameters."""
        check_not_negative("k_3", self.k_3, "1/V^2")

    def current(self, v: ScalarLike, params: ScalarLike) -> Scalar:
        """Return the current [A] of a cell of conductance `params` [S] at 0 V."""
        return params * v * (1 + self.k_3 * v**2)


class Selector(AbstractCell):
    r"""A conductance in series with a selector, ``I = I_s (exp(v_s / v_t) - 1)``.

    Attributes:
        i_s: Saturation current ``I_s`` [A].
        v_t: Ideality factor times thermal voltage [V].
    """

    i_s: Scalar = eqx.field(converter=jnp.asarray)
    v_t: Scalar = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        """Check the parameters."""
        check_positive("i_s", self.i_s, "A")
        check_positive("v_t", self.v_t, "V")

    def current(self, v: ScalarLike, params: ScalarLike) -> Scalar:
        """Return the current [A] of a selector in series with `params` [S]."""
        v, g = jnp.asarray(v), jnp.asarray(params)

        def newton(x, v, g, i_s, v_t):
            rise = jnp.exp(x / v_t)
            return x - (i_s * (rise - 1) - g * (v - x)) / (i_s * rise / v_t + g)

        # Fixed while iterating; one more step at the root carries the exact first derivative.
        fixed = lax.stop_gradient((v, g, self.i_s, self.v_t))
        v_f, g_f, i_f, t_f = fixed
        # The current is convex in the selector's voltage: from above the root every step stays
        # above it, and from 0 V (for negative voltages) the first does.
        above = jnp.minimum(v_f, t_f * jnp.log1p(jnp.maximum(g_f * v_f, 0.0) / i_f))
        start = jnp.where(v_f > 0, above, 0.0)
        root = lax.fori_loop(0, 50, lambda _, x: newton(x, *fixed), start)
        return g * (v - newton(root, v, g, self.i_s, self.v_t))


class DeviceCells(AbstractCell):
    """Cells that are devices: their write (or read) current at a state.

    Attributes:
        device: The device, a module with ``current(v, state)``. `params` of a cell is its state.
    """

    device: Any

    def current(self, v: ScalarLike, params: Any) -> Scalar:
        """Return the current [A] of a device in the state `params`."""
        return self.device.current(v, params)


class FunctionCell(AbstractCell):
    """Any function ``current(v, params)``.

    Attributes:
        function: The function; a new one is compiled anew.
    """

    function: Callable[[ScalarLike, Any], Scalar] = eqx.field(static=True)

    def current(self, v: ScalarLike, params: Any) -> Scalar:
        """Return the current [A]."""
        return self.function(v, params)
