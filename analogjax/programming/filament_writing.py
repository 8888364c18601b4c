"""Open-loop writing of filaments that differ: one pulse each, through the equations of JART VCM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import check_between, check_choice, check_float64, check_positive
from .._types import Array, Float, Scalar, ScalarLike
from ..devices import JART_SPREAD, JartVCM, Spread
from ._filament_flow import DEGREES, Flow, cells_from, distance_to_z, tabulate, z_to_distance
from .writing import AbstractWriting, Written

POLARITIES = ("set", "reset")
DRIVES = ("amplitude", "width")
"""What may be trained of a pulse."""
_SPREAD = ("radius", "disc_length", "n_min", "n_max")
_BLOCK = 4096
_LEAST = 1e-3
"""Least duration that a drive makes of the nominal one, and the inverse of the largest one."""


class FilamentWriting(AbstractWriting):
    """One rectangular pulse on each filament, which then holds what the pulse has left.

    The state ``y = ln N`` runs along ``dy/dt = velocity(v, y)`` of `JartVCM` from where every write
    begins to where the integral of ``dy / velocity`` is the duration of the pulse. The speeds are
    those of the device's equations, tabulated over amplitude, radius, disc length and the bound of
    the motion; see `analogjax.programming._filament_flow`. The result differs from `simulate` by
    at most 2e-4 of the window (64 devices of the published spread), and has exact derivatives by
    drives and all parameters of the device.

    Drives are ``{"amplitude": ...}``, the size of the voltage [V], and with
    ``trained=("amplitude", "width")`` also ``{"log_width": ...}``, the logarithm of the duration
    over the nominal one. Devices differ in radius, disc length, N_min and N_max (*frozen*). Below
    the smallest amplitude, at which nothing moves in time, a pulse is as good as the smallest one.
    With a `limit` the source gives amplitudes from 0 V to there, and drives beyond these are as
    good as they. Beyond `highest`, where the equations do not hold, or for a duration of less than
    1e-3 or more than 1e3 of the nominal one, a device counts as failed. The model moves nothing at
    0 V: there is no retention loss and `t` does not matter.

    Attributes:
        device: The nominal device.
        spread: Of `radius`, `disc_length`, `n_min` and `n_max`, with bounds.
        width: Nominal duration of a pulse [s].
        window: Conductances [S] of fractions 0 and 1.
        amplitudes: Those that make them, the smaller one first [V].
        begin: Vacancy density of the disc where writes begin [1e26 1/m^3]; None for each device's
            own N_min (SET) or N_max (RESET), where a long erase ends.
        limit: Largest amplitude that the source gives [V], or None.
    """

    device: JartVCM
    spread: Spread
    width: Scalar
    window: Float[Array, " 2"]
    amplitudes: Float[Array, " 2"]
    begin: Scalar | None
    limit: Scalar | None
    flow: Flow
    polarity: str = eqx.field(static=True)
    trained: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        device: JartVCM | None = None,
        *,
        spread: Spread = JART_SPREAD,
        polarity: str = "reset",
        amplitudes: tuple[float, float] = (0.8, 1.6),
        highest: float = 2.0,
        limit: float | None = None,
        width: float = 1e-6,
        begin: float | None = 0.06,
        trained: Sequence[str] = ("amplitude",),
        degrees: tuple[int, int, int, int] = DEGREES,
    ):
        """Make the writing and tabulate its speeds.

        Args:
            device: The nominal device; ``JartVCM()`` if None.
            spread: How filaments differ: any of radius, disc length, N_min and N_max, each with
                bounds. The default is what is published, see `JART_SPREAD`.
            polarity: ``"set"`` (negative voltage, conductance rises) or ``"reset"``.
            amplitudes: Smallest and largest size of the voltage [V]. The window is what the
                nominal device reaches with them.
            highest: Size of the voltage beyond which a device counts as failed [V]; at least the
                largest amplitude. For SET take at most 1.1 V, see `JartVCM`.
            limit: Largest amplitude that the source gives [V], from the largest of `amplitudes` to
                `highest`: training can then not lose a device to too large a drive. None for any.
            width: Nominal duration of a pulse [s].
            begin: Vacancy density where every write begins [1e26 1/m^3] (the default is the lower
                end of the window of Z. Yu et al., arXiv:2403.06746: their periphery sees to it);
                None for each device's own bound, where a long erase ends.
            trained: What drives hold: of ``"amplitude"`` and ``"width"``, the former always.
            degrees: Of the polynomials in amplitude, radius, disc length and bound: the accuracy.

        Raises:
            ValueError: Amplitudes that do not ascend from above 0 V, a width or density that is no
                such, a device with a compliance, a spread of something else or without bounds.
        """
        check_float64("A `FilamentWriting`")
        device = JartVCM() if device is None else device
        check_choice("polarity", polarity, POLARITIES)
        check_positive("width", width, "s")
        if not 0 < amplitudes[0] < amplitudes[1]:
            raise ValueError(
                "Argument `amplitudes` must ascend from above 0 V, but is "
                f"({amplitudes[0]:g}, {amplitudes[1]:g})."
            )
        check_between("highest", highest, amplitudes[1], np.inf, "V")
        if limit is not None:
            check_between("limit", limit, amplitudes[1], highest, "V")
        if begin is not None:
            check_positive("begin", begin, "1e26/m^3")
        if device.compliance is not None:
            raise ValueError("Argument `device` must have no compliance, but has one.")
        for name in trained:
            check_choice("trained", name, DRIVES)
        if "amplitude" not in trained:
            raise ValueError(f"Argument `trained` must hold 'amplitude', but is {tuple(trained)}.")
        for name in spread.names:
            check_choice("spread", name, _SPREAD)
            if name not in spread.bounds:
                raise ValueError(
                    f"Argument `spread` must have bounds for every name, but has none for {name}."
                )
        self.device, self.spread, self.polarity = device, spread, polarity
        self.width = jnp.asarray(width, float)
        self.begin = None if begin is None else jnp.asarray(begin, float)
        self.limit = None if limit is None else jnp.asarray(limit, float)
        self.trained = tuple(name for name in DRIVES if name in trained)
        first, low, high = _box(device, spread, self.sign, (amplitudes[0], highest), begin)
        cells = cells_from(first)
        self.flow = tabulate(
            device, self.sign, jnp.asarray(first), low, high, cells, tuple(degrees)
        )
        self.window = jnp.zeros(2)
        self.amplitudes = jnp.asarray(amplitudes, float)
        self.window = jnp.sort(_nominal(self, self.amplitudes))

    @property
    def sign(self) -> float:
        """Sign of the voltage: JART sets at negative ones."""
        return -1.0 if self.polarity == "set" else 1.0

    def plan(self, fractions: Float[Array, "*shape"]) -> dict[str, Float[Array, "*shape"]]:
        """Return the drives that bring nominal devices to these conductance fractions.

        Amplitudes at the nominal duration: from a table, then by false position to round-off.
        """
        wanted = jnp.clip(jnp.ravel(fractions).astype(float), 0.0, 1.0)
        # In blocks of one size, so that all layers share one compilation.
        blocks = jnp.pad(wanted, (0, -wanted.size % _BLOCK)).reshape(-1, _BLOCK)
        table = _table(self)
        found = jnp.concatenate([_planned(self, table, block) for block in blocks])
        amplitude = found[: wanted.size].reshape(fractions.shape)
        drives = {"amplitude": amplitude}
        if "width" in self.trained:
            drives["log_width"] = jnp.zeros_like(amplitude)
        return drives

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> dict[str, Float[Array, "..."]]:
        """Return how much the parameters of each device differ from the nominal ones."""
        drawn = {}
        for name in self.spread.names:
            nominal = jnp.broadcast_to(getattr(self.device, name), shape)
            # One stream per parameter, whatever else differs.
            own = jax.random.fold_in(key, _SPREAD.index(name))
            drawn[name] = self.spread.draw(name, nominal, key=own) - nominal
        return drawn

    def write(
        self,
        drives: dict[str, Float[Array, "*shape"]],
        drawn: dict[str, Float[Array, "*shape"]] | None,
        *,
        t: ScalarLike = 0.0,
    ) -> Written:
        """Write devices; see the class for what fails and what time does (nothing)."""
        amplitude = drives["amplitude"]
        shape = amplitude.shape
        lanes = {k: jnp.ravel(v).astype(float) for k, v in drives.items()}
        theirs = {k: jnp.broadcast_to(v, shape).ravel() for k, v in (drawn or {}).items()}
        conductance, ok = self._conductance(lanes, theirs)
        low, high = self.window
        fractions = (conductance - low) / (high - low)
        return Written(fractions.reshape(shape), ok.reshape(shape))

    def changed(self, relative: Mapping[str, Any]) -> FilamentWriting:
        """Return writing with the pulse's width or parameters of the device changed.

        The window stays what it was: the arrays that read the devices know nothing of it. Tables
        are made anew, about the time of a hundred thousand evaluations of the device's equations.
        """
        own = {k: v for k, v in relative.items() if k in JartVCM.PARAMETERS}
        other = {k: v for k, v in relative.items() if k not in own and k != "width"}
        if other:
            return super().changed(other)
        changed = self
        if "width" in relative:
            changed = eqx.tree_at(lambda w: w.width, changed, (1 + relative["width"]) * self.width)
        if own:
            device = self.device.replace(
                **{name: (1 + x) * getattr(self.device, name) for name, x in own.items()}
            )
            flow = self.flow
            flow = tabulate(
                device, self.sign, flow.first, flow.low, flow.high, flow.cells, flow.degrees
            )
            changed = eqx.tree_at(lambda w: (w.device, w.flow), changed, (device, flow))
        return changed

    # Inside.

    def _conductance(
        self, drives: Mapping[str, Array], drawn: Mapping[str, Array]
    ) -> tuple[Array, Array]:
        """Return conductances [S] and which devices were solved; others are where they began."""
        device, flow = self.device, self.flow
        amplitude = drives["amplitude"]
        if self.limit is not None:
            amplitude = jnp.clip(amplitude, 0.0, self.limit)
        log_width = drives.get("log_width", jnp.zeros_like(amplitude))
        none = jnp.zeros_like(amplitude)
        d_radius, d_length = drawn.get("radius", none), drawn.get("disc_length", none)
        n_min = device.n_min + drawn.get("n_min", none)
        n_max = device.n_max + drawn.get("n_max", none)
        nominal, end = (device.n_max, n_max) if self.sign < 0 else (device.n_min, n_min)
        d_end = jnp.log(end / nominal)
        ok = (amplitude >= 0) & (amplitude <= flow.high[0] + 1e-12)
        ok &= jnp.abs(log_width) <= -np.log(_LEAST)
        amplitude = jnp.where(ok, jnp.maximum(amplitude, flow.low[0]), flow.low[0])
        log_width = jnp.where(ok, log_width, 0.0)
        own_bound = n_min if self.sign < 0 else n_max
        y = jnp.log(own_bound if self.begin is None else jnp.broadcast_to(self.begin, end.shape))
        towards = -self.sign
        begun = distance_to_z((y - jnp.log(end)) * towards)
        at = jnp.stack([amplitude, d_radius, d_length, d_end])
        z = flow.advance(at, begun, self.width * jnp.exp(log_width))
        ok &= jnp.isfinite(z)
        after = jnp.log(end) + towards * z_to_distance(jnp.where(ok, z, 0.0))
        read = jax.vmap(lambda r, l, y: _conductance(device, r, l, y))
        g = read(device.radius + d_radius, device.disc_length + d_length, jnp.where(ok, after, y))
        return jnp.where(ok, g, jax.lax.stop_gradient(g)), ok


def _conductance(device: JartVCM, radius: Scalar, disc_length: Scalar, state: Scalar) -> Scalar:
    return device.replace(radius=radius, disc_length=disc_length).conductance(state)


def _box(
    device: JartVCM, spread: Spread, sign: float, amplitudes: tuple[float, float], begin: Any
) -> tuple[float, Array, Array]:
    """Return where the tables begin in z, and their smallest and largest places."""

    def ends(name):
        nominal = float(getattr(device, name))
        bounds = spread.bounds.get(name, (0.999 * nominal, 1.001 * nominal))
        low, high = (float(b) for b in bounds)
        return nominal, low, high

    target, source = ("n_max", "n_min") if sign < 0 else ("n_min", "n_max")
    nominal, low, high = ends(target)
    box = [amplitudes]
    for name in ("radius", "disc_length"):
        centre, least, most = ends(name)
        box.append((least - centre, most - centre))
    box.append((np.log(low / nominal), np.log(high / nominal)))
    start = ends(source)[1:] if begin is None else (begin, begin)
    # Where the motion is longest: it begins farthest from the bound.
    longest = np.log(high / start[0]) if sign < 0 else np.log(start[1] / low)
    lows, highs = zip(*box, strict=True)
    return -longest - 1e-3, jnp.asarray(lows, float), jnp.asarray(highs, float)


@eqx.filter_jit
def _nominal(writing: FilamentWriting, amplitude: Float[Array, " lanes"]) -> Array:
    """Return the conductances [S] that nominal devices are written to."""
    return writing._conductance({"amplitude": amplitude}, {})[0]


@eqx.filter_jit
def _table(writing: FilamentWriting) -> tuple[Array, Array]:
    """Return amplitudes [V] and what nominal devices become with them, rising [S]."""
    amplitudes = jnp.linspace(writing.amplitudes[0], writing.amplitudes[1], _BLOCK)
    # Falling for a RESET; rising, but for round-off where nothing moves.
    return amplitudes, jax.lax.cummax(-writing.sign * _nominal(writing, amplitudes))


@eqx.filter_jit
def _planned(
    writing: FilamentWriting, known: tuple[Array, Array], wanted: Float[Array, " lanes"]
) -> Array:
    """Return the amplitudes [V] of nominal devices for fractions of the window."""
    (amplitudes, table), (low, high), sign = known, writing.window, -writing.sign
    target = sign * (low + (high - low) * wanted)
    k = jnp.clip(jnp.searchsorted(table, target), 1, len(table) - 1)

    def illinois(_, at):
        (a, f), (b, g) = at
        # The false position, within the bracket and away from a slope of zero.
        moved = b - g * (b - a) / jnp.where(g == f, 1.0, g - f)
        moved = jnp.clip(moved, jnp.minimum(a, b), jnp.maximum(a, b))
        moved = jnp.where((g == f) | (g * f > 0), b, moved)
        late = sign * _nominal(writing, moved) - target
        crossed = late * g < 0
        # An end that stays twice counts half.
        kept = (jnp.where(crossed, b, a), jnp.where(crossed, g, 0.5 * f))
        return kept, (moved, late)

    start = tuple((amplitudes[j], table[j] - target) for j in (k - 1, k))
    return jax.lax.fori_loop(0, 9, illinois, start)[1][0]
