"""Several models of one device, fitted to the same measurements and ranked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import check_choice, check_whole
from ..devices import AbstractDevice
from .fit import as_measurements, fit
from .objectives import AbstractObjective
from .residuals import Prior
from .result import FitError, FitResult
from .uncertainty import count

BY = ("rows", "points")
"""What folds are made of."""


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A model that takes part in `rank_models`."""

    device: AbstractDevice
    """Its parameters are where the fit starts."""
    free: tuple[str, ...]
    """Names of those to fit."""
    bounds: Mapping[str, tuple[float, float]] | None = None
    """As in `fit`."""
    priors: Mapping[str, Prior] | None = None
    """As in `fit`."""
    adapt: Callable[[AbstractObjective], AbstractObjective] | None = None
    """How the model sees a measurement, such as ``lambda m: m.reversed()`` for a device that
    positive voltage resets. What was measured must stay as it is."""


@dataclasses.dataclass(frozen=True, eq=False)
class Ranked:
    """What became of one candidate."""

    name: str
    candidate: Candidate
    fit: FitResult | None
    """To all of the measurements; None if it could not be made."""
    message: str
    """Why not to trust it; empty if nothing speaks against it."""
    held_out: float
    """Root mean square of ``(predicted - measured) / sigma`` of what was kept back."""
    errors: dict[str, float]
    """The same without sigma, by measurement, in its unit."""
    r_squared: dict[str, float]
    """Share of the variance of what was kept back that is predicted, by measurement."""
    aicc: float
    """Akaike's criterion with its correction for few data, less that of the best."""
    bic: float
    """The Bayesian criterion, less that of the best."""
    weight: float
    """Akaike weight."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.message


@dataclasses.dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates, the best first; those that failed last."""

    entries: tuple[Ranked, ...]
    units: dict[str, str]
    """Of the measurements."""
    how: str
    """What was kept back."""

    @property
    def best(self) -> Ranked:
        """The first of the ranking.

        Raises:
            FitError: No candidate could be trusted.
        """
        if not self.entries[0].ok:
            raise FitError(f"A candidate must be fitted to be the best, but: {self}")
        return self.entries[0]

    def __getitem__(self, name: str) -> Ranked:
        """Return a candidate by its name."""
        return {e.name: e for e in self.entries}[check_choice("name", name, self.names)]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the candidates, the best first."""
        return tuple(e.name for e in self.entries)

    @property
    def rows(self) -> list[list[str]]:
        """The table of `describe` as cells, without its head."""
        return [
            [
                e.name,
                str(len(e.candidate.free)),
                _number(e.held_out),
                *(_number(e.errors.get(name, np.nan)) for name in self.units),
                *(_number(e.r_squared.get(name, np.nan), 5) for name in self.units),
                _number(e.aicc),
                _number(e.bic),
                _number(e.weight, 2),
            ]
            for e in self.entries
        ]

    @property
    def head(self) -> list[str]:
        """Head of the table."""
        return [
            "model", "free", "held-out error / sigma",
            *(f"rms {name} [{unit}]" for name, unit in self.units.items()),
            *(f"R^2 {name}" for name in self.units),
            "dAICc", "dBIC", "Akaike weight",
        ]  # fmt: skip

    def describe(self) -> str:
        """Return the ranking as text: a table, and why not to trust those that failed."""
        table = [self.head, *self.rows]
        widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
        lines = [f"Ranked by {self.how}:"]
        lines += [
            "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        lines += [f"  {e.name}: {e.message}" for e in self.entries if e.message]
        return "\n".join(lines)

    def __str__(self) -> str:
        """Return `describe`."""
        return self.describe()


def _number(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}" if np.isfinite(value) else "-"


def rank_models(
    candidates: Mapping[str, Candidate | tuple[AbstractDevice, Sequence[str]]],
    measurements: Any,
    *,
    held_out: Any = None,
    folds: int = 5,
    by: str = "rows",
    **options: Any,
) -> Ranking:
    """Fit several models to the same measurements and rank them by what they predict.

    The rank is that of the held-out error. Beside it stand, of the fit to all measurements with N
    values, k free parameters (and the noise factor, unless it is known) and the sum of squares S,
    ``AICc = D + 2 k + 2 k (k + 1) / (N - k - 1)`` and ``BIC = D + k ln N`` with ``D = N ln(S / N)``
    (``D = S`` for known noise), and the Akaike weight ``exp(-dAICc / 2)`` over their sum. They
    count values as independent, which the noise must then allow for (`RandomWalk`).

    Args:
        candidates: By name, a `Candidate` or a device and the names of its free parameters.
        measurements: As in `fit`.
        held_out: Other measurements of the same names, which are predicted by the fits to
            `measurements`. If None, every value is predicted once by a fit to the others.
        folds: Into how many parts `measurements` are dealt in turn, for that.
        by: Whether parts are made of ``"rows"`` or of ``"points"`` of every row.
        **options: As in `fit`.

    Returns:
        The ranking, with the fits. A fit that cannot be trusted comes last, with its sentence.

    Raises:
        ValueError: No candidates, measurements that do not fit together, fewer rows than folds.

    Source: K. P. Burnham and D. R. Anderson, Model Selection and Multimodel Inference, 2nd ed.,
    Springer (2002), chapter 2.
    """
    check_choice("by", by, BY)
    check_whole("folds", folds, 2)
    if not isinstance(candidates, Mapping) or not candidates:
        raise ValueError(
            f"Argument `candidates` must be a dictionary of models by name, but is {candidates!r}."
        )
    entries: list[Ranked] = []
    units: dict[str, str] = {}
    for name, one in candidates.items():
        candidate = one if isinstance(one, Candidate) else Candidate(one[0], tuple(one[1]))
        seen = _adapted(candidate, measurements)
        if held_out is None:
            pairs = [_parted(seen, k, folds, by) for k in range(folds)]
        else:
            pairs = [(seen, _adapted(candidate, held_out))]
            if {o.name for o in pairs[0][1]} != {o.name for o in seen}:
                raise ValueError(
                    "Argument `held_out` must hold measurements of the same names as "
                    "`measurements`, but does not."
                )
        units = units or {o.name: o.unit for o in seen}
        entries.append(_entry(name, candidate, seen, pairs, held_out is None, options))
    how = "what was kept back" if held_out is not None else f"{folds} folds of {by}"
    return Ranking(_ordered(entries), units, how)


def _adapted(candidate: Candidate, measurements: Any) -> tuple[AbstractObjective, ...]:
    """Return measurements as a candidate sees them.

    Raises:
        ValueError: They are no longer the same values.
    """
    plain = as_measurements(measurements, candidate.device)
    if candidate.adapt is None:
        return plain
    seen = tuple(map(candidate.adapt, plain))
    for before, after in zip(plain, seen, strict=True):
        # A reversed sweep has reversed currents.
        same = (np.abs(np.asarray(o.observed)) for o in (before, after))
        if not np.array_equal(*same, equal_nan=True):
            raise ValueError(
                f"Argument `candidates` must adapt measurements without changing what was "
                f"measured, but changes `{before.name}`."
            )
    return seen


def _parted(
    measurements: Sequence[AbstractObjective], fold: int, folds: int, by: str
) -> tuple[tuple[AbstractObjective, ...], tuple[AbstractObjective, ...]]:
    """Return measurements without a part of their values, and with that part alone.

    Raises:
        ValueError: There are fewer parts than folds.
    """
    seen, kept = [], []
    for one in measurements:
        shape = one.observed.shape
        if shape[0 if by == "rows" else 1] < folds:
            raise ValueError(
                f"Argument `folds` must be at most the {by} of `{one.name}` "
                f"({shape[0 if by == 'rows' else 1]}), but is {folds}: keep back `points`, or give "
                "`held_out`."
            )
        rows, points = (x % folds == fold for x in np.indices(shape))
        part = jnp.asarray(rows if by == "rows" else points)
        # All shapes stay, so that one compilation serves every fold.
        for into, there in ((seen, ~part), (kept, part)):
            values = jnp.where(there, one.observed, jnp.nan)
            into.append(eqx.tree_at(lambda o: o.observed, one, values))
    return tuple(seen), tuple(kept)


def _entry(
    name: str,
    candidate: Candidate,
    measurements: tuple[AbstractObjective, ...],
    pairs: Sequence[tuple[tuple[AbstractObjective, ...], tuple[AbstractObjective, ...]]],
    again: bool,
    options: Mapping[str, Any],
) -> Ranked:
    """Fit one candidate to everything, and to what every fold leaves."""
    own = dict(bounds=candidate.bounds, priors=candidate.priors)
    blank = Ranked(
        name, candidate, None, "", np.nan, {}, {}, aicc=np.nan, bic=np.nan, weight=np.nan
    )
    try:
        whole = fit(candidate.device, measurements, candidate.free, **own, **options, throw=False)
        fits = [
            fit(whole.device, seen, candidate.free, **own, **options, throw=False)
            if again
            else whole
            for seen, _ in pairs
        ]
    except (FitError, ValueError) as error:
        return dataclasses.replace(blank, message=str(error))
    messages = [whole.message, *(f"In a fold: {f.message}" for f in fits if again and f.message)]
    message = next((m for m in messages if m), "")
    errors, shares, squares, values = {}, {}, 0.0, 0
    for place, one in enumerate(measurements):
        off, kept_values, known_count = 0.0, [], 0
        for fitted, (_, kept) in zip(fits, pairs, strict=True):
            objective = kept[place]
            residual, (shown, ok) = objective.residuals(fitted.device)
            known = np.asarray(objective.known)
            if not bool(np.all(ok)):
                message = message or "It cannot be simulated for what was kept back."
            squares += float(np.sum(np.asarray(residual)[known] ** 2))
            off += float(np.sum((np.asarray(shown) - np.asarray(objective.observed))[known] ** 2))
            kept_values.append(np.asarray(objective.observed)[known])
            known_count += int(known.sum())
        joined = np.concatenate(kept_values)
        total = float(np.sum((joined - joined.mean()) ** 2))
        errors[one.name] = float(np.sqrt(off / known_count))
        shares[one.name] = 1 - off / total if total > 0 else np.nan
        values += known_count
    aicc, bic = criteria(whole)
    return Ranked(
        name, candidate, whole, message, float(np.sqrt(squares / values)), errors, shares,
        aicc=aicc, bic=bic, weight=np.nan,
    )  # fmt: skip


def criteria(fitted: FitResult) -> tuple[float, float]:
    """Return AICc and BIC of a fit, up to a constant of the data; see `rank_models`."""
    values, size = count(fitted.optimum), float(fitted.optimum.cost)
    if fitted.known_noise:
        deviance, k = size, len(fitted.free)
    else:
        deviance, k = values * np.log(max(size, 1e-300) / values), len(fitted.free) + 1
    small = 2 * k * (k + 1) / (values - k - 1) if values > k + 1 else np.inf
    return float(deviance + 2 * k + small), float(deviance + k * np.log(values))


def _ordered(entries: Sequence[Ranked]) -> tuple[Ranked, ...]:
    """Return entries in order, with criteria relative to the best of those that can be trusted."""
    good = [e for e in entries if e.ok] or [e for e in entries if np.isfinite(e.aicc)]
    if good:
        aicc, bic = min(e.aicc for e in good), min(e.bic for e in good)
        whole = sum(np.exp(-0.5 * (e.aicc - aicc)) for e in good)
        entries = [
            dataclasses.replace(
                e,
                aicc=e.aicc - aicc,
                bic=e.bic - bic,
                weight=float(np.exp(-0.5 * (e.aicc - aicc)) / whole) if e in good else np.nan,
            )
            for e in entries
        ]
    return tuple(sorted(entries, key=lambda e: (not e.ok, np.nan_to_num(e.held_out, nan=np.inf))))
