"""What the measurements leave open, as devices: of the fit, of its posterior, of a population."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax.devices import AbstractDevice
from analogjax.fitting import FitResult, fit_population
from analogjax.runs import UsageError

KINDS = ("covariance", "posterior", "population")
CHAINS = 4

Drawn = tuple[AbstractDevice, AbstractDevice]
"""A device that the data allow, and what is written: itself, or one device for every repeat."""


@dataclass(frozen=True)
class Known:
    """What was found, and how devices that agree with it are drawn."""

    fit: FitResult
    device: AbstractDevice
    """On which pulses are counted."""
    parameters: dict[str, float]
    draw: Callable[[Any], list[Drawn]]
    """Devices by a random key, first the one that was found."""
    meaning: str
    """What parts the drawn devices, as a sentence."""
    said: str = ""
    """More to report, as text."""


def found(config, device, measurements, key) -> Known:
    """Fit, in the way that `config.uncertainty` calls for.

    Raises:
        FitError: As `fit` and `fit_population`.
        UsageError: A posterior that cannot be trusted, an option that populations do not have.
    """
    if config.uncertainty == "population":
        return of_population(config, device, measurements)
    fit = config.fit.run(device, measurements, key=key)
    if config.uncertainty == "posterior":
        return of_posterior(config, fit)

    def draw(key):
        return [
            (fit.device, fit.device), *itself(fit.sample(config.draws, key=key), config.draws)
        ]  # fmt: skip

    return Known(
        fit, fit.device, fit.parameters, draw,
        "Devices are drawn from the covariance of the fit. What they have in common is the plan; "
        "what parts them is what the measurements do not say.",
    )  # fmt: skip


def of_posterior(config, fit) -> Known:
    """Draw devices from the posterior distribution."""
    posterior = fit.posterior(config.posterior_draws, config.warmup, CHAINS, key=jax.random.key(0))
    if not posterior.ok:
        raise UsageError(f"{posterior.message} Ask for more `warmup` or `posterior_draws`.")

    def draw(key):
        which = jax.random.choice(key, len(posterior.z), (config.draws,), replace=False)
        z = jnp.asarray(posterior.z)[which]
        drawn = fit.problem.free.batch(fit.device, z)
        return [(fit.device, fit.device), *itself(drawn, config.draws)]

    return Known(
        fit, fit.device, fit.parameters, draw,
        "Devices are drawn from the posterior distribution (NUTS). What they have in common is the "
        "plan; what parts them is what the measurements do not say.",
        str(posterior),
    )  # fmt: skip


def of_population(config, device, measurements) -> Known:
    """Draw means of the population that the data allow, and cells of each."""
    options = config.fit
    if options.priors or options.loss != "squares":
        raise UsageError("A population takes no `fit.priors` and no `fit.loss`: leave them out.")
    people = fit_population(
        device,
        measurements,
        tuple(options.free),
        varying=tuple(config.varying) or None,
        bounds={name: (low, high) for name, (low, high) in options.bounds.items()},
        method=options.build(),
    )

    def draw(key):
        for_means, for_cells = jax.random.split(key)
        means = mean_devices(people, config.draws, for_means)
        several = [people.mean, *(mean for mean, _ in itself(means, config.draws))]
        keys = jax.random.split(for_cells, len(several))
        return [
            (mean, people.sample(config.repeats, key=key, of=mean))
            for mean, key in zip(several, keys, strict=True)
        ]

    levels = " and ".join(f"{level} to {level}" for level in people.spread)
    return Known(
        people.pooled, people.mean, people.parameters, draw,
        "Every cell is a device of its own, drawn from the population "
        f"({levels}); the mean of the population is drawn from its covariance. What parts the "
        "chips' means is what the measurements do not say of the mean; how cells of one chip "
        "differ is in the scatter.",
        str(people),
    )  # fmt: skip


def mean_devices(people, count: int, key) -> AbstractDevice:
    """Return means of a population that the data allow, one batch."""
    free = people.pooled.problem.free
    z = jnp.asarray(people.z)
    slopes = np.asarray(free.slopes(z))
    values, vectors = np.linalg.eigh(people.covariance / np.outer(slopes, slopes))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    draws = jax.random.normal(key, (count, z.size), z.dtype)
    return free.batch(people.mean, z[None] + draws @ jnp.asarray(root).T)


def itself(batch: AbstractDevice, count: int) -> list[Drawn]:
    """Return the devices of a batch, each of which is written itself."""
    parts = [jax.tree.map(lambda x, k=k: x[k], batch) for k in range(count)]
    return [(one, one) for one in parts]
