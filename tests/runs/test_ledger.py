"""Numbers beside what they should be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analogjax.runs import Ledger, RunFolder


@pytest.fixture
def ledger(tmp_path):
    return Ledger(RunFolder(tmp_path / "out", {"seed": 0}))


def test_differences_are_relative_unless_said_otherwise_or_the_reference_is_zero(ledger):
    ledger.add("a", "first", 2.02, 2.0, 0.015, "theory")
    ledger.add("b", "second", 2.02, 2.0, 0.015, "theory", relative=False)
    ledger.zero("c", "third", -1e-3, 1e-2, "theory")
    ledger.add("d", "fourth", -2.02, -2.0, 0.015, "theory", reason="it wavers")
    assert ledger.failed == ["second"]
    differences = [row[3] for row in ledger.rows]
    assert differences == [
        "1.0e-02 (allowed 1e-02)",
        "**2.0e-02 (allowed 1e-02)**",
        "1.0e-03 (allowed 1e-02)",
        "1.0e-02 (allowed 1e-02, it wavers)",
    ]
    assert ledger.rows[0] == ["first", "2", "2.02", differences[0], "theory"]


def test_orders_are_those_of_the_last_pair_or_of_all(ledger):
    """Errors h^2 at h = 1, 1/2, and then h^3."""
    errors = np.array([-1.0, 0.25, 0.25 / 8])
    ledger.order("last", "last pair", errors, 3.0, 1e-12, "made so")
    ledger.order("mean", "all pairs", errors, 2.5, 1e-12, "made so", mean=True)
    assert not ledger.failed


def test_the_report_counts_and_names_what_failed(ledger):
    ledger.add("a", "first", 1.0, 1.0, 0.0, "theory")
    ledger.add("b", "second", 1.0, 2.0, 0.1, "theory")
    ledger.report()
    ledger.run.finish()
    metrics = json.loads((ledger.run.path / "metrics.json").read_text())
    assert metrics == {"a": 1.0, "b": 1.0, "checks": 2, "checks_failed": 1}
    page = (ledger.run.path / "report.html").read_text()
    assert "2 checks, out of tolerance: second." in page
