"""The drift law over six decades of field."""

from __future__ import annotations

import numpy as np

import analogjax as aj
from analogjax.physics import laws


def report(run, ledger) -> None:
    """Against Einstein's relation and a count of hops, with the parameters of the film."""
    field = np.geomspace(1e5, 3e9, 200)
    defaults = {name: p.default for name, p in aj.devices.FourTerminalTiO2.PARAMETERS.items()}
    a, z = defaults["hop_distance"], defaults["charge_number"]
    diffusivity = laws.hopping_diffusivity(
        a, defaults["attempt_frequency"], defaults["activation_energy"], 300.0
    )
    thermal = laws.hop_bias(z, a, field, 300.0)
    velocity = laws.drift_velocity(diffusivity, a, thermal)
    einstein = z * diffusivity * field / (aj.constants.BOLTZMANN_EV * 300.0)
    ledger.add("drift_einstein", "drift over Einstein's relation at 1e5 V/m",
               velocity[0] / einstein[0], 1.0, 1e-6, "Einstein relation")  # fmt: skip
    # Independent of the package: hops with and against the field.
    forward, backward = np.exp(np.asarray(thermal)), np.exp(-np.asarray(thermal))
    rate = diffusivity / a**2
    ledger.zero("drift_hops", "drift over a (rate forward - rate backward), worst",
                np.max(np.abs(velocity / (a * rate * (forward - backward)) - 1)), 1e-9,
                "definition (Mott and Gurney)")  # fmt: skip
    at_film = float(laws.hop_bias(z, a, 2e6, 300.0))
    run.metric("hop_bias_at_film_field", at_film, "xi at 2e6 V/m, the largest field of the default")
    run.metric("drift_excess_at_film_field", float(np.sinh(at_film) / at_film - 1))
    fig, axis = aj.plotting.figure(width=4.8)
    axis.loglog(field, velocity, label="v = (2 D / a) sinh(xi)")
    axis.loglog(field, einstein, "k:", label="Einstein")
    axis.axvspan(1e5, 2e6, alpha=0.12)
    axis.set(xlabel="field [V/m]", ylabel="drift velocity [m/s]")
    axis.legend()
    run.section(
        "Drift law",
        "Shaded: the fields that the default film reaches (2e6 V/m at an electrode tip at 5 V and "
        "48 cells). There the hyperbolic sine differs from a straight line by "
        f"{np.sinh(at_film) / at_film - 1:.0e}; it matters above 1e8 V/m, in gaps of nanometres.",
    )
    run.figure("drift_law", fig, "Drift velocity of a vacancy against field, at 300 K.")
