"""The models that are compared."""

from __future__ import annotations

from analogjax.devices import VTEAM, ExpStep, LinearStep
from analogjax.fitting import Candidate

from .ramps import shifted, state_of

WHAT = {
    "exponential": "`ExpStep`, its window shifted from ramp to ramp by the first read",
    "exponential, fixed window": "`ExpStep`, whose state starts where the first read says",
    "linear": "`LinearStep`, window shifted",
    "VTEAM": "`VTEAM` without a window function, resistance linear in the state",
}


def candidates(config, begin) -> dict[str, Candidate]:
    """Return them by name.

    The exponent of steps down is given: levels leave it open how fast the first steps after a
    reversal grow, and what they leave is fitted to steps later.
    """
    window = dict(w_min=-1.0, w_max=1.0, g_min=config.g_min, g_max=config.g_max, c2c=0.0)
    # z = 0 where RESET starts.
    exponential = ExpStep(
        w_0=0.0, a=-1.0, b=state_of(config, begin["reset"]), gamma_up=1.5, gamma_down=20.0,
        a_up=0.1, a_down=0.5, up_down=0.2, dw_min=0.011, **window,
    )  # fmt: skip
    free = ("dw_min", "up_down", "gamma_up", "a_up", "a_down")
    # Within these no step vanishes, and with it every derivative.
    bounds = {"a_up": (1e-3, 0.9), "a_down": (1e-3, 0.95), "up_down": (0.01, 0.9)}
    moving = shifted(config, begin)
    linear = LinearStep(dw_min=0.008, up_down=-0.3, gamma_up=0.01, gamma_down=0.05, **window)
    vteam = VTEAM(
        window="none", r_on=1 / config.g_max, r_off=1 / config.g_min, k_on=-2e-6, k_off=2e-7,
        w_on=0.0, w_off=3e-9, alpha_on=1.0, alpha_off=1.0, read_voltage=0.1,
    )  # fmt: skip
    return {
        "exponential": Candidate(exponential, free, bounds, adapt=moving),
        "exponential, fixed window": Candidate(exponential, free, bounds),
        "linear": Candidate(linear, ("dw_min", "up_down", "gamma_down"), adapt=moving),
        "VTEAM": Candidate(vteam, ("k_on", "k_off"), adapt=lambda train: train.reversed()),
    }
