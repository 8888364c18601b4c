"""What every computing domain is to a tile: encoder, cells, accumulator and read-out in one."""

from __future__ import annotations

import abc

import equinox as eqx
from jaxtyping import PRNGKeyArray, PyTree

from .._types import Array, Float, ScalarLike

Weights = Float[Array, "rows outputs devices"]
"""Conductances [S] of one array: an input's row, an output, the devices of a weight."""


class AbstractDomain(eqx.Module):
    """How one array multiplies: whatever is inside, it estimates ``x @ g`` in siemens.

    An output ``j`` is ``sum_i x_i (g[i, j, 0] - g[i, j, 1])`` where a weight is a pair of devices,
    else ``sum_i x_i (g[i, j, 0] - reference[i])``, with inputs normalised to their full scale.
    """

    @property
    @abc.abstractmethod
    def outputs_apart(self) -> bool:
        """Whether an output is the same whatever other outputs share its array."""

    @abc.abstractmethod
    def unconverted(self) -> AbstractDomain:
        """Return the same domain with exact numbers for outputs: what its converters see."""

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, rows: int, outputs: int, devices: int) -> PyTree:
        """Return what is random about the circuits of one array (lifetime: frozen), float32."""

    @abc.abstractmethod
    def prepare(
        self,
        g: Weights,
        reference: Float[Array, " rows"] | None,
        read_variance: Weights | None,
    ) -> PyTree:
        """Return what follows from the conductances alone, for all reads of a programmed array.

        Args:
            g: Conductances [S]; 0 where an array is larger than its share of the layer.
            reference: Conductances [S] of the reference line, where a weight is one device.
            read_variance: Variance [S^2] of what single reads of each device give, None for none.
        """

    @abc.abstractmethod
    def multiply(
        self,
        x: Float[Array, "batch rows"],
        prepared: PyTree,
        drawn: PyTree,
        *,
        unit: ScalarLike,
        output_range: ScalarLike | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "batch outputs"]:
        """Return what the array makes of its inputs [S].

        Args:
            x: Inputs in [-1, 1].
            prepared: What `prepare` returned.
            drawn: What `draw` returned; None for circuits without frozen errors.
            unit: ``g_max - g_min`` [S], what one cell at full scale contributes.
            output_range: Calibrated full scale of the read-out in units; None for the domain's own.
            key: Random key of this read; None for one without fresh noise.
        """
