"""Arrays with the resistance of their wires, solved exactly."""

from .solution import Currents as Currents
from .solution import Solution as Solution
from .solution import Voltages as Voltages
from .solve import effective_conductance as effective_conductance
from .solve import solve_crossbar as solve_crossbar
