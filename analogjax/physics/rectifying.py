"""Current continuity in a film behind rectifying contacts: a nonlinear network, by Newton.

Every electrode face is a junction in series with the half cell behind it. Unknowns are the
potential of the cells, the drop over every junction and the voltage of every electrode; the balance
is that of the cells (Kirchhoff), of the faces (junction and half cell carry the same current) and
of the electrodes (driven, or without net current). It is the minimum of a convex energy, because
junctions are passive and their current increases with the drop. So

* the drops are eliminated exactly, face by face, by a bracketed Newton in one dimension: what is
  left is a law whose slope never exceeds the half cell's conductance, however steep the junction;
* Newton on cells and electrodes, its step shortened where it would overshoot along its direction,
  converges from any start. A step is the film's network with the contacts' differential
  conductance, solved by the preconditioned conjugate gradients of `elliptic`.

The solution is differentiated implicitly in both modes: one linear solve at the solution, never the
iteration itself.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from .._types import Array, CellField, Coverage, Float, Scalar, Terminals
from .conduction import Bias, ConductanceNetwork, Conduction, dissipated
from .contacts import SchottkyJunction
from .elliptic import CosinePreconditioner, conjugate_gradients, default_tolerance
from .grid import edge_values, sum_to_cells

Faces = Float[Array, "terminals 4 faces"]

MAX_NEWTON = 100
"""Bound of the Newton iteration; 3 to 20 are usual, the most for a contact that blocks."""

MAX_SHORTENINGS = 20
"""Bound of the search along one step; none or one are usual."""

MAX_DROP_ITERATIONS = 100
"""Bound of the search for the drop over a junction; 4 to 8 are usual."""

STEP_TOLERANCE = 1e-4
"""Tolerance of the linear solve of a step: tighter ones cost iterations and save no steps."""


class Balance(eqx.Module):
    """One value for every unknown, or for every equation, of the network."""

    cells: CellField
    """Potential [V], or current that leaves a cell [A]."""
    faces: Faces
    """Drop over a junction [V], or excess of its current over the half cell's [A]."""
    electrodes: Terminals
    """Voltage of an electrode [V], or its current (floating) or excess voltage (driven)."""


class RectifyingNetwork(eqx.Module):
    """A film whose electrodes are junctions; the counterpart of `ConductanceNetwork`."""

    film: ConductanceNetwork
    """The same film with ohmic contacts; of these, the half cells stay."""
    coverage: Coverage
    junction: SchottkyJunction
    face_area: Scalar
    """Area of a fully covered face [m^2]."""

    def current_and_slope(self, drop: Faces) -> tuple[Faces, Faces]:
        """Return current [A] and differential conductance [S] of fully covered junctions."""
        current, slope = self.junction.current_and_slope(drop)
        return self.face_area * current, self.face_area * slope

    def current(self, drop: Faces) -> Faces:
        """Return the current [A] of fully covered junctions."""
        return self.face_area * self.junction.current_density(drop)

    def conduct(
        self, bias: Bias, preconditioner: CosinePreconditioner, guess: CellField | None = None
    ) -> Conduction:
        """Return potential, currents and heat under a bias; see `Conduction`."""
        guess = jnp.zeros_like(self.film.weight) if guess is None else guess
        at = solve(self, bias, preconditioner=preconditioner, guess=lax.stop_gradient(guess))
        current = self.coverage * self.current(at.faces)
        total = jnp.where(bias.floating, 0.0, current.sum((1, 2)))
        heat = dissipated(self.film, at.cells)
        heat = heat + _to_cells((current * _spans(at)).sum(0)[None])[0]
        return Conduction(at.cells, total, at.electrodes, heat)

    def conductance_matrix(
        self, preconditioner: CosinePreconditioner
    ) -> Float[Array, "terminals terminals"]:
        """Return dI/dV [S] of all electrodes at 0 V."""
        terminals = self.coverage.shape[0]

        def currents(voltages: Terminals) -> Terminals:
            return self.conduct(Bias(voltages), preconditioner).currents

        return jax.jacfwd(currents)(jnp.zeros(terminals, self.film.weight.dtype))


def _to_cells(faces: Faces) -> Float[Array, "terminals x y"]:
    return jax.vmap(sum_to_cells)(faces)


def _spans(at: Balance) -> Faces:
    """Voltage of every electrode minus the potential of the cell behind every face [V]."""
    return at.electrodes[:, None, None] - edge_values(at.cells)[None]


def residual(network: RectifyingNetwork, bias: Bias, at: Balance) -> Balance:
    """Return by how much every equation fails; the current is the junctions' (no cancellation)."""
    current = network.current(at.faces)
    entering = network.coverage * current
    return Balance(
        network.film.outflow(at.cells) - _to_cells(entering).sum(0),
        current - network.film.half_cell[None] * (_spans(at) - at.faces),
        jnp.where(bias.floating, entering.sum((1, 2)), at.electrodes - bias.voltage),
    )


# The linearised network.


def _solve_linear(
    network: RectifyingNetwork,
    bias: Bias,
    drop: Faces,
    source: Balance,
    preconditioner: CosinePreconditioner,
    tolerance: float,
) -> Balance:
    """Return the change of the unknowns that changes the residual by `source`, at these drops.

    Faces and electrodes are eliminated; what is left is symmetric, a network of conductances.
    """
    _, slope = network.current_and_slope(drop)
    series = network.film.half_cell[None]
    # Current of a face that follows its span, and its own source.
    share = slope / (slope + series)
    at_faces = network.coverage * share * series
    own = network.coverage * share * source.faces
    contact = _to_cells(at_faces)
    total = contact.sum((1, 2))
    floating = jnp.where(bias.floating, 1.0, 0.0)
    grounded = jnp.einsum("k,kxy->xy", 1 - floating, contact)

    def floats(cells: CellField) -> Terminals:
        return floating * jnp.einsum("kxy,xy->k", contact, cells) / total

    def into(electrodes: Terminals) -> CellField:
        return jnp.einsum("k,kxy->xy", electrodes, contact)

    def operator(cells: CellField) -> CellField:
        return network.film.outflow(cells) + contact.sum(0) * cells - into(floats(cells))

    def precondition(r: CellField) -> CellField:
        # A contact that blocks leaves the film's common level almost free, which the preconditioner
        # (made for ohmic contacts) cannot know: that level is deflated exactly.
        level = r.sum() / grounded.sum()
        z = preconditioner(r - level * grounded, network.film.weight)
        return z - (grounded * z).sum() / grounded.sum() + level

    without = source.electrodes - floating * own.sum((1, 2))
    without = without / jnp.where(bias.floating, total, 1.0)
    right = source.cells + _to_cells(own).sum(0) + into(without)
    cells = conjugate_gradients(operator, right, precondition, jnp.zeros_like(right), tolerance)
    electrodes = without + floats(cells)
    change = Balance(cells, source.faces, electrodes)
    faces = (source.faces + series * _spans(change)) / (slope + series)
    return Balance(cells, faces, electrodes)


# The nonlinear solve.


@eqx.filter_custom_jvp
def solve(
    network: RectifyingNetwork,
    bias: Bias,
    *,
    preconditioner: CosinePreconditioner,
    guess: CellField,
) -> Balance:
    """Return the solution; nan throughout if Newton did not converge."""
    # The solution lies between the driven voltages. So does the start: far above them every contact
    # would block, and nothing would fix the level.
    low = jnp.where(bias.floating, jnp.inf, bias.voltage).min()
    high = jnp.where(bias.floating, -jnp.inf, bias.voltage).max()
    guess = jnp.clip(guess, low, high)
    # Convergence is quadratic: after a last step this short nothing is left but round-off, and of
    # that step what its linear solve has left over. The round-off is that of the voltages.
    scale = jnp.minimum(jnp.min(network.junction.thermal_voltage), high - low)
    eps = jnp.finfo(guess.dtype).eps
    enough = jnp.maximum(4e5 * eps * scale, 400 * eps * jnp.maximum(jnp.abs(low), jnp.abs(high)))
    one = jnp.ones_like(enough)

    def evaluate(cells: CellField, electrodes: Terminals, drop: Faces) -> tuple[Balance, Balance]:
        span = electrodes[:, None, None] - edge_values(cells)[None]
        at = Balance(cells, _junction_drops(network, span, drop), electrodes)
        return at, residual(network, bias, at)

    def slope_along(step: Balance, left: Balance) -> Scalar:
        """Derivative of the energy along a step: its sign says whether the step overshoots."""
        at_electrodes = jnp.where(bias.floating, left.electrodes * step.electrodes, 0.0)
        return (left.cells * step.cells).sum() + at_electrodes.sum()

    def unfinished(carry):
        *_, size, n = carry
        return (size > enough) & (n < MAX_NEWTON)

    def iterate(carry):
        at, left, _, n = carry
        source = Balance(-left.cells, jnp.zeros_like(left.faces), -left.electrodes)
        step = _solve_linear(network, bias, at.faces, source, preconditioner, STEP_TOLERANCE)
        before = slope_along(step, left)

        def overshoots(trial):
            _, _, _, slope, m = trial
            return (m == 0) | ((slope > 0.5 * jnp.abs(before)) & (m < MAX_SHORTENINGS))

        def shorten(trial):
            share, _, _, slope, m = trial
            # To where the slope vanishes if it is a straight line; first of all the whole step.
            less = jnp.clip(before / (before - slope), 0.1, 0.7)
            share = jnp.where(m == 0, one, share * less)
            cells = at.cells + share * step.cells
            now, left = evaluate(cells, at.electrodes + share * step.electrodes, at.faces)
            return share, now, left, slope_along(step, left), m + 1

        start = (one, at, left, before, 0)
        _, now, left, _, _ = lax.while_loop(overshoots, shorten, start)
        size = jnp.maximum(jnp.abs(step.cells).max(), jnp.abs(step.electrodes).max())
        return now, left, size, n + 1

    covered = network.coverage / network.coverage.sum((1, 2), keepdims=True)
    level = (covered * edge_values(guess)[None]).sum((1, 2))
    electrodes = jnp.where(bias.floating, level, bias.voltage)
    first = evaluate(guess, electrodes, jnp.zeros_like(network.coverage))
    at, _, size, _ = lax.while_loop(unfinished, iterate, (*first, jnp.inf * one, 0))
    return jax.tree.map(lambda leaf: jnp.where(size <= enough, leaf, jnp.nan), at)


@solve.def_jvp
def _solve_jvp(primals, tangents, *, preconditioner, guess):
    network, bias = primals
    at = solve(network, bias, preconditioner=preconditioner, guess=guess)
    left, change = eqx.filter_jvp(lambda n, b: residual(n, b, at), primals, tangents)
    # An equation that no perturbed leaf enters has None for a tangent.
    source = jax.tree.map(lambda x, dx: jnp.zeros_like(x) if dx is None else -dx, left, change)
    tolerance = default_tolerance(at.cells.dtype)
    return at, _solve_linear(network, bias, at.faces, source, preconditioner, tolerance)


def _junction_drops(network: RectifyingNetwork, span: Faces, guess: Faces) -> Faces:
    """Return the share of every span [V] that drops over the junction, the half cell in series.

    Newton inside a bracket. In reverse on ``u - span + i(u)/G``; forward, where that is steep, on
    its logarithm ``u - n log(1 + G (span - u)/i0)`` with ``n = eta kT/q``, convex and of slope near
    one.
    """
    series = network.film.half_cell[None]
    junction = network.junction
    width = junction.ideality * junction.thermal_voltage
    forward = span > 0

    def balance(drop: Faces) -> Faces:
        through = jnp.where(forward, series * (span - drop), 0.0)
        ratio = through / (network.face_area * junction.saturation(drop))
        reverse = drop - span + network.current(jnp.minimum(drop, 0.0)) / series
        return jnp.where(forward, drop - width * jnp.log1p(ratio), reverse)

    def unfinished(carry):
        *_, active, n = carry
        return active & (n < MAX_DROP_ITERATIONS)

    def step(carry):
        drop, low, high, _, n = carry
        value, slope = jax.jvp(balance, (drop,), (jnp.ones_like(drop),))
        low, high = jnp.where(value < 0, drop, low), jnp.where(value > 0, drop, high)
        new = drop - value / slope
        new = jnp.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        accuracy = 16 * jnp.finfo(drop.dtype).eps
        active = jnp.any(jnp.abs(new - drop) > accuracy * jnp.abs(new))
        return new, low, high, active, n + 1

    zero = jnp.zeros_like(span)
    low, high = jnp.minimum(span, zero), jnp.maximum(span, zero)
    start = (jnp.clip(guess, low, high), low, high, jnp.array(True), 0)
    drop, *_ = lax.while_loop(unfinished, step, start)
    return drop
