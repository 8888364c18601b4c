"""Arrays of ohmic cells with their wires: a dense nodal solve, closed forms, circuit laws."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analogjax as aj

_spec = importlib.util.spec_from_file_location("nodal", Path(__file__).parent / "nodal.py")
nodal = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(nodal)

solve = aj.crossbar.solve_crossbar
effective = aj.crossbar.effective_conductance

SHAPES = [(1, 7), (6, 1), (12, 9)]


def random_array(rng, rows, cols, *, zero=(), floating=False, both=False, span=3.0):
    """Draw an array whose values spread over `span` decades each way, with a third open cells."""

    def spread(shape, middle):
        return middle * 10 ** rng.uniform(-span, span, shape)

    g = spread((rows, cols), 1e-4) * (rng.random((rows, cols)) < 0.7)
    wires = {
        "r_word_line": spread((rows, cols + both), 1.0),
        "r_bit_line": spread((rows, cols), 1.0),
        "r_source": spread((rows,), 10.0),
        "r_sense": spread((cols,), 10.0),
    }
    for name in zero:
        # All of one line, and here and there a segment of the others.
        wires[name][rng.random(wires[name].shape) < 0.5] = 0.0
        wires[name][0] = 0.0
    if floating:
        # Joined to the first lines, which are held.
        word, bit = np.arange(1, rows)[::2], np.arange(1, cols)[::2]
        wires["r_source"][word], wires["r_sense"][bit] = np.inf, np.inf
        g[word, 0], g[0, bit] = 1e-4, 3e-5
    v, v_bit = rng.uniform(-1, 1, rows), rng.uniform(-0.3, 0.3, cols)
    return g, v, v_bit, wires


def reference(g, v, v_bit, wires, both=False):
    return nodal.solve(
        g,
        v,
        r_word=wires["r_word_line"],
        r_bit=wires["r_bit_line"],
        r_source=wires["r_source"],
        r_sense=wires["r_sense"],
        v_bit=v_bit,
        both=both,
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    zero=st.sets(st.sampled_from(["r_word_line", "r_bit_line", "r_source", "r_sense"])),
    floating=st.booleans(),
    span=st.sampled_from([0.1, 1.0, 2.0]),
)
def test_dense_nodal_solve(shape, seed, zero, floating, span):
    rng = np.random.default_rng(seed)
    g, v, v_bit, wires = random_array(rng, *shape, zero=zero, floating=floating, span=span)
    output, device, u, b = reference(g, v, v_bit, wires)
    solution = solve(g, v, v_bit_line=v_bit, **wires)
    # The stated accuracy; what nearly cancels (biased lines) is accurate to the largest current,
    # and currents that all vanish (one held line) to the rounding of 1 V at the cells.
    scale = np.abs(device).max() + 1e-5 * g.max()
    np.testing.assert_allclose(solution.currents.output, output, rtol=1e-9, atol=1e-10 * scale)
    np.testing.assert_allclose(solution.currents.device, device, rtol=1e-9, atol=1e-10 * scale)
    np.testing.assert_allclose(solution.voltages.word_line, u, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(solution.voltages.bit_line, b, rtol=1e-9, atol=1e-10)
    assert solution.ok


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    zero=st.sets(st.sampled_from(["r_word_line", "r_bit_line", "r_source", "r_sense"])),
    floating=st.booleans(),
)
def test_dense_nodal_solve_driven_at_both_ends(seed, zero, floating):
    rng = np.random.default_rng(seed)
    options = {"zero": zero, "floating": floating, "both": True, "span": 1.0}
    g, v, v_bit, wires = random_array(rng, 3, 5, **options)
    output, device, u, _ = reference(g, v, v_bit, wires, both=True)
    solution = solve(g, v, v_bit_line=v_bit, drive="both", **wires)
    scale = np.abs(device).max()
    np.testing.assert_allclose(solution.currents.output, output, rtol=1e-9, atol=1e-10 * scale)
    np.testing.assert_allclose(solution.voltages.word_line, u, rtol=1e-9, atol=1e-10)
    # What the drivers deliver at both ends leaves through the cells.
    along = solution.currents.word_line
    np.testing.assert_allclose(
        along[:, 0] - along[:, -1], device.sum(axis=1), rtol=1e-8, atol=1e-9 * scale
    )


def test_ladder_closed_form():
    # N1: bit lines under ideal word lines; shorter ones have open cells above.
    cells, g = np.array([64, 128, 256, 512]), np.array([10e-6, 25e-6, 100e-6, 20e-6])
    r = np.array([1.0, 1.0, 2.5, 4.0])
    printed = [6.312023811e-4, 2.820503431e-3, 6.270957082e-3, 2.225623756e-3]
    theta = np.arccosh(1 + r * g / 2)
    closed = (1 - np.cosh(theta * (cells - 0.5)) / np.cosh(theta * (cells + 0.5))) / r
    conducting = np.arange(512)[:, None] >= 512 - cells
    options = {"r_word_line": 0.0, "r_bit_line": np.tile(r, (512, 1))}
    output = solve(g * conducting, np.ones(512), **options).currents.output
    # The closed form subtracts nearly equal numbers: 1e-16 / (r I) of it is round-off.
    np.testing.assert_allclose(output, closed, rtol=1e-11)
    np.testing.assert_allclose(output, printed, rtol=1e-9)
    # By reciprocity word lines over ideal bit lines draw the same from their drivers.
    turned = {"r_word_line": options["r_bit_line"].T, "r_bit_line": 0.0}
    rows = solve((g * conducting)[::-1].T, np.ones(4), **turned)
    np.testing.assert_allclose(rows.currents.word_line[:, 0], printed, rtol=1e-9)


RESISTANCE = np.array(
    [[345, 903, 755, 257, 646], [652, 401, 508, 166, 454], [442, 874, 190, 244, 635]]
)
G, V, HALF = 1 / RESISTANCE, np.array([1.5, 2.3, 1.7]), {"r_word_line": 0.5, "r_bit_line": 0.5}


def test_three_by_five():
    # N2: printed digits of badcrossbar and of a dense solver.
    printed = [0.011585025, 0.009190642, 0.015115681, 0.025833208, 0.009811793]
    np.testing.assert_allclose(solve(G, V, **HALF).currents.output, printed, atol=5.1e-10)
    # D1: without resistance, Ohm's law and Kirchhoff's.
    ideal = solve(G, V, r_word_line=0.0, r_bit_line=0.0)
    np.testing.assert_allclose(ideal.currents.output, V @ G, rtol=1e-12)
    np.testing.assert_array_equal(ideal.voltages.word_line, np.tile(V[:, None], 5))
    np.testing.assert_array_equal(ideal.voltages.bit_line, 0)


def test_gradient_of_three_by_five():
    # N4: adjoint and central difference, as stated.
    slope = jax.grad(lambda g: solve(g, V, **HALF).currents.output[2])(jnp.asarray(G))[1, 3]
    np.testing.assert_allclose(slope, -6.311912322e-3, rtol=1e-9)


def drawn(seed=3, shape=(3, 5), **options):
    return random_array(np.random.default_rng(seed), *shape, span=1.0, **options)


@pytest.mark.parametrize("drive", ["left", "both"])
def test_circuit_laws(drive):
    # N3: Kirchhoff at every node, Tellegen, superposition, reciprocity.
    both = drive == "both"
    g, v, v_bit, wires = drawn(both=both)
    s = solve(g, v, v_bit_line=v_bit, drive=drive, **wires)
    i_word, i_bit = s.currents.word_line, s.currents.bit_line
    scale = np.abs(s.currents.device).max()
    onward = i_word if both else np.pad(i_word, ((0, 0), (0, 1)))
    np.testing.assert_allclose(-np.diff(onward), s.currents.device, atol=1e-12 * scale)
    down = np.pad(i_bit, ((1, 0), (0, 0)))
    np.testing.assert_allclose(np.diff(down, axis=0), s.currents.device, atol=1e-12 * scale)
    np.testing.assert_allclose(i_bit[-1], s.currents.output, rtol=1e-12)

    drawn_at = i_word[:, 0] - (i_word[:, -1] if both else 0)
    delivered = v @ drawn_at - v_bit @ s.currents.output
    lost = (wires["r_word_line"] * i_word**2).sum() + (wires["r_bit_line"] * i_bit**2).sum()
    lost += (wires["r_source"] * i_word[:, 0] ** 2).sum()
    lost += (wires["r_source"] * i_word[:, -1] ** 2).sum() if both else 0
    lost += (wires["r_sense"] * i_bit[-1] ** 2).sum()
    lost += (s.currents.device * (s.voltages.word_line - s.voltages.bit_line)).sum()
    np.testing.assert_allclose(delivered, lost, rtol=1e-11)

    g_eff = effective(g, drive=drive, **wires)
    biased = v @ g_eff + solve(g, 0 * v, v_bit_line=v_bit, drive=drive, **wires).currents.output
    np.testing.assert_allclose(s.currents.output, biased, rtol=1e-11, atol=1e-12 * scale)


def test_effective_conductance_of_a_tall_array():
    # More rows than columns: one solve for each bit line.
    g, v, _, wires = drawn(shape=(12, 9))
    g_eff = effective(g, **wires)
    np.testing.assert_allclose(v @ g_eff, solve(g, v, **wires).currents.output, rtol=1e-10)
    # The array driven where it was sensed; cells are counted from the driver and from the far end.
    turned = {k: x[::-1, ::-1].T if x.ndim == 2 else x[::-1] for k, x in wires.items()}
    names = {"r_word_line": "r_bit_line", "r_source": "r_sense"}
    swapped = {b: turned[a] for pair in names.items() for a, b in (pair, pair[::-1])}
    other = effective(g[::-1, ::-1].T, **swapped)
    np.testing.assert_allclose(other, g_eff[::-1, ::-1].T, rtol=1e-10)


@pytest.mark.parametrize(("shape", "both"), [((20, 17), False), ((4, 6), True)], ids=str)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    zero=st.sets(st.sampled_from(["r_word_line", "r_bit_line", "r_source", "r_sense"])),
    floating=st.booleans(),
    span=st.sampled_from([0.1, 1.0, 2.0]),
)
def test_effective_conductance_of_any_array(shape, both, seed, zero, floating, span):
    # By blocks of 10 x 9 lines, two of them each way, a line short of full; and by a single one.
    rng = np.random.default_rng(seed)
    options = {"zero": zero, "floating": floating, "both": both, "span": min(span, 2 - both)}
    g, v, v_bit, wires = random_array(rng, *shape, **options)
    output, device, *_ = reference(g, v, 0 * v_bit, wires, both=both)
    # Traced, so that one program serves arrays with and without floating lines.
    drive = "both" if both else "left"
    g_eff = jitted_effective(drive)(g, wires)
    scale = np.abs(device).max() + 1e-5 * g.max()
    np.testing.assert_allclose(v @ g_eff, output, rtol=1e-9, atol=1e-10 * scale)


@functools.cache
def jitted_effective(drive):
    def by_blocks(g, wires):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(aj.crossbar.wires.solve, "COLUMNS", 0)
            return effective(g, drive=drive, **wires)

    return jax.jit(by_blocks)


def arguments(drive="left"):
    g, v, v_bit, wires = drawn(both=drive == "both")
    return {"g": g + 1e-5, "v": v, "v_bit_line": v_bit, **wires}


def loss(values, drive="left"):
    """Weigh outputs, cell currents and potentials, so that each counts."""
    a = dict(values)
    s = solve(a.pop("g"), a.pop("v"), drive=drive, **a)
    parts = [s.currents.output, s.currents.device, s.voltages.word_line, s.voltages.bit_line]
    weights = np.random.default_rng(0)
    total = 0.0
    for part, scale in zip(parts, [1e4, 1e4, 1.0, 1.0], strict=True):
        total += jnp.sum(jnp.asarray(weights.standard_normal(part.shape)) * jnp.sin(scale * part))
    return total


@pytest.mark.parametrize("drive", ["left", "both"])
def test_derivatives_by_every_argument(drive):
    # In logarithms (voltages as they are): central differences of 1e-4 are then exact to 1e-8.
    values = {k: jnp.asarray(v) for k, v in arguments(drive).items()}
    voltages = {"v", "v_bit_line"}

    def f(step):
        return loss(
            {k: x + step[k] if k in voltages else x * jnp.exp(step[k]) for k, x in values.items()},
            drive,
        )

    zero = jax.tree.map(jnp.zeros_like, values)
    f = jax.jit(f)
    gradient = jax.jit(jax.grad(f))(zero)
    forwards = jax.jit(lambda t: jax.jvp(f, (zero,), (t,))[1])
    for seed, name in enumerate(values):
        toward = jax.random.normal(jax.random.key(seed), values[name].shape)
        tangent = zero | {name: toward}
        up, down = (f(jax.tree.map(lambda t, h=h: h * t, tangent)) for h in (1e-4, -1e-4))
        numeric = (up - down) / 2e-4
        backwards = jnp.sum(gradient[name] * toward)
        np.testing.assert_allclose(backwards, numeric, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(forwards(tangent), backwards, rtol=1e-9, err_msg=name)


def test_second_derivative():
    g, v, _, wires = drawn()
    f = jax.grad(lambda s: 1e4 * solve(g * jnp.exp(s), v, **wires).currents.output[1])
    slope, twice = jax.jit(f), jax.jit(jax.grad(f))
    numeric = (slope(0.3 + 1e-4) - slope(0.3 - 1e-4)) / 2e-4
    np.testing.assert_allclose(twice(0.3), numeric, rtol=1e-6)


def test_one_sided_derivative_at_zero_ohm():
    g, v, _, _ = drawn()
    names = ("r_word_line", "r_bit_line", "r_source", "r_sense")

    def f(r):
        return 1e4 * solve(g, v, **dict(zip(names, r, strict=True))).currents.output[1]

    zero = jnp.zeros(4)
    f, gradient = jax.jit(f), jax.jit(jax.grad(f))(zero)
    np.testing.assert_allclose(f(zero), 1e4 * (v @ g)[1], rtol=1e-12)
    h = 1e-3
    for k in range(4):
        step = h * jnp.eye(4)[k]
        # One-sided, of second order.
        numeric = (-3 * f(zero) + 4 * f(step) - f(2 * step)) / (2 * h)
        np.testing.assert_allclose(gradient[k], numeric, rtol=1e-5)


@pytest.mark.slow
def test_effective_conductance_of_arrays_side_by_side():
    # A grid of tiles in float32, of a size whose elimination is three joins deep: matrix products
    # of more than eight axes are refused on CPUs.
    g = np.random.default_rng(0).uniform(2e-5, 1e-3, (2, 1, 112, 64)).astype(np.float32)
    wires = {"r_word_line": np.float32(2), "r_bit_line": np.float32(2), "throw": False}
    found = jax.jit(jax.vmap(jax.vmap(lambda one: effective(one, **wires))))(g)
    for k in range(2):
        # The same operations, in another order of sums.
        np.testing.assert_allclose(found[k, 0], effective(g[k, 0], **wires), rtol=1e-4)


def test_derivatives_of_the_effective_conductance():
    g, v, _, wires = drawn(shape=(12, 9))
    weights = np.random.default_rng(1).standard_normal(9)

    def through_matrix(g, r):
        return jnp.dot(v @ effective(g, **wires | {"r_source": r}), weights)

    def through_solve(g, r):
        return jnp.dot(solve(g, v, **wires | {"r_source": r}).currents.output, weights)

    at = jnp.asarray(g), jnp.asarray(wires["r_source"])
    for ours, other in zip(
        jax.jit(jax.grad(through_matrix, (0, 1)))(*at),
        jax.jit(jax.grad(through_solve, (0, 1)))(*at),
        strict=True,
    ):
        np.testing.assert_allclose(ours, other, rtol=1e-8, atol=1e-9 * np.abs(other).max())


def test_batches_chunks_jit_and_vmap(monkeypatch):
    g, _, _, wires = drawn()
    v = np.random.default_rng(5).uniform(-1, 1, (7, 3))
    together = solve(g, v, **wires)
    jitted = jax.jit(lambda g, v: solve(g, v, **wires))(g, v)
    mapped = jax.jit(jax.vmap(lambda v: solve(g, v, **wires)))(jnp.asarray(v))
    for k in range(7):
        alone = solve(g, v[k], **wires)
        for other in (together, jitted, mapped):
            row = jax.tree.map(lambda x, k=k: x[k], other)
            assert jax.tree.map(jnp.shape, row) == jax.tree.map(jnp.shape, alone)
            # Sums are taken in another order.
            np.testing.assert_allclose(row.currents.output, alone.currents.output, rtol=1e-11)
            np.testing.assert_allclose(row.voltages.bit_line, alone.voltages.bit_line, rtol=1e-10)
    chips = jnp.stack([g, 2 * g])
    outputs = jax.jit(jax.vmap(lambda g: solve(g, v[0], **wires).currents.output))(chips)
    np.testing.assert_allclose(outputs[1], solve(2 * g, v[0], **wires).currents.output, rtol=1e-11)
    # In chunks of two vectors, the last of which is half empty.
    monkeypatch.setattr(aj.crossbar.wires.solve, "WIDTH", 10)
    jax.clear_caches()
    chunked = solve(g, v, **wires)
    np.testing.assert_allclose(chunked.currents.output, together.currents.output, rtol=1e-11)
    np.testing.assert_array_equal(chunked.iterations, together.iterations)


def test_single_precision():
    g, v, _, wires = drawn()
    exact = solve(g, v, **wires).currents.output
    solution = solve(g.astype(np.float32), v.astype(np.float32), **wires)
    assert all(
        x.dtype == jnp.float32 for x in jax.tree.leaves((solution.currents, solution.voltages))
    )
    assert solution.ok
    # Some twenty rounding steps of 6e-8 along each line.
    scale = np.abs(exact).max()
    np.testing.assert_allclose(solution.currents.output, exact, rtol=1e-5, atol=1e-6 * scale)


def test_heavy_loss_converges():
    # Wires lose 97.6 % of the current; 23 iterations.
    g = 100e-6 * np.exp(0.5 * np.random.default_rng(0).standard_normal((128, 128)))
    solution = solve(g, np.ones(128), r_word_line=50.0, r_bit_line=50.0)
    assert solution.iterations < 30
    assert solution.currents.output.sum() < 0.025 * g.sum()
    delivered = solution.currents.word_line[:, 0].sum()
    np.testing.assert_allclose(solution.currents.output.sum(), delivered, rtol=1e-11)


def test_floating_array_of_equal_cells():
    # Sneak paths: all lines float but those of one cell, R_L elsewhere.
    n, resistance = 16, 1375.882
    g = np.full((n, n), 1e-4)
    g[0, 0] = 1e-6
    lines = np.r_[0.0, np.full(n - 1, np.inf)]
    options = {"r_word_line": 0.0, "r_bit_line": 0.0, "r_source": lines, "r_sense": lines}
    solution = solve(g, np.ones(n), **options)
    # All printed digits.
    np.testing.assert_allclose(1 / solution.currents.output[0], resistance, rtol=4e-7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r_word_line": -1.0}, "Argument `r_word_line` must be .*at least 0 ohm, but is -1.0."),
        ({"r_bit_line": np.nan}, "Argument `r_bit_line` must be .*at least 0 ohm, but is nan."),
        ({"r_source": -2.0}, "Argument `r_source` must be .*at least 0 ohm, but is -2.0."),
        ({"r_sense": np.ones(3)}, "Argument `r_sense` must be one number or have shape .5,."),
        ({"r_word_line": np.ones((3, 4))}, "Argument `r_word_line` .* has shape .3, 4."),
        ({"g": np.full((3, 5), np.nan)}, "Argument `g` must be .*at least 0 S, but is nan at"),
        ({"g": -G}, "Argument `g` must be .*at least 0 S"),
        ({"g": np.ones(3)}, "Argument `g` must have shape .rows, cols., but has shape .3,."),
        ({"v": np.ones(4)}, "Argument `v` must have shape .3,. or .batch, 3. .* shape .4,."),
        ({"v": np.array([1.0, np.inf, 0.0])}, "Argument `v` must be finite, but is inf"),
        ({"v_bit_line": np.ones(3)}, "Argument `v_bit_line` must be one number or have shape"),
        ({"drive": "lefft"}, "Argument `drive` must be one of .*did you mean 'left'"),
        ({"rtol": 0.0}, "Argument `rtol` must be .*above 0, but is 0.0."),
        ({"r_source": np.inf, "r_sense": np.inf}, "must connect at least one line"),
        (
            {"g": np.diag([1.0, 1.0, 1.0]), "r_source": np.array([0.0, np.inf, 0.0]),
             "r_sense": np.array([0.0, np.inf, 0.0])},
            "Argument `g` must join every floating line .* word line 1 has no path",
        ),
    ],
)  # fmt: skip
def test_refusals(changes, message):
    options = {"g": G, "v": V, **HALF} | changes
    g, v = options.pop("g"), options.pop("v")
    with pytest.raises(ValueError, match=message) as raised:
        solve(g, v, **options)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_what_does_not_converge_says_so():
    g, v, _, wires = drawn(shape=(12, 9))
    with pytest.raises(RuntimeError, match="did not converge for 1 of 1 vectors within 1 iter"):
        solve(g, v, max_steps=1, **wires)
    assert not solve(g, v, max_steps=1, throw=False, **wires).ok


@pytest.mark.parametrize(
    "which",
    ["forward", "gradient", "effective", pytest.param("sinh", marks=pytest.mark.slow)],
)
def test_lowers_for_every_platform_without_the_host(which):
    def forward(g, v):
        cell = aj.crossbar.Sinh(0.5) if which == "sinh" else None
        s = solve(g, v, drive="both", cell=cell, **HALF)
        return jnp.sum(s.currents.output**2) + jnp.sum(s.voltages.bit_line**2)

    def matrix(g, v):
        return jnp.sum((v @ effective(g, **HALF)) ** 2)

    functions = {
        "forward": forward,
        "gradient": jax.grad(forward, (0, 1)),
        "effective": jax.grad(matrix),
        "sinh": jax.grad(forward),
    }
    platforms = ["cpu", "cuda", "tpu"]
    exported = jax.export.export(jax.jit(functions[which]), platforms=platforms)(
        jnp.asarray(G), jnp.asarray(V)
    )
    assert set(exported.platforms) == set(platforms)
    targets = set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))
    assert not {target for target in targets if "callback" in target}


def test_new_values_need_no_new_program():
    function = eqx.filter_jit(
        eqx.debug.assert_max_traces(
            lambda g, v, r: solve(g, v, r_word_line=r, r_bit_line=r), max_traces=1
        )
    )
    for r in (0.0, 1.0, 2.0):
        function(jnp.asarray(G), jnp.asarray(V), jnp.asarray(r))
