"""Write errors: they reproduce what they were taken from, and move with time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from analogjax.crossbar import (
    EmpiricalError,
    GaussianError,
    LevelErrors,
    NoError,
    StudentTError,
)

TIMES = (0.0, 1.0, 60.0, 3600.0, 1e5)
N = 200_000


def table(n_levels, repeats=10, *, seed=0, std=0.002, device="film", space="R"):
    """Errors with a bow, a random part whose size depends on the level, and a decay in time."""
    rng = np.random.default_rng(seed)
    u = np.linspace(0, 1, n_levels)
    random = std * (0.5 + u) * rng.standard_normal((repeats, n_levels))
    later = [random * (1 + k) + 0.01 * k * u + 0.004 * np.sin(np.pi * u) for k in range(len(TIMES))]
    return LevelErrors(
        np.stack(later), r_low=1.0e5, r_high=1.19e5, space=space, times=TIMES, device=device
    )


def draw(error, position, n_levels, *, t=0.0, seed=0):
    position = jnp.asarray(position, jnp.float32)
    drawn = error.draw(jax.random.key(seed), position.shape)
    return np.asarray(error.error(drawn, position, n_levels=n_levels, t=t))


def same_values(got, pool):
    """Every value drawn is in the pool, and every one of the pool was drawn."""
    distance = np.abs(np.unique(got)[:, None] - pool)
    # float32 of errors of some 0.01.
    assert distance.min(axis=1).max() < 2e-9
    assert distance.min(axis=0).max() < 2e-9


@pytest.mark.smoke
def test_an_empirical_error_reproduces_its_table():
    errors = table(32)
    # Every level equally often: the pooled distribution is that of the table.
    level = np.arange(N) % 32
    got = draw(EmpiricalError(errors, neighbours=1), level / 31, 32)
    # The samples are the table's own values, so that the distance of the two distributions is that
    # of 200,000 draws from 320 values.
    assert stats.ks_2samp(got, errors.errors[0].ravel()).pvalue > 1e-3
    for k in (0, 13, 31):
        same_values(got[level == k], errors.errors[0, :, k])


def test_neighbours_share_their_random_error_but_not_their_bow():
    errors = table(128)
    k = 40
    got = draw(EmpiricalError(errors, neighbours=5), np.full(N, k / 127), 128)
    pool = errors.bow[0, k] + errors.random[0, :, k - 2 : k + 3].ravel()
    same_values(got, pool)
    assert stats.ks_2samp(got, pool).pvalue > 1e-3
    # At the ends the neighbourhood lies to one side.
    end = draw(EmpiricalError(errors, neighbours=5), np.ones(N), 128)
    pool = errors.bow[0, 127] + errors.random[0, :, 123:].ravel()
    same_values(end, pool)


def test_without_the_bow_the_error_is_random_with_the_unbiased_spread():
    errors = table(512, repeats=4)
    position = (np.arange(N) % 512) / 511
    got = draw(EmpiricalError(errors, bow=False), position, 512)
    s_abs = errors.random_std[0]
    # True spread: 0.002 times the rms of 0.5 + u. 512 levels of 4 repeats estimate it to
    # 1 / sqrt(2 * 1536) = 1.8 %; the draws repeat the table's to 1 / sqrt(2 N).
    assert s_abs == pytest.approx(0.002 * np.sqrt(np.mean((0.5 + position) ** 2)), rel=0.06)
    assert got.std() == pytest.approx(s_abs, rel=0.01)
    assert abs(got.mean()) < 5 * s_abs / np.sqrt(N)


def test_a_table_for_each_number_of_levels():
    tables = [table(n, std=s) for n, s in ((128, 0.004), (32, 0.002), (512, 0.008))]
    error = EmpiricalError(tables, bow=False, neighbours=3)
    position = jax.random.uniform(jax.random.key(3), (N,), jnp.float32)
    drawn = error.draw(jax.random.key(0), (N,))
    spread = jax.jit(lambda n: jnp.std(error.error(drawn, position, n_levels=n)))
    # Traced number of levels: the smallest table that has as many.
    for n, s in ((2, 0.002), (32, 0.002), (64, 0.004), (128, 0.004), (256, 0.008), (512, 0.008)):
        # rms of 0.5 + u over [0, 1] is 1.041; the tables' own spread is known to some percent.
        assert float(spread(n)) == pytest.approx(1.041 * s, rel=0.12)
    assert error.largest == 512


@pytest.mark.parametrize("neighbours", [1, 5])
def test_the_same_devices_at_a_later_time(neighbours):
    errors = table(32)
    error = EmpiricalError(errors, neighbours=neighbours)
    position = jnp.asarray((np.arange(2000) % 32) / 31, jnp.float32)
    drawn = error.draw(jax.random.key(1), position.shape)
    at = {t: np.asarray(error.error(drawn, position, n_levels=32, t=t)) for t in TIMES}
    u = np.asarray(position)
    arc = 0.004 * np.sin(np.pi * u)
    for k, t in enumerate(TIMES):
        # In this table all but the arc grows as 1 + k, and shifts by 0.01 k u.
        expected = (1 + k) * (at[0.0] - arc) + arc + 0.01 * k * u
        # float32: some 1e-7 of errors of 0.05.
        np.testing.assert_allclose(at[t], expected, atol=2e-8)
    # Half way between two delays on a logarithmic scale; half way to the first on a linear one.
    middle = error.error(drawn, position, n_levels=32, t=float(np.sqrt(60.0 * 3600.0)))
    np.testing.assert_allclose(middle, (at[60.0] + at[3600.0]) / 2, atol=2e-8)
    early = error.error(drawn, position, n_levels=32, t=0.5)
    np.testing.assert_allclose(early, (at[0.0] + at[1.0]) / 2, atol=2e-8)


def test_parametric_families():
    position = np.full(N, 0.5)
    z = draw(GaussianError(0.003), position, 8)
    assert stats.kstest(z / 0.003, "norm").pvalue > 1e-3
    for dof in (2.5, 4.0, 30.0):
        t = draw(StudentTError(0.003, dof), position, 8)
        scale = 0.003 * np.sqrt((dof - 2) / dof)
        assert stats.kstest(t / scale, stats.t(dof).cdf).pvalue > 1e-3
    assert not draw(NoError(), position, 8).any()
    assert z.dtype == t.dtype == np.float32


def test_a_gaussian_of_a_table():
    errors = table(512)
    error = GaussianError.from_table(errors)
    np.testing.assert_allclose(error.std, errors.random_std, rtol=1e-6)
    np.testing.assert_allclose(error.mean, errors.errors.mean(axis=(1, 2)), rtol=1e-5)
    position = np.full(N, 0.5)
    drawn = error.draw(jax.random.key(0), (N,))
    early, late = (
        error.error(drawn, jnp.asarray(position, jnp.float32), n_levels=512, t=t)
        for t in (0.0, 1e5)
    )
    # The same devices: the same number of standard deviations.
    z = (np.asarray(early) - float(error.mean[0])) / float(error.std[0])
    np.testing.assert_allclose(late, error.mean[4] + error.std[4] * z, atol=1e-7)


def test_a_student_t_of_a_table():
    rng = np.random.default_rng(5)
    heavy = stats.t(8.0).rvs((40, 512), random_state=rng)
    errors = LevelErrors(1e-3 * heavy[None], r_low=1.0, r_high=2.0, space="G")
    error = StudentTError.from_table(errors)
    # Kurtosis of 20,000 draws of a t with 8 degrees of freedom scatters by some 20 % itself.
    assert 6 < float(error.dof) < 11
    assert float(error.std[0]) == pytest.approx(1e-3 * np.sqrt(8 / 6), rel=0.03)
    light = LevelErrors(1e-3 * rng.uniform(-1, 1, (1, 40, 512)), r_low=1.0, r_high=2.0, space="G")
    assert float(StudentTError.from_table(light).dof) == pytest.approx(100.0)


@pytest.mark.parametrize(("s", "overlap"), [(0.1, 5.7e-7), (0.2, 1.24e-2), (0.5, 0.317)])
def test_overlap_of_neighbours(s, overlap):
    # 2 Q(pitch / 2s) of circuits with Gaussian errors, and what is drawn.
    closed = special.erfc(0.5 / s / np.sqrt(2))
    assert closed == pytest.approx(overlap, rel=0.01)
    got = np.mean(np.abs(draw(GaussianError(s / 31), np.full(N, 0.5), 32)) > 0.5 / 31)
    # A binomial share of N draws, to 5 standard deviations (and one event).
    assert got == pytest.approx(closed, abs=5 * np.sqrt(closed / N) + 1 / N)


def test_differentiable_in_the_size_of_the_error():
    def spread(std):
        error = GaussianError(std)
        drawn = error.draw(jax.random.key(0), (1000,))
        return jnp.std(error.error(drawn, jnp.zeros(1000, jnp.float32), n_levels=8))

    # std(s z) = s std(z). float32.
    slope = jax.grad(spread)(jnp.float32(0.01))
    assert float(slope) == pytest.approx(float(spread(0.01)) / 0.01, rel=1e-5)


@pytest.mark.parametrize("error", [GaussianError(0.01), EmpiricalError(table(8))])
def test_a_time_beyond_the_readings(error):
    last = float(error.times[-1])
    error.check_time(last)
    with pytest.raises(ValueError, match=rf"Argument `t` must be at most {last:g} s, the latest"):
        error.check_time(2 * last + 1)
    with pytest.raises(ValueError, match="Argument `t` must be finite and at least 0 s"):
        error.check_time(-1.0)
    NoError().check_time(1e9)


def test_unfinished_repeats_are_left_out():
    errors = table(8).errors.copy()
    errors[:, 3, 5:] = np.nan
    kept = LevelErrors(errors, r_low=1.0, r_high=2.0, space="R", times=TIMES)
    assert (kept.repeats, kept.left_out) == (9, 1)
    with pytest.raises(ValueError, match="must hold a repeat that reached every level"):
        LevelErrors(errors[:, 3:4], r_low=1.0, r_high=2.0, space="R", times=TIMES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianError(-0.1), "Argument `std` must be finite and at least 0"),
        (lambda: GaussianError([0.1, 0.2], times=[0.0, 0.0]), "Argument `times` must ascend"),
        (lambda: StudentTError(0.1, 2.0), "Argument `dof` must be above 2, but is 2"),
        (lambda: EmpiricalError([]), "Argument `tables` must hold at least one"),
        (lambda: EmpiricalError(table(8), neighbours=0), "Argument `neighbours` must be at least"),
        (
            lambda: EmpiricalError(table(8, repeats=1), bow=False),
            "Argument `table` must hold two repeats or more",
        ),
        (
            lambda: EmpiricalError([table(8), table(16, device="other")]),
            "must be level tables of one device, but the device is film at 8 levels and other",
        ),
        (
            lambda: EmpiricalError([table(8), table(16, space="G")]),
            "but the space is R at 8 levels and G at 16",
        ),
        (
            lambda: LevelErrors(np.zeros((1, 2, 4)), r_low=2.0, r_high=1.0, space="R"),
            r"Argument `r_high` must be above `r_low` \(2 ohm\), but is 1",
        ),
        (
            lambda: LevelErrors(np.zeros((2, 2, 4)), r_low=1.0, r_high=2.0, space="R"),
            r"Argument `errors` must have shape \(1, any, any\)",
        ),
        (
            lambda: LevelErrors(np.zeros((1, 2, 1)), r_low=1.0, r_high=2.0, space="R"),
            "Argument `errors` must be of 2 levels or more, but is of 1",
        ),
    ],
)
def test_wrong_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
