"""One pulse on filaments that differ: the time along the state by quadrature, of tabulated speeds.

Under a constant voltage JART's state runs along one line, ``dy/dt = +-F(u) b``, y = ln N, with the
limiter ``F = 1 - exp(10 u)``, u the distance to the bound of the motion (negative before it). In

    z = -ln(exp(-10 u) - 1) / 10,    u = -ln(1 + exp(-10 z)) / 10

the limiter is gone, ``dz/dt = b``, and a pulse of duration w ends where the integral of ``dz / b``
is w. The speed b is smooth in amplitude, radius, disc length, bound and z: its logarithm is
tabulated by Chebyshev polynomials of the first four at Gauss-Legendre nodes along z, so that many
filaments cost one matrix product and the exponentials of their nodes.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, Float, Scalar
from ..devices import JartVCM

STEEP = 10.0
"""Exponent of JART's limiter."""
DEGREES = (10, 4, 4, 5)
"""Of amplitude, radius, disc length and bound; a product of polynomials counts by the sum of its
degrees over these, up to 1."""
CELL, POINTS = 0.2, 4
"""Largest length of a cell in z, and Gauss-Legendre nodes in each."""
BEYOND = 0.8
"""Where the tables end: within exp(-8) / 10 of the bound; from there on the speed is constant."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(POINTS)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1), 0.5 * _WEIGHTS
_RULE = tuple(zip(_NODES, _WEIGHTS, strict=True))
# From values at the nodes of a cell to coefficients of powers.
_POWERS = np.linalg.inv(np.vander(_NODES, increasing=True))


@lru_cache
def _indices(degrees: tuple[int, ...]) -> np.ndarray:
    """Return the degrees of the products that are kept, (terms, 4)."""
    every = itertools.product(*(range(d + 1) for d in degrees))
    kept = [i for i in every if sum(np.divide(i, degrees)) <= 1 + 1e-9]
    return np.asarray(kept)


class Flow(eqx.Module):
    """Logarithms of speeds [ln 1/s] along z, for one polarity.

    Attributes:
        table: Coefficients of the products of polynomials, at the nodes along z.
        first: Where the tables begin, in z.
        low: Smallest amplitude [V], and smallest deviations of radius [m], disc length [m] and
            logarithm of the bound from the nominal ones.
        high: The largest ones.
        degrees: Of the polynomials.
    """

    table: Float[Array, "terms nodes"]
    first: Scalar
    low: Float[Array, " 4"]
    high: Float[Array, " 4"]
    degrees: tuple[int, ...] = eqx.field(static=True)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.table.shape[1] // POINTS

    @property
    def cell(self) -> Scalar:
        """Length of a cell in z."""
        return (BEYOND - self.first) / self.cells

    def advance(
        self, at: Float[Array, "4 lanes"], begun: Float[Array, " lanes"], width: Array
    ) -> Float[Array, " lanes"]:
        """Return z after a pulse of a duration [s].

        Args:
            at: Amplitude and deviations, within `low` and `high`.
            begun: z before.
            width: Duration [s], one for all or one for each.

        The search is not differentiated; one more step of Newton's method carries the derivative,
        which is that of the implicit function.
        """
        # Lanes last: each row of every table is one vector operation.
        slowness = -(self.table.T @ _terms(at, self.low, self.high, self.degrees))
        slowness = slowness.reshape(self.cells, POINTS, -1)
        before = self._time(slowness, begun) + width
        fixed = jax.lax.stop_gradient(slowness)
        found, speed = jax.lax.stop_gradient(self._search(fixed, before))
        return found - speed * (self._time(slowness, found) - before)

    def _cells(self, slowness: Array) -> Float[Array, "cells lanes"]:
        """Return the time that each cell takes [s]."""
        times = jnp.exp(slowness)
        return self.cell * sum(w * times[:, k] for k, w in enumerate(_WEIGHTS))

    def _in_cell(self, slowness: Array, k: Array) -> list[Array]:
        """Return the polynomial of ln(slowness) in one cell of each lane, by powers."""
        here = jnp.arange(self.cells)[:, None] == k[None]
        # A sum over all cells is faster than a gather, whose transpose is a scatter.
        values = [jnp.sum(jnp.where(here, slowness[:, j], 0.0), 0) for j in range(POINTS)]
        zero = jnp.zeros_like(values[0])
        return [sum((m * v for m, v in zip(row, values, strict=True)), zero) for row in _POWERS]

    def _time(self, slowness: Array, z: Array) -> Float[Array, " lanes"]:
        """Return the time from the beginning of the tables to z [s]."""
        x = (z - self.first) / self.cell
        k = jnp.clip(jnp.floor(jax.lax.stop_gradient(x)), 0, self.cells - 1)
        whole = jnp.arange(self.cells)[:, None] < k[None]
        before = jnp.sum(jnp.where(whole, self._cells(slowness), 0.0), axis=0)
        return before + self.cell * _partial(self._in_cell(slowness, k), x - k)

    def _search(self, slowness: Array, wanted: Array) -> tuple[Array, Array]:
        """Return z where the time is a wanted one, and the speed there [1/s]."""
        times = self._cells(slowness)
        edges = jnp.cumsum(times, axis=0)
        k = jnp.minimum(jnp.sum(edges <= wanted[None], axis=0), self.cells - 1)
        whole = jnp.arange(self.cells)[:, None] < k[None]
        rest = (wanted - jnp.sum(jnp.where(whole, times, 0.0), axis=0)) / self.cell
        powers, one = self._in_cell(slowness, k), jnp.ones_like(rest)
        takes, last = _partial(powers, one), jnp.exp(_polynomial(powers, one))

        def newton(_, bracket):
            share, low, high = bracket
            late = _partial(powers, share) - rest
            low, high = jnp.where(late < 0, share, low), jnp.where(late < 0, high, share)
            moved = share - late * jnp.exp(-_polynomial(powers, share))
            inside = (moved >= low) & (moved <= high)
            return jnp.where(inside, moved, 0.5 * (low + high)), low, high

        start = (jnp.clip(rest / takes, 0.0, 1.0), jnp.zeros_like(rest), one)
        share, _, _ = jax.lax.fori_loop(0, 5, newton, start)
        share = jnp.where(rest > takes, 1 + (rest - takes) / last, share)
        # The slope of the quadrature itself, so that derivatives are those of what is computed.
        slope = jax.jvp(lambda s: _partial(powers, s), (share,), (one,))[1]
        speed = 1 / slope
        return self.first + self.cell * (k + share), speed


def distance_to_z(u: Array) -> Array:
    """Return z at a distance u < 0 from the bound of the motion."""
    return -_log_expm1(-STEEP * u) / STEEP


def z_to_distance(z: Array) -> Array:
    """Return the distance u < 0 from the bound of the motion at z."""
    return -jax.nn.softplus(-STEEP * z) / STEEP


def cells_from(first: float) -> int:
    """Return how many cells the tables need from where they begin."""
    return int(np.ceil((BEYOND - first) / CELL))


@eqx.filter_jit
def tabulate(
    device: JartVCM,
    sign: float,
    first: Scalar,
    low: Float[Array, " 4"],
    high: Float[Array, " 4"],
    cells: int,
    degrees: tuple[int, ...],
) -> Flow:
    """Return the flow of filaments around a device.

    Args:
        device: The nominal device.
        sign: Of the voltage: -1 for SET, towards `n_max`, 1 for RESET, towards `n_min`.
        first: Where the tables begin, in z.
        low: Smallest amplitude [V] and deviations, as in `Flow`.
        high: Largest ones.
        cells: Cells along z; see `cells_from`.
        degrees: Of the polynomials.
    """
    nodes = [np.cos(np.pi * (np.arange(d + 1) + 0.5) / (d + 1)) for d in degrees]
    grid = np.stack([g.ravel() for g in np.meshgrid(*nodes, indexing="ij")], -1)
    # Samples only where the products that are kept need them would save half; this is done once.
    cell = (BEYOND - first) / cells
    z = (first + cell * (np.arange(cells)[:, None] + _NODES)).ravel()
    bound = jnp.log(device.n_max if sign < 0 else device.n_min)

    def along(place):
        amplitude, d_radius, d_length, d_bound = 0.5 * (low + high) + 0.5 * (high - low) * place
        own = device.replace(
            radius=device.radius + d_radius, disc_length=device.disc_length + d_length
        )
        return jax.vmap(lambda z: log_speed(own, sign, amplitude, bound + d_bound, z))(z)

    values = jax.lax.map(along, jnp.asarray(grid), batch_size=64)
    values = values.reshape(*(d + 1 for d in degrees), -1)
    for axis, d in enumerate(degrees):
        angles = np.arange(d + 1)[:, None] * np.pi * (np.arange(d + 1) + 0.5) / (d + 1)
        transform = 2 / (d + 1) * np.cos(angles)
        transform[0] /= 2
        values = jnp.moveaxis(jnp.tensordot(transform, values, (1, axis)), 0, axis)
    return Flow(values[tuple(_indices(degrees).T)], first, low, high, degrees)


def log_speed(device: JartVCM, sign: float, amplitude: Scalar, end: Scalar, z: Scalar) -> Scalar:
    """Return ln dz/dt [ln 1/s]: the speed of ln N without its limiter.

    Args:
        device: The device; its own bounds do not matter.
        sign: Of the voltage.
        amplitude: Size of the voltage [V].
        end: ln N where the motion ends.
        z: Where on the line.
    """
    y = end + z_to_distance(z) * (1.0 if sign < 0 else -1.0)
    # The limiter of a bound far away is taken out again: it is one up to its own round-off.
    far = device.replace(n_min=jnp.exp(y) * 1e-3, n_max=jnp.exp(y) * 1e3)
    return jnp.log(jnp.abs(far.velocity(sign * amplitude, y)))


def _terms(
    at: Array, low: Array, high: Array, degrees: tuple[int, ...]
) -> Float[Array, "terms lanes"]:
    """Return the products of Chebyshev polynomials at places of the box."""
    x = 2 * (at - low[:, None]) / (high - low)[:, None] - 1
    chosen: list[Array] = []
    for column, (place, degree) in enumerate(zip(x, degrees, strict=True)):
        rows = [jnp.ones_like(place), place]
        for _ in range(degree - 1):
            rows.append(2 * place * rows[-1] - rows[-2])
        # Written down once: fused into what follows, every product would compute them anew. A
        # matrix product, because the transpose of a look-up is a scatter.
        rows = jax.lax.optimization_barrier(jnp.stack(rows))
        chosen.append(jnp.asarray(np.eye(degree + 1)[_indices(degrees)[:, column]]) @ rows)
    return chosen[0] * chosen[1] * chosen[2] * chosen[3]


def _polynomial(powers: list[Array], share: Array) -> Array:
    value = powers[-1]
    for power in powers[-2::-1]:
        value = value * share + power
    return value


def _partial(powers: list[Array], share: Array) -> Array:
    """Return the time of a share of a cell, over the cell's length [s]."""
    inside = jnp.clip(share, 0.0, 1.0)
    parts = [w * jnp.exp(_polynomial(powers, inside * c)) for c, w in _RULE]
    last = jnp.exp(_polynomial(powers, jnp.ones_like(share)))
    return inside * sum(parts) + jnp.maximum(share - 1, 0.0) * last


def _log_expm1(x: Array) -> Array:
    # Never overflows: e^x - 1 = e^x (1 - e^-x).
    return x + jnp.log(-jnp.expm1(-x))
