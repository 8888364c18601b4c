"""Physical constants (CODATA 2018; the values that fix the SI are exact)."""

ELEMENTARY_CHARGE = 1.602176634e-19
"""Elementary charge q [C] (exact)."""

BOLTZMANN = 1.380649e-23
"""Boltzmann constant k [J/K] (exact)."""

BOLTZMANN_EV = BOLTZMANN / ELEMENTARY_CHARGE
"""Boltzmann constant [eV/K]."""

VACUUM_PERMITTIVITY = 8.8541878128e-12
"""Permittivity of the vacuum eps0 [F/m]."""

ROOM_TEMPERATURE = 300.0
"""Reference temperature of every preset [K]."""
