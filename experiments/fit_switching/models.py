"""The models, their fits to seen cells, and how they do on unseen ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from analogjax.devices import VTEAM, StanfordPKU
from analogjax.fitting import maximum_likelihood
from analogjax.fitting.statistics.switching_check import (
    SwitchingGrid,
    switching_grid,
    table_probability,
)
from analogjax.fitting.statistics.switching_devices import DevicePopulation, grouped
from analogjax.fitting.statistics.switching_population import VoltagePopulation

LABELS = {
    "voltage": "switching voltage alone",
    "shared": "transistor of the SET fit",
    "gate": "with a transistor",
    "gate_before": "with a transistor and the resistance before",
    "rise": "with all these and a rise of the voltage",
    "vteam": "VTEAM devices",
    "stanford": "Stanford devices",
}
"""Models by name."""

GRIDS = {
    "width_voltage": ("width", "voltage"),
    "width_gate": ("width", "gate_voltage"),
    "gate_voltage": ("gate_voltage", "voltage"),
    "full": ("width", "voltage", "gate_voltage"),
}
"""What cells are pooled over."""

LAW = ("v_half", "v_fold", "v_spread")
SET_GATE = ("gate_factor", "gate_threshold", "gate_lowering", "hold_voltage", "hold_scatter")
RESET_GATE = ("gate_threshold",)
OPEN = dict(gate_factor=1e3, hold_voltage=1e-3, series_resistance=1.0)


@dataclasses.dataclass
class Fitted:
    """One model, fitted."""

    model: Any
    arrays: dict[str, np.ndarray]

    @property
    def free(self) -> list[str]:
        """Names of its free parameters."""
        return [str(name) for name in self.arrays["names"]]

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not str(self.arrays["message"])


def read_scatter(trials: Any) -> float:
    """Return the spread of a second reading where the voltage is too low to switch anything."""
    voltage = np.asarray(trials.voltage)
    low = voltage == voltage.min()
    ratio = np.log(np.asarray(trials.resistance_after) / np.asarray(trials.resistance_before))
    return float(np.std(ratio[low]))


def candidates(config: Any, polarity: str, trials: Any, fits: dict, shared: Any) -> dict[str, Any]:
    """Return what can be made by now: {name: (function that makes the start, free names)}."""
    read = dict(read_scatter=read_scatter(trials))
    closed: dict[str, Any] = {}
    own: dict[str, Any] = {}
    top = float(np.max(np.asarray(trials.voltage)))
    start = dict(v_half=1.15, v_spread=0.1, v_fold=0.02)
    gate = SET_GATE
    if polarity == "reset":
        start, gate = dict(v_half=top, v_spread=0.3, v_fold=0.3), RESET_GATE
        if shared is not None:
            own = {k: shared[k] for k in ("gate_factor", "gate_threshold", "gate_lowering")}
            make = VoltagePopulation(polarity, **(start | {"v_half": 0.7 * top}), **read, **own)
            closed["shared"] = (make, (*LAW, "v_before"))
    closed["voltage"] = (VoltagePopulation(polarity, **start, **read, **OPEN), LAW)
    first = {**own, "gate_threshold": -1.0} if polarity == "reset" else {}
    closed["gate"] = (VoltagePopulation(polarity, **start, **read, **first), (*LAW, *gate))
    if "gate" in fits:
        closed["gate_before"] = (fits["gate"].model, (*LAW, "v_before", *gate))
    else:
        closed["gate_before"] = (closed["gate"][0], (*LAW, "v_before", *gate))
    if "gate_before" in fits and polarity == "reset":
        model = fits["gate_before"].model.replace(rise=1e-7)
        closed["rise"] = (model, (*LAW, "v_before", *gate, "rise"))
    if "gate_before" in fits:
        closed |= devices(config, polarity, fits["gate_before"].model)
    return closed


def devices(config: Any, polarity: str, model: Any) -> dict[str, Any]:
    """Return populations of devices behind the transistor of the closed form."""
    kept = ("gate_factor", "gate_threshold", "gate_slope", "gate_lowering", "hold_voltage",
            "hold_scatter", "series_resistance", "series_scatter", "read_scatter")  # fmt: skip
    own = {name: float(getattr(model, name)) for name in kept}
    half = float(model.v_half)
    # Resistances of the two ends enclose every cell's; the rest of the start is illustrative.
    ends = dict(r_on=4e3, r_off=1.3e6) if polarity == "set" else dict(r_on=3e3, r_off=1e5)
    if polarity == "set":
        vteam = VTEAM(iv="exponential", window="none", v_on=-half, k_on=-10.0, **ends)
        pace, limit = "k_on", "v_on"
    else:
        vteam = VTEAM(
            iv="exponential", window="none", v_off=half, k_off=1e-2, alpha_off=3.0, **ends
        )
        pace, limit = "k_off", "v_off"
    options = dict(draws=config.draws, **own)
    made: dict[str, Any] = {
        "vteam": (
            DevicePopulation(
                polarity, vteam, pace=pace, spread={pace: 1.5, limit: 0.1}, cells=2, **options
            ),
            (pace, f"{pace}_spread", limit, f"{limit}_spread"),
        )
    }
    if polarity == "set":
        # A barrier of 1.5 eV and no threshold of the field: with the published ones no cell would
        # switch below 1.4 V (assumed).
        stanford = StanfordPKU(
            gap_max=2.6e-9, gap_init=1e-9, field_min=1e5, gamma_0=76.0, beta=6.2, speed=10.0,
            activation_energy=1.5, variation=0.0,
        )  # fmt: skip
        spread = {"speed": 3.6, "gamma_0": 0.036}
        made["stanford"] = (
            DevicePopulation(
                polarity, stanford, pace="speed", spread=spread, fitted=("beta",), cells=4,
                **options,
            ),
            ("speed_spread", "gamma_0", "gamma_0_spread", "beta"),
        )  # fmt: skip
    return made


def fit_all(
    run: Any, config: Any, polarity: str, parts: dict, set_fits: dict | None = None
) -> dict[str, Fitted]:
    """Fit every model to the seen cells."""
    seen = parts[polarity]["seen"]
    shared = set_fits["gate_before"].model.parameters() if set_fits else None
    fits: dict[str, Fitted] = {}
    for name in LABELS:
        if name not in config.models:
            continue
        known = candidates(config, polarity, seen, fits, shared)
        if name not in known:
            continue
        model, free = known[name]
        best = name == "gate_before"

        def compute(model=model, free=free, best=best, name=name):
            data, weights = (
                grouped(seen, bins=config.bins) if name in ("vteam", "stanford") else (seen, None)
            )
            return fitted(config, model, data, free, weights, best)

        arrays = run.stage(f"fit_{polarity}_{name}", compute)
        values = dict(zip(arrays["names"].tolist(), arrays["values"].tolist(), strict=True))
        fits[name] = Fitted(model.replace(**values), arrays)
    return fits


def fitted(config: Any, model: Any, data: Any, free: Any, weights: Any, best: bool) -> dict:
    """Return one fit as arrays."""
    estimate = maximum_likelihood(
        model, data, free, weights=weights, max_steps=config.max_steps, throw=False
    )
    combinations = estimate.identifiability.combinations
    arrays = dict(
        names=np.array(estimate.free),
        values=np.array(list(estimate.parameters.values())),
        errors=np.array(list(estimate.standard_errors.values())),
        robust=np.array(list(estimate.robust_errors.values())),
        log_likelihood=estimate.log_likelihood,
        observations=estimate.observations,
        aic=estimate.aic,
        bic=estimate.bic,
        steps=estimate.optimum.steps,
        message=np.array(estimate.message),
        exponents=np.array([[c.exponents[n] for n in estimate.free] for c in combinations]),
        combination_errors=np.array([c.standard_error for c in combinations]),
    )
    if best and estimate.ok:
        key = jax.random.key(0)
        arrays["draws"] = estimate.draws(1500, key=key)
        arrays["bootstrap"] = estimate.bootstrap(config.bootstrap)
        interval = estimate.interval()
        arrays["intervals"] = np.array([interval[n] for n in estimate.free])
        if config.profile:
            for name in LAW:
                profile = estimate.profile(name, points=config.profile)
                arrays[f"profile_{name}"] = np.stack([profile.values, profile.rise])
                arrays[f"profile_{name}_interval"] = np.array(profile.interval())
    return arrays


@eqx.filter_jit
def _probability(model: Any, trials: Any) -> Any:
    return model.probability(trials)


def judge(run: Any, polarity: str, fits: dict[str, Fitted], parts: dict) -> dict[str, dict]:
    """Return probabilities of unseen cells, and how they fare, by model and for a plain table."""
    unseen = parts["unseen"]

    def compute() -> dict[str, np.ndarray]:
        made = {n: np.asarray(_probability(f.model, unseen)) for n, f in fits.items()}
        return made | {"table": table_probability(parts["seen"], unseen)}

    probabilities = run.stage(f"unseen_{polarity}", compute)
    yes = np.asarray(unseen.switched) > 0.5
    judged = {}
    for name, p in probabilities.items():
        chance = np.clip(np.where(yes, p, 1 - p), 1e-9, 1.0)
        grids = {g: switching_grid(unseen, p, axes) for g, axes in GRIDS.items()}
        judged[name] = {"p": p, "log": float(np.mean(np.log(chance))), **grids}
        _metrics(run, f"{polarity}_{name}", judged[name])
    _record(run, polarity, unseen, probabilities)
    return judged


def _record(run: Any, polarity: str, unseen: Any, probabilities: dict[str, np.ndarray]) -> None:
    units = {"voltage": "V", "gate_voltage": "V", "width": "s", "resistance_before": "ohm",
             "resistance_after": "ohm", "switched": "1"}  # fmt: skip
    variables = {
        name: ("cell", np.asarray(getattr(unseen, name)), {"units": unit})
        for name, unit in units.items()
    }
    variables["probability"] = (
        ("model", "cell"), np.stack(list(probabilities.values())), {"units": "1"}
    )  # fmt: skip
    coords = {
        "model": list(probabilities),
        "cell": ("cell", unseen.device, {"units": "1", "long_name": "number of the cell"}),
    }
    run.dataset(f"unseen_{polarity}", xr.Dataset(variables, coords))


def _metrics(run: Any, prefix: str, judged: dict[str, Any]) -> None:
    run.metric(f"{prefix}_log_likelihood", judged["log"], help="of an unseen cell, mean")
    for name in GRIDS:
        grid: SwitchingGrid = judged[name]
        run.metric(f"{prefix}_{name}_largest", grid.largest, help="largest deviation, unseen cells")
        run.metric(f"{prefix}_{name}_rms", grid.rms, help="rms deviation, unseen cells")
        run.metric(f"{prefix}_{name}_excess", grid.excess, help="rms beyond binomial noise")
        run.metric(f"{prefix}_{name}_coverage", grid.coverage(), help="within 90 % intervals")


def chosen(fits: dict[str, Fitted]) -> str:
    """Return the model of lowest AIC on the seen cells that nothing speaks against."""
    good = {n: f for n, f in fits.items() if f.ok} or fits
    return min(good, key=lambda n: float(good[n].arrays["aic"]))
