"""A digital network against the same network in devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray

from .._checks import check_not_negative
from ..crossbar import Hardware
from .evaluate import accuracy_over_chips


def transfer_accuracy(
    model: nnx.Module,
    hardware: Hardware,
    split: Any,
    *,
    bits: Sequence[int],
    chips: int,
    key: PRNGKeyArray,
) -> dict[str, np.ndarray]:
    """Return what is left of a network's accuracy at every bit depth.

    Args:
        model: The digital model.
        hardware: What it is converted to; `bits` below take the place of its bits.
        split: Inputs and labels, as in `accuracy_over_chips`.
        bits: Bits per device.
        chips: Chips with write error.
        key: Random key of all chips.

    Returns:
        ``ideal`` (bits,): quantisation alone; ``chips`` (bits, chips): with write error.

    Raises:
        ValueError: As in `accuracy_over_chips`.
    """
    ideal = accuracy_over_chips(model, hardware.ideal(), split, chips=1, bits=bits, key=key)
    written = accuracy_over_chips(model, hardware, split, chips=chips, bits=bits, key=key)
    return {"ideal": ideal[:, 0], "chips": written}


def fewest_bits(
    bits: Iterable[int], accuracy: Iterable[float], target: float, *, margin: float = 0.01
) -> int:
    """Return the fewest bits from which on the accuracy stays near a target; 0 if there are none.

    Args:
        bits: Bits per device, in any order.
        accuracy: Accuracy at each.
        target: Accuracy of the digital network.
        margin: How far below the target is near.

    Raises:
        ValueError: A negative margin.
    """
    check_not_negative("margin", margin)
    enough = 0
    for b, value in sorted(zip(bits, accuracy, strict=True), reverse=True):
        if value < target - margin:
            break
        enough = b
    return enough


def tolerated_width(offsets: Sequence[float], accuracy: Any, *, margin: float = 0.01) -> float:
    """Return the width of the interval around zero in which the accuracy stays near that at zero.

    Between offsets the accuracy is interpolated; where it stays near up to the last offset, the
    interval ends there.

    Args:
        offsets: Of what is applied from what was planned, in any unit, rising, zero among them.
        accuracy: Accuracy at each.
        margin: How far below that at zero is near.

    Raises:
        ValueError: A negative margin, or offsets that do not rise or lack zero.
    """
    check_not_negative("margin", margin)
    x, values = np.asarray(offsets, float), np.asarray(accuracy)
    if 0.0 not in x or np.any(np.diff(x) <= 0):
        raise ValueError(f"Argument `offsets` must rise and hold 0, but is {list(offsets)}.")
    nominal, width = int(np.flatnonzero(x == 0.0)[0]), 0.0
    for side in (slice(nominal, None), slice(nominal, None, -1)):
        size, lost = np.abs(x[side]), values[nominal] - values[side] - margin
        beyond = np.flatnonzero(lost > 0)
        if not beyond.size:
            width += size[-1]
            continue
        i = beyond[0]
        width += size[i - 1] + (size[i] - size[i - 1]) * lost[i - 1] / (lost[i - 1] - lost[i])
    return float(width)
