"""Labelled measurements go in as they are."""

import numpy as np
import pytest

import analogjax as aj
from analogjax.data.measurements import Measurements, measurement, with_sweep_rate
from analogjax.fitting import Noise, PulseTrain, Retention, Sweep, as_objectives, fit

DRIFT = aj.devices.LinearIonDrift()
START = float(DRIFT.conductance(DRIFT.init_state()))


def made_train():
    amplitudes = np.full((2, 8), 4.0)
    amplitudes[1, 6:] = np.nan
    first = np.array([START, 1.3 * START])
    device = DRIFT.replace(mobility=2e-14)
    blank = PulseTrain(amplitudes, 0.005, 0.1, np.ones((2, 8)), initial_conductance=first)
    g = np.where(np.isfinite(amplitudes), blank.predict(device), np.nan)
    return measurement(
        "pulse_train",
        amplitude=amplitudes,
        width=0.005,
        gap=0.1,
        conductance=g,
        initial_conductance=first,
        read_voltage=0.2,
    )


def test_measured_trains_are_fitted():
    # The trains start from what was measured before them, not from the state of the device.
    result = fit(DRIFT.replace(x_0=0.5), made_train(), ("mobility",))
    assert result.parameters["mobility"] == pytest.approx(2e-14, rel=1e-4)
    assert result.residuals["pulse_train"].shape == (2, 8)
    assert np.isnan(result.residuals["pulse_train"][1, 6:]).all()
    assert result.stats["simulations"] == 2 * result.stats["evaluations"]
    both = Measurements([made_train(), made_train()])
    (one, *_), (two, *_) = (as_objectives(part, DRIFT) for part in both)
    assert (one.name, two.name) == ("pulse_train", "pulse_train_2")
    np.testing.assert_array_equal(one.conditions["read_voltage"], [0.2, 0.2])


def test_sweeps_need_a_rate():
    sweep = measurement("iv_sweep", voltage=[0, 1, 0.5], current=[0, 1, 1], temperature=300.0)
    with pytest.raises(ValueError, match="must have a known `time`"):
        as_objectives(sweep, DRIFT)
    (made,) = as_objectives(with_sweep_rate(sweep, 2.0), DRIFT, noise={"iv_sweep": Noise(0.5)})
    assert isinstance(made, Sweep)
    np.testing.assert_allclose(made.width, [[0.5, 0.25]])
    np.testing.assert_allclose(made.conditions["ambient_temperature"], [300.0])
    assert float(made.noise.relative) == 0.5


def test_trials_and_retention_start_where_they_were_measured():
    trials = measurement(
        "single_pulse",
        voltage=[1.0, 2.0],
        width=[0.1, 0.2],
        resistance_before=[1e4, 8e3],
        resistance_after=[9e3, 7e3],
    )
    (made,) = as_objectives(trials, DRIFT)
    np.testing.assert_allclose(made.initial_conductance, [1e-4, 1.25e-4])
    np.testing.assert_allclose(made.observed[:, 0], [1 / 9e3, 1 / 7e3])

    kept = measurement("retention", time=[[1.0, 10.0, 100.0]], conductance=[[np.nan, 1e-4, 0.9e-4]])
    (made,) = as_objectives(kept, DRIFT)
    assert isinstance(made, Retention)
    np.testing.assert_allclose(made.initial_conductance, [1e-4])
    np.testing.assert_allclose(made.t, [[0.0, 0.0, 90.0]])
    assert np.isnan(np.asarray(made.observed)).tolist() == [[True, True, False]]


def test_what_says_nothing_of_one_device_is_refused():
    noise = measurement("read_noise", time=[0.0, 1.0], conductance=[[1e-4, 1.1e-4]])
    with pytest.raises(ValueError, match="`read_noise` of protocol 'read_noise' says how reads"):
        fit(DRIFT, noise, ("mobility",))
    train = measurement("pulse_train", amplitude=[1.0, 1.0], width=np.nan, conductance=[1.0, 2.0])
    with pytest.raises(ValueError, match="known `width` to be fitted"):
        fit(DRIFT, train, ("mobility",))
