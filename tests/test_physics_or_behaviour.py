"""The experiment `physics_or_behaviour`, small: digits, few devices, two models.

Slow (a minute on idle cores) because of what it compiles: the gradient through filaments.
"""

from __future__ import annotations

import json

import pytest
import xarray as xr

from analogjax import cli

SMALL = [
    "data=digits", "network=mlp_digits", "training=mlp_digits", "network.options.hidden=[16]",
    "training.epochs=10", "models=[linear_step,vteam]", "offsets=[-0.03,-0.001,0.0,0.001,0.03]",
    "shares=[0.01]", "kinds=32", "chips=1", "repeats=1", "loss_images=100", "points=101",
    "fit_steps=30",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("run") / "out"
    assert cli.main(["run", "physics_or_behaviour", *SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.slow
def test_all_meet_their_targets_at_the_nominal_voltage(metrics):
    """256 levels cost an image or two of 359."""
    for model in ("physics", "linear_step", "vteam"):
        for axis in ("set", "reset"):
            found = metrics[f"accuracy_{model}_{axis}_clean_nominal"]
            assert found == pytest.approx(metrics["accuracy_digital"], abs=0.01)


@pytest.mark.slow
def test_physics_falls_where_steps_see_nothing(metrics):
    for axis in ("set", "reset"):
        # 30 mV less are ten times (SET) or three times fewer pulses' worth of motion.
        assert metrics[f"accuracy_physics_{axis}_clean_m30mV"] < 0.5
        for offset in ("m30mV", "m1mV", "p1mV", "p30mV"):
            same = metrics[f"accuracy_linear_step_{axis}_clean_{offset}"]
            assert same == metrics[f"accuracy_linear_step_{axis}_clean_nominal"]
        assert metrics[f"tolerated_physics_{axis}_mV"] < metrics[f"tolerated_vteam_{axis}_mV"]
        assert metrics[f"tolerated_linear_step_{axis}_mV"] == pytest.approx(60)


@pytest.mark.slow
def test_derivatives_agree_with_differences(metrics):
    """Kinks of the interpolated traces, here of 41 points, are what is left."""
    assert metrics["difference_error_max"] < 1e-4


@pytest.mark.slow
def test_switching_times_scale_as_the_equations_say(metrics):
    """The rate is proportional to the attempt frequency; a wider pulse is worth more of them."""
    for axis in ("set", "reset"):
        assert metrics[f"log_time_{axis}_attempt_frequency"] == pytest.approx(-1, rel=1e-6)
        assert metrics[f"log_time_{axis}_width"] == pytest.approx(-1, rel=1e-6)
    # Golden numbers of the model: t_SET(-0.3 V) = 2963 s and t_SET(-0.4 V) = 56.6 s, from a fresh
    # cell: d ln t / d ln V = -13.8; from 0.06 on, where Joule heat helps, it is steeper.
    assert -40 < metrics["log_time_set_v_set"] < -13
    assert metrics["log_time_reset_v_set"] == metrics["log_time_set_v_reset"] == 0


@pytest.mark.slow
def test_the_report_names_what_misleads_and_what_to_improve(folder):
    report = (folder / "report.html").read_text()
    for part in ("Where behavioural models mislead", "What to improve first", "activation_energy"):
        assert part in report
    for name in ("traces", "accuracy_voltage", "accuracy_spread", "effects"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000
    stored = xr.open_zarr(folder / "results.zarr", group="accuracy")
    assert stored["set_clean"].dims == ("model", "voltage")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["models=[vteem]"], "did you mean 'vteam'?"),
        (["offsets=[0.01]"], "Argument `offsets` must rise and hold 0, but is [0.01]"),
        (["kinds=33"], "Argument `kinds` must be a multiple of 32, but is 33"),
    ],
)
def test_wrong_configuration_is_told_in_one_sentence(tmp_path, capsys, words, message):
    arguments = ["run", "physics_or_behaviour", *SMALL, *words, "--out", str(tmp_path / "out")]
    assert cli.main(arguments) != 0
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
