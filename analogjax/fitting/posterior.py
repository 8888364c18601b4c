"""The posterior distribution of the parameters, by Hamiltonian Monte Carlo (NUTS)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_between, check_choice, check_whole
from .._types import Scalar
from ..devices import AbstractDevice
from .bands import chosen, of_draws
from .bijections import FreeParameters, Values
from .noise import FAILED
from .objectives import AbstractObjective
from .residuals import Problem, fused, weighted
from .uncertainty import unbounded_covariance

if TYPE_CHECKING:
    from .result import FitResult

REJECTED = 1e10
"""Minus the log-density of parameters with which a run cannot be computed."""

FLAT = ("unbounded", "parameters")
"""In what a parameter without a `Prior` is equally likely everywhere."""

MIXED = 1.05
"""R-hat above which chains have not come to the same distribution."""

ENOUGH = 100.0
"""Effective samples below which the ends of an interval are not known."""

DIVERGENT = 0.01
"""Share of draws that may end in a divergence."""


@dataclasses.dataclass(frozen=True)
class Posterior:
    """Draws of the parameters from their posterior distribution."""

    fit: FitResult
    """Where it started from."""
    z: np.ndarray
    """Unbounded numbers, (draws, free), one chain after the other."""
    samples: dict[str, np.ndarray]
    """The parameters in their own units, (draws,)."""
    noise_factor: np.ndarray
    """By how much the data scatter more than assumed, (draws,); 1 if that is known."""
    r_hat: dict[str, float]
    """Spread of all chains over that within one (split in halves); 1 when they agree."""
    effective_samples: dict[str, float]
    """Independent draws that would say as much."""
    chains: int
    divergences: int
    """Draws at which the motion of the sampler broke off (or could not be computed)."""
    evaluations: int
    """Evaluations of all measurements with their derivatives, warm-up left out, of all chains."""
    flat: str
    message: str
    """Why not to trust it; empty if nothing speaks against it."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.message

    @property
    def array(self) -> np.ndarray:
        """The parameters in their own units, (draws, free)."""
        return np.stack(list(self.samples.values()), axis=1)

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each parameter."""
        return {name: float(values.mean()) for name, values in self.samples.items()}

    @property
    def standard_deviation(self) -> dict[str, float]:
        """Standard deviation of each parameter."""
        return {name: float(values.std(ddof=1)) for name, values in self.samples.items()}

    @property
    def correlation(self) -> np.ndarray:
        """Correlations of the parameters, in the order of `fit.free`."""
        return np.atleast_2d(np.corrcoef(self.array.T))

    @property
    def device(self) -> AbstractDevice:
        """The drawn devices, one batch; use it under `equinox.filter_vmap`."""
        return self.fit.problem.free.batch(self.fit.device, jnp.asarray(self.z))

    def interval(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return a credible interval of each parameter, in its own unit.

        Between quantiles: as much of the probability lies below it as above.

        Args:
            level: Probability of the interval.
        """
        check_between("level", level, 0.0, 1.0)
        ends = [0.5 * (1 - level), 0.5 * (1 + level)]
        return {
            name: tuple(map(float, np.quantile(values, ends)))  # pyright: ignore
            for name, values in self.samples.items()
        }

    def band(
        self,
        measurement: AbstractObjective | str | None = None,
        level: float = 0.9,
        *,
        draws: int = 256,
        key: PRNGKeyArray | None = None,
    ) -> Any:
        """Return between which values the device, and new measured values, lie; see `Band`.

        Args:
            measurement: As in `FitResult.predict`; bands by name if None.
            level: Probability that a value lies within.
            draws: Most draws that are simulated, evenly spaced among all.
            key: For the scatter of new measured values.
        """
        check_between("level", level, 0.0, 1.0)
        check_whole("draws", draws)
        if measurement is None:
            objectives = self.fit.problem.objectives
            return {o.name: self.band(o, level, draws=draws, key=key) for o in objectives}
        few = np.linspace(0, len(self.z) - 1, min(draws, len(self.z))).astype(int)
        return of_draws(
            self.fit.problem.free,
            self.fit.device,
            jnp.asarray(self.z[few]),
            jnp.asarray(self.noise_factor[few]),
            chosen(self.fit, measurement),
            level,
            key=jax.random.key(0) if key is None else key,
        )

    def describe(self) -> str:
        """Return the posterior as text: parameters, and how well it was sampled."""
        kind = type(self.fit.device).__name__
        lines = [
            f"Posterior of {kind}: {len(self.z)} draws of {self.chains} chains; parameters without "
            f"a prior are flat in {_SAYS[self.flat]}"
        ]
        width = max(len(name) for name in self.samples)
        mean, deviation, interval = self.mean, self.standard_deviation, self.interval()
        for name in self.samples:
            low, high = interval[name]
            lines.append(
                f"  {name:<{width}} = {mean[name]:.6g} +- {deviation[name]:.2g} "
                f"{self.fit.device.PARAMETERS[name].unit}   90 %: {low:.4g} to {high:.4g}   "
                f"r_hat {self.r_hat[name]:.3f}, {self.effective_samples[name]:.0f} effective"
            )
        if not self.fit.known_noise:
            low, high = np.quantile(self.noise_factor, [0.05, 0.95])
            lines.append(f"  noise {low:.3g} to {high:.3g} times as assumed (90 %)")
        lines.append(f"  {self.divergences} divergences, {self.evaluations} evaluations")
        if self.message:
            lines.append(f"  NOT TO BE TRUSTED: {self.message}")
        return "\n".join(lines)

    def __str__(self) -> str:
        """Return `describe`."""
        return self.describe()


_SAYS = {"unbounded": "the unbounded numbers z", "parameters": "their own units"}


def sample_posterior(
    fit: FitResult,
    draws: int = 1000,
    warmup: int = 300,
    chains: int = 4,
    *,
    flat: str = "unbounded",
    key: PRNGKeyArray | None = None,
) -> Posterior:
    """Draw from the posterior distribution of the parameters by NUTS (numpyro).

    The likelihood is that of the fit: residuals r are normal with the standard deviation s (1 if
    the noise is known), or distributed as ``exp(-loss(r / s))``. Of s it is only known that it is
    positive: its logarithm is flat. Parameters with a `Prior` are distributed by it (within their
    bounds); any other is flat in its unbounded number z, i.e. in ``ln p`` far from the bounds, or
    in its own unit. A linear model then has the normal, or Student's, distribution that
    `FitResult.interval` assumes.

    The gradient is ``J^T r`` of the forward derivatives that the fit takes. Chains run side by side
    and start from draws from the covariance, whose root is what they are scaled by.

    Args:
        fit: A fit whose parameters are all determined.
        draws: Of all chains together.
        warmup: Steps of every chain that set its step size and are dropped.
        chains: Chains.
        flat: ``"unbounded"`` or ``"parameters"``: in what parameters without a prior are flat.
        key: Random key.

    Raises:
        ValueError: A number out of range; a known name.
        FitError: The data leave a combination of parameters free: there is no such distribution.
        ImportError: numpyro is not installed.

    Source: M. D. Hoffman, A. Gelman, J. Mach. Learn. Res. 15 (2014) 1593.
    """
    from .result import FitError

    check_whole("chains", chains)
    check_whole("draws", draws, 4 * chains)
    check_whole("warmup", warmup)
    check_choice("flat", flat, FLAT)
    try:
        from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
        from numpyro.infer import MCMC, NUTS
    except ImportError as error:
        raise ImportError(
            "`posterior` must have numpyro, but it is not installed: install `analogjax[bayes]`."
        ) from error
    covariance = unbounded_covariance(fit.optimum, fit.noise_factor)
    if fit.identifiability.undetermined or not np.isfinite(covariance).all():
        raise FitError(
            "The measurements must determine all free parameters to have a posterior distribution, "
            f"but {fit.identifiability.sentence or 'do not'}: fix one of them, or add a "
            "measurement or a prior."
        )
    key = jax.random.key(0) if key is None else key
    for_start, for_chains = jax.random.split(key)
    energy, natural, size = _energy(fit, covariance, flat)
    start = jax.random.normal(for_start, (chains, size), jnp.result_type(float))
    # numpyro computes with arrays of different ranks.
    with jax.numpy_rank_promotion("allow"):
        at = jax.vmap(energy)(start)
        start = jnp.where((at < REJECTED)[:, None], start, 0.0)
        sampler = MCMC(
            NUTS(potential_fn=energy, dense_mass=True, max_tree_depth=8),
            num_warmup=warmup,
            num_samples=-(-draws // chains),
            num_chains=chains,
            chain_method="vectorized" if chains > 1 else "sequential",
            progress_bar=False,
        )
        sampler.run(
            for_chains,
            init_params=start if chains > 1 else start[0],
            extra_fields=("diverging", "num_steps"),
        )
    extra = sampler.get_extra_fields()
    z, factor = map(np.asarray, jax.vmap(jax.vmap(natural))(sampler.get_samples(True)))
    flat_z = z.reshape(-1, z.shape[-1])
    values = np.asarray(jax.vmap(lambda z: fit.problem.free.forward(z))(jnp.asarray(flat_z)))
    # In unbounded numbers, whose distribution is nearer to a normal one.
    named = {name: z[..., k] for k, name in enumerate(fit.free)}
    if not fit.known_noise:
        named["noise factor"] = np.log(factor)
    r_hat = {name: float(split_gelman_rubin(x)) for name, x in named.items()}
    effective = {name: float(effective_sample_size(x)) for name, x in named.items()}
    diverging = int(np.sum(np.asarray(extra["diverging"])))
    return Posterior(
        fit=fit,
        z=flat_z,
        samples={name: values[:, k] for k, name in enumerate(fit.free)},
        noise_factor=factor.ravel(),
        r_hat=r_hat,
        effective_samples=effective,
        chains=chains,
        divergences=diverging,
        evaluations=int(np.sum(np.asarray(extra["num_steps"]))),
        flat=flat,
        message=_objection(r_hat, effective, diverging, len(flat_z)),
    )


def _energy(fit: FitResult, covariance: np.ndarray, flat: str) -> tuple[Any, Any, int]:
    """Return minus the log-density of scaled numbers, what they mean, and how many there are.

    They are steps from the optimum in units of the covariance's root, and the logarithm of the
    noise factor in its standard errors.
    """
    given = fit.problem
    # Losses are of residuals over s, hence applied here.
    problem = Problem(given.device, given.free, given.objectives, given.priors, "squares")
    root, begin = jnp.asarray(np.linalg.cholesky(covariance)), jnp.asarray(fit.optimum.z)
    free = begin.size
    values = sum(int(jnp.sum(o.known)) for o in given.objectives)
    places = sum(o.observed.size for o in given.objectives)
    width = 1 / np.sqrt(2 * values)
    held = jnp.zeros_like(begin)

    def natural(u):
        z = begin + root @ u[:free]
        if fit.known_noise:
            return z, jnp.ones((), z.dtype)
        return z, fit.noise_factor * jnp.exp(width * u[free])

    @jax.jit
    def energy(u):
        z, factor = natural(u)
        residuals, _ = fused(z, problem=problem, held=held)
        data, priors = residuals[:places], residuals[places:]
        failed = jnp.any(~(jnp.abs(residuals) < FAILED))
        scaled = weighted(jnp.where(failed, 0.0, data) / factor, given.loss)
        priors = jnp.where(failed, 0.0, priors)
        total = 0.5 * jnp.sum(scaled**2) + values * jnp.log(factor) + 0.5 * jnp.sum(priors**2)
        total = total - log_volume(given.free, given.priors, flat, z)
        return jnp.where(failed | ~jnp.isfinite(total), REJECTED, total)

    return energy, natural, free + (not fit.known_noise)


def log_volume(free: FreeParameters, priors: Any, flat: str, z: Values) -> Scalar:
    """Return the logarithm of what the priors are densities of, by z.

    ``dp/dz`` of a parameter whose prior is a density of p, ``d ln p/dz`` of one with a log-normal
    prior, 1 of one that is flat in z.
    """
    total = jnp.zeros((), z.dtype)
    for name, bijection, x in zip(free.names, free.maps, z, strict=True):
        prior = priors.get(name)
        if prior is None and flat == "unbounded":
            continue
        total = total + bijection.log_slope(x)
        if prior is not None and prior.log:
            total = total - jnp.log(jnp.abs(bijection.forward(x)))
    return total


def _objection(
    r_hat: dict[str, float], effective: dict[str, float], divergences: int, draws: int
) -> str:
    """Return why draws cannot be trusted, in one sentence; "" if nothing speaks against them."""
    apart = max(r_hat, key=lambda name: r_hat[name] if np.isfinite(r_hat[name]) else np.inf)
    few = min(effective, key=lambda name: effective[name])
    if not r_hat[apart] < MIXED:
        return (
            f"The chains must agree, but r_hat of `{apart}` is {r_hat[apart]:.3g} (more than "
            f"{MIXED:g}): allow more `warmup` and `draws`."
        )
    if divergences > DIVERGENT * draws:
        return (
            f"The sampler must follow the distribution, but {divergences} of {draws} draws "
            "diverged: part of it (a narrow neck, or where the device cannot be simulated) may be "
            "missing; narrow the `bounds` or add a prior."
        )
    if not effective[few] > ENOUGH:
        return (
            f"The draws must say where an interval ends, but those of `{few}` are worth "
            f"{effective[few]:.0f} independent ones (less than {ENOUGH:g}): ask for more `draws`."
        )
    return ""
