"""`Measurements`: what is known of one kind of device, protocol by protocol."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._checks import check_choice
from ...runs._errors import nearest
from ._protocols import PROTOCOLS, check_measurement, measurement

if TYPE_CHECKING:
    import xarray


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Measurements:
    """Several measurements of the same kind of device, each checked and labelled, in SI.

    Each is an `xarray.Dataset` whose attribute ``protocol`` says what was done (`PROTOCOLS`); a
    missing value is nan and counted in the attribute ``missing`` of its variable. Measurements of
    several temperatures, or before and after a bake, stand side by side as several data sets.

    Attributes:
        parts: The data sets, each with a ``name`` of its own.
    """

    parts: tuple[xarray.Dataset, ...]

    def __init__(self, parts: Iterable[xarray.Dataset]):
        checked = [check_measurement(part) for part in parts]
        seen: dict[str, int] = {}
        for part in checked:
            # A name is also that of a group of results.zarr, where "/" would make another level.
            name = re.sub(r"[^\w.+-]+", "_", str(part.attrs.get("name") or part.attrs["protocol"]))
            seen[name] = seen.get(name, 0) + 1
            part.attrs["name"] = name if seen[name] == 1 else f"{name}_{seen[name]}"
        object.__setattr__(self, "parts", tuple(checked))

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[xarray.Dataset]:
        return iter(self.parts)

    def __add__(self, other: Measurements) -> Measurements:
        return Measurements((*self.parts, *other.parts))

    def __getitem__(self, name: str | int) -> xarray.Dataset:
        """Return a data set by its name or place."""
        if isinstance(name, int):
            return self.parts[name]
        if name not in self.names:
            raise KeyError(
                f"Argument `name` must be one of {', '.join(map(repr, self.names))}, "
                f"but is {name!r}{nearest(name, self.names)}."
            )
        return self.parts[self.names.index(name)]

    def __repr__(self) -> str:
        lines = [f"Measurements of {len(self)} data sets"]
        for part in self.parts:
            spec = PROTOCOLS[part.attrs["protocol"]]
            sizes = " x ".join(f"{part.sizes[dim]} {dim}" for dim in spec.dims)
            lines.append(f"  {part.attrs['name']}: {spec.name}, {sizes}")
        return "\n".join(lines)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the data sets, in order."""
        return tuple(part.attrs["name"] for part in self.parts)

    def of(self, protocol: str) -> tuple[xarray.Dataset, ...]:
        """Return the data sets of one protocol."""
        check_choice("protocol", protocol, PROTOCOLS)
        return tuple(part for part in self.parts if part.attrs["protocol"] == protocol)

    @property
    def iv_sweeps(self) -> tuple[xarray.Dataset, ...]:
        """Sweeps: ``voltage``, ``current`` and perhaps ``time`` (sweep, point)."""
        return self.of("iv_sweep")

    @property
    def pulse_trains(self) -> tuple[xarray.Dataset, ...]:
        """Trains: ``amplitude``, ``width``, ``conductance`` (train, pulse), ``pulses`` (train)."""
        return self.of("pulse_train")

    @property
    def single_pulses(self) -> tuple[xarray.Dataset, ...]:
        """Switching: ``voltage``, ``width``, ``resistance_before`` and ``_after`` (trial)."""
        return self.of("single_pulse")

    @property
    def retentions(self) -> tuple[xarray.Dataset, ...]:
        """Relaxation: ``time``, ``conductance`` (device, read) and perhaps ``level`` (device)."""
        return self.of("retention")

    @property
    def level_distributions(self) -> tuple[xarray.Dataset, ...]:
        """Levels: ``level``, ``conductance`` (sample)."""
        return self.of("level_distribution")

    @property
    def read_noises(self) -> tuple[xarray.Dataset, ...]:
        """Traces: ``time`` (sample), ``conductance`` (trace, sample)."""
        return self.of("read_noise")

    @property
    def cyclings(self) -> tuple[xarray.Dataset, ...]:
        """Endurance: ``resistance_low``, ``resistance_high`` (device, cycle)."""
        return self.of("cycling")

    def assume(self, **values: float | Mapping[str, float]) -> Measurements:
        """Return the same with values that the source does not give, noted as assumed.

        Args:
            **values: By name of the variable, a number in SI for every data set whose protocol has
                it, or {name of a data set: number}. It fills what is missing and changes nothing
                that was measured; a pulse that was not applied stays missing.

        Raises:
            ValueError: If no data set can have such a variable, or nothing of it is missing.
        """
        parts = list(self.parts)
        for name, value in values.items():
            by_name = value if isinstance(value, Mapping) else dict.fromkeys(self.names, value)
            for key in by_name:
                if key not in self.names:
                    raise ValueError(
                        f"Argument `{name}` must name data sets ({', '.join(self.names)}), but "
                        f"names {key!r}{nearest(key, self.names)}."
                    )
            filled = [
                _fill(part, name, by_name[key]) if key in by_name else None
                for key, part in zip(self.names, parts, strict=True)
            ]
            if all(part is None for part in filled):
                options = {
                    key
                    for part in parts
                    for key, variable in PROTOCOLS[part.attrs["protocol"]].variables.items()
                    if variable.quantity != "label" and not variable.whole
                }
                missing = "is known everywhere" if name in options else "is no variable of them"
                raise ValueError(
                    f"Argument `{name}` must be missing in some of the measurements, but {missing}"
                    f"{'' if name in options else nearest(name, options)}."
                )
            parts = [new or old for new, old in zip(filled, parts, strict=True)]
        return Measurements(parts)

    def fingerprint(self) -> str:
        """Return sixteen hexadecimal digits (SHA-256) of everything measured, to key caches by."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(f"{part.attrs['protocol']}\0".encode())
            for name in sorted(map(str, part.variables)):
                array = np.asarray(part[name].values)
                array = array.astype(str) if array.dtype.kind not in "iuf" else array
                digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def _fill(part: xarray.Dataset, name: str, value: float) -> xarray.Dataset | None:
    """Return the data set with a variable filled, or None where there is nothing to fill."""
    spec = PROTOCOLS[part.attrs["protocol"]]
    variable = spec.variables.get(name)
    if variable is None or variable.quantity == "label" or variable.whole:
        return None
    shape = tuple(part.sizes[dim] for dim in variable.dims)
    old = part[name].values if name in part.variables else np.full(shape, np.nan)
    missing = np.isnan(old)
    if spec.name == "pulse_train" and len(shape) == 2:
        missing &= part["pulse"].values <= part["pulses"].values[:, None]
    if not missing.any():
        return None
    attributes = {"units": variable.units, "long_name": variable.meaning}
    new = part.assign({name: (variable.dims, np.where(missing, value, old), attributes)})
    if name not in part.data_vars:
        new = new.set_coords(name) if name in part.coords else new
    notes = [note for note in (part.attrs.get("assumed"), f"{name} = {value:g}") if note]
    new.attrs["assumed"] = ", ".join(notes)
    return new


def with_sweep_rate(sweeps: xarray.Dataset, rate: float) -> xarray.Dataset:
    """Give I-V sweeps the times that a constant rate implies: ``t = sum |dV| / rate``.

    Args:
        sweeps: A measurement of protocol ``iv_sweep``.
        rate: [V/s], above zero.

    Returns:
        The same with `time`, zero at each first point.

    Raises:
        ValueError: If it is another protocol, or the voltage stands still between two points.
    """
    if sweeps.attrs.get("protocol") != "iv_sweep":
        raise ValueError(
            "Argument `sweeps` must be of protocol 'iv_sweep', but is of "
            f"{sweeps.attrs.get('protocol')!r}."
        )
    if not rate > 0:
        raise ValueError(f"Argument `rate` must be above 0 V/s, but is {rate}.")
    voltage = sweeps["voltage"].values
    steps = np.abs(np.diff(voltage, axis=1))
    if (steps == 0).any():
        row, column = (int(i) for i in np.argwhere(steps == 0)[0])
        raise ValueError(
            "Argument `sweeps` must have voltages that change from point to point, but is "
            f"{voltage[row, column]} V at points {column} and {column + 1} of sweep {row}."
        )
    time = np.concatenate([np.zeros((len(voltage), 1)), np.cumsum(steps, axis=1) / rate], axis=1)
    variable = PROTOCOLS["iv_sweep"].variables["time"]
    attributes = {"units": "s", "long_name": variable.meaning}
    result = sweeps.assign(time=(variable.dims, time, attributes))
    result.attrs["assumed"] = f"sweep rate = {rate:g} V/s"
    return check_measurement(result)


def level_distribution(retention: xarray.Dataset, read: int = 0) -> xarray.Dataset:
    """Return one read of a retention measurement as the distribution of levels at that time.

    Args:
        retention: A measurement of protocol ``retention`` with a ``level``.
        read: Which read, counted from 0; devices that were not read then are left out, and
            counted in the attribute ``left_out``.

    Raises:
        ValueError: If it is another protocol, has no levels or no such read.
    """
    if retention.attrs.get("protocol") != "retention" or "level" not in retention.variables:
        raise ValueError(
            "Argument `retention` must be of protocol 'retention' with a variable `level`, but "
            f"is of {retention.attrs.get('protocol')!r} with {', '.join(map(str, retention))}."
        )
    if not -retention.sizes["read"] <= read < retention.sizes["read"]:
        raise ValueError(f"Argument `read` must be below {retention.sizes['read']}, but is {read}.")
    part = retention.isel(read=read)
    there = np.isfinite(part["conductance"].values)
    names = [name for name in PROTOCOLS["level_distribution"].variables if name in part.variables]
    attrs = {key: retention.attrs[key] for key in ("source", "licence") if key in retention.attrs}
    values: dict[str, Any] = {name: part[name].values[there] for name in names}
    notes = {**attrs, "left_out": int((~there).sum())}
    return measurement("level_distribution", attrs=notes, **values)
