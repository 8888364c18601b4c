"""The compiled program: no host callbacks, and it lowers for GPUs and TPUs on a CPU."""

from __future__ import annotations

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
def test_no_host_callbacks_and_every_platform(functions, which):
    # One lowering for all: callbacks would show as custom calls to Python.
    exported = jax.export.export(functions[which], platforms=["cpu", "cuda", "tpu"])(*ARGUMENTS)
    assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
    assert "callback" not in exported.mlir_module()
    assert "callback" not in functions[which].lower(*ARGUMENTS).as_text()
