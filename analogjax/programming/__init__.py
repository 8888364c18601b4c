"""Programming: levels by write-verify, reduced models, figures of merit of a pulse response."""

from .config import ControllerConfig as ControllerConfig
from .config import NoiseConfig as NoiseConfig
from .config import ProgrammingConfig as ProgrammingConfig
from .config import level_tables as level_tables
from .controllers import AbstractController as AbstractController
from .controllers import Pulse as Pulse
from .controllers import WriteVerify as WriteVerify
from .distil import distil as distil
from .indices import closure as closure
from .indices import nonlinearity as nonlinearity
from .indices import pearson as pearson
from .indices import rms_difference as rms_difference
from .indices import window as window
from .indices import window_ratio as window_ratio
from .levels import LevelTable as LevelTable
from .levels import fingerprint as fingerprint
from .noise import ProgrammingNoise as ProgrammingNoise
from .noise import no_noise as no_noise
from .program import DELAYS as DELAYS
from .program import Programmer as Programmer
from .program import make_programmer as make_programmer
from .program import program_levels as program_levels
<<<<<<< HEAD
from .statistics import absolute_error as absolute_error
from .statistics import cumulative as cumulative
from .statistics import describe as describe
from .statistics import monotone_fraction as monotone_fraction
from .statistics import overlap as overlap
from .statistics import overlap_fraction as overlap_fraction
from .statistics import repeat_difference as repeat_difference
from .statistics import resolvable_levels as resolvable_levels
=======
from .reduced import ReducedDevice as ReducedDevice
from .reduced_error import reduced_error as reduced_error
from .sequences import PulseRecord as PulseRecord
from .sequences import record_pulses as record_pulses
>>>>>>> reduced
from .targets import Window as Window
from .targets import condition_and_window as condition_and_window
from .targets import find_window as find_window
