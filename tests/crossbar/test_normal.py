import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from analogjax.crossbar._normal import _words, fresh_normal
from analogjax.crossbar.nonidealities import WeightNoise

N = 2**20


@pytest.fixture(scope="module")
def numbers():
    return np.asarray(jax.jit(lambda key: fresh_normal(key, (N,)))(jax.random.key(7)), np.float64)


def test_the_words_are_threefrys():
    # Known answer of Random123 for Threefry-2x32 with 13 rounds: key and counter zero.
    first, second = _words(jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32)), 1)
    assert (int(first[0]), int(second[0])) == (0x9D1C5EC6, 0x8BD50731)


def test_the_moments_are_those_of_a_standard_normal(numbers):
    # Standard errors of the mean of z^k over N numbers; five of them.
    for k, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        variance = {1: 1, 2: 2, 3: 15, 4: 96, 6: 10395 - 225}[k]
        assert abs(np.mean(numbers**k) - moment) < 5 * np.sqrt(variance / N)


def test_the_distribution_is_normal(numbers):
    # A distance that chance exceeds once in 10,000 keys.
    assert stats.kstest(numbers, "norm").statistic < stats.kstwo.isf(1e-4, N)


@pytest.mark.parametrize("beyond", [2.0, 3.0, 4.0])
def test_the_tails_hold_what_they_should(numbers, beyond):
    for side in (numbers, -numbers):
        expected = N * stats.norm.sf(beyond)
        assert abs(np.sum(side > beyond) - expected) < 5 * np.sqrt(expected)


def test_neighbours_and_keys_are_independent(numbers):
    other = np.asarray(fresh_normal(jax.random.key(8), (N,)), np.float64)
    # A correlation of N independent pairs has the standard deviation 1 / sqrt(N); five of them.
    for a, b in ((numbers, other), (numbers[1:], numbers[:-1]), (numbers**2, other**2)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(N)
    split = jax.vmap(lambda key: fresh_normal(key, (64,)))(
        jax.random.split(jax.random.key(1), 4096)
    )
    # Over 4096 keys the numbers of one place are normal too.
    distance = stats.kstest(np.asarray(split[:, 5]), "norm").statistic
    assert distance < stats.kstwo.isf(1e-4, 4096)


def test_shape_type_and_batches_are_kept():
    key = jax.random.key(3)
    assert fresh_normal(key, (2, 3)).dtype == jnp.float32
    assert fresh_normal(key, (2, 3), jnp.float64).dtype == jnp.float64
    assert fresh_normal(key, ()).shape == ()
    keys = jax.random.split(key, 3)
    one_by_one = jnp.stack([fresh_normal(k, (5,)) for k in keys])
    # The same arithmetic, fused in another way.
    np.testing.assert_allclose(
        jax.vmap(lambda k: fresh_normal(k, (5,)))(keys), one_by_one, rtol=1e-6, atol=1e-7
    )


def test_keys_of_other_generators_work():
    a, b = (fresh_normal(jax.random.key(s, impl="rbg"), (1000,)) for s in (0, 1))
    assert abs(float(jnp.mean(a))) < 5 / np.sqrt(1000)  # five standard errors
    assert not np.array_equal(a, b)


def test_weight_noise_has_the_size_of_a_weights_full_scale():
    window, noise = (jnp.asarray(1e-6), jnp.asarray(11e-6)), WeightNoise(0.05)
    for devices in (1, 2):
        shape = (devices, 300, 300)
        moved = noise.apply(
            jnp.zeros(shape), noise.draw(jax.random.key(0), shape), window=window, t=0.0
        )
        fractions = moved / 10e-6
        # Of a pair w = w_m (g+ - g-), of one device w = w_m (2 g - 1).
        weights = fractions[0] - fractions[1] if devices == 2 else 2 * fractions[0]
        # Five standard errors of a standard deviation of 90,000 numbers.
        assert float(weights.std()) == pytest.approx(0.05, rel=5 / np.sqrt(2 * 90_000))
