"""The command, from its words to its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from analogjax import cli

HERE = Path(__file__).parent


def read(folder: Path, name: str = "metrics.json"):
    return json.loads((folder / name).read_text())


@pytest.mark.smoke
def test_list(project, capsys):
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "decay       How a charge decays",
        "decay_slow  The same with a large capacitor",
        "plain       Nothing but a number",
    ]


def test_list_needs_no_jax(project):
    code = (
        "import sys; from analogjax import cli; cli.main(['list']);"
        "heavy = {'jax', 'diffrax', 'matplotlib', 'xarray'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


@pytest.mark.smoke
def test_run_ends_with_its_folder(project, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["run", "decay", "points=20", "--out", str(out), "seed=1"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"run folder: {out}"
    assert "stage solve: " in printed.err
    assert read(out)["points"] == 20
    assert "seed: 1\n" in (out / "config.yaml").read_text()
    page = (out / "report.html").read_text()
    assert "How a charge decays" in page
    assert "The voltage of a leaking capacitor" in page


def test_finished_run_is_not_computed_again(project, tmp_path, capsys):
    words = ["run", "decay", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    capsys.readouterr()
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")}
    assert cli.main(words) == 0
    printed = capsys.readouterr()
    assert printed.out == (
        f"decay: already finished, nothing to compute\nrun folder: {tmp_path / 'out'}\n"
    )
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")}


def test_default_folder_is_named_after_the_run(project, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "plain"]) == 0
    folder = Path(capsys.readouterr().out.splitlines()[-1].removeprefix("run folder: "))
    assert folder.parts[:2] == ("runs", "plain")
    assert read(tmp_path / folder) == {"seed": 0, "value": 1.0}


def test_same_seed_same_metrics(project, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli.main(["run", "decay", f"seed={seed}", "--out", str(tmp_path / name)]) == 0
    a, b, c = ((tmp_path / name / "metrics.json").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "deacy"], "Argument `NAME` must be one of decay, decay_slow, plain, "),
        (["run", "decay", "pionts=3"], "(did you mean `points`?)"),
        (["run", "decay", "points=1"], "Argument `points` must be at least 2, but is 1."),
        (["run", "decay", "label=refused"], "Argument `label` must be harmless"),
        (["run", "decay", "--frob"], "unrecognized arguments: --frob"),
        (["frob"], "invalid choice: 'frob'"),
        (["show", "nowhere"], "must be a run folder, but 'nowhere' does not exist."),
        (["compare", "."], "must be a run folder, but '.' holds no config.yaml."),
    ],
)
def test_wrong_use_gets_one_sentence_and_code_2(
    project, tmp_path, monkeypatch, capsys, words, sentence
):
    monkeypatch.chdir(tmp_path)
    try:
        code = cli.main(words)
    except SystemExit as end:
        code = end.code
    err = capsys.readouterr().err.splitlines()
    assert code == 2
    assert err[-1].startswith("error: ")
    assert sentence in err[-1]
    assert len([line for line in err if not line.startswith("stage ")]) == 1


def test_wrong_use_shows_its_traceback_on_request(project, capsys):
    assert cli.main(["--traceback", "run", "decay", "points=1"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_another_configuration_in_the_folder_is_refused(project, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert cli.main(["run", "plain", "--out", out]) == 0
    assert cli.main(["run", "plain", "value=2", "--out", out]) == 2
    assert "its key `value` is 1.0 and this run's is 2.0." in capsys.readouterr().err
    assert read(Path(out))["value"] == 1.0


def test_failure_has_a_traceback_and_code_1(project, tmp_path, capsys):
    assert cli.main(["run", "decay", "label=broken", "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "the capacitor exploded" in err


def test_interrupt_says_how_to_go_on(project, tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.runs, "execute", interrupt)
    assert cli.main(["run", "plain", "--out", str(tmp_path / "out")]) == 130
    assert f"--out {tmp_path / 'out'}" in capsys.readouterr().err


def test_configuration_is_printed_without_a_run(project, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "plain", "value=2", "--print-config"]) == 0
    assert capsys.readouterr().out == (
        "experiment: plain\nseed: 0\nprecision: float64\nplatform: auto\n"
        "accelerators: '1'\nvalue: 2.0\n"
    )
    assert not list(tmp_path.iterdir())


def test_version_and_help(capsys):
    for words, part in ((["--version"], "analogjax "), (["run", "--help"], "precision=float64")):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 0
        assert part in capsys.readouterr().out


@pytest.mark.smoke
def test_sweep(project, tmp_path, capsys):
    words = ["run", "decay", "-m", "points=20,30", "device=small,large", "seed=3"]
    assert cli.main([*words, "--out", str(tmp_path / "sweep")]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"run folder: {tmp_path / 'sweep'}"
    names = [f"points={p},device={d}" for p in (20, 30) for d in ("small", "large")]
    folders = sorted(file.parent.name for file in (tmp_path / "sweep").glob("*/config.yaml"))
    assert folders == sorted(names)
    single = tmp_path / "single"
    assert (
        cli.main(["run", "decay", "points=30", "device=large", "seed=3", "--out", str(single)]) == 0
    )
    assert read(single) == read(tmp_path / "sweep" / names[3])


def test_sweep_goes_on_after_a_failed_job(project, tmp_path, capsys):
    words = ["run", "decay", "-m", "label=broken,refused,fine", "--out", str(tmp_path / "sweep")]
    assert cli.main(words) == 1
    printed = capsys.readouterr()
    assert "2 of 3 runs failed: label=broken, label=refused" in printed.err
    assert "label=broken failed: RuntimeError: the capacitor exploded" in printed.err
    assert printed.out.splitlines()[-1] == f"run folder: {tmp_path / 'sweep'}"
    assert (tmp_path / "sweep" / "label=fine" / "report.html").is_file()


def test_sweep_checks_every_job_first(project, tmp_path):
    assert cli.main(["run", "decay", "-m", "points=4,x", "--out", str(tmp_path / "sweep")]) == 2
    assert not (tmp_path / "sweep").exists()


def test_run_folder_is_no_parent_of_a_sweep(project, tmp_path, capsys):
    assert cli.main(["run", "plain", "--out", str(tmp_path)]) == 0
    assert cli.main(["run", "plain", "-m", "value=1,2", "--out", str(tmp_path)]) == 2
    assert "is a run folder itself" in capsys.readouterr().err


def test_show_and_compare(project, tmp_path, capsys):
    sweep = tmp_path / "sweep"
    assert cli.main(["run", "decay", "-m", "points=20,30", "--out", str(sweep)]) == 0
    single = tmp_path / "single"
    assert cli.main(["run", "decay", "seed=9", "--out", str(single)]) == 0
    capsys.readouterr()
    assert cli.main(["show", str(single)]) == 0
    out = capsys.readouterr().out
    for part in ("decay: finished", "rate_per_s", "device.capacitance", "solve", "report.html"):
        assert part in out
    assert cli.main(["compare", str(sweep), str(single)]) == 0
    out = capsys.readouterr().out
    for part in ("points=20", "points=30", "single", "seed", "rate_per_s"):
        assert part in out
    assert "capacitance" not in out  # the same in all


def _environment(**more: str) -> dict[str, str]:
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}


@pytest.mark.smoke
def test_killed_run_ends_with_the_metrics_of_an_undisturbed_one(project, tmp_path):
    # Processes of their own, since SIGKILL leaves no chance to tidy up.
    code = (
        "import pathlib, sys; from analogjax import cli; from analogjax.runs import _library;"
        "_library.PACKAGE = pathlib.Path(sys.argv[1]); sys.exit(cli.main(sys.argv[2:]))"
    )

    command = [sys.executable, "-c", code, str(project / "analogjax")]

    def start(out: Path, die_before: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "run", "decay", "seed=7", "--out", str(out)],
            env=_environment(DIE_BEFORE=die_before),
            capture_output=True,
            text=True,
            check=False,
        )

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert start(whole).returncode == 0
    for stage in ("fit", "metrics", "report"):
        done = start(killed, die_before=stage)
        assert done.returncode == -signal.SIGKILL
        assert not (killed / "report.html").exists()
    last = start(killed)
    assert last.returncode == 0, last.stderr
    assert last.stderr.splitlines() == ["stage solve: read back", "stage fit: read back"]
    for name in ("metrics.json", "config.yaml"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert read(killed, "timings.json")["starts"] == 4
    assert read(killed, "timings.json")["stages"].keys() == {"solve", "fit"}
