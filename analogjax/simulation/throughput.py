"""How many pulses a second devices side by side get."""

from __future__ import annotations

import time

import equinox as eqx
import jax
from jaxtyping import PyTree

from .._checks import check_whole
from .._types import Array, Bool, Int
from ..devices import AbstractDevice
from ..stimuli import Drive
from .simulate import simulate


class Throughput(eqx.Module):
    """What a measurement of speed found."""

    seconds: float
    """Shortest wall time of all lanes [s]."""
    pulses: int
    """Pulses of one lane."""
    steps: Int[Array, " lanes"]
    """Time steps of every lane; a batch takes as long as its slowest one."""
    ok: Bool[Array, " lanes"]
    """Whether a lane was solved."""

    @property
    def rate(self) -> float:
        """Device-pulses per second."""
        return self.pulses * self.ok.shape[0] / self.seconds


def throughput(
    device: AbstractDevice, drive: Drive, states: PyTree, *, rounds: int = 3
) -> Throughput:
    """Measure how fast a drive is applied to many devices side by side, compiled.

    Args:
        device: The device; all have its parameters.
        drive: The drive, the same for all.
        states: Where each device starts, stacked along the first axis.
        rounds: Repetitions, of which the fastest counts; one more, before, compiles.

    Raises:
        ValueError: Fewer than one round; as in `simulate`.
    """
    check_whole("rounds", rounds)

    @eqx.filter_jit
    def lanes(states):
        result = jax.vmap(lambda state: simulate(device, drive, state, throw=False))(states)
        return result.final_state, result.stats["steps"], result.ok

    _, steps, ok = jax.block_until_ready(lanes(states))
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        jax.block_until_ready(lanes(states))
        seconds.append(time.perf_counter() - begun)
    return Throughput(min(seconds), drive.pulses, steps, ok)
