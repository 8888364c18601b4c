"""Devices known by measured statistics of programmed states, from arrays in silicon."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._checks import check_choice
from .._types import Scalar, ScalarLike
from ._parameters import parameter
from ._presets import AbstractPresetDevice
from ._programmed import AbstractProgrammedDevice, ProgrammedState

DISTRIBUTIONS = ("normal", "lognormal_median", "lognormal_mean")

_FIT = "fit named by the preset, see `StatisticalDevice.SOURCES`"
_NONE = "none unless a preset says otherwise"
_ANY = -float("inf")


def _polynomial(*coefficients: float) -> dict[str, float]:
    return {f"std_{order}": value for order, value in enumerate(coefficients)}


def _sonos(amplitude: float, scale: float) -> dict[str, float]:
    """Currents of the fit [nA] at 0.1 V: 100 nA are 1 uS."""
    return {
        **_polynomial(0.0, 0.0, 0.0),
        "saturating_std": amplitude * 1e-8,
        "saturating_scale": scale * 1e-8,
        "g_max": 16e-6,
        "read_voltage": 0.1,
        "read_saturating_std": 12.58037e-8,
        "read_saturating_scale": 215.36557e-8,
    }


_CMO = {
    "g_min": 9e-6,
    "g_max": 88.19e-6,
    "relaxation_mean": -0.0890e-6,
    "relaxation_std": 0.41183e-6,
    "relaxation_std_growth": 0.04201e-6,
    "read_flicker": 0.02773e-6,
}
_WAN = {"g_unit": 40e-6, "g_max": 40e-6}


class StatisticalDevice(AbstractProgrammedDevice):
    """A programmed conductance with the scatter that an array was measured to have.

    ``G = max(floor, G_target + sigma(G_target) xi)`` with xi normal (*frozen*, drawn by `program`)
    and ``sigma = [std_0 + std_1 x + ... + std_4 x^4] uS + A (1 - exp(-G / B))``,
    ``x = G / g_unit``, not below zero. With ``distribution="lognormal_median"`` it is
    ``G_target exp(s xi)`` instead, with s = `log_std`; ``"lognormal_mean"`` divides by
    ``exp(s^2 / 2)``, so that the mean is the target, not the median.

    Relaxation (*slow*; CMO/HfOx only): from the first moment on, ``m ln t + (a + b ln t) xi'`` is
    added, with a second normal number of the device and t in seconds, at least 1 (below which the
    fit says nothing: assumed). A read (*fresh*) scatters by
    ``k log10(G / uS) sqrt(ln((t + t_r) / (2 t_r)))`` or ``A_r (1 - exp(-G / B_r))`` where a
    preset has that. The state's `character` is xi'.

    Presets: ``pcm_joshi``, ``pcm_aihwkit``; ``rram_wan_crosssim`` and ``rram_wan_1s``, ``_1d``,
    ``_2d`` (two fits of the same figures; a day and two after writing); ``rram_milo``;
    ``cmo_hfox_fine`` and ``cmo_hfox_coarse`` (programmed to within 0.2 % and 2 %); ``sonos_0d``
    to ``sonos_4d`` (days after writing; the drift of their mean is left out). Which paper and which
    code each is from: `SOURCES`. The default is ``pcm_joshi``. Temperature is in none of them.
    """

    SOURCES: ClassVar[dict[str, str]] = {
        "pcm_joshi": "CrossSim PCM_Joshi.py; Joshi et al., Nat. Commun. 11, 2473 (2020), Fig. 3b",
        "pcm_aihwkit": "aihwkit pcm.py; Nandakumar et al., ICECS 2019",
        "rram_wan_crosssim": "CrossSim RRAM_Wan.py; Wan et al., Nature 608, 504 (2022), "
        "Extended Data Fig. 3, 1 s",
        **dict.fromkeys(
            ("rram_wan_1s", "rram_wan_1d", "rram_wan_2d"),
            "aihwkit reram.py; Wan et al., Nature 608, 504 (2022)",
        ),
        "rram_milo": "CrossSim RRAM_Milo.py; Milo et al., IRPS 2021, Fig. 4, IGVVA-100",
        **dict.fromkeys(("cmo_hfox_fine", "cmo_hfox_coarse"), "aihwkit reram.py; Falcone et al."),
        **dict.fromkeys(
            (f"sonos_{day}d" for day in range(5)),
            "CrossSim SONOS.py; Agrawal et al., IEDM 2022, 21.7, Figs. 10 and 11",
        ),
    }

    PRESETS: ClassVar[dict[str, dict[str, float]]] = {
        "pcm_joshi": {
            **_polynomial(0.28638599, 0.07585724, -0.00178767), "g_min": 0.25e-6, "g_max": 25e-6,
        },
        "pcm_aihwkit": {
            **_polynomial(0.26348, 1.9650, -1.1731), "g_unit": 25e-6, "g_max": 25e-6,
        },
        "rram_wan_crosssim": {
            **_polynomial(1.053, 2.374e-1, -1.167e-2, 1.536e-4), "g_max": 39.26e-6,
        },
        "rram_wan_1s": {**_polynomial(0.348, 16.030, -43.853, 45.393, -16.815), **_WAN},
        "rram_wan_1d": {**_polynomial(0.701, 22.086, -50.773, 47.095, -16.458), **_WAN},
        "rram_wan_2d": {**_polynomial(0.782, 20.274, -43.507, 37.062, -11.934), **_WAN},
        "rram_milo": {
            **_polynomial(4.782321, -0.009107, 0.0), "g_min": 50e-6, "g_max": 225e-6,
        },
        "cmo_hfox_fine": {**_polynomial(8.1107e-4, 1.06879e-3, 0.0), **_CMO},
        "cmo_hfox_coarse": {**_polynomial(1.12185e-2, 1.12903e-2, 0.0), **_CMO},
        "sonos_0d": _sonos(19.887, 176.31),
        "sonos_1d": _sonos(25.591, 186.86),
        "sonos_2d": _sonos(28.728, 193.57),
        "sonos_3d": _sonos(31.043, 198.90),
        "sonos_4d": _sonos(33.762, 204.77),
    }  # fmt: skip

    distribution: str = eqx.field(static=True)
    g_max: Scalar = parameter(25e-6, "S", "largest conductance", _FIT)
    g_min: Scalar = parameter(0.0, "S", "smallest conductance programmed", _FIT, zero=True)
    floor: Scalar = parameter(1e-9, "S", "where conductances end below", "assumed")
    read_voltage: Scalar = parameter(
        0.2, "V", "voltage of a read", "assumed; SONOS: 0.1 V, from 1600 nA at 16 uS"
    )
    g_unit: Scalar = parameter(1e-6, "S", "conductance that x = 1 stands for", _FIT)
    std_0: Scalar = parameter(0.28638599, "uS", "sigma at G = 0", _FIT, low=_ANY)
    std_1: Scalar = parameter(0.07585724, "uS", "coefficient of x", _FIT, low=_ANY)
    std_2: Scalar = parameter(-0.00178767, "uS", "coefficient of x^2", _FIT, low=_ANY)
    std_3: Scalar = parameter(0.0, "uS", "coefficient of x^3", _FIT, low=_ANY)
    std_4: Scalar = parameter(0.0, "uS", "coefficient of x^4", _FIT, low=_ANY)
    saturating_std: Scalar = parameter(0.0, "S", "A, of the saturating part", _NONE, zero=True)
    saturating_scale: Scalar = parameter(1e-6, "S", "B, of the saturating part", _NONE)
    log_std: Scalar = parameter(
        0.1, "-", "standard deviation of ln G, with a log-normal distribution", "illustrative",
        zero=True,
    )  # fmt: skip
    relaxation_mean: Scalar = parameter(
        0.0, "S", "shift of the mean per e-fold of t", _NONE, low=_ANY
    )
    relaxation_std: Scalar = parameter(0.0, "S", "scatter at 1 s", _NONE, zero=True)
    relaxation_std_growth: Scalar = parameter(
        0.0, "S", "growth of that scatter per e-fold of t", _NONE, zero=True
    )
    read_flicker: Scalar = parameter(0.0, "S", "k, of the noise of a read", _NONE, zero=True)
    read_duration: Scalar = parameter(1e-6, "s", "t_r, duration of a read", "aihwkit reram.py")
    read_saturating_std: Scalar = parameter(
        0.0, "S", "A_r, of the noise of a read", _NONE, zero=True
    )
    read_saturating_scale: Scalar = parameter(1e-6, "S", "B_r, of the noise of a read", _NONE)

    def __init__(
        self, preset: str | None = None, *, distribution: str = "normal", **parameters: Any
    ):
        """Make a device.

        Args:
            preset: A set of `PRESETS`; ``"pcm_joshi"`` if None.
            distribution: ``"normal"``, ``"lognormal_median"`` or ``"lognormal_mean"``; see the
                class.
            **parameters: Any parameter of `PARAMETERS` by name, instead of the preset's value.

        Raises:
            ValueError: An unknown preset, distribution or name, or a value out of range.
        """
        self.distribution = check_choice("distribution", distribution, DISTRIBUTIONS)
        AbstractPresetDevice.__init__(self, "pcm_joshi" if preset is None else preset, **parameters)

    def programming_std(self, conductance: ScalarLike) -> Scalar:
        """Return sigma [S] of a programmed target [S] (of a log-normal one: its exact value)."""
        g = jnp.asarray(conductance, self.g_max.dtype)
        if self.distribution != "normal":
            median = self._median(g)
            variance = self.log_std**2
            return median * jnp.exp(variance / 2) * jnp.sqrt(jnp.expm1(variance))
        x = g / self.g_unit
        coefficients = (self.std_4, self.std_3, self.std_2, self.std_1, self.std_0)
        std = jnp.zeros_like(x)
        for coefficient in coefficients:
            std = std * x + coefficient
        saturating = -self.saturating_std * jnp.expm1(-g / self.saturating_scale)
        return jnp.maximum(1e-6 * std + saturating, 0.0)

    def program(
        self, conductance: ScalarLike, *, key: PRNGKeyArray | None = None
    ) -> ProgrammedState:
        """Return the state after programming to a conductance [S]; see `AbstractProgrammedDevice`.

        Raises:
            ValueError: A conductance outside 0 to `g_max`.
        """
        self.check_target(conductance)
        if key is None:
            return self.written(conductance, 0.0, 0.0)
        return self.drawn(conductance, *jax.random.normal(key, (2,), self.g_max.dtype))

    def drawn(
        self, conductance: ScalarLike, write: ScalarLike, slow: ScalarLike
    ) -> ProgrammedState:
        """Return the state of two drawn numbers; see `AbstractProgrammedDevice`."""
        if self.distribution == "normal":
            deviation = self.programming_std(conductance) * write
        else:
            deviation = self._median(conductance) * jnp.exp(self.log_std * write) - conductance
        return self.written(conductance, deviation, slow)

    def conductance_of(self, state: ProgrammedState) -> Scalar:
        """Return the conductance [S], relaxed."""
        log_t = jnp.log(jnp.maximum(state.elapsed, 1.0))
        spread = self.relaxation_std + self.relaxation_std_growth * log_t
        shift = self.relaxation_mean * log_t + spread * state.character
        return state.conductance + jnp.where(state.elapsed > 0, shift, jnp.zeros_like(shift))

    def read_std(self, state: ProgrammedState) -> Scalar:
        """Return the standard deviation [S] of a read."""
        g = self._limited(self.conductance_of(state))
        ratio = (state.elapsed + self.read_duration) / (2 * self.read_duration)
        # Just programmed there is no flicker yet; the root's slope there would be infinite.
        begun = ratio > 1
        # Arrays as branches, because plain numbers pass through float64 on their way.
        one, zero = jnp.ones_like(ratio), jnp.zeros_like(ratio)
        octaves = jnp.where(begun, jnp.log(jnp.where(begun, ratio, 2 * one)), zero)
        root = jnp.where(begun, jnp.sqrt(jnp.where(begun, octaves, one)), zero)
        flicker = self.read_flicker * jnp.maximum(jnp.log10(g / 1e-6), 0.0) * root
        saturating = -self.read_saturating_std * jnp.expm1(-g / self.read_saturating_scale)
        return flicker + saturating

    def _median(self, conductance: ScalarLike) -> Scalar:
        if self.distribution == "lognormal_median":
            return jnp.asarray(conductance, self.g_max.dtype)
        return conductance * jnp.exp(-(self.log_std**2) / 2)
