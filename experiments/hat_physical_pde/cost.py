"""What a step costs, and how far its time steps are from the solution of the equations."""

from __future__ import annotations

import resource
import time

import jax
import jax.numpy as jnp
import numpy as np

from analogjax.simulation import Adaptive

from .films import make_writing

FILMS_OF_ERROR = 16


def measured_error(config, writing, seed: int) -> dict:
    """Compare conductances with those of tight tolerances in float64, on the same films."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 78), 2)
    shape = (FILMS_OF_ERROR, len(config.widths))
    most = config.limit
    drives = jax.random.uniform(keys[0], shape, float, -most, most)
    drawn = writing.draw(keys[1], shape[:1])
    tight = make_writing(config, solver=Adaptive(1e-7, 1e-7), precision="float64", points=16)
    low, high = tight.window
    held = [w.write(drives, drawn) for w in (writing, tight)]
    own_low, own_high = writing.window
    fraction = (own_low + held[0].fractions * (own_high - own_low) - low) / (high - low)
    return {
        "time_error": jnp.abs(fraction - held[1].fractions),
        "window": jnp.stack([low, high]),
        "own_window": jnp.stack([own_low, own_high]),
    }


def measured_cost(study, repeats: int = 5) -> dict:
    """Time the writing of all films of a network, and a step of the training through it."""
    training = study.physical_training()
    state = training.start()
    model, trained = training.model(state), training.trained(state)
    family = study.physical

    @jax.jit
    def forward(trained, key):
        return family.chip(model, trained, key=key).failed

    def best(call):
        call(0)
        times = []
        for k in range(repeats):
            wall, processor = time.perf_counter(), time.process_time()
            call(k + 1)
            times.append((time.perf_counter() - wall, time.process_time() - processor))
        return np.min(times, axis=0)

    writes = best(lambda k: jax.block_until_ready(forward(trained, jax.random.key(k))))
    steps = best(lambda k: training.advance(state))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"forward": writes, "step": steps, "peak_gib": np.asarray(peak)}
