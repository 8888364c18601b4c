"""What a fit returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_between
from ..devices import AbstractDevice
from .bands import chosen, of_fit
from .identifiability import Identifiability
from .levenberg import Optimum
from .objectives import AbstractObjective
from .residuals import Problem
from .uncertainty import count, degrees, quantile, unbounded_covariance

if TYPE_CHECKING:
    from .profile import Profile


class FitError(RuntimeError):
    """A fit that cannot work, or did not; one sentence says why."""


class FitResult(eqx.Module):
    """Parameters, how sure they are, and how well they describe the data."""

    device: AbstractDevice
    """The device with the fitted parameters."""
    parameters: dict[str, float]
    """Fitted values in their own units."""
    standard_errors: dict[str, float]
    """Likewise; from the Gauss-Newton matrix."""
    covariance: np.ndarray
    """Of the parameters in their own units, in the order of `free`."""
    residuals: dict[str, np.ndarray]
    """Measured less predicted, in the unit of each measurement, (rows, points); nan where nothing
    was measured."""
    identifiability: Identifiability
    """Combinations of parameters, the worst determined first."""
    message: str
    """Why not to trust it; empty if nothing speaks against it."""
    stats: dict[str, int]
    """`evaluations` of all measurements with their derivatives (all starts, as computed),
    `simulations` (evaluations times runs of the device), starts that `ended` (were kept to the
    end), how many of them came to the best `optimum`, and runs that `failed` there."""
    noise_factor: float
    """By how much the data scatter more than assumed (1 if the noise was said to be known)."""
    known_noise: bool
    method: Any
    problem: Problem
    optimum: Optimum
    """In unbounded numbers; for profiles and samples."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.message

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the free parameters."""
        return self.problem.free.names

    @property
    def correlation(self) -> np.ndarray:
        """Correlations of the parameters, in the order of `free`."""
        error = np.sqrt(np.diag(self.covariance))
        return self.covariance / np.outer(error, error)

    @property
    def r_squared(self) -> float:
        """Share of the squared residuals around the mean of each measurement that is explained.

        In assumed standard deviations, so that measurements of different units add up.
        """
        left, total = 0.0, 0.0
        for objective, shown in zip(self.problem.objectives, self.optimum.predicted, strict=True):
            known = np.asarray(objective.known)
            observed, predicted = np.asarray(objective.observed)[known], np.asarray(shown)[known]
            sigma = np.asarray(objective.noise.scale(objective.observed))[known]
            if objective.noise.logarithmic:
                observed, predicted = np.log(np.abs(observed)), np.log(np.abs(predicted))
                sigma = np.full(observed.shape, float(objective.noise.relative))
            weight = 1 / np.maximum(sigma, 1e-6 * np.max(sigma)) ** 2
            mean = np.average(observed, weights=weight)
            total += float(np.sum(weight * (observed - mean) ** 2))
            left += float(np.sum(weight * (observed - predicted) ** 2))
        return 1 - left / total if total > 0 else 0.0

    def interval(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return a confidence interval of each parameter, in its own unit.

        Symmetric in the unbounded numbers, hence within the bounds; from the covariance, with
        Student's distribution where the noise was estimated.

        Args:
            level: Probability that the interval holds the true value.
        """
        check_between("level", level, 0.0, 1.0)
        reach = quantile(level, degrees(self.optimum), self.known_noise)
        covariance = unbounded_covariance(self.optimum, self.noise_factor)
        step = jnp.asarray(reach * np.sqrt(np.diag(covariance)))
        low, high = (
            np.asarray(self.problem.free.forward(self.optimum.z + sign * step)) for sign in (-1, 1)
        )
        return {
            name: (float(min(a, b)), float(max(a, b)))
            for name, a, b in zip(self.free, low, high, strict=True)
        }

    def predict(self, measurement: AbstractObjective | str | None = None) -> Any:
        """Return what the fitted device shows, (rows, points).

        Args:
            measurement: A measurement, or the name of one of those fitted; all of those, by name,
                if None.
        """
        if measurement is None:
            return {o.name: np.asarray(o.predict(self.device)) for o in self.problem.objectives}
        return np.asarray(chosen(self, measurement).predict(self.device))

    def band(
        self,
        measurement: AbstractObjective | str | None = None,
        level: float = 0.9,
        *,
        draws: int = 0,
        key: PRNGKeyArray | None = None,
    ) -> Any:
        """Return between which values the device, and new measured values, lie; see `Band`.

        Args:
            measurement: As in `predict`; bands by name if None.
            level: Probability that a value lies within.
            draws: Devices that are drawn from the covariance and simulated; with 0 the band is
                that of the model to first order, ``J C J^T``, for the cost of one evaluation.
            key: For the draws.
        """
        return of_fit(self, measurement, level, draws, key)

    def sample(self, count: int, *, key: PRNGKeyArray) -> AbstractDevice:
        """Return devices with parameters drawn from the covariance, one batch.

        Normal in the unbounded numbers; use it under `equinox.filter_vmap`.
        """
        covariance = unbounded_covariance(self.optimum, self.noise_factor)
        root = jnp.asarray(np.linalg.cholesky(covariance))
        draws = jax.random.normal(key, (count, len(self.free)), self.optimum.z.dtype)
        z = self.optimum.z[None] + draws @ root.T
        put = eqx.filter_vmap(
            lambda z: self.problem.free.put(self.device, self.problem.free.forward(z))
        )
        return put(z)

    def profile(self, name: str, *, points: int = 15, reach: float = 3.0) -> Profile:
        """Return the profile likelihood of a parameter; see `profile_likelihood`."""
        from .profile import profile_likelihood

        return profile_likelihood(self, name, points=points, reach=reach)

    def describe(self) -> str:
        """Return the fit as text: parameters, quality, what cannot be told apart."""
        kind = type(self.device).__name__
        lines = [f"Fit of {kind}: {count(self.optimum)} values, {len(self.free)} parameters"]
        interval = self.interval()
        width = max(len(name) for name in self.free)
        for name in self.free:
            low, high = interval[name]
            unit = self.device.PARAMETERS[name].unit
            lines.append(
                f"  {name:<{width}} = {self.parameters[name]:.6g} +- "
                f"{self.standard_errors[name]:.2g} {unit}   90 %: {low:.4g} to {high:.4g}"
            )
        scatter = (
            "as was known" if self.known_noise else f"{self.noise_factor:.3g} times as assumed"
        )
        lines.append(f"  noise {scatter}, R^2 = {self.r_squared:.5f}")
        for name, residual in self.residuals.items():
            unit = next(o.unit for o in self.problem.objectives if o.name == name)
            lines.append(f"  {name}: rms residual {np.sqrt(np.nanmean(residual**2)):.3g} {unit}")
        worst = self.identifiability.combinations[0]
        lines.append(
            f"  least determined: {worst} (standard error {worst.standard_error:.2g} e-folds)"
        )
        stats = self.stats
        lines.append(
            f"  {stats['evaluations']} evaluations, {stats['simulations']} simulations, "
            f"{stats['optimum']} of {stats['ended']} starts ended at this optimum"
        )
        if self.message:
            lines.append(f"  NOT TO BE TRUSTED: {self.message}")
        return "\n".join(lines)

    def __str__(self) -> str:
        """Return `describe`."""
        return self.describe()
