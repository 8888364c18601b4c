"""What a fit costs: five parameters of an ODE device from 200 pulses.

The data are 200 pulses of both polarities on a device of known parameters, with 2 % noise; the fit
starts from other parameters. Measured in one run:

* the first `fit` in a fresh process, compilation (persistent cache off) and all;
* simulations against `scipy.optimize.least_squares` (trust region, two-point differences, from the
  same start): in the parameters' own units with `x_scale="jac"`, and in the unbounded numbers of
  `fit`, with scipy's own step and with one of 1e-4, which the tolerance of the solver calls for.
  scipy counts one simulation an evaluation, `fit` one an evaluation *with* its five derivatives,
  which takes longer: how much is measured too (`time of residuals with derivatives`);
* 64 starts side by side against one, both compiled.

JartVCM switches abruptly: within a few pulses everything has happened.

How many steps a fit takes is a matter of luck in its start. With `--starts N` the simulations of
both are also counted from N starts around the true parameters (standard deviation 0.3 in the
unbounded numbers, of a seed of its own): medians over starts.

Times are minima over rounds in which the contestants take turns.

    python experiments/benchmarks/fitting.py
"""

from __future__ import annotations

import os
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _measure import interleaved, judged, parser, save, table, versions
from scipy.optimize import least_squares

import analogjax as aj
from analogjax.fitting import LevenbergMarquardt, PulseTrain
from analogjax.fitting.bijections import free_parameters
from analogjax.fitting.residuals import Problem, linearise

CASES = ("Yakopcic", "VTEAM", "JartVCM")


def case(name):
    """Return the true device, the start, the free parameters and the pulses (V, s)."""
    if name == "Yakopcic":
        true = aj.devices.Yakopcic("miao")
        start = true.replace(a_p=12.0, a_n=1.5, v_p=0.06, v_n=0.6, x_0=0.15)
        free = ("a_p", "a_n", "v_p", "v_n", "x_0")
        v = np.concatenate([np.linspace(0.3, 0.9, 100), -np.linspace(0.8, 1.5, 100)])
        return true, start, free, v, np.full(200, 0.01)
    if name == "VTEAM":
        true = aj.devices.VTEAM()
        start = true.replace(k_on=-6.0, alpha_on=2.5, k_off=8e-4, v_off=0.015, r_off=800.0)
        free = ("k_on", "alpha_on", "k_off", "v_off", "r_off")
        v = np.concatenate([-np.linspace(0.25, 0.35, 100), np.linspace(0.03, 0.06, 100)])
        return true, start, free, v, np.concatenate([np.full(100, 1e-11), np.full(100, 2e-8)])
    true = aj.devices.JartVCM()
    start = true.replace(
        activation_energy=1.33, oxide_resistance=800.0, radius=48e-9, n_init=0.01, reset_heating=0.3
    )
    free = ("activation_energy", "oxide_resistance", "radius", "n_init", "reset_heating")
    # A SET and a RESET. Pulses that do not switch say nothing of bounds and series resistance.
    v = np.concatenate([-np.linspace(0.5, 0.75, 100), np.linspace(0.5, 1.3, 100)])
    return true, start, free, v, np.full(200, 1e-5)


def scipy_fits(problem, residuals, z, start):
    """Return simulations and cost of scipy's fits, by name."""
    names = problem.free.names
    inner = problem.free

    def natural(p):
        return np.asarray(residuals(inner.inverse(jnp.asarray(p))))

    contestants = {
        "own units": (
            natural,
            np.array([float(getattr(start, n)) for n in names]),
            dict(x_scale="jac"),
        ),
        "unbounded": (lambda z: np.asarray(residuals(jnp.asarray(z))), np.asarray(z), {}),
        "unbounded, step 1e-4": (
            lambda z: np.asarray(residuals(jnp.asarray(z))),
            np.asarray(z),
            dict(diff_step=1e-4),
        ),
    }
    results = {}
    for name, (function, x, options) in contestants.items():
        count = 0

        def counted(x, function=function):
            nonlocal count
            count += 1
            value = function(x)
            # A step beyond the bounds gives nan, at which scipy would stop.
            return np.where(np.isfinite(value), value, 1e6)

        result = least_squares(counted, x, max_nfev=300, **options)
        results[name] = (count, 2 * result.cost, bool(result.success))
    return results


def quickest(fits, cost):
    """Return the fewest simulations of scipy's fits that came to the same optimum."""
    return min([n for n, other, _ in fits.values() if other < 1.001 * cost], default=np.inf)


def from_starts(problem, true, residuals, count):
    """Return simulations of `fit`, and of scipy's quickest, from many starts (both converged)."""
    rng = np.random.default_rng(1)
    centre = problem.free.inverse(
        jnp.asarray([float(getattr(true, n)) for n in problem.free.names])
    )
    method, ours, theirs = LevenbergMarquardt(), [], []
    for _ in range(count):
        z = centre + 0.3 * rng.standard_normal(centre.size)
        end = method.search(problem, z, key=jax.random.key(0))[0]
        start = problem.free.put(true, problem.free.forward(z))
        fits = scipy_fits(problem, residuals, z, start)
        ours.append(int(end.evaluations[0]))
        theirs.append(float(quickest(fits, float(end.cost[0]))))
    return ours, theirs


def measure(name, rounds, starts):
    """Return the figures of one device."""
    true, start, free, v, width = case(name)
    clean = np.asarray(PulseTrain(v, width, 1e-9, np.ones(200)).predict(true))
    noise = 1 + 0.02 * np.random.default_rng(0).standard_normal(clean.shape)
    measured = PulseTrain(v, width, 1e-9, clean * noise)
    jax.clear_caches()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    result = aj.fitting.fit(start, measured, free, throw=False)
    first = time.perf_counter() - begin
    first_cpu = time.process_time() - begin_cpu

    parameters, z = free_parameters(start, free)
    problem = Problem(start, parameters, (measured,))
    one, many = LevenbergMarquardt(), LevenbergMarquardt(64, spread=0.3)
    key = jax.random.key(0)
    residuals = eqx.filter_jit(lambda z: problem.residuals(z)[0])
    held = jnp.zeros_like(z)
    times = interleaved(
        {
            "one": lambda: one.search(problem, z, key=key)[0],
            "many": lambda: many.search(problem, z, key=key)[0],
            "residuals": lambda: residuals(z),
            "derivatives": lambda: linearise(problem, z, held),
        },
        rounds,
    )
    ends, _ = many.search(problem, z, key=key)
    cost = float(result.optimum.cost)
    inside = [
        low < float(getattr(true, n)) < high for n, (low, high) in result.interval(0.99).items()
    ]
    found = from_starts(problem, true, residuals, starts) if starts else ([], [])
    return dict(
        first_s=first,
        first_cpu_s=first_cpu,
        evaluations=result.stats["evaluations"],
        cost=cost,
        message=result.message,
        inside_99=sum(inside),
        scipy=scipy_fits(problem, residuals, z, start),
        from_starts=dict(zip(("ours", "scipy"), found, strict=True)),
        times=times,
        good_starts=int(np.sum(np.asarray(ends.cost) < 1.001 * cost)),
    )


def main():
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--devices", nargs="+", choices=CASES, default=CASES)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--starts", type=int, default=0)
    arguments = options.parse_args()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_enable_compilation_cache", False)
    numbers = {}
    for name in arguments.devices:
        found = numbers[name] = measure(name, arguments.rounds, arguments.starts)
        fits = {"analogjax": (found["evaluations"], found["cost"], not found["message"])}
        fits |= {f"scipy, {k}": value for k, value in found["scipy"].items()}
        print(f"\n{name} {found['message']}")
        rows = [(k, str(n), f"{cost:.6g}", str(ok)) for k, (n, cost, ok) in fits.items()]
        print(table(rows, ("fit", "simulations", "sum of squares", "converged")))
        times = found["times"]
        # Of those that came to the same optimum, the quickest.
        fewer = quickest(found["scipy"], found["cost"]) / found["evaluations"]
        print(
            judged(
                [
                    ("first fit with compilation", found["first_s"], " s", 20, False),
                    ("scipy's simulations over ours", fewer, "", 10, True),
                    ("64 starts over one", times["many"] / times["one"], "", 8, False),
                ]
            )
        )
        if arguments.starts:
            ours, theirs = (np.array(x) for x in found["from_starts"].values())
            print(
                f"from {arguments.starts} starts: median {np.median(ours):.3g} and "
                f"{np.median(theirs):.3g} (scipy) simulations, median ratio "
                f"{np.median(theirs / ours):.3g}, sums {ours.sum()} and {theirs.sum():.0f}"
            )
        ratio = times["derivatives"] / times["residuals"]
        print(
            f"first fit: {found['first_cpu_s']:.3g} s of CPU time at load averages "
            f"{', '.join(f'{x:.1f}' for x in os.getloadavg())}; "
            f"time of residuals with derivatives over residuals: {ratio:.3g}; "
            f"one fit, compiled: {times['one']:.3g} s; "
            f"{found['good_starts']} of {LevenbergMarquardt().keep} kept starts at the optimum; "
            f"{found['inside_99']} of 5 true values within 99 %"
        )
    save(arguments.out, numbers | {"versions": versions("jax", "scipy")})


if __name__ == "__main__":
    main()
