"""The report: one HTML file that needs no other file, to be read, printed or put on a slide."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import _atomic
from ._progress import duration

_MEDIA_TYPES = {
    ".png": "image/png",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}


def media_type(name: str) -> str:
    """Return the media type of a file by its suffix.

    Raises:
        ValueError: If a browser cannot show it.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in _MEDIA_TYPES:
        raise ValueError(
            f"Argument `name` must end in one of {', '.join(_MEDIA_TYPES)}, but is {name!r}."
        )
    return _MEDIA_TYPES[suffix]


def save_figure(folder: Path, name: str, figure: Any) -> bytes:
    """Save a Matplotlib figure as NAME.png and NAME.svg, close it, and return the PNG."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    images = {}
    # A fixed salt and no date: the same run draws the same bytes.
    with mpl.rc_context({"svg.hashsalt": "analogjax"}):
        for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
            buffer = io.BytesIO()
            figure.savefig(
                buffer, format=suffix[1:], dpi=180, bbox_inches="tight", metadata=metadata
            )
            images[suffix] = buffer.getvalue()
            _atomic.write_bytes(folder / f"{name}{suffix}", images[suffix])
    plt.close(figure)
    return images[".png"]


_FEW_METRICS = 12


class Report:
    """Collects the parts of a report and writes them as one page."""

    def __init__(self, title: str, summary: str):
        self.title = title
        self.summary = summary
        self.metrics: list[tuple[str, int | float, str]] = []
        self._parts: list[str] = []
        self._figures = 0

    def section(self, title: str, text: str) -> None:
        """Add a heading and prose."""
        heading = f"<h2>{inline(title)}</h2>\n" if title else ""
        self._parts.append(f'<section class="prose">{heading}{prose(text)}</section>')

    def table(
        self, title: str, headers: Sequence[str], rows: Sequence[Sequence[Any]], caption: str
    ) -> None:
        """Add a table."""
        heading = f"<h3>{inline(title)}</h3>\n" if title else ""
        note = f'<p class="note">{inline(caption)}</p>' if caption else ""
        self._parts.append(f"<section>{heading}{_table(headers, rows)}{note}</section>")

    def media(self, name: str, data: bytes, caption: str) -> None:
        """Add a figure or a film, embedded."""
        self._figures += 1
        kind = media_type(name)
        source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        label = html.escape(Path(name).stem.replace("_", " "), quote=True)
        shown = (
            f'<video controls loop muted src="{source}"></video>'
            if kind.startswith("video")
            else f'<img alt="{label}" src="{source}">'
        )
        self._parts.append(
            f"<figure>{shown}<figcaption><b>Figure {self._figures}.</b> "
            f"{inline(caption or label)}</figcaption></figure>"
        )

    def render(self, config: str, environment: dict[str, Any], timings: dict[str, Any]) -> str:
        """Return the page.

        Args:
            config: The resolved configuration as YAML.
            environment: Versions, device, commit.
            timings: Seconds in all and by stage.

        Returns:
            HTML with everything embedded.
        """
        rows = [
            [f"`{name}`", value, text] if text else [f"`{name}`", value, ""]
            for name, value, text in self.metrics
        ]
        table = _table(["metric", "value", "what it is"], rows)
        # A few numbers open the report; a long list would hide the figures.
        few = 0 < len(rows) <= _FEW_METRICS
        first = f"<section><h2>Key metrics</h2>{table}</section>" if few else ""
        last = "" if few or not rows else f"<details><summary>Metrics</summary>{table}</details>"
        stages = [[stage, duration(seconds)] for stage, seconds in timings["stages"].items()]
        commit = environment.get("git_commit") or ""
        facts = [
            environment.get("configuration") or "",
            f"seed {environment.get('seed')}",
            str(environment.get("precision") or ""),
            f"{environment['device']} ({environment['platform']})",
            f"analogjax {environment['packages']['analogjax']}",
            f"commit {commit[:10]}{'+changes' if commit.endswith('+changes') else ''}"
            if commit
            else "",
            f"computed in {duration(timings['total'])}",
        ]
        chips = "".join(f"<span>{html.escape(fact)}</span>" for fact in facts if fact.strip())
        parts = "\n".join(self._parts)
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(self.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><div><h1>{inline(self.title)}</h1>
<div class="summary">{prose(self.summary)}</div>
<p class="facts">{chips}</p></div></header>
<main>
{first}
{parts}
<section><h2>How this was made</h2>
{last}
<details><summary>Configuration</summary><pre>{html.escape(config)}</pre></details>
<details><summary>Environment</summary>
<pre>{html.escape(json.dumps(environment, indent=2))}</pre></details>
<details><summary>Times</summary>{_table(["stage", "time"], stages)}</details>
</section>
</main>
</body>
</html>
"""


def number(value: Any) -> str:
    """Return a table's entry as text: floats with five digits, the rest as it is."""
    if isinstance(value, float):
        return f"{value:.5g}"
    return str(value)


def inline(text: str) -> str:
    """Escape a text, with `code`, **bold** and *italic* turned into HTML."""
    # Code is taken out first, so that stars inside it stay stars.
    pieces = re.split(r"`([^`]+)`", text)
    for i, piece in enumerate(pieces):
        piece = html.escape(piece, quote=False)
        if i % 2:
            pieces[i] = f"<code>{piece}</code>"
        else:
            piece = re.sub(r"\*\*(\S(?:.*?\S)?)\*\*", r"<b>\1</b>", piece)
            pieces[i] = re.sub(r"(?<!\*)\*(\S(?:[^*]*?\S)?)\*(?!\*)", r"<i>\1</i>", piece)
    return "".join(pieces)


def prose(text: str) -> str:
    """Turn paragraphs and lists of plain text into HTML."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        if lines and all(line.startswith("- ") for line in lines):
            items = "".join(f"<li>{inline(line[2:])}</li>" for line in lines)
            blocks.append(f"<ul>{items}</ul>")
        elif lines:
            blocks.append(f"<p>{inline(' '.join(lines))}</p>")
    return "\n".join(blocks)


def _table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{inline(str(header))}</th>" for header in headers)
    body = ""
    for row in rows:
        cells = "".join(
            f'<td class="number">{number(value)}</td>'
            if isinstance(value, int | float)
            else f"<td>{inline(str(value))}</td>"
            for value in row
        )
        body += f"<tr>{cells}</tr>\n"
    # The wrapper scrolls sideways, so that a wide table does not widen the page of a phone.
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}</tbody></table></div>"
    )


_STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --accent: #0b5c86; --paper: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 17px/1.6 "Helvetica Neue", "Segoe UI", Roboto, Arial, sans-serif; }
header { background: linear-gradient(120deg, #0a2f47, #0b5c86 70%, #23809c); color: #fff; }
header > div, main { max-width: 62rem; margin: 0 auto; padding: 2.4rem 1.4rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .7rem; font-weight: 650; }
h2 { font-size: 1.4rem; line-height: 1.3; margin: 0 0 .7rem; color: var(--accent); }
h3 { font-size: 1.1rem; margin: 0 0 .5rem; }
.summary { font-size: 1.12rem; max-width: 50rem; }
.summary p { margin: 0 0 .6rem; }
.facts { margin: 1.1rem 0 0; display: flex; flex-wrap: wrap; gap: .4rem; }
.facts span { background: rgba(255, 255, 255, .16); border-radius: 1rem; padding: .1rem .75rem;
  font-size: .85rem; }
section, figure { background: #fff; border: 1px solid var(--line); border-radius: .6rem;
  padding: 1.4rem 1.6rem; margin: 0 0 1.4rem; }
.prose p, .prose li { max-width: 46rem; }
.prose p:last-child, .prose ul:last-child { margin-bottom: 0; }
figure img, figure video { display: block; max-width: 100%; height: auto; margin: 0 auto 1rem; }
figcaption, .note { color: var(--soft); font-size: .94rem; margin: 0; }
figcaption b { color: var(--ink); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: .4rem .8rem .4rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; font-weight: 600; }
.note { margin-top: .7rem; }
code, pre { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .88em; }
code { background: #eef2f5; border-radius: .25rem; padding: .05rem .3rem; }
header code { background: rgba(255, 255, 255, .16); }
pre { overflow-x: auto; background: #eef2f5; border-radius: .4rem; padding: .9rem 1rem; }
details { border-top: 1px solid var(--line); padding: .6rem 0; }
details > summary { cursor: pointer; font-weight: 600; }
@media (max-width: 40rem) {
  body { font-size: 16px; } h1 { font-size: 1.6rem; } section, figure { padding: 1rem; }
}
@media print {
  body { background: #fff; } section, figure { break-inside: avoid; border: 0; padding: .5rem 0; }
  header { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
