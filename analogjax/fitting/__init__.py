"""Fitting: measured values to the parameters of a device, and how sure they are."""

from .adam import Adam as Adam
from .bijections import Bijection as Bijection
from .estimate import Estimate as Estimate
from .fit import fit as fit
from .identifiability import Combination as Combination
from .identifiability import Identifiability as Identifiability
from .levenberg import LevenbergMarquardt as LevenbergMarquardt
from .likelihood import AbstractStatisticalModel as AbstractStatisticalModel
from .likelihood import maximum_likelihood as maximum_likelihood
from .measured import as_objectives as as_objectives
from .noise import Noise as Noise
from .objectives import AbstractObjective as AbstractObjective
from .profile import Profile as Profile
from .pulsed import PulseTrain as PulseTrain
from .pulsed import Sweep as Sweep
from .pulsed import single_pulses as single_pulses
from .residuals import Prior as Prior
from .result import FitError as FitError
from .result import FitResult as FitResult
from .timed import Retention as Retention
from .timed import SwitchingTimes as SwitchingTimes
