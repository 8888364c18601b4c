"""Crossbar arrays: from levels to weights (wires, converters and domains follow)."""

from .chip import Chip as Chip
from .chip import age as age
from .chip import assign_levels as assign_levels
from .chip import chip_conductance as chip_conductance
from .chip import chip_fractions as chip_fractions
from .chip import chip_weights as chip_weights
from .chip import layer_key as layer_key
from .chip import program as program
from .hardware import DeviceStatistics as DeviceStatistics
from .hardware import Hardware as Hardware
from .hardware import check_bits as check_bits
from .level_errors import LevelErrors as LevelErrors
from .mapping import WeightMapping as WeightMapping
from .mapping import conductance_fraction as conductance_fraction
from .mapping import conductance_to_weights as conductance_to_weights
from .mapping import fractions_to_weights as fractions_to_weights
from .mapping import level_count as level_count
from .mapping import levels_to_conductance as levels_to_conductance
from .mapping import quantise as quantise
from .mapping import weight_scale as weight_scale
from .mapping import weights_to_levels as weights_to_levels
from .write_error import AbstractWriteError as AbstractWriteError
from .write_error import EmpiricalError as EmpiricalError
from .write_error import GaussianError as GaussianError
from .write_error import NoError as NoError
from .write_error import StudentTError as StudentTError
