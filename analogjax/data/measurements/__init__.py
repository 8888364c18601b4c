"""Measured devices: one labelled form, with units, and readers for what instruments write."""

from ._folder import read_folder as read_folder
from ._instruments import read_keithley as read_keithley
from ._instruments import read_keysight as read_keysight
from ._measurements import Measurements as Measurements
from ._measurements import level_distribution as level_distribution
from ._measurements import with_sweep_rate as with_sweep_rate
from ._protocols import PROTOCOLS as PROTOCOLS
from ._protocols import Protocol as Protocol
from ._protocols import Variable as Variable
from ._protocols import check_measurement as check_measurement
from ._protocols import measurement as measurement
from ._read import read_table as read_table
from ._sets import MEASURED_SETS as MEASURED_SETS
from ._sets import load_measured as load_measured
from ._units import Unit as Unit
from ._units import parse_quantity as parse_quantity
from ._units import parse_unit as parse_unit
from ._units import units as units
