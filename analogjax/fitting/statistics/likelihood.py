"""Maximum likelihood of statistical models: estimates, Fisher information, information criteria."""

from __future__ import annotations

import abc
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..._checks import check_choice, check_float64, check_whole
from ..._types import Array, Float
from ...devices._parameters import Parameter, declared_parameters
from ..bijections import FreeParameters, Values, free_between
from ..identifiability import identify
from ..result import FitError
from .estimate import Estimate
from .newton import ERRORS, Optimised, climb, evaluate, invert, put, scores

Model = TypeVar("Model", bound="AbstractStatisticalModel")

FAR = 12.0
"""Size of an unbounded number from which its parameter counts as having run to a bound."""


class AbstractStatisticalModel(eqx.Module):
    """A probability of data given parameters.

    A final subclass declares its parameters by `analogjax.devices.parameter` (default, unit,
    meaning, source, bounds) and returns the log-likelihood of every observation.
    """

    PARAMETERS: ClassVar[dict[str, Parameter]] = {}

    def __init_subclass__(cls, **options: Any):
        """Collect the parameters that the body of the class declares."""
        super().__init_subclass__(**options)
        cls.PARAMETERS = {**cls.PARAMETERS, **declared_parameters(cls)}

    @abc.abstractmethod
    def log_likelihood(self, data: PyTree) -> Float[Array, " observations"]:
        """Return the natural logarithm of the probability (density) of every observation."""

    def declared(self) -> dict[str, Parameter]:
        """Return what is declared of the parameters, by name."""
        return self.PARAMETERS

    def parameters(self) -> dict[str, Any]:
        """Return the parameters by name, in their own units."""
        return {name: getattr(self, name) for name in self.declared()}

    def replace(self: Model, **values: Any) -> Model:
        """Return the model with other values of some parameters.

        Raises:
            ValueError: An unknown name, or a (concrete) value out of range.
        """
        for name, value in values.items():
            check_choice("parameter", name, self.declared())
            self.declared()[name].check(name, value)
        names = tuple(values)
        return eqx.tree_at(
            lambda m: tuple(getattr(m, n) for n in names),
            self,
            tuple(jnp.asarray(values[n], jnp.result_type(float)) for n in names),
        )


def take_parameters(model: AbstractStatisticalModel, parameters: Mapping[str, Any]) -> None:
    """Set the parameters of a model in its `__init__`: those given by name, defaults for the rest.

    Raises:
        ValueError: An unknown name, or a value out of range.
    """
    for name in parameters:
        check_choice("parameter", name, model.PARAMETERS)
    for name, declared in model.PARAMETERS.items():
        value = parameters.get(name, declared.default)
        declared.check(name, value)
        object.__setattr__(model, name, jnp.asarray(value, jnp.result_type(float)))


def maximum_likelihood(
    model: Model,
    data: PyTree,
    free: Sequence[str] | None = None,
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    weights: Any = None,
    max_steps: int = 200,
    throw: bool = True,
) -> Estimate[Model]:
    """Find the parameters under which the data are most probable.

    Newton steps with the exact Hessian matrix of the log-likelihood in unbounded numbers, its
    eigenvalues taken by their size and damped (Levenberg) so that every step leads uphill.

    Args:
        model: The model; its parameters are the start, and stay where they are unless free.
        data: What its `log_likelihood` takes.
        free: Names of the parameters to fit; all if None.
        bounds: Narrower bounds than the model's own, by name.
        weights: How often every observation counts, as in `log_likelihood`; once if None.
        max_steps: Most evaluations.
        throw: Raise if the result cannot be trusted; otherwise it says so in `message`.

    Returns:
        Estimates, standard errors from the observed Fisher information, information criteria.

    Raises:
        ValueError: A wrong argument, in one sentence.
        FitError: No convergence, or parameters that the data do not determine.
    """
    check_float64("`maximum_likelihood`")
    check_whole("max_steps", max_steps)
    parameters, start = _free(model, free, bounds)
    first = np.asarray(evaluate(model, parameters, data, start))
    if weights is None:
        weights = np.ones(first.shape)
    weights = jnp.asarray(weights, jnp.result_type(float))
    if weights.shape != first.shape:
        raise ValueError(
            f"Argument `weights` must have shape {first.shape}, as the log-likelihood, but has "
            f"{weights.shape}."
        )
    bad = ~np.isfinite(first) & (np.asarray(weights) > 0)
    if bad.any():
        raise ValueError(
            "Argument `model` must make every observation possible where the fit starts, but the "
            f"log-likelihood of observation {int(np.argmax(bad))} is {first[np.argmax(bad)]}."
        )
    end = climb(model, parameters, data, weights, start, np.zeros(len(start)), max_steps)
    estimate = _estimate(model, parameters, data, weights, end, max_steps)
    if throw and not estimate.ok:
        raise FitError(estimate.message)
    return estimate


def _free(
    model: Any, free: Sequence[str] | None, bounds: Mapping[str, tuple[float, float]] | None
) -> tuple[FreeParameters, Values]:
    names = tuple(model.declared()) if free is None else tuple(free)
    if not names or isinstance(free, str):
        raise ValueError(f"Argument `free` must be a tuple of parameter names, but is {free!r}.")
    values = model.parameters()
    maps, start = [], []
    for name in names:
        if name not in model.declared():
            near = difflib.get_close_matches(name, model.declared(), n=1)
            hint = f" (did you mean `{near[0]}`?)" if near else ""
            raise ValueError(
                f"Argument `free` must name parameters of {type(model).__name__}, but names "
                f"`{name}`{hint}."
            )
        parameter = model.declared()[name]
        low, high = (bounds or {}).get(name, (parameter.low, parameter.high))
        value = float(values[name])
        maps.append(free_between(name, parameter.unit, low, high, value))
        start.append(value)
    parameters = FreeParameters(names, tuple(maps))
    return parameters, parameters.inverse(jnp.asarray(start, jnp.result_type(float)))


def _estimate(
    model: Any,
    parameters: FreeParameters,
    data: PyTree,
    weights: Array,
    end: Optimised,
    max_steps: int,
) -> Estimate:
    z = jnp.asarray(end.z)
    slopes = np.asarray(parameters.slopes(z))
    values = np.asarray(parameters.forward(z))
    names = parameters.names
    unbounded = invert(end.information)
    each = np.asarray(scores(model, parameters, data, z))
    weighted = np.asarray(weights)[:, None] * each
    known = bool(np.isfinite(unbounded).all())
    robust = unbounded
    if known:
        robust = unbounded @ (weighted.T @ weighted) @ unbounded * np.outer(slopes, slopes)
    covariance = unbounded * np.outer(slopes, slopes) if known else unbounded
    # By ln p where p has one sign, so that combinations are products of powers.
    scale = []
    for name, value, slope in zip(names, values, slopes, strict=True):
        signed = model.declared()[name].low >= 0 or model.declared()[name].high <= 0
        scale.append(value / slope if signed and slope != 0 else 1.0)
    size, directions = np.linalg.eigh(end.information)
    root = np.sqrt(np.maximum(size, 0.0))[:, None] * directions.T * np.asarray(scale)[None]
    identifiability = identify(names, root, 1.0)
    fitted = put(model, parameters, z)
    return Estimate(
        model=fitted,
        parameters=dict(zip(names, map(float, values), strict=True)),
        standard_errors=dict(zip(names, _errors(covariance), strict=True)),
        robust_errors=dict(zip(names, _errors(robust), strict=True)),
        covariance=covariance,
        log_likelihood=end.value,
        observations=int(np.sum(np.asarray(weights))),
        identifiability=identifiability,
        message=_objection(parameters, end, identifiability, max_steps),
        data=data,
        weights=weights,
        free_parameters=parameters,
        optimum=end,
    )


def _errors(covariance: np.ndarray) -> list[float]:
    return [float(e) for e in np.sqrt(np.maximum(np.diag(covariance), 0.0))]


def _objection(
    parameters: FreeParameters, end: Optimised, identifiability: Any, max_steps: int
) -> str:
    """Return why an estimate cannot be trusted, in one sentence; "" if nothing speaks against."""
    for name, z, kind in zip(
        parameters.names, end.z, (m.kind for m in parameters.maps), strict=True
    ):
        # Near its anchor z is a logarithm, and may be far below zero.
        if (kind == "between" and z > FAR) or (kind != "free" and z < -60):
            value = float(parameters.forward(jnp.asarray(end.z))[parameters.names.index(name)])
            return (
                f"Parameter `{name}` must be determined by the data to be free, but runs to its "
                f"bound ({value:.3g}): fix it there."
            )
    if identifiability.undetermined:
        return (
            "The data must tell the free parameters apart, but "
            f"{identifiability.sentence}: fix one of them, or add data."
        )
    if not end.remaining < max(ERRORS, 0.1):
        return (
            f"The search must converge, but after {end.steps} evaluations (of at most {max_steps}) "
            f"it is still {end.remaining:.2g} standard errors from a maximum: start elsewhere or "
            "allow more `max_steps`."
        )
    return ""
