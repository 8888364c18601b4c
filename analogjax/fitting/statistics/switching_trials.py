"""Single pulses on fresh cells as yes or no: which cells switched, by a stated rule."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..._checks import check_between, check_choice, check_not_zero, check_positive
from ..._types import Array, Float
from ..result import FitError

Trials = Float[Array, " trials"]
"""One number for each pulse on a cell."""

POLARITIES = ("set", "reset")


def resistance_threshold(resistance: Any, *, bandwidth: float = 0.05) -> float:
    """Return the resistance [ohm] between two populations.

    The lowest point of the density of ``log10 R`` (normal kernel) between its two highest modes.

    Args:
        resistance: Resistances of cells in either state [ohm].
        bandwidth: Standard deviation of the kernel [decades].

    Raises:
        ValueError: Resistances not above zero.
        FitError: There are no two populations: no second mode, or no valley of at most half of it.
    """
    values = np.ravel(np.asarray(resistance, float))
    check_positive("resistance", values, "ohm")
    check_positive("bandwidth", bandwidth)
    grid, density = resistance_density(values, bandwidth=bandwidth)
    inner = density[1:-1]
    modes = 1 + np.flatnonzero((inner > density[:-2]) & (inner >= density[2:]))
    highest = modes[np.argmax(density[modes])]
    best, found = 0.0, None
    for mode in modes:
        low, high = sorted((mode, highest))
        valley = low + int(np.argmin(density[low : high + 1]))
        if density[valley] <= 0.5 * density[mode] and density[mode] > best:
            best, found = density[mode], valley
    if found is None:
        raise FitError(
            "The resistances must form two populations with a gap between them, but have only one "
            f"mode, at {10 ** grid[highest]:.4g} ohm: give the threshold yourself."
        )
    return float(10 ** grid[found])


def resistance_density(
    resistance: Any, *, bandwidth: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid of ``log10 R`` and the density there, by a normal kernel.

    Args:
        resistance: Resistances [ohm].
        bandwidth: Standard deviation of the kernel [decades].
    """
    values = np.log10(np.ravel(np.asarray(resistance, float)))
    step = bandwidth / 10
    edges = np.arange(values.min() - 6 * bandwidth, values.max() + 7 * bandwidth, step)
    counts = np.histogram(values, edges)[0]
    reach = np.arange(-50, 51) * step / bandwidth
    kernel = np.exp(-0.5 * reach**2)
    density = np.convolve(counts, kernel / kernel.sum(), "same") / (len(values) * step)
    return 0.5 * (edges[1:] + edges[:-1]), density


class SwitchingTrials(eqx.Module):
    """Pulses on cells that could switch, one pulse a cell."""

    voltage: Trials
    """Size of the voltage [V]; the sign is that of the polarity."""
    width: Trials
    """[s]."""
    gate_voltage: Trials
    """[V]."""
    resistance_before: Trials
    """[ohm]."""
    resistance_after: Trials
    """[ohm]."""
    switched: Trials
    """1 if the resistance is beyond the threshold after the pulse, 0 if not."""
    threshold: Float[Array, ""]
    """[ohm]."""
    device: np.ndarray
    """Number of the cell."""
    polarity: str = eqx.field(static=True)

    def __len__(self) -> int:
        """Return the number of pulses."""
        return int(self.switched.shape[0])

    def take(self, chosen: Any) -> SwitchingTrials:
        """Return some of the trials.

        Args:
            chosen: A mask, or places.
        """
        chosen = np.asarray(chosen)
        fields = ("voltage", "width", "gate_voltage", "resistance_before", "resistance_after",
                  "switched", "device")  # fmt: skip
        return eqx.tree_at(
            lambda t: tuple(getattr(t, f) for f in fields),
            self,
            tuple(getattr(self, f)[chosen] for f in fields),
        )


def switching_trials(
    measurement: Any, threshold: float, *, polarity: str | None = None
) -> SwitchingTrials:
    """Return which cells a pulse has switched.

    A cell can SET if its resistance is above the threshold before the pulse, and has if it is below
    afterwards; for RESET the other way round. Cells that were on the other side already are left
    out.

    Args:
        measurement: A measurement of protocol ``single_pulse`` (`analogjax.data.measurements`).
        threshold: Resistance between the two states [ohm]; see `resistance_threshold`.
        polarity: ``"set"`` or ``"reset"``; by the sign of the voltages if None (SET is positive).

    Raises:
        ValueError: Another protocol, voltages of both signs or none.
        FitError: The data cannot tell a probability: no cell could switch, none or every one did,
            they moved the other way, or a limit in voltages and width parts all that switched from
            all that did not.
    """
    check_positive("threshold", threshold, "ohm")
    protocol = getattr(measurement, "attrs", {}).get("protocol")
    if protocol != "single_pulse":
        raise ValueError(
            f"Argument `measurement` must be of protocol 'single_pulse', but is of {protocol!r}."
        )
    if polarity is not None:
        check_choice("polarity", polarity, POLARITIES)
    read = {
        name: np.asarray(measurement[name], float)
        for name in ("voltage", "width", "resistance_before", "resistance_after")
    }
    gate = measurement["gate_voltage"] if "gate_voltage" in measurement else None
    read["gate_voltage"] = (
        np.full(read["width"].shape, np.nan) if gate is None else np.asarray(gate)
    )
    known = np.all([np.isfinite(v) for k, v in read.items() if k != "gate_voltage"], axis=0)
    signs = np.unique(np.sign(check_not_zero("voltage", read["voltage"][known], "V")))
    if len(signs) != 1:
        raise ValueError(
            "Argument `measurement` must have voltages of one sign, but has both: select one."
        )
    if polarity is None:
        polarity = "set" if signs[0] > 0 else "reset"
    names = measurement.coords["device"] if "device" in measurement.coords else None
    device = np.arange(len(known)) if names is None else np.asarray(names)
    before, after = read["resistance_before"], read["resistance_after"]
    above = before > threshold
    able = known & (above if polarity == "set" else ~above)
    changed = (after < threshold) if polarity == "set" else (after > threshold)
    _check_direction(polarity, able, known & ~able, after < threshold)
    trials = SwitchingTrials(
        **{k: jnp.asarray(np.abs(v[able]) if k == "voltage" else v[able]) for k, v in read.items()},
        switched=jnp.asarray(changed[able].astype(float)),
        threshold=jnp.asarray(float(threshold)),
        device=device[able],
        polarity=polarity,
    )
    check_trials(trials)
    return trials


def _check_direction(polarity: str, able: np.ndarray, other: np.ndarray, low: np.ndarray) -> None:
    """Raise if cells could not switch, or switched the other way instead."""
    after = low if polarity == "set" else ~low
    forth, back = np.sum(able & after), np.sum(other & ~after)
    if back > 0.1 * max(other.sum(), 1) and back / other.sum() > 2 * forth / max(able.sum(), 1):
        does, must = ("raise", "lower") if polarity == "set" else ("lower", "raise")
        sign = "positive" if polarity == "set" else "negative"
        raise FitError(
            f"Pulses of {sign} voltage must {must} the resistance, but they {does} it ("
            f"{back} of {other.sum()} cells): reverse the voltages."
        )
    if not able.any():
        word = "above" if polarity == "set" else "below"
        raise FitError(
            f"The cells must be {word} the threshold before a {polarity.upper()} pulse to switch, "
            "but none is: check the threshold and the sign of the voltages."
        )


def check_trials(trials: SwitchingTrials) -> None:
    """Raise unless a probability can be fitted to the trials.

    Raises:
        FitError: None switched, all did, or the two are parted by a limit (complete separation).
    """
    switched = np.asarray(trials.switched) > 0.5
    total, kind = len(switched), trials.polarity.upper()
    if not switched.any() or switched.all():
        which = "every one" if switched.any() else "none"
        raise FitError(
            f"Some of the {total} {kind} pulses must switch and some not, but {which} did: a "
            "probability has no maximum there; measure at other voltages or widths."
        )
    if separated(trials):
        raise FitError(
            f"The {kind} pulses that switch and those that do not must overlap, but one limit in "
            "voltage, gate voltage and log width parts them completely: the spread between cells "
            "cannot be told; measure more cells near the limit."
        )


def separated(trials: SwitchingTrials) -> bool:
    """Return whether a plane in voltage, gate voltage and log width parts yes from no.

    The maximum likelihood of such data lies at infinity (A. Albert and J. A. Anderson, Biometrika
    71, 1 (1984), doi:10.1093/biomet/71.1.1); found by a linear programme.
    """
    from scipy.optimize import linprog

    sign = 2 * np.asarray(trials.switched) - 1
    columns = [trials.voltage, jnp.log(trials.width), trials.gate_voltage]
    used = [np.asarray(c) for c in columns if np.isfinite(c).all() and np.ptp(np.asarray(c)) > 0]
    features = np.stack([np.ones(len(sign)), *((c - c.mean()) / c.std() for c in used)], axis=1)
    rows = np.unique(np.round(sign[:, None] * features, 12), axis=0)
    # Largest margin m <= 1 with rows @ w >= m: above 0 only if a plane parts them.
    size = rows.shape[1]
    found = linprog(
        np.r_[np.zeros(size), -1.0],
        A_ub=np.c_[-rows, np.ones(len(rows))],
        b_ub=np.zeros(len(rows)),
        bounds=[(None, None)] * size + [(None, 1.0)],
    )
    return bool(found.status == 0 and -found.fun > 1e-9)


def split_cells(device: Any, share: float) -> np.ndarray:
    """Return which cells are seen by a fit, by a fixed rule that knows nothing of the data.

    ``(2654435761 number mod 2^32) / 2^32 < share``: Knuth's multiplicative hash of the cell's
    number, so that neighbours (which were measured at neighbouring voltages) part evenly.

    Args:
        device: Whole numbers of the cells.
        share: Share of seen cells.
    """
    check_between("share", share, 0.0, 1.0)
    number = np.asarray(device).astype(np.uint64)
    return (number * np.uint64(2654435761)) % np.uint64(2**32) < np.uint64(share * 2**32)
