"""Writing films through their vacancy equations: gradients, failures, plan, time steps."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import analogjax as aj
from analogjax.devices import FourTerminalTiO2, Spread
from analogjax.programming import VacancyWriting
from analogjax.programming.film_writing import PULSE_GAP, PULSE_WIDTH
from analogjax.simulation import Adaptive, Multirate

DIFFER = ("attempt_frequency", "sigma_1", "thickness", "c_hi", "electrode_arm")
SHARED = (
    "front_position", "front_width", "side", "activation_energy", PULSE_WIDTH, f"{PULSE_WIDTH}_1",
    PULSE_GAP,
)  # fmt: skip
FILM = FourTerminalTiO2(8, sigma_background=5.0, electrode_arm=0.3)


@pytest.fixture(scope="module")
def writing():
    return VacancyWriting(
        FILM,
        widths=[3.0, 2.0],
        gap=5.0,
        low=-5.0,
        high=5.0,
        limit=6.0,
        spread=Spread(dict.fromkeys(DIFFER, 0.05)),
        solver=Multirate(1, 4),
        batch=2,
        points=8,
    )


@pytest.fixture(scope="module")
def drives():
    return jnp.asarray([[3.0, -1.0], [-4.0, 2.5]])


def total(writing, drives, drawn, design, t):
    """A loss in which every device counts for itself."""
    written = writing.changed(design).write(drives, drawn, t=t)
    return jnp.sum(jnp.sin(3 * written.fractions + jnp.arange(2.0))), written


@pytest.fixture(scope="module")
def value_and_gradient():
    return jax.jit(jax.value_and_grad(total, argnums=(1, 2, 3, 4), has_aux=True))


@pytest.mark.slow
def test_gradient_of_every_pulse_and_parameter(writing, drives, value_and_gradient):
    drawn = writing.draw(jax.random.key(0), (2,))
    design, t = dict.fromkeys(SHARED, jnp.zeros(())), jnp.asarray(20.0)
    at, unravel = jax.flatten_util.ravel_pytree((drives, drawn, design, t))
    _, gradient = value_and_gradient(writing, drives, drawn, design, t)
    gradient, _ = jax.flatten_util.ravel_pytree(gradient)
    # One program for all points; fourth order with a thousandth of each number, where the rounding
    # of 1e-14 and the fifth derivative both leave 1e-10.
    step = 1e-3 * np.where(np.asarray(at) == 0, 1.0, np.abs(at))

    @jax.jit
    def values(points):
        return jax.lax.map(lambda p: total(writing, *unravel(p))[0], points)

    shifts = np.asarray([-2.0, -1.0, 1.0, 2.0])
    points = np.asarray(at)[None, None] + shifts[:, None, None] * np.diag(step)[None]
    found = np.asarray(values(jnp.asarray(points.reshape(-1, at.size)))).reshape(4, -1)
    slopes = np.asarray([1.0, -8.0, 8.0, -1.0]) @ found / (12 * step)
    assert at.size == 2 * 2 + 2 * len(DIFFER) + len(SHARED) + 1
    # Those of the smallest (time) are 1e-4 of the largest.
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-9 * np.abs(slopes).max())
    assert np.all(np.asarray(gradient) != 0)


def test_failed_film_is_masked(writing, drives, value_and_gradient):
    drawn = writing.draw(jax.random.key(0), (2,))
    # A film of a thousandfold mobility outruns the time steps.
    drawn["attempt_frequency"] = drawn["attempt_frequency"].at[1].set(1e3)
    design, t = dict.fromkeys(SHARED, jnp.zeros(())), jnp.asarray(20.0)
    (value, written), gradient = value_and_gradient(writing, drives, drawn, design, t)
    assert written.ok.tolist() == [True, False]
    low, high = writing.window
    assert float(written.fractions[1]) == pytest.approx(
        float((writing.fresh - low) / (high - low)), rel=1e-12
    )
    assert np.isfinite(float(value))
    by_drive, by_own, _, _ = gradient
    assert np.all(np.isfinite(by_drive))
    assert np.all(by_drive[0] != 0)
    assert not np.any(by_drive[1])
    assert all(float(g[1]) == 0 and np.isfinite(float(g[0])) for g in by_own.values())


def test_plan_is_written(writing):
    wanted = jnp.asarray([[0.0, 0.3], [0.6, 1.0]])
    written = writing.write(writing.plan(wanted), None)
    assert bool(written.ok.all())
    # Linear between eight amplitudes: the curvature leaves 1e-2 of the window; the nodes are exact.
    np.testing.assert_allclose(written.fractions, wanted, atol=1.5e-2)
    np.testing.assert_allclose(written.fractions[[0, 1], [0, 1]], [0.0, 1.0], atol=1e-12)


def test_one_by_one_is_the_same(writing, drives):
    drawn = writing.draw(jax.random.key(0), (2,))
    together = writing.write(drives, drawn).fractions

    def one(drives, drawn):
        return writing.write(drives[None], {k: v[None] for k, v in drawn.items()}).fractions[0]

    eager = [one(drives[i], {k: v[i] for k, v in drawn.items()}) for i in range(2)]
    # A batch of the elliptic solver iterates until its slowest lane is done: round-off.
    np.testing.assert_allclose(together, eager, rtol=1e-10)
    np.testing.assert_allclose(together, jax.vmap(one)(drives, drawn), rtol=1e-10)


@pytest.mark.slow
def test_few_solutions_suffice(writing, drives):
    # Against diffrax with a potential of its own in every stage.
    tight = eqx.tree_at(lambda w: w.solver, writing, Adaptive(1e-8, 1e-8))
    fine = eqx.tree_at(lambda w: w.solver, writing, Multirate(2, 8))
    g, coarse, better = (w.write(drives, None, t=0.0).fractions for w in (tight, writing, fine))
    error, less = np.abs(coarse - g).max(), np.abs(better - g).max()
    # Second order: a quarter, or nearly so at these few steps.
    assert error < 0.02
    assert less < 0.4 * error


def test_rest_forgets(writing, drives):
    t = jnp.asarray([0.0, 1e3])
    fresh, rested = (writing.write(drives, None, t=x).fractions for x in t)
    assert np.all(np.abs(rested - fresh) > 1e-3)


def test_wrong_arguments():
    options: dict[str, Any] = {"widths": [3.0], "low": -5.0, "high": 5.0}
    with pytest.raises(ValueError, match="`low` must be below `high`"):
        VacancyWriting(FILM, **(options | {"low": 6.0}))
    with pytest.raises(ValueError, match="`precision` must be 'float32' or 'float64'"):
        VacancyWriting(FILM, **options, precision="float16")
    with pytest.raises(ValueError, match="`thicknes` must be a parameter"):
        VacancyWriting(FILM, **options, spread=Spread({"thicknes": 0.05}))
    with pytest.raises(ValueError, match="`solver` must resolve"):
        VacancyWriting(FILM, **options | {"widths": [300.0]}, solver=Multirate(1, 4), points=8)


def test_unknown_name(writing):
    with pytest.raises(ValueError, match=r"`design` must name quantities .* 'colour'"):
        writing.changed({"colour": 0.0})
    with pytest.raises(ValueError, match="'pulse_width_2'"):
        writing.changed({f"{PULSE_WIDTH}_2": 0.0})
    with pytest.raises(ValueError, match="'pulse_gap'"):
        eqx.tree_at(lambda w: w.gap, writing, None).changed({PULSE_GAP: 0.0})


def test_gap_is_a_rest(writing, drives):
    # A pulse of no voltage moves vacancies as a rest does: the gap takes its place.
    still = drives.at[:, 1].set(0.0)
    short = writing.changed({f"{PULSE_WIDTH}_1": -1.0}).write(still, None, t=2.0).fractions
    longer = writing.changed({f"{PULSE_WIDTH}_1": -1.0, PULSE_GAP: 0.4}).write(still, None)
    # Diffusion is linear: one rest after another is a rest of both times.
    np.testing.assert_allclose(longer.fractions, short, rtol=1e-9)


def test_other_devices_are_refused():
    vteam = aj.devices.VTEAM()
    drive = aj.stimuli.pulse_train(jnp.ones(1), width=1e-3)
    with pytest.raises(ValueError, match="`solver` must be another than 'multirate'"):
        aj.simulate(vteam, drive, solver="multirate")
