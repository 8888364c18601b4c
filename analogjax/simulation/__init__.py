"""Simulation: `simulate` and `condition`, solvers, adjoints and the result."""

from .adjoints import ForwardMode as ForwardMode
from .adjoints import ReverseMode as ReverseMode
from .condition import condition as condition
from .flow import FlowMap as FlowMap
from .march import March as March
from .march import march as march
from .multirate import Multirate as Multirate
from .pulse_step import PulseStep as PulseStep
from .resolve import SOLVERS as SOLVERS
from .result import SimulationResult as SimulationResult
from .result import Status as Status
from .rosenbrock import Rosenbrock as Rosenbrock
from .simulate import Save as Save
from .simulate import simulate as simulate
from .solvers import Adaptive as Adaptive
from .solvers import Heun as Heun
from .solvers import RungeKutta4 as RungeKutta4
from .stochastic import EulerMaruyama as EulerMaruyama
from .switching import switching_time as switching_time
from .throughput import Throughput as Throughput
from .throughput import throughput as throughput
