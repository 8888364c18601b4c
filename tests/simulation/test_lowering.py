"""The compiled program: no host callbacks, and it lowers for GPUs and TPUs on a CPU."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import pytest

import analogjax as aj

DEVICE = aj.devices.FourTerminalTiO2(cells=12)


def log_resistance(parameters, amplitudes, solver):
    device = DEVICE.replace(**parameters)
    drive = aj.stimuli.pulse_train(amplitudes, width=0.25)
    result = aj.simulate(device, drive, solver=solver, throw=False)
    return jnp.log(result.read_resistance).sum()


ARGUMENTS = {"sigma_1": jnp.asarray(42.0), "c_hi": jnp.asarray(3.0)}, jnp.asarray([5.0, -5.0])
SOLVERS = {
    "default": None,
    "equal steps": aj.simulation.Heun(3),
    "adaptive": aj.simulation.Adaptive(),
}


@pytest.fixture(scope="module", params=SOLVERS)
def functions(request):
    def forward(parameters, amplitudes):
        return log_resistance(parameters, amplitudes, SOLVERS[request.param])

    return jax.jit(forward), jax.jit(jax.grad(forward))


@pytest.mark.parametrize("which", [0, 1], ids=["forward", "gradient"])
def test_lowers_for_every_platform_without_the_host(functions, which):
    exported = jax.export.export(functions[which], platforms=["cpu", "cuda", "tpu"])(*ARGUMENTS)
    assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
    # Python would be called by a custom call; none of any kind is needed.
    targets = set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))
    assert not {target for target in targets if "callback" in target}
