"""What DACs and ADCs share: their magnitudes, and what is drawn of each line."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..._checks import check_whole
from ..._types import Array, Float, Scalar
from .._optional import optional_error
from ..write_error import FLOAT
from .inl import MAX_INL_BITS, AbstractInl
from .quantise import steps_per_unit


class ConverterDraw(NamedTuple):
    """What is random about the converters of a chip (lifetime: frozen), None for what is not.

    Attributes:
        gain: Standard normal number per line.
        offset: Standard normal number per line.
        inl: What `AbstractInl.draw` returned.
    """

    gain: Float[Array, " lines"] | None
    offset: Float[Array, " lines"] | None
    inl: Float[Array, "..."] | None


class AbstractConverter(eqx.Module):
    """A bank of converters, one per line, of signals normalised to full scale.

    | part | cause | lifetime | unit |
    | --- | --- | --- | --- |
    | quantisation | circuit | - | `bits` |
    | gain, offset | circuit | frozen | full scale |
    | nonlinearity | circuit | frozen | LSB |
    | noise | circuit | fresh | full scale |

    Codes of a bipolar converter are offset binary, ``k = n x + 2^(b - 1)`` with
    ``n = 2^(b - 1) - 1``; code 0 is not used. Those of a unipolar one are ``n x``, ``n = 2^b - 1``.

    Attributes:
        bits: Number of bits; None for no quantisation.
        gain_std: Standard deviation of the relative gain error; None for none.
        offset_std: Standard deviation of the offset, in full scales; None for none.
        inl: Integral nonlinearity; None for none.
        noise_std: Standard deviation of the noise of one conversion, in full scales; None for none.
    """

    cause: ClassVar[str] = "circuit"
    lifetimes: ClassVar[dict[str, str]] = {
        "gain_std": "frozen",
        "offset_std": "frozen",
        "inl": "frozen",
        "noise_std": "fresh",
    }

    # Defaults, so that a type checker sees the arguments of `__init__` as optional.
    bits: int | None = eqx.field(static=True, default=8)
    gain_std: Scalar | None = None
    offset_std: Scalar | None = None
    inl: AbstractInl | None = None
    noise_std: Scalar | None = None

    def __init__(
        self,
        bits: int | None = 8,
        *,
        gain_std: Any = 0,
        offset_std: Any = 0,
        inl: AbstractInl | None = None,
        noise_std: Any = 0,
    ):
        """Make converters.

        The number 0 leaves a part out. A JAX array of value 0 keeps it, with a gradient at 0.

        Args:
            bits: Number of bits, 2 to 24 (at most 16 with `inl`; 1 is enough for unipolar signals);
                None for no quantisation, only the clip at full scale.
            gain_std: Standard deviation of the relative gain error.
            offset_std: Standard deviation of the offset, in full scales.
            inl: Integral nonlinearity.
            noise_std: Standard deviation of the noise of one conversion, in full scales.

        Raises:
            ValueError: Bits that are no such, a negative standard deviation, or a nonlinearity
                without bits.
        """
        if bits is not None:
            steps_per_unit(bits, bipolar=False)
        if inl is not None:
            check_whole("bits", bits, 1, MAX_INL_BITS)
        self.bits = bits
        self.gain_std = optional_error("gain_std", gain_std)
        self.offset_std = optional_error("offset_std", offset_std)
        self.inl = inl
        self.noise_std = optional_error("noise_std", noise_std)

    @abc.abstractmethod
    def __call__(
        self,
        x: Float[Array, "*batch lines"],
        drawn: ConverterDraw | None = None,
        *,
        key: PRNGKeyArray | None = None,
        bipolar: bool = True,
    ) -> Float[Array, "*batch lines"]:
        """Return the converted signals, in full scales."""

    @property
    def errs(self) -> bool:
        """Whether there is anything beside quantisation: errors of single lines, or noise."""
        parts = (self.gain_std, self.offset_std, self.inl, self.noise_std)
        return any(part is not None for part in parts)

    def lsb(self, *, bipolar: bool = True) -> float:
        """Return one LSB in full scales; 0 without quantisation."""
        return 0.0 if self.bits is None else 1.0 / steps_per_unit(self.bits, bipolar=bipolar)

    def draw(self, key: PRNGKeyArray, lines: int) -> ConverterDraw | None:
        """Return what is random about so many converters, float32; None if nothing is.

        The numbers are standard normal: they do not depend on magnitudes, nor those of one part on
        whether another part is there.
        """
        for_gain, for_offset, for_inl = jax.random.split(key, 3)

        def normal(key, std):
            return None if std is None else jax.random.normal(key, (lines,), FLOAT)

        drawn = ConverterDraw(
            gain=normal(for_gain, self.gain_std),
            offset=normal(for_offset, self.offset_std),
            inl=None
            if self.inl is None or self.bits is None
            else self.inl.draw(for_inl, lines, self.bits),
        )
        return None if not jax.tree.leaves(drawn) else drawn

    def _errors(
        self, x: Array, drawn: ConverterDraw | None
    ) -> tuple[Array | None, Array | None, Array | None]:
        """Return gain and offset as `x` is shaped, and the nonlinearity of every code [LSB]."""
        if drawn is None:
            drawn = ConverterDraw(None, None, None)
        lines = x.shape[-1]

        def along(name, std, numbers):
            if std is None or numbers is None:
                return None
            if numbers.shape != (lines,):
                raise ValueError(
                    f"Argument `drawn` must be of {lines} lines, as `x`, "
                    f"but its {name} is of shape {numbers.shape}."
                )
            return jnp.broadcast_to(std.astype(x.dtype) * numbers.astype(x.dtype), x.shape)

        gain = along("gain", self.gain_std, drawn.gain)
        offset = along("offset", self.offset_std, drawn.offset)
        if self.inl is None or self.bits is None:
            return gain, offset, None
        numbers = None if drawn.inl is None else drawn.inl.astype(x.dtype)
        curve = self.inl.curve(numbers, lines, self.bits).astype(x.dtype)
        if curve.shape[0] != lines:
            raise ValueError(
                f"Argument `drawn` must be of {lines} lines, as `x`, "
                f"but its inl is of {curve.shape[0]}."
            )
        return gain, offset, curve

    def _noisy(self, x: Array, key: PRNGKeyArray | None) -> Array:
        if key is None or self.noise_std is None:
            return x
        return x + self.noise_std.astype(x.dtype) * jax.random.normal(key, x.shape, x.dtype)


def at_code(table: Float[Array, "lines codes"], code: Array) -> Array:
    """Return the entry of each line's table at codes (..., lines), which must be codes."""
    lines, codes = table.shape
    first = jnp.arange(lines, dtype=code.dtype) * jnp.asarray(codes, code.dtype)
    index = code + jnp.broadcast_to(first, code.shape)
    return table.reshape(-1).at[index].get(mode="promise_in_bounds")
