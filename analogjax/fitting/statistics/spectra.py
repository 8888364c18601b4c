"""Spectra of read noise: estimated, fitted, drawn again."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import PRNGKeyArray

from ..._checks import check_positive, check_whole
from ..._types import Array, Float, Scalar
from ...devices import parameter
from .likelihood import AbstractStatisticalModel, take_parameters

Bins = Float[Array, " bins"]
_START = "where a fit starts; illustrative"


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """One-sided power spectral density in bins of frequency."""

    frequency: np.ndarray
    """Of each bin [Hz]."""
    density: np.ndarray
    """[uS^2 / Hz]."""
    averages: np.ndarray
    """Independent periodograms that each value is worth: it scatters by its 1/sqrt."""


def spectrum(conductance: Any, rate: float, *, segment: int = 4096, bins: int = 60) -> Spectrum:
    """Estimate a spectrum: Hann windows side by side (Welch without overlap), bins of equal ratio.

    Neighbouring frequencies of a Hann window share noise: their powers correlate by 4/9, the next
    but one by 1/36, which leaves m of them worth ``m^2 / (m + 8/9 (m - 1) + 1/18 (m - 2))``.

    Args:
        conductance: Reads at equal intervals [S].
        rate: Reads a second [Hz].
        segment: Reads of a window.
        bins: Most bins.

    Raises:
        ValueError: Less than two windows, or reads that are not finite.
    """
    from scipy import signal

    x = np.ravel(np.asarray(conductance, float)) * 1e6
    check_positive("rate", rate, "Hz")
    check_whole("segment", segment, 16)
    check_whole("bins", bins, 4)
    if x.size < 2 * segment or not np.isfinite(x).all():
        raise ValueError(
            f"Argument `conductance` must hold at least {2 * segment} finite values (two windows), "
            f"but has {int(np.isfinite(x).sum())}."
        )
    f, s = signal.welch(x, rate, "hann", segment, noverlap=0, detrend="constant")
    # The first two hold the mean that was taken off; the last is alone in being real.
    f, s = f[2:-1], s[2:-1]
    edges = np.geomspace(f[0] * 0.999, f[-1] * 1.001, bins + 1)
    which = np.digitize(f, edges)
    rows = []
    for k in np.unique(which):
        here = which == k
        m = int(here.sum())
        worth = m**2 / (m + 8 / 9 * max(m - 1, 0) + max(m - 2, 0) / 18)
        rows.append((np.exp(np.mean(np.log(f[here]))), s[here].mean(), worth * (x.size // segment)))
    return Spectrum(*np.array(rows).T)


class NoiseSpectrum(AbstractStatisticalModel):
    """``S(f) = A f^-alpha + W + sum_k 2 v_k / (pi c_k) / (1 + (f / c_k)^2)``.

    1/f noise, white noise, and telegraph processes of variance v and corner c (a two-state process
    of levels dG apart and mean dwell times t_1 and t_2 has ``v = dG^2 t_1 t_2 / (t_1 + t_2)^2`` and
    ``c = (1 / t_1 + 1 / t_2) / (2 pi)``). An estimate of K averages is S times a gamma variable of
    mean 1 and variance 1/K, which makes the likelihood. Source of the Lorentzian: Machlup, J. Appl.
    Phys. 25, 341 (1954).
    """

    flicker: Scalar = parameter(1e-2, "uS^2/Hz", "A, 1/f noise at 1 Hz", _START)
    exponent: Scalar = parameter(1.0, "-", "alpha", _START, high=3.0)
    white: Scalar = parameter(1e-4, "uS^2/Hz", "W, white noise", _START)
    variance_1: Scalar = parameter(1e-30, "uS^2", "v_1, of a telegraph process", "absent")
    corner_1: Scalar = parameter(1.0, "Hz", "c_1", _START)
    variance_2: Scalar = parameter(1e-30, "uS^2", "v_2, of another", "absent")
    corner_2: Scalar = parameter(30.0, "Hz", "c_2", _START)

    def __init__(self, **parameters: Any):
        """Make a spectrum; its parameters by name.

        Raises:
            ValueError: An unknown name, or a value out of range.
        """
        take_parameters(self, parameters)

    def density(self, f: Array) -> Array:
        """Return S [uS^2/Hz] at frequencies [Hz]."""
        total = self.flicker * f**-self.exponent + self.white
        for v, c in ((self.variance_1, self.corner_1), (self.variance_2, self.corner_2)):
            total = total + 2 * v / (jnp.pi * c) / (1 + (f / c) ** 2)
        return total

    def log_likelihood(self, data: tuple[Bins, Bins, Bins]) -> Bins:
        """Return ln p of estimated densities; data are `frequency`, `density` and `averages`."""
        f, seen, k = data
        ratio = seen / self.density(f)
        return k * jnp.log(k * ratio) - jnp.log(seen) - gammaln(k) - k * ratio

    def draw(self, count: int, rate: float, *, key: PRNGKeyArray) -> Float[Array, " reads"]:
        """Return a normal trace of zero mean [uS] with this spectrum.

        Frequencies below ``rate / count`` are not in it.

        Args:
            count: Reads, an even number.
            rate: Reads a second [Hz].
            key: Random key (*fresh*).
        """
        check_whole("count", count, 4)
        f = jnp.fft.rfftfreq(count, 1 / rate)[1:]
        first, second = jax.random.split(key)
        size = jnp.sqrt(self.density(f) * rate * count / 4)
        parts = (jax.random.normal(k, f.shape, f.dtype) for k in (first, second))
        real, imaginary = parts
        amplitude = size * (real + 1j * imaginary)
        return jnp.fft.irfft(jnp.concatenate([jnp.zeros(1), amplitude]), count)


def allan_deviation(conductance: Any, rate: float, points: int = 24) -> tuple[np.ndarray, ...]:
    """Return averaging times [s] and the Allan deviation [uS] of neighbouring averages.

    ``sqrt(mean((y_(k+1) - y_k)^2) / 2)``, averages side by side: falls by 1/sqrt of the time for
    white noise, stays for 1/f noise, rises with drift. Source: Allan, Proc. IEEE 54, 221 (1966).

    Args:
        conductance: Reads at equal intervals [S].
        rate: Reads a second [Hz].
        points: Averaging times, of equal ratio.
    """
    x = np.ravel(np.asarray(conductance, float)) * 1e6
    lengths = np.unique(np.geomspace(1, x.size // 8, points).astype(int))
    found = []
    for n in lengths:
        y = x[: x.size // n * n].reshape(-1, n).mean(axis=1)
        found.append(np.sqrt(0.5 * np.mean(np.diff(y) ** 2)))
    return lengths / rate, np.array(found)
