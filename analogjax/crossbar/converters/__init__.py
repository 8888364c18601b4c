"""Converters between numbers and signals: quantisation, errors from mechanism, bit slicing."""

from ._converter import AbstractConverter as AbstractConverter
from ._converter import ConverterDraw as ConverterDraw
from .adc import Adc as Adc
from .calibrate import calibrate_range as calibrate_range
from .dac import Dac as Dac
from .inl import AbstractInl as AbstractInl
from .inl import FlashInl as FlashInl
from .inl import PolynomialInl as PolynomialInl
from .inl import RampInl as RampInl
from .inl import SarInl as SarInl
from .inl import dnl as dnl
from .inl import inl as inl
from .inl import missing_codes as missing_codes
from .quantise import quantise as quantise
from .quantise import steps_per_unit as steps_per_unit
from .quantise import straight_through as straight_through
from .slicing import combine as combine
from .slicing import slice_inputs as slice_inputs
from .slicing import slice_levels as slice_levels
