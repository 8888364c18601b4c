"""The table of levels: what was asked for, what came out, what it cost."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..devices import AbstractDevice
from .targets import Window

if TYPE_CHECKING:
    import xarray

_TEXT = ("space", "device", "controller", "noise")


@dataclasses.dataclass(frozen=True)
class LevelTable:
    """Levels of one device, programmed several times over.

    Levels run from the highest resistance to the lowest. A level that a repeat did not reach is
    nan throughout.
    """

    target: np.ndarray
    """(n_levels,) ohm."""
    achieved: np.ndarray
    """(repeats, n_levels) ohm: what the device had when the level was left, at its nominal
    temperature and without the noise of a reading."""
    reading: np.ndarray
    """(repeats, n_levels) ohm: the reading that ended the level."""
    met: np.ndarray
    """(repeats, n_levels): whether that reading was accepted; else the pulses had run out."""
    pulses: np.ndarray
    """(repeats, n_levels); nan, as are time and energy, for devices written without pulses."""
    time: np.ndarray
    """(repeats, n_levels) s: pulses, cooling and reads of the level, from the one before."""
    energy: np.ndarray
    """(repeats, n_levels) J: the same."""
    delays: np.ndarray
    """(delays,) s."""
    reread: np.ndarray
    """(delays, repeats, n_levels) ohm: read again, with the noise of a read."""
    status: np.ndarray
    """(repeats,): a `simulation.Status` as an integer; why a repeat stopped, if it did."""
    r_high: float
    """First level [ohm]."""
    r_low: float
    """Last level [ohm]."""
    space: str
    """``"R"`` or ``"G"``: in which the levels are equally spaced."""
    device: str
    """Fingerprint of the device."""
    controller: str
    """How it was done, in one sentence."""
    noise: str
    """The noise, in one sentence."""

    def __post_init__(self) -> None:
        """Check that the arrays fit together."""
        shape = np.shape(self.achieved)
        if len(shape) != 2 or shape[1] != np.shape(self.target)[0]:
            raise ValueError(
                "Argument `achieved` must have shape (repeats, n_levels) with n_levels = "
                f"{np.shape(self.target)[0]}, but has shape {shape}."
            )

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.target.shape[0]

    @property
    def repeats(self) -> int:
        """Number of repeats."""
        return self.achieved.shape[0]

    @property
    def window(self) -> Window:
        """First and last level."""
        return Window(self.r_high, self.r_low)

    @property
    def pitch(self) -> float:
        """Distance of neighbouring levels as a fraction of the window."""
        return 1 / (self.n_levels - 1)

    @property
    def failed(self) -> int:
        """Levels (of all repeats) that were not reached because a solve failed."""
        return int(np.sum(~np.isfinite(self.achieved)))

    @property
    def missed(self) -> int:
        """Levels that were left with a reading outside the tolerance."""
        return int(np.sum(~self.met & np.isfinite(self.achieved)))

    @property
    def pulsed(self) -> bool:
        """Whether the levels were reached by pulses, so that their cost is known."""
        return bool(np.isfinite(self.pulses).any())

    def coordinate(self, resistance: np.ndarray) -> np.ndarray:
        """Return resistances as u: 0 at the first level, 1 at the last, in the levels' space."""
        return np.asarray(self.window.coordinate(jnp.asarray(resistance), self.space))

    @property
    def errors(self) -> np.ndarray:
        """(repeats, n_levels): achieved less target, as fractions of the window in its space."""
        return self.coordinate(self.achieved) - np.linspace(0, 1, self.n_levels)

    def errors_after(self, delay: float) -> np.ndarray:
        """Return the errors of the read after a delay of the table.

        Raises:
            ValueError: A delay that the table does not hold.
        """
        if delay not in self.delays:
            held = ", ".join(f"{d:g}" for d in self.delays)
            raise ValueError(f"Argument `delay` must be one of {held} s, but is {delay:g}.")
        index = int(np.flatnonzero(self.delays == delay)[0])
        return self.coordinate(self.reread[index]) - np.linspace(0, 1, self.n_levels)

    @property
    def bow(self) -> np.ndarray:
        """(n_levels,): the systematic part of the errors, their mean over repeats."""
        return np.nanmean(self.errors, axis=0)

    @property
    def error_std(self) -> np.ndarray:
        """(n_levels,) ohm: the random part, standard deviation over repeats.

        Raises:
            ValueError: A table with one repeat.
        """
        self.check_repeats()
        return np.nanstd(self.achieved, axis=0, ddof=1)

    @property
    def nonlinearity(self) -> dict[str, float]:
        """``max``, ``rms`` and ``mean`` of |error|, bow and random part together.

        Fractions of the window, against the straight line of the targets, over all repeats. The
        published index of 4.95e-3 at 512 levels (about 2.5 pitches) does not say which it is.
        """
        deviation = np.abs(self.errors)
        return {
            "max": float(np.nanmax(deviation)),
            "rms": float(np.sqrt(np.nanmean(deviation**2))),
            "mean": float(np.nanmean(deviation)),
        }

    def check_repeats(self) -> None:
        """Raise unless some level was reached by two repeats, as a spread needs."""
        reached = np.isfinite(self.achieved).sum(axis=0)
        if reached.max() < 2:
            raise ValueError(
                "Argument `table` must have a level that 2 repeats reached, but has none "
                f"({self.repeats} repeats)."
            )

    # Storing.

    def to_arrays(self) -> dict[str, Any]:
        """Return the table as named arrays (see `from_arrays`)."""
        return {f.name: np.asarray(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> LevelTable:
        """Return the table that these arrays hold."""
        values = {f.name: arrays[f.name] for f in dataclasses.fields(cls)}
        for name in _TEXT:
            values[name] = str(values[name])
        for name in ("r_high", "r_low"):
            values[name] = float(values[name])
        return cls(**values)

    def to_dataset(self) -> xarray.Dataset:
        """Return the table as labelled arrays with units."""
        import xarray as xr

        both = ("repeat", "level")
        return xr.Dataset(
            {
                "target": ("level", self.target, {"units": "ohm"}),
                "achieved": (both, self.achieved, {"units": "ohm"}),
                "reading": (both, self.reading, {"units": "ohm"}),
                "met": (both, self.met),
                "pulses": (both, self.pulses, {"units": "1"}),
                "time": (both, self.time, {"units": "s"}),
                "energy": (both, self.energy, {"units": "J"}),
                "reread": (("delay", *both), self.reread, {"units": "ohm"}),
            },
            {"delay": ("delay", self.delays, {"units": "s"})},
            {name: getattr(self, name) for name in _TEXT},
        )


def fingerprint(device: AbstractDevice) -> str:
    """Return a name for a device and its parameters: its class and a hash of every value."""
    leaves, structure = jax.tree.flatten(eqx.filter(device, eqx.is_array))
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        # Single precision: the same device in float32 and in float64 is the same device.
        single = np.asarray(leaf, np.float32)
        digest.update(str(single.shape).encode() + single.tobytes())
    return f"{type(device).__name__}-{digest.hexdigest()[:12]}"
