"""Whether intervals hold what they promise: many fits against the true parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import stats

from .._checks import check_between, check_shape
from .result import FitResult
from .uncertainty import degrees, unbounded_covariance


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Fits of many data sets whose true parameters are known; arrays are (sets, parameters)."""

    names: tuple[str, ...]
    true: np.ndarray
    """Parameters that made the data, in their own units."""
    found: np.ndarray
    """Fitted parameters."""
    errors: np.ndarray
    """Their standard errors."""
    scores: np.ndarray
    """``(found - true) / standard error``, in the unbounded numbers in which intervals are
    symmetric."""
    ranks: np.ndarray
    """Probability that the fit gives to values below the true one (uniform if all is right)."""
    trusted: np.ndarray
    """Whether nothing spoke against the fit, (sets,)."""
    noise_factors: np.ndarray
    """Estimated scatter over the assumed one, (sets,)."""
    evaluations: np.ndarray
    """Until the end, (sets,)."""

    def inside(self, level: float = 0.9) -> np.ndarray:
        """Return whether the interval of this level holds the true value."""
        check_between("level", level, 0.0, 1.0)
        return np.abs(self.ranks - 0.5) < 0.5 * level

    @property
    def deviations(self) -> np.ndarray:
        """``(found - true) / standard error``, in the parameters' own units."""
        return (self.found - self.true) / self.errors

    def only(self, which: np.ndarray) -> Calibration:
        """Return these data sets."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Calibration(**{k: v if k == "names" else v[which] for k, v in fields.items()})

    def statistics(self, name: str, level: float = 0.9) -> dict[str, float]:
        """Return how well one parameter is calibrated, over all data sets.

        Returns:
            Median relative ``error`` (standard error over value); share ``inside`` the interval and
            the standard deviation of that share by chance; ``mean`` and ``std`` of the scores;
            share ``within_3`` standard errors and the ``largest`` deviation (own units); the
            p-value of Kolmogorov and Smirnov's test of uniform ranks, ``uniform``.
        """
        k = self.names.index(name)
        scores, off = self.scores[:, k], np.abs(self.deviations[:, k])
        return dict(
            error=float(np.median(np.abs(self.errors[:, k] / self.found[:, k]))),
            inside=float(np.mean(self.inside(level)[:, k])),
            inside_std=float(np.sqrt(level * (1 - level) / len(scores))),
            mean=float(np.mean(scores)),
            std=float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0,
            within_3=float(np.mean(off <= 3)),
            largest=float(np.max(off)),
            uniform=float(stats.kstest(self.ranks[:, k], "uniform").pvalue),
        )


def calibration(results: Sequence[FitResult], true: Mapping[str, Any]) -> Calibration:
    """Compare fits with the parameters that made their data.

    Args:
        results: Fits of the same free parameters, such as `fit_many` returns.
        true: True values by name of the parameter, (fits,).

    Raises:
        ValueError: No fits, or true values that do not fit.
    """
    if not results:
        raise ValueError("Argument `results` must hold at least one fit, but is empty.")
    names = results[0].free
    missing = [name for name in names if name not in true]
    if missing:
        raise ValueError(f"Argument `true` must name every free parameter, but lacks {missing}.")
    columns = {name: np.asarray(true[name], float) for name in names}
    for name, column in columns.items():
        check_shape(f"true[{name!r}]", column, (len(results),))
    values = np.stack(list(columns.values()), axis=1)
    scores, ranks = [], []
    for result, own in zip(results, values, strict=True):
        covariance = unbounded_covariance(result.optimum, result.noise_factor)
        z = np.asarray(result.problem.free.inverse(jnp.asarray(own)))
        score = (np.asarray(result.optimum.z) - z) / np.sqrt(np.diag(covariance))
        scores.append(score)
        if result.known_noise:
            ranks.append(stats.norm.cdf(-score))
        else:
            ranks.append(stats.t.cdf(-score, max(degrees(result.optimum), 1)))
    return Calibration(
        names=names,
        true=values,
        found=np.array([[r.parameters[n] for n in names] for r in results]),
        errors=np.array([[r.standard_errors[n] for n in names] for r in results]),
        scores=np.array(scores),
        ranks=np.array(ranks),
        trusted=np.array([r.ok for r in results]),
        noise_factors=np.array([r.noise_factor for r in results]),
        evaluations=np.array([int(r.optimum.evaluations) for r in results]),
    )
