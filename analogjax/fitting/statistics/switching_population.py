"""Populations of cells under single pulses: the probability that a cell has switched."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._checks import check_choice
from ..._types import Array, Float, Scalar
from ...devices._parameters import parameter
from ...physics.transistor import SeriesTransistor
from .likelihood import AbstractStatisticalModel
from .switching_trials import POLARITIES, SwitchingTrials, Trials

REFERENCE_TIME = 1e-6
"""Width [s] to which switching voltages refer."""

REFERENCE_RESISTANCE = {"set": 8e4, "reset": 9e3}
"""Resistance before the pulse [ohm] to which they refer; the middle of what is usual."""

_LEAST = 1e-12


class AbstractSwitchingPopulation(AbstractStatisticalModel):
    """Cells behind transistors that switch under a pulse, or not.

    A cell switches with probability P (`fires`), which a subclass gives from the voltage over the
    cell: what the transistor leaves (`SeriesTransistor`; the cell is on its drain side for SET, on
    its source side for RESET), and what has built up by the end of the pulse,
    ``1 - exp(-t / rise)``. A share `never` does not whatever the pulse, a share `always` does.

    After SET the transistor limits the current: the resistance falls to ``R_s + V_h / I``, where
    the voltage over the cell has fallen to V_h under the current I that the transistor lets
    through; log-normal, with ``sigma^2 = sigma_s^2 + (sigma_h V_h / (I R))^2``. It counts as
    switched if that is below the threshold. A cell that does not switch is read anew, with a
    scatter, and may cross the threshold by that.
    """

    polarity: eqx.AbstractVar[str]

    gate_factor: Scalar = parameter(5e-4, "A/V^2", "current factor of the transistor", "assumed")
    gate_threshold: Scalar = parameter(
        0.4, "V", "threshold of the transistor", "assumed", low=-5.0, high=3.0
    )
    gate_slope: Scalar = parameter(1.3, "-", "slope factor of the transistor", "assumed", high=5.0)
    gate_lowering: Scalar = parameter(
        0.05, "-", "fall of its threshold with its voltage", "assumed", zero=True, high=1.0
    )
    rise: Scalar = parameter(
        1e-12, "s", "time constant with which the voltage builds up", "assumed", high=1e-3
    )
    hold_voltage: Scalar = parameter(0.6, "V", "voltage at which SET stops", "assumed", high=5.0)
    hold_scatter: Scalar = parameter(
        0.4, "-", "spread of the limited resistance (of the logarithm)", "assumed", high=3.0
    )
    series_resistance: Scalar = parameter(
        5e3, "ohm", "resistance after SET without limit of current", "assumed"
    )
    series_scatter: Scalar = parameter(
        0.1, "-", "its spread between cells (of the logarithm)", "assumed", high=3.0
    )
    read_scatter: Scalar = parameter(
        0.2, "-", "spread of a second reading (of the logarithm)", "assumed", high=3.0
    )
    always: Scalar = parameter(
        0.0, "-", "share that switches under any pulse", "assumed", zero=True, high=0.5
    )
    never: Scalar = parameter(
        0.0, "-", "share that switches under no pulse", "assumed", zero=True, high=0.5
    )

    @abc.abstractmethod
    def fires(self, cell_voltage: Trials, trials: SwitchingTrials) -> Trials:
        """Return the probability of switching.

        Args:
            cell_voltage: Size of the voltage over the cell [V].
            trials: The pulses.
        """

    @property
    def transistor(self) -> SeriesTransistor:
        """The transistor in series."""
        return SeriesTransistor(
            self.gate_factor, self.gate_threshold, self.gate_slope, self.gate_lowering
        )

    def cell_voltage(self, trials: SwitchingTrials) -> Trials:
        """Return the size of the voltage over the cell at the end of the pulse [V]."""
        built = -jnp.expm1(-trials.width / self.rise)
        return self.transistor.cell_voltage(
            trials.voltage * built,
            trials.gate_voltage,
            trials.resistance_before,
            follower=self.polarity == "reset",
        )

    def fired(self, trials: SwitchingTrials) -> Trials:
        """Return the probability that a cell has switched, wherever it is read."""
        fires = self.fires(self.cell_voltage(trials), trials)
        return self.always + (1 - self.always - self.never) * fires

    def within_limit(self, trials: SwitchingTrials) -> Trials:
        """Return the probability that the transistor lets a cell switch beyond the threshold."""
        if self.polarity == "reset":
            return jnp.ones_like(trials.voltage)
        drop = jnp.maximum(trials.voltage - self.hold_voltage, 1e-3)
        current = self.transistor.current(trials.gate_voltage, jnp.zeros_like(drop), drop)
        limited = self.hold_voltage / jnp.maximum(current, 1e-12)
        median = self.series_resistance + limited
        spread = jnp.sqrt(self.series_scatter**2 + (self.hold_scatter * limited / median) ** 2)
        return jax.scipy.special.ndtr((jnp.log(trials.threshold) - jnp.log(median)) / spread)

    def probability(self, trials: SwitchingTrials) -> Trials:
        """Return the probability of being read beyond the threshold after the pulse."""
        sign = 1.0 if self.polarity == "set" else -1.0
        beyond = self.fired(trials) * self.within_limit(trials)
        distance = jnp.log(trials.threshold) - jnp.log(trials.resistance_before)
        crossed = jax.scipy.special.ndtr(sign * distance / self.read_scatter)
        return beyond + (1 - beyond) * crossed

    def log_likelihood(self, data: SwitchingTrials) -> Float[Array, " observations"]:
        """Return the logarithm of the probability that a cell did what it did."""
        yes = self.probability(data)
        chance = jnp.where(data.switched > 0.5, yes, 1 - yes)
        return jnp.log(jnp.maximum(chance, _LEAST))


def set_parameters(model: Any, values: dict[str, Any]) -> None:
    """Set the declared parameters of a model that is being made; defaults where none is given."""
    for name, declared in model.PARAMETERS.items():
        value = values.pop(name, declared.default)
        declared.check(name, value)
        setattr(model, name, jnp.asarray(value, jnp.result_type(float)))
    for name in values:
        check_choice("parameter", name, model.PARAMETERS)


class VoltagePopulation(AbstractSwitchingPopulation):
    """Cells whose switching voltage is normal and falls with the logarithm of time.

    ``P = Phi((V + v_fold ln(t / 1 us) - v_half - v_before ln(R / R_ref)) / v_spread)`` with the
    voltage V over the cell and its resistance R before the pulse. The same as a switching time
    ``tau = 1 us exp((v_half - V) / v_fold)`` that is log-normal with ``sigma = v_spread / v_fold``.
    """

    polarity: str = eqx.field(static=True)

    v_half: Scalar = parameter(1.2, "V", "switches half of the cells in 1 us", "assumed", high=20.0)
    v_fold: Scalar = parameter(0.03, "V", "lower for an e-fold of time", "assumed", high=5.0)
    v_spread: Scalar = parameter(0.2, "V", "spread between cells", "assumed", high=5.0)
    v_before: Scalar = parameter(
        0.0, "V", "higher for an e-fold of resistance before", "assumed", low=-5.0, high=5.0
    )

    def __init__(self, polarity: str, **parameters: Any):
        """Make a population.

        Args:
            polarity: ``"set"`` or ``"reset"``.
            **parameters: Of `PARAMETERS`, by name.
        """
        self.polarity = check_choice("polarity", polarity, POLARITIES)
        set_parameters(self, dict(parameters))

    def fires(self, cell_voltage: Trials, trials: SwitchingTrials) -> Trials:
        """Return the probability of switching."""
        lift = self.v_fold * jnp.log(trials.width / REFERENCE_TIME)
        before = jnp.log(trials.resistance_before / REFERENCE_RESISTANCE[self.polarity])
        excess = cell_voltage + lift - self.v_half - self.v_before * before
        return jax.scipy.special.ndtr(excess / self.v_spread)
