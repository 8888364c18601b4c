"""Programming: figures of merit of a pulse response (levels and control follow)."""

from .indices import closure as closure
from .indices import nonlinearity as nonlinearity
from .indices import pearson as pearson
from .indices import rms_difference as rms_difference
from .indices import window as window
from .indices import window_ratio as window_ratio
