"""Arrays of cells with a law of their own, and the laws themselves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, root
from scipy.special import iv

import analogjax as aj
from analogjax.crossbar import Cubic, DeviceCells, Ohmic, Selector, Sinh

solve = aj.crossbar.solve_crossbar

RNG = np.random.default_rng(2)
G = 1e-4 * np.exp(RNG.standard_normal((3, 5)))
V = np.array([0.8, -0.5, 1.1])
WIRES = {"r_word_line": 60.0, "r_bit_line": 40.0, "r_source": 100.0, "r_sense": 50.0}
IDEAL = {"r_word_line": 0.0, "r_bit_line": 0.0}


def selector(v, g, i_s=1e-7, v_t=0.04):
    def missing(x):
        return i_s * np.expm1(x / v_t) - g * (v - x)

    # The current and its voltage drop have the sign of the voltage.
    return g * (v - brentq(missing, min(v, 0) - 1e-12, max(v, 0) + 1e-12, xtol=1e-15))


LAWS = {
    "sinh": (Sinh(0.15), lambda v, g: g * 0.15 * np.sinh(v / 0.15)),
    "cubic": (Cubic(2.0), lambda v, g: g * v * (1 + 2.0 * v**2)),
    "selector": (Selector(1e-7, 0.04), np.vectorize(selector)),
}


def cell_voltages_by_minpack(law):
    """Solve for the cell voltages with the wires as a matrix that the ohmic solver fills in."""
    # Potentials at the cells from a current through each in turn: difference against open cells.
    rows, cols = G.shape
    count = rows * cols
    edges = np.zeros((2 * count, 2 * count))

    def join(a, b, r):
        if b is None:
            edges[a, a] += 1 / r
            return
        edges[[a, b], [a, b]] += 1 / r
        edges[[a, b], [b, a]] -= 1 / r

    word = np.arange(count).reshape(rows, cols)
    bit = word + count
    injected = np.zeros(2 * count)
    for i in range(rows):
        join(word[i, 0], None, WIRES["r_word_line"] + WIRES["r_source"])
        injected[word[i, 0]] = V[i] / (WIRES["r_word_line"] + WIRES["r_source"])
        for j in range(1, cols):
            join(word[i, j], word[i, j - 1], WIRES["r_word_line"])
    for j in range(cols):
        join(bit[-1, j], None, WIRES["r_bit_line"] + WIRES["r_sense"])
        for i in range(rows - 1):
            join(bit[i, j], bit[i + 1, j], WIRES["r_bit_line"])
    response = np.linalg.inv(edges)

    def voltages(currents):
        u = response @ (injected + np.r_[-currents, currents])
        return u[:count] - u[count:]

    def missing(d):
        return d - voltages(law(d, G.ravel()))

    found = root(missing, 0.2 * voltages(np.zeros(count)), tol=1e-13)
    assert np.abs(found.fun).max() < 1e-9
    return law(found.x, G.ravel()).reshape(rows, cols)


@pytest.mark.parametrize("name", ["sinh", "cubic", "selector"])
def test_another_solver(name):
    cell, law = LAWS[name]
    solution = solve(G, V, cell=cell, **WIRES)
    device = cell_voltages_by_minpack(law)
    # MINPACK ends at 1e-9 V of some 0.1 V.
    np.testing.assert_allclose(
        solution.currents.device, device, rtol=1e-7, atol=1e-8 * np.abs(device).max()
    )
    np.testing.assert_allclose(solution.currents.output, device.sum(axis=0), rtol=1e-6)
    assert solution.iterations < 25


def test_ohmic_law_is_no_law():
    s, linear = solve(G, V, cell=Ohmic(), **WIRES), solve(G, V, **WIRES)
    np.testing.assert_allclose(s.currents.output, linear.currents.output, rtol=1e-11)
    # Any function will do.
    s = solve(G, V, cell=lambda v, g: g * v, **WIRES)
    np.testing.assert_allclose(s.currents.output, linear.currents.output, rtol=1e-11)


def test_deviation_and_third_harmonic_of_a_sinh_cell():
    # D3: sinh(x) / x - 1. D4: I_3(a) / I_1(a) of modified Bessel functions, 0.0102566 at a = 0.5.
    x = np.array([0.25, 0.5, 1.0])
    swing = 0.5 * np.sin(2 * np.pi * np.arange(32) / 32)
    v = 0.4 * np.r_[x, swing][:, None]
    output = solve(np.full((1, 1), 1e-5), v, cell=Sinh(0.4), **IDEAL).currents.output[:, 0]
    deviation = 100 * (output[:3] / (1e-5 * 0.4 * x) - 1)
    np.testing.assert_allclose(deviation, [1.04493, 4.21906, 17.52012], atol=5.1e-6)
    spectrum = np.abs(np.fft.rfft(output[3:]))
    np.testing.assert_allclose(spectrum[3] / spectrum[1], iv(3, 0.5) / iv(1, 0.5), rtol=1e-10)
    np.testing.assert_allclose(spectrum[3] / spectrum[1], 0.0102566, atol=5.1e-8)


def test_superposition_holds_for_ohmic_cells_alone():
    for cell, linear in ((None, True), (Cubic(2.0), False)):
        whole, half = (solve(G, s * V, cell=cell, **WIRES).currents.output for s in (1, 0.5))
        assert np.allclose(whole, 2 * half, rtol=1e-10) is linear


def test_ideal_wires_are_the_law():
    cell, law = LAWS["sinh"]
    s = solve(G, V, cell=cell, **IDEAL)
    np.testing.assert_allclose(s.currents.device, law(V[:, None], G), rtol=1e-12)


@pytest.mark.slow
def test_derivatives():
    values = {k: jnp.asarray(x) for k, x in {"g": G, "v": V, **WIRES}.items()}
    cell = LAWS["selector"][0]
    values["cell"] = jax.tree.map(jnp.asarray, cell)

    def f(step):
        a = jax.tree.map(lambda x, s: x * jnp.exp(s), values, step)
        s = solve(a.pop("g"), a.pop("v"), **a)
        return jnp.sum(jnp.sin(1e4 * s.currents.output)) + jnp.sum(s.voltages.word_line**2)

    zero = jax.tree.map(jnp.zeros_like, values)
    f = jax.jit(f)
    gradient = jax.jit(jax.grad(f))(zero)
    forwards = jax.jit(lambda t: jax.jvp(f, (zero,), (t,))[1])
    for name in values:
        leaves, structure = jax.tree.flatten(values[name])
        keys = jax.random.split(jax.random.key(len(name)), len(leaves))
        draws = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
        tangent = zero | {name: jax.tree.unflatten(structure, draws)}
        # Central differences of 1e-4 are exact to 1e-8, the solve to 1e-10 / 1e-4.
        up, down = (f(jax.tree.map(lambda t, h=h: h * t, tangent)) for h in (1e-4, -1e-4))
        numeric = (up - down) / 2e-4
        products = jax.tree.map(lambda a, b: jnp.sum(a * b), gradient, tangent)
        backwards = sum(jax.tree.leaves(products))
        np.testing.assert_allclose(backwards, numeric, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(forwards(tangent), backwards, rtol=1e-8, err_msg=name)


def test_strong_nonlinearity_converges():
    # The linear start overshoots by e^10; the step must be shortened.
    cell = Sinh(0.05)
    s = solve(G, 2 * V, cell=cell, **WIRES)
    d = s.voltages.word_line - s.voltages.bit_line
    law = G * 0.05 * np.sinh(np.asarray(d) / 0.05)
    # The potentials lose four digits in the cells' voltages, which the exponential multiplies.
    np.testing.assert_allclose(s.currents.device, law, rtol=1e-8, atol=1e-9 * np.abs(law).max())
    assert s.ok


@pytest.mark.slow
def test_cells_of_a_device():
    device = aj.devices.JartVCM()
    n = jnp.asarray([[0.008, 0.5, 3.0], [10.0, 1.0, 0.1]])
    states = jax.vmap(jax.vmap(device.init_state))(n)
    v = jnp.asarray([0.2, -0.2])
    ideal = solve(states, v, cell=DeviceCells(device), **IDEAL)
    alone = jax.vmap(jax.vmap(device.current))(jnp.tile(v[:, None], 3), states)
    np.testing.assert_allclose(ideal.currents.device, alone, rtol=1e-7)
    lossy = solve(states, v, cell=DeviceCells(device), r_word_line=100.0, r_bit_line=100.0)
    assert lossy.ok
    assert np.abs(lossy.currents.device).sum() < np.abs(alone).sum()


def test_single_precision_batch():
    g, v = G.astype(np.float32), np.stack([V, 0.3 * V]).astype(np.float32)
    s = solve(g, v, cell=Sinh(jnp.float32(0.15)), **WIRES)
    assert s.currents.output.dtype == jnp.float32
    assert s.ok.all()
    exact = solve(G, V, cell=Sinh(0.15), **WIRES).currents.output
    # Stated: 1e-5 of the largest cell current, a few times that in a sum of some sign.
    np.testing.assert_allclose(s.currents.output[0], exact, atol=1e-4 * np.abs(exact).max())


def test_refusals():
    with pytest.raises(ValueError, match=r"Argument `v_0` must be .*above 0 V, but is -1.0."):
        Sinh(-1.0)
    with pytest.raises(ValueError, match="Argument `g` must hold arrays whose first axes"):
        solve((G, G[:2]), V, cell=Ohmic(), **WIRES)
    with pytest.raises(RuntimeError, match="did not converge for 1 of 1 vectors"):
        solve(G, V, cell=Sinh(0.05), max_steps=1, **WIRES)
