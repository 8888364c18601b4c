"""The grid: conservation by construction, faces and cells as transposes, electrode coverage."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.physics import grid

N = 12
RNG = np.random.default_rng(0)


def test_net_outflow_sums_to_zero():
    flux_x = jnp.asarray(RNG.normal(size=(N - 1, N)))
    flux_y = jnp.asarray(RNG.normal(size=(N, N - 1)))
    outflow = grid.net_outflow(flux_x, flux_y)
    # A telescoping sum: round-off of 2 N^2 numbers of size 1.
    assert abs(outflow.sum()) < 1e-12


def test_net_outflow_of_one_face_leaves_one_cell_and_enters_the_next():
    flux_x = jnp.zeros((N - 1, N)).at[3, 5].set(2.0)
    outflow = grid.net_outflow(flux_x, jnp.zeros((N, N - 1)))
    expected = np.zeros((N, N))
    expected[3, 5], expected[4, 5] = 2.0, -2.0
    np.testing.assert_array_equal(outflow, expected)


def test_sum_to_cells_is_the_transpose_of_edge_values():
    faces = jnp.asarray(RNG.normal(size=(4, N)))
    cells = jnp.asarray(RNG.normal(size=(N, N)))
    np.testing.assert_allclose(
        jnp.vdot(faces, grid.edge_values(cells)),
        jnp.vdot(grid.sum_to_cells(faces), cells),
        rtol=1e-13,
    )


def test_edges_are_counted_from_the_origin():
    cells = jnp.arange(N * N, dtype=float).reshape(N, N)
    x0, x1, y0, y1 = grid.edge_values(cells)
    np.testing.assert_array_equal(x0, cells[0, :])
    np.testing.assert_array_equal(x1, cells[N - 1, :])
    np.testing.assert_array_equal(y0, cells[:, 0])
    np.testing.assert_array_equal(y1, cells[:, N - 1])


def test_faces_to_cells_keeps_the_sum():
    on_x = jnp.asarray(RNG.uniform(size=(N - 1, N)))
    on_y = jnp.asarray(RNG.uniform(size=(N, N - 1)))
    total = grid.faces_to_cells(on_x, on_y).sum()
    np.testing.assert_allclose(total, on_x.sum() + on_y.sum(), rtol=1e-14)


@pytest.mark.parametrize("arm", [0.1, 0.25, 0.26, 0.49])
def test_covered_length_is_the_arm(arm):
    share = grid.covered_share(N, jnp.asarray(arm))
    np.testing.assert_allclose(share.sum() / N, arm, rtol=1e-14)
    assert ((share >= 0) & (share <= 1)).all()
    assert (jnp.diff(share) <= 0).all()


def test_covered_share_follows_the_arm_with_unit_length_per_length():
    slope = jax.grad(lambda arm: grid.covered_share(N, arm).sum() / N)(0.26)
    assert slope == 1.0


def test_covered_share_has_the_mean_slope_where_the_arm_ends_on_a_face_boundary():
    slopes = jax.jacfwd(lambda arm: grid.covered_share(N, arm))(0.25)
    # One half of N for the face that is just full, one half for the next.
    expected = np.zeros(N)
    expected[2], expected[3] = N / 2, N / 2
    np.testing.assert_array_equal(slopes, expected)


def test_corner_electrodes_stand_at_their_corners():
    coverage = grid.corner_electrodes(N, jnp.asarray(0.25))
    assert coverage.shape == (4, 4, N)
    at = [grid.sum_to_cells(one) for one in coverage]
    corners = [(0, 0), (N - 1, 0), (N - 1, N - 1), (0, N - 1)]
    for field, corner in zip(at, corners, strict=True):
        # Both arms meet in the corner cell.
        assert field[corner] == 2.0
        np.testing.assert_allclose(field.sum() / N, 0.5, rtol=1e-14)


def test_corner_electrodes_do_not_overlap():
    coverage = grid.corner_electrodes(N, jnp.asarray(0.49))
    assert (coverage.sum(0) <= 1.0).all()


def test_corner_electrodes_map_onto_each_other():
    one, two, three, four = (
        grid.sum_to_cells(c) for c in grid.corner_electrodes(N, jnp.asarray(0.23))
    )
    np.testing.assert_array_equal(one, three[::-1, ::-1])
    np.testing.assert_array_equal(two, four.T)
    np.testing.assert_array_equal(two, one[::-1])


def test_side_electrodes_cover_two_opposite_edges():
    left, right = grid.side_electrodes(N)
    np.testing.assert_array_equal(left, np.eye(4)[0][:, None] * np.ones(N))
    np.testing.assert_array_equal(right, np.eye(4)[1][:, None] * np.ones(N))
