"""Cells of which the statistics after programming are published: PCM, RRAM, CMO/HfOx, SONOS."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..._checks import is_traced
from ..._types import Array, Float, Scalar, ScalarLike
from ...devices import AbstractProgrammedDevice, ProgrammedState
from ._base import AbstractCellEffect, Window, normal


class ProgrammedDraw(eqx.Module):
    """The two standard normal numbers of every cell, float32."""

    write: Float[Array, "*shape"]
    """Of the write error."""
    slow: Float[Array, "*shape"]
    """Of what drifts."""


class ProgrammedCells(AbstractCellEffect):
    """Cells that are written, drift and are read as a device of `analogjax.devices` says.

    ``G = conductance_of(drawn(G_target, z, z'))`` at the time t, with the write error
    ``G_P = max(floor, G_target + sigma(G_target) z)`` (or log-normal) and the device's own drift,
    from the number z' that each cell keeps; a read scatters by the device's `read_std`. Near
    ``G_target = 0`` the floor makes the mean larger by ``sigma phi(0) = 0.399 sigma``.

    Which fits, with sources: `analogjax.devices.PCM` and `analogjax.devices.StatisticalDevice`.
    Write errors are of lifetime *frozen*, reads *fresh*; the whole is a function of time.

    Attributes:
        device: The device; its parameters are the magnitudes (`programming_scale` 0 and
            `drift_scale` 0 of a `PCM` leave conductances above its floor as they are).
        reads: Whether single reads scatter; without it a network needs no tile.
    """

    lifetime: ClassVar[str] = "slow"

    device: AbstractProgrammedDevice
    reads: bool = eqx.field(static=True, default=True)

    @property
    def reads_scatter(self) -> bool:
        """Whether single reads scatter."""
        return self.reads

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> ProgrammedDraw:
        """Return two standard normal numbers per cell."""
        write, slow = jax.random.split(key)
        return ProgrammedDraw(normal(write, shape), normal(slow, shape))

    def apply(
        self, g: Float[Array, "*shape"], drawn: ProgrammedDraw, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"]:
        """Return the conductances [S] at time t; see the class and `AbstractCellEffect`.

        Raises:
            ValueError: A window beyond what the device can be programmed to (concrete values).
        """
        device = self.cast(g.dtype).device
        self._check_window(window)

        def now(state: ProgrammedState) -> Scalar:
            return jnp.maximum(device.conductance_of(state), device.floor)

        return self._of_cells(now, device, g, drawn, t)

    def read_std(
        self, g: Float[Array, "*shape"], drawn: ProgrammedDraw, *, window: Window, t: ScalarLike
    ) -> Float[Array, "*shape"] | None:
        """Return the standard deviation [S] of single reads; see `AbstractCellEffect`."""
        if not self.reads:
            return None
        device = self.cast(g.dtype).device
        return self._of_cells(device.read_std, device, g, drawn, t)

    def _of_cells(
        self,
        function: Callable[[ProgrammedState], Scalar],
        device: AbstractProgrammedDevice,
        g: Array,
        drawn: ProgrammedDraw,
        t: ScalarLike,
    ) -> Array:
        elapsed = jnp.asarray(t, g.dtype)

        def cell(g: Scalar, write: Scalar, slow: Scalar) -> Scalar:
            state = device.drawn(g, write, slow)
            return function(eqx.tree_at(lambda s: s.elapsed, state, elapsed))

        # A device is written for one cell.
        for _ in range(g.ndim):
            cell = jax.vmap(cell)
        return cell(g, drawn.write.astype(g.dtype), drawn.slow.astype(g.dtype))

    def _check_window(self, window: Window) -> None:
        top = self.device.g_max
        if is_traced(window[1]) or is_traced(top):
            return
        # Round-off of a reciprocal resistance in float32 is let pass.
        if np.any(np.asarray(window[1]) > np.asarray(top) * (1 + 1e-5)):
            raise ValueError(
                f"Argument `window` must end at most at `g_max` of the device, {float(top):g} S, "
                f"but ends at {float(window[1]):g} S."
            )
