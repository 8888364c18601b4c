"""What resistance a pulse leaves in the cells that it switched."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..._checks import check_choice
from ..._types import Array, Float, Scalar
from ...devices._parameters import parameter
from .likelihood import AbstractStatisticalModel
from .switching_population import set_parameters
from .switching_trials import POLARITIES, SwitchingTrials, Trials

_SOFT = 0.05
"""Width [V] over which a closed gate opens; its only use is that no number diverges."""


class ProgrammedResistance(AbstractStatisticalModel):
    """Log-normal resistance of cells that were read beyond the threshold.

    ``ln R ~ Normal(ln M, S^2)``, cut off at the threshold. The median falls with the current that
    the gate voltage V_G lets through, ``M = R_f + L`` with
    ``L = R_l ((V_G - V_c) / 1 V)^-m (V / 2 V)^-p``, and so does the spread,
    ``S^2 = s_f^2 + (s_l L / M)^2``. With ``R_l`` near 0 nothing depends on the pulse.
    """

    polarity: str = eqx.field(static=True)

    floor: Scalar = parameter(6e3, "ohm", "median without limit of current", "assumed")
    limited: Scalar = parameter(
        3e3, "ohm", "added at 1 V of gate overdrive", "assumed", zero=True, high=1e7
    )
    v_closed: Scalar = parameter(
        0.3, "V", "gate voltage at which no current flows", "assumed", low=-5.0, high=3.0
    )
    exponent: Scalar = parameter(1.5, "-", "power of the overdrive", "assumed", high=10.0)
    voltage_exponent: Scalar = parameter(
        0.5, "-", "power of the voltage", "assumed", low=-5.0, high=10.0
    )
    floor_scatter: Scalar = parameter(
        0.1, "-", "spread of the floor (of the logarithm)", "assumed", high=3.0
    )
    limited_scatter: Scalar = parameter(
        0.4, "-", "spread of the limited part (likewise)", "assumed", high=3.0
    )

    def __init__(self, polarity: str, **parameters: Any):
        """Make a distribution.

        Args:
            polarity: ``"set"`` or ``"reset"``.
            **parameters: Of `PARAMETERS`, by name.
        """
        self.polarity = check_choice("polarity", polarity, POLARITIES)
        set_parameters(self, dict(parameters))

    def distribution(self, trials: SwitchingTrials) -> tuple[Trials, Trials]:
        """Return median [ohm] and spread (of the logarithm), before it is cut off."""
        overdrive = _SOFT * jax.nn.softplus((trials.gate_voltage - self.v_closed) / _SOFT)
        overdrive = jnp.maximum(overdrive, 1e-6)
        limited = self.limited * overdrive**-self.exponent
        limited = limited * (0.5 * trials.voltage) ** -self.voltage_exponent
        median = self.floor + limited
        share = limited / median
        return median, jnp.sqrt(self.floor_scatter**2 + (self.limited_scatter * share) ** 2)

    def _share(self, trials: SwitchingTrials) -> tuple[Trials, Trials, Trials]:
        """Return median, spread and the normal number of the threshold."""
        median, spread = self.distribution(trials)
        return median, spread, (jnp.log(trials.threshold) - jnp.log(median)) / spread

    def log_likelihood(self, data: SwitchingTrials) -> Float[Array, " observations"]:
        """Return the logarithm of the density of ``ln R`` of every cell that has switched."""
        median, spread, edge = self._share(data)
        sign = 1.0 if self.polarity == "set" else -1.0
        after = jnp.log(data.resistance_after)
        density = jax.scipy.stats.norm.logpdf(after, jnp.log(median), spread)
        density = density - jax.scipy.special.log_ndtr(sign * edge)
        return jnp.where(data.switched > 0.5, density, 0.0)

    def quantile(self, share: Trials, trials: SwitchingTrials) -> Trials:
        """Return the resistance [ohm] below which a share of the switched cells is."""
        median, spread, edge = self._share(trials)
        below = jax.scipy.special.ndtr(edge)
        low, high = (0.0, below) if self.polarity == "set" else (below, 1.0)
        normal = jax.scipy.special.ndtri(low + share * (high - low))
        return median * jnp.exp(spread * normal)

    def rank(self, trials: SwitchingTrials) -> Trials:
        """Return the share of the distribution below the resistance that was measured."""
        median, spread, edge = self._share(trials)
        below = jax.scipy.special.ndtr(edge)
        at = jax.scipy.special.ndtr((jnp.log(trials.resistance_after) - jnp.log(median)) / spread)
        if self.polarity == "set":
            return at / below
        return (at - below) / (1 - below)

    def sample(self, trials: SwitchingTrials, *, key: PRNGKeyArray) -> Trials:
        """Draw a resistance [ohm] for every pulse, given that it switches."""
        shape = jnp.shape(trials.voltage)
        return self.quantile(jax.random.uniform(key, shape, jnp.result_type(float)), trials)
