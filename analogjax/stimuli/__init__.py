"""What is applied to a device: pulse trains, sweeps, piecewise-linear drives, timed reads."""

from .drive import Drive as Drive
from .drive import ReadPulse as ReadPulse
from .drive import piecewise as piecewise
from .drive import pulse_train as pulse_train
from .drive import triangle_sweep as triangle_sweep
