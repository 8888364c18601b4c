"""Bands around a prediction: how far it may be off, given how sure the parameters are."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_between, check_choice, check_whole
from .bijections import FreeParameters
from .objectives import AbstractObjective
from .uncertainty import degrees, quantile, unbounded_covariance

if TYPE_CHECKING:
    from .result import FitResult

TOGETHER = 128
"""Drawn devices that are simulated at once."""


@dataclasses.dataclass(frozen=True)
class Band:
    """Between which values a prediction lies, point by point; arrays are (rows, points)."""

    name: str
    """Of the measurement."""
    unit: str
    level: float
    """Probability that a value lies within, at each point by itself."""
    predicted: np.ndarray
    """By the fitted device; the median where devices were drawn."""
    low: np.ndarray
    """Lower end of what the device shows, for all that is known of its parameters."""
    high: np.ndarray
    measured_low: np.ndarray
    """Lower end of a new measured value, which scatters besides."""
    measured_high: np.ndarray
    failed: int = 0
    """Drawn devices of which some run could not be computed (left out of that run)."""


def of_fit(
    fit: FitResult,
    measurement: AbstractObjective | str | None,
    level: float,
    draws: int,
    key: PRNGKeyArray | None,
) -> Any:
    """Return the band of a fit; see `FitResult.band`."""
    check_between("level", level, 0.0, 1.0)
    check_whole("draws", draws, 0)
    if measurement is None:
        return {o.name: of_fit(fit, o, level, draws, key) for o in fit.problem.objectives}
    measurement = chosen(fit, measurement)
    if draws == 0:
        return _linear(fit, measurement, level)
    key = jax.random.key(0) if key is None else key
    for_z, for_noise = jax.random.split(key)
    z = drawn(fit, draws, key=for_z)
    factors = jnp.full(draws, fit.noise_factor)
    return of_draws(fit.problem.free, fit.device, z, factors, measurement, level, key=for_noise)


def chosen(fit: FitResult, measurement: AbstractObjective | str) -> AbstractObjective:
    """Return a measurement that may be given by its name.

    Raises:
        ValueError: No measurement of this name was fitted.
    """
    if not isinstance(measurement, str):
        return measurement
    named = {o.name: o for o in fit.problem.objectives}
    return named[check_choice("measurement", measurement, named)]


def drawn(fit: FitResult, count: int, *, key: PRNGKeyArray) -> jax.Array:
    """Return unbounded numbers drawn from the covariance, (draws, free).

    Normal; Student's distribution where the noise was estimated, as in `FitResult.interval`.
    """
    for_normal, for_chi = jax.random.split(key)
    covariance = unbounded_covariance(fit.optimum, fit.noise_factor)
    root = jnp.asarray(np.linalg.cholesky(covariance))
    steps = jax.random.normal(for_normal, (count, len(fit.free)), root.dtype) @ root.T
    if not fit.known_noise:
        dof = max(degrees(fit.optimum), 1)
        chi = 2 * jax.random.gamma(for_chi, 0.5 * dof, (count, 1), root.dtype)
        steps = steps * jnp.sqrt(dof / chi)
    return fit.optimum.z[None] + steps


@eqx.filter_jit
def _slopes(free: FreeParameters, device: Any, z: Any, measurement: AbstractObjective) -> Any:
    """Return what is predicted, its derivatives by z (z first), and which rows are good."""

    def shown(z):
        return measurement.evaluate(free.put(device, free.forward(z)))

    def push(direction):
        return jax.jvp(shown, (z,), (direction,), has_aux=True)

    return jax.vmap(push, out_axes=(None, 0, None))(jnp.eye(z.size, dtype=z.dtype))


def _linear(fit: FitResult, measurement: AbstractObjective, level: float) -> Band:
    z = jnp.asarray(fit.optimum.z)
    predicted, slopes, ok = _slopes(fit.problem.free, fit.device, z, measurement)
    predicted = np.where(np.asarray(ok)[:, None], predicted, np.nan)
    covariance = unbounded_covariance(fit.optimum, fit.noise_factor)
    variance = np.einsum("irp,ij,jrp->rp", slopes, covariance, slopes)
    noise, reach = measurement.noise, quantile(level, degrees(fit.optimum), fit.known_noise)
    if noise.logarithmic:
        variance = variance / predicted**2
        scatter = np.full(predicted.shape, float(noise.relative))
    else:
        scatter = np.asarray(noise.scale(jnp.asarray(predicted)))
    scatter = fit.noise_factor * scatter
    ends = []
    for sigma in (np.sqrt(variance), np.sqrt(variance + scatter**2)):
        for sign in (-1, 1):
            step = sign * reach * sigma
            ends.append(predicted * np.exp(step) if noise.logarithmic else predicted + step)
    return Band(measurement.name, measurement.unit, level, predicted, *ends)


@eqx.filter_jit
def _simulated(free: FreeParameters, device: Any, z: Any, measurement: AbstractObjective) -> Any:
    def one(z):
        return measurement.evaluate(free.put(device, free.forward(z)))

    return jax.lax.map(one, z, batch_size=min(TOGETHER, z.shape[0]))


def of_draws(
    free: FreeParameters,
    device: Any,
    z: jax.Array,
    factors: jax.Array,
    measurement: AbstractObjective,
    level: float,
    *,
    key: PRNGKeyArray,
) -> Band:
    """Return quantiles of what drawn devices show.

    Args:
        free: Which parameters were drawn.
        device: The device that has them.
        z: Unbounded numbers, (draws, free).
        factors: By how much data scatter more than assumed, (draws,).
        measurement: What is predicted.
        level: Probability that a value lies within.
        key: For the scatter of new measured values.
    """
    values, ok = _simulated(free, device, z, measurement)
    ok = np.asarray(ok)
    values = np.where(ok[:, :, None], values, np.nan)
    noise, factor = measurement.noise, np.asarray(factors)[:, None, None]
    normal = np.asarray(jax.random.normal(key, values.shape, jnp.result_type(float)))
    if noise.logarithmic:
        measured = values * np.exp(factor * float(noise.relative) * normal)
    else:
        absolute = float(noise.absolute)
        scale = np.sqrt((float(noise.relative) * values) ** 2 + absolute**2)
        measured = values + factor * scale * normal
    ends = [0.5 * (1 - level), 0.5, 0.5 * (1 + level)]
    with warnings.catch_warnings():
        # A row of which nothing could be computed is nan, and needs no warning.
        warnings.filterwarnings("ignore", message="All-NaN slice")
        low, middle, high = np.nanquantile(values, ends, axis=0)
        measured_low, _, measured_high = np.nanquantile(measured, ends, axis=0)
    failed = int(np.sum(~ok.all(axis=1)))
    return Band(
        measurement.name, measurement.unit, level, middle,
        low, high, measured_low, measured_high, failed,
    )  # fmt: skip
