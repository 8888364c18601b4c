"""Progress: plain lines in a pipe, nested bars on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from analogjax import runs
from analogjax.runs import _progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (250, "4 min 10 s"),
        (7505, "2 h 5 min"),
    ],
)
def test_duration(seconds, text):
    assert runs.duration(seconds) == text


def test_lines_tell_the_time_left(capsys, monkeypatch):
    clock = iter([0.0, 30.0, 31.0, 40.0])
    monkeypatch.setattr(_progress.time, "monotonic", lambda: next(clock))
    with _progress.ProgressDisplay().show("pulses", 4) as progress:
        progress.advance()
        progress.advance()  # too soon for another line
        progress.advance(2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["pulses: 1/4, 1 min 30 s left", "pulses: 4/4, in 40 s"]


def test_bars_nest_on_a_terminal(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    display = _progress.ProgressDisplay()
    with display.show("devices", 2) as outer:
        with display.show("pulses", 3) as inner:
            inner.advance(3)
        outer.advance()
    assert display._bars is None
    assert "devices" in stream.getvalue()
    assert "1/2" in stream.getvalue()


def test_total_is_checked(tmp_path):
    folder = runs.RunFolder(tmp_path / "run", {})
    with (
        pytest.raises(ValueError, match="`total` must be at least 1, but is 0"),
        folder.progress("x", 0),
    ):
        pass


def test_nothing_done_yet_is_no_estimate(capsys):
    # A first portion that compiles for long and finishes nothing must not divide by zero.
    lines = _progress._Lines("slow", 3, every=0.0)
    lines.advance(0)
    assert capsys.readouterr().err == ""
    lines.advance(1)
    assert "slow: 1/3" in capsys.readouterr().err
