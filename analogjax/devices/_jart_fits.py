"""Two published closed forms of the current of JART VCM v1b, fitted to the original model.

Both give the magnitude of the current for the nominal parameters, and no junction voltage:
temperature and fields follow from the current and the series resistances. They differ from the
exact current by a percent or two, and switching times by half: never compare them one to one.
"""

from __future__ import annotations

import jax.numpy as jnp

from .._types import Scalar

N_FIT = 0.008
"""N_min of the first fit [1e26 1/m^3], whatever the device's own is."""
N_REFERENCE = 0.004
"""Reference density of the second fit [1e26 1/m^3]."""


def _sigmoid_between(at_high: float | Scalar, at_low: float | Scalar, u: Scalar) -> Scalar:
    return at_high + (at_low - at_high) / (1 + jnp.exp(u))


def current_n22(v: Scalar, disc_vacancies: Scalar) -> Scalar:
    """Return the current [A] of the first fit.

    Source: V. Ntinas et al., IEEE TCAS-II (2022), IEEE document 9737221, as used by Z. Yu et al.,
    arXiv:2403.06746. Poor (up to 46 %) at N = 0.008 under SET.
    """
    n = disc_vacancies
    # SET. The side that is not asked for is evaluated where it is harmless.
    w = jnp.where(v < 0, v, -0.1)
    a0, a2, a3 = 4.81951e-5, 1.03685, 0.34567
    a1 = a0 * jnp.exp(-a2 / a3)
    alpha = (a1 + a0) / (1 + jnp.exp(-(w + a2) / a3)) - a0
    beta = 4.2383e-5 * (1 - jnp.exp(-w)) - 7.0526e-4 * w
    c = 4.2125 * jnp.exp(-w / 1.4134) + 2.8646 * w - 4.004
    d = 7.4235 * jnp.exp(-w / 4.0585) + 1.4524 * w - 6.6103
    f = 6.326e-4 + (1.4711 - 6.326e-4) / (1 + (-w / 0.5199) ** 1.561)
    negative = -alpha - beta / (1 + (c / n) ** d) ** f
    # RESET.
    u = jnp.where(v < 0, 0.1, v)
    g = 4.84e-3 * (1 - jnp.exp(-0.1353 * u))
    h = 5.548 + 6.8648 * u + 51.586 * jnp.exp(-0.36 * u)
    positive = g / (1 + h * (n / N_FIT) ** -1.054) ** (1 / 1.0526)
    return jnp.where(v < 0, negative, positive)


def current_tud(v: Scalar, disc_vacancies: Scalar, d_r: Scalar, d_l: Scalar) -> Scalar:
    """Return the current [A] of the second fit, which knows radius and disc length.

    Args:
        v: Voltage [V], within 1.3 V.
        disc_vacancies: Density [1e26 1/m^3], 0.004 to 22.
        d_r: ``(radius - nominal) / (0.1 nominal)``, within 1.
        d_l: Likewise for the disc length.

    Source: V. Ntinas et al., SMACD (2023), doi 10.1109/SMACD58065.2023.10192107; coefficients of
    the authors' repository vntinas/JART-TUD-VCM-memristor-model (python/JART_TUD_params.py).
    """
    level = jnp.log(disc_vacancies / N_REFERENCE)
    return jnp.where(
        v < 0,
        _tud_set(jnp.where(v < 0, v, -0.1), level, d_r, d_l),
        _tud_reset(jnp.where(v < 0, 0.1, v), level, d_r, d_l),
    )


def _tud_set(v, level, d_r, d_l):
    p10, p11, p12, p13, p14 = (
        nominal + by_r * d_r + by_l * d_l
        for nominal, by_r, by_l in (
            (1.1830, -6.2246e-2, 1.1419e-1),
            (-2.7034e-3, -1.8077e-4, -2.0831e-4),
            (-4.5379e-6, 1.7313e-4, -8.9677e-5),
            (9.9115e-1, 5.7155e-3, -2.3237e-2),
            (4.4093e-1, -9.7198e-4, -1.8507e-3),
        )
    )
    p1 = p10 * (p11 * v + p12 * v**2) / (1 + p13 * v + p14 * v**2)
    p3 = 6.8845 + 1.2536e-1 * d_r + 2.5983e-1 * d_l
    p3 += (-5.8995e-1 + 6.5498e-2 * d_r + 8.5666e-2 * d_l) * v
    p4 = 2.5890e3 - (-2.9537 + 8.2522e-2 * d_r - 7.2255e-2 * d_l) * jnp.exp(5.4031e-1 * v)
    p5 = (6.4705e-4 + 1.5169e-5 * d_r + 1.3260e-6 * d_l) * v
    p5 += (5.1529e-5 + 6.7042e-7 * d_r + 1.0756e-6 * d_r**2) * v**2
    p7 = 1.1708e-1 + 4.8662e-4 * d_r + 3.7351e-3 * d_l
    p9 = _sigmoid_between(
        3.9052 - 5.4723e-1 * d_r + 3.6802e-2 * d_l, 9.6130, (v + 4.5637e-1) / (1.4310 + 0.36 * d_r)
    )
    p10 = _sigmoid_between(4.6925e-1, 3.4731 + 1.1444e-2 * d_r, (v + 1.1871) / 5.6947e-1)
    power = _sigmoid_between(1.0667e1 + 3.6290e-1 * d_r, 1.2812e-1, (v - 7.4414e-1) / 4.2381e-1)
    u = level - p3
    # The listing's 1/p11 with p11 = 1/(...): the page of the repository forgets the reciprocal.
    return p1 * (-2.5955e3 * jnp.expm1(u / p4) + u) + p5 * (
        1 + p7 * jnp.exp(-p10 * (level - p9))
    ) ** (-power)


def _tud_reset(v, level, d_r, d_l):
    p5 = 1.3769e-3 + 2.3087e-4 * d_r + 1.3293e-7 * d_l
    p5 = -p5 * jnp.expm1(-8.1819e-2 * v)
    p6 = 1.9687e-1 + 2.6129e-2 * d_r - 2.1833e-2 * v
    by_l = -2.3728 - 9.0456e-3 * d_r - 1.2221e-3 * d_r**2
    p70 = -9.7606e1 - 7.4338e-1 * d_r + 1.1713e-1 * d_r**2 + 2.4377 * d_l
    p72 = 9.9296e1 + 6.9547e-1 * d_r - 1.3724e-1 * d_r**2 + by_l * d_l
    p7 = p70 + 7.8250 * v + p72 * jnp.exp(-7.1092e-2 * v)
    p8 = 1.1713e-1 - 3.8320e-3 * d_l + 8.1370e-2 * v
    p10 = 9.7733e-1 + 5.9623e-5 * d_l + 3.5214e-2 * v + 1.2856e-2 * v**2
    p11 = 9.4207e-1 - 6.7239e-4 * d_l + 3.8953e-2 * v + 2.3436e-2 * v**2
    return p5 / (p6 + p7 * (p8 * jnp.exp(level)) ** -p10) ** (1 / p11)
