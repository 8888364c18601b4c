"""What a fit says when it cannot work."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np

import analogjax as aj
from analogjax.fitting import FitError, Noise, PulseTrain, fit


def said(device, measurement, free) -> str:
    """Return why a fit refuses; "nothing" if it does not."""
    try:
        fit(device, measurement, free)
    except FitError as error:
        return str(error)
    return "nothing"


def sentences(film, seed) -> dict[str, np.ndarray]:
    """Return what is wrong, and what the fit says of it.

    Args:
        film: A TiO2-x device and pulses measured of one; None for none.
        seed: Of the noise.
    """
    key = np.random.default_rng(seed)
    drift = aj.devices.LinearIonDrift()
    v = np.concatenate([np.ones(12), -np.ones(12)])
    ramp = PulseTrain(v, 0.01, None, np.ones(24), noise=Noise(0.01), name="ramp")
    values = np.asarray(ramp.predict(drift)) * (1 + 0.01 * key.standard_normal((1, 24)))
    ramp = eqx.tree_at(lambda m: m.observed, ramp, jnp.asarray(values))
    flat = eqx.tree_at(lambda m: m.observed, ramp, jnp.full((1, 24), 1e-4))
    found = {
        "Ion drift: thickness beside mobility": said(drift, ramp, ("mobility", "thickness")),
        "Ion drift: voltages of the wrong sign": said(drift, ramp.reversed(), ("mobility", "x_0")),
        "Ion drift: no signal": said(drift, flat, ("mobility",)),
        "Ion drift: a parameter without influence": said(drift, ramp, ("mobility", "window_width")),
    }
    if film is not None:
        pair = ("activation_energy", "side")
        what = "TiO2-x: activation energy beside the side L of the film"
        found[what] = said(film[0], film[1], pair)
    return dict(what=np.array(list(found)), said=np.array(list(found.values())))


def report(run, found) -> None:
    """Every refusal, as it was said."""
    pairs = list(zip(found["what"], found["said"], strict=True))
    run.section(
        "When a fit refuses",
        "Free parameters that the data do not tell apart, and data that cannot be fitted, end in "
        "one sentence instead of numbers:\n\n"
        + "\n".join(f"- **{what}.** {sentence}" for what, sentence in pairs),
    )
    refused = sum(sentence != "nothing" for _, sentence in pairs)
    run.metric("refusals", refused, f"of {len(pairs)} fits that cannot work")
