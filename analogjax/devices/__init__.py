"""Devices: parameters with sources, state, dynamics and read-out."""

from ._base import AbstractDevice as AbstractDevice
from ._base import Path as Path
from ._compact import AbstractCompactDevice as AbstractCompactDevice
from ._parameters import Parameter as Parameter
from ._parameters import parameter as parameter
from ._presets import AbstractPresetDevice as AbstractPresetDevice
from ._programmed import AbstractProgrammedDevice as AbstractProgrammedDevice
from ._programmed import ProgrammedState as ProgrammedState
from .config import DeviceConfig as DeviceConfig
from .config import FilmConfig as FilmConfig
from .pcm import PCM as PCM
from .statistical import StatisticalDevice as StatisticalDevice
from .tio2 import FilmFields as FilmFields
from .tio2 import FourTerminalTiO2 as FourTerminalTiO2
from .variability import FILM_SPREAD as FILM_SPREAD
from .variability import Spread as Spread
from .variability import sample_devices as sample_devices
