"""Sweeps: what a folder holds, who runs it, what is run again, and the table over all runs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import stat
import sys
import threading
import time

import jax
import numpy as np
import pytest

from analogjax import cli, runs
from analogjax.runs import _atomic, _cache, _job, _launch, _sweep, _table


def rows_of(folder, name="sweep.csv"):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


# The folder and its table, in one process


WORDS = ["run", "decay", "-m", "device.capacitance=1e-6,2e-6,5e-6", "seed=0,1", "points=30"]


@pytest.fixture(scope="module")
def swept_once(module_project, tmp_path_factory):
    """A sweep over a number and seeds, and what it printed."""
    out = tmp_path_factory.mktemp("once") / "sweep"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert cli.main([*WORDS, "--out", str(out)]) == 0
    return out, printed.getvalue()


@pytest.fixture
def swept(swept_once, tmp_path):
    """A copy of it that a test may change."""
    return shutil.copytree(swept_once[0], tmp_path / "sweep")


def test_table_has_swept_keys_and_metrics(swept_once):
    out, printed = swept_once
    rows = rows_of(out)
    assert len(rows) == 6
    first = rows[0]
    assert list(first)[:4] == ["run", "state", "device.capacitance", "seed"]
    assert first["run"] == "device.capacitance=1e-06,seed=0"
    for row in rows:
        assert row["state"] == "finished"
        # repr of a float is exact.
        assert float(row["rate_per_s"]) == metrics_of(out / row["run"])["rate_per_s"]
    assert "points" in printed  # constant: printed after what varies
    assert printed.splitlines()[-1] == f"run folder: {out}"


def test_mean_and_spread_over_seeds(swept_once):
    out, printed = swept_once
    means = rows_of(out, "sweep_over_seeds.csv")
    assert [float(row["device.capacitance"]) for row in means] == [1e-6, 2e-6, 5e-6]
    rates = [
        metrics_of(out / f"device.capacitance=2e-06,seed={seed}")["rate_per_s"] for seed in (0, 1)
    ]
    assert float(means[1]["rate_per_s_mean"]) == pytest.approx(sum(rates) / 2, rel=1e-12)
    # Of two values, the standard deviation of the sample is their distance over the root of two.
    spread = abs(rates[0] - rates[1]) / 2**0.5
    assert float(means[1]["rate_per_s_std"]) == pytest.approx(spread, rel=1e-9)
    assert means[1]["rate_per_s_n"] == "2"
    assert "±" in printed


def test_page_and_figures(swept_once):
    out, _ = swept_once
    names = sorted(path.name for path in (out / "figures").iterdir())
    assert names == ["against_device.capacitance.png", "against_device.capacitance.svg"]
    page = (out / "sweep.html").read_text()
    for part in (
        "Sweep of decay",
        "Mean over the seeds",
        "All runs",
        "data:image/png",
        "seed 0, 1",
    ):
        assert part in page


def test_finished_runs_are_skipped_and_further_values_join(swept, capsys):
    out = swept
    stamps = {file: file.stat().st_mtime_ns for file in out.glob("*/report.html")}
    words = [word.replace("seed=0,1", "seed=0,1,2") for word in WORDS]
    assert cli.main([*words, "--out", str(out)]) == 0
    assert "6 of 9 runs are finished already" in capsys.readouterr().err
    assert stamps == {file: file.stat().st_mtime_ns for file in stamps}
    assert len(rows_of(out)) == 9
    # A part of it again does not make the rest forgotten.
    part = [word.replace("1e-6,2e-6,5e-6", "1e-6,2e-6") for word in words]
    assert cli.main([*part, "--out", str(out)]) == 0
    assert len(rows_of(out)) == 9


def test_compare_writes_the_table_of_a_sweep(swept, capsys):
    out = swept
    (out / "sweep.csv").unlink()
    assert cli.main(["compare", str(out), "--metrics", "rate*"]) == 0
    printed = capsys.readouterr().out
    assert "rate_per_s" in printed
    assert "points" not in printed
    assert "table (1 more metrics): sweep.csv" in printed
    assert len(rows_of(out)) == 6


def test_figure_needs_numbers(project, tmp_path):
    out = tmp_path / "sweep"
    assert (
        cli.main(["run", "plain", "-m", "value=1,2", "platform=auto,cpu", "--out", str(out)]) == 0
    )
    table = _table.table_of(out)
    lines = _table._lines(table, ["value"])
    assert list(lines) == ["value"]
    assert [line.label for line in lines["value"]] == ["platform=auto", "platform=cpu"]
    np.testing.assert_array_equal(lines["value"][0].mean["value"], [1.0, 2.0])


def test_another_sweep_in_the_folder_is_refused(project, tmp_path, capsys):
    out = str(tmp_path / "sweep")
    assert cli.main(["run", "plain", "-m", "value=1,2", "--out", out]) == 0
    for words in (["value=1", "seed=0,1"], ["value=1,2", "seed=4"]):
        assert cli.main(["run", "plain", "-m", *words, "--out", out]) == 2
        assert "holds one of plain over value." in capsys.readouterr().err


def test_folder_names_are_fit_for_a_file_system():
    assert _sweep.job_name(["a=1", "b=x"]) == "a=1,b=x"
    words = ("a=x/y", "a=x y", "a=" + "z" * 300, "a=" + "z" * 301)
    odd = [_sweep.job_name([word]) for word in words]
    assert len(set(odd)) == 4
    assert all("/" not in name and len(name) < 120 for name in odd)


# Launchers


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-m", "--launcher", "slrum"], "(did you mean `slurm`?)"),
        (["-m", "--jobs", "0"], "Argument `--jobs` must be above 0, but is 0."),
        (["-m", "--partition", "x"], "must come with --launcher slurm, but comes with serial."),
        (["-m", "--launcher", "slurm", "--slurm", "x"], "must be OPTION=VALUE, but is 'x'."),
        (["--jobs", "2"], "must come with -m"),
    ],
)
def test_wrong_use_of_launchers(project, tmp_path, capsys, words, sentence):
    assert cli.main(["run", "plain", "--out", str(tmp_path / "out"), *words]) == 2
    assert sentence in capsys.readouterr().err


def test_slurm_is_missing(project, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    words = ["run", "plain", "-m", "value=1", "--launcher", "slurm", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 2
    assert "must run where Slurm's commands are" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("launcher", "killed"),
    [("processes", "was killed by SIGKILL"), ("submitit", "was killed (state FINISHED)")],
)
def test_only_what_is_not_finished_runs_again(project, tmp_path, capfd, launcher, killed):
    """One run fails, one is killed half way by a signal that leaves no chance to tidy up."""
    if launcher == "submitit":
        pytest.importorskip("submitit")
    out = tmp_path / "sweep"
    words = ["run", "decay", "-m", "label=dies,broken", "--launcher", launcher, "--jobs", "2"]
    words += ["--out", str(out)]
    assert cli.main(words) == 1
    printed = capfd.readouterr()
    assert f"label=dies failed: The process {killed} before the run was finished." in printed.err
    assert "label=broken failed: RuntimeError: the capacitor exploded" in printed.err
    assert "2 of 2 runs failed: label=dies, label=broken" in printed.err
    assert "Traceback" in (out / "logs" / "label=broken.log").read_text()
    assert [row["state"][:6] for row in rows_of(out)] == ["failed"] * 2
    assert not (out / "sweep.html").exists()

    # What was wrong with the second is put right; the first goes on from its last stage.
    experiment = project / "experiments" / "decay.py"
    experiment.write_text(experiment.read_text().replace('"broken"', '"unheard of"'))
    assert cli.main(words) == 0
    assert "stage solve: read back" in (out / "logs" / "label=dies.log").read_text()
    timings = json.loads((out / "label=dies" / "timings.json").read_text())
    assert timings["starts"] == 2
    assert [row["state"] for row in rows_of(out)] == ["finished"] * 2
    assert metrics_of(out / "label=dies") == metrics_of(out / "label=broken")

    capfd.readouterr()
    assert cli.main(words) == 0
    assert "2 of 2 runs are finished already" in capfd.readouterr().err


_SBATCH = """#!/bin/bash
# Stands for a cluster: runs every task of the array at once, on this machine.
file="${@: -1}"
cp "$file" "$CLUSTER/submitted.sh"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$file")
task() {
  echo RUNNING > "$CLUSTER/77_$1.state"
  export SLURM_JOB_ID=77$1 SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$1 SLURM_PROCID=0
  export SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1
  if bash "$file"; then end=COMPLETED; else end=OUT_OF_MEMORY; fi
  echo $end > "$CLUSTER/77_$1.state"
}
for i in $(seq 0 "$last"); do task "$i" > /dev/null 2>&1 & done
echo Submitted batch job 77
"""
_SRUN = """#!/bin/bash
while [ "$1" != "$PYTHON" ]; do shift; done
exec "$@"
"""
_SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
for file in "$CLUSTER"/*.state; do echo "$(basename "$file" .state)|$(cat "$file")|here"; done
"""


@pytest.mark.slow
def test_slurm(project, tmp_path, capfd, monkeypatch):
    """Everything but the scheduler is real: submitit's script, its pickles, the jobs."""
    pytest.importorskip("submitit")
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    for name, text in (("sbatch", _SBATCH), ("srun", _SRUN), ("sacct", _SACCT)):
        (cluster / name).write_text(text)
        (cluster / name).chmod((cluster / name).stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{cluster}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CLUSTER", str(cluster))
    monkeypatch.setenv("PYTHON", sys.executable)
    out = tmp_path / "sweep"
    words = ["run", "decay", "-m", "label=dies,fine", "--launcher", "slurm", "--out", str(out)]
    words += ["--partition", "short", "--time", "90", "--cpus", "3", "--gpus", "1"]
    words += ["--memory", "8", "--jobs", "1", "--slurm", "account=lab"]
    assert cli.main(words) == 1
    asked = (cluster / "submitted.sh").read_text()
    for option in (
        "partition=short",
        "time=90",
        "cpus-per-task=3",
        "gpus-per-node=1",
        "mem=8GB",
        "account=lab",
        "array=0-1%1",
    ):
        assert f"#SBATCH --{option}\n" in asked
    state = rows_of(out)[0]["state"]
    assert state.startswith("failed: The process was killed (state OUT_OF_MEMORY)"), state
    assert rows_of(out)[1]["state"] == "finished"
    assert not list((out / "logs").glob("*.slurm"))


def test_shares_of_a_machine_are_disjoint(project, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda _, cores: taken.append(cores), raising=False
    )
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    job = _job.Job("x", "plain", (), tmp_path)
    for place in range(3):
        _job.Worker(job, place, 3)._take_share()
    assert sorted(core for cores in taken for core in cores) == list(range(8))
    assert os.environ.pop("XLA_PYTHON_CLIENT_MEM_FRACTION") == "0.300"
    _job.Worker(job, 2, 3, gpus=2)._take_share()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"
    assert _launch.Launcher("processes", cpus=4).places == 2
    taken.clear()
    _job.Worker(job)._take_share()  # alone, or placed by a scheduler
    assert taken == []


# What processes share


def test_one_process_at_a_time(project, tmp_path, capsys):
    out = tmp_path / "sweep"
    words = ["run", "plain", "-m", "value=1,2", "--out", str(out)]
    with _atomic.locked(out / "logs" / ".lock") as alone:
        assert alone
        assert cli.main(words) == 2
    assert "must not be in use, but another process runs the sweep" in capsys.readouterr().err
    # A job that a killed sweep has left behind.
    with _atomic.locked(out / "logs" / "value=1.log"):
        assert cli.main(words) == 1
    assert "Another process is still running this job" in capsys.readouterr().err
    assert cli.main(words) == 0


def test_what_is_cached_is_computed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    computed, found = [], []

    def compute():
        computed.append(1)
        time.sleep(0.3)  # long enough for the others to come
        return {"a": np.arange(3)}

    def ask():
        found.append(_cache.cached("things", {"x": 1}, compute, code=("runs",)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1
    assert sorted(hit for _, hit in found) == [False, True, True, True]


def test_half_written_program_of_the_compiler_is_made_anew(tmp_path):
    """JAX writes an entry of its cache in place: a reader beside it may see half of one."""
    from jax.experimental.compilation_cache import compilation_cache

    kept = {
        name: getattr(jax.config, name)
        for name in ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    }

    def compute():
        jax.clear_caches()
        return float(jax.jit(lambda x: (x * 3.0 + 1.0).sum())(np.arange(5.0)))

    try:
        compilation_cache.reset_cache()
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        right = compute()
        entries = list(tmp_path.glob("*-cache"))
        assert entries
        for entry in entries:
            entry.write_bytes(entry.read_bytes()[: entry.stat().st_size // 2])
        with pytest.warns(UserWarning, match="persistent compilation cache"):
            assert compute() == right == 35.0
    finally:
        for name, value in kept.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def test_partial_files_of_two_machines_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 4)
    assert _atomic.partial_folder(tmp_path, "x") != _atomic.partial_folder(tmp_path, "x")


def test_unknown_folder_is_no_sweep(tmp_path):
    with pytest.raises(runs.UsageError, match=r"must hold a readable sweep\.yaml"):
        runs.compare_sweep(tmp_path)
