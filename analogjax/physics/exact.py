"""Closed forms that the discretisation is measured against."""

from __future__ import annotations

import numpy as np


def elliptic_ratio(modulus: float) -> float:
    """Return K(k) / K'(k), complete elliptic integrals of a modulus k and of its complement.

    By arithmetic-geometric means: ``K(k) = pi / (2 agm(1, k'))`` with ``k'^2 = 1 - k^2``.
    """

    def mean(b: float) -> float:
        a = 1.0
        while abs(a - b) > 4e-16 * a:
            a, b = (a + b) / 2, np.sqrt(a * b)
        return a

    return float(mean(modulus) / mean(np.sqrt((1 - modulus) * (1 + modulus))))


def disc_half_angle(arm: float) -> float:
    """Return half the angle [rad] that a corner electrode covers once its square is a disc.

    The conformal map of a square onto a disc takes the boundary point at the angle t from a corner
    to the distance w from that corner with
    ``w / L = int_0^t (sin 2s)^(-1/2) ds / int_0^(pi/2) (sin 2s)^(-1/2) ds`` (Schwarz-Christoffel).

    Args:
        arm: Length w of the electrode on each side of its corner in units of the side L.
    """
    nodes, weights = np.polynomial.legendre.leggauss(60)

    def length(angle: float) -> float:
        # With s = u^2 the singularity at the corner is gone.
        u = np.sqrt(angle) * (nodes + 1) / 2
        return float(np.sqrt(angle) / 2 * np.sum(weights * 2 * u / np.sqrt(np.sin(2 * u**2))))

    # An edge is symmetric about its middle, t = pi/4: twice that half is the whole.
    whole = 2 * length(np.pi / 4)
    low, high = 0.0, np.pi / 4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if length(middle) < arm * whole else (low, middle)
    return (low + high) / 2


def corner_conductances(arm: float) -> tuple[float, float]:
    """Return the conductances between adjacent and between opposite corner electrodes of a square.

    In units of the sheet conductance sigma h, for a uniform film with ideal contacts. Two symmetric
    modes of the disc, each a half plane with two contacts: all neighbours opposite (modulus
    sin 2 alpha) and two floating at zero (modulus tan alpha), with alpha from `disc_half_angle`.
    With the floating pair at the middle potential, R24 sigma h = 1 / (adjacent + opposite).

    Args:
        arm: Length of an electrode on each side of its corner in units of the side; below 1/2.
    """
    alpha = disc_half_angle(arm)
    adjacent = elliptic_ratio(np.sin(2 * alpha)) / 2
    return adjacent, elliptic_ratio(np.tan(alpha)) - adjacent


def shock_speed(rich: float, poor: float, background: float, per_density: float) -> float:
    """Return the speed of a front at which poor film invades rich film, over mobility times J.

    The drift flux at constant current density is ``f(c) = c / (sig_b + sig_1 c)`` (times mobility
    and J); Rankine-Hugoniot gives ``sig_b / (sigma(rich) sigma(poor))``: no background, no motion.
    """
    return background / ((background + per_density * rich) * (background + per_density * poor))


def fan_speed(level: float, background: float, per_density: float) -> float:
    """Return the speed of a level inside the fan by which rich film expands, over mobility times J.

    ``f'(c) = sig_b / sigma(c)^2`` for the flux of `shock_speed`.
    """
    return background / (background + per_density * level) ** 2
