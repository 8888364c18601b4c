"""What makes an array less than a matrix product, with cause and lifetime on every one."""

from ._base import AbstractCellEffect as AbstractCellEffect
from ._base import AbstractNonideality as AbstractNonideality
from ._base import AbstractReadNoise as AbstractReadNoise
from .access import AccessResistance as AccessResistance
from .drift import LogRelaxation as LogRelaxation
from .drift import PowerLawDrift as PowerLawDrift
from .drift import drift_compensation as drift_compensation
from .faults import EnduranceLoss as EnduranceLoss
from .faults import StuckCells as StuckCells
from .noise import FlickerNoise as FlickerNoise
from .noise import ShotNoise as ShotNoise
from .noise import ThermalNoise as ThermalNoise
from .noise import check_noise as check_noise
from .overview import Entry as Entry
from .overview import lifetimes as lifetimes
from .programmed import ProgrammedCells as ProgrammedCells
from .retention import ArrheniusRetention as ArrheniusRetention
from .retention import NeuroSimRetention as NeuroSimRetention
from .retention import acceleration_factor as acceleration_factor
from .telegraph import TelegraphNoise as TelegraphNoise
from .telegraph import telegraph_chain as telegraph_chain
from .telegraph import telegraph_spectrum as telegraph_spectrum
from .temperature import TemperatureCoefficient as TemperatureCoefficient
from .variation import LogNormalVariation as LogNormalVariation
from .variation import NormalVariation as NormalVariation
from .weight_noise import WeightNoise as WeightNoise
