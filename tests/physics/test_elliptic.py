"""Conjugate gradients against a sparse direct solver, implicit gradients, idle lanes of a batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from analogjax.physics.conduction import (
    Bias,
    ConductanceNetwork,
    electrode_voltages,
    solve_potential,
)
from analogjax.physics.elliptic import CosinePreconditioner, conjugate_gradients
from analogjax.physics.grid import corner_electrodes

N = 12
NAN = float("nan")
ARM = 0.3
COVERAGE = corner_electrodes(N, jnp.asarray(ARM))


def film(seed=0, contrast=3.0):
    """A rough map of sigma h [S]; neighbours differ by up to exp(2 contrast)."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(1e-6 * np.exp(rng.uniform(-contrast, contrast, size=(N, N))))


def solve(sheet, voltages, contact_resistance=0.0, anisotropy=1.0, guess=None):
    guess = jnp.zeros_like(sheet) if guess is None else guess
    return _solve(sheet, voltages, contact_resistance, anisotropy, guess)


@jax.jit
def _solve(sheet, voltages, contact_resistance, anisotropy, guess):
    network = ConductanceNetwork(sheet, COVERAGE, contact_resistance, anisotropy)
    bias = Bias(voltages)
    potential = solve_potential(network, bias, CosinePreconditioner(COVERAGE), guess)
    return potential, electrode_voltages(network, bias, potential)


def solve_sparse(sheet, voltages, contact_resistance=0.0, anisotropy=1.0):
    """The same circuit written down conductor by conductor, electrodes as nodes of their own."""
    s, v = np.asarray(sheet), np.asarray(voltages)
    node = np.arange(N * N).reshape(N, N)
    rows, columns, values = [], [], []

    def conductor(a, b, g):
        rows.extend((a, b, a, b))
        columns.extend((a, b, b, a))
        values.extend((g, g, -g, -g))

    for i in range(N):
        for j in range(N):
            if i + 1 < N:
                g = 1 / (0.5 / s[i, j] + 0.5 / s[i + 1, j])
                conductor(node[i, j], node[i + 1, j], g)
            if j + 1 < N:
                g = anisotropy / (0.5 / s[i, j] + 0.5 / s[i, j + 1])
                conductor(node[i, j], node[i, j + 1], g)
    edges = [
        (node[0], 1.0), (node[-1], 1.0), (node[:, 0], anisotropy), (node[:, -1], anisotropy)
    ]  # fmt: skip
    for k in range(4):
        for share, (cells, stretch) in zip(np.asarray(COVERAGE[k]), edges, strict=True):
            for cell, part in zip(cells, share, strict=True):
                if part > 0:
                    half = 0.5 / (stretch * s.reshape(-1)[cell])
                    conductor(cell, N * N + k, part / (half + contact_resistance))
    size = N * N + 4
    matrix = sp.csr_matrix((values, (rows, columns)), shape=(size, size))
    driven = np.flatnonzero(~np.isnan(v)) + N * N
    free = np.setdiff1d(np.arange(size), driven)
    known = v[driven - N * N]
    x = np.empty(size)
    x[driven] = known
    x[free] = spsolve(matrix[free][:, free].tocsc(), -matrix[free][:, driven] @ known)
    return x[: N * N].reshape(N, N), x[N * N :]


BIASES = {
    "write": [5.0, NAN, 0.0, NAN],
    "read": [NAN, 0.1, NAN, 0.0],
    "all driven": [1.0, -2.0, 0.5, 3.0],
    "three driven": [1.0, NAN, -1.0, 0.3],
    "one driven": [2.0, NAN, NAN, NAN],
}


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize(
    ("contact_resistance", "anisotropy"), [(0.0, 1.0), (3e5, 1.0), (0.0, 4.0), (1e6, 0.2)]
)
def test_potential_is_that_of_a_sparse_direct_solver(bias, contact_resistance, anisotropy):
    sheet, voltages = film(), jnp.asarray(BIASES[bias])
    found, electrodes = solve(sheet, voltages, contact_resistance, anisotropy)
    expected, at = solve_sparse(sheet, voltages, contact_resistance, anisotropy)
    scale = np.nanmax(np.abs(voltages))
    np.testing.assert_allclose(found, expected, atol=1e-9 * scale)
    np.testing.assert_allclose(electrodes, at, atol=1e-9 * scale)


def test_a_rougher_film_than_any_is_solved_too():
    # Noise over four orders of magnitude, where a film has two with sigma_background = 1 S/m.
    # (From about six orders on, the bound on iterations is reached.)
    voltages = jnp.asarray(BIASES["write"])
    found, _ = solve(film(1, contrast=4.6), voltages)
    expected, _ = solve_sparse(film(1, contrast=4.6), voltages)
    np.testing.assert_allclose(found, expected, atol=1e-9 * 5)


def test_one_driven_electrode_lifts_the_whole_film():
    potential, electrodes = solve(film(), jnp.asarray(BIASES["one driven"]))
    np.testing.assert_allclose(potential, 2.0, rtol=1e-12)
    np.testing.assert_allclose(electrodes, 2.0, rtol=1e-12)


@pytest.mark.parametrize("guess", ["zero", "solution", "noise", "wrong sign"])
def test_the_guess_does_not_change_the_solution(guess):
    voltages = jnp.asarray(BIASES["write"])
    cold, _ = solve(film(), voltages)
    noise = jnp.asarray(np.random.default_rng(5).normal(size=(N, N)))
    start = {"zero": 0 * cold, "solution": cold, "noise": noise, "wrong sign": -cold}[guess]
    warm, _ = solve(film(), voltages, guess=start)
    np.testing.assert_allclose(warm, cold, atol=1e-11 * 5)


def test_without_drive_the_potential_is_zero_and_not_nan():
    potential, _ = solve(film(), jnp.zeros(4))
    np.testing.assert_array_equal(potential, 0.0)


def test_batch_with_idle_lanes_equals_one_by_one():
    voltages = jnp.asarray([BIASES["write"], [0.0] * 4, BIASES["read"], [0.0, NAN, 0.0, NAN]])
    sheets = jnp.stack([film(seed) for seed in range(4)])
    together, _ = jax.jit(jax.vmap(solve))(sheets, voltages)
    for one, sheet, voltage in zip(together, sheets, voltages, strict=True):
        # The other lanes iterate on; a lane that has converged keeps its bits or gains round-off.
        np.testing.assert_allclose(one, solve(sheet, voltage)[0], atol=1e-13 * 5)
    np.testing.assert_array_equal(together[1], 0.0)
    np.testing.assert_array_equal(together[3], 0.0)


# Gradients.


def test_gradient_equals_finite_differences():
    rng = np.random.default_rng(2)
    weights = jnp.asarray(rng.normal(size=(N, N)))
    direction = jnp.asarray(rng.normal(size=(N, N)))
    voltages = jnp.asarray(BIASES["write"])

    @jax.jit
    def along(step):
        sheet = film() * jnp.exp(step * direction)
        return jnp.vdot(weights, solve(sheet, voltages)[0])

    reverse = jax.jit(jax.grad(along))(0.0)
    _, forward = jax.jit(lambda: jax.jvp(along, (0.0,), (1.0,)))()
    np.testing.assert_allclose(reverse, forward, rtol=1e-11)
    # Fourth-order differences: truncation h^4, round-off 1e-14 / h; h = 2e-3 balances them near
    # 1e-11 of numbers of size 10.
    h = 2e-3
    numeric = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
    np.testing.assert_allclose(reverse, numeric, rtol=1e-8)


def test_zero_cotangents_and_zero_tangents_give_zero():
    voltages, zero = jnp.asarray(BIASES["write"]), jnp.zeros((N, N))

    def potential(sheet):
        return solve(sheet, voltages)[0]

    @jax.jit
    def both(sheet, direction):
        return jax.vjp(potential, sheet)[1](direction)[0], jax.jvp(
            potential, (sheet,), (direction,)
        )[1]

    cotangent, tangent = both(film(), zero)
    np.testing.assert_array_equal(cotangent, 0.0)
    np.testing.assert_array_equal(tangent, 0.0)


def test_gradient_of_an_idle_lane_is_zero_and_leaves_the_others_alone():
    @jax.jit
    @jax.grad
    def slope(sheets, voltages):
        return (jax.vmap(solve)(sheets, voltages)[0] ** 2).sum()

    busy, idle = BIASES["write"], [0.0] * 4
    sheets = jnp.stack([film(), film()])
    with_idle = slope(sheets, jnp.asarray([busy, idle]))
    np.testing.assert_array_equal(with_idle[1], 0.0)
    both_busy = slope(sheets, jnp.asarray([busy, busy]))
    scale = abs(both_busy).max()
    np.testing.assert_allclose(with_idle[0], both_busy[0], atol=1e-11 * scale)


def test_guess_carries_no_gradient():
    voltages = jnp.asarray(BIASES["write"])
    slope = jax.grad(lambda g: solve(film(), voltages, guess=g)[0].sum())(jnp.ones((N, N)))
    np.testing.assert_array_equal(slope, 0.0)


@pytest.mark.parametrize("cells", [8, 48])
def test_iteration_converges_in_few_steps_on_every_grid(cells):
    # Counted from outside: how often the operator is applied (once for the guess).
    coverage = corner_electrodes(cells, jnp.asarray(0.25))
    x = (np.arange(cells) + 0.5) / cells
    sheet = jnp.asarray(1e-7 * (40 + 126 / (1 + np.exp(20 * (x[:, None] + x - 0.7)))))
    applied = []

    @jax.jit
    def count(sheet):
        network = ConductanceNetwork(sheet, coverage)
        precondition = CosinePreconditioner(coverage)

        def operator(p):
            jax.debug.callback(lambda: applied.append(1))
            return network.apply(p)

        source = network.contact[0] * 5.0
        return conjugate_gradients(
            operator, source, lambda r: precondition(r, network.weight), 0 * source, 1e-14
        )

    count(sheet).block_until_ready()
    jax.effects_barrier()
    assert 5 < len(applied) < 25


def test_single_precision_is_solved_to_its_own_accuracy():
    @jax.jit
    def single(sheet, voltages, coverage):
        network = ConductanceNetwork(sheet, coverage)
        return solve_potential(network, Bias(voltages), CosinePreconditioner(coverage))

    single_of = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
    found = single(*map(single_of, (film(), BIASES["write"], COVERAGE)))
    assert found.dtype == jnp.float32
    expected, _ = solve_sparse(film(), BIASES["write"])
    # 1e-6 in the energy norm; the conductivities differ by 400.
    np.testing.assert_allclose(found, expected, atol=1e-4 * 5)
