"""The command `analogjax`: lists, runs, shows and compares experiments."""

from __future__ import annotations

import argparse
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
same --out. A folder that holds another configuration is refused. A sweep that is started again runs
only what is not finished.

examples:
  analogjax run vacancy_dynamics
  analogjax run vacancy_dynamics seed=1 --out my_run
  analogjax run vacancy_dynamics -m seed=0,1,2 --out my_sweep
  analogjax run vacancy_dynamics -m seed=0,1,2 --out my_sweep --jobs 2
  analogjax run vacancy_dynamics -m seed=0,1,2 --out my_sweep --launcher slurm --partition gpu
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

    _add_launcher(run.add_argument_group("where the runs of a sweep run (with -m)"))

    show = commands.add_parser("show", help="summary of a finished run")
    show.add_argument("folder", metavar="RUN_FOLDER", type=Path)

    compare = commands.add_parser("compare", help="metrics of several runs side by side")
    compare.add_argument(
        "folders",
        metavar="RUN_FOLDER",
        type=Path,
        nargs="+",
        help="run folders, or one sweep's folder, whose table is also written into it",
    )
    compare.add_argument(
        "--metrics",
        action="append",
        default=[],
        metavar="PATTERN",
        help="metrics of a sweep to show, as in 'accuracy_*' (may be given again)",
    )
    return parser


def _add_launcher(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--jobs", type=int, metavar="N", help="runs at the same time, each a process of its own"
    )
    group.add_argument(
        "--launcher",
        metavar="KIND",
        help=f"one of {', '.join(runs.LAUNCHERS)} (default: serial, or processes with --jobs)",
    )
    group.add_argument("--cpus", type=int, metavar="N", help="cores of a run")
    group.add_argument("--gpus", type=int, metavar="N", help="GPUs of a run")
    slurm = "; with --launcher slurm"
    group.add_argument("--time", type=int, default=60, metavar="MIN", help=f"minutes{slurm}")
    group.add_argument("--memory", type=float, metavar="GB", help=f"memory of a run{slurm}")
    group.add_argument("--partition", metavar="NAME", help=f"partition of the cluster{slurm}")
    group.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help=f"any other option of sbatch, as in account=lab{slurm}",
    )


def _report(error: Exception, with_traceback: bool = False) -> int:
    """Print an error and return the exit code: one sentence for a wrong input, else everything."""
    wrong_input = runs.is_wrong_input(error)
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
            if _launcher(options) != runs.Launcher():
                raise runs.UsageError(
                    "Arguments such as --jobs and --launcher must come with -m, but -m is missing."
                )
            runs.execute(runs.compose(options.name, options.overrides), out)
            code = 0
    except KeyboardInterrupt:
        print(f"interrupted: start it again with --out {out} to go on", file=sys.stderr)
        return 130
    print(f"run folder: {out}")
    return code


def _sweep(options: argparse.Namespace, out: Path) -> int:
    launcher = _launcher(options)
    sweep = runs.ask(options.name, options.overrides, out, here=launcher.kind == "serial")
    failed = runs.launch(
        sweep.jobs, launcher, lambda text: print(text, file=sys.stderr, flush=True)
    )
    runs.compare_sweep(out)
    if failed:
        print(
            f"{len(failed)} of {len(sweep.jobs)} runs failed: {', '.join(failed)}", file=sys.stderr
        )
        print(
            f"logs: {out / 'logs'}; the same command runs only what is not finished",
            file=sys.stderr,
        )
    return 1 if failed else 0


def _launcher(options: argparse.Namespace) -> runs.Launcher:
    more = {}
    for word in options.slurm:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise runs.UsageError(f"Argument `--slurm` must be OPTION=VALUE, but is {word!r}.")
        more[key] = value
    return runs.Launcher(
        kind=options.launcher or ("processes" if options.jobs else "serial"),
        at_once=options.jobs,
        cpus=options.cpus,
        gpus=options.gpus,
        minutes=options.time,
        memory=options.memory,
        partition=options.partition,
        more=more,
    )


def _show(options: argparse.Namespace) -> int:
    runs.show(options.folder)
    return 0


def _compare(options: argparse.Namespace) -> int:
    if len(options.folders) == 1 and runs.is_sweep(options.folders[0]):
        runs.compare_sweep(options.folders[0], options.metrics)
    elif options.metrics:
        raise runs.UsageError(
            "Argument `--metrics` must come with one sweep's folder, but others are given."
        )
    else:
        runs.compare(options.folders)
    return 0


_COMMANDS = {"list": _list, "run": _run, "show": _show, "compare": _compare}


if __name__ == "__main__":
    sys.exit(main())
