"""Random telegraph noise: a hidden two-state process found in a trace of reads."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from ..._checks import check_positive
from ..._types import Array, Float, Scalar
from ...devices import parameter
from .likelihood import AbstractStatisticalModel, take_parameters

Windows = Float[Array, "windows reads"]
_START = "where a fit starts; illustrative"


class TelegraphNoise(AbstractStatisticalModel):
    """Two levels with normal noise; the time in each is exponentially distributed.

    Reads come at intervals dt; the state of a read follows from that of the last one by
    ``P(low -> high) = t_h / (t_l + t_h) (1 - exp(-dt (1 / t_l + 1 / t_h)))`` and likewise back.
    The likelihood sums over all histories of the state (forward algorithm).
    """

    low: Scalar = parameter(0.0, "uS", "conductance of the lower level", _START, low=-float("inf"))
    step: Scalar = parameter(1.0, "uS", "distance of the levels", _START)
    noise: Scalar = parameter(0.3, "uS", "standard deviation of a read", _START)
    dwell_low: Scalar = parameter(0.1, "s", "t_l, mean time in the lower level", _START)
    dwell_high: Scalar = parameter(0.1, "s", "t_h, mean time in the upper level", _START)
    interval: float = eqx.field(static=True, default=1.0)
    """Time between reads [s]."""

    def __init__(self, interval: float, **parameters: Any):
        """Make a process.

        Args:
            interval: Time between reads [s].
            **parameters: Any of `PARAMETERS` by name.

        Raises:
            ValueError: An unknown name, or a value out of range.
        """
        check_positive("interval", interval, "s")
        self.interval = float(interval)
        take_parameters(self, parameters)

    def transition(self) -> Float[Array, "2 2"]:
        """Return the probabilities of the next state (columns) given this one (rows)."""
        share = self.dwell_high / (self.dwell_low + self.dwell_high)
        moved = -jnp.expm1(-self.interval * (1 / self.dwell_low + 1 / self.dwell_high))
        up, down = share * moved, (1 - share) * moved
        return jnp.stack([jnp.stack([1 - up, up]), jnp.stack([down, 1 - down])])

    def log_likelihood(self, data: Windows) -> Float[Array, " windows"]:
        """Return ln p of windows of reads [uS], each from a start of its own."""
        share = self.dwell_high / (self.dwell_low + self.dwell_high)
        levels = jnp.stack([self.low, self.low + self.step])
        move = self.transition()

        def window(x: Array) -> Scalar:
            emission = norm.logpdf(x[:, None], levels[None], self.noise)

            def advance(state, log_p):
                top = jnp.max(log_p)
                joint = state * jnp.exp(log_p - top)
                total = jnp.sum(joint)
                return (joint / total) @ move, jnp.log(total) + top

            _, terms = jax.lax.scan(advance, jnp.stack([1 - share, share]), emission)
            return jnp.sum(terms)

        return jax.vmap(window)(data)


@dataclasses.dataclass(frozen=True)
class TelegraphWindows:
    """What expectation-maximisation finds in each window of a trace."""

    low: np.ndarray
    step: np.ndarray
    noise: np.ndarray
    """[uS]."""
    leave_low: np.ndarray
    leave_high: np.ndarray
    """Probability to leave from one read to the next."""
    evidence: np.ndarray
    """BIC of one level that wanders (first-order autoregression, and white noise) less that of two
    levels: above 0 where the window shows a telegraph process."""


@eqx.filter_jit
def _maximise(x: Array, rounds: int) -> tuple[Array, ...]:
    """Baum-Welch of one window: levels, noise, probabilities to leave, ln p."""
    order = jnp.sort(x)
    n = x.shape[0]
    start = (
        jnp.stack([jnp.mean(order[: n // 2]), jnp.mean(order[n // 2 :])]),
        jnp.std(x) * 0.5,
        jnp.array([0.05, 0.05]),
    )

    def one_round(_, found):
        levels, noise, leave = found[:3]
        move = jnp.stack([jnp.stack([1 - leave[0], leave[0]]), jnp.stack([leave[1], 1 - leave[1]])])
        share = leave[0] / jnp.sum(leave)
        log_p = norm.logpdf(x[:, None], levels[None], noise)
        top = jnp.max(log_p, axis=1)
        p = jnp.exp(log_p - top[:, None])

        def forward(state, p):
            joint = state * p
            total = jnp.sum(joint)
            return (joint / total) @ move, (joint / total, total)

        _, (alpha, total) = jax.lax.scan(forward, jnp.stack([1 - share, share]), p)

        def backward(beta, values):
            p, total = values
            return move @ (p * beta) / total, beta

        _, beta = jax.lax.scan(backward, jnp.ones(2), (p, total), reverse=True)
        gamma = alpha * beta
        gamma = gamma / jnp.sum(gamma, axis=1, keepdims=True)
        pairs = (
            alpha[:-1, :, None] * move[None] * (p[1:] * beta[1:] / total[1:, None])[:, None, :]
        ).sum(axis=0)
        weight = jnp.sum(gamma, axis=0) + 1e-9
        levels = gamma.T @ x / weight
        noise = jnp.sqrt(jnp.sum(gamma * (x[:, None] - levels[None]) ** 2) / n) + 1e-9
        leave = jnp.clip(
            jnp.stack([pairs[0, 1], pairs[1, 0]]) / (jnp.sum(pairs, axis=1) + 1e-9), 1e-6, 0.999
        )
        return levels, noise, leave, jnp.sum(jnp.log(total) + top)

    return jax.lax.fori_loop(0, rounds, one_round, (*start, jnp.zeros(())))


MEMORIES = (0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Correlations from one read to the next, of a level that wanders, which are tried."""
WHITES = tuple(k / 10 for k in range(10))
"""Shares of white noise in the variance, likewise."""


@eqx.filter_jit
def _drifting(x: Array) -> Scalar:
    """Return the largest ln p of one level that wanders (Kalman filter), over a grid."""
    off = x - jnp.mean(x)

    def of(memory: Scalar, white: Scalar) -> Scalar:
        slow = 1 - white

        def advance(state, y):
            mean, variance = state
            spread = variance + white
            gain = variance / spread
            left = y - mean
            after, kept = mean + gain * left, variance * (1 - gain)
            following = (memory * after, memory**2 * kept + slow * (1 - memory**2))
            return following, (left**2 / spread, jnp.log(spread))

        _, (squares, logs) = jax.lax.scan(advance, (jnp.zeros(()), slow), off)
        # The scale that makes it largest, put in.
        return -0.5 * (
            x.size * (jnp.log(2 * jnp.pi * jnp.mean(squares) + 1e-300) + 1) + jnp.sum(logs)
        )

    grid = jnp.array([(m, w) for m in MEMORIES for w in WHITES])
    return jnp.max(jax.vmap(of)(grid[:, 0], grid[:, 1]))


def telegraph_windows(conductance: Any, reads: int, *, rounds: int = 60) -> TelegraphWindows:
    """Look for a two-state process in windows of a trace, side by side.

    Args:
        conductance: Reads at equal intervals [S].
        reads: Of a window.
        rounds: Of expectation-maximisation.
    """
    x = np.ravel(np.asarray(conductance, float)) * 1e6
    x = x[: x.size // reads * reads].reshape(-1, reads)
    found = jax.vmap(lambda w: _maximise(w, rounds))(jnp.asarray(x))
    levels, noise, leave, log_p = (np.asarray(v) for v in found)
    swap = levels[:, 0] > levels[:, 1]
    levels, leave = (np.where(swap[:, None], v[:, ::-1], v) for v in (levels, leave))
    alone = np.asarray(jax.vmap(_drifting)(jnp.asarray(x)))
    evidence = (4 * np.log(reads) - 2 * alone) - (5 * np.log(reads) - 2 * log_p)
    return TelegraphWindows(
        levels[:, 0], levels[:, 1] - levels[:, 0], noise, leave[:, 0], leave[:, 1], evidence
    )
