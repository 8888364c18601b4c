"""What the benchmarks share: fair timing on a busy machine, a table, and numbers as JSON."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--out", type=Path, help="write the numbers to this JSON file")
    return result


def interleaved(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the shortest wall time [s] of each contestant.

    The contestants take turns, so that a neighbour on the machine disturbs all of them, and the
    minimum is what remains when it does not. Each is called once before, to warm it up.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for call in contestants.values():
        jax.block_until_ready(call())
    for _ in range(rounds):
        for name, call in contestants.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def table(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> str:
    """Return a table in Markdown."""
    lines = [header, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    first, *others = (
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
    return "\n".join([first, "|" + "|".join("-" * (w + 2) for w in widths) + "|", *others])


def judged(rows: list[tuple[str, float, str, float, bool]]) -> str:
    """Return a table of measured figures against targets.

    Args:
        rows: Figure, value, unit, target, and whether the target is a lower bound.
    """
    lines = []
    for name, value, unit, target, at_least in rows:
        kept = value >= target if at_least else value <= target
        bound = f"{'>=' if at_least else '<='} {target:g}"
        lines.append((name, f"{value:.3g}{unit}", f"{bound}{unit}", "yes" if kept else "no"))
    return table(lines, ("figure", "measured", "target", "kept"))


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of these packages."""
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in packages}


def save(path: Path | None, numbers: dict[str, Any]) -> None:
    """Write numbers as JSON if there is a file to write them to."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(numbers, indent=2) + "\n")
