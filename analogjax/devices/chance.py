"""What is random about a device, in words."""

from __future__ import annotations

from ._base import AbstractDevice
from ._programmed import AbstractProgrammedDevice
from .cycle import CycleToCycle

_HOOKS = {
    "stochastic": "motion",
    "begin": "cycles",
    "draw_state": "particles",
    "fluctuate": "pulses",
    "read_noise": "reads",
}


def chance(device: AbstractDevice) -> list[str]:
    """Return what chance has a part in: motion, cycles, particles, pulses, reads, programming.

    By the hooks of `AbstractDevice` that a device has of its own; empty for a deterministic one.

    Args:
        device: The device.
    """
    if isinstance(device, CycleToCycle):
        return ["cycles", *chance(device.device)]
    kind = type(device)
    found = [
        what
        for name, what in _HOOKS.items()
        if getattr(kind, name) is not getattr(AbstractDevice, name)
    ]
    # An option of JART VCM, off unless chosen.
    if getattr(device, "single_vacancy_noise", True) is False:
        found.remove("reads")
    return ["programming"] * isinstance(device, AbstractProgrammedDevice) + found
