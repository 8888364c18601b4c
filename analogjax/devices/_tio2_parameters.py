"""Parameters of the four-terminal TiO2-x device, with their sources, and its presets.

Geometry, film thickness, pulse width, absolute resistance, substrate and retention of the published
device are not public: every value marked *assumed* is ours, tuned so that the model shows the
published dependence on amplitude (default) or retention (``nonvolatile``).
"""

from __future__ import annotations

from ._parameters import Parameter

_JART = "published listing of JART VCM v1b (HfO2/TiOx filament); taken over, assumed for this film"

_LANDOLT = "Landolt-Boernstein TiO2-x transport table (text read), scaled to 300 K; value assumed"

PARAMETERS: dict[str, Parameter] = {
    "activation_energy": Parameter(
        0.50, "eV", "barrier of a vacancy hop, effective", "assumed; plausible 0.4 to 1.1 eV"
    ),
    "attempt_frequency": Parameter(
        1e13, "1/s", "attempt frequency of a hop", "phonon frequency, quoted from memory"
    ),
    "hop_distance": Parameter(
        0.3e-9, "m", "hop distance a", "O-O distance of rutile, about 0.28 nm"
    ),
    "charge_number": Parameter(2.0, "-", "charge number z of the vacancy", "V_O with two charges"),
    "reference_density": Parameter(
        1e26, "1/m^3", "density at c = 1", "1.8e25 to 2e26 measured in rutile (Landolt-Boernstein)"
    ),
    "c_max": Parameter(10.0, "-", "density of a full cell over the reference", "assumed: x ~ 0.03"),
    "ambipolar_factor": Parameter(
        0.0, "-", "chi in D_diff = (1 + chi z) D", "assumed 0 (no electronic screening)", zero=True
    ),
    "diffusion_anisotropy": Parameter(1.0, "-", "D_y / D_x", "assumed isotropic"),
    "sigma_background": Parameter(40.0, "S/m", "conductivity at c = 0", _LANDOLT),
    "sigma_1": Parameter(42.0, "S/m", "conductivity per c = 1", _LANDOLT),
    "sigma_exponent": Parameter(
        0.7, "-", "exponent of the power law (unused by the affine law)", _LANDOLT
    ),
    "sigma_activation_energy": Parameter(
        0.03, "eV", "barrier of conduction", "0.028 eV (Landolt-Boernstein, region a)", zero=True
    ),
    "sigma_anisotropy": Parameter(1.0, "-", "sigma_y / sigma_x", "assumed isotropic"),
    "contact_resistivity": Parameter(0.0, "ohm m^2", "rho_c of the contacts", "assumed", zero=True),
    # Of Schottky contacts; ohmic ones do not use them.
    "schottky_barrier": Parameter(
        0.5, "eV", "barrier of the contacts, without image force", "assumed; 0.1 to 0.9 eV"
    ),
    "ideality": Parameter(1.0, "-", "ideality factor of the barrier", "assumed", 1.0, 10.0),
    "richardson_constant": Parameter(6.01e5, "A/m^2/K^2", "A* of thermionic emission", _JART),
    "fermi_depth": Parameter(
        0.1, "eV", "conduction band edge above the Fermi level in the film", _JART, zero=True
    ),
    "static_permittivity": Parameter(17.0, "eps0", "of the depleted film", _JART),
    "optical_permittivity": Parameter(5.5, "eps0", "of the image force", _JART),
    "side": Parameter(10e-6, "m", "side L of the square film", "assumed"),
    "thickness": Parameter(100e-9, "m", "film thickness h", "assumed"),
    "electrode_arm": Parameter(
        0.25, "L", "length of an electrode on each side of its corner", "assumed", 0.01, 0.49
    ),
    "c_lo": Parameter(0.05, "-", "density outside the formed domain", "assumed, tuned", zero=True),
    "c_hi": Parameter(3.0, "-", "density inside the formed domain", "assumed, tuned"),
    "front_position": Parameter(
        -0.27,
        "L",
        "front of the formed domain on the T1-T3 diagonal, from its middle",
        "assumed, tuned",
        -0.7072,
        0.7072,
    ),
    "front_width": Parameter(0.10, "L", "width of that front", "assumed, tuned"),
    "thermal_conductivity": Parameter(
        3.0, "W/m/K", "of the film", "thin films below bulk (Lee, Cahill, Allen 1995); assumed"
    ),
    "heat_sink": Parameter(1e6, "W/m^2/K", "conductance to the substrate", "assumed: kappa / L"),
    "thermal_time": Parameter(
        1e-4, "s", "time constant of cooling", "assumed: L^2 over the diffusivity of glass"
    ),
    "ambient_temperature": Parameter(300.0, "K", "temperature of the substrate", "assumed"),
    "read_voltage": Parameter(0.1, "V", "of a read between T2 and T4", "assumed"),
}

PRESETS: dict[str, dict[str, float]] = {
    # Shows the published dependence on amplitude (0.3 to 7 V) but forgets within minutes.
    "isothermal": {},
    # Writing heats the film by 200 K and is thermally activated: ten-year retention at 300 K, but
    # nothing happens below about 4 V. Set B of our reference study, a high barrier on glass.
    "nonvolatile": {
        "activation_energy": 1.1,
        "heat_sink": 2.2e6,
        "side": 0.5e-6,
        "thermal_time": 3e-7,
    },
}
