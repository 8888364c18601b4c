"""Numbers beside what they should be: one table of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._folder import RunFolder


class Ledger:
    """The one table: every quantity beside its reference, the difference and what is allowed."""

    def __init__(self, run: RunFolder):
        """Begin the table of a run."""
        self.run = run
        """Where every quantity becomes a metric."""
        self.rows: list[list[str]] = []
        """Quantity, reference, value, difference, source."""
        self.failed: list[str] = []
        """Quantities out of tolerance."""

    def add(
        self,
        name: str,
        quantity: str,
        here: Any,
        reference: Any,
        allowed: float,
        source: str,
        *,
        relative: bool = True,
        reason: str = "",
    ) -> None:
        """Record a number, what it should be, and how far it may be off.

        Args:
            name: Of the metric.
            quantity: In words, for the table.
            here: What this package gives.
            reference: What it should be; where that is zero the difference is absolute.
            allowed: Largest difference.
            source: Where the reference comes from.
            relative: Whether the difference is relative to the reference.
            reason: Why so much is allowed.
        """
        here, reference = float(here), float(reference)
        off = abs(here - reference) / (abs(reference) if relative and reference else 1.0)
        self.run.metric(name, here, quantity)
        within = off <= allowed
        if not within:
            self.failed.append(quantity)
        limit = f"{off:.1e} (allowed {allowed:.0e}{', ' + reason if reason else ''})"
        shown = limit if within else f"**{limit}**"
        self.rows.append([quantity, f"{reference:.10g}", f"{here:.10g}", shown, source])

    def zero(self, name: str, quantity: str, here: Any, allowed: float, source: str) -> None:
        """Record a number that should be zero; see `add`."""
        self.add(name, quantity, here, 0.0, allowed, source)

    def order(
        self,
        name: str,
        quantity: str,
        errors: Any,
        wanted: float,
        allowed: float,
        source: str,
        *,
        mean: bool = False,
    ) -> None:
        """Record the order of a method, the power of the spacing that its errors follow; see `add`.

        Args:
            name: Of the metric.
            quantity: In words, for the table.
            errors: At spacings that are each half of the one before.
            wanted: The order.
            allowed: Largest difference.
            source: Why it should be this order.
            mean: Whether the mean over all pairs of errors counts, not the last pair alone.
        """
        size = np.abs(errors)
        orders = np.log2(size[:-1] / size[1:])
        here = np.mean(orders) if mean else orders[-1]
        self.add(name, quantity, here, wanted, allowed, source, relative=False)

    def report(self) -> None:
        """Write the table, count what is out of tolerance, and say it in the summary."""
        self.run.metric("checks", len(self.rows))
        self.run.metric("checks_failed", len(self.failed), "out of tolerance")
        self.run.section("All numbers", "Differences are relative where the reference is not zero.")
        self.run.table("", ["quantity", "reference", "here", "difference", "source"], self.rows)
        verdict = (
            "all within tolerance"
            if not self.failed
            else "out of tolerance: " + "; ".join(self.failed)
        )
        self.run.summary(f"{len(self.rows)} checks, {verdict}.")
