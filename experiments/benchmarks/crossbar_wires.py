"""What exact wires cost: one input vector, 64 of them, and a gradient, against sparse solvers.

Wires of 1 ohm a segment, conductances lognormal around 20 uS with a sigma of 0.5, float64, asked to
1e-10. Contestants take turns; times are minima.

* badcrossbar: `compute` for output currents alone (SciPy's sparse LU inside), all of its work.
* CHOLMOD (scikit-sparse, or the copies of cvxopt and of sksparse-minimal): analysis, factorisation
  and solve of the nodal matrix, whose assembly is *not* counted; the better of the simplicial and
  the supernodal factorisation where there is a choice.
* SciPy: `spsolve` of the same matrix, assembly not counted.
The 64 vectors go through `effective_conductance`, a direct elimination to round-off, computed anew
each time, and one matrix product; CHOLMOD factorises once and solves 64 right-hand sides.

A damped fixed point is the scheme of CrossSim's solver of parasitic resistances (currents of the
cells, their sums along the lines, the voltages that are left, a step of gamma towards them),
written here in NumPy, since CrossSim is on no package index: not its code, and none of its
overhead. It has the fastest gamma of a grid, which a user would have to find, and the same 1e-10.

What is not installed is left out, with a sentence. Ours is the compiled function of conductances
and voltages, the elimination of the lines included.

    python experiments/benchmarks/crossbar_wires.py
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import resource
import sys
import types
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from _measure import interleaved, judged, parser, save, table, versions
from scipy.sparse.linalg import spsolve

import analogjax as aj

WIRES = {"r_word_line": 1.0, "r_bit_line": 1.0}
RTOL = 1e-10
VECTORS = 64


def problem(n):
    """Return conductances, one vector and 64 of them."""
    rng = np.random.default_rng(n)
    g = 20e-6 * np.exp(0.5 * rng.standard_normal((n, n)))
    return g, rng.uniform(0.0, 0.2, n), rng.uniform(0.0, 0.2, (VECTORS, n))


def nodal(g):
    """Return the nodal matrix, and the vector of sources as a function of the voltages."""
    n = len(g)
    word = np.arange(n * n).reshape(n, n)
    bit = word + n * n
    pairs = [
        (word[:, :-1], word[:, 1:], np.ones((n, n - 1))),
        (bit[:-1], bit[1:], np.ones((n - 1, n))),
        (word, bit, g),
    ]
    a, b, y = (np.concatenate([np.ravel(p[k]) for p in pairs]) for k in range(3))
    ends = np.r_[word[:, 0], bit[-1]]
    rows, cols = np.r_[a, b, a, b, ends], np.r_[a, b, b, a, ends]
    matrix = sp.csc_matrix((np.r_[y, y, -y, -y, np.ones(2 * n)], (rows, cols)))

    def sources(v):
        right = np.zeros((2 * n * n, len(np.atleast_2d(v))))
        right[word[:, 0]] = np.atleast_2d(v).T
        return right

    return matrix, sources, bit[-1]


def bad_crossbar():
    """Return badcrossbar's `compute`, which needs no cairo, or None."""
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "cairo" not in sys.modules and importlib.util.find_spec("cairo") is None:
            # Imported for its plots alone.
            sys.modules["cairo"] = types.ModuleType("cairo")
            sys.modules["cairo"].Context = object
        import badcrossbar

        logging.disable(logging.INFO)
        return badcrossbar.compute
    return None


def cholmod():
    """Return a name and ``factor(matrix) -> solve(right)``, or None."""
    with contextlib.suppress(ImportError):
        from sksparse.cholmod import cho_factor

        return "CHOLMOD (scikit-sparse)", lambda a: cho_factor(a).solve
    with contextlib.suppress(ImportError):
        import cvxopt
        import cvxopt.cholmod

        def factor(a):
            lower = sp.tril(a, format="coo")
            matrix = cvxopt.spmatrix(lower.data, lower.row, lower.col, a.shape)
            symbolic = cvxopt.cholmod.symbolic(matrix)
            cvxopt.cholmod.numeric(matrix, symbolic)

            def solve(right):
                x = cvxopt.matrix(right)
                cvxopt.cholmod.solve(symbolic, x)
                return np.asarray(x)

            return solve

        return "CHOLMOD (cvxopt)", factor
    with contextlib.suppress(ImportError):
        from sksparse_minimal import SparseCholesky

        def factor_columns(a):
            cholesky = SparseCholesky(a)
            return lambda right: np.stack([cholesky.solve_A(np.array(b)) for b in right.T], axis=1)

        return "CHOLMOD (sksparse-minimal, reference BLAS)", factor_columns
    return None


GAMMAS = (1.2, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
MOST_ITERATIONS = 5000


def fixed_point(g, v, gamma):
    """Return output currents and iterations; None where the steps grow or do not end."""
    r_word, r_bit = WIRES["r_word_line"], WIRES["r_bit_line"]
    driven = np.broadcast_to(v[:, None], g.shape)
    across, largest = driven.copy(), np.inf
    for count in range(1, MOST_ITERATIONS + 1):
        i = g * across
        along_word = np.cumsum(i[:, ::-1], axis=1)[:, ::-1]
        along_bit = np.cumsum(i, axis=0)
        lost = r_word * np.cumsum(along_word, axis=1)
        lost += r_bit * np.cumsum(along_bit[::-1], axis=0)[::-1]
        step = driven - lost - across
        largest = np.abs(step).max()
        if not largest < 1e3:
            return None
        if largest < RTOL * v.max():
            return along_bit[-1], count
        across += gamma * step
    return None


def fastest_gamma(g, v):
    """Return the gamma with the fewest iterations, None where none converges."""
    found = {}
    for gamma in GAMMAS:
        solved = fixed_point(g, v, gamma)
        if solved is not None:
            found[gamma] = solved[1]
    return min(found, key=found.get) if found else None


def ours(g):
    """Return compiled functions of the voltages: outputs, their gradient, many vectors."""
    g = jnp.asarray(g)

    def outputs(g, v):
        return aj.crossbar.solve_crossbar(g, v, rtol=RTOL, **WIRES).currents.output

    forward = jax.jit(outputs)
    gradient = jax.jit(jax.grad(lambda g, v: jnp.sum(outputs(g, v) ** 2), (0, 1)))
    many = jax.jit(lambda g, v: v @ aj.crossbar.effective_conductance(g, **WIRES))
    return (lambda v: forward(g, v)), (lambda v: gradient(g, v)), (lambda v: many(g, v))


def one_vector(n, rounds, rivals_up_to):
    """Return times, the largest relative difference of outputs, and our iterations."""
    g, v, _ = problem(n)
    forward, gradient, _ = ours(g)
    contestants = {"ours": lambda: forward(v), "gradient": lambda: gradient(v)}
    answers = {"ours": forward}
    if n <= rivals_up_to:
        matrix, sources, last = nodal(g)
        compute, chol = bad_crossbar(), cholmod()
        answers["spsolve"] = lambda v: spsolve(matrix, sources(v)[:, 0])[last]
        if chol:
            answers["cholmod"] = lambda v: chol[1](matrix)(sources(v))[last, 0]
        if compute:
            answers["badcrossbar"] = lambda v: np.ravel(
                compute(
                    v[:, None], 1 / g, r_i=1.0, node_voltages=False, all_currents=False
                ).currents.output
            )
        gamma = fastest_gamma(g, v)
        print(f"fixed point at {n}: gamma {gamma}", end="; ")
        if gamma is not None:
            print(f"{fixed_point(g, v, gamma)[1]} iterations")
            answers["fixed point"] = lambda v: fixed_point(g, v, gamma)[0]
        else:
            print(f"no gamma of {GAMMAS[-1]:g} to {GAMMAS[0]:g} converges")
        # The segment to ground has 1 ohm: potentials of the last nodes are output currents.
        contestants |= {k: (lambda f=f: f(v)) for k, f in answers.items()}
    times = interleaved(contestants, rounds)
    values = {k: np.asarray(f(v)) for k, f in answers.items()}
    exact = values.get("cholmod", values.get("spsolve"))
    error = None if exact is None else float(np.abs(values["ours"] / exact - 1).max())
    iterations = int(aj.crossbar.solve_crossbar(g, v, rtol=RTOL, **WIRES).iterations)
    return times, error, iterations


def many_vectors(n, rounds):
    """Return times and difference for 64 vectors through one programmed array."""
    g, _, v = problem(n)
    _, _, many = ours(g)
    matrix, sources, last = nodal(g)
    right = sources(v)
    chol = cholmod()
    contestants = {"ours": lambda: many(v)}
    if chol:
        contestants["cholmod"] = lambda: chol[1](matrix)(right)
    times = interleaved(contestants, rounds)
    error = None
    if chol:
        exact = chol[1](matrix)(right)[last].T
        error = float(np.abs(np.asarray(many(v)) / exact - 1).max())
    return times, error


def main():
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--rivals-up-to", type=int, default=512)
    options.add_argument("--no-many", action="store_true", help="skip the 64 vectors")
    arguments = options.parse_args()
    jax.config.update("jax_enable_x64", True)

    chol = cholmod()
    print(f"CHOLMOD: {chol[0] if chol else 'not installed, left out'}.")
    print("badcrossbar:", "installed." if bad_crossbar() else "not installed, left out.")
    rows, judgements, numbers = [], [], {"load_before": os.getloadavg()}
    for n in sorted(arguments.sizes):
        times, error, iterations = one_vector(n, arguments.rounds, arguments.rivals_up_to)
        base = times["ours"]
        ratios = {k: t / base for k, t in times.items()}
        numbers[str(n)] = {"times": times, "error": error, "iterations": iterations}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        multiples = (
            f"{ratios[k]:.1f}" if k in ratios else "-"
            for k in ("gradient", "badcrossbar", "cholmod", "spsolve", "fixed point")
        )
        difference = "-" if error is None else f"{error:.0e}"
        load = f"{os.getloadavg()[0]:.1f}"
        rows.append((str(n), f"{1e3 * base:.2f}", str(iterations), *multiples, difference, load))
        judgements.append((f"gradient / forward, {n}", ratios["gradient"], "", 3, False))
        if n in (256, 512):
            for name, target in (("badcrossbar", 60), ("cholmod", 15)):
                if name in ratios:
                    judgements.append((f"{name} / ours, {n}", ratios[name], "", target, True))
        if n == 128 and "fixed point" in ratios:
            judgements.append((f"fixed point / ours, {n}", ratios["fixed point"], "", 3, True))
        if n == 1024:
            judgements.append(("time, 1024", base, " s", 1, False))
            if arguments.sizes == [1024]:
                judgements.append(("peak memory of the process", peak, " GiB", 1, False))
        print(rows[-1], flush=True)
    if not arguments.no_many:
        times, error = many_vectors(256, arguments.rounds)
        numbers["many"] = {"times": times, "error": error}
        print(f"64 vectors at 256: {times}, error {error}")
        if "cholmod" in times:
            ratio = times["cholmod"] / times["ours"]
            judgements.append(("cholmod / ours, 64 vectors at 256", ratio, "", 5, True))
    rivals = ("badcrossbar", "CHOLMOD", "spsolve", "fixed point")
    header = ("size", "ours [ms]", "iterations", "gradient", *rivals)
    print(table(rows, (*header, "largest difference", "load")))
    print("(columns after the iterations: time as a multiple of ours)\n")
    print(judged(judgements))
    numbers["load_after"] = os.getloadavg()
    numbers["versions"] = versions("jax", "jaxlib", "scipy", "numpy")
    save(arguments.out, numbers)


if __name__ == "__main__":
    main()
