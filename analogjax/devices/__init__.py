"""Devices: parameters with sources, state, dynamics and read-out."""

from ._base import AbstractDevice as AbstractDevice
from ._base import Path as Path
from ._compact import AbstractCompactDevice as AbstractCompactDevice
from ._parameters import Parameter as Parameter
from ._parameters import parameter as parameter
from .config import FilmConfig as FilmConfig
from .jart import JartVCM as JartVCM
from .ion_drift import LinearIonDrift as LinearIonDrift
from .nb_srtio3 import NbSrTiO3 as NbSrTiO3
from .nb_srtio3 import PulseLaw as PulseLaw
from .pulse_steps import STEP_SPREADS as STEP_SPREADS
from .pulse_steps import AbstractPulseStepDevice as AbstractPulseStepDevice
from .pulse_steps import ConstantStep as ConstantStep
from .pulse_steps import ExpStep as ExpStep
from .pulse_steps import LinearStep as LinearStep
from .pulse_steps import SoftBounds as SoftBounds
from .schottky import SchottkyInterface as SchottkyInterface
from .stanford import StanfordPKU as StanfordPKU
from .tio2 import FilmFields as FilmFields
from .tio2 import FourTerminalTiO2 as FourTerminalTiO2
from .variability import FILM_SPREAD as FILM_SPREAD
from .variability import Spread as Spread
from .variability import sample_devices as sample_devices
from .vteam import TEAM as TEAM
from .vteam import VTEAM as VTEAM
from .yakopcic import Yakopcic as Yakopcic
