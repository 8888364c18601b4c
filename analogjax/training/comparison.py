"""Numbers by which trainings are compared: paired over seeds, and against the digital network."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from .._checks import check_between, check_finite
from .._types import Float


class PairedDifference(NamedTuple):
    """The mean of differences of pairs, with its interval of confidence."""

    mean: float
    """Of ``a - b``."""
    half_width: float
    """Of the interval about the mean; infinite for a single pair."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    pairs: int
    """Number of pairs, usually seeds."""

    @property
    def differs(self) -> bool:
        """Whether zero lies outside the interval."""
        return not self.low <= 0.0 <= self.high


def paired_difference(a: Any, b: Any, *, level: float = 0.95) -> PairedDifference:
    r"""Return the mean of ``a - b`` over pairs and the Student interval of this mean.

    :math:`\bar d \pm t_{(1 + level) / 2,\, n - 1}\; s_d / \sqrt n`. A pair must be independent of
    all others: seeds of a training are, while chips of one trained network share this network (take
    their mean first).

    Args:
        a: One value per pair, in the order of `b`.
        b: One value per pair.
        level: Confidence.

    Raises:
        ValueError: No pairs, values that are not finite, or shapes that differ.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(
            "Argument `a` must be one value per pair in the order of `b`, "
            f"but is of shape {a.shape} beside {b.shape}."
        )
    check_finite("a", a)
    check_finite("b", b)
    check_between("level", level, 0.0, 1.0)
    d, n = a - b, a.size
    mean = float(d.mean())
    half = np.inf
    if n > 1:
        half = float(stats.t.ppf(0.5 * (1 + level), n - 1) * d.std(ddof=1) / np.sqrt(n))
    return PairedDifference(mean, half, mean - half, mean + half, n)


def iso_accuracy(accuracy: Any, *, digital: float, chance: float) -> Float[np.ndarray, "..."]:
    """Return the accuracy on a scale from chance, 0, to the digital network, 1.

    ``1 - (e - e_digital) / (e_chance - e_digital)`` with errors ``e = 1 - accuracy``; hardware is
    called iso-accurate from 0.99 on (Rasch et al., Nat. Commun. 14, 5282 (2023)).

    Args:
        accuracy: Of the analog network, any shape.
        digital: Of the digital network.
        chance: Of guessing, one over the number of classes.

    Raises:
        ValueError: A digital network that is no better than chance.
    """
    if not digital > chance:
        raise ValueError(f"Argument `digital` must be above chance, {chance:g}, but is {digital}.")
    return 1 - (digital - np.asarray(accuracy, float)) / (digital - chance)
