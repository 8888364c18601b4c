"""The current domain: voltages in, currents summed on bit lines, digital numbers out.

In the order of the signal, every term on or off:

1. DAC: ``V_i = v_read dac(x_i)``;
2. drivers and wires: the cells see what is left of the voltages (`Wires`);
3. cells: ohmic, or any law ``I(v, G)`` of `analogjax.crossbar.cells`;
4. noise of the cells on every bit line, and noise at the output (`output_noise`);
5. subtraction of the lines of a weight, before the converters ("analog") or after them ("digital");
6. amplifier: finite gain, offset, bandwidth, rails and noise, or none;
7. ADC.

Signed inputs are voltages of either sign ("bipolar"), or two reads of which the second is
subtracted digitally ("two_phase").
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_choice, check_not_negative, check_positive, check_whole
from .._types import Array, Float, Scalar, ScalarLike
from ._normal import fresh_normal
from ._optional import as_leaf
from .amplifier import Transimpedance
from .cells import AbstractCell
from .converters import Adc, Dac, combine, slice_inputs
from .domain import AbstractDomain, Weights
from .mirror import CurrentMirror
from .nonidealities import AbstractReadNoise, check_noise
from .nonidealities._base import safe_sqrt
from .wires import effective_conductance, solve_crossbar


class Wires(eqx.Module):
    """Resistances along the lines of an array [ohm]; see `analogjax.crossbar.solve_crossbar`."""

    r_word_line: Scalar = eqx.field(converter=as_leaf)
    r_bit_line: Scalar = eqx.field(converter=as_leaf)
    r_source: Scalar = eqx.field(converter=as_leaf, default=0.0)
    r_sense: Scalar = eqx.field(converter=as_leaf, default=0.0)
    drive: str = eqx.field(static=True, default="left")

    def __check_init__(self):
        """Raise unless the resistances are such."""
        for name in ("r_word_line", "r_bit_line", "r_source", "r_sense"):
            check_not_negative(name, getattr(self, name), "ohm")
        check_choice("drive", self.drive, ("left", "both"))

    def options(self, dtype: Any) -> dict[str, Any]:
        """Return the arguments of the solvers of `analogjax.crossbar`, in a float type."""
        names = ("r_word_line", "r_bit_line", "r_source", "r_sense")
        return {name: getattr(self, name).astype(dtype) for name in names} | {"drive": self.drive}


class CurrentArray(eqx.Module):
    """What all reads of one programmed array share.

    Attributes:
        g: Conductance [S] that each input has to each line, or, where the lines do not matter by
            themselves, to each output: lines already subtracted.
        conductance_sum: Sum over each converted line [S].
        read_variance: Variance [S^2] of single reads, of the shape of `g`; None for none.
        devices: Devices of a weight.
    """

    g: Float[Array, "rows lines"]
    conductance_sum: Float[Array, " converted"]
    read_variance: Float[Array, "rows lines"] | None
    devices: int = eqx.field(static=True)

    def subtract(self, lines: Float[Array, "batch lines"]) -> Float[Array, "batch outputs"]:
        """Return the differences of the lines of each output."""
        return _pairs(lines, self.devices, jnp.subtract)

    def add(self, lines: Float[Array, "#batch lines"]) -> Float[Array, "#batch outputs"]:
        """Return the sums of the lines of each output."""
        return _pairs(lines, self.devices, jnp.add)


def _pairs(lines, devices, operation):
    """Join the lines of each output: a pair, or one line and the common reference, the last."""
    if devices == 2:
        return operation(lines[:, 0::2], lines[:, 1::2])
    return operation(lines[:, :-1], lines[:, -1:])


_ONE_SIGN = ("digital", "two_phase")
"""How lines and inputs are read where currents can have one sign only."""


class CurrentDomain(AbstractDomain):
    """Voltages in, currents out: the domain of most memristor arrays.

    Attributes:
        v_read: Voltage of a fully driven line [V].
        dac: Converters of the word lines; None for exact inputs.
        wires: Resistances along the lines; None for none.
        cell: Law of the cells; None for ohmic ones.
        noise: Fresh noise of the cells.
        output_noise: Standard deviation of a fresh noise on every output, in units of the current
            of one fully driven cell at full scale.
        amplifier: Between bit lines and converters, or a mirror (with ``subtract="digital"`` and
            ``signed_inputs="two_phase"``); None for an ideal amplifier.
        adc: Converters of the bit lines; None for exact outputs.
        output_range: Current at which a converter ends, in the same units; None for all rows at
            full scale, which loses nothing and wastes codes.
        bandwidth: Noise bandwidth of a read [Hz].
        temperature: Of cells and amplifiers [K].
        subtract: Where the lines of a weight are subtracted, ``"analog"`` or ``"digital"``.
        signed_inputs: ``"bipolar"`` or ``"two_phase"``.
        input_bits: Bits of inputs that are fed in slices; None for inputs in one piece.
        slice_bits: Bits of the magnitude in one slice; a DAC then has one bit more, for the sign.
    """

    v_read: Scalar
    dac: Dac | None
    wires: Wires | None
    cell: AbstractCell | None
    noise: tuple[AbstractReadNoise, ...]
    output_noise: Scalar
    amplifier: Transimpedance | CurrentMirror | None
    adc: Adc | None
    output_range: Scalar | None
    bandwidth: Scalar
    temperature: Scalar
    subtract: str = eqx.field(static=True)
    signed_inputs: str = eqx.field(static=True)
    input_bits: int | None = eqx.field(static=True)
    slice_bits: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        v_read: ScalarLike = 0.2,
        dac: Dac | None = None,
        wires: Wires | None = None,
        cell: AbstractCell | None = None,
        noise: tuple[AbstractReadNoise, ...] = (),
        output_noise: ScalarLike = 0.0,
        amplifier: Transimpedance | CurrentMirror | None = None,
        adc: Adc | None = None,
        output_range: ScalarLike | None = None,
        bandwidth: ScalarLike = 10e6,
        temperature: ScalarLike = 300.0,
        subtract: str = "analog",
        signed_inputs: str = "bipolar",
        input_bits: int | None = None,
        slice_bits: int = 1,
    ):
        """Make a current domain; what is left out is ideal. The voltage of a read is assumed.

        Raises:
            ValueError: A quantity or a choice that is no such.
        """
        check_positive("v_read", v_read, "V")
        check_not_negative("output_noise", output_noise)
        check_positive("bandwidth", bandwidth, "Hz")
        check_positive("temperature", temperature, "K")
        check_noise(noise)
        check_choice("subtract", subtract, ("analog", "digital"))
        check_choice("signed_inputs", signed_inputs, ("bipolar", "two_phase"))
        if output_range is not None:
            check_positive("output_range", output_range)
        if isinstance(amplifier, CurrentMirror) and (subtract, signed_inputs) != _ONE_SIGN:
            raise ValueError(
                "Arguments `subtract` and `signed_inputs` must be 'digital' and 'two_phase' with a "
                f"`CurrentMirror`, but are {subtract!r} and {signed_inputs!r}."
            )
        self.v_read = as_leaf(v_read)
        self.dac, self.wires, self.cell = dac, wires, cell
        self.noise = tuple(noise)
        self.output_noise = as_leaf(output_noise)
        self.amplifier, self.adc = amplifier, adc
        self.output_range = None if output_range is None else as_leaf(output_range)
        self.bandwidth, self.temperature = as_leaf(bandwidth), as_leaf(temperature)
        self.subtract, self.signed_inputs = subtract, signed_inputs
        self.input_bits, self.slice_bits = input_bits, slice_bits
        if input_bits is not None:
            check_whole("input_bits", input_bits, 2)
            check_whole("slice_bits", slice_bits, 1, input_bits - 1)
            if dac is not None and dac.bits != slice_bits + 1:
                raise ValueError(
                    f"Argument `dac` must have {slice_bits + 1} bits for slices of {slice_bits} "
                    f"and a sign, but has {dac.bits}."
                )

    @property
    def outputs_apart(self) -> bool:
        """Without wires and without errors of the DACs, which an array's outputs share."""
        return self.wires is None and (self.dac is None or not self.dac.errs)

    def unconverted(self) -> CurrentDomain:
        """Return the same domain without its ADCs."""
        return eqx.tree_at(lambda d: d.adc, self, None, is_leaf=lambda part: part is None)

    def draw(self, key: PRNGKeyArray, rows: int, outputs: int, devices: int) -> PyTree:
        """Return the frozen errors of drivers, amplifiers and converters."""
        lines = outputs if self.subtract == "analog" else outputs * devices + (devices == 1)
        keys = jax.random.split(key, 3)
        return {
            name: None if part is None else part.draw(k, n)
            for name, part, n, k in (
                ("dac", self.dac, rows, keys[0]),
                ("amplifier", self.amplifier, lines, keys[1]),
                ("adc", self.adc, lines, keys[2]),
            )
        }

    def prepare(
        self,
        g: Weights,
        reference: Float[Array, " rows"] | None,
        read_variance: Weights | None,
    ) -> CurrentArray:
        """Return the conductances that the array multiplies with; with wires, effective ones."""
        devices, variance = g.shape[-1], None
        if reference is None and not self._by_lines and self.wires is None:
            # Nothing asks for the lines side by side, which would take a copy of them.
            total = g.sum((0, 2))
            variance = None if read_variance is None else read_variance.sum(2)
            return CurrentArray(g[..., 0] - g[..., 1], total, variance, devices)
        lines = g.reshape(g.shape[0], -1)
        if read_variance is not None:
            variance = read_variance.reshape(lines.shape)
        if reference is not None:
            lines = jnp.concatenate([lines, reference[:, None]], axis=1)
            if variance is not None:
                variance = jnp.pad(variance, ((0, 0), (0, 1)))
        # What an amplifier sees of a line is taken without the wires in series.
        total = lines.sum(0, keepdims=True)
        if self.subtract == "analog":
            total = _pairs(total, devices, jnp.add)
        if self.wires is not None and self.cell is None:
            lines = effective_conductance(lines, **self.wires.options(g.dtype), throw=False)
        if not self._by_lines:
            lines = _pairs(lines, devices, jnp.subtract)
            variance = None if variance is None else _pairs(variance, devices, jnp.add)
        return CurrentArray(lines, total[0], variance, devices)

    @property
    def _by_lines(self) -> bool:
        """Whether the current of every line matters, not just the differences."""
        return self.cell is not None or bool(self.noise) or self.subtract == "digital"

    def multiply(
        self,
        x: Float[Array, "batch rows"],
        prepared: CurrentArray,
        drawn: PyTree,
        *,
        unit: ScalarLike,
        output_range: ScalarLike | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "batch outputs"]:
        """Return what the read-out says [S]; see `AbstractDomain`."""
        if self.signed_inputs == "bipolar" and self.input_bits is None:
            return self._read(x, prepared, drawn, unit, output_range, key)
        parts, significances = x[None], jnp.ones(1, x.dtype)
        if self.input_bits is not None:
            parts, significances = slice_inputs(x, self.input_bits, self.slice_bits)
        if self.signed_inputs == "two_phase":
            parts = jnp.concatenate([jnp.maximum(parts, 0), jnp.maximum(-parts, 0)])
            significances = jnp.concatenate([significances, -significances])
        # One read after another on the same circuits; each has its own fresh noise.
        reads = self._read(parts.reshape(-1, x.shape[1]), prepared, drawn, unit, output_range, key)
        return combine(reads.reshape(parts.shape[0], x.shape[0], -1), significances)

    def _read(self, x, prepared, drawn, unit, output_range, key):
        drawn = {"dac": None, "amplifier": None, "adc": None} if drawn is None else drawn
        keys = [None] * 4 if key is None else jax.random.split(key, 4)
        driven = x if self.dac is None else self.dac(x, drawn["dac"], key=keys[0])
        v_read = self.v_read.astype(x.dtype)
        i = self._currents(driven * v_read, prepared, unit, keys[1])
        if output_range is None:
            output_range = x.shape[1] if self.output_range is None else self.output_range
        full = jnp.asarray(output_range, x.dtype) * jnp.asarray(unit, x.dtype)
        if self.amplifier is not None:
            i = self.amplifier.read_out(
                i,
                prepared.conductance_sum,
                drawn["amplifier"],
                key=keys[2],
                temperature=self.temperature,
            )
        z = i / (v_read * full)
        if self.adc is not None:
            z = self.adc(z, drawn["adc"], key=keys[3])
        y = z * full
        return y if self.subtract == "analog" else prepared.subtract(y)

    def _currents(self, v, prepared, unit, key):
        """Return the currents [A] of the lines or differences that are converted."""
        if self.cell is None:
            i = v @ prepared.g
        elif self.wires is None:
            # A law is not a product: a few vectors at a time, each with a current for every cell.
            law = jax.vmap(jax.vmap(self.cell.current, in_axes=(None, 0)))
            i = jax.lax.map(lambda one: law(one, prepared.g).sum(0), v, batch_size=16)
        else:
            solution = solve_crossbar(
                prepared.g, v, cell=self.cell, throw=False, **self.wires.options(v.dtype)
            )
            i = solution.currents.output
        i = i.astype(v.dtype)
        by_lines, analog = self._by_lines, self.subtract == "analog"
        if key is None:
            return prepared.subtract(i) if by_lines and analog else i
        keys = jax.random.split(key, 1 + len(self.noise))
        variance = jnp.zeros((1, 1), v.dtype)
        conditions = {"bandwidth": self.bandwidth, "temperature": self.temperature}
        for given, own in zip(self.noise, keys[1:], strict=True):
            noise = given.cast(v.dtype)
            if type(noise).sample is AbstractReadNoise.sample:
                variance = variance + noise.variance(v, prepared.g, i, **conditions)
            else:
                i = i + noise.sample(own, v, prepared.g, i, **conditions)
        if prepared.read_variance is not None:
            variance = variance + v**2 @ prepared.read_variance
        if by_lines and analog:
            i = prepared.subtract(i)
            variance = prepared.add(
                jnp.broadcast_to(variance, (variance.shape[0], prepared.g.shape[1]))
            )
        only_output = not self.noise and prepared.read_variance is None
        output = self.output_noise.astype(v.dtype) * self.v_read.astype(v.dtype) * unit
        spread = output if only_output else safe_sqrt(variance + output**2)
        return i + spread * fresh_normal(keys[0], i.shape, i.dtype)
