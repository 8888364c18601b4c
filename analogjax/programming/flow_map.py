"""Where two trains of pulses take devices that begin alike: a table of the flow of a reduced model.

While a train lasts the states follow an autonomous flow, so that devices which begin in one state
and differ only in how fast they run all follow one trajectory: they differ in how far along they
are. The first train is therefore one trajectory, the second one trajectory from each point of the
first, and what a device reads is a function of two numbers, its *exposures*

    x_k = speed * duration_k * |v_k / v_0|^n_k    [s at the writing amplitude v_0].

The table has this function's values and its exact derivatives at nodes; between them it is the
bicubic Hermite interpolant, whose derivative is taken exactly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Bool, Float, Scalar, ScalarLike
from .reduced import ReducedDevice, power

SUBSTEPS = 2
"""Steps of the classical Runge-Kutta method between two nodes: at nodes half a second apart they
leave 1e-6 of a state."""

# Of a cubic with these values and slopes (times the spacing) at 0 and 1: its coefficients.
_HERMITE = (
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 1.0, 0.0),
    (-3.0, 3.0, -2.0, -1.0),
    (2.0, -2.0, 1.0, 1.0),
)


class Grid(NamedTuple):
    """Nodes of a table: evenly over exposures from zero."""

    longest: tuple[float, float] = (32.0, 12.0)
    """Largest exposure of the first and of the second train [s]."""
    nodes: tuple[int, int] = (65, 25)
    """Nodes of each, the first at zero."""

    @property
    def spacing(self) -> tuple[float, float]:
        """Distance of two nodes [s]."""
        first, second = (x / (n - 1) for x, n in zip(self.longest, self.nodes, strict=True))
        return first, second


class Landed(NamedTuple):
    """Where devices are after both trains, at one time; all of the shape of the exposures."""

    q: Float[Array, "*shape"]
    """Conductance over that at the mean of ln R of the reduced model, ``exp(mean) / R``."""
    noise: Float[Array, "*shape"]
    """Standard deviation of q by the counting of vacancies."""
    ok: Bool[Array, "*shape"]
    """Whether the exposures are of the table, and the states those that the model knows."""


class FlowMap(eqx.Module):
    """Table of what a device reads after two trains, against the exposures of both."""

    cells: Float[Array, "first second 20"]
    """Of each cell: 16 coefficients of q, the noise of q at 4 corners."""
    drift: Float[Array, "first second 12"]
    """At 4 corners: the first three derivatives of ln q by the time of rest [1/s^k]."""
    known: Bool[Array, "first second"]
    """Whether the states at the corners of a cell are those that the model knows."""
    grid: Grid = eqx.field(static=True)

    def __call__(
        self,
        first: Float[Array, "*shape"],
        second: Float[Array, "*shape"],
        rest: Float[Array, "*shape"] | None = None,
    ) -> Landed:
        """Return where devices land; outside the table, where they began.

        Args:
            first: Exposure of the first train [s].
            second: Exposure of the second one [s].
            rest: How long each device rests afterwards [s], times its speed at rest; None for not
                at all. Followed to third order: at 0.1 of the fastest time constant of the film at
                rest, about a year, the remainder is below 1e-5 of a state.
        """
        inside = jnp.ones(first.shape, bool)
        for x, longest in zip((first, second), self.grid.longest, strict=True):
            # Also false for nan.
            inside = inside & (x >= 0) & (x <= longest)
        places = []
        for x, spacing, nodes in zip(
            (first, second), self.grid.spacing, self.grid.nodes, strict=True
        ):
            x = jnp.where(inside, x, 0.0) * (1 / spacing)
            cell = jnp.minimum(jax.lax.stop_gradient(x).astype(jnp.int32), nodes - 2)
            places.append((cell, x - cell.astype(x.dtype)))
        (i, x), (j, y) = places
        ok = inside & self.known[i, j]
        # Once more: a device whose states are not known stays where it began, without a gradient.
        i, j = jnp.where(ok, i, 0), jnp.where(ok, j, 0)
        x, y = jnp.where(ok, x, 0.0), jnp.where(ok, y, 0.0)
        numbers = self.cells[i, j]
        q, noise = _bicubic(numbers[..., :16], x, y), _bilinear(numbers[..., 16:], x, y)
        if rest is not None:
            orders = self.drift[i, j]
            a, b, c = (_bilinear(orders[..., k : k + 4], x, y) for k in (0, 4, 8))
            q = q * jnp.exp(rest * (a + rest * (b / 2 + rest * c / 6)))
        return Landed(q, noise, ok)


def flow_map(
    device: ReducedDevice,
    amplitudes: tuple[Scalar, Scalar],
    *,
    grid: Grid,
    dtype: Any = None,
) -> FlowMap:
    """Return the table of a reduced device, with a gradient to all its leaves.

    Counting noise is followed to first order, as a covariance P along the trajectory:
    ``dP/dx = J P + P J^T + Q`` from that of a drawn state, with J the Jacobian of the flow.

    Args:
        device: The reduced device; its `speed` and `resistance_scale` belong to the exposures and
            to what is read, and are left out here.
        amplitudes: Voltages of the first and the second train [V], each with its sign.
        grid: The nodes.
        dtype: Float type of the table; that of the device if None.
    """
    one = jnp.ones((), device.start.dtype)
    device = eqx.tree_at(lambda d: (d.speed, d.resistance_scale), device, (one, one))
    still = device.initial_fields(device.start)

    def slope(z, v):
        return device.rate(v, z, still, None, "write")[0] / exposure_rate(device, v)

    def motion(along, v):
        """Of a state, of its derivative to the first exposure, of its covariance."""
        z, tangent, covariance = along
        jacobian = jax.jacfwd(slope)(z, v)
        factor = device.hop_factor
        at = jnp.clip(z, *device._box())[0]
        factor = factor[0] + factor[1] * at + factor[2] * at**2
        size = jnp.abs(v) / device.amplitude
        hops = power(size, device.hop_exponent) / exposure_rate(device, v)
        spread = jacobian @ covariance
        return (
            slope(z, v),
            jacobian @ tangent,
            spread + spread.T + hops * factor @ factor.T,
        )

    # Of the classical Runge-Kutta method: where a stage is, and its share of the step.
    runge_kutta = tuple(
        jnp.asarray(x, one.dtype) for x in ((0, 1 / 2, 1 / 2, 1), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
    )

    def follow(start, v, number, spacing):
        h = spacing / SUBSTEPS

        def step(now, _):
            def stage(carry, weights):
                slopes, moved = carry
                before, share = weights
                slopes = motion(jax.tree.map(lambda a, b: a + before * h * b, now, slopes), v)
                return (slopes, jax.tree.map(lambda a, b: a + share * h * b, moved, slopes)), None

            # One stage after another in a loop: a quarter of the code to compile.
            still = jax.tree.map(jnp.zeros_like, now)
            return jax.lax.scan(stage, (still, now), runge_kutta)[0][1], None

        def node(now, _):
            now, _ = jax.lax.scan(step, now, length=SUBSTEPS)
            return now, now

        _, path = jax.lax.scan(node, start, length=number - 1)
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start, path)

    forward, backward = amplitudes
    z = device.start
    factor = device.draw_factor
    factor = factor[0] + factor[1] * z[0] + factor[2] * z[0] ** 2
    begin = (z, jnp.zeros_like(z), factor @ factor.T)
    (n, m), (h, k) = grid.nodes, grid.spacing
    states, _, covariances = follow(begin, forward, n, h)
    tangents = jax.vmap(slope, (0, None))(states, forward)
    after = jax.vmap(lambda *along: follow(along, backward, m, k))(states, tangents, covariances)

    square, offset = device.generator[:, :-1], device.generator[:, -1]

    def read(z):
        return jnp.exp(device.log_resistance[0]) / device.read(z)

    def node(z, tangent, covariance):
        # Value, derivatives to both exposures, and to one after the other.
        along, (drift, turning) = (
            lambda z: jax.jvp(read, (z,), (tangent,)),
            jax.jvp(lambda x: slope(x, backward), (z,), (tangent,)),
        )
        gradient = jax.grad(read)(z)
        (q, q1), (q2, q12) = jax.jvp(along, (z,), (drift,))
        values = jnp.stack([q, q1 * h, q2 * k, (q12 + gradient @ turning) * h * k])
        variance = gradient @ covariance @ gradient
        on = variance > 0
        noise = jnp.where(on, jnp.sqrt(jnp.where(on, variance, 1.0)), 0.0)
        velocity = square @ z + offset
        orders = [velocity, square @ velocity, square @ (square @ velocity)]
        # The logarithm of the resistance is the first state.
        return values, noise, -device.log_resistance[1] * jnp.stack([x[0] for x in orders])

    values, noise, rest = jax.vmap(jax.vmap(node))(*after)
    known = jax.vmap(jax.vmap(device.valid))(after[0]) & jnp.all(jnp.isfinite(values), axis=-1)
    cells = jnp.concatenate([_coefficients(values), jnp.stack(_corners(noise), axis=-1)], axis=-1)
    corners = jnp.stack(_corners(rest), axis=-1)
    cells, rests = (
        jnp.where(jnp.isfinite(x), x, 0.0).astype(dtype or x.dtype)
        for x in (cells, corners.reshape(*corners.shape[:2], 12))
    )
    return FlowMap(cells, rests, jnp.stack(_corners(known)).all(axis=0), grid)


def exposure_rate(device: ReducedDevice, v: ScalarLike) -> Scalar:
    """Return ``|v / v_0|^n``: how much faster than at the writing amplitude exposure counts."""
    exponents = device.flow.log_rate[:, 0]
    v = jnp.asarray(v, exponents.dtype) / device.amplitude
    return power(jnp.abs(v), jnp.where(v < 0, exponents[1], exponents[0]))


def _corners(x: Array) -> list[Array]:
    return [x[:-1, :-1], x[:-1, 1:], x[1:, :-1], x[1:, 1:]]


def _coefficients(values: Float[Array, "first second 4"]) -> Float[Array, "cells more 16"]:
    """Return the bicubic of each cell from q, q_x, q_y, q_xy (in units of the cell) at nodes."""
    basis = jnp.asarray(_HERMITE, values.dtype)
    c00, c01, c10, c11 = _corners(values)
    # Rows: value at 0 and 1, slope at 0 and 1, along the first axis; columns along the second.
    rows = [
        [c00[..., 0], c01[..., 0], c00[..., 2], c01[..., 2]],
        [c10[..., 0], c11[..., 0], c10[..., 2], c11[..., 2]],
        [c00[..., 1], c01[..., 1], c00[..., 3], c01[..., 3]],
        [c10[..., 1], c11[..., 1], c10[..., 3], c11[..., 3]],
    ]
    data = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
    found = jnp.einsum("ar,...rc,bc->...ab", basis, data, basis)
    return found.reshape(*found.shape[:-2], 16)


def _bicubic(c: Array, x: Array, y: Array) -> Array:
    def cubic(k):
        return c[..., k] + y * (c[..., k + 1] + y * (c[..., k + 2] + y * c[..., k + 3]))

    return cubic(0) + x * (cubic(4) + x * (cubic(8) + x * cubic(12)))


def _bilinear(c: Array, x: Array, y: Array) -> Array:
    low, high = c[..., 0] + y * (c[..., 1] - c[..., 0]), c[..., 2] + y * (c[..., 3] - c[..., 2])
    return low + x * (high - low)
