"""What a maximum likelihood fit returns."""

from __future__ import annotations

import dataclasses
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree
from scipy import stats

from ..._checks import check_between, check_choice, check_positive, check_whole
from ..bijections import FreeParameters
from ..identifiability import Identifiability
from ..profile import Profile
from .newton import Optimised, climb, evaluate, invert, put

Model = TypeVar("Model")


@dataclasses.dataclass(frozen=True)
class Estimate(Generic[Model]):
    """Parameters, how sure they are, and how probable they make the data."""

    model: Model
    """With the fitted parameters."""
    parameters: dict[str, float]
    """Fitted values in their own units."""
    standard_errors: dict[str, float]
    """Likewise; from the observed Fisher information, right if the model is."""
    robust_errors: dict[str, float]
    """Likewise; from the scatter of the scores (sandwich), right even if the model is not."""
    covariance: np.ndarray
    """Of the parameters in their own units, in the order of `free`."""
    log_likelihood: float
    observations: int
    identifiability: Identifiability
    """Combinations of parameters, the worst determined first."""
    message: str
    """Why not to trust it; empty if nothing speaks against it."""
    data: Any
    weights: Any
    free_parameters: FreeParameters
    optimum: Optimised

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.message

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the free parameters."""
        return self.free_parameters.names

    @property
    def correlation(self) -> np.ndarray:
        """Correlations of the parameters, in the order of `free`."""
        error = np.sqrt(np.diag(self.covariance))
        return self.covariance / np.outer(error, error)

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``2 n - 2 ln L``; lower is better."""
        return 2 * len(self.free) - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``n ln N - 2 ln L``."""
        return len(self.free) * float(np.log(self.observations)) - 2 * self.log_likelihood

    @property
    def unbounded_covariance(self) -> np.ndarray:
        """Covariance in unbounded numbers."""
        return invert(self.optimum.information)

    def log_likelihood_of(self, data: PyTree) -> np.ndarray:
        """Return the log-likelihood of every observation of other (held-out) data."""
        z = jnp.asarray(self.optimum.z)
        return np.asarray(evaluate(self.model, self.free_parameters, data, z))

    def interval(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return a confidence interval of each parameter, symmetric in the unbounded numbers.

        Args:
            level: Probability that the interval holds the true value.
        """
        check_between("level", level, 0.0, 1.0)
        reach = stats.norm.ppf(0.5 * (1 + level))
        step = reach * np.sqrt(np.diag(self.unbounded_covariance))
        low, high = (
            np.asarray(self.free_parameters.forward(jnp.asarray(self.optimum.z + sign * step)))
            for sign in (-1, 1)
        )
        return {
            name: (float(min(a, b)), float(max(a, b)))
            for name, a, b in zip(self.free, low, high, strict=True)
        }

    def sample(self, count: int, *, key: PRNGKeyArray) -> Any:
        """Return models with parameters drawn from the covariance, one batch.

        Normal in the unbounded numbers; use it under `equinox.filter_vmap`.
        """
        root = jnp.asarray(np.linalg.cholesky(self.unbounded_covariance))
        z = jnp.asarray(self.optimum.z)
        draws = jax.random.normal(key, (count, len(self.free)), z.dtype)
        return eqx.filter_vmap(lambda z: put(self.model, self.free_parameters, z))(
            z[None] + draws @ root.T
        )

    def draws(self, count: int, *, key: PRNGKeyArray) -> np.ndarray:
        """Return parameters drawn from the covariance, in their own units, (count, free).

        Args:
            count: How many.
            key: Random key.
        """
        models = self.sample(count, key=key).parameters()
        return np.stack([np.asarray(models[name]) for name in self.free], axis=1)

    def profile(self, name: str, *, points: int = 9, reach: float = 3.0) -> Profile:
        """Fit all other parameters again at values of one of them.

        Args:
            name: A free parameter.
            points: Values.
            reach: How far they reach either way, in standard errors.
        """
        check_choice("name", name, self.free)
        check_whole("points", points, 3)
        check_positive("reach", reach)
        index = self.free.index(name)
        covariance = self.unbounded_covariance
        along = covariance[:, index] / np.sqrt(covariance[index, index])
        held = np.arange(len(self.free)) == index
        values, rise = [], []
        for share in np.linspace(-reach, reach, points):
            # Where the maximum of the others would be if the likelihood were normal.
            start = jnp.asarray(self.optimum.z + share * along)
            end = climb(self.model, self.free_parameters, self.data, self.weights, start, held, 100)
            values.append(float(self.free_parameters.forward(start)[index]))
            rise.append(2 * (self.log_likelihood - end.value))
        order = np.argsort(values)
        return Profile(name, np.asarray(values)[order], np.asarray(rise)[order], (0, True))

    def bootstrap(self, count: int, *, seed: int = 0) -> np.ndarray:
        """Fit again to resampled observations.

        Args:
            count: How often.
            seed: Of the resampling.

        Returns:
            Parameters in their own units, (count, free).
        """
        check_whole("count", count)
        rng = np.random.default_rng(seed)
        weights = np.asarray(self.weights)
        total = int(weights.sum())
        fitted = []
        for _ in range(count):
            again = jnp.asarray(rng.multinomial(total, weights / weights.sum()).astype(float))
            start = jnp.asarray(self.optimum.z)
            held = np.zeros(len(self.free))
            end = climb(self.model, self.free_parameters, self.data, again, start, held, 10)
            fitted.append(np.asarray(self.free_parameters.forward(jnp.asarray(end.z))))
        return np.stack(fitted)

    def describe(self) -> str:
        """Return the fit as text: parameters, quality, what cannot be told apart."""
        declared = self.model.declared()  # pyright: ignore
        kind = type(self.model).__name__
        lines = [
            f"Maximum likelihood of {kind}: {self.observations} observations, "
            f"{len(self.free)} parameters"
        ]
        interval = self.interval()
        width = max(len(name) for name in self.free)
        for name in self.free:
            low, high = interval[name]
            lines.append(
                f"  {name:<{width}} = {self.parameters[name]:.6g} +- "
                f"{self.standard_errors[name]:.2g} {declared[name].unit}   90 %: {low:.4g} to "
                f"{high:.4g}"
            )
        lines.append(
            f"  log-likelihood {self.log_likelihood:.2f} "
            f"({self.log_likelihood / max(self.observations, 1):.5f} an observation), "
            f"AIC {self.aic:.2f}, BIC {self.bic:.2f}"
        )
        worst = self.identifiability.combinations[0]
        lines.append(
            f"  least determined: {worst} (standard error {worst.standard_error:.2g} e-folds)"
        )
        if self.message:
            lines.append(f"NOT TO BE TRUSTED: {self.message}")
        return "\n".join(lines)

    def __str__(self) -> str:
        """Return `describe`."""
        return self.describe()
