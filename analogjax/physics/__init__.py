"""Equations of the oxide: grid, current continuity, vacancy transport, heat, local laws."""

from . import conduction as conduction
from . import contacts as contacts
from . import cosine as cosine
from . import elliptic as elliptic
from . import exact as exact
from . import grid as grid
from . import heat as heat
from . import laws as laws
from . import rectifying as rectifying
from . import transistor as transistor
from . import transport as transport
