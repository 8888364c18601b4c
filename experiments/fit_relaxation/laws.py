"""Maximum likelihood of the laws."""

from __future__ import annotations

import numpy as np

from analogjax.fitting import LAWS, maximum_likelihood

FIXED = ("stretch", "read", "read_power")
"""Parameters that stay at their defaults: hops of one kind, how the noise of reads rises."""


def free_of(law) -> list[str]:
    """Names of the free parameters of a law."""
    return [name for name in LAWS[law].PARAMETERS if name not in FIXED]


def model_of(law, fit):
    """Return a law with fitted parameters."""
    return LAWS[law](**{name: float(fit[f"value_{name}"]) for name in free_of(law)})


# The covariance of what the data leave undetermined is infinite, and said so in `message`.
@np.errstate(invalid="ignore")
def fitted(config, measured, law, times, start=None) -> dict[str, np.ndarray]:
    """Fit a law to the cells of the first half: first to a few, then to all."""
    free = free_of(law)
    if start is None:
        few = slice(0, min(config.warm_cells, measured.fitted))
        model = maximum_likelihood(LAWS[law](), measured.reads(times, few), free, throw=False).model
    else:
        model = model_of(law, start)
    estimate = maximum_likelihood(model, measured.reads(times, measured.seen), free, throw=False)
    found = {f"value_{name}": np.array(estimate.parameters[name]) for name in free}
    found |= {f"error_{name}": np.array(estimate.standard_errors[name]) for name in free}
    combinations = estimate.identifiability.combinations
    found["exponents"] = np.array([[c.exponents[name] for name in free] for c in combinations])
    found["combination_errors"] = np.array([c.standard_error for c in combinations])
    found |= {f"robust_{name}": np.array(estimate.robust_errors[name]) for name in free}
    return found | {
        "covariance": estimate.covariance,
        "bic": np.array(estimate.bic),
        "aic": np.array(estimate.aic),
        "log_likelihood": np.array(estimate.log_likelihood),
        "reads": np.array(estimate.observations),
        "steps": np.array(estimate.optimum.steps),
        "message": np.array(estimate.message),
        "text": np.array(estimate.describe()),
    }
