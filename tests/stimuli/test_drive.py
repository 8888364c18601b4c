"""Drives: times, shapes, sweeps, and what is refused."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.stimuli import ReadPulse, piecewise, pulse_train, triangle_sweep


def refuses(message):
    return pytest.raises(ValueError, match="^" + re.escape(message) + "$")


def test_pulse_train_is_rectangular():
    drive = pulse_train([1.0, -2.0], width=0.25)
    assert drive.pulses == 2
    np.testing.assert_array_equal(drive.start, [1.0, -2.0])
    np.testing.assert_array_equal(drive.stop, drive.start)
    np.testing.assert_array_equal(drive.width, [0.25, 0.25])
    assert drive.gap is None
    assert drive.read is None


def test_one_amplitude_is_one_pulse():
    assert pulse_train(3.0, width=0.1).pulses == 1


def test_times_are_the_ends_of_plateaus():
    drive = pulse_train([1.0, 1.0, 1.0], width=jnp.array([0.1, 0.2, 0.3]), gap=1.0)
    np.testing.assert_allclose(drive.times(), [0.0, 0.1, 1.3, 2.6], rtol=1e-14)


def test_times_without_gap():
    np.testing.assert_allclose(pulse_train([1.0, 2.0], width=0.5).times(), [0.0, 0.5, 1.0])


def test_times_include_reads():
    read = ReadPulse(delay=0.5, duration=0.25)
    drive = pulse_train([1.0, 1.0], width=1.0, gap=2.0, read=read)
    np.testing.assert_allclose(drive.times(), [0.0, 1.0, 1.0 + 2.75 + 1.0], rtol=1e-14)


def test_gap_of_zero_is_no_gap():
    assert pulse_train([1.0, 1.0], width=0.5, gap=0.0).gap is None
    assert pulse_train([1.0, 1.0], width=0.5, gap=jnp.array([0.0, 1.0])).gap is not None


def test_integers_become_volts():
    drive = pulse_train([1, 2], width=1)
    assert drive.stop.dtype == drive.width.dtype == jnp.float64


def test_amplitudes_and_times_may_be_traced():
    @jax.jit
    def total(amplitudes, width, gap):
        drive = pulse_train(amplitudes, width=width, gap=gap)
        return drive.times()[-1] + drive.stop.sum()

    np.testing.assert_allclose(total(jnp.ones(3), 0.5, 0.25), 2.0 + 3.0, rtol=1e-14)
    assert jax.grad(total, argnums=1)(jnp.ones(3), 0.5, 0.25) == 3.0


def test_triangle_sweep_turns_at_both_peaks_and_ends_at_zero():
    drive = triangle_sweep(2.0, 4.0, cycles=2, points=5)
    assert drive.pulses == 40
    stops = np.asarray(drive.stop)
    np.testing.assert_allclose(stops[:5], [0.4, 0.8, 1.2, 1.6, 2.0], rtol=1e-14)
    np.testing.assert_allclose([stops[9], stops[14], stops[19]], [0.0, -2.0, 0.0], atol=1e-14)
    np.testing.assert_array_equal(stops[20:], stops[:20])


def test_triangle_sweep_is_continuous_and_has_its_rate():
    drive = triangle_sweep(2.0, 4.0, cycles=2, points=5)
    assert drive.start[0] == 0.0
    np.testing.assert_array_equal(drive.start[1:], drive.stop[:-1])
    np.testing.assert_allclose(np.abs(drive.stop - drive.start) / drive.width, 4.0, rtol=1e-13)
    # 4 peaks a cycle: 2 V / (4 V/s) * 4 * 2.
    np.testing.assert_allclose(drive.times()[-1], 4.0, rtol=1e-13)


def test_negative_peak_sweeps_down_first():
    drive = triangle_sweep(-1.0, 1.0, points=2)
    np.testing.assert_allclose(drive.stop[:2], [-0.5, -1.0])
    assert (drive.width > 0).all()


def test_piecewise_keeps_both_ends():
    drive = piecewise([0.0, 1.0], [1.0, 0.0], width=0.5)
    np.testing.assert_array_equal(drive.start, [0.0, 1.0])
    np.testing.assert_array_equal(drive.stop, [1.0, 0.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: pulse_train([5.0], width=-0.1),
            "Argument `width` must be finite and above 0 s, but is -0.1.",
        ),
        (
            lambda: pulse_train([5.0], width=0.0),
            "Argument `width` must be finite and above 0 s, but is 0.0.",
        ),
        (
            lambda: pulse_train([5.0, float("nan")], width=0.1),
            "Argument `amplitudes` must be finite, but is nan at index 1.",
        ),
        (
            lambda: pulse_train([5.0], width=0.1, gap=-2.0),
            "Argument `gap` must be finite and at least 0 s, but is -2.0.",
        ),
        (
            lambda: pulse_train([], width=0.1),
            "Argument `amplitudes` must have at least one pulse, but has none.",
        ),
        (
            lambda: pulse_train([1.0, 1.0], width=np.array([0.1, 0.1, 0.1])),
            "Argument `width` must have shape (2,), but has shape (3,).",
        ),
        (
            lambda: pulse_train(np.ones((2, 2)), width=0.1),
            "Argument `amplitudes` must have shape (any,), but has shape (2, 2).",
        ),
        (
            lambda: piecewise([0.0], [1.0, 2.0], width=0.1),
            "Argument `start` must have shape (2,), but has shape (1,).",
        ),
        (
            lambda: triangle_sweep(1.0, 0.0),
            "Argument `rate` must be finite and above 0 V/s, but is 0.0.",
        ),
        (
            lambda: triangle_sweep(1.0, -1.0),
            "Argument `rate` must be finite and above 0 V/s, but is -1.0.",
        ),
        (
            lambda: triangle_sweep(1.0, 1.0, cycles=0),
            "Argument `cycles` must be at least 1, but is 0.",
        ),
        (
            lambda: triangle_sweep(1.0, 1.0, points=0),
            "Argument `points` must be at least 1, but is 0.",
        ),
        (
            lambda: ReadPulse(delay=-1.0),
            "Argument `delay` must be finite and at least 0 s, but is -1.0.",
        ),
        (
            lambda: ReadPulse(duration=0.0),
            "Argument `duration` must be finite and above 0 s, but is 0.0.",
        ),
    ],
)
def test_bad_input_gets_one_sentence(make, message):
    with refuses(message):
        make()


@pytest.mark.parametrize("v_peak", [0.0, float("nan")])
def test_sweep_to_nowhere_is_refused_under_its_own_name(v_peak):
    with pytest.raises(ValueError, match=r"^Argument `v_peak` must be finite and not 0 V, but is"):
        triangle_sweep(v_peak, 1.0)
