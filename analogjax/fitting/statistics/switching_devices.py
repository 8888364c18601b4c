"""A population of devices of the library under single pulses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..._checks import check_choice, check_whole
from ..._types import Array, Float, Scalar
from ...devices import AbstractCompactDevice, Parameter, Spread, sample_devices
from ...devices._base import check_names
from ...devices._compact import with_velocity
from ...simulation.switching import _time
from ..states import state_at
from .switching_population import AbstractSwitchingPopulation, set_parameters
from .switching_trials import POLARITIES, SwitchingTrials, Trials

NEVER = 60.0
"""Logarithm of the time [s] that stands for ever: the state stands still."""


class DevicePopulation(AbstractSwitchingPopulation):
    """Cells that are devices of one model, with parameters drawn for each.

    A cell starts in the state of its resistance before the pulse and has switched when it reaches
    that of the threshold, under the voltage that the transistor leaves at the start; it takes
    ``tau = integral dx / velocity`` (`switching_time`). Parameters are log-normal between cells.
    That of one, the `pace` that every velocity is proportional to, is integrated in closed form,
    the others by quasi-random draws z_k:
    ``P = mean_k Phi((ln t - ln tau(z_k)) / sigma_pace)``, which is smooth in everything.

    Parameters are those of `AbstractSwitchingPopulation`, of the device by their own names (the
    medians), and ``NAME_spread`` (of the logarithm).
    """

    polarity: str = eqx.field(static=True)
    device: AbstractCompactDevice = eqx.field(default=None)
    values: dict[str, Any] = eqx.field(default=None)
    pace: str = eqx.field(static=True, default="")
    fitted: tuple[str, ...] = eqx.field(static=True, default=())
    normals: np.ndarray = eqx.field(default=None)
    cells: int = eqx.field(static=True, default=8)

    def __init__(
        self,
        polarity: str,
        device: AbstractCompactDevice,
        *,
        pace: str,
        spread: Mapping[str, float],
        fitted: tuple[str, ...] = (),
        draws: int = 64,
        cells: int = 8,
        **parameters: Any,
    ):
        """Make a population.

        Args:
            polarity: ``"set"`` or ``"reset"``.
            device: The device of median parameters.
            pace: Name of the parameter that the velocity is proportional to.
            spread: Standard deviations of the logarithms, by name; of `pace` among them.
            fitted: Names of further parameters of the device that a fit may move.
            draws: Quasi-random draws of the parameters with a spread other than `pace`; a power of
                two.
            cells: As in `switching_time`.
            **parameters: Of the transistor and the reading, by name.

        Raises:
            ValueError: A name that is no parameter, a `pace` without a spread or that the velocity
                is not proportional to, a device whose state is more than one number.
        """
        self.polarity = check_choice("polarity", polarity, POLARITIES)
        self.device = with_velocity(device)
        check_names(type(device), (pace, *spread, *fitted))
        check_choice("pace", pace, spread)
        for name in (*spread, *fitted):
            if name in self.PARAMETERS:
                raise ValueError(
                    f"Argument `fitted` must not name a parameter of the population, but names "
                    f"{name}."
                )
        check_whole("draws", draws)
        check_whole("cells", cells)
        self.pace, self.cells = pace, cells
        self.fitted = tuple(dict.fromkeys((*spread, *fitted)))
        dtype = jnp.result_type(float)
        self.values = {name: jnp.asarray(getattr(device, name), dtype) for name in self.fitted}
        self.values |= {f"{name}_spread": jnp.asarray(s, dtype) for name, s in spread.items()}
        self.normals = quasi_normal(draws, len(spread) - 1)
        set_parameters(self, dict(parameters))
        self._check_pace()

    def _check_pace(self) -> None:
        faster = self.device.replace(**{self.pace: 2 * getattr(self.device, self.pace)})
        low, high = self.device.bounds()
        state = self.device.init_state()
        if np.isfinite(low) and np.isfinite(high):
            state = 0.5 * (jnp.asarray(low) + jnp.asarray(high))
        for v in np.linspace(-3.0, 3.0, 7):
            once, twice = (float(d.velocity(jnp.asarray(v), state)) for d in (self.device, faster))
            # One of two signs of voltage may have a speed of its own.
            if not np.isclose(twice, 2 * once, rtol=1e-6) and not np.isclose(twice, once):
                raise ValueError(
                    "Argument `pace` must name a parameter that the velocity is proportional to, "
                    f"but the velocity at {v:g} V becomes {twice / once:.3g} times as large with "
                    f"twice the {self.pace}."
                )

    def declared(self) -> dict[str, Parameter]:
        """Return what is declared of the parameters, by name."""
        own = {name: type(self.device).PARAMETERS[name] for name in self.fitted}
        spreads = {
            name: Parameter(0.1, "-", f"spread of {name[:-7]} (of the logarithm)", "fitted",
                            high=20.0, zero=True)
            for name in self.values
            if name not in own
        }  # fmt: skip
        return {**self.PARAMETERS, **own, **spreads}

    def parameters(self) -> dict[str, Any]:
        """Return the parameters by name, in their own units."""
        return {name: getattr(self, name) for name in self.PARAMETERS} | self.values

    def replace(self, **values: Any) -> Any:
        """Return the population with other values of some parameters."""
        own = {k: v for k, v in values.items() if k not in self.values}
        inner = {k: v for k, v in values.items() if k in self.values}
        for name, value in inner.items():
            self.declared()[name].check(name, value)
        dtype = jnp.result_type(float)
        inner = {k: jnp.asarray(v, dtype) for k, v in inner.items()}
        changed = eqx.tree_at(lambda m: m.values, self, {**self.values, **inner})
        return AbstractSwitchingPopulation.replace(changed, **own) if own else changed

    def nominal(self) -> AbstractCompactDevice:
        """Return the device of median parameters."""
        return self.device.replace(**{name: self.values[name] for name in self.fitted})

    def spread(self) -> Spread:
        """Return the spread between devices, for `sample_devices`."""
        return Spread(relative={k[:-7]: v for k, v in self.values.items() if k not in self.fitted})

    def sample(self, count: int, *, key: PRNGKeyArray) -> AbstractCompactDevice:
        """Draw devices, one batch for ``eqx.filter_vmap``.

        Args:
            count: How many.
            key: Random key.
        """
        return sample_devices(self.nominal(), self.spread(), count, key=key)

    def log_times(
        self, cell_voltage: Trials, resistance_before: Trials, threshold: Scalar
    ) -> Float[Array, "trials draws"]:
        """Return the logarithm of the time [s] to switch at the median pace, for every draw.

        Args:
            cell_voltage: Size of the voltage over the cell [V].
            resistance_before: [ohm].
            threshold: Resistance that counts as switched [ohm].
        """
        nominal = self.nominal()
        sign = nominal.potentiation * (1.0 if self.polarity == "set" else -1.0)
        end = state_at(nominal, 1 / threshold)
        names = [n for n in self.fitted if f"{n}_spread" in self.values and n != self.pace]

        def time(v: Scalar, resistance: Scalar) -> Float[Array, " draws"]:
            start = state_at(nominal, 1 / resistance)

            def drawn(normal: Float[Array, " spread"]) -> Scalar:
                factors = {
                    n: self.values[n] * jnp.exp(self.values[f"{n}_spread"] * z)
                    for n, z in zip(names, normal, strict=True)
                }
                return _time(nominal.replace(**factors), sign * v, start, end, self.cells)

            return jax.vmap(drawn)(jnp.asarray(self.normals))

        times = jax.vmap(time)(cell_voltage, resistance_before)
        moves = jnp.isfinite(times) & (times > 0)
        logs = jnp.log(jnp.where(moves, times, 1.0))
        return jnp.where(moves, jnp.minimum(logs, NEVER), NEVER)

    def fires(self, cell_voltage: Trials, trials: SwitchingTrials) -> Trials:
        """Return the probability of switching."""
        logs = self.log_times(cell_voltage, trials.resistance_before, trials.threshold)
        late = jnp.log(trials.width)[:, None] - logs
        return jnp.mean(jax.scipy.special.ndtr(late / self.values[f"{self.pace}_spread"]), axis=1)


def quasi_normal(count: int, dimensions: int) -> np.ndarray:
    """Return standard normal numbers that fill space evenly (Sobol), (count, dimensions)."""
    from scipy.stats import norm, qmc

    if dimensions == 0:
        return np.zeros((1, 0))
    points = qmc.Sobol(dimensions, scramble=False).random(count)
    # Half a cell away from the corner, so that no number is infinite.
    return np.asarray(norm.ppf((points + 0.5 / count) % 1.0))


def grouped(trials: SwitchingTrials, *, bins: int = 8) -> tuple[SwitchingTrials, np.ndarray]:
    """Return trials with resistances before the pulse in bins, and how many each stands for.

    A device's switching time is an integral for each pulse; alike pulses share one.

    Args:
        trials: The pulses.
        bins: Of equally many cells; each gets its median.

    Returns:
        One trial for each voltage, gate voltage, width, bin and outcome; their counts, to be given
        as `weights` to `maximum_likelihood`.
    """
    before = np.asarray(trials.resistance_before)
    place = np.searchsorted(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]), before)
    medians = np.array([np.median(before[place == b]) for b in range(bins)])
    rows = np.stack(
        [np.asarray(x) for x in (trials.voltage, trials.gate_voltage, trials.width)]
        + [place, np.asarray(trials.switched)],
        axis=1,
    )
    _, first, counts = np.unique(rows, axis=0, return_index=True, return_counts=True)
    chosen = trials.take(first)
    binned = jnp.asarray(medians[place[first]])
    return eqx.tree_at(lambda t: t.resistance_before, chosen, binned), counts.astype(float)
