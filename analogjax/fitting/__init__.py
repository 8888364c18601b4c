"""Fitting: measured values to the parameters of a device, and how sure they are."""

from .adam import Adam as Adam
from .bands import Band as Band
from .bijections import Bijection as Bijection
from .fit import fit as fit
from .identifiability import Combination as Combination
from .identifiability import Identifiability as Identifiability
from .levenberg import LevenbergMarquardt as LevenbergMarquardt
from .measured import as_objectives as as_objectives
from .noise import Noise as Noise
from .objectives import AbstractObjective as AbstractObjective
from .posterior import Posterior as Posterior
from .profile import Profile as Profile
from .pulsed import PulseTrain as PulseTrain
from .pulsed import Sweep as Sweep
from .pulsed import single_pulses as single_pulses
<<<<<<< HEAD
from .ranking import Candidate as Candidate
from .ranking import Ranking as Ranking
from .ranking import rank_models as rank_models
=======
from .report import report_fit as report_fit
>>>>>>> bayes
from .residuals import Prior as Prior
from .result import FitError as FitError
from .result import FitResult as FitResult
from .timed import Retention as Retention
from .timed import SwitchingTimes as SwitchingTimes
from .walk import RandomWalk as RandomWalk
from .walk import estimate_walk as estimate_walk
