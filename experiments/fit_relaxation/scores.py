"""Predictions of the laws against cells that were not fitted to."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from analogjax.fitting import QUANTILES

from .laws import model_of

CHUNK = 256


@eqx.filter_jit
def _scored(model, reads):
    """Return probability, log density, CRPS and moments of each read, in chunks."""
    spare = -reads.start.size % CHUNK
    chunks = jax.tree.map(lambda x: jnp.pad(x, (0, spare), mode="edge").reshape(-1, CHUNK), reads)

    def one(part):
        law = model.change(part.start, part.time)
        mean, std = law.moments()
        x = part.change
        return dict(
            probability=law.probability(x),
            log_score=-law.log_density(x),
            crps=law.crps(x),
            mean=mean,
            std=std,
        )

    found = jax.lax.map(one, chunks)
    return {name: x.reshape(-1)[: reads.start.size] for name, x in found.items()}


@eqx.filter_jit
def _quantiles(model, start, time, probabilities):
    """Return quantiles of the change of a group of cells taken together."""
    pooled = model.change(start, time).pooled()
    return jax.lax.map(pooled.quantile, probabilities)


def of_all(config, measured, fits, time) -> dict[str, np.ndarray]:
    """Return what each law says of the cells of the second half at a time."""
    reads = measured.reads([time], measured.unseen)
    known = measured.known(time, measured.unseen)
    level = measured.level[measured.unseen][known]
    found = {"level": level, "change": np.asarray(reads.change)}
    levels = range(config.levels)
    p = jnp.asarray(QUANTILES)
    for law, fit in fits.items():
        model = model_of(law, fit)
        found |= {f"{law}_{name}": np.asarray(x) for name, x in _scored(model, reads).items()}
        found[f"{law}_quantiles"] = np.stack(
            [_level_quantiles(model, reads, level == k, p) for k in levels]
        )
    found["measured_quantiles"] = np.stack(
        [_empirical(found["change"][level == k]) for k in levels]
    )
    return found | _nearest_cells(config, measured, time, found)


def _level_quantiles(model, reads, here, p):
    """Quantiles of one level; cells are repeated up to a common number, for one compilation."""
    where = np.flatnonzero(here)
    if where.size == 0:
        return np.full(len(p), np.nan)
    where = np.resize(where, 256)
    return np.asarray(_quantiles(model, reads.start[where], reads.time[where], p))


def _empirical(values) -> np.ndarray:
    return np.quantile(values, QUANTILES) if values.size else np.full(len(QUANTILES), np.nan)


def _nearest_cells(config, measured, time, found) -> dict[str, np.ndarray]:
    """The other half of the cells itself as the prediction: what is to be reached.

    It has seen the time that the laws have not.
    """
    seen = measured.reads([time], measured.seen)
    level = measured.level[measured.seen][measured.known(time, measured.seen)]
    probability, crps = np.full(found["change"].shape, np.nan), np.full(found["change"].shape, 0.0)
    for k in range(config.levels):
        ordered = np.sort(np.asarray(seen.change)[level == k])
        here = found["level"] == k
        if not ordered.size:
            crps[here] = np.nan
            continue
        x, n = found["change"][here], max(ordered.size, 1)
        probability[here] = (np.searchsorted(ordered, x) + 0.5) / (n + 1)
        # E|X - x| - E|X - X'| / 2 of the sorted sample, the second without bias.
        pairs = 2 * np.sum((2 * np.arange(1, n + 1) - n - 1) * ordered) / max(n * (n - 1), 1)
        crps[here] = np.mean(np.abs(x[:, None] - ordered[None]), axis=1) - 0.5 * pairs
    return {"cells_probability": probability, "cells_crps": crps}
