"""The models that are compared."""

from __future__ import annotations

from types import SimpleNamespace

from analogjax.devices import ExpStep


def exponential(config):
    """Steps that change exponentially; one exponent is given, the steps up leave it open."""
    device = ExpStep(
        w_min=-1.0, w_max=1.0, w_0=0.0, a=-1.0, b=0.0, gamma_up=0.5, gamma_down=1.5, a_up=0.6,
        a_down=0.03, up_down=0.4, dw_min=0.02, c2c=0.0, g_min=config.g_min, g_max=config.g_max,
    )  # fmt: skip
    free = ("dw_min", "up_down", "a_up", "gamma_down", "a_down")
    # Within these no step vanishes, and with it every derivative.
    bounds = {"a_up": (-5.0, 0.7), "gamma_down": (0.1, 4.0), "a_down": (-5.0, 0.07)}
    return SimpleNamespace(device=device, free=free, bounds=bounds)
