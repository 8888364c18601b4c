"""Data sets: images and measurements to train and test on, found, downloaded or embedded."""

from ._dataset import Dataset as Dataset
from ._dataset import Split as Split
from ._images import augment as augment
from ._images import check_images as check_images
from ._images import check_labels as check_labels
from ._images import to_float as to_float
from ._load import NAMES as NAMES
from ._load import load as load
from ._splits import standardised_split as standardised_split
from .config import DataConfig as DataConfig
from .config import MeasurementsConfig as MeasurementsConfig
from .measurements import MEASURED_SETS as MEASURED_SETS
from .measurements import PROTOCOLS as PROTOCOLS
from .measurements import Measurements as Measurements
from .measurements import check_measurement as check_measurement
from .measurements import level_distribution as level_distribution
from .measurements import load_measured as load_measured
from .measurements import measurement as measurement
from .measurements import read_folder as read_folder
from .measurements import read_keithley as read_keithley
from .measurements import read_keysight as read_keysight
from .measurements import read_table as read_table
from .measurements import with_sweep_rate as with_sweep_rate
