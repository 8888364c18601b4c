"""The experiment `fit_synthetic`, small: few data sets of the Yakopcic device.

The statistics are tested against closed forms in `fitting/test_many.py`. Slow because of what is
compiled: five kinds of fits.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from analogjax import cli

SMALL = ["devices=[yakopcic]", "sets.yakopcic=7", "batch=4", "pulses=24"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("run") / "out"
    assert cli.main(["run", "fit_synthetic", *SMALL, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_all_are_fitted_and_metrics_are_those_of_the_stored_arrays(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["sets_yakopcic"] == 7
    assert metrics["refused_yakopcic"] == 0
    stored = xr.open_zarr(folder / "results.zarr", group="yakopcic").load()
    assert stored["true"].shape == (7, 5)
    assert list(stored["parameter"].values) == ["a_p", "a_n", "v_p", "v_n", "x_0"]
    # Drawn within a fifth (in the logarithm) of the nominal values.
    nominal = np.array([7.5, 2.0, 0.09, 0.75, 0.11])
    assert np.abs(np.log(stored["true"].values / nominal)).max() < 0.2
    inside = np.abs(stored["rank"].values - 0.5) < 0.45
    assert metrics["inside_90_yakopcic"] == np.mean(inside)
    off = np.abs(stored["found"] - stored["true"]) / stored["standard_error"]
    assert metrics["within_3"] == np.mean(off.values <= 3)
    # 35 correlated trials: fewer than two thirds would be six standard deviations off.
    assert np.mean(inside) > 2 / 3
    # Noise is 1.5 times as told, known here to a tenth: 7 sets of 24 values and 5 parameters.
    assert metrics["noise_factor_yakopcic"] == pytest.approx(1.5, rel=0.3)


@pytest.mark.slow
def test_the_report_shows_fits_and_refusals(folder):
    report = (folder / "report.html").read_text()
    for part in (
        "Recovery",
        "One data set: Yakopcic",
        "mobility^1 x thickness^-2",
        "only with the other sign",
        "must show a signal",
        "must have an influence",
    ):
        assert part in report
    for name in ("coverage", "levels", "ranks", "example_yakopcic_data"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000
    assert json.loads((folder / "metrics.json").read_text())["refusals"] == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["devices=[yakopcik]"], "did you mean 'yakopcic'?"),
        (["sets.yakopcic=0"], "`sets.yakopcic` must be"),
        (["noise_factor=0"], "`noise_factor` must be"),
    ],
)
def test_wrong_configuration_is_told_in_one_sentence(tmp_path, capsys, words, message):
    arguments = ["run", "fit_synthetic", *SMALL, *words, "--out", str(tmp_path / "out")]
    assert cli.main(arguments) != 0
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
