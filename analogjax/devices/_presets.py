"""Devices that are a list of declared parameters and named sets of them."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from .._checks import check_choice
from ._base import AbstractDevice, check_parameters


class AbstractPresetDevice(AbstractDevice):
    """A device of declared parameters (`analogjax.devices.parameter`) and named sets of them."""

    PRESETS: ClassVar[dict[str, dict[str, float]]] = {}
    """Parameters that differ from the defaults, by name of the set."""

    def __init__(self, preset: str | None = None, **parameters: Any):
        """Make a device.

        Args:
            preset: A set of `PRESETS`; the defaults if None.
            **parameters: Any parameter of `PARAMETERS` by name, instead of the preset's value.

        Raises:
            ValueError: An unknown preset or name, or a value out of range.
        """
        chosen = {}
        if preset is not None:
            chosen = self.PRESETS[check_choice("preset", preset, self.PRESETS)]
        check_parameters(type(self), parameters)
        values = {name: p.default for name, p in self.PARAMETERS.items()} | chosen | parameters
        dtype = jnp.result_type(float)
        for name, value in values.items():
            setattr(self, name, jnp.asarray(value, dtype))
        self.check()
