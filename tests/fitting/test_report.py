"""The shared report of a fit: what it writes, and what each kind of measurement is drawn as."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import plotting
from analogjax.fitting import (
    Band,
    Noise,
    Prior,
    PulseTrain,
    Retention,
    Sweep,
    SwitchingTimes,
    fit,
    report_fit,
    report_parameters,
    single_pulses,
)
from analogjax.fitting.panels import axis_of, outlines, panels_of, standardised
from analogjax.runs import RunFolder


def exponential(device, x):
    return 1e-5 * device.r_high * jnp.exp(-x / device.seconds)


def combined(device, x):
    return 1e-5 * (device.r_high * device.seconds) * (1 + x)


@pytest.fixture(scope="module")
def rows(toy_device, Curve):
    """A fit of nine rows of ten points, one value missing."""
    true = toy_device(r_high=2.0, seconds=1.0)
    x = np.tile(np.linspace(0, 2, 10), (9, 1))
    noise = np.random.default_rng(0).normal(1, 0.02, x.shape)
    noise[4] = 1 + 5 * (noise[4] - 1)
    y = np.asarray(exponential(true, x)) * noise
    y[2, 3] = np.nan
    measured = Curve(exponential, x, y, Noise(0.01), name="nine rows")
    return fit(true.replace(r_high=3.0), measured, ("r_high", "seconds"))


@plotting.style()
def test_a_report_has_figures_table_and_metrics(rows, tmp_path):
    run = RunFolder(tmp_path / "run", {"seed": 0}, name="run")
    truth = {"r_high": 2.0, "seconds": 1.0}
    samples = np.stack([rows.parameters[n] + np.zeros(100) for n in rows.free], 1)
    samples += np.random.default_rng(0).normal(0, 1e-3, samples.shape)
    report_fit(
        run, rows, name="decay", title="A decay", text="As it was.", truth=truth,
        samples=samples, profiles=("seconds",), rows=4,
    )  # fmt: skip
    run.finish()
    names = {path.stem for path in (tmp_path / "run/figures").glob("*.png")}
    parts = ("data", "residuals", "corner", "identifiability", "profiles")
    assert names == {f"decay_{part}" for part in parts}
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["decay_seconds"] == rows.parameters["seconds"]
    assert metrics["decay_seconds_error"] == rows.standard_errors["seconds"]
    assert metrics["decay_noise_factor"] == rows.noise_factor
    r = np.asarray(rows.optimum.residuals)
    known = np.isfinite(np.asarray(rows.residuals["nine rows"])).ravel()
    rms = np.sqrt(np.mean(r[known] ** 2))
    assert metrics["decay_rms_nine_rows"] == pytest.approx(rms)
    page = (tmp_path / "run/report.html").read_text()
    for text in ("A decay", "As it was.", "resistance at x = 0", "89 values of 9 runs", "2.0"):
        assert text in page


@plotting.style()
def test_a_fit_that_cannot_be_trusted_is_reported_as_such(toy_device, Curve, tmp_path):
    start = toy_device(r_high=2.0, seconds=1.0)
    x = np.linspace(0, 1, 8)
    y = np.asarray(combined(start, x)) * np.random.default_rng(0).normal(1, 0.01, 8)
    bad = fit(start, Curve(combined, x, y, Noise(0.01)), ("r_high", "seconds"), throw=False)
    assert not bad.ok
    run = RunFolder(tmp_path / "run", {"seed": 0}, name="run")
    report_fit(run, bad, metrics=False)
    run.finish()
    page = (tmp_path / "run/report.html").read_text()
    assert "Not to be trusted" in page
    names = {path.stem for path in (tmp_path / "run/figures").glob("*.png")}
    # There is no corner plot of what is not determined.
    assert names == {"fit_data", "fit_residuals", "fit_identifiability"}
    assert json.loads((tmp_path / "run/metrics.json").read_text()) == {}
    with pytest.raises(ValueError, match="did you mean 'seconds'"):
        report_fit(run, bad, name="again", profiles=("second",))


def test_of_many_rows_some_are_shown_from_best_to_worst(rows):
    objective = rows.problem.objectives[0]
    panels = panels_of(rows, objective, rows.band("nine rows"), 4)
    titles = [panel.title for panel in panels]
    assert titles[0] == "nine rows: all 9 rows"
    assert panels[0].parity
    assert titles[1].endswith(", best")
    assert titles[2].endswith(", median")
    # The row that scatters five times as much.
    assert titles[3] == "nine rows 5, worst"
    assert panels[3].y_label == "conductance [µS]"
    np.testing.assert_allclose(panels[3].observed, 1e6 * np.asarray(objective.observed)[4])
    np.testing.assert_allclose(panels[3].band[1], 1e6 * rows.band("nine rows").high[4])
    assert [p.title for p in panels_of(rows, objective, rows.band("nine rows"), 9)][3:5] == [
        "nine rows 4", "nine rows 5",
    ]  # fmt: skip


def test_standardised_residuals_have_the_estimated_scatter(rows):
    r = standardised(rows, rows.problem.objectives[0])
    assert np.isnan(r[2, 3])
    # Their sum of squares over the degrees of freedom is one by the definition of the factor.
    assert np.nansum(r**2) / (89 - 2) == pytest.approx(1)


def test_outlines_hold_their_share_of_draws(rows):
    densities, curves = outlines(rows)
    assert len(densities) == 2
    (inner, outer) = curves[1, 0]
    # An ellipse of the covariance in z, carried over: its centre is the fitted pair (to first
    # order), its half width sqrt(chi^2_2(0.68)) = 1.51 standard errors.
    for axis, name in enumerate(rows.free):
        error = rows.standard_errors[name]
        half = 0.5 * np.ptp(inner[axis])
        assert half / error == pytest.approx(1.51, rel=0.02)
        assert 0.5 * np.ptp(outer[axis]) / error == pytest.approx(2.45, rel=0.05)
        x, density = densities[axis]
        top = x[np.argmax(density)]
        assert abs(top - rows.parameters[name]) < 0.1 * error


def test_every_measurement_has_its_axis():
    ones = np.ones(4)
    sweep = Sweep(np.arange(4.0), np.array([0, 1.0, 0, -1]), ones)
    assert axis_of(sweep).label == "voltage [V]"
    np.testing.assert_array_equal(axis_of(sweep).values, [[1, 0, -1]])
    train = PulseTrain(ones, 1e-6, None, ones)
    np.testing.assert_array_equal(axis_of(train).values, [[1, 2, 3, 4]])
    single = axis_of(single_pulses(ones * 0.5, 1e-6 * ones, ones, ones))
    assert single.label == "amplitude [V]"
    assert single.values.shape == (4, 1)
    late = axis_of(Retention(np.array([0, 1.0, 1e3, 1e5]), ones))
    assert (late.label, late.log) == ("time [s]", True)
    # A logarithm has no place for time zero.
    np.testing.assert_array_equal(late.values, [[np.nan, 1, 1e3, 1e5]])
    soon = axis_of(Retention(1e-3 * np.array([0, 1.0, 2.0, 3.0]), ones))
    assert (soon.label, soon.log) == ("time [ms]", False)
    np.testing.assert_allclose(soon.values, [[0, 1, 2, 3]])


def test_switching_times_are_curves_of_one_direction_and_temperature(rows):
    v = np.array([-0.6, -0.5, 0.7, 0.6, -0.6, -0.5])
    t = np.array([1e-6, 1e-4, 1e-5, 1e-3, 1e-7, 1e-5])
    times = SwitchingTimes(v, t, 0.0, 1.0, ambient_temperature=[300.0] * 4 + [350.0] * 2)
    column = t[:, None]
    band = Band("times", "s", 0.9, column, *([column] * 4))
    panels = panels_of(rows, times, band, 6)
    assert [panel.title for panel in panels] == [
        "switching times, V < 0, 300 K", "switching times, V > 0, 300 K",
        "switching times, V < 0, 350 K",
    ]  # fmt: skip
    np.testing.assert_array_equal(panels[1].x, [0.6, 0.7])
    np.testing.assert_array_equal(panels[1].observed, [1e-3, 1e-5])
    assert panels[0].y_log
    assert panels[0].y_label == "switching time [s]"


def test_a_prior_is_no_measurement_of_the_report(toy_device, Curve):
    start = toy_device(r_high=2.0, seconds=1.0)
    x = np.linspace(0, 1, 8)
    y = np.asarray(combined(start, x)) * np.random.default_rng(0).normal(1, 0.01, 8)
    priors = {"seconds": Prior(1.0, 0.1)}
    curve = Curve(combined, x, y, Noise(0.01))
    found = fit(start, curve, ("r_high", "seconds"), priors=priors)
    assert standardised(found, found.problem.objectives[0]).shape == (1, 8)
    # The product is sure although neither factor is.
    band = found.band("curve")
    assert np.max(band.high / band.low - 1) < 0.05


@plotting.style()
@pytest.mark.parametrize("known", [True, False])
def test_numbers_of_an_estimate_are_shown_as_far_as_they_are_known(tmp_path, known):
    run = RunFolder(tmp_path / "run", {"seed": 0}, name="run")
    covariance = np.diag([1e-2, 1e-4]) if known else np.full((2, 2), np.inf)
    report_parameters(
        run,
        "law",
        "A law",
        {"a": "S", "b": "s"},
        [1.0, 2.0],
        covariance,
        np.eye(2),
        np.array([0.1, 0.005]),
    )
    run.finish()
    names = {path.stem for path in (tmp_path / "run/figures").glob("*.png")}
    assert names == {"law_identifiability"} | ({"law_corner"} if known else set())
