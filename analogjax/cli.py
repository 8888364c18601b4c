"""The command `analogjax`: lists, runs, shows and compares experiments."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from . import __version__, runs

_RUN_HELP = """\
overrides:
  key=value            any key of the configuration, as in `seed=3` or `device.cells=32`
  group=option         a file of configs/GROUP/, as in `programming=jart` (see quickstart)
  key=a,b,c            with -m: one run for each value; several such keys give all combinations

common keys:
  seed=0               seed of every random draw
  precision=float64    or float32
  platform=auto        or cpu, gpu, tpu
  accelerators=1       how many, `all` of this machine, or `cluster` (a process for each, srun)

A run that was interrupted goes on from its last finished stage when it is started again with the
same --out. A folder that holds another configuration is refused.

examples:
  analogjax run vacancy_dynamics
  analogjax run vacancy_dynamics seed=1 --out my_run
  analogjax run vacancy_dynamics -m seed=0,1,2 --out my_sweep
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Words after `analogjax` (default: those of the process).

    Returns:
        0 if all went well, 1 if an experiment failed, 2 if the command was used wrongly, 130 if it
        was interrupted.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest:
        # argparse takes positional words up to the first option only; overrides may follow it.
        unknown = [word for word in rest if word.startswith("-")]
        if unknown or options.command != "run":
            parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}")
        options.overrides += rest
    try:
        return _COMMANDS[options.command](options)
    except Exception as error:
        return _report(error, options.traceback)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, like every other of the command."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message} (see `{self.prog} --help`)", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    # No abbreviations: `--o` would bind a word that an override was meant to be.
    parser = _Parser(
        prog="analogjax",
        description="Lists, runs, shows and compares the experiments of analogjax.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"analogjax {__version__}")
    parser.add_argument(
        "--traceback", action="store_true", help="show where a wrong input was found"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("list", help="experiments and what each shows")

    run = commands.add_parser(
        "run",
        help="run an experiment, or go on with an interrupted one",
        description="Run configs/NAME.yaml with overrides, into a run folder.",
        epilog=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    run.add_argument("name", metavar="NAME", help="a name that `analogjax list` shows")
    run.add_argument("overrides", metavar="key=value", nargs="*", help="see below")
    run.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="the run folder, or with -m the parent of all (default: runs/NAME/<time>)",
    )
    run.add_argument("-m", "--multirun", action="store_true", help="sweep over key=a,b,c")
    run.add_argument(
        "--print-config", action="store_true", help="print the resolved configuration and stop"
    )

    show = commands.add_parser("show", help="summary of a finished run")
    show.add_argument("folder", metavar="RUN_FOLDER", type=Path)

    compare = commands.add_parser("compare", help="metrics of several runs side by side")
    compare.add_argument("folders", metavar="RUN_FOLDER", type=Path, nargs="+")
    return parser


def _report(error: Exception, with_traceback: bool = False) -> int:
    """Print an error and return the exit code: one sentence for a wrong input, else everything."""
    # The checks of the package's arguments say "Argument `x` must be ...": a value of the
    # configuration that reaches them is the user's mistake, not the program's.
    wrong_input = isinstance(error, runs.UsageError) or (
        isinstance(error, ValueError) and str(error).startswith("Argument `")
    )
    if with_traceback or not wrong_input:
        traceback.print_exception(error)
    if wrong_input:
        print(f"error: {error}", file=sys.stderr)
    return 2 if wrong_input else 1


def _list(options: argparse.Namespace) -> int:
    found = runs.descriptions(runs.locate())
    width = max(map(len, found), default=0)
    for name, text in found.items():
        print(f"{name:<{width}}  {text}")
    return 0


def _run(options: argparse.Namespace) -> int:
    if options.print_config:
        from omegaconf import OmegaConf

        composed = runs.compose(options.name, options.overrides)
        print(OmegaConf.to_yaml(composed.resolved), end="")
        return 0
    if options.multirun and "accelerators=cluster" in options.overrides:
        raise runs.UsageError(
            "Key `accelerators` must be `cluster` without -m only: each run has a job of its own."
        )
    out = options.out or Path("runs") / options.name / time.strftime("%Y-%m-%d_%H-%M-%S")
    try:
        if options.multirun:
            code = _sweep(options, out)
        else:
            _run_one(runs.compose(options.name, options.overrides), out)
            code = 0
    except KeyboardInterrupt:
        print(f"interrupted: start it again with --out {out} to go on", file=sys.stderr)
        return 130
    print(f"run folder: {out}")
    return code


def _run_one(composed: runs.Composed, out: Path) -> None:
    with (
        runs.on_accelerators(composed.resolved["accelerators"]),
        runs.written_by_first(out) as folder,
    ):
        _run_in(composed, folder)


def _run_in(composed: runs.Composed, out: Path) -> None:
    folder = runs.RunFolder(
        out,
        composed.resolved,
        name=composed.name,
        title=composed.title,
        summary=composed.summary,
    )
    if runs.from_first(b"" if folder.finished else None) is not None:
        print(f"{composed.name}: already finished, nothing to compute")
        return
    from . import plotting

    with plotting.style():
        composed.module.run(composed.config, folder)
        folder.finish()


def _sweep(options: argparse.Namespace, out: Path) -> int:
    if (out / "config.yaml").is_file():
        raise runs.UsageError(
            f"Argument `--out` must be the parent of a sweep's run folders, "
            f"but {str(out)!r} is a run folder itself."
        )
    jobs = runs.sweep(options.overrides)
    for job in jobs:
        runs.compose(options.name, job)  # every typo is told before the first job starts
    swept = runs.swept_keys(options.overrides)
    failed, folders = [], []
    for i, job in enumerate(jobs):
        name = _job_name([word for word in job if word.partition("=")[0] in swept])
        print(f"[{i + 1}/{len(jobs)}] {name}", file=sys.stderr, flush=True)
        try:
            # Composed again, because precision belongs to the job and is set on the way.
            _run_one(runs.compose(options.name, job), out / name)
            folders.append(out / name)
        except Exception as error:
            _report(error, options.traceback)
            failed.append(name)
    if len(folders) > 1:
        runs.compare(folders)
    if failed:
        print(f"{len(failed)} of {len(jobs)} runs failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _job_name(overrides: list[str]) -> str:
    """Return the name of a job's folder: its swept overrides, made fit for a file system."""
    text = ",".join(overrides) or "run"
    name = re.sub(r"[^A-Za-z0-9._=,+-]", "_", text)
    if name != text or len(name) > 100:
        # Two different jobs must never share a folder.
        name = f"{name[:90]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return name


def _show(options: argparse.Namespace) -> int:
    runs.show(options.folder)
    return 0


def _compare(options: argparse.Namespace) -> int:
    runs.compare(options.folders)
    return 0


_COMMANDS = {"list": _list, "run": _run, "show": _show, "compare": _compare}


if __name__ == "__main__":
    sys.exit(main())
