"""The report: one file, safe text, everything embedded."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pytest

from analogjax import runs
from analogjax.runs import _report


@pytest.fixture
def page(tmp_path):
    folder = runs.RunFolder(
        tmp_path / "run",
        {"seed": 0, "precision": "float64"},
        title="Heat & <light>",
        summary="All.",
    )
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    folder.section("First", "One paragraph with `a*b*c` and *stress*.\n\n- item < 2\n- more")
    folder.figure("curve", figure, caption="Voltage [V].")
    folder.media("film.gif", b"GIF89a")
    folder.table("A table", ["x [m]", "y"], [[1.23456789, "`code`"], [7, "text"]], caption="See.")
    folder.metric("power_W", 1.5e-7, help="power per pulse")
    folder.section("Last", "The end.")
    folder.finish()
    return (folder.path / "report.html").read_text(encoding="utf-8"), folder


def test_needs_no_other_file(page):
    text, folder = page
    assert "http" not in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(sources) == 2
    assert all(source.startswith("data:image/") for source in sources)
    embedded = base64.b64decode(sources[0].partition("base64,")[2])
    assert embedded == (folder.path / "figures" / "curve.png").read_bytes()
    assert "<script" not in text
    assert "<link" not in text


def test_is_well_formed_and_in_order(page):
    text, _ = page
    stack = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                stack.append(tag)

        def handle_endtag(self, tag):
            assert stack.pop() == tag

    Checker().feed(text)
    assert not stack
    order = [
        "Key metrics",
        "First",
        "Figure 1.",
        "Figure 2.",
        "A table",
        "Last",
        "How this was made",
    ]
    places = [text.index(word) for word in order]
    assert places == sorted(places)


def test_text_is_escaped_and_marked_up(page):
    text, _ = page
    assert "<h1>Heat &amp; &lt;light&gt;</h1>" in text
    assert "<code>a*b*c</code> and <i>stress</i>" in text
    assert "<li>item &lt; 2</li>" in text
    assert "1.2346" in text
    assert "1.5e-07" in text


def test_unknown_media_are_refused(tmp_path):
    folder = runs.RunFolder(tmp_path / "run", {})
    with pytest.raises(ValueError, match=r"must end in one of .*, but is 'data\.xls'"):
        folder.media("data.xls", b"")


def test_table_rows_fit_headers(tmp_path):
    folder = runs.RunFolder(tmp_path / "run", {})
    with pytest.raises(ValueError, match="must have 2 entries in each row, but one has 1"):
        folder.table("t", ["a", "b"], [[1]])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**bold** and *it*", "<b>bold</b> and <i>it</i>"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("`<x>` & y", "<code>&lt;x&gt;</code> &amp; y"),
    ],
)
def test_inline(text, shown):
    assert _report.inline(text) == shown
